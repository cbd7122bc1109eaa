//! Workers that come and go with the load.

use crate::harness::server::command;
use crate::harness::{Client, Server, for_each_mode, for_each_process_mode, scratch};

fn status_of_workers(server: &Server) -> Vec<String> {
    let stats = server.stats();
    let workers = stats["workers"].as_array().unwrap();
    workers.iter().map(|worker| worker["status"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn workers_come_when_all_are_busy_and_leave_when_they_are_idle() {
    for_each_process_mode(|mode| {
        for algorithm in ["spare", "spare2", "backlog"] {
            let overload = if algorithm == "backlog" { "0" } else { "1" };
            let more = [
                "--processes",
                "3",
                "--cheaper",
                "1",
                "--cheaper-algo",
                algorithm,
                "--cheaper-overload",
                overload,
                "--cheaper-idle",
                "1",
                "--stats",
                "127.0.0.1:0",
            ];
            let server = Server::http(mode, "all_by_path", &more);
            let line = server.log.line("uwring is ready");
            assert!(line.contains("1 worker(s)"), "{line}");
            assert_eq!(status_of_workers(&server), ["idle", "cheap", "cheap"]);
            let directory = scratch();
            let paths = ["a", "b", "c"].map(|name| directory.path().join(name));
            let mut slow: Vec<Client> = paths.iter().map(|_| server.connect()).collect();
            for (client, path) in slow.iter_mut().zip(&paths) {
                client.send(format!("GET /waits?{} HTTP/1.1\r\nHost: a\r\n\r\n", path.display()));
            }
            let begun = |text: &str| text.matches("waiting for").count();
            server.log.find("three running requests", |text| (begun(text) == 3).then_some(()));
            server.log.line("spawned uWSGI worker 3 (pid: ");
            // One goes on while the others are idle: it is not ended.
            for (client, path) in slow.iter_mut().zip(&paths).take(2) {
                std::fs::write(path, "").unwrap();
                assert_eq!(client.response().text(), "waited");
            }
            server.log.line("cheaped.");
            std::fs::write(&paths[2], "").unwrap();
            assert_eq!(slow[2].response().text(), "waited");
            let cheaped = |text: &str| text.matches("cheaped.").count();
            server.log.find("two cheaped workers", |text| (cheaped(text) == 2).then_some(()));
            assert_eq!(server.get("/hello").text(), "hello");
            let idle = status_of_workers(&server).iter().filter(|s| *s != "cheap").count();
            assert_eq!(idle, 1);
            assert!(!server.log.text().contains("DAMN"));
        }
    });
}

#[test]
fn busyness_adds_a_worker_while_the_one_is_busy() {
    for_each_process_mode(|mode| {
        let more = ["--processes", "2", "--cheaper", "1", "--cheaper-algo", "busyness"];
        let more: Vec<&str> = more.iter().chain(&["--cheaper-overload", "1"]).copied().collect();
        let server = Server::http(mode, "all_by_path", &more);
        let directory = scratch();
        let go = directory.path().join("go");
        let mut slow = server.connect();
        slow.send(format!("GET /waits?{} HTTP/1.1\r\nHost: a\r\n\r\n", go.display()));
        server.log.line("spawned uWSGI worker 2 (pid: ");
        assert_eq!(server.get("/hello").text(), "hello");
        std::fs::write(&go, "").unwrap();
        assert_eq!(slow.response().text(), "waited");
    });
}

#[test]
fn starts_with_as_many_as_asked_for() {
    for_each_process_mode(|mode| {
        let more = ["--processes", "4", "--cheaper", "1", "--cheaper-initial", "3"];
        let server = Server::http(mode, "hello", &more);
        let line = server.log.line("uwring is ready");
        assert!(line.contains("3 worker(s)"), "{line}");
    });
}

#[test]
fn as_many_as_there_are_is_an_error() {
    let output = command(&["--http-socket", "127.0.0.1:0", "--processes", "2", "--cheaper", "2"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("invalid cheaper value"), "{text}");
}

#[test]
fn interpreters_all_stay() {
    for_each_mode(|mode| {
        if mode.is_process() {
            return;
        }
        let server = Server::http(mode, "hello", &["--processes", "3", "--cheaper", "1"]);
        server.log.line("cheaper: the workers are interpreters");
        assert!(server.log.line("uwring is ready").contains("3 worker(s)"));
        assert_eq!(server.get("/").text(), "hello");
    });
}

#[test]
fn no_worker_is_added_beyond_the_memory_for_all() {
    for_each_process_mode(|mode| {
        let more = ["--processes", "2", "--cheaper", "1", "--cheaper-overload", "1"];
        let limits = ["--cheaper-rss-limit-soft", "1000000", "--stats", "127.0.0.1:0"];
        let more = [&more[..], &limits].concat();
        let server = Server::http(mode, "all_by_path", &more);
        let directory = scratch();
        let go = directory.path().join("go");
        let mut slow = server.connect();
        slow.send(format!("GET /waits?{} HTTP/1.1\r\nHost: a\r\n\r\n", go.display()));
        server.log.line("waiting for");
        // Three looks of cheaper, of which one would be enough.
        std::thread::sleep(std::time::Duration::from_secs(3));
        assert_eq!(status_of_workers(&server), ["busy", "cheap"]);
        std::fs::write(&go, "").unwrap();
        assert_eq!(slow.response().text(), "waited");
    });
}
