//! `wait-for-fs` and its kin: the start waits, and says what for.

use std::os::unix::net::UnixListener;

use crate::harness::process::Process;
use crate::harness::server::command;
use crate::harness::{Mode, Server, app, scratch};

/// The arguments of a server that waits for these things.
fn waiting<'a>(app: &'a str, things: &[&'a str]) -> Vec<&'a str> {
    let mut args = vec!["--http-socket", "127.0.0.1:0", "--wsgi-file", app];
    args.extend_from_slice(things);
    args
}

#[test]
fn the_start_waits_for_a_file_and_a_socket() {
    let directory = scratch();
    let file = directory.path().join("mounted").display().to_string();
    let socket = directory.path().join("db.sock").display().to_string();
    let app = app("hello");
    let things = ["--wait-for-file", &file, "--wait-for-socket", &socket];
    let mut process = Process::start(command(&waiting(&app, &things)));
    let log = process.log.clone();
    log.line(&format!("waiting for {file} (max 60 seconds) ..."));
    assert!(!log.text().contains("bound to"), "{}", log.text());
    std::fs::write(&file, "").expect("written");
    log.line(&format!("{file} found"));
    log.line(&format!("waiting for {socket} (max 60 seconds) ..."));
    assert!(log.text().contains("bound to"), "{}", log.text());
    assert!(!log.text().contains("WSGI app 0"), "{}", log.text());
    let _listener = UnixListener::bind(&socket).expect("bound");
    log.line("WSGI app 0");
    process.stop(libc::SIGINT);
}

#[test]
fn what_does_not_come_in_time_ends_the_start() {
    let directory = scratch();
    let nowhere = directory.path().join("nowhere").display().to_string();
    let plain = directory.path().display().to_string();
    let app = app("hello");
    for (option, thing, limit, said) in [
        ("--wait-for-fs", &*nowhere, "--wait-for-fs-timeout", &*nowhere),
        ("--wait-for-mountpoint", &*plain, "--wait-for-fs-timeout", &*plain),
        ("--wait-for-interface", "none0", "--wait-iface-timeout", "interface none0"),
        ("--wait-for-socket", &*nowhere, "--wait-for-socket-timeout", &*nowhere),
    ] {
        let things = [option, thing, limit, "1"];
        let (code, log) = Process::start(command(&waiting(&app, &things))).finish();
        assert_eq!(code, 1, "{log}");
        assert!(log.contains(&format!("{said} unavailable after 1 seconds")), "{log}");
    }
}

#[test]
fn what_is_there_holds_nothing_up() {
    let app = app("hello");
    let things =
        ["--wait-for-interface", "lo", "--wait-for-dir", "/", "--wait-for-mountpoint", "/"];
    let server = Server::start(Mode::ANY, &waiting(&app, &things));
    assert_eq!(server.get("/").status, 200);
}
