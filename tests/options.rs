//! The command line: what starts a server, what does not, and how it says so.

use std::path::Path;

use crate::harness::process::Process;
use crate::harness::server::{Mode, command};
use crate::harness::{Client, Server, app, for_each_mode, scratch};

/// Runs a command that ends by itself: exit code and output.
fn run(args: &[&str]) -> (i32, String) {
    Process::start(command(args)).finish()
}

/// Asserts that the server does not start, and that its last line has `parts`.
fn refuses(args: &[&str], code: i32, parts: &[&str]) {
    let (found, log) = run(args);
    assert_eq!(found, code, "{args:?}\n{log}");
    let last = log.trim_end().lines().last().unwrap_or("");
    assert!(last.starts_with("uwring: "), "one line that says why: {args:?}\n{log}");
    for part in parts {
        assert!(last.contains(part), "{part:?} is not in the last line: {args:?}\n{log}");
    }
    assert!(!log.contains("panicked") && !log.contains("uwring is ready"), "{log}");
}

#[test]
fn refuses_an_unknown_option_and_names_it() {
    refuses(&["--no-such-option", "x"], 1, &["no-such-option"]);
    refuses(&["--http-socket", ":0", "--harikiri", "5"], 1, &["harikiri"]);
}

#[test]
fn refuses_values_of_the_wrong_kind() {
    refuses(&["--http-socket", ":0", "--processes", "many"], 1, &["processes", "many"]);
    refuses(&["--http-socket", ":0", "--threads", "-1"], 1, &["threads"]);
    refuses(&["--http-socket", ":0", "--isolation", "vm"], 1, &["isolation", "vm"]);
    refuses(&["--http-socket", ":0", "--io", "kqueue"], 1, &["io", "kqueue"]);
    refuses(&["--http-socket", ":port"], 1, &["port"]);
    refuses(&["--http-socket"], 1, &["http-socket"]);
}

#[test]
fn refuses_to_listen_on_nothing() {
    refuses(&["--wsgi-file", &app("hello")], 1, &["--http-socket"]);
}

#[test]
fn refuses_a_port_in_use_even_one_of_its_own_kind() {
    let first = Server::http(Mode::ANY, "hello", &[]);
    let hello = app("hello");
    for option in ["--http-socket", "--http", "--socket"] {
        refuses(
            &[option, first.address(), "--wsgi-file", &hello],
            1,
            &[first.address(), "Address already in use"],
        );
    }
    assert_eq!(first.get("/").text(), "hello");
}

/// uWSGI: the first address of the machine that begins so.
#[test]
fn finds_the_address_that_a_star_stands_for() {
    let args = ["--http-socket", "127.*:0", "--wsgi-file", &app("hello")];
    let server = Server::start(Mode::ANY, &args);
    assert!(server.address().starts_with("127."), "{}", server.address());
    assert_eq!(server.get("/").text(), "hello");
    refuses(&["--http-socket", "198.51.*:0"], 1, &["198.51.*:0", "no such address"]);
}

#[test]
fn refuses_socket_paths_that_cannot_be_made() {
    let hello = app("hello");
    refuses(
        &["--socket", "/nowhere/at/all/app.sock", "--wsgi-file", &hello],
        1,
        &["/nowhere/at/all/app.sock"],
    );
    let long = format!("/tmp/{}.sock", "x".repeat(150));
    refuses(&["--socket", &long, "--wsgi-file", &hello], 1, &["xxx"]);
    let directory = scratch();
    let file = directory.path().join("file");
    std::fs::write(&file, "precious").unwrap();
    let shown = file.display().to_string();
    let _ = run(&["--socket", &format!("{shown}/app.sock"), "--wsgi-file", &hello]);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
}

#[test]
fn never_removes_a_file_that_is_no_socket() {
    let directory = scratch();
    let file = directory.path().join("precious");
    std::fs::write(&file, "precious").unwrap();
    let shown = file.display().to_string();
    refuses(&["--socket", &shown, "--wsgi-file", &app("hello")], 1, &[&shown]);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
}

#[test]
fn leaves_no_socket_and_no_pidfile_of_a_start_that_failed() {
    let directory = scratch();
    let sock = directory.path().join("app.sock");
    let shown = sock.display().to_string();
    refuses(
        &["--socket", &shown, "--socket", "/nowhere/b.sock", "--wsgi-file", &app("hello")],
        1,
        &["/nowhere"],
    );
    assert!(!sock.exists());
    let (code, _) = run(&["--socket", &shown, "--wsgi-file", "/nowhere/app.py", "--need-app"]);
    assert_eq!(code, 22);
    assert!(!sock.exists());
}

#[test]
fn refuses_directories_users_and_files_that_do_not_exist() {
    let hello = app("hello");
    refuses(
        &["--http-socket", ":0", "--wsgi-file", &hello, "--chdir", "/nowhere"],
        1,
        &["chdir", "/nowhere"],
    );
    refuses(
        &["--http-socket", ":0", "--wsgi-file", &hello, "--uid", "nobody-at-all"],
        1,
        &["nobody-at-all"],
    );
    refuses(
        &["--http-socket", ":0", "--wsgi-file", &hello, "--pidfile", "/nowhere/pid"],
        1,
        &["/nowhere/pid"],
    );
    refuses(
        &["--http-socket", ":0", "--wsgi-file", &hello, "--logto", "/nowhere/log"],
        1,
        &["/nowhere/log"],
    );
    refuses(&["--ini", "/nowhere/app.ini"], 1, &["/nowhere/app.ini"]);
    refuses(&["--http-socket", ":0", "--wsgi-file", &hello, "-H", "/nowhere"], 1, &["/nowhere"]);
}

#[test]
fn answers_500_without_an_app_and_says_why() {
    for_each_mode(|mode| {
        for (args, cause) in [
            (&["--wsgi-file", "/nowhere/app.py"][..], "/nowhere/app.py"),
            (&["--module", "no_such_module"], "no_such_module"),
            (&["--module", "json"], "application"),
            (&["--module", "json:no_such_name"], "no_such_name"),
        ] {
            let mut all = vec!["--http-socket", "127.0.0.1:0"];
            all.extend_from_slice(args);
            let server = Server::start(mode, &all);
            let response = server.get("/");
            assert_eq!(response.status, 500, "{args:?}");
            assert!(server.log.text().contains(cause), "{args:?}\n{}", server.log.text());
            server.log.line("no python application found, check your startup logs for errors");
            server.log.line("*** no app loaded");
        }
    });
}

#[test]
fn shows_the_traceback_of_an_app_that_raises_at_import_once() {
    for_each_mode(|mode| {
        for lazy in [&[][..], &["--lazy-apps"]] {
            let server = Server::http(mode, "raises_at_import", lazy);
            assert_eq!(server.get("/").status, 500);
            let log = server.log.text();
            assert_eq!(log.matches("ZeroDivisionError: at import").count(), 1, "{log}");
            assert!(log.contains("unable to load app"), "{log}");
        }
    });
}

#[test]
fn exits_with_22_when_it_needs_an_app_and_has_none() {
    for_each_mode(|mode| {
        for file in [app("raises_at_import"), "/nowhere/app.py".to_owned()] {
            let args = [
                "--http-socket",
                "127.0.0.1:0",
                "--wsgi-file",
                &file,
                "--need-app",
                "--isolation",
                mode.isolation,
                "--io",
                mode.io,
                "--processes",
                "2",
            ];
            let (code, log) = run(&args);
            assert_eq!(code, 22, "{log}");
        }
    });
}

#[test]
fn answers_help_and_version() {
    let (code, text) = run(&["--help"]);
    assert!(code == 0 && text.contains("--http-socket") && text.contains("--wsgi-file"), "{text}");
    let (code, text) = run(&["--version"]);
    assert!(code == 0 && text.contains(env!("CARGO_PKG_VERSION")), "{text}");
    let (code, text) = run(&["--python-version"]);
    let start = format!("3.{}.", env!("UWRING_PYTHON_MINOR"));
    assert!(code == 0 && text.starts_with(&start) && text.trim().len() < 12, "{text}");
}

#[test]
fn shows_the_configuration() {
    let hello = app("hello");
    let mut server = Server::http(Mode::ANY, "hello", &["--show-config", "--processes", "3"]);
    let log = server.log.text();
    assert!(
        log.contains("processes = 3") && log.contains(&format!("wsgi-file = {hello}")),
        "{log}"
    );
    server.stop(libc::SIGTERM);
}

#[test]
fn runs_under_the_name_of_uwsgi() {
    for_each_mode(|mode| {
        let directory = scratch();
        let link = directory.path().join("uwsgi");
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_uwring"), &link).unwrap();
        let hello = app("hello");
        let args = [
            "--http-socket",
            "127.0.0.1:0",
            "--wsgi-file",
            &hello,
            "--master",
            "--isolation",
            mode.isolation,
            "--io",
            mode.io,
        ];
        let own = command(&args);
        let mut named = std::process::Command::new(&link);
        named.args(own.get_args());
        for (name, _) in own.get_envs() {
            named.env_remove(name);
        }
        let server = Server::await_ready(named, mode);
        assert_eq!(server.get("/").text(), "hello");
    });
}

/// uWSGI: of two variables the later one counts.
#[test]
fn keeps_the_order_of_the_environment_when_it_becomes_another() {
    let directory = scratch();
    let own = directory.path().join("uwring");
    std::fs::copy(env!("CARGO_BIN_EXE_uwring"), &own).unwrap();
    let minor = if env!("UWRING_PYTHON_MINOR") == "10" { 11 } else { 10 };
    let env = crate::harness::tools::program("env").unwrap();
    std::os::unix::fs::symlink(&env, directory.path().join(format!("uwring-3.{minor}"))).unwrap();
    let mut command = std::process::Command::new(env);
    command.args(["-i", "UWSGI_THREADS=2", "UWSGI_HARAKIRI=9", "A=1", "UWSGI_BUFFER_SIZE=4096"]);
    command.arg(format!("UWRING_PYTHON=3.{minor}")).arg(&own);
    let text = String::from_utf8(command.output().unwrap().stdout).unwrap();
    let names: Vec<_> = text.lines().filter_map(|line| line.split_once('=')).collect();
    let names: Vec<_> = names.iter().map(|(name, _)| *name).collect();
    let expected = ["UWSGI_THREADS", "UWSGI_HARAKIRI", "A", "UWSGI_BUFFER_SIZE", "UWRING_PYTHON"];
    assert_eq!(names[..5], expected);
    assert_eq!(names[5..], ["UWRING_EXECUTED"]);
}

#[test]
fn serves_the_commands_of_the_tutorial() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    for_each_mode(|mode| {
        for (file, socket) in [
            ("foobar.py", "--http"),
            ("foobar_bytes.py", "--http"),
            ("foobar_bytes.py", "--http-socket"),
        ] {
            let args = [
                socket,
                "127.0.0.1:0",
                "--wsgi-file",
                file,
                "--master",
                "--processes",
                "4",
                "--threads",
                "2",
            ];
            let server = Server::start_in(mode, &args, &examples);
            let response = server.get("/");
            assert_eq!(response.text(), "<h1 style='color:blue'>Hello There!</h1>");
            assert_eq!(response.field("content-type"), Some("text/html"));
            server.log.line("spawned uWSGI worker 4");
        }
    });
}

#[test]
fn speaks_http_on_a_plain_socket_when_asked() {
    for_each_mode(|mode| {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/apps");
        let args = ["--socket", "127.0.0.1:0", "--protocol=http", "-w", "callables:function"];
        let server = Server::start_in(mode, &args, &directory);
        assert_eq!(server.get("/").text(), "function");
    });
}

#[test]
fn finds_modules_by_chdir_and_pythonpath() {
    for_each_mode(|mode| {
        let apps = crate::harness::tests_path("apps").display().to_string();
        for place in ["--chdir", "--pythonpath"] {
            let args = [
                "--http-socket",
                "127.0.0.1:0",
                place,
                &apps,
                "--module",
                "callables",
                "--callable",
                "function",
            ];
            let server = Server::start_in(mode, &args, Path::new("/"));
            assert_eq!(server.get("/").text(), "function", "{place}");
        }
    });
}

#[test]
fn sets_environment_variables_for_the_app() {
    for_each_mode(|mode| {
        let server =
            Server::http(mode, "shows_os_environ", &["--env", "COLOUR=blue", "--env", "SIZE=a=b"]);
        assert_eq!(server.get("/?COLOUR").text(), "blue");
        assert_eq!(server.get("/?SIZE").text(), "a=b");
    });
}

#[test]
fn reads_variables_from_the_files_of_a_directory() {
    let directory = scratch();
    for (name, text) in [("COLOUR", "blue\nsecond line\n"), ("SIZE", ""), (".HIDDEN", "x")] {
        std::fs::write(directory.path().join(name), text).unwrap();
    }
    let envdir = directory.path().display().to_string();
    for_each_mode(|mode| {
        let options = ["--env", "SIZE=9", "--env", "HIDDEN=y", "--envdir", &envdir];
        let server = Server::http(mode, "shows_os_environ", &options);
        assert_eq!(server.get("/?COLOUR").text(), "blue");
        assert_eq!(server.get("/?SIZE").text(), "unset");
        assert_eq!(server.get("/?.HIDDEN").text(), "unset");
    });
}

#[test]
fn takes_options_from_the_environment() {
    let mut command = command(&["--wsgi-file", &app("hello")]);
    command.env("UWSGI_HTTP_SOCKET", "127.0.0.1:0").env("UWSGI_PROCESSES", "2");
    let server = Server::await_ready(command, Mode::ANY);
    server.log.line("spawned uWSGI worker 2");
    assert_eq!(server.get("/").text(), "hello");
}

#[test]
fn listens_on_several_sockets_at_once() {
    for_each_mode(|mode| {
        let directory = scratch();
        let path = directory.path().join("a.sock").display().to_string();
        let hello = app("hello");
        let args = [
            "--http-socket",
            "127.0.0.1:0",
            "--http",
            "127.0.0.1:0",
            "--http-socket",
            &path,
            "--wsgi-file",
            &hello,
        ];
        let server = Server::start(mode, &args);
        assert_eq!(server.addresses.len(), 3);
        for address in &server.addresses {
            assert_eq!(Client::connect(address).get("/").text(), "hello", "{address}");
        }
    });
}

#[test]
fn writes_the_log_to_a_file() {
    for_each_mode(|mode| {
        let directory = scratch();
        let path = directory.path().join("log");
        let shown = path.display().to_string();
        let hello = app("all_by_path");
        let mut command = command(&[
            "--http-socket",
            "127.0.0.1:0",
            "--wsgi-file",
            &hello,
            "--logto",
            &shown,
            "--isolation",
            mode.isolation,
            "--io",
            mode.io,
        ]);
        command.current_dir("/");
        let mut process = Process::start(command);
        let read = || std::fs::read_to_string(&path).unwrap_or_default();
        let mut address = String::new();
        crate::harness::eventually("the ready line in the file", || {
            let text = read();
            let ready = text.lines().find(|line| line.contains("uwring is ready"));
            address = ready.and_then(|line| line.split(", on ").nth(1)).unwrap_or("").to_owned();
            !address.is_empty()
        });
        assert_eq!(Client::connect(&address).get("/prints?file").status, 200);
        assert_eq!(process.stop(libc::SIGTERM), 0);
        let text = read();
        for part in ["GET /prints?file", "<out file>", "<err file>", "goodbye"] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    });
}
