//! The server under systemd, and as the first process of a container.

use std::path::Path;
use std::process::Command;

use crate::harness::server::clean;
use crate::harness::{Mode, Server, app, eventually, for_each_mode, scratch, tools, waived};

fn children(pid: u32) -> Vec<u32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let text = text.unwrap_or_default();
    text.split_ascii_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

fn name(pid: u32) -> String {
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    name.trim().to_owned()
}

/// Whether the kernel lets us have a namespace of processes.
fn can_be_first() -> bool {
    let Some(unshare) = tools::program("unshare") else { return false };
    let mut trial = Command::new(unshare);
    let trial = trial.args(["--fork", "--pid", "--mount-proc", "true"]).output().unwrap();
    if !trial.status.success() && !waived("pid-namespace") {
        let text = String::from_utf8_lossy(&trial.stderr).into_owned();
        panic!("{text}: UWRING_TEST_WAIVE=pid-namespace does without");
    }
    trial.status.success()
}

/// A server that is process 1 of a namespace, without `master`; and its number outside.
fn first_process(mode: Mode, name: &str, more: &[&str]) -> (Server, u32) {
    let mut command = clean(Path::new("unshare"));
    command.args(["--fork", "--pid", "--mount-proc", "--kill-child"]);
    command.arg(env!("CARGO_BIN_EXE_uwring")).args(["--http-socket", "127.0.0.1:0"]);
    command.args(["--wsgi-file", &app(name), "--isolation", mode.isolation, "--io", mode.io]);
    command.args(more);
    let server = Server::await_ready(command, mode);
    let first = children(server.pid());
    assert_eq!(first.len(), 1, "{first:?}");
    (server, first[0])
}

#[test]
fn process_1_stops_gracefully_and_reaps_orphans() {
    if !can_be_first() {
        return;
    }
    for_each_mode(|mode| {
        let (mut server, first) = first_process(mode, "evaluates", &[]);
        let directory = scratch();
        let go = directory.path().join("go");
        assert_eq!(server.get("/?uwsgi.masterpid%28%29").text(), "1");
        // The shell ends, and what it left is the first process's.
        server.get("/?os.system%28%27sleep%201000%20%3E%20/dev/null%202%3E%261%20%26%27%29");
        let mut orphan = 0;
        eventually("the orphan is adopted", || {
            orphan = children(first).into_iter().find(|&pid| name(pid) == "sleep").unwrap_or(0);
            orphan != 0
        });
        uwring::sys::kill(orphan as i32, libc::SIGKILL);
        // A zombie would keep its number.
        eventually("it is reaped", || !Path::new(&format!("/proc/{orphan}")).exists());

        let mut client = server.connect();
        let wait = format!(
            "print%28%27waits%27%29%20or%20%28[time.sleep%280.01%29%20for%20_%20in%20iter%28lambda:\
             %20os.path.exists%28%27{}%27%29,%20True%29],%20%27done%27%29[1]",
            go.display()
        );
        client.send(format!("GET /?{wait} HTTP/1.1\r\nHost: a\r\n\r\n"));
        server.log.line("waits");
        uwring::sys::kill(first as i32, libc::SIGTERM);
        server.log.line("SIGTERM received: finishing the requests in flight");
        std::fs::write(&go, "").unwrap();
        assert_eq!(client.response().text(), "\"done\"");
        assert_eq!(server.stop(0), 0);
    });
}

#[test]
fn a_pidfile_that_names_process_1_reloads_and_stops_it() {
    if !can_be_first() {
        return;
    }
    let directory = scratch();
    let pidfile = directory.path().join("pid").display().to_string();
    let (mut server, first) = first_process(Mode::ANY, "hello", &["--pidfile", &pidfile]);
    assert_eq!(std::fs::read_to_string(&pidfile).unwrap().trim(), "1");
    // As `docker exec` does it.
    let inside = |option: &str| {
        let mut enter = clean(Path::new("nsenter"));
        // With its root: these tests may run in a root of their own.
        enter.args(["--target", &first.to_string(), "--pid", "--mount", "--root"]);
        let output = enter.arg(env!("CARGO_BIN_EXE_uwring")).args([option, &pidfile]).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    inside("--reload");
    server.log.line("a successor serves");
    assert_eq!(server.get("/").text(), "hello");
    inside("--stop");
    assert_eq!(server.stop(0), 0);
}

#[test]
fn systemd_accepts_the_example_unit() {
    let Some(analyze) = tools::program("systemd-analyze") else { return };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let unit = std::fs::read_to_string(root.join("examples/systemd/my_app.service")).unwrap();
    let installed = "ExecStart=/usr/local/bin/uwring ";
    assert!(unit.contains(installed), "{unit}");
    let own = format!("ExecStart={} ", env!("CARGO_BIN_EXE_uwring"));
    let directory = scratch();
    let file = directory.path().join("my_app.service");
    std::fs::write(&file, unit.replace(installed, &own)).unwrap();
    let output = Command::new(analyze).arg("verify").arg(&file).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    let said: Vec<&str> = text.lines().filter(|line| line.contains("my_app.service")).collect();
    assert!(output.status.success() && said.is_empty(), "{text}");
}

#[test]
fn the_example_units_options_are_all_honoured() {
    let directory = scratch();
    let ini = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/systemd/my_app.ini");
    let text = std::fs::read_to_string(ini).unwrap();
    // Its places are of another machine.
    let text = text.replace("/run/my_app", &directory.path().display().to_string());
    let text = text.replace("home = venv\n", "").replace("module = wsgi", "module = hello");
    let ini = directory.path().join("my_app.ini");
    std::fs::write(&ini, text).unwrap();
    std::fs::copy(app("hello"), directory.path().join("hello.py")).unwrap();
    let args = ["--ini", ini.to_str().unwrap(), "--strict"];
    let mut server = Server::start_in(Mode::ANY, &args, directory.path());
    assert!(!server.log.text().contains("warning:"), "{}", server.log.text());
    assert_eq!(server.stop(libc::SIGTERM), 0);
    assert!(!directory.path().join("my_app.sock").exists(), "vacuum");
}
