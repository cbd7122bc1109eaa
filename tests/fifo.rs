//! What the letters of the MasterFIFO do to requests and workers.

use std::path::PathBuf;

use crate::harness::{Server, eventually, for_each_mode, for_each_process_mode, scratch};

fn cheap(server: &Server) -> usize {
    let stats = server.stats();
    let workers = stats["workers"].as_array().unwrap();
    workers.iter().filter(|worker| worker["status"] == "cheap").count()
}

fn pipe_in(directory: &tempfile::TempDir) -> PathBuf {
    directory.path().join("pipe")
}

#[test]
fn a_paused_server_holds_requests_back_and_loses_none() {
    for_each_mode(|mode| {
        let directory = scratch();
        let pipe = pipe_in(&directory);
        let name = pipe.display().to_string();
        let server = Server::http(mode, "all_by_path", &["--master", "--master-fifo", &name]);
        let mut kept = server.connect();
        assert_eq!(kept.get("/hello").text(), "hello");
        std::fs::write(&pipe, "p").unwrap();
        server.log.line("*** paused: requests wait");
        kept.send("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut fresh = server.connect();
        fresh.send("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
        std::thread::sleep(std::time::Duration::from_millis(300));
        assert!(!kept.has_answer() && !fresh.has_answer());
        server.signal(libc::SIGTSTP);
        server.log.line("*** resumed ***");
        assert_eq!(kept.response().text(), "hello");
        assert_eq!(fresh.response().text(), "hello");
        // A stop lets what waits be answered.
        std::fs::write(&pipe, "p").unwrap();
        server
            .log
            .find("a second pause", |text| (text.matches("*** paused").count() == 2).then_some(()));
        kept.send("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
        std::fs::write(&pipe, "q").unwrap();
        assert_eq!(kept.response().text(), "hello");
        server.log.line("goodbye to uwring.");
    });
}

#[test]
fn a_reload_ends_the_pause() {
    for_each_mode(|mode| {
        let server = Server::http(mode, "all_by_path", &["--master"]);
        server.signal(libc::SIGTSTP);
        server.log.line("*** paused");
        let mut client = server.connect();
        client.send("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
        server.signal(libc::SIGHUP);
        assert_eq!(client.response().text(), "hello");
    });
}

#[test]
fn workers_are_added_and_ended_by_hand() {
    for_each_process_mode(|mode| {
        let directory = scratch();
        let pipe = pipe_in(&directory);
        let name = pipe.display().to_string();
        let stats = ["--stats", "127.0.0.1:0", "--master-fifo", &name];
        let more = [&["--master", "--processes", "2", "--lazy-apps"][..], &stats].concat();
        let server = Server::http(mode, "all_by_path", &more);
        std::fs::write(&pipe, "-").unwrap();
        server.log.line("uWSGI worker 2 cheaped.");
        eventually("one worker is left", || cheap(&server) == 1);
        std::fs::write(&pipe, "-").unwrap();
        server.log.line("cheaper: the last worker stays");
        std::fs::write(&pipe, "+").unwrap();
        server.log.line("spawned uWSGI worker 2 (pid: ");
        eventually("two workers are there", || cheap(&server) == 0);
        std::fs::write(&pipe, "+").unwrap();
        server.log.line("cheaper: all 2 workers are there");
        assert_eq!(server.get("/hello").text(), "hello");
    });
}

#[test]
fn the_algorithm_manual_leaves_the_workers_to_the_operator() {
    for_each_process_mode(|mode| {
        let directory = scratch();
        let pipe = pipe_in(&directory);
        let name = pipe.display().to_string();
        let cheaper = ["--processes", "3", "--cheaper", "1", "--cheaper-initial", "2"];
        let manual = ["--cheaper-algo", "manual", "--cheaper-overload", "1"];
        let stats = ["--stats", "127.0.0.1:0", "--master-fifo", &name];
        let more = [&["--master"][..], &cheaper, &manual, &stats].concat();
        let server = Server::http(mode, "all_by_path", &more);
        assert_eq!(cheap(&server), 1);
        let began = std::time::Instant::now();
        // The algorithm `spare` would have ended one by then.
        eventually("four looks", || began.elapsed().as_secs() >= 4);
        assert_eq!(cheap(&server), 1);
        std::fs::write(&pipe, "+").unwrap();
        eventually("all workers are there", || cheap(&server) == 0);
        std::fs::write(&pipe, "-").unwrap();
        eventually("one worker has left", || cheap(&server) == 1);
        assert_eq!(server.get("/hello").text(), "hello");
    });
}

#[test]
fn cheap_workers_come_back_with_a_request() {
    for_each_process_mode(|mode| {
        let directory = scratch();
        let pipe = pipe_in(&directory);
        let name = pipe.display().to_string();
        let stats = ["--stats", "127.0.0.1:0", "--master-fifo", &name];
        let more = [&["--master", "--processes", "2"][..], &stats].concat();
        let server = Server::http(mode, "all_by_path", &more);
        let mut kept = server.connect();
        for round in 1..=3 {
            std::fs::write(&pipe, "C").unwrap();
            eventually("all workers are gone", || cheap(&server) == 2);
            assert_eq!(kept.get("/hello").text(), "hello", "round {round}");
            assert_eq!(server.get("/hello").text(), "hello", "round {round}");
            eventually("all workers are back", || cheap(&server) == 0);
        }
        assert!(!server.log.text().contains("DAMN"));
    });
}

#[test]
fn workers_leave_an_idle_server_and_wait_for_the_first_request() {
    for_each_process_mode(|mode| {
        let more = ["--processes", "2", "--cheap", "--idle", "1", "--stats", "127.0.0.1:0"];
        let more = [&["--master"][..], &more].concat();
        let server = Server::http(mode, "all_by_path", &more);
        assert!(server.log.line("uwring is ready").contains("0 worker(s)"));
        assert_eq!(cheap(&server), 2);
        assert!(!server.log.text().contains("no app loaded"));
        assert_eq!(server.get("/hello").text(), "hello");
        server.log.line("no request for 1 seconds (idle)");
        eventually("all workers are gone", || cheap(&server) == 2);
        assert_eq!(server.get("/hello").text(), "hello");
    });
}

#[test]
fn interpreters_stay_when_workers_are_to_leave() {
    for_each_mode(|mode| {
        if mode.is_process() {
            return;
        }
        let directory = scratch();
        let pipe = pipe_in(&directory);
        let name = pipe.display().to_string();
        let more = ["--master", "--cheap", "--idle", "1", "--master-fifo", &name];
        let server = Server::http(mode, "hello", &more);
        assert_eq!(server.get("/").text(), "hello");
        for (letter, line) in [
            ("C", "cheap mode: the workers are interpreters"),
            ("-", "cheaper: the workers are interpreters: all stay"),
        ] {
            std::fs::write(&pipe, letter).unwrap();
            server.log.line(line);
            assert_eq!(server.get("/").text(), "hello");
        }
    });
}
