//! The log in trouble: readers that stop, targets that go, its own process that dies; and that this
//! ends nothing else and tears no line.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::harness::packet::{packet, vars};
use crate::harness::process::Process;
use crate::harness::server::command;
use crate::harness::traffic::Traffic;
use crate::harness::{Client, DEADLINE, Mode, Server, app, eventually, for_each_mode, scratch};

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
}

fn await_text(path: &Path, part: &str) {
    eventually(&format!("{part} in {}", path.display()), || read(path).contains(part));
}

/// The process of the log: the one of the master's children that has this file open.
fn log_process(master: u32, file: &Path) -> i32 {
    let children = format!("/proc/{master}/task/{master}/children");
    let has_it = |pid: &i32| {
        let fds = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        fds.filter_map(|fd| std::fs::read_link(fd.path()).ok()).any(|path| path == file)
    };
    let mut found = None;
    eventually("the log's process", || {
        let text = read(Path::new(&children));
        found = text.split_whitespace().map(|pid| pid.parse().unwrap()).find(has_it);
        found.is_some()
    });
    found.unwrap()
}

fn make_fifo(path: &Path) {
    assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// A reader that does not read.
struct Stopped {
    _lines: BufReader<File>,
    _directory: tempfile::TempDir,
}

/// A server whose log is a FIFO that is read up to the ready line and then no more.
fn with_stopped_reader(app_name: &str, more: &[&str]) -> (Process, Vec<String>, Stopped) {
    let directory = scratch();
    let path = directory.path().join("fifo");
    make_fifo(&path);
    let name = path.display().to_string();
    let app = app(app_name);
    let mut all = vec!["--master", "--http-socket", "127.0.0.1:0", "--wsgi-file", &app];
    all.extend([
        "--socket",
        "127.0.0.1:0",
        "--logto",
        &name,
        "--isolation",
        "process",
        "--io",
        "epoll",
    ]);
    all.extend_from_slice(more);
    let process = Process::start(command(&all));
    // The server opens it without us; reading and writing, nobody waits for the other.
    let reader = File::options().read(true).write(true).open(&path).unwrap();
    let mut lines = BufReader::with_capacity(1, reader);
    loop {
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        if let Some((_, address)) = line.trim().split_once(", on ") {
            let addresses = address.split(' ').map(str::to_owned).collect();
            return (process, addresses, Stopped { _lines: lines, _directory: directory });
        }
    }
}

#[test]
fn a_reader_of_the_log_that_stops_holds_up_no_request_and_no_stop() {
    // What writes the lines is the same in each mode.
    let (mut process, address, _stopped) = with_stopped_reader("hello", &[]);
    let mut client = Client::connect(&address[0]);
    let long = "x".repeat(2000);
    for number in 0..1000 {
        assert_eq!(client.get(&format!("/{number}?{long}")).status, 200);
    }
    // Shards write lines of their own.
    let bytes = packet(99, &vars("GET", "/", &[]));
    for _ in 0..200 {
        let mut client = Client::connect(&address[1]);
        client.send(&bytes);
        client.rest().unwrap();
    }
    assert_eq!(client.get("/last").status, 200);
    drop(client);
    assert_eq!(process.stop(libc::SIGTERM), 0);
}

#[test]
fn what_the_app_prints_waits_for_no_reader_where_the_log_has_an_owner() {
    let more = ["--logger", "stdio"];
    let (mut process, address, _stopped) = with_stopped_reader("prints", &more);
    let mut client = Client::connect(&address[0]);
    let long = "x".repeat(3000);
    let started = Instant::now();
    // 12 MB of what the app prints: more than all pipes hold.
    for number in 0..1000 {
        assert_eq!(client.get(&format!("/?{number}{long}")).status, 200);
    }
    assert!(started.elapsed() < DEADLINE);
    drop(client);
    assert_eq!(process.stop(libc::SIGTERM), 0);
}

#[test]
fn a_file_that_is_gone_when_the_logs_process_dies_stands_in_by_the_first_output() {
    let directory = scratch();
    let logs = directory.path().join("logs");
    std::fs::create_dir(&logs).unwrap();
    let (file, fifo) = (logs.join("all"), directory.path().join("fifo"));
    let (logger, fifo_name) = (format!("file:{}", file.display()), fifo.display().to_string());
    let more = ["--logger", "stdio", "--req-logger", &logger, "--master-fifo", &fifo_name];
    let mut server = Server::http(Mode::ANY, "hello", &more);
    server.get("/one");
    await_text(&file, "GET /one");
    let pid = log_process(server.pid(), &file);
    std::fs::remove_dir_all(&logs).unwrap();
    uwring::sys::kill(pid, libc::SIGKILL);
    server.log.line("the log's process died: a new one writes the log");
    server.get("/two");
    server.log.line("GET /two");
    server.log.line("No such file or directory");
    std::fs::create_dir(&logs).unwrap();
    std::fs::write(&fifo, "l").unwrap();
    server.log.line("all was reopened");
    server.get("/three");
    await_text(&file, "GET /three");
    assert_eq!(server.stop(libc::SIGTERM), 0);
}

#[test]
fn the_logs_process_hears_no_signals_of_the_master() {
    let directory = scratch();
    let file = directory.path().join("all");
    let logger = format!("file:{}", file.display());
    let server = Server::http(Mode::ANY, "hello", &["--logger", "stdio", "--logger", &logger]);
    let first = log_process(server.pid(), &file);
    uwring::sys::kill(first, libc::SIGKILL);
    server.log.line("the log's process died: a new one writes the log");
    let second = log_process(server.pid(), &file);
    assert_ne!(first, second);
    let status = read(Path::new(&format!("/proc/{second}/status")));
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
    let caught = u64::from_str_radix(caught.trim(), 16).unwrap();
    let is_caught = |signal: i32| caught & 1 << (signal - 1) != 0;
    // A handler of the master's would write into whatever has the number of its pipe here.
    assert!(!is_caught(libc::SIGCHLD) && is_caught(libc::SIGTERM), "{status}");
}

#[test]
fn signals_while_the_log_is_finished_cost_no_line() {
    let directory = scratch();
    let path = directory.path().join("all");
    let logger = format!("pipe:sleep 1; exec cat >> {}", path.display());
    let more = ["--logger", "stdio", "--req-logger", &logger];
    let mut server = Server::http(Mode::ANY, "hello", &more);
    let mut client = server.connect();
    let long = "x".repeat(1000);
    for number in 0..300 {
        client.get(&format!("/{number}?{long}"));
    }
    drop(client);
    let pid = server.pid();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                uwring::sys::kill(pid as i32, libc::SIGUSR1);
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        });
        let code = server.stop(libc::SIGTERM);
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(code, 0);
    });
    assert_eq!(read(&path).lines().filter(|line| line.contains("GET /")).count(), 300);
}

/// A configuration that a test changes, in a directory where the server is started and which it
/// leaves for another.
struct Moved {
    directory: tempfile::TempDir,
}

impl Moved {
    fn new() -> Moved {
        let directory = scratch();
        std::fs::create_dir(directory.path().join("elsewhere")).unwrap();
        Moved { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, text: &str) {
        let all = format!("[uwsgi]\nchdir = elsewhere\n{text}\n");
        std::fs::write(self.path("app.ini"), all).unwrap();
    }

    fn start(&self) -> Process {
        let app = app("hello");
        let mut command = command(&["--master", "--http-socket", "127.0.0.1:0"]);
        command.args(["--wsgi-file", &app, "--isolation", "process", "--io", "epoll"]);
        command.args(["--ini", "app.ini"]).current_dir(self.directory.path());
        Process::start(command)
    }
}

#[test]
fn names_of_files_mean_the_same_wherever_the_master_is() {
    let moved = Moved::new();
    moved.write("logger = file:all");
    let mut process = moved.start();
    // uWSGI: the files of loggers lie where `chdir` leads.
    let all = moved.path("elsewhere/all");
    await_text(&all, "uwring is ready:");
    let file = std::fs::canonicalize(&all).unwrap();
    uwring::sys::kill(log_process(process.pid(), &file), libc::SIGKILL);
    await_text(&file, "the log's process died: a new one writes the log");
    moved.write("logger = file:all\nlog-drain = nothing");
    process.signal(libc::SIGHUP);
    eventually("the reload", || read(&all).matches("uwring is ready:").count() == 2);
    assert_eq!(process.stop(libc::SIGTERM), 0);
    assert!(!moved.path("all").exists());
}

#[test]
fn the_log_moves_to_the_file_of_the_new_configuration() {
    let moved = Moved::new();
    moved.write("logto = first\nreq-logger = file:requests");
    let mut process = moved.start();
    await_text(&moved.path("first"), "uwring is ready:");
    moved.write("logto = second");
    process.signal(libc::SIGHUP);
    await_text(&moved.path("second"), "uwring is ready:");
    assert_eq!(process.stop(libc::SIGTERM), 0);
    assert!(read(&moved.path("second")).ends_with("goodbye to uwring.\n"));
}

#[test]
fn long_lines_of_two_server_processes_do_not_mix() {
    let directory = scratch();
    let file = directory.path().join("all");
    let logger = format!("file:{}", file.display());
    let more = ["--logger", "stdio", "--req-logger", &logger];
    let mut server = Server::http(Mode::ANY, "hello", &more);
    let path: &'static str = format!("/hello?{}END", "x".repeat(6000)).leak();
    let pid = log_process(server.pid(), &file);
    let traffic = Traffic::start(&[server.address()], path);
    eventually("traffic", || traffic.requests() > 20);
    // Nobody reads: what holds lines fills up while two of them write.
    uwring::sys::kill(pid, libc::SIGSTOP);
    let before = traffic.requests();
    eventually("more of it", || traffic.requests() > before + 300);
    server.signal(libc::SIGHUP);
    let before = traffic.requests();
    eventually("more of it", || traffic.requests() > before + 300);
    uwring::sys::kill(pid, libc::SIGCONT);
    server.log.find("reload", |text| (text.matches("uwring is ready:").count() == 2).then_some(()));
    let before = traffic.requests();
    eventually("more of it", || traffic.requests() > before + 50);
    let outcome = traffic.stop();
    assert!(outcome.failures.is_empty(), "{:?}", outcome.failures);
    assert_eq!(server.stop(libc::SIGTERM), 0);
    let text = read(&file);
    for line in text.lines() {
        let is_whole = line.starts_with("[pid: ") && line.ends_with(" switches on core 0)");
        assert!(is_whole && line.matches("[pid: ").count() == 1, "{line}");
        assert!(line.contains(&path[1..]), "{line}");
    }
    assert!(text.lines().count() > 300);
}

#[test]
fn a_log_that_nobody_reads_holds_up_neither_requests_nor_a_reload() {
    for_each_mode(|mode| {
        // One worker: another would have another number.
        let more = ["--master", "--socket", "127.0.0.1:0"];
        let server = Server::http(mode, "pid", &more);
        let packets = server.addresses[1].clone();
        let mut kept = server.connect();
        let pid = kept.get("/").text().to_owned();
        let held = server.log.hold();
        // Many times what a pipe holds.
        for _ in 0..2000 {
            assert_eq!(kept.get(&format!("/?{}", "x".repeat(100))).status, 200);
        }
        for _ in 0..10 {
            // A shard itself has a line to write for it.
            let mut stranger = crate::harness::Client::connect(&packets);
            stranger.send(crate::harness::packet::packet(99, &[("A", "b")]));
            assert_eq!(stranger.response().status, 400);
        }
        server.signal(libc::SIGHUP);
        eventually("the successor", || kept.get("/").text() != pid);
        drop(held);
        server.log.line("line(s) could not be written");
        assert_eq!(kept.get("/").status, 200);
    });
}
