//! Requests, and answers if they may, that are left to gather while all workers compute: none is
//! lost, and who wants the shard for something else gets it.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use crate::harness::{
    Broken, Mode, Server, eventually, for_each_mode, for_each_process_mode, scratch,
};

fn counted(server: &Server, name: &str) -> u64 {
    server.stats()["shards"][0][name].as_u64().unwrap()
}

fn gathered(server: &Server) -> u64 {
    counted(server, "gathered")
}

/// Lets 12 clients ask for so many seconds' computing each, again and again, and does `meanwhile`
/// when requests have gathered. Returns how many died with a worker.
fn compute(mode: Mode, server: &Server, seconds: &str, meanwhile: impl FnOnce()) -> usize {
    let path = format!("/computes?{seconds}");
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let ask = || {
            let (mut client, mut failed) = (server.connect(), 0);
            while !is_over.load(Relaxed) {
                client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
                match client.try_response() {
                    Ok(response) if response.status == 200 => {
                        assert_eq!(response.text(), "computed", "{mode}");
                        continue;
                    }
                    Ok(response) => assert_eq!(response.status, 502, "{mode}"),
                    // It died in the midst of its own send.
                    Err(Broken::Closed(_) | Broken::Reset) => client = server.connect(),
                    Err(broken) => panic!("{mode}: {broken:?}"),
                }
                failed += 1;
            }
            client.assert_open();
            failed
        };
        let clients: Vec<_> = (0..12).map(|_| scope.spawn(ask)).collect();
        let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| {
            eventually("requests gather", || gathered(server) > 5);
            meanwhile();
        }));
        is_over.store(true, Relaxed);
        let failed = clients.into_iter().map(|client| client.join().unwrap()).sum();
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        failed
    })
}

#[test]
fn files_and_lone_requests_are_served_while_requests_gather() {
    for_each_mode(|mode| {
        let directory = scratch();
        std::fs::write(directory.path().join("file"), "of a file").unwrap();
        let map = format!("/static={}", directory.path().display());
        let args = ["--stats", "127.0.0.1:0", "--static-map", &map, "--disable-logging"];
        let server = Server::http(mode, "all_by_path", &args);
        let failed = compute(mode, &server, "0.001", || {
            let before = gathered(&server);
            let mut client = server.connect();
            for _ in 0..20 {
                assert_eq!(client.get("/static/file").text(), "of a file", "{mode}");
                assert_eq!(server.get("/hello").text(), "hello", "{mode}");
            }
            eventually("they gather again", || gathered(&server) > before);
        });
        assert_eq!((failed, counted(&server, "held")), (0, 0), "{mode}");
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
        for option in ["--disable-logging", "--coalesce-answers"] {
            let args = ["--stats", "127.0.0.1:0", "--master", "--threads", "3", option];
            let server = Server::http(mode, "all_by_path", &args);
            let failed = compute(mode, &server, "0.0005", || {
                server.signal(libc::SIGHUP);
                server.log.line("a successor serves");
                eventually("they gather there too", || gathered(&server) > 5);
            });
            assert_eq!(failed, 0, "{mode} {option}");
        }
    });
}

#[test]
fn answers_wait_for_each_other_if_they_may() {
    for_each_mode(|mode| {
        let args = ["--stats", "127.0.0.1:0", "--coalesce-answers"];
        let server = Server::http(mode, "all_by_path", &args);
        let failed = compute(mode, &server, "0.00005", || {
            eventually("answers wait", || counted(&server, "held") > 200);
            // Who is not of this kind is served between them.
            for _ in 0..20 {
                let pieces = server.get("/large/30000/1000");
                assert_eq!(pieces.body.len(), 30_000, "{mode}");
                let large = server.get("/large/600000/0?length");
                assert_eq!(large.body.len(), 600_000, "{mode}");
                assert_eq!(server.get("/raises").status, 500, "{mode}");
            }
        });
        assert_eq!(failed, 0, "{mode}");
    });
}

#[test]
fn answers_that_wait_outlive_their_worker() {
    for_each_process_mode(|mode| {
        let args = ["--stats", "127.0.0.1:0", "--coalesce-answers", "--master"];
        let server = Server::http(mode, "all_by_path", &args);
        let failed = compute(mode, &server, "0.00005", || {
            for _ in 0..5 {
                let before = counted(&server, "held");
                eventually("answers wait", || counted(&server, "held") > before + 50);
                let pid = server.stats()["workers"][0]["pid"].as_i64().unwrap() as i32;
                uwring::sys::kill(pid, libc::SIGKILL);
                eventually("another worker", || {
                    server.stats()["workers"][0]["pid"].as_i64() != Some(i64::from(pid))
                });
            }
        });
        assert!(failed <= 5, "{mode}: {failed} requests died with 5 workers");
    });
}
