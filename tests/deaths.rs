//! Starts that fail while something serves, and processes that die again and again.

use std::path::PathBuf;

use crate::harness::code::Code;
use crate::harness::process::Process;
use crate::harness::server::command;
use crate::harness::{
    Client, Mode, Server, eventually, for_each_mode, for_each_process_mode, scratch,
};

fn times(server: &Server, part: &str) -> usize {
    server.log.text().matches(part).count()
}

#[test]
fn a_successor_that_hangs_is_ended_by_the_next_reload() {
    for_each_mode(|mode| {
        let code = Code::new();
        let server = code.serve(mode, &["--master", "--start-timeout", "5"]);
        assert_eq!(server.get("/").text(), "one");
        code.begins("print('hanging', flush=True)\nimport time\ntime.sleep(1000)", "never");
        server.signal(libc::SIGHUP);
        server.log.line("hanging");
        code.says("two");
        server.signal(libc::SIGHUP);
        server.log.line("reload: a server process (pid: ");
        assert_eq!(server.get("/").text(), "one", "the old one goes on");
        server.log.line("is killed, and another one starts");
        eventually("the new code", || server.get("/").text() == "two");
        // And the way is free for the next one.
        code.says("three");
        server.signal(libc::SIGHUP);
        eventually("the newest code", || server.get("/").text() == "three");
    });
}

#[test]
fn a_first_start_that_hangs_is_ended_by_a_reload() {
    let code = Code::new();
    code.begins("print('hanging', flush=True)\nimport time\ntime.sleep(1000)", "never");
    let path = code.path();
    let mut command = command(&["--http-socket", "127.0.0.1:0", "--wsgi-file", &path, "--master"]);
    command.args(["--isolation", "process", "--io", "epoll", "--start-timeout", "2"]);
    let mut process = Process::start(command);
    process.log.line("hanging");
    code.says("two");
    process.signal(libc::SIGHUP);
    process.log.line("is killed, and another one starts");
    process.log.line("uwring is ready:");
    assert_eq!(process.stop(libc::SIGTERM), 0);
}

#[test]
fn a_recycled_worker_stays_while_the_code_cannot_be_loaded() {
    for_each_process_mode(|mode| {
        let code = Code::new();
        let limits = ["--max-requests", "5", "--min-worker-lifetime", "0", "--lazy-apps"];
        let server = code.serve(mode, &limits);
        code.write("raise RuntimeError('half written')\n");
        let mut client = server.connect();
        (0..10).for_each(|_| assert_eq!(client.get("/").text(), "one"));
        server.log.line("RuntimeError: half written");
        server.log.line("the successor of worker 1 (pid: ");
        (0..10).for_each(|_| assert_eq!(client.get("/").text(), "one"));
        assert_eq!(times(&server, "Seeya"), 0);
        assert_eq!(times(&server, "trying respawn"), 0, "nobody is missing");
    });
}

#[test]
fn a_worker_that_dies_is_followed_by_one_that_has_the_app() {
    for_each_process_mode(|mode| {
        let code = Code::new();
        let server = code.serve(mode, &["--processes", "2", "--lazy-apps"]);
        code.write("raise RuntimeError('half written')\n");
        let first = server.log.line("spawned uWSGI worker 1 (pid: ");
        let pid = first.split("pid: ").nth(1).unwrap().split(',').next().unwrap();
        uwring::sys::kill(pid.parse().unwrap(), libc::SIGKILL);
        server.log.line("died, killed by signal 9 :( trying respawn");
        server.log.line("died, exit code 22 :( trying respawn in ");
        assert_eq!(server.get("/").text(), "one", "the other worker");
        server.log.line("died, exit code 22 :( trying respawn in 4 s ...");
        (0..20).for_each(|_| assert_eq!(server.get("/").text(), "one"));
        code.says("two");
        let ready = |text: &str| text.matches("WSGI app 0 (mountpoint='') ready").count() == 3;
        server.log.find("a third load", |text| ready(text).then_some(()));
        eventually("both serve", || server.get("/").text() == "two");
    });
}

#[test]
fn a_worker_that_dies_after_a_long_import_is_tried_less_and_less_often() {
    let code = Code::new();
    let server = code.serve(Mode::ANY, &["--lazy-apps", "--processes", "2"]);
    code.begins("import os, time\ntime.sleep(2.2)\nos._exit(3)", "never");
    let first = server.log.line("spawned uWSGI worker 2 (pid: ");
    let pid = first.split("pid: ").nth(1).unwrap().split(',').next().unwrap();
    uwring::sys::kill(pid.parse().unwrap(), libc::SIGKILL);
    server.log.line("died, exit code 3 :( trying respawn in 4 s ...");
    assert_eq!(server.get("/").text(), "one");
}

#[test]
fn a_server_process_that_dies_soon_after_it_is_ready_is_tried_less_and_less_often() {
    for_each_mode(|mode| {
        if mode.is_process() {
            return;
        }
        let code = Code::new();
        let server = code.serve(mode, &["--master"]);
        code.begins("import os, threading\nthreading.Timer(0.5, os._exit, [9]).start()", "two");
        let path = format!("/proc/{0}/task/{0}/children", server.pid());
        let pid: i32 = std::fs::read_to_string(path).unwrap().trim().parse().unwrap();
        uwring::sys::kill(pid, libc::SIGKILL);
        server.log.line("exit code 9 :( trying respawn in 4 s, since it served 0");
        assert!(times(&server, "uwring is ready:") >= 2);
    });
}

#[test]
fn a_worker_that_ends_itself_is_told_of_with_its_request() {
    for_each_process_mode(|mode| {
        let server = Server::http(mode, "all_by_path", &[]);
        assert_eq!(server.get("/kills_itself?exit").status, 502);
        server.log.line("DAMN ! worker 1 (pid: ");
        server.log.line("died, exit code 3 :( trying respawn ...");
        server.log.line("it ran GET /kills_itself?exit on worker 1 core 0");
        assert_eq!(server.get("/hello").text(), "hello");
    });
}

#[test]
fn an_app_that_ends_the_process_at_import_says_why_nothing_serves() {
    for (exit, code) in [("0", 1), ("7", 7)] {
        for_each_mode(|mode| {
            for master in [true, false] {
                let app = Code::new();
                app.begins(&format!("import os\nos._exit({exit})"), "never");
                let mut command = command(&["--http-socket", "127.0.0.1:0"]);
                command.args(["--wsgi-file", &app.path(), "--isolation", mode.isolation]);
                command.args(["--io", mode.io]).args(master.then_some("--master"));
                let (got, log) = Process::start(command).finish();
                // The process that held the app is not the one that was started.
                assert_eq!(got, if mode.is_process() { 1 } else { code }, "{log}");
                let reason = match mode.is_process() {
                    true => format!("ended before it was ready (exit code {exit})"),
                    false => format!("os._exit({exit}) at {}:2 ends the whole process", app.path()),
                };
                assert!(log.contains(&reason), "{log}");
                let told = format!("ended while it started (exit code {got})");
                assert_eq!(log.contains(&told), master, "{log}");
            }
        });
    }
}

#[test]
fn a_spawner_that_dies_costs_no_waiting_request_and_no_connection() {
    for_each_process_mode(|mode| {
        let server = Server::http(mode, "all_by_path", &["--master"]);
        let mut idle = server.connect();
        idle.assert_open();
        let worker = server.worker_pid();
        let status = std::fs::read_to_string(format!("/proc/{worker}/status")).unwrap();
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap();
        let spawner = rustix::process::Pid::from_raw(parent.trim().parse().unwrap()).unwrap();
        rustix::process::kill_process(spawner, rustix::process::Signal::KILL).unwrap();
        server.log.line("the spawner died, and the workers with it: a new server process");
        // What it ran until then would get a 502.
        eventually("the worker is gone", || {
            !std::path::Path::new(&format!("/proc/{worker}/fd/0")).exists()
        });
        assert_eq!(server.get("/hello").text(), "hello");
        idle.assert_open();
        server.log.line("a successor serves");
        assert!(!server.log.text().contains("server process died"), "it was replaced");
    });
}

/// What a server with one thread has at a moment, while that thread runs a request.
struct Crowd {
    /// The request that runs ends once `go` is there.
    running: Client,
    go: PathBuf,
    _directory: tempfile::TempDir,
    /// One has never asked for anything.
    idle: Vec<Client>,
    waiting: Vec<Client>,
}

impl Crowd {
    /// The first request that waits is a GET of `next`.
    fn of(server: &Server, next: &str) -> (Crowd, Client) {
        let directory = scratch();
        let go = directory.path().join("go");
        let mut idle = vec![server.connect(), server.connect()];
        assert_eq!(idle[0].get("/hello").text(), "hello");
        let mut running = server.connect();
        running.send(format!("GET /waits?{} HTTP/1.1\r\nHost: a\r\n\r\n", go.display()));
        server.log.line("waiting for ");
        let mut first = server.connect();
        first.send(format!("GET {next} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let open = || server.stats()["shards"][0]["connections"].as_u64().unwrap();
        eventually("it is here", || open() == 4);
        let mut waiting: Vec<_> = (0..4).map(|_| server.connect()).collect();
        waiting[0].send("POST /describe/0 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
        for (number, client) in waiting.iter_mut().enumerate().skip(1) {
            client.send(format!("GET /describe/{number} HTTP/1.1\r\nHost: a\r\n\r\n"));
        }
        eventually("all are here", || open() == 8);
        (Crowd { running, go, _directory: directory, idle, waiting }, first)
    }

    /// All but what ran are served, by whoever came after the crash.
    fn assert_saved(self) {
        for (number, mut client) in self.waiting.into_iter().enumerate() {
            let got = client.response().json();
            assert_eq!(got["environ"]["PATH_INFO"], format!("/describe/{number}"));
            assert_eq!(got["body"], if number == 0 { "abc" } else { "" });
            assert_eq!(client.get("/hello").text(), "hello", "its connection goes on");
        }
        for mut client in self.idle {
            assert_eq!(client.get("/hello").text(), "hello");
        }
    }
}

#[test]
fn a_crash_of_the_server_process_costs_only_what_ran() {
    for_each_mode(|mode| {
        let server = Server::http(mode, "all_by_path", &["--master", "--stats", "127.0.0.1:0"]);
        let (mut crowd, mut first) = Crowd::of(&server, "/hello");
        let path = format!("/proc/{0}/task/{0}/children", server.pid());
        let pid: i32 = std::fs::read_to_string(path).unwrap().trim().parse().unwrap();
        uwring::sys::kill(pid, libc::SIGSEGV);
        assert!(crowd.running.try_response().is_err(), "its request ran");
        server.log.line("connection(s) are kept for the next process");
        assert_eq!(first.response().text(), "hello");
        crowd.assert_saved();
    });
}

#[test]
fn a_request_that_crashes_an_interpreter_costs_no_other_connection() {
    for_each_mode(|mode| {
        if mode.is_process() {
            return;
        }
        let server = Server::http(mode, "all_by_path", &["--master", "--stats", "127.0.0.1:0"]);
        let (mut crowd, mut first) = Crowd::of(&server, "/segfaults");
        std::fs::write(&crowd.go, "").unwrap();
        assert_eq!(crowd.running.response().text(), "waited");
        assert!(first.try_response().is_err(), "it crashed");
        server.log.line("!!! it ran GET /segfaults on worker 1 core 0 !!!");
        crowd.assert_saved();
    });
}
