//! When Python collects cycles (`--gc`).

use crate::harness::{Mode, Server, eventually, for_each_mode};

fn server(mode: Mode, more: &[&str]) -> Server {
    Server::http(mode, "collects", more)
}

#[test]
fn what_the_import_made_is_out_of_the_collectors_sight() {
    for_each_mode(|mode| {
        for more in [&[][..], &["--lazy-apps"], &["--gc", "frozen"]] {
            let seen = server(mode, more).get("/").json();
            assert!(seen["frozen"].as_u64().unwrap() > 1000, "{mode} {more:?}: {seen}");
            assert_eq!(seen["enabled"], true);
        }
        let seen = server(mode, &["--gc", "python"]).get("/").json();
        // 3.12 has frozen some hundreds of its own by then, the others none.
        assert!(seen["frozen"].as_u64().unwrap() < 1000, "{mode}: {seen}");
        assert_eq!(seen["enabled"], true);
    });
}

#[test]
fn a_managed_collector_runs_while_idle_and_within_a_bound() {
    for_each_mode(|mode| {
        let server = server(mode, &["--gc", "managed"]);
        let mut client = server.connect();
        assert_eq!(client.get("/").json()["enabled"], false);
        // Each leaves 500 cycles behind; without a collection it would be 200,000.
        let mut most = 0;
        for _ in 0..400 {
            let alive = client.get("/?500").json()["alive"].as_u64().unwrap();
            most = most.max(alive);
        }
        assert!((500..100_000).contains(&most), "{mode}: {most} alive");
        eventually("an idle worker has collected", || {
            client.get("/").json()["alive"].as_u64().unwrap() < 20_000
        });
    });
}

#[test]
fn says_what_the_option_takes() {
    let mut command = crate::harness::server::command(&["--http-socket", "127.0.0.1:0"]);
    command.args(["--gc", "never"]);
    let (code, log) = crate::harness::process::Process::start(command).finish();
    assert_eq!(code, 1);
    assert!(log.contains("gc: expected frozen, managed or python, found \"never\""), "{log}");
}
