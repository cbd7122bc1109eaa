//! How a server ends, and what it leaves behind.

use std::os::unix::fs::{FileTypeExt, PermissionsExt};

use crate::harness::process::Process;
use crate::harness::server::command;
use crate::harness::{Server, app, eventually, for_each_mode, scratch};

#[test]
fn every_stopping_signal_finishes_the_requests_in_flight() {
    for_each_mode(|mode| {
        for (signal, name) in [
            (libc::SIGTERM, "SIGTERM"),
            (libc::SIGINT, "SIGINT"),
            (libc::SIGQUIT, "SIGQUIT"),
            (libc::SIGHUP, "SIGHUP"),
        ] {
            // One shard: that it ends the idle connection tells that it has heard of the stop.
            let more = ["--processes", "2", "--shards", "1"];
            let mut server = Server::http(mode, "all_by_path", &more);
            let directory = scratch();
            let path = directory.path().join("go");
            let mut client = server.connect();
            let mut idle = server.connect();
            idle.assert_open();
            client.send(format!("GET /waits?{} HTTP/1.1\r\nHost: a\r\n\r\n", path.display()));
            server.log.line(&format!("waiting for {}", path.display()));
            server.signal(signal);
            server.log.line(&format!("{name} received"));
            // The idle connection ends at once, the busy one after its answer.
            idle.assert_closed();
            std::fs::write(&path, "").unwrap();
            let response = client.response();
            assert_eq!(response.text(), "waited", "{name}");
            assert!(response.closes(), "{name}");
            client.assert_closed();
            assert_eq!(server.stop(0), 0, "{name}");
            server.log.line("goodbye to uwring.");
        }
    });
}

#[test]
fn accepts_no_connection_while_it_stops() {
    for_each_mode(|mode| {
        let mut server = Server::http(mode, "all_by_path", &[]);
        let directory = scratch();
        let path = directory.path().join("go");
        let mut client = server.connect();
        client.send(format!("GET /waits?{} HTTP/1.1\r\nHost: a\r\n\r\n", path.display()));
        server.log.line("waiting for");
        server.signal(libc::SIGTERM);
        server.log.line("SIGTERM received");
        eventually("the listener is closed", || {
            std::net::TcpStream::connect(server.address()).is_err()
        });
        std::fs::write(&path, "").unwrap();
        assert_eq!(client.response().text(), "waited");
        assert_eq!(server.stop(0), 0);
    });
}

#[test]
fn a_second_interrupt_leaves_at_once() {
    for_each_mode(|mode| {
        let mut server = Server::http(mode, "all_by_path", &[]);
        let mut client = server.connect();
        client.send("GET /waits?/nowhere/never HTTP/1.1\r\nHost: a\r\n\r\n");
        server.log.line("waiting for");
        server.signal(libc::SIGINT);
        server.log.line("SIGINT received");
        server.signal(libc::SIGINT);
        assert_eq!(server.stop(0), 0);
    });
}

#[test]
fn gives_up_on_requests_that_do_not_end_within_the_mercy() {
    for_each_mode(|mode| {
        let mut server = Server::http(mode, "all_by_path", &["--reload-mercy", "1"]);
        let mut client = server.connect();
        client.send("GET /waits?/nowhere/never HTTP/1.1\r\nHost: a\r\n\r\n");
        server.log.line("waiting for");
        assert_eq!(server.stop(libc::SIGTERM), 0);
        assert_eq!(client.response().status, 503);
    });
}

#[test]
fn leaves_at_once_while_the_app_is_imported() {
    let directory = scratch();
    let code = directory.path().join("slow.py");
    std::fs::write(&code, "import time\nprint('importing')\ntime.sleep(1000)\n").unwrap();
    let name = code.display().to_string();
    for_each_mode(|mode| {
        for master in [&["--master"][..], &[]] {
            let args = ["--http-socket", "127.0.0.1:0", "--wsgi-file", &name];
            let way = ["--isolation", mode.isolation, "--io", mode.io];
            let mut process = Process::start(command(&[&args[..], &way, master].concat()));
            process.log.line("importing");
            // Without a master as any program that handles no signal, and as uWSGI.
            let code = if master.is_empty() { 128 + libc::SIGTERM } else { 0 };
            assert_eq!(process.stop(libc::SIGTERM), code, "{mode} {master:?}");
        }
    });
}

#[test]
fn takes_die_on_term() {
    for_each_mode(|mode| {
        let mut server = Server::http(mode, "hello", &["--die-on-term", "--master"]);
        assert_eq!(server.get("/").text(), "hello");
        assert_eq!(server.stop(libc::SIGTERM), 0);
    });
}

#[test]
fn leaves_no_worker_behind_when_it_is_killed() {
    for_each_mode(|mode| {
        let mut server = Server::http(mode, "all_by_path", &["--processes", "3"]);
        assert_eq!(server.get("/hello").text(), "hello");
        // `stop` waits until the last holder of the output is gone.
        assert_eq!(server.stop(libc::SIGKILL), 128 + libc::SIGKILL);
    });
}

#[test]
fn makes_a_unix_socket_of_the_given_mode_and_removes_it_with_vacuum() {
    for_each_mode(|mode| {
        let directory = scratch();
        let path = directory.path().join("app.sock");
        let shown = path.display().to_string();
        for (flags, bits, remains) in [
            (&["--chmod-socket=660", "--vacuum"][..], 0o660, false),
            (&["--chmod-socket=600"], 0o600, true),
            (&["--chmod-socket"], 0o666, true),
        ] {
            let hello = app("hello");
            let mut args = vec!["--http-socket", &shown, "--wsgi-file", &hello];
            args.extend_from_slice(flags);
            let mut server = Server::start(mode, &args);
            let meta = std::fs::metadata(&path).unwrap();
            assert!(meta.file_type().is_socket());
            assert_eq!(meta.permissions().mode() & 0o777, bits, "{flags:?}");
            assert_eq!(crate::harness::Client::connect(&shown).get("/").text(), "hello");
            assert_eq!(server.stop(libc::SIGTERM), 0);
            assert_eq!(path.exists(), remains, "{flags:?}");
        }
    });
}

#[test]
fn gives_a_unix_socket_to_another_owner() {
    if !is_root() {
        return; // Only root may give a file away.
    }
    for_each_mode(|mode| {
        let directory = scratch();
        let path = directory.path().join("app.sock").display().to_string();
        let hello = app("hello");
        let args = ["--socket", &path, "--wsgi-file", &hello, "--chown-socket", "nobody:nogroup"];
        let _server = Server::start(mode, &args);
        let meta = std::fs::metadata(&path).unwrap();
        assert_eq!(std::os::unix::fs::MetadataExt::uid(&meta), 65_534);
    });
}

fn is_root() -> bool {
    uwring::sys::user().0 == 0
}

#[test]
fn writes_its_pid_to_the_pidfile() {
    for_each_mode(|mode| {
        let directory = scratch();
        let path = directory.path().join("pid");
        let shown = path.display().to_string();
        let mut server = Server::http(mode, "hello", &["--pidfile", &shown, "--vacuum"]);
        let pid: u32 = std::fs::read_to_string(&path).unwrap().trim().parse().unwrap();
        assert_eq!(pid, server.pid());
        server.stop(libc::SIGTERM);
        assert!(!path.exists(), "vacuum removes the pidfile");
    });
}

#[test]
fn goes_on_after_its_port_was_used_by_its_predecessor() {
    for_each_mode(|mode| {
        let mut first = Server::http(mode, "hello", &[]);
        let address = first.address().to_owned();
        let mut client = first.connect();
        client.assert_open();
        first.stop(libc::SIGTERM);
        let hello = app("hello");
        let second = Server::start(mode, &["--http-socket", &address, "--wsgi-file", &hello]);
        assert_eq!(second.get("/").text(), "hello");
    });
}
