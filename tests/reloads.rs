//! What a reload changes and what it leaves, and what it cuts.

use std::path::Path;

use crate::harness::code::Code;
use crate::harness::traffic::Traffic;
use crate::harness::{Client, Mode, Server, app, eventually, for_each_mode, scratch};

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
}

#[test]
fn what_a_reload_cannot_change_is_named() {
    let directory = scratch();
    let ini = directory.path().join("app.ini");
    let path = |name: &str| directory.path().join(name).display().to_string();
    let text = |more: &str| {
        let app = app("hello");
        write(&ini, &format!("[uwsgi]\nmaster = 1\nwsgi-file = {app}\n{more}\n"));
    };
    text(&format!("http-socket = 127.0.0.1:0\npidfile = {}", path("a.pid")));
    let server = Server::start(Mode::ANY, &["--ini", ini.to_str().unwrap()]);
    text(&format!(
        "http-socket = 127.0.0.1:0\npidfile = {}\nuid = nobody\nmaster-fifo = {}",
        path("b.pid"),
        path("fifo")
    ));
    server.signal(libc::SIGHUP);
    for name in ["uid", "pidfile", "master-fifo"] {
        server.log.line(&format!("warning: {name} has changed, and a reload does not change it"));
    }
    server.log.line("a successor serves");
    assert!(!server.log.text().contains("warning: gid"));
    assert_eq!(server.get("/").text(), "hello");
}

#[test]
fn reloads_that_come_faster_than_the_app_loads_end_with_the_last_code() {
    for_each_mode(|mode| {
        let code = Code::new();
        let mut server = code.serve(mode, &["--master", "--processes", "2", "--disable-logging"]);
        let traffic = Traffic::start(&[server.address()], "/");
        // Longer than any patience with a start that a reload would end.
        code.begins("import time\nprint('loading two', flush=True)\ntime.sleep(6)", "two");
        server.signal(libc::SIGHUP);
        server.log.line("loading two");
        code.says("three");
        let starts = |text: &str| text.matches("uwring is ready:").count();
        while starts(&server.log.text()) < 2 {
            server.signal(libc::SIGHUP);
            std::thread::sleep(std::time::Duration::from_millis(500));
        }
        eventually("the last code", || server.get("/").text() == "three");
        let log = server.log.text();
        assert!(!log.contains("is killed") && !log.contains("did not start"), "{log}");
        assert!(starts(&log) <= 4, "all that were asked for meanwhile are one: {log}");
        let outcome = traffic.stop();
        assert_eq!((outcome.failures, outcome.closes), (Vec::new(), 0));
        assert_eq!(server.stop(libc::SIGTERM), 0);
    });
}

#[test]
fn a_start_that_serves_before_the_master_knows_is_not_cut() {
    for_each_mode(|mode| {
        for stops in [false, true] {
            let directory = scratch();
            let path = |name: &str| directory.path().join(name).display().to_string();
            let (pipe, open, go) = (path("pipe"), path("open"), path("go"));
            let code = Code::new();
            let apps = Path::new(&app("all_by_path")).parent().unwrap().display().to_string();
            let text = format!(
                "import os, sys, time\nsys.path.insert(0, {apps:?})\n\
                 from all_by_path import application\n"
            );
            code.write(&text);
            let mut server = code.serve(mode, &["--master", "--master-fifo", &pipe]);
            let old = server.worker_pid();
            code.write(&format!(
                "{text}print('loading', flush=True)\n\
                 while not os.path.exists({open:?}): time.sleep(0.01)\n"
            ));
            write(Path::new(&pipe), "r");
            server.log.line("loading");
            server.signal(libc::SIGSTOP);
            write(Path::new(&open), "");
            let ready = |text: &str| text.matches("uwring is ready:").count();
            server.log.find("the successor", |text| (ready(text) == 2).then_some(()));
            let mut client = server.connect();
            eventually("the successor answers", || {
                client = server.connect();
                client.get("/pid").text() != old.to_string()
            });
            client.send(format!("GET /waits?{go} HTTP/1.1\r\nHost: a\r\n\r\n"));
            server.log.line("waiting for");
            match stops {
                true => server.signal(libc::SIGTERM),
                false => write(Path::new(&pipe), "R"),
            }
            server.signal(libc::SIGCONT);
            server.log.line(if stops { "SIGTERM received" } else { "a successor serves" });
            write(Path::new(&go), "");
            assert_eq!(client.response().text(), "waited", "{mode}");
            assert!(!server.log.text().contains("is killed"), "{}", server.log.text());
            assert_eq!(server.stop(if stops { 0 } else { libc::SIGTERM }), 0);
        }
    });
}

#[test]
fn a_reload_mends_a_server_whose_app_has_taken_all_descriptors() {
    for_each_mode(|mode| {
        let mut server = Server::http(mode, "all_by_path", &["--master", "--max-fd", "300"]);
        let mut client = server.connect();
        let old = client.get("/pid").text().to_owned();
        assert_eq!(client.get("/takes_files").text(), "Too many open files");
        server.signal(libc::SIGHUP);
        server.log.line("a successor serves");
        eventually("its connection has moved", || client.get("/pid").text() != old);
        assert_eq!(server.get("/hello").text(), "hello", "{mode}");
        assert!(!server.log.text().contains("the master is gone"), "{}", server.log.text());
        assert_eq!(server.stop(libc::SIGTERM), 0);
    });
}

#[test]
fn a_brutal_reload_and_a_stop_wait_for_no_start() {
    let directory = scratch();
    let pipe = directory.path().join("pipe");
    let code = Code::new();
    let more = ["--master", "--master-fifo", pipe.to_str().unwrap()];
    let mut server = code.serve(Mode::ANY, &more);
    let hang = || {
        code.begins("import time\nprint('hanging', flush=True)\ntime.sleep(1000)", "never");
        write(&pipe, "r");
    };
    let hung = |text: &str| text.matches("hanging\n").count();
    hang();
    server.log.find("a start", |text| (hung(text) == 1).then_some(()));
    code.says("two");
    write(&pipe, "R");
    server.log.line("is killed, and another one starts");
    eventually("the new code", || server.get("/").text() == "two");
    hang();
    server.log.find("another start", |text| (hung(text) == 2).then_some(()));
    write(&pipe, "r");
    server.log.line("the reload follows");
    let begin = std::time::Instant::now();
    assert_eq!(server.stop(libc::SIGTERM), 0);
    assert!(begin.elapsed() < std::time::Duration::from_secs(10));
}

#[test]
fn a_file_that_was_touched_just_before_a_reload_still_counts() {
    let directory = scratch();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let (watched, made) = (path("watched"), path("made"));
    write(Path::new(&watched), "");
    let deed = format!("{watched} touch {made}");
    let server = Server::http(Mode::ANY, "hello", &["--master", "--touch-exec", &deed]);
    // Right after a look, so that the reload comes before the next one.
    write(Path::new(&watched), "first");
    server.log.line("has been touched");
    write(Path::new(&watched), "second");
    server.signal(libc::SIGHUP);
    server.log.find("a second time", |text| {
        (text.matches("has been touched").count() == 2).then_some(())
    });
}

#[test]
fn letters_of_the_pipe_that_mean_nothing_here_are_explained() {
    let directory = scratch();
    let pipe = directory.path().join("pipe");
    let more = ["--master", "--master-fifo", pipe.to_str().unwrap()];
    let server = Server::http(Mode::ANY, "hello", &more);
    write(&pipe, "1BES");
    server.log.line("master-fifo: '1' does nothing; in uWSGI it chooses one of several pipes");
    server.log.line("'B' does nothing");
    server.log.line("asks the Emperor for help");
    server.log.line("look for vassals");
    server.log.line("subscriptions");
    assert!(!server.log.text().contains("unknown command"));
}

#[test]
fn requests_that_a_reload_or_a_stop_cuts_are_named_and_answered() {
    for_each_mode(|mode| {
        let mut server = Server::http(mode, "all_by_path", &["--master", "--reload-mercy", "1"]);
        let slow = |name: &str| {
            let mut client = server.connect();
            client.send(format!("GET /waits?/nonexistent/{name} HTTP/1.1\r\nHost: a\r\n\r\n"));
            server.log.find(name, |text| text.contains(name).then_some(()));
            client
        };
        let mut first = slow("first");
        server.signal(libc::SIGHUP);
        server.log.line("cut: GET /waits?/nonexistent/first on worker 1 core 0");
        assert_eq!(first.response().status, 503);
        let second = slow("second");
        let mut waiting = server.connect();
        waiting.send("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
        server.signal(libc::SIGTERM);
        server.log.line("requests still run after 1 seconds: leaving");
        server.log.line("cut: GET /waits?/nonexistent/second on worker 1 core 0");
        for mut client in [second, waiting] {
            let answer = client.response();
            assert_eq!(answer.status, 503);
            assert!(answer.closes());
        }
        assert_eq!(server.stop(0), 0);
    });
}

#[test]
fn the_number_of_a_request_is_how_many_were_before_it() {
    for_each_mode(|mode| {
        let server = Server::http(mode, "evaluates", &[]);
        for number in ["0", "1", "2"] {
            assert_eq!(server.get("/?uwsgi.request_id%28%29").text(), number);
        }
    });
}

#[test]
fn a_connection_moves_though_its_client_is_silent() {
    for_each_mode(|mode| {
        let server = Server::http(mode, "all_by_path", &["--master"]);
        let mut idle = server.connect();
        let pid = |client: &mut Client| client.get("/pid").text().parse::<i32>().unwrap();
        let old = pid(&mut idle);
        server.signal(libc::SIGHUP);
        server.log.line("a successor serves");
        // It leaves when its last connection is another's.
        let path = format!("/proc/{old}");
        eventually("the old process leaves", || !Path::new(&path).exists());
        assert_ne!(pid(&mut idle), old);
    });
}
