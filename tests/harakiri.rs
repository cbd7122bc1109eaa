//! Requests that take too long: what the client, the log and the others see of it.

use std::path::Path;

use crate::harness::{Client, Mode, Server, for_each_mode, for_each_process_mode, scratch};

fn stuck(way: &str, path: &Path) -> String {
    format!("GET /stuck/{way}?{} HTTP/1.1\r\nHost: a\r\n\r\n", path.display())
}

/// A file that never comes to be.
fn never() -> &'static Path {
    Path::new("/nonexistent/never")
}

/// A FIFO that nobody opens: who reads it waits in the kernel.
fn fifo_in(directory: &Path) -> std::path::PathBuf {
    let fifo = directory.join("fifo");
    let name = std::ffi::CString::new(fifo.to_str().unwrap()).unwrap();
    let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::from_raw_mode(0o600));
    rustix::fs::mknodat(rustix::fs::CWD, name.as_c_str(), kind, mode, 0).unwrap();
    fifo
}

fn for_each_interpreter_mode(test: impl Fn(Mode)) {
    for_each_mode(|mode| {
        if !mode.is_process() {
            test(mode)
        }
    });
}

#[test]
fn a_request_beyond_its_limit_gets_504_and_its_connection_lives_on() {
    for_each_mode(|mode| {
        let limits = ["--processes", "2", "--harakiri", "1", "--harakiri-verbose"];
        let server = Server::http(mode, "all_by_path", &limits);
        let mut other = server.connect();
        let mut client = server.connect();
        client.send(stuck("spins", never()));
        other.assert_open();
        let response = client.response();
        assert_eq!(response.status, 504, "{response:?}");
        assert!(!response.closes(), "{response:?}");
        let log = &server.log;
        log.line("*** HARAKIRI ON WORKER ");
        let line = log.line("HARAKIRI [core 0] 127.0.0.1 - GET /stuck/spins?/nonexistent/never");
        assert!(line.contains(" since "), "{line}");
        // The Python stack.
        // Python writes it in pieces, between which other lines may come.
        log.line(" in spins");
        log.line("stuck.py\"");
        if mode.is_process() {
            log.line("died, killed by signal 9");
            log.line("Respawned uWSGI worker");
        } else {
            log.line("uwsgi.Harakiri");
            log.line("is back after");
        }
        for _ in 0..20 {
            assert_eq!(client.get("/hello").text(), "hello");
            other.assert_open();
        }
    });
}

#[test]
fn many_short_requests_are_not_one_long_one() {
    for_each_mode(|mode| {
        let server = Server::http(mode, "all_by_path", &["--harakiri", "1"]);
        let begin = std::time::Instant::now();
        let mut client = server.connect();
        // There is a request at nearly every moment.
        while begin.elapsed().as_millis() < 2600 {
            assert_eq!(client.get("/stuck/naps").text(), "done");
        }
        assert!(!server.log.text().contains("HARAKIRI"));
    });
}

#[test]
fn a_response_that_has_begun_is_cut() {
    for_each_mode(|mode| {
        let server = Server::http(mode, "all_by_path", &["--harakiri", "1"]);
        let mut client = server.connect();
        client.send(stuck("begins", never()));
        assert!(client.try_response().is_err(), "the client sees that it is not whole");
        server.log.line("*** HARAKIRI ON WORKER 1");
        assert_eq!(server.get("/hello").text(), "hello");
    });
}

#[test]
fn a_limit_of_the_apps_own() {
    for_each_mode(|mode| {
        let server = Server::http(mode, "all_by_path", &["--processes", "2"]);
        assert_eq!(server.get("/limits_itself?lifted").text(), "done");
        assert_eq!(server.get("/limits_itself?decorated").text(), "done");
        assert!(!server.log.text().contains("HARAKIRI"));
        assert_eq!(server.get("/limits_itself?kept").status, 504);
        server.log.line("as the app asked by set_user_harakiri");
    });
}

#[test]
fn other_threads_of_the_worker_finish_first() {
    for_each_process_mode(|mode| {
        let limits = ["--threads", "2", "--harakiri", "2"];
        let server = Server::http(mode, "all_by_path", &limits);
        let directory = scratch();
        let go = directory.path().join("go");
        let mut late = server.connect();
        late.send(stuck("spins", never()));
        // Half of its time later: it is not late when the other is.
        std::thread::sleep(std::time::Duration::from_millis(1200));
        let mut slow = server.connect();
        slow.send(format!("GET /waits?{} HTTP/1.1\r\nHost: a\r\n\r\n", go.display()));
        assert_eq!(late.response().status, 504);
        std::fs::write(&go, "").unwrap();
        assert_eq!(slow.response().text(), "waited");
        server.log.line("died, killed by signal 9");
        assert_eq!(server.get("/hello").text(), "hello");
        let respawns = server.log.text().matches("Respawned uWSGI worker").count();
        assert_eq!(respawns, 1);
    });
}

#[test]
fn a_worker_may_be_asked_first() {
    for_each_process_mode(|mode| {
        let limits =
            ["--harakiri", "1", "--harakiri-graceful-timeout", "8", "--harakiri-graceful-signal"];
        let signal = libc::SIGUSR2.to_string();
        let more: Vec<&str> = limits.iter().copied().chain([signal.as_str()]).collect();
        let server = Server::http(mode, "ends_when_asked", &more);
        assert_eq!(server.get("/spins").status, 504);
        server.log.line("HARAKIRI: graceful termination attempt on worker 1");
        server.log.line("asked by signal");
        server.log.line("Respawned uWSGI worker 1");
        assert_eq!(server.get("/").text(), "hello");
        assert!(!server.log.text().contains("killed by signal 9"));
    });
}

#[test]
fn an_app_that_swallows_the_exception_gets_another() {
    for_each_interpreter_mode(|mode| {
        let server = Server::http(mode, "all_by_path", &["--harakiri", "1"]);
        let mut client = server.connect();
        client.send(stuck("swallows", never()));
        assert_eq!(client.response().status, 504);
        let swallowed = |text: &str| text.matches("swallowed Harakiri").count();
        server.log.find("two exceptions", |text| (swallowed(text) == 2).then_some(()));
        assert_eq!(client.get("/hello").text(), "hello");
    });
}

#[test]
fn a_stop_does_not_wait_for_a_request_that_was_answered_with_504() {
    for_each_mode(|mode| {
        let limits = ["--harakiri", "1", "--reload-mercy", "30"];
        let mut server = Server::http(mode, "all_by_path", &limits);
        let mut client = server.connect();
        client.send(stuck("swallows", never()));
        assert_eq!(client.response().status, 504);
        if !mode.is_process() {
            server.log.line("swallowed Harakiri");
        }
        assert_eq!(server.stop(libc::SIGTERM), 0);
        // A worker process was killed for the request, if not before then at the stop.
        let left = server.log.text().contains("answered with 504: leaving without it");
        assert!(left || mode.is_process(), "{}", server.log.text());
        assert!(!server.log.text().contains("requests still run"), "{}", server.log.text());
    });
}

#[test]
fn what_tells_of_an_interrupted_request_is_not_interrupted() {
    for_each_interpreter_mode(|mode| {
        let server = Server::http(mode, "all_by_path", &["--harakiri", "1"]);
        let mut client = server.connect();
        client.send("GET /tells_slowly HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.response().status, 504);
        server.log.line("is back after");
        server.log.line("tells_slowly.Told: told at last");
        let log = server.log.text();
        assert!(log.contains("in application"), "{log}");
        assert_eq!(client.get("/hello").text(), "hello");
    });
}

#[test]
fn an_exception_that_finds_no_bytecode_meets_no_other_request() {
    for_each_interpreter_mode(|mode| {
        let server = Server::http(mode, "all_by_path", &["--harakiri", "1"]);
        let mut client = server.connect();
        client.send(stuck("c_iterator", never()));
        assert_eq!(client.response().status, 504);
        for _ in 0..20 {
            assert_eq!(client.get("/hello").text(), "hello");
        }
        assert!(!server.log.text().contains("uwsgi.Harakiri"));
    });
}

#[test]
fn a_thread_that_stays_in_c_code_is_given_up_and_taken_back() {
    for_each_interpreter_mode(|mode| {
        let limits = ["--processes", "2", "--harakiri", "1", "--harakiri-verbose"];
        let server = Server::http(mode, "all_by_path", &limits);
        let directory = scratch();
        let fifo = fifo_in(directory.path());
        let mut client = server.connect();
        client.send(stuck("sleeps_in_c", &fifo));
        assert_eq!(client.response().status, 504);
        server.log.line(" in sleeps_in_c");
        server.log.line("does not come back to Python");
        // The other worker serves.
        assert_eq!(client.get("/hello").text(), "hello");
        drop(std::fs::OpenOptions::new().write(true).open(&fifo).unwrap());
        server.log.line("is back after");
        (0..20).for_each(|_| Client::assert_open(&mut client));
    });
}

#[test]
fn what_waits_behind_a_thread_that_never_comes_back_goes_to_a_successor() {
    for_each_interpreter_mode(|mode| {
        let server = Server::http(mode, "all_by_path", &["--master", "--harakiri", "1"]);
        let directory = scratch();
        let mut stuck_one = server.connect();
        stuck_one.send(stuck("sleeps_in_c", &fifo_in(directory.path())));
        // One after the other, so that each finds the worker taken.
        let mut others: Vec<_> = (0..4).map(|_| server.connect()).collect();
        for (index, other) in others.iter_mut().enumerate() {
            match index {
                0 => other
                    .send("POST /reads/read HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody"),
                // The second of two is answered by the successor as well.
                1 => other.send("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n".repeat(2)),
                _ => other.send("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"),
            }
        }
        assert_eq!(stuck_one.response().status, 504);
        assert!(others[0].response().text().starts_with("4 "), "the body came along");
        assert_eq!(others[1].response().text(), "hello");
        for other in &mut others[1..] {
            assert_eq!(other.response().text(), "hello");
        }
        server.log.line("is stuck: a new server process is to take over");
        others.iter_mut().for_each(Client::assert_open);
    });
}

#[test]
fn a_late_request_may_go_on_while_few_wait() {
    for_each_mode(|mode| {
        let more = ["--harakiri", "1", "--harakiri-queue-threshold", "2"];
        let server = Server::http(mode, "all_by_path", &more);
        let mut late = server.connect();
        late.send(stuck("spins", never()));
        std::thread::sleep(std::time::Duration::from_millis(2000));
        assert!(!server.log.text().contains("HARAKIRI") && !late.has_answer());
        let mut waiting: Vec<Client> = (0..4).map(|_| server.connect()).collect();
        waiting.iter_mut().for_each(|c| c.send("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(late.response().status, 504);
        assert!(waiting.iter_mut().all(|client| client.response().text() == "hello"));
    });
}

#[test]
fn counts_in_the_stats() {
    for_each_process_mode(|mode| {
        let more = ["--harakiri", "1", "--stats", "127.0.0.1:0", "--processes", "1"];
        let server = Server::http(mode, "all_by_path", &more);
        let mut client = server.connect();
        client.send(stuck("spins", never()));
        assert_eq!(client.response().status, 504);
        server.log.line("Respawned uWSGI worker 1");
        assert_eq!(server.stats()["workers"][0]["harakiri_count"], 1);
    });
}
