//! Programs that are attached to the server.

use std::path::Path;

use crate::harness::{Mode, Server, app, eventually, scratch};

/// A shell command that tells of its start and of the signal that ends it.
fn tells(name: &str, told: &Path) -> String {
    let told = told.display();
    format!(
        "for n in INT TERM USR1; do trap \"echo {name} $n >> {told}; exit\" $n; done; \
         echo {name} $$ >> {told}; while :; do sleep 0.05; done"
    )
}

fn lines(told: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(told).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn alive(pid: &str) -> bool {
    Path::new("/proc").join(pid).exists()
}

fn pid_of(told: &Path, name: &str) -> Option<String> {
    let all = lines(told);
    let mut starts = all.iter().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    starts.rfind(|word| word.parse::<i32>().is_ok()).map(str::to_owned)
}

fn await_pid(told: &Path, name: &str, other_than: &str) -> String {
    let mut found = String::new();
    eventually(&format!("{name} starts"), || {
        found = pid_of(told, name).unwrap_or_default();
        !found.is_empty() && found != other_than
    });
    found
}

#[test]
fn a_daemon_lives_with_the_server() {
    let directory = scratch();
    let told = directory.path().join("told");
    let (plain, script) = (tells("plain", &told), directory.path().join("script"));
    std::fs::write(&script, tells("keyed", &told)).unwrap();
    let keyed = format!("cmd=sh {},stopsignal=2,reloadsignal=10", script.display());
    let more = ["--attach-daemon", &plain, "--attach-daemon2", &keyed];
    let mut server = Server::http(Mode::ANY, "hello", &more);
    let (first, keyed) = (await_pid(&told, "plain", ""), await_pid(&told, "keyed", ""));

    // One that dies is started again.
    uwring::sys::kill(first.parse().unwrap(), libc::SIGKILL);
    let second = await_pid(&told, "plain", &first);
    server.log.line("[uwsgi-daemons] throttling");

    // A reload starts them anew, each with its own signal, once the new server serves.
    server.signal(libc::SIGHUP);
    let third = await_pid(&told, "plain", &second);
    let keyed = await_pid(&told, "keyed", &keyed);
    let all = lines(&told);
    assert!(all.contains(&"plain TERM".to_owned()), "{all:?}");
    assert!(all.contains(&"keyed USR1".to_owned()), "{all:?}");

    // The end of the server is theirs.
    assert_eq!(server.stop(libc::SIGTERM), 0);
    assert!(!alive(&third) && !alive(&keyed));
    let all = lines(&told);
    assert_eq!(all.iter().filter(|line| *line == "plain TERM").count(), 2, "{all:?}");
    assert!(all.contains(&"keyed INT".to_owned()), "{all:?}");
}

#[test]
fn a_reload_that_fails_leaves_the_daemons_alone() {
    let directory = scratch();
    let told = directory.path().join("told");
    let ini = directory.path().join("app.ini");
    let script = directory.path().join("script");
    std::fs::write(&script, tells("daemon", &told)).unwrap();
    let daemon = format!("attach-daemon = sh {}", script.display());
    let text = |more: &str| {
        let app = app("hello");
        let text = format!("[uwsgi]\nhttp-socket = 127.0.0.1:0\nwsgi-file = {app}\n{more}\n");
        std::fs::write(&ini, text).unwrap();
    };
    text(&daemon);
    let server = Server::start(Mode::ANY, &["--ini", ini.to_str().unwrap(), "--master"]);
    let pid = await_pid(&told, "daemon", "");
    text("processes = many");
    server.signal(libc::SIGHUP);
    server.log.line("nothing was changed, the old server goes on");
    assert!(alive(&pid));
    // One that is no longer wanted leaves.
    text("");
    server.signal(libc::SIGHUP);
    eventually("it leaves", || !alive(&pid));
    assert_eq!(lines(&told).len(), 2);
}

#[test]
fn a_daemon_with_a_pidfile_outlives_reload_and_stop() {
    let directory = scratch();
    let told = directory.path().join("told");
    let pidfile = directory.path().join("pidfile").display().to_string();
    let script = directory.path().join("script");
    std::fs::write(&script, tells("smart", &told)).unwrap();
    let smart = format!("{pidfile} exec sh {}", script.display());
    let forks = directory.path().join("forked").display().to_string();
    let forking = format!("{forks} setsid sleep 1000 > /dev/null 2>&1 & echo $! > {forks}");
    let args = ["--smart-attach-daemon2", &smart, "--smart-attach-daemon", &forking];
    let server = Server::http(Mode::ANY, "hello", &args);
    let pid = await_pid(&told, "smart", "");
    eventually("its pidfile", || {
        std::fs::read_to_string(&pidfile).is_ok_and(|text| text.trim() == pid)
    });
    let forked = || std::fs::read_to_string(&forks).unwrap_or_default().trim().to_owned();
    let found = server.log.line("found valid/active pidfile for \"setsid");
    let sleeper = forked();
    assert!(found.ends_with(&format!("(pid: {sleeper})")), "{found}");
    server.signal(libc::SIGHUP);
    server.log.find("the second start", |text| {
        (text.matches("uwring is ready").count() == 2).then_some(())
    });
    // The log of this server ends only with all who hold it.
    server.signal(libc::SIGTERM);
    server.log.line("goodbye to uwring.");
    assert!(alive(&pid) && alive(&sleeper));
    let again = Server::http(Mode::ANY, "hello", &args);
    again.log.line(&format!("found valid/active pidfile for \"exec sh {}\"", script.display()));
    assert_eq!(lines(&told).len(), 1, "it was started once");
    // It is looked after all the same.
    uwring::sys::kill(pid.parse().unwrap(), libc::SIGKILL);
    let second = await_pid(&told, "smart", &pid);
    for pid in [second, sleeper] {
        uwring::sys::kill(pid.parse().unwrap(), libc::SIGKILL);
    }
    drop(again);
}

#[test]
fn the_end_of_a_control_daemon_is_the_servers() {
    let directory = scratch();
    let go = directory.path().join("go");
    let wait = format!("while [ ! -e {} ]; do sleep 0.05; done", go.display());
    let mut server = Server::http(Mode::ANY, "hello", &["--attach-control-daemon", &wait]);
    assert_eq!(server.get("/").text(), "hello");
    std::fs::write(&go, "").unwrap();
    assert_eq!(server.stop(0), 0);
}

#[test]
fn a_second_interrupt_waits_for_no_daemon() {
    let directory = scratch();
    let told = directory.path().join("told");
    let deaf =
        format!("trap '' TERM; echo deaf $$ >> {}; while :; do sleep 0.05; done", told.display());
    let mut server = Server::http(Mode::ANY, "hello", &["--attach-daemon", &deaf]);
    let pid = await_pid(&told, "deaf", "");
    server.signal(libc::SIGINT);
    server.log.line("[uwsgi-daemons] stopping daemon");
    let begin = std::time::Instant::now();
    assert_eq!(server.stop(libc::SIGINT), 0);
    assert!(begin.elapsed().as_secs() < 9, "it would have had 10 seconds: {:?}", begin.elapsed());
    assert!(!alive(&pid));
}
