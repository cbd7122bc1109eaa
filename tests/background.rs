//! `daemonize` and `daemonize2`: the server leaves the terminal.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use crate::harness::process::Process;
use crate::harness::server::{clean, command};
use crate::harness::{app, eventually, scratch, tools};

/// Waits until the process of that number is gone.
fn await_gone(pid: i32) {
    let path = format!("/proc/{pid}");
    eventually("the old process leaves", || !Path::new(&path).exists());
}

#[test]
fn goes_to_the_background() {
    for option in ["--daemonize", "--daemonize2"] {
        let directory = scratch();
        let path = |name: &str| directory.path().join(name).display().to_string();
        let (log, pidfile) = (path("log"), path("pid"));
        let hello = app("hello");
        let args =
            ["--http-socket", "127.0.0.1:0", "--wsgi-file", &hello, option, &log, "--pidfile"];
        let mut command = command(&args);
        command.args([&pidfile, "--master", "--vacuum"]);
        // Nothing of it keeps the terminal open: the output ends with the command.
        let (code, shown) = Process::start(command).finish();
        assert_eq!((code, shown.as_str()), (0, ""), "{option}");
        let text = || std::fs::read_to_string(&log).unwrap_or_default();
        if option == "--daemonize2" {
            assert!(text().contains("WSGI app 0"), "the app is loaded: {}", text());
        }
        eventually("it is ready", || text().contains("uwring is ready"));
        let pid: i32 = std::fs::read_to_string(&pidfile).unwrap().trim().parse().unwrap();
        uwring::sys::kill(pid, libc::SIGTERM);
        eventually("it leaves", || text().contains("goodbye to uwring."));
        await_gone(pid);
    }
}

#[test]
fn daemonize2_shows_why_the_app_does_not_start() {
    let directory = scratch();
    let log = directory.path().join("log").display().to_string();
    let broken = app("raises_at_import");
    let mut command = command(&["--http-socket", "127.0.0.1:0", "--wsgi-file", &broken]);
    command.args(["--daemonize2", &log, "--need-app"]);
    let (code, shown) = Process::start(command).finish();
    assert_eq!(code, 1, "{shown}");
    assert!(shown.contains("no app loaded. GAME OVER"), "{shown}");
}

/// The files below a directory, and below `sub` in it.
fn files(directory: &Path) -> BTreeSet<String> {
    let below = |folder: &str| {
        let entries = std::fs::read_dir(directory.join(folder)).unwrap();
        let files = entries.filter_map(Result::ok).filter(|entry| entry.path().is_file());
        let names = files.map(|entry| format!("{folder}/{}", entry.file_name().display()));
        names.collect::<Vec<_>>()
    };
    [".", "sub"].iter().flat_map(|folder| below(folder)).collect()
}

#[test]
fn relative_paths_beside_chdir_lead_where_uwsgi_has_them() {
    let Some(uwsgi) = tools::uwsgi() else { return };
    let hello = std::fs::read(app("hello")).unwrap();
    for more in [
        &["--daemonize2", "log", "--pidfile", "pid"][..],
        &["--daemonize2", "log", "--pidfile2", "pid"],
        &["--daemonize2", "log", "--safe-pidfile", "pid", "--logto", "to"],
        &["--daemonize2", "log", "--safe-pidfile2", "pid"],
        &["--daemonize", "log", "--pidfile", "pid"],
        &["--daemonize", "log", "--pidfile", "pid", "--safe-pidfile2", "pid2"],
    ] {
        let start = |program: &mut Command, ready: &str| {
            let directory = scratch();
            std::fs::create_dir(directory.path().join("sub")).unwrap();
            std::fs::write(directory.path().join("sub/wsgi.py"), &hello).unwrap();
            program.args(["--http-socket", "127.0.0.1:0", "--master", "--chdir", "sub"]);
            program.args(["--module", "wsgi"]).args(more).current_dir(directory.path());
            program.env("PYTHONDONTWRITEBYTECODE", "1");
            assert_eq!(program.status().unwrap().code(), Some(0), "{more:?}");
            let log = |path| std::fs::read_to_string(directory.path().join(path));
            let texts = || [log("log"), log("sub/log"), log("to")].map(Result::unwrap_or_default);
            eventually("it is ready", || texts().iter().any(|text| text.contains(ready)));
            // uWSGI's master and its worker write the safe ones when they run, after that line.
            let read = |name: &str| std::fs::read_to_string(directory.path().join(name));
            let number = |name: &str| -> Option<i32> { read(name).ok()?.trim().parse().ok() };
            for name in more.iter().filter(|value| value.starts_with("pid")) {
                let found = || number(name).or_else(|| number(&format!("sub/{name}")));
                eventually("a number stands in it", || found().is_some());
            }
            let made = files(directory.path());
            let number_in = |name: &String| {
                let mut found = None;
                eventually("a number stands in it", || {
                    found = number(name);
                    found.is_some()
                });
                found.unwrap()
            };
            let pids = made.iter().filter(|name| name.contains("pid"));
            let pids: Vec<i32> = pids.map(number_in).collect();
            let lives = |pid: &&i32| Path::new(&format!("/proc/{pid}")).exists();
            let living: Vec<i32> = pids.iter().filter(lives).copied().collect();
            let server = *living.last().unwrap();
            // Its whole group: uWSGI's master does not listen to signals at once.
            let stat = std::fs::read_to_string(format!("/proc/{server}/stat")).unwrap();
            let group = stat.rsplit(')').next().unwrap().split_ascii_whitespace().nth(2);
            uwring::sys::kill(-group.unwrap().parse::<i32>().unwrap(), libc::SIGKILL);
            await_gone(server);
            (made, pids.len(), living.len())
        };
        let (theirs, ..) = start(&mut clean(&uwsgi), "spawned uWSGI worker 1");
        let (ours, all, living) = start(&mut command::<&str>(&[]), "uwring is ready");
        assert_eq!(ours, theirs, "{more:?}");
        // uWSGI leaves the number of a process that has ended in the first of two.
        assert_eq!(living, all, "{more:?}");
    }
}
