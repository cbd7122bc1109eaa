//! The master: reloads that nobody notices, restarts, and the ways to ask for both.

use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use crate::harness::process::Process;
use crate::harness::server::{clean, command};
use crate::harness::traffic::Traffic;
use crate::harness::{Mode, Server, app, eventually, for_each_mode, full, scratch};

/// Waits until the process of that number is gone.
fn await_gone(pid: i32) {
    let path = format!("/proc/{pid}");
    eventually("the old process leaves", || !Path::new(&path).exists());
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
}

#[test]
fn a_reload_loses_no_request_and_closes_no_connection() {
    let reloads = if full() { 100 } else { 4 };
    for_each_mode(|mode| {
        let directory = scratch();
        let unix = directory.path().join("http.sock").display().to_string();
        let more = ["--master", "--processes", "2", "--http-socket", &unix, "--disable-logging"];
        let mut server = Server::http(mode, "all_by_path", &more);
        let mut idle = server.connect();
        idle.assert_open();
        let mut silent = server.connect();
        let traffic = Traffic::start(&[server.address(), &unix], "/hello");
        let mut pids = vec![server.worker_pid()];
        for reload in 1..=reloads {
            let before = traffic.requests();
            server.signal(libc::SIGHUP);
            server.await_starts(reload + 1);
            eventually("the load goes on", || traffic.requests() > before + 20);
            let mut pid = 0;
            eventually("a new process answers", || {
                pid = server.worker_pid();
                !pids.contains(&pid)
            });
            pids.push(pid);
        }
        let outcome = traffic.stop();
        assert!(outcome.failures.is_empty(), "{:?}", outcome.failures);
        assert_eq!(outcome.closes, 0, "of {} requests", outcome.requests);
        idle.assert_open();
        silent.assert_open();
        assert_eq!(server.stop(libc::SIGTERM), 0);
    });
}

#[test]
fn requests_that_run_at_a_reload_are_finished_by_the_old_workers() {
    for_each_mode(|mode| {
        let server = Server::http(mode, "all_by_path", &["--master"]);
        let directory = scratch();
        let path = directory.path().join("go");
        let old = server.worker_pid();
        let mut client = server.connect();
        // The next request is on its way already: it is for the successor.
        let slow = format!("GET /waits?{} HTTP/1.1\r\nHost: a\r\n\r\n", path.display());
        client.send(format!("{slow}GET /pid HTTP/1.1\r\nHost: a\r\n\r\n"));
        server.log.line("waiting for");
        server.signal(libc::SIGHUP);
        server.log.line("a successor serves");
        write(&path, "");
        assert_eq!(client.response().text(), "waited");
        let served_by: i32 = client.response().text().parse().unwrap();
        assert_ne!(served_by, old, "by the old one");
        await_gone(old);
    });
}

#[test]
fn new_code_that_cannot_be_loaded_leaves_the_old_serving() {
    for_each_mode(|mode| {
        let directory = scratch();
        let code = directory.path().join("app.py");
        let says = |what: &str| {
            let text =
                format!("def application(e, s):\n    s('200 OK', [])\n    return [b'{what}']\n");
            write(&code, &text);
        };
        says("one");
        let name = code.display().to_string();
        let args = ["--http-socket", "127.0.0.1:0", "--wsgi-file", &name, "--master"];
        let server = Server::start(mode, &args);
        let mut client = server.connect();
        assert_eq!(client.get("/").text(), "one");
        write(&code, "raise RuntimeError('half written')\n");
        server.signal(libc::SIGHUP);
        server.log.line("did not start (exit code 22): the old one goes on");
        server.log.line("RuntimeError: half written");
        assert_eq!(client.get("/").text(), "one", "the old code");
        says("two");
        server.signal(libc::SIGHUP);
        eventually("the new code, on the same connection", || client.get("/").text() == "two");
    });
}

#[test]
fn a_reload_reads_the_configuration_again() {
    for_each_mode(|mode| {
        let directory = scratch();
        let ini = directory.path().join("app.ini");
        let (first, second) = (directory.path().join("a.sock"), directory.path().join("b.sock"));
        let text = |more: &str| {
            let app = app("all_by_path");
            write(&ini, &format!("[uwsgi]\nmaster = 1\nwsgi-file = {app}\nvacuum = 1\n{more}\n"));
        };
        text(&format!("http-socket = 127.0.0.1:0\nhttp-socket = {}", first.display()));
        let mut server = Server::start(mode, &["--ini", ini.to_str().unwrap()]);
        let mut client = server.connect();
        assert_eq!(client.get("/describe").status, 200);

        text(&format!(
            "processes = 3\nhttp-socket = {}\nhttp-socket = 127.0.0.1:0",
            second.display()
        ));
        server.signal(libc::SIGHUP);
        let ready = server.log.find("second start", |text| {
            let line = text.lines().filter(|line| line.contains("uwring is ready:")).nth(1)?;
            Some(line.to_owned())
        });
        assert!(ready.contains("3 worker(s)"), "{ready}");
        assert!(ready.contains(server.address()), "the port stays: {ready}");
        assert_eq!(client.get("/hello").text(), "hello", "the connection stays");
        assert_eq!(crate::harness::Client::connect(second.to_str().unwrap()).get("/").status, 200);
        eventually("the old socket's file is removed", || !first.exists());

        write(&ini, "[uwsgi]\nprocesses = many\n");
        server.signal(libc::SIGHUP);
        server.log.line("nothing was changed, the old server goes on");
        let error = server.log.line("app.ini:2: processes: expected");
        assert!(error.contains("found \"many\""), "{error}");
        client.assert_open();
        assert_eq!(server.stop(libc::SIGTERM), 0);
        assert!(!second.exists(), "vacuum");
    });
}

#[test]
fn a_server_process_that_dies_is_replaced_and_its_sockets_live_on() {
    for_each_mode(|mode| {
        let server = Server::http(mode, "all_by_path", &["--master"]);
        let first = server_process(&server);
        // It has lived long enough not to have died of starting.
        std::thread::sleep(std::time::Duration::from_millis(2100));
        let signal = if mode.is_process() {
            uwring::sys::kill(first, libc::SIGKILL);
            "SIGKILL"
        } else {
            let mut client = server.connect();
            client.send("GET /segfaults HTTP/1.1\r\nHost: a\r\n\r\n");
            assert!(client.try_response().is_err(), "its request is lost");
            server.log.line(&format!("!!! uwring process {first} got Segmentation Fault !!!"));
            server.log.line("!!! it ran GET /segfaults on worker 1 core 0 !!!");
            server.log.line(&format!("*** backtrace of {first} ***"));
            server.log.line("_ctypes");
            server.log.line("*** end of backtrace ***");
            server.log.line("segfaults.py\", line 6 in application");
            "SIGSEGV"
        };
        server.log.line(&format!(
            "DAMN ! server process (pid: {first}) died, killed by {signal} :( trying respawn now"
        ));
        // A connection that comes meanwhile waits in the listener's queue.
        let mut client = server.connect();
        assert_eq!(client.get("/hello").text(), "hello");
        assert_ne!(server_process(&server), first);
    });
}

/// The one child of the master.
fn server_process(server: &Server) -> i32 {
    let path = format!("/proc/{0}/task/{0}/children", server.pid());
    let text = std::fs::read_to_string(path).unwrap();
    let pids: Vec<i32> = text.split_ascii_whitespace().map(|pid| pid.parse().unwrap()).collect();
    assert_eq!(pids.len(), 1, "children of the master: {text}");
    pids[0]
}

#[test]
fn a_server_process_that_cannot_start_is_tried_less_and_less_often() {
    let directory = scratch();
    let code = directory.path().join("app.py");
    write(&code, "def application(e, s):\n    s('200 OK', [])\n    return [b'x']\n");
    let name = code.display().to_string();
    let args = ["--http-socket", "127.0.0.1:0", "--wsgi-file", &name, "--master", "--need-app"];
    let server = Server::start(Mode::ANY, &args);
    write(&code, "raise RuntimeError('broken')\n");
    uwring::sys::kill(server_process(&server), libc::SIGKILL);
    // On a busy machine it may have served for long enough.
    server.log.find("its end", |text| {
        let when = ["now ...", "in 2 s, since it served"];
        let told = |when| text.contains(&format!("killed by SIGKILL :( trying respawn {when}"));
        when.into_iter().any(told).then_some(())
    });
    server.log.line("exit code 22 :( trying respawn in 4 s");
    write(&code, "def application(e, s):\n    s('200 OK', [])\n    return [b'y']\n");
    assert_eq!(server.get("/").text(), "y");
}

#[test]
fn a_reload_while_a_restart_waits_starts_one_successor() {
    let server = Server::http(Mode::ANY, "hello", &["--master"]);
    uwring::sys::kill(server_process(&server), libc::SIGKILL);
    server.log.line("trying respawn in 2 s");
    server.signal(libc::SIGHUP);
    server.await_starts(2);
    // Longer than the restart would have waited.
    std::thread::sleep(std::time::Duration::from_millis(2500));
    assert_eq!(server.log.text().matches("uwring is ready:").count(), 2);
    server_process(&server);
}

#[test]
fn the_first_start_ends_with_the_reason_of_the_server_process() {
    let args = ["--http-socket", "127.0.0.1:0", "--wsgi-file", &app("raises_at_import")];
    let mut command = command(&args);
    command.args(["--master", "--need-app", "--isolation", "process"]);
    let (code, log) = Process::start(command).finish();
    assert_eq!(code, 22, "{log}");
    assert!(log.contains("no app loaded. GAME OVER"), "{log}");
    assert!(!log.contains("respawn"), "{log}");
}

#[test]
fn the_server_process_leaves_when_its_master_is_killed() {
    for_each_mode(|mode| {
        let mut server = Server::http(mode, "hello", &["--master", "--processes", "2"]);
        // Waits for the last child's end, too.
        assert_eq!(server.stop(libc::SIGKILL), 128 + libc::SIGKILL);
        let log = server.log.text();
        assert!(log.contains("the master is gone: finishing the requests in flight"), "{log}");
    });
}

#[test]
fn a_touched_file_and_the_pipe_and_the_app_ask_for_a_reload() {
    let directory = scratch();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let (touched, late, pipe) = (path("touch"), path("late"), path("pipe"));
    let workers = path("workers");
    write(Path::new(&touched), "");
    write(Path::new(&workers), "");
    let more = [
        "--touch-reload",
        &touched,
        "--touch-chain-reload",
        &late,
        "--touch-workers-reload",
        &workers,
        "--master-fifo",
        &pipe,
        "--python-path",
        "tests/apps",
    ];
    let server = Server::http(Mode::ANY, "all_by_path", &more);
    assert!(std::fs::metadata(&pipe).unwrap().file_type().is_fifo());
    server.log.line(&format!("unable to stat() {late}"));
    write(Path::new(&touched), "now");
    server.log.line(&format!("*** {touched} has been touched"));
    server.await_starts(2);
    // uWSGI 2.0.31: a file that appears is touched. One that goes is only told here.
    write(Path::new(&late), "");
    server.log.line(&format!("*** {late} has been touched"));
    server.await_starts(3);
    std::fs::remove_file(&late).unwrap();
    server.log.line(&format!("{late} has been removed"));
    write(Path::new(&pipe), "r");
    server.await_starts(4);
    write(Path::new(&pipe), "z");
    server.log.line("master-fifo: unknown command 'z'");
    assert_eq!(server.get("/reloads").text(), "asked");
    server.await_starts(5);
    write(Path::new(&workers), "now");
    server.await_starts(6);
    write(Path::new(&pipe), "s");
    server.log.line("requests, 0 exceptions");
    let pid = server_process_soon(&server);
    write(Path::new(&pipe), "q");
    await_gone(pid);
    server.log.line("goodbye to uwring.");
    let text = server.log.text();
    assert_eq!(text.matches("uwring is ready:").count(), 6, "{text}");
}

/// The one child of the master, once its predecessors have left.
fn server_process_soon(server: &Server) -> i32 {
    let path = format!("/proc/{0}/task/{0}/children", server.pid());
    let mut pid = 0;
    eventually("the old ones leave", || {
        let text = std::fs::read_to_string(&path).unwrap();
        pid = text.trim().parse().unwrap_or(0);
        pid != 0
    });
    pid
}

#[test]
fn exit_on_reload_stops() {
    let mut server = Server::http(Mode::ANY, "hello", &["--master", "--exit-on-reload"]);
    assert_eq!(server.stop(libc::SIGHUP), 0);
}

#[test]
fn a_pidfile_names_whom_to_reload_and_to_stop() {
    let directory = scratch();
    let pidfile = directory.path().join("pid").display().to_string();
    let more = ["--master", "--pidfile", &pidfile, "--vacuum"];
    let mut server = Server::http(Mode::ANY, "hello", &more);
    assert_eq!(std::fs::read_to_string(&pidfile).unwrap().trim(), server.pid().to_string());
    let run = |args: &[&str]| Process::start(command(args)).finish();
    assert_eq!(run(&["--reload", &pidfile]).0, 0);
    server.await_starts(2);
    assert_eq!(run(&["--stop", &pidfile]).0, 0);
    assert_eq!(server.stop(0), 0);
    assert!(!Path::new(&pidfile).exists());

    let fails = |text: &str, because: &str| {
        write(Path::new(&pidfile), text);
        let (code, log) = run(&["--stop", &pidfile]);
        assert_eq!(code, 1, "{log}");
        assert!(log.contains(because), "{log}");
    };
    fails(&server.pid().to_string(), "does not run any more: nothing was sent");
    fails(&std::process::id().to_string(), "no server of this kind: nothing was sent");
    fails("none", "there is no process number in this file");
}

#[test]
fn takes_the_sockets_that_systemd_opened() {
    for_each_mode(|mode| {
        let directory = scratch();
        let unix = directory.path().join("u.sock");
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = tcp.local_addr().unwrap().to_string();
        let listener = std::os::unix::net::UnixListener::bind(&unix).unwrap();
        let sockets: [OwnedFd; 2] = [tcp.into(), listener.into()];
        // Inherited by other children of this program too, which do not look at them.
        let numbers = sockets.each_ref().map(|socket| {
            rustix::io::fcntl_setfd(socket, rustix::io::FdFlags::empty()).unwrap();
            socket.as_raw_fd()
        });
        // The unix socket stands in the configuration, the other one does not.
        let served = command(&["--protocol", "http", "--http-socket", unix.to_str().unwrap()]);
        let [first, second] = numbers;
        let script = format!("LISTEN_PID=$$ LISTEN_FDS=2 exec \"$@\" 3<&{first} 4<&{second}");
        let mut shell = clean(Path::new("bash"));
        shell.args(["-c", &script, "bash"]).arg(served.get_program()).args(served.get_args());
        shell.args(["--wsgi-file", &app("all_by_path"), "--master", "--processes", "2"]);
        shell.args(["--isolation", mode.isolation, "--io", mode.io]);
        let mut server = Server::await_ready(shell, mode);
        server.log.line("- SystemD socket activation detected -");
        for at in [address.as_str(), unix.to_str().unwrap()] {
            let mut client = crate::harness::Client::connect(at);
            assert_eq!(client.get("/hello").text(), "hello", "{at}");
            assert!(server.addresses.iter().any(|name| name == at), "{:?}", server.addresses);
        }
        server.signal(libc::SIGHUP);
        server.await_starts(2);
        for at in [address.as_str(), unix.to_str().unwrap()] {
            let mut client = crate::harness::Client::connect(at);
            assert_eq!(client.get("/hello").text(), "hello", "{at}");
            for name in ["LISTEN_PID", "LISTEN_FDS"] {
                // The app's children would take them for their own.
                assert_eq!(client.get(&format!("/shows_os_environ?{name}")).text(), "unset");
            }
        }
        assert_eq!(server.stop(libc::SIGTERM), 0);
        assert!(unix.exists(), "it is systemd's");
    });
}

/// Copies a program by another process: of ours a child that another test forks in this moment
/// would hold the new file open for writing, and it could not be executed (ETXTBSY).
fn copy(from: &Path, to: &Path) {
    let status = std::process::Command::new("cp").args([from, to]).status();
    assert!(status.is_ok_and(|status| status.success()), "{}", to.display());
}

#[test]
fn a_new_binary_takes_over_under_the_same_number() {
    for_each_mode(|mode| {
        let directory = scratch();
        let binary = directory.path().join("uwring-installed");
        let install = |name: &str| {
            let new = directory.path().join(name);
            copy(Path::new(env!("CARGO_BIN_EXE_uwring")), &new);
            std::fs::rename(&new, &binary).unwrap();
        };
        install("first");
        let path = |name: &str| directory.path().join(name).display().to_string();
        let (unix, pidfile, pipe) = (path("http.sock"), path("pid"), path("pipe"));
        let mut command = clean(&binary);
        command.args(["--http-socket", "127.0.0.1:0", "--http-socket", &unix, "--vacuum"]);
        command.args(["--wsgi-file", &app("all_by_path"), "--master", "--processes", "2"]);
        command.args(["--pidfile", &pidfile, "--master-fifo", &pipe, "--disable-logging"]);
        command.args(["--stats", "127.0.0.1:0", "--isolation", mode.isolation, "--io", mode.io]);
        let mut server = Server::await_ready(command, mode);
        let mut idle = server.connect();
        idle.assert_open();
        let traffic = Traffic::start(&[server.address(), &unix], "/hello");
        let first = server.worker_pid();
        let executable = || std::fs::read_link(format!("/proc/{}/exe", server.pid())).unwrap();
        assert_eq!(executable(), binary);

        // A file that is no binary of ours changes nothing.
        let (kept, broken) = (directory.path().join("kept"), directory.path().join("broken"));
        copy(Path::new("/bin/false"), &broken);
        std::fs::rename(&binary, &kept).unwrap();
        std::fs::rename(&broken, &binary).unwrap();
        server.signal(libc::SIGHUP);
        server.log.line("would not start");
        server.await_starts(2);

        install("second");
        server.signal(libc::SIGHUP);
        server.log.line("which was replaced");
        server.await_starts(3);
        assert_eq!(executable(), binary, "the file that lies there now");
        eventually("a new process answers", || server.worker_pid() != first);
        // The next binary knows the pipe, and its own successors.
        write(Path::new(&pipe), "r");
        server.await_starts(4);
        let before = traffic.requests();
        eventually("the load goes on", || traffic.requests() > before + 20);
        let outcome = traffic.stop();
        assert!(outcome.failures.is_empty(), "{:?}", outcome.failures);
        assert_eq!(outcome.closes, 0, "of {} requests", outcome.requests);
        idle.assert_open();
        assert_eq!(server.stop(libc::SIGTERM), 0);
        assert!(!Path::new(&unix).exists() && !Path::new(&pidfile).exists(), "vacuum");
    });
}
