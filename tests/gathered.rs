//! Requests that are left to gather while all workers compute: none is lost, and who wants the
//! shard for something else gets it.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use crate::harness::{Mode, Server, eventually, for_each_mode, scratch};

fn gathered(server: &Server) -> u64 {
    server.stats()["shards"][0]["gathered"].as_u64().unwrap()
}

/// Lets 12 clients ask for a millisecond's computing each, again and again, and does `meanwhile`
/// when requests have gathered.
fn compute(mode: Mode, server: &Server, meanwhile: impl FnOnce()) {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let ask = || {
            let mut client = server.connect();
            while !is_over.load(Relaxed) {
                assert_eq!(client.get("/computes?0.001").text(), "computed", "{mode}");
            }
            client.assert_open();
        };
        let clients: Vec<_> = (0..12).map(|_| scope.spawn(ask)).collect();
        let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| {
            eventually("requests gather", || gathered(server) > 5);
            meanwhile();
        }));
        is_over.store(true, Relaxed);
        clients.into_iter().for_each(|client| client.join().unwrap());
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

#[test]
fn files_and_lone_requests_are_served_while_requests_gather() {
    for_each_mode(|mode| {
        let directory = scratch();
        std::fs::write(directory.path().join("file"), "of a file").unwrap();
        let map = format!("/static={}", directory.path().display());
        let args = ["--stats", "127.0.0.1:0", "--static-map", &map, "--disable-logging"];
        let server = Server::http(mode, "all_by_path", &args);
        compute(mode, &server, || {
            let before = gathered(&server);
            let mut client = server.connect();
            for _ in 0..20 {
                assert_eq!(client.get("/static/file").text(), "of a file", "{mode}");
                assert_eq!(server.get("/hello").text(), "hello", "{mode}");
            }
            eventually("they gather again", || gathered(&server) > before);
        });
        let before = gathered(&server);
        for _ in 0..20 {
            assert_eq!(server.get("/hello").text(), "hello", "{mode}");
        }
        // The last wait under load may be counted late.
        assert!(gathered(&server) <= before + 1, "{mode}: nobody waits");
    });
}

#[test]
fn a_reload_meets_no_request_that_gathers() {
    for_each_mode(|mode| {
        let args = ["--stats", "127.0.0.1:0", "--master", "--threads", "3", "--disable-logging"];
        let server = Server::http(mode, "all_by_path", &args);
        compute(mode, &server, || {
            server.signal(libc::SIGHUP);
            server.log.line("a successor serves");
            eventually("they gather there too", || gathered(&server) > 5);
        });
    });
}
