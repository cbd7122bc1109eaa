//! The stats: uWSGI's keys, true values, and those who read them.

use std::io::Read;
use std::process::Command;

use serde_json::Value;

use crate::harness::{Mode, Server, eventually, for_each_mode, scratch, tools};

/// A server with a stats socket, and that socket's address.
fn server(mode: Mode, more: &[&str]) -> (Server, String) {
    let mut args = vec!["--stats", "127.0.0.1:0"];
    args.extend_from_slice(more);
    let server = Server::http(mode, "all_by_path", &args);
    let address = server.stats_address();
    (server, address)
}

fn raw(address: &str) -> String {
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(crate::harness::DEADLINE)).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

fn stats(address: &str) -> Value {
    serde_json::from_str(&raw(address)).unwrap()
}

const SERVER_KEYS: &[&str] = &[
    "version",
    "listen_queue",
    "listen_queue_errors",
    "signal_queue",
    "load",
    "pid",
    "uid",
    "gid",
    "cwd",
    "locks",
    "sockets",
    "workers",
];
const SOCKET_KEYS: &[&str] = &["name", "proto", "queue", "max_queue", "shared", "can_offload"];
const WORKER_KEYS: &[&str] = &[
    "id",
    "pid",
    "accepting",
    "requests",
    "delta_requests",
    "exceptions",
    "harakiri_count",
    "signals",
    "signal_queue",
    "status",
    "rss",
    "vsz",
    "running_time",
    "last_spawn",
    "respawn_count",
    "tx",
    "avg_rt",
    "apps",
    "cores",
];
const APP_KEYS: &[&str] =
    &["id", "modifier1", "mountpoint", "startup_time", "requests", "exceptions", "chdir"];
const CORE_KEYS: &[&str] = &[
    "id",
    "requests",
    "static_requests",
    "routed_requests",
    "offloaded_requests",
    "write_errors",
    "read_errors",
    "in_request",
    "vars",
    "req_info",
];

fn assert_keys(value: &Value, keys: &[&str]) {
    for key in keys {
        assert!(!value[key].is_null(), "{key} is missing in {value}");
    }
}

#[test]
fn has_the_keys_that_readers_of_uwsgi_look_for() {
    for_each_mode(|mode| {
        let (server, address) = server(mode, &["--processes", "2", "--threads", "2"]);
        let stats = stats(&address);
        assert_keys(&stats, SERVER_KEYS);
        assert_keys(&stats["sockets"][0], SOCKET_KEYS);
        let workers = stats["workers"].as_array().unwrap();
        assert_eq!(workers.len(), 2);
        for worker in workers {
            assert_keys(worker, WORKER_KEYS);
            assert_keys(&worker["apps"][0], APP_KEYS);
            assert_eq!(worker["cores"].as_array().unwrap().len(), 2);
            assert_keys(&worker["cores"][1], CORE_KEYS);
        }
        assert_eq!(stats["pid"], server.pid());
        assert_eq!(stats["sockets"][0]["name"], server.address());
    });
}

#[test]
fn counts_what_happened() {
    for_each_mode(|mode| {
        let (server, address) = server(mode, &[]);
        for _ in 0..7 {
            server.get("/hello");
        }
        server.get("/raises/call?x");
        server.log.line("GET /raises/call");
        // The worker counts itself idle a moment after the answer.
        eventually("the worker is idle", || stats(&address)["load"] == 0);
        let stats = stats(&address);
        let worker = &stats["workers"][0];
        assert_eq!(
            (&worker["requests"], &worker["exceptions"]),
            (&8.into(), &1.into()),
            "{worker}"
        );
        assert_eq!((&worker["status"], &worker["accepting"]), (&"idle".into(), &1.into()));
        assert_eq!(worker["cores"][0]["requests"], 8);
        assert_eq!(worker["apps"][0]["requests"], 8);
        assert_eq!(worker["pid"], server.worker_pid());
        assert!(worker["tx"].as_u64().unwrap() > 7 * 100, "{worker}");
        assert!(worker["last_spawn"].as_u64().unwrap() > 1_700_000_000);
    });
}

#[test]
fn shows_a_running_request() {
    for_each_mode(|mode| {
        let (server, address) = server(mode, &[]);
        let directory = scratch();
        let path = directory.path().join("go");
        let mut client = server.connect();
        client.send(format!(
            "GET /waits?{} HTTP/1.1\r\nHost: a\r\nCookie: secret\r\n\r\n",
            path.display()
        ));
        server.log.line("waiting for");
        let text = raw(&address);
        let seen: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&seen["load"], &seen["workers"][0]["status"]), (&1.into(), &"busy".into()));
        assert_eq!(seen["workers"][0]["cores"][0]["in_request"], 1);
        assert!(!text.contains("secret"), "no cookies on an open port");
        std::fs::write(&path, "").unwrap();
        client.response();
        eventually("the worker is idle", || stats(&address)["load"] == 0);
    });
}

#[test]
fn counts_the_lives_of_a_worker() {
    for_each_mode(|mode| {
        if !mode.is_process() {
            return; // An interpreter does not die alone.
        }
        let (server, address) = server(mode, &[]);
        let before = stats(&address)["workers"][0]["respawn_count"].as_u64().unwrap();
        assert_eq!(server.get("/kills_itself").status, 502);
        server.get("/hello");
        let worker = stats(&address)["workers"][0].take();
        assert_eq!(worker["respawn_count"].as_u64().unwrap(), before + 1);
        assert_eq!(worker["pid"], server.worker_pid());
    });
}

#[test]
fn answers_http_when_asked() {
    for_each_mode(|mode| {
        let (_server, address) = server(mode, &["--stats-http"]);
        let response = crate::harness::Client::connect(&address).get("/anything");
        assert_eq!(response.status, 200);
        assert_eq!(response.field("content-type"), Some("application/json"));
        assert_eq!(response.field("access-control-allow-origin"), Some("*"));
        assert_keys(&response.json(), SERVER_KEYS);
    });
}

#[test]
fn leaves_out_spaces_and_cores_when_told_to() {
    let (_server, address) = server(Mode::ANY, &["--stats-minified", "--stats-no-cores"]);
    let text = raw(&address);
    assert!(!text.contains('\n') && !text.contains("\"cores\""), "{text}");
}

#[test]
fn is_not_held_up_by_a_reader_that_says_nothing() {
    for_each_mode(|mode| {
        let (server, address) = server(mode, &["--stats-http"]);
        let _silent = std::net::TcpStream::connect(&address).unwrap();
        assert_eq!(server.get("/hello").text(), "hello");
        let response = crate::harness::Client::connect(&address).get("/");
        assert_eq!(response.status, 200);
    });
}

#[test]
fn uwsgitop_reads_it() {
    let venv = tools::venv();
    for_each_mode(|mode| {
        let (server, address) = server(mode, &["--processes", "2"]);
        server.get("/hello");
        let mut command = Command::new(venv.join("bin/uwsgitop"));
        command.arg(&address);
        let mut screen = crate::harness::process::Process::on_terminal(command);
        let worker = server.worker_pid().to_string();
        screen.log.find("worker", |text| {
            assert!(!text.contains("Traceback"), "{text}");
            (text.contains(&worker) && text.contains("REQ")).then_some(())
        });
        screen.stop(libc::SIGKILL);
    });
}
