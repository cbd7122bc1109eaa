//! `uwring doctor`: what it says is so.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use crate::harness::process::Process;
use crate::harness::server::{command, python_minor};
use crate::harness::{Mode, Server, app, scratch};

/// Runs the doctor: its exit code and what it says.
fn doctor(args: &[&str], directory: &Path) -> (i32, String) {
    let mut words = vec!["doctor"];
    words.extend_from_slice(args);
    let mut command: Command = command(&words);
    command.current_dir(directory).env("XDG_CACHE_HOME", directory.join("cache"));
    Process::start(command).finish()
}

/// What is said under a name, line by line.
fn said<'t>(text: &'t str, name: &str) -> Vec<&'t str> {
    let lines = text.lines().filter_map(|line| line.split_at_checked(18));
    lines.filter(|(found, _)| found.trim_end() == name).map(|(_, what)| what).collect()
}

fn file(path: &str) -> String {
    std::fs::read_to_string(path).unwrap().trim().to_owned()
}

#[test]
fn says_what_would_be_served_and_how() {
    let directory = scratch();
    let (code, text) =
        doctor(&["--wsgi-file", &app("hello"), "--processes", "2"], directory.path());
    assert_eq!(code, 0, "{text}");
    assert!(said(&text, "python")[0].starts_with(&format!("3.{}.", python_minor())), "{text}");
    assert!(said(&text, "app")[0].starts_with(&format!("file {}", app("hello"))), "{text}");
    let isolation = match python_minor() {
        13.. => "the app can share a process: serving with 2 interpreters".to_owned(),
        minor => format!(
            "Python 3.{minor} has no interpreters with a GIL of their own: serving with 2 \
             processes; Python 3.13 or newer would lift this"
        ),
    };
    assert_eq!(said(&text, "isolation"), [isolation]);

    // The server takes the rung that the doctor says it takes.
    let server = Server::http(Mode { isolation: "auto", io: "auto" }, "hello", &["-p", "2"]);
    let taken = said(&text, "io").into_iter().find(|line| line.ends_with("is taken")).unwrap();
    let line = server.log.line("io: ");
    let rung = if line.contains("(Uring(Defer))") {
        "io_uring with DEFER_TASKRUN"
    } else if line.contains("(Uring(Coop))") {
        "io_uring with COOP_TASKRUN"
    } else {
        "epoll"
    };
    assert!(taken.starts_with(rung), "{taken}, and the server says {line}");
    let line = server.log.line("uwring is ready");
    let shards = said(&text, "shards")[0].split(',').next().unwrap();
    assert!(line.contains(&format!(" {shards} shard(s)")), "{line}, not {shards}");

    let limits = file("/proc/self/limits");
    let files = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    let mut files = files.split_ascii_whitespace();
    let expected = format!("{}, at most {}", files.next().unwrap(), files.next().unwrap());
    assert_eq!(said(&text, "open files"), [expected]);
    let somaxconn = file("/proc/sys/net/core/somaxconn");
    assert_eq!(
        said(&text, "somaxconn"),
        [format!("{somaxconn}; a listener's queue holds {somaxconn}")]
    );
    let migrate = file("/proc/sys/net/ipv4/tcp_migrate_req");
    assert!(said(&text, "tcp_migrate_req")[0].starts_with(&format!("{migrate}: ")), "{text}");
    assert_eq!(said(&text, "kernel"), [file("/proc/sys/kernel/osrelease")]);
    assert_eq!(said(&text, "PROBLEM"), [""; 0]);
}

#[test]
fn says_why_an_app_would_not_be_served() {
    let directory = scratch();
    for (args, problem) in [
        (&["--wsgi-file", &app("raises_at_import")][..], "the app does not load"),
        (&["--http-socket", "127.0.0.1:0"], "no app: every request would get a 500"),
    ] {
        let (code, text) = doctor(args, directory.path());
        assert_eq!((code, said(&text, "PROBLEM")), (1, vec![problem]), "{text}");
        assert_eq!(text.contains("Traceback"), problem == "the app does not load", "{text}");
    }
    if python_minor() >= 13 {
        let args = ["--wsgi-file", &app("imports"), "--env", "IMPORTS=json readline"];
        let (code, text) = doctor(&args, directory.path());
        assert_eq!((code, said(&text, "refuses")), (0, vec!["readline"]), "{text}");
        let pinned = [&args[..], &["--isolation", "interpreter"]].concat();
        let (code, text) = doctor(&pinned, directory.path());
        let problem = "--isolation interpreter: the app does not run in one";
        assert_eq!((code, said(&text, "PROBLEM")), (1, vec![problem]), "{text}");
    }
    let (code, text) = doctor(&["--wsgi-file", &app("wants_master"), "--master"], directory.path());
    assert_eq!(code, 0, "{text}");
    let (code, text) = doctor(&["--chdir", "/nowhere"], directory.path());
    assert_eq!(code, 1);
    assert!(text.contains("uwring: argument 2: chdir: /nowhere: "), "{text}");
}

#[test]
fn reads_the_servers_file_and_can_run_beside_the_server() {
    let directory = scratch();
    std::fs::copy(app("hello"), directory.path().join("app.py")).unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, log) = (taken.local_addr().unwrap(), directory.path().join("log"));
    let ini =
        format!("[uwsgi]\nhttp-socket = {address}\nmodule = app\nlogto = {}\n", log.display());
    std::fs::write(directory.path().join("app.ini"), ini).unwrap();
    // A verdict on a file that is younger than the trial is not kept.
    let keeps = || {
        let (code, text) = doctor(&["app.ini"], directory.path());
        assert_eq!(code, 0, "{text}");
        assert!(said(&text, "app")[0].starts_with("module app, in "), "{text}");
        said(&text, "verdict").iter().any(|line| line.starts_with("kept in "))
    };
    assert!(!log.exists());
    if python_minor() >= 13 {
        crate::harness::eventually("the verdict is kept", keeps);
        drop(taken);
        let mut command = command(&["--ini", "app.ini"]);
        command.current_dir(directory.path()).env("XDG_CACHE_HOME", directory.path().join("cache"));
        let _server = Process::start(command);
        crate::harness::eventually("the server takes it", || {
            std::fs::read_to_string(&log).is_ok_and(|text| text.contains("(tried before)"))
        });
    } else {
        keeps();
    }
}
