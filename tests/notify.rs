//! What a service manager hears (systemd's `Type=notify` and `WatchdogSec=`).

use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::harness::server::command;
use crate::harness::{DEADLINE, Mode, Server, app, eventually, scratch};

/// A service manager's end of NOTIFY_SOCKET.
struct Manager {
    socket: UnixDatagram,
    directory: tempfile::TempDir,
}

impl Manager {
    fn new() -> Manager {
        let directory = scratch();
        let socket = UnixDatagram::bind(directory.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        Manager { socket, directory }
    }

    /// A server that tells it.
    fn command(&self, more: &[&str]) -> Command {
        let mut command = command(&["--http-socket", "127.0.0.1:0", "--wsgi-file", &app("hello")]);
        command.args(["--isolation", "process", "--io", "epoll"]).args(more);
        command.env("NOTIFY_SOCKET", self.directory.path().join("notify"));
        command
    }

    fn next(&self) -> std::io::Result<String> {
        let mut bytes = [0; 1024];
        let count = self.socket.recv(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes[..count]).into_owned())
    }

    fn hears(&self, part: &str) -> String {
        let mut text = Vec::new();
        for _ in 0..100 {
            let message = self.next().unwrap();
            if message.contains(part) {
                return message;
            }
            text.push(message);
        }
        panic!("no {part} in {text:?}");
    }
}

#[test]
fn systemd_hears_of_start_reload_and_stop() {
    let manager = Manager::new();
    let mut command = manager.command(&["--master"]);
    command.env("WATCHDOG_USEC", "1000000");
    let mut server = Server::await_ready(command, Mode::ANY);
    manager.hears("READY=1");
    manager.hears("WATCHDOG=1");
    server.signal(libc::SIGHUP);
    manager.hears("RELOADING=1\nMONOTONIC_USEC=");
    manager.hears("READY=1");
    server.signal(libc::SIGTERM);
    manager.hears("STOPPING=1");
    assert_eq!(server.stop(0), 0);
}

#[test]
fn systemd_hears_the_same_of_a_server_without_a_master() {
    let manager = Manager::new();
    let mut command = manager.command(&["--processes", "2"]);
    command.env("WATCHDOG_USEC", "2000000");
    let mut server = Server::await_ready(command, Mode::ANY);
    assert!(manager.hears("READY=1").contains("STATUS=uwring serves, 2 worker(s)"));
    manager.hears("WATCHDOG=1");
    manager.hears("WATCHDOG=1");
    server.signal(libc::SIGTERM);
    manager.hears("STOPPING=1");
    assert_eq!(server.stop(0), 0);
}

#[test]
fn systemd_hears_nothing_good_of_a_server_process_that_stands_still() {
    let manager = Manager::new();
    let mut command = manager.command(&["--master"]);
    command.env("WATCHDOG_USEC", "1000000");
    let server = Server::await_ready(command, Mode::ANY);
    manager.hears("WATCHDOG=1");
    let path = format!("/proc/{0}/task/{0}/children", server.pid());
    let pid: i32 = std::fs::read_to_string(path).unwrap().trim().parse().unwrap();
    uwring::sys::kill(pid, libc::SIGSTOP);
    let since = Instant::now();
    manager.socket.set_read_timeout(Some(Duration::from_millis(1500))).unwrap();
    while manager.next().is_ok() {
        assert!(since.elapsed() < Duration::from_secs(8), "it is said to be well");
    }
    uwring::sys::kill(pid, libc::SIGCONT);
    eventually("it is well again", || manager.next().is_ok_and(|text| text == "WATCHDOG=1\n"));
}

#[test]
fn a_service_manager_that_does_not_listen_is_told_of_once() {
    for more in [&["--master"][..], &[]] {
        let mut manager = Manager::new();
        manager.socket = UnixDatagram::unbound().unwrap();
        let server = Server::await_ready(manager.command(more), Mode::ANY);
        server.log.line("NOTIFY_SOCKET cannot be reached (Connection refused");
        assert_eq!(server.get("/").text(), "hello");
        if !more.is_empty() {
            server.signal(libc::SIGHUP);
            server.log.line("a successor serves");
        }
        assert_eq!(server.log.text().matches("NOTIFY_SOCKET").count(), 1);
    }
}
