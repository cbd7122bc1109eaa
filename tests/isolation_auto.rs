//! `--isolation auto`: what it finds out, what it says, and what it keeps for the next start.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::harness::process::Process;
use crate::harness::server::{command, python_minor};
use crate::harness::{Mode, Server, app, scratch};

const AUTO: Mode = Mode { isolation: "auto", io: "epoll" };

/// Whether this Python has interpreters to choose. What one without them does instead is asserted
/// by the tests of an old Python below.
fn has_choice() -> bool {
    python_minor() >= 13
}

/// The line that says what was chosen.
fn chosen(server: &Server) -> String {
    server.log.line("isolation: ").trim_start_matches("isolation: ").replace(" (tried before)", "")
}

fn imports(modules: &str, more: &[&str]) -> Server {
    let env = format!("IMPORTS={modules}");
    let mut args = vec!["--env", &env, "--processes", "2"];
    args.extend_from_slice(more);
    Server::http(AUTO, "imports", &args)
}

#[test]
fn an_old_python_means_processes() {
    if has_choice() {
        return;
    }
    let minor = python_minor();
    let line = format!(
        "Python 3.{minor} has no interpreters with a GIL of their own: serving with 2 processes; \
         Python 3.13 or newer would lift this"
    );
    // Nothing is tried, so no module is named.
    for modules in ["", "json readline", "json no_such_module?"] {
        let server = imports(modules, &[]);
        assert_eq!(chosen(&server), line);
        assert!(server.log.line("uwring is ready").contains("(process)"));
        assert_eq!(server.get("/").text(), modules.replace(" no_such_module?", ""));
    }
}

#[test]
fn an_old_python_refuses_a_pinned_interpreter() {
    if has_choice() {
        return;
    }
    let needs = "--isolation interpreter needs Python 3.13 or later, this is 3.";
    let needs = format!("{needs}{}", python_minor());
    let hello = app("hello");
    let pinned = ["--wsgi-file", &hello, "--isolation", "interpreter"];
    for more in [&["--http-socket", "127.0.0.1:0"][..], &["--http-socket", ":0", "--master"]] {
        let (code, log) = Process::start(command(&[&pinned[..], more].concat())).finish();
        assert_eq!(code, 1, "{log}");
        let line = format!("uwring: {needs}: leave it out or use --isolation process");
        assert_eq!(log.matches(&line).count(), 1, "{log}");
        assert!(!log.contains("uwring is ready"), "{log}");
    }
    let mut doctor = command(&["doctor"]);
    let output = doctor.args(pinned).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let problem = text.lines().find(|line| line.starts_with("PROBLEM")).unwrap_or_default();
    assert!(problem.ends_with(&needs), "{text}");
}

#[test]
fn a_module_that_refuses_means_processes_and_is_named() {
    if !has_choice() {
        return;
    }
    let server = imports("json readline", &[]);
    assert_eq!(
        chosen(&server),
        "readline refuses sub-interpreters: serving with 2 processes; a release of Python that \
         allows it would lift this"
    );
    assert_eq!(server.get("/").text(), "json readline");
    assert!(server.log.line("uwring is ready").contains("(process)"));
    // Swallowed: the app would go on without it.
    let server = imports("json readline?", &[]);
    assert_eq!(
        chosen(&server),
        "readline refuses sub-interpreters, and the app goes on without it: serving with 2 \
         processes; --isolation interpreter, which accepts that, would lift this"
    );
    assert_eq!(server.get("/").text(), "json readline");
}

#[test]
fn what_allows_interpreters_gets_them() {
    if !has_choice() {
        return;
    }
    // A module that is not there at all is no refusal.
    let server = imports("json datetime decimal sqlite3 no_such_module?", &[]);
    assert_eq!(chosen(&server), "the app can share a process: serving with 2 interpreters");
    assert_eq!(server.get("/").text(), "json datetime decimal sqlite3");
    assert!(server.log.line("uwring is ready").contains("(interpreter)"));
}

#[test]
fn an_app_that_fails_in_interpreters_alone_gets_processes() {
    if !has_choice() {
        return;
    }
    let file = app("differs");
    for (how, line) in [
        (
            "signal",
            "in a sub-interpreter the app raises ValueError: signal only works in main thread of \
             the main interpreter: serving with 1 process; setting no signal handler at import \
             would lift this"
                .to_owned(),
        ),
        (
            "abort",
            format!(
                "in a sub-interpreter the app dies of signal 6 while it imports {file}: serving \
                 with 1 process"
            ),
        ),
        (
            "exit",
            format!(
                "in a sub-interpreter the app ends the process while it imports {file}: serving \
                 with 1 process"
            ),
        ),
        (
            "sleep",
            format!(
                "importing the app twice took more than 1 s while it imports {file}: serving with \
                 1 process; a longer --isolation-timeout would lift this"
            ),
        ),
    ] {
        let env = format!("DIFFERS={how}");
        let more = ["--env", &env, "--isolation-timeout", if how == "sleep" { "1" } else { "60" }];
        let server = Server::http(AUTO, "differs", &more);
        assert_eq!(chosen(&server), line);
        assert_eq!(server.get("/").text(), "hello");
    }
}

#[test]
fn a_broken_app_is_told_by_its_traceback_alone() {
    let server = Server::http(AUTO, "raises_at_import", &["--processes", "2"]);
    let log = server.log.text();
    if has_choice() {
        assert!(!log.contains("isolation:"), "{log}");
    }
    assert_eq!(log.matches("Traceback").count(), 1, "{log}");
    assert_eq!(server.get("/").status, 500);
}

#[test]
fn an_app_that_failed_only_while_it_was_tried_is_served_and_said() {
    if !has_choice() {
        return;
    }
    let directory = scratch();
    let env = format!("COUNT={}", directory.path().join("count").display());
    let server = Server::http(AUTO, "fails_at_first", &["--env", &env]);
    assert_eq!(chosen(&server), "the app failed while it was tried: serving with 1 process(es)");
    assert_eq!(server.get("/").text(), "hello");
}

#[test]
fn the_trial_has_the_master_that_the_app_will_have() {
    if !has_choice() {
        return;
    }
    let server = Server::http(AUTO, "wants_master", &["--master"]);
    assert_eq!(chosen(&server), "the app can share a process: serving with 1 interpreter");
    assert_eq!(server.get("/").text(), "hello");
}

/// A setting that no earlier start had: what one of them found out does not count.
fn something_new() -> (tempfile::TempDir, String) {
    let directory = scratch();
    let setting = format!("NEW={}", directory.path().display());
    (directory, setting)
}

#[test]
fn a_refusal_met_while_serving_is_known_at_the_next_start() {
    if !has_choice() {
        return;
    }
    for master in [true, false] {
        let (_directory, env) = something_new();
        let more = [&["--env", &env][..], if master { &["--master"] } else { &[] }].concat();
        let mut server = Server::http(AUTO, "imports", &more);
        assert!(server.log.line("uwring is ready").contains("(interpreter)"));
        server.get("/readline");
        server.log.line(if master { "changing to processes" } else { "the next start takes them" });
        assert_eq!(server.stop(libc::SIGTERM), 0);
        let server = Server::http(AUTO, "imports", &more);
        let line = chosen(&server);
        assert!(line.starts_with("readline refuses sub-interpreters: serving with"), "{line}");
        server.log.line("(tried before)");
        assert_eq!(server.get("/readline").text(), "readline");
    }
}

#[test]
fn a_refusal_met_while_serving_is_told_once() {
    if !has_choice() {
        return;
    }
    for isolation in ["auto", "interpreter"] {
        let mode = Mode { isolation, ..AUTO };
        let (_directory, env) = something_new();
        let server = Server::http(mode, "imports", &["--processes", "3", "--env", &env]);
        assert!(server.log.line("uwring is ready").contains("(interpreter)"));
        for _ in 0..12 {
            let text = server.get("/readline").text().to_owned();
            assert!(text.contains("does not support loading in subinterpreters"), "{text}");
        }
        server.log.line("isolation: readline refuses sub-interpreters, met while serving");
        assert_eq!(server.log.text().matches("met while serving").count(), 1);
    }
}

#[test]
fn a_refusal_met_while_serving_leads_to_processes() {
    if !has_choice() {
        return;
    }
    let (_directory, env) = something_new();
    let server = Server::http(AUTO, "imports", &["--master", "--env", &env]);
    assert!(server.log.line("uwring is ready").contains("(interpreter)"));
    let mut kept = server.connect();
    assert_eq!(kept.get("/json").text(), "json");
    let text = kept.get("/readline").text().to_owned();
    assert!(text.contains("does not support loading in subinterpreters"), "{text}");
    server.log.line("isolation: changing to processes");
    crate::harness::eventually("it is loaded, on the same connection", || {
        kept.get("/readline").text() == "readline"
    });
    // A reload does not go back to what is known to fail.
    server.signal(libc::SIGHUP);
    server
        .log
        .find("third start", |text| (text.matches("uwring is ready").count() == 3).then_some(()));
    assert_eq!(server.log.text().matches("(interpreter)").count(), 1);
    assert_eq!(kept.get("/readline").text(), "readline");
}

#[test]
fn a_pinned_interpreter_goes_on_without_what_refuses_and_says_so() {
    if !has_choice() {
        return;
    }
    let mode = Mode { isolation: "interpreter", ..AUTO };
    let server =
        Server::http(mode, "imports", &["--env", "IMPORTS=json readline?", "--processes", "2"]);
    assert_eq!(server.get("/").text(), "json");
    let log = server.log.text();
    let line = "isolation: readline refuses sub-interpreters; --isolation process would load it";
    assert_eq!(log.matches(line).count(), 1, "{log}");
}

/// Starts the app in `directory`, which also holds the cache; returns the line.
fn start(directory: &Path) -> String {
    let mut command = command(&[
        "--http-socket",
        "127.0.0.1:0",
        "--module",
        "app",
        "--env",
        "PYTHONDONTWRITEBYTECODE=1",
    ]);
    command.current_dir(directory.join("app"));
    // Nothing to fall back on.
    command.env("XDG_CACHE_HOME", directory.join("cache")).env("TMPDIR", "/proc/none");
    let server = Server::await_ready(command, AUTO);
    assert_eq!(server.get("/").text(), "hello");
    server.log.line("isolation: ")
}

/// Starts until the verdict comes from an earlier start: one on a file that was written at the very
/// moment is not kept.
fn start_until_remembered(directory: &Path) -> String {
    let mut lines = (0..5).map(|_| start(directory));
    lines.find(|line| line.ends_with("(tried before)")).expect("a verdict that was kept")
}

#[test]
fn a_verdict_is_kept_until_the_app_changes() {
    if !has_choice() {
        return;
    }
    let directory = scratch();
    let folder = directory.path().join("app");
    std::fs::create_dir(&folder).unwrap();
    std::fs::copy(app("hello"), folder.join("app.py")).unwrap();
    assert!(!start(directory.path()).contains("tried before"));
    let line = start_until_remembered(directory.path());
    assert!(line.contains("serving with 1 interpreter"), "{line}");
    // A module beside it is found where none was before.
    let text = std::fs::read_to_string(app("hello")).unwrap();
    let tolerant = format!("{text}\ntry:\n    import beside\nexcept ImportError:\n    pass\n");
    std::fs::write(folder.join("app.py"), tolerant).unwrap();
    assert!(!start(directory.path()).contains("tried before"));
    assert!(start_until_remembered(directory.path()).contains("interpreter"));
    std::fs::write(folder.join("beside.py"), "import readline\n").unwrap();
    let line = start(directory.path());
    assert!(line.contains("readline refuses") && !line.contains("tried before"), "{line}");
    // What others can write to is not taken.
    start_until_remembered(directory.path());
    let cache = directory.path().join("cache/uwring");
    std::fs::set_permissions(&cache, PermissionsExt::from_mode(0o777)).unwrap();
    assert!(!start(directory.path()).contains("tried before"));
}

#[test]
fn a_cache_that_cannot_be_written_is_no_failure() {
    if !has_choice() {
        return;
    }
    for _ in 0..2 {
        let mut command = command(&["--http-socket", "127.0.0.1:0", "--wsgi-file", &app("hello")]);
        command.env("XDG_CACHE_HOME", "/proc/none").env("TMPDIR", "/proc/none");
        let server = Server::await_ready(command, AUTO);
        assert_eq!(chosen(&server), "the app can share a process: serving with 1 interpreter");
        assert!(!server.log.text().contains("tried before"));
    }
}
