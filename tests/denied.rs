//! System calls that a container's profile refuses: the server goes on without them.

use std::path::Path;
use std::process::Command;

use crate::harness::server::clean;
use crate::harness::{Mode, Server, app, for_each_process_mode, packet, tests_path, tools};

/// The same numbers on all architectures.
const IO_URING: &str = "425,426,427";
const PIDFD_GETFD: &str = "438";

/// A server that may not make these calls.
fn denied(numbers: &str, mode: Mode, more: &[&str]) -> Server {
    let mut command: Command = clean(Path::new(tools::python()));
    command.arg(tests_path("deny.py")).args([numbers, env!("CARGO_BIN_EXE_uwring")]);
    let app = app("all_by_path");
    command.args(["--http-socket", "127.0.0.1:0", "--wsgi-file", &app, "--stats", "127.0.0.1:0"]);
    command.args(["--isolation", mode.isolation]).args(more);
    Server::await_ready(command, mode)
}

fn own_sends(server: &Server) -> u64 {
    server.stats()["shards"][0]["worker_sends"].as_u64().unwrap()
}

#[test]
fn a_worker_process_that_may_fetch_no_connection_leaves_all_answers_to_the_shard() {
    for_each_process_mode(|mode| {
        let more = ["--io", mode.io, "--shards", "1", "--socket", "127.0.0.1:0"];
        let server = denied(PIDFD_GETFD, mode, &more);
        let mut client = server.connect();
        for _ in 0..50 {
            assert_eq!(client.get("/hello").text(), "hello", "{mode}");
            assert_eq!(packet::get(&server, "/hello").text(), "hello", "{mode}");
        }
        client.assert_open();
        assert_eq!(own_sends(&server), 0, "{mode}");
    });
}

#[test]
fn without_io_uring_the_shards_take_epoll() {
    let server = denied(IO_URING, Mode::ANY, &[]);
    assert_eq!(server.get("/hello").text(), "hello");
    let line = server.log.line("io: epoll, because io_uring was refused");
    assert!(line.contains("seccomp profile"), "{line}");
}
