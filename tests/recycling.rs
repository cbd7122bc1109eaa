//! Workers that are replaced for what they have served, their age or their memory.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use crate::harness::{
    Client, Server, eventually, for_each_mode, for_each_process_mode, full, scratch,
};

fn gone(text: &str) -> usize {
    text.matches("is done. Seeya!").count()
}

#[test]
fn recycling_under_load_fails_no_request() {
    for_each_process_mode(|mode| {
        let wanted = if full() { 204 } else { 24 };
        for threads in ["1", "3"] {
            let limits = ["--max-requests", "150", "--min-worker-lifetime", "0"];
            let more = ["--processes", "2", "--threads", threads];
            let more: Vec<&str> = limits.iter().chain(&more).copied().collect();
            let server = Server::http(mode, "all_by_path", &more);
            let (stop, served) = (AtomicBool::new(false), AtomicUsize::new(0));
            std::thread::scope(|scope| {
                for number in 0..6 {
                    let (server, stop, served) = (&server, &stop, &served);
                    scope.spawn(move || {
                        let mut kept = server.connect();
                        while !stop.load(SeqCst) {
                            match number {
                                // A new connection each, kept ones, and ones that take a while.
                                0 => assert_eq!(server.get("/hello").text(), "hello"),
                                1 => assert_eq!(kept.get("/stuck/naps").text(), "done"),
                                _ => assert_eq!(kept.get("/hello").text(), "hello"),
                            }
                            served.fetch_add(1, SeqCst);
                        }
                    });
                }
                let leave = Leave(&stop);
                // Every fourth has a deadline of its own: the machine may be busy.
                for count in (4..=wanted).step_by(4) {
                    server.log.find("four more", |text| (gone(text) >= count).then_some(()));
                }
                drop(leave);
            });
            let text = server.log.text();
            assert!(!text.contains("DAMN"), "{text}");
            assert!(!text.contains("NO MERCY"), "{text}");
            assert!(served.load(SeqCst) >= wanted * 100, "{}", served.load(SeqCst));
        }
    });
}

/// Lets the clients end, also when the test fails.
struct Leave<'s>(&'s AtomicBool);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

#[test]
fn a_slow_request_is_finished_by_the_worker_that_leaves() {
    for_each_process_mode(|mode| {
        let limits = ["--max-requests", "5", "--min-worker-lifetime", "0", "--threads", "2"];
        let server = Server::http(mode, "all_by_path", &limits);
        let directory = scratch();
        let go = directory.path().join("go");
        let pid = server.worker_pid();
        let mut slow = server.connect();
        slow.send(format!("GET /waits?{} HTTP/1.1\r\nHost: a\r\n\r\n", go.display()));
        server.log.line("waiting for");
        eventually("a successor", || server.worker_pid() != pid);
        server.log.line(&format!("...The work of process {pid} is done. Seeya!"));
        std::fs::write(&go, "").unwrap();
        assert_eq!(slow.response().text(), "waited");
        server.log.line(&format!("worker 1 killed successfully (pid: {pid})"));
    });
}

#[test]
fn a_worker_that_does_not_leave_meets_no_mercy() {
    for_each_process_mode(|mode| {
        let limits = ["--max-requests", "3", "--min-worker-lifetime", "0", "--threads", "2"];
        let more: Vec<&str> =
            limits.iter().chain(&["--worker-reload-mercy", "1"]).copied().collect();
        let server = Server::http(mode, "all_by_path", &more);
        let mut stuck = server.connect();
        stuck.send("GET /stuck/spins?/nonexistent/never HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut client = server.connect();
        (0..5).for_each(|_| Client::assert_open(&mut client));
        server.log.line("is taking too much time to die...NO MERCY !!!");
        assert_eq!(stuck.response().status, 502);
        client.assert_open();
    });
}

#[test]
fn the_delta_spreads_the_workers() {
    for_each_process_mode(|mode| {
        let limits = ["--max-requests", "20", "--max-requests-delta", "1000000"];
        let more = ["--min-worker-lifetime", "0", "--processes", "2", "--shards", "1"];
        let more: Vec<&str> = limits.iter().chain(&more).copied().collect();
        let server = Server::http(mode, "all_by_path", &more);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut client = server.connect();
                    (0..300).for_each(|_| client.assert_open());
                });
            }
        });
        server.log.line("Respawned uWSGI worker 1");
        assert!(!server.log.text().contains("Respawned uWSGI worker 2"));
    });
}

#[test]
fn a_lifetime_that_is_reached() {
    for_each_process_mode(|mode| {
        let limits = ["--max-worker-lifetime", "1", "--min-worker-lifetime", "0"];
        let server = Server::http(mode, "all_by_path", &limits);
        server.log.line("worker 1 lifetime reached, it was running for 1 second(s)");
        server.log.line("Respawned uWSGI worker 1");
        server.log.line("worker 1 killed successfully");
        assert_eq!(server.get("/hello").text(), "hello");
    });
}

#[test]
fn a_worker_that_grows_is_replaced() {
    for_each_process_mode(|mode| {
        let limits = ["--reload-on-rss", "150", "--min-worker-lifetime", "0"];
        let server = Server::http(mode, "all_by_path", &limits);
        let pid = server.worker_pid();
        let mut client = server.connect();
        assert_eq!(client.get("/grows?200").text(), "200 more");
        eventually("a successor", || server.worker_pid() != pid);
        server.log.line("MiB of resident memory");
        client.assert_open();
        // The evil form does not wait for the end of the request.
        let server = Server::http(mode, "all_by_path", &["--evil-reload-on-rss", "150"]);
        assert!([200, 502].contains(&server.get("/grows?200").status));
        server.log.line("*** EVIL RELOAD ON WORKER 1 RSS: ");
        server.log.line("Respawned uWSGI worker 1");
        assert_eq!(server.get("/hello").text(), "hello");
    });
}

#[test]
fn address_space_has_limits_too() {
    for_each_process_mode(|mode| {
        for (option, line) in [
            ("--reload-on-as", "MiB of address space"),
            ("--evil-reload-on-as", "*** EVIL RELOAD ON WORKER 1 ADDRESS SPACE: "),
        ] {
            let limits = [option, "1500", "--min-worker-lifetime", "0"];
            let server = Server::http(mode, "all_by_path", &limits);
            let pid = server.worker_pid();
            assert!([200, 502].contains(&server.get("/grows?1500").status));
            server.log.line(line);
            eventually("a successor", || server.worker_pid() != pid);
        }
    });
}

#[test]
fn the_delta_of_a_lifetime_spreads_the_workers() {
    for_each_process_mode(|mode| {
        let limits = ["--max-worker-lifetime", "1", "--min-worker-lifetime", "0"];
        let delta = ["--max-worker-lifetime-delta", "1000000", "--processes", "2"];
        let server = Server::http(mode, "all_by_path", &[&limits[..], &delta].concat());
        let twice = |text: &str| text.matches("Respawned uWSGI worker 1").count() == 2;
        server.log.find("a second life", |text| twice(text).then_some(()));
        assert!(!server.log.text().contains("worker 2 lifetime reached"));
    });
}

#[test]
fn a_limit_of_address_space_is_the_apps_memory_error() {
    for_each_process_mode(|mode| {
        let server = Server::http(mode, "all_by_path", &["--limit-as", "400"]);
        assert_eq!(server.get("/grows?20").text(), "20 more");
        assert_eq!(server.get("/grows?600").status, 500);
        server.log.line("MemoryError");
        assert_eq!(server.get("/hello").text(), "hello");
    });
}

#[test]
fn interpreters_are_recycled_with_their_server_process() {
    for_each_mode(|mode| {
        if mode.is_process() {
            return;
        }
        let limits = ["--max-requests", "5", "--min-worker-lifetime", "0"];
        let more: Vec<&str> = limits.iter().chain(&["--master"]).copied().collect();
        let server = Server::http(mode, "all_by_path", &more);
        let mut client = server.connect();
        (0..10).for_each(|_| client.assert_open());
        server.log.line("requests served: a new server process is to take over");
        let ready = |text: &str| text.matches("uwring is ready").count();
        server.log.find("a successor", |text| (ready(text) >= 2).then_some(()));
        client.assert_open();
        // Nobody to ask.
        let server = Server::http(mode, "all_by_path", &limits);
        (0..10).for_each(|_| assert_eq!(server.get("/hello").text(), "hello"));
        server.log.line("with --master a new server process would take over");
    });
}

#[test]
fn a_monitored_exception_replaces_the_worker() {
    for_each_process_mode(|mode| {
        let watched: [&[&str]; 3] = [
            &["--reload-on-exception"],
            &["--reload-on-exception-type", "ValueError"],
            &["--reload-on-exception-repr", "ValueError('watched')"],
        ];
        for more in watched {
            let server = Server::http(mode, "raises_value", more);
            let pid = server.worker_pid();
            if more.len() > 1 {
                assert_eq!(server.get("/KeyError").status, 500);
                assert_eq!(server.worker_pid(), pid);
            }
            assert_eq!(server.get("/ValueError").status, 500);
            let line = format!("monitored exception detected, respawning worker 1 (pid: {pid})...");
            server.log.line(&line);
            eventually("a successor", || server.worker_pid() != pid);
        }
    });
}
