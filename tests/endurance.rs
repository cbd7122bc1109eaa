//! Steady load through what must not be noticed: reloads, harakiri, recycling, crashes.

use std::path::Path;

use crate::harness::code::Code;
use crate::harness::nginx::Nginx;
use crate::harness::traffic::Traffic;
use crate::harness::{Server, app, eventually, for_each_mode, full, memory_kib, scratch};

/// The server processes of a master, the newest last.
fn server_processes(server: &Server) -> Vec<i32> {
    let path = format!("/proc/{0}/task/{0}/children", server.pid());
    let text = std::fs::read_to_string(path).unwrap();
    text.split_ascii_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

/// Waits until there was a start more than there were processes `before`.
fn await_start(server: &Server, before: &[i32]) {
    let starts = |text: &str| text.matches("uwring is ready:").count();
    let wanted = before.len() + 1;
    server.log.find("the next start", |text| (starts(text) >= wanted).then_some(()));
}

/// Waits until a server process that was not there before serves alone; its number.
fn await_successor(server: &Server, before: &[i32]) -> i32 {
    await_start(server, before);
    let mut alone = 0;
    eventually("the old one leaves", || match server_processes(server)[..] {
        [pid] if !before.contains(&pid) => {
            alone = pid;
            true
        }
        _ => false,
    });
    alone
}

#[test]
fn nginx_notices_no_reload() {
    for_each_mode(|mode| {
        let (all, directory) = (app("all_by_path"), scratch());
        let unix = directory.path().join("app.sock").display().to_string();
        let args = ["--socket", "127.0.0.1:0", "--socket", &unix, "--chmod-socket=666"];
        let more = ["--wsgi-file", &all, "--master", "--processes", "2", "--disable-logging"];
        let server = Server::start(mode, &[&args[..], &more].concat());
        let by_unix = format!("unix:{unix}");
        let places = [server.address(), by_unix.as_str()];
        let fronts = places.map(|place| Nginx::start("uwsgi_pass", &[("server", place)]));
        let [Some(tcp), Some(unix)] = fronts else { return };
        let traffic = Traffic::start(&[&tcp.address, &unix.address], "/hello");
        let mut pids = server_processes(&server);
        for _ in 0..if full() { 30 } else { 3 } {
            let before = traffic.requests();
            server.signal(libc::SIGHUP);
            pids.push(await_successor(&server, &pids));
            eventually("the load goes on", || traffic.requests() > before + 20);
        }
        let outcome = traffic.stop();
        assert!(outcome.failures.is_empty(), "{:?}", outcome.failures);
        for nginx in [tcp, unix] {
            assert!(!nginx.errors().contains("[error]"), "{}", nginx.errors());
        }
    });
}

/// Resident memory in MiB without files, shared pages divided, and descriptors of a process and
/// all below it.
fn usage(pid: i32) -> (u64, usize) {
    let fds = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    let below = children.split_ascii_whitespace().map(|child| usage(child.parse().unwrap()));
    let own = (memory_kib(pid) / 1024, fds);
    below.fold(own, |sum, each| (sum.0 + each.0, sum.1 + each.1))
}

#[test]
fn reloads_leave_no_memory_and_no_descriptor_behind() {
    for_each_mode(|mode| {
        let server = Server::http(mode, "all_by_path", &["--master", "--processes", "2"]);
        let mut kept = server.connect();
        let mut pids = server_processes(&server);
        let mut reload = |pids: &mut Vec<i32>| {
            server.signal(libc::SIGHUP);
            await_start(&server, pids);
            eventually("the old one leaves", || {
                // Over epoll an idle connection holds it, until its next request.
                assert_eq!(kept.get("/hello").text(), "hello");
                server_processes(&server).len() == 1
            });
            pids.extend(server_processes(&server));
        };
        (0..3).for_each(|_| reload(&mut pids));
        let early = usage(server.pid() as i32);
        let count = if full() { 20 } else { 8 };
        (0..count).for_each(|_| reload(&mut pids));
        // What leaks stays; what an end has not given back yet does not.
        eventually("memory and descriptors are level", || {
            let late = usage(server.pid() as i32);
            eprintln!("MiB and descriptors: {early:?} became {late:?}");
            late.1 <= early.1 + 3 && late.0 <= early.0 + 4
        });
    });
}

#[test]
fn harakiri_under_load_meets_only_what_is_late() {
    for_each_mode(|mode| {
        let more = ["--master", "--processes", "3", "--harakiri", "1", "--disable-logging"];
        let server = Server::http(mode, "all_by_path", &more);
        let traffic = Traffic::start(&[server.address()], "/hello");
        for round in 1..=4 {
            let mut late = server.connect();
            late.send("GET /stuck/spins?/nonexistent/never HTTP/1.1\r\nHost: a\r\n\r\n");
            assert_eq!(late.response().status, 504);
            let count = |text: &str| text.matches("*** HARAKIRI ON WORKER").count();
            server.log.find("its line", |text| (count(text) >= round).then_some(()));
            let before = traffic.requests();
            eventually("the load goes on", || traffic.requests() > before + 20);
        }
        let outcome = traffic.stop();
        assert!(outcome.failures.is_empty(), "{:?}", outcome.failures);
        assert_eq!(outcome.closes, 0, "of {} requests", outcome.requests);
    });
}

#[test]
fn a_server_process_that_crashes_under_load_costs_what_runs_in_it() {
    for_each_mode(|mode| {
        let server = Server::http(mode, "all_by_path", &["--master", "--disable-logging"]);
        let traffic = Traffic::start(&[server.address()], "/hello");
        let mut pids = server_processes(&server);
        for _ in 0..2 {
            // One that lives shorter has died of starting.
            let begin = std::time::Instant::now();
            eventually("it has served for a while", || begin.elapsed().as_millis() > 2200);
            let pid = *pids.last().unwrap();
            uwring::sys::kill(pid, libc::SIGSEGV);
            server.log.line(&format!("!!! uwring process {pid} got Segmentation Fault !!!"));
            server.log.line(&format!("*** backtrace of {pid} ***"));
            eventually("it dies", || !server_processes(&server).contains(&pid));
            server.log.line(&format!("{pid}) died, killed by SIGSEGV :( trying"));
            pids.push(await_successor(&server, &pids));
            let before = traffic.requests();
            eventually("the load goes on", || traffic.requests() > before + 20);
        }
        let outcome = traffic.stop();
        // Of five clients one has a request that runs; the others' wait, or are none.
        assert!(outcome.failures.len() <= 2, "{:?}", outcome.failures);
        let is_lost = |what: &String| ["Closed", "Reset", "send:"].iter().any(|w| what.contains(w));
        assert!(outcome.failures.iter().all(is_lost), "{:?}", outcome.failures);
    });
}

#[test]
fn interpreters_that_are_recycled_under_load_fail_no_request() {
    for_each_mode(|mode| {
        if mode.is_process() {
            return;
        }
        let limits = ["--max-requests", "200", "--min-worker-lifetime", "3", "--disable-logging"];
        let more = [&limits[..], &["--master", "--processes", "2"]].concat();
        let server = Server::http(mode, "all_by_path", &more);
        let pids = server_processes(&server);
        let traffic = Traffic::start(&[server.address()], "/hello");
        server.log.line("requests served: a new server process is to take over");
        await_successor(&server, &pids);
        let before = traffic.requests();
        eventually("the load goes on", || traffic.requests() > before + 20);
        let outcome = traffic.stop();
        assert!(outcome.failures.is_empty(), "{:?}", outcome.failures);
        assert_eq!(outcome.closes, 0, "of {} requests", outcome.requests);
    });
}

#[test]
fn an_app_that_blocks_signals_and_goes_elsewhere_is_reloaded_and_stopped() {
    for_each_mode(|mode| {
        let code = Code::new();
        let first = "import os, signal\nos.chdir('/')\nos.umask(0o777)\n\
                     signal.pthread_sigmask(signal.SIG_BLOCK, set(range(1, 32)))";
        code.begins(first, "one");
        let mut server = code.serve(mode, &["--master", "--processes", "2"]);
        let pids = server_processes(&server);
        assert_eq!(server.get("/").text(), "one");
        code.begins(first, "two");
        server.signal(libc::SIGHUP);
        await_successor(&server, &pids);
        assert_eq!(server.get("/").text(), "two");
        assert!(Path::new(&code.path()).exists());
        assert_eq!(server.stop(libc::SIGTERM), 0);
    });
}
