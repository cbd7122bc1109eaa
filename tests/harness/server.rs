//! Starts the real binary and stops it again.

use std::collections::HashMap;
use std::fmt;
use std::ops::Deref;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock, Weak};

use super::client::{Client, Response};
use super::process::Process;

/// What workers are made of, and how the shards do their I/O.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mode {
    pub isolation: &'static str,
    pub io: &'static str,
}

impl Mode {
    pub const ALL: [Mode; 4] = [
        Mode { isolation: "interpreter", io: "uring" },
        Mode { isolation: "process", io: "uring" },
        Mode { isolation: "interpreter", io: "epoll" },
        Mode { isolation: "process", io: "epoll" },
    ];
    /// For tests of what happens before any request: the mode makes no difference.
    pub const ANY: Mode = Mode { isolation: "process", io: "epoll" };

    pub fn is_process(self) -> bool {
        self.isolation == "process"
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} over {}", self.isolation, self.io)
    }
}

/// Runs a test under both isolations and both I/O drivers.
///
/// A Python that is older than 3.13 has no interpreters of their own lock (that the server says so
/// is for isolation_auto.rs); a kernel without io_uring must be waived as `io_uring`.
pub fn for_each_mode(test: impl Fn(Mode)) {
    for mode in Mode::ALL {
        if mode.isolation == "interpreter" && python_minor() < 13 {
            continue;
        }
        if mode.io == "uring"
            && std::env::var_os("UWRING_TEST_WAIVE").is_some()
            && super::waived("io_uring")
        {
            continue;
        }
        eprintln!("-- {mode}");
        test(mode);
    }
}

/// As `for_each_mode`, where workers are processes.
pub fn for_each_process_mode(test: impl Fn(Mode)) {
    for_each_mode(|mode| {
        if mode.is_process() {
            test(mode);
        }
    });
}

/// The minor version of the Python that the server under test embeds.
pub fn python_minor() -> u8 {
    env!("UWRING_PYTHON_MINOR").parse().unwrap()
}

/// A command of the server.
pub fn command<A: AsRef<str>>(args: &[A]) -> Command {
    let mut command = clean(Path::new(env!("CARGO_BIN_EXE_uwring")));
    command.args(args.iter().map(AsRef::as_ref));
    command
}

/// A command without anything of the caller's Python in its environment.
pub fn clean(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let shown = name.to_string_lossy();
        let ours = ["PYTHON", "UWSGI_", "UWRING_"].iter().any(|start| shown.starts_with(start));
        if ours || shown == "VIRTUAL_ENV" {
            command.env_remove(&name);
        }
    }
    // What another server found out about an app stays out of the tests.
    command.env("XDG_CACHE_HOME", Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache"));
    command
}

/// A server that is ready.
pub struct Server {
    process: Process,
    pub mode: Mode,
    /// The addresses of the ready line, in the order of the options.
    pub addresses: Vec<String>,
    code: Option<i32>,
}

impl Server {
    /// Starts the server with `args` and the mode's options.
    pub fn start<A: AsRef<str>>(mode: Mode, args: &[A]) -> Server {
        Server::start_in(mode, args, Path::new(env!("CARGO_MANIFEST_DIR")))
    }

    /// Starts the server in a directory.
    pub fn start_in<A: AsRef<str>>(mode: Mode, args: &[A], directory: &Path) -> Server {
        let mut command = command(args);
        command.args(["--isolation", mode.isolation, "--io", mode.io]).current_dir(directory);
        Server::await_ready(command, mode)
    }

    /// Starts a command of the server and waits for its ready line.
    pub fn await_ready(command: Command, mode: Mode) -> Server {
        let process = Process::start(command);
        let line = process.log.line("uwring is ready:");
        let (_, names) = line.split_once(", on ").expect("the ready line names the addresses");
        let addresses = names.split(' ').map(str::to_owned).collect();
        Server { process, mode, addresses, code: None }
    }

    /// Starts the fixture app `name` on an HTTP socket, with more options.
    pub fn http(mode: Mode, name: &str, more: &[&str]) -> Server {
        let path = super::app(name);
        let mut args = vec!["--http-socket", "127.0.0.1:0", "--wsgi-file", &path];
        args.extend_from_slice(more);
        Server::start(mode, &args)
    }

    /// The server of all fixture apps (`/NAME/...` calls `apps/NAME.py`) with one HTTP and one
    /// uwsgi socket, shared by the tests that run at the same time and need no other options.
    pub fn shared(mode: Mode) -> Arc<Server> {
        Server::shared_with(mode, &[])
    }

    /// As `shared`, with more options.
    pub fn shared_with(mode: Mode, more: &[&str]) -> Arc<Server> {
        type Running = HashMap<(Mode, String), Weak<Server>>;
        static RUNNING: OnceLock<Mutex<Running>> = OnceLock::new();
        let mut running =
            RUNNING.get_or_init(Mutex::default).lock().unwrap_or_else(|p| p.into_inner());
        let place = running.entry((mode, more.join(" "))).or_default();
        if let Some(server) = place.upgrade() {
            return server;
        }
        let mut args = vec!["--socket", "127.0.0.1:0"];
        args.extend_from_slice(more);
        let server = Arc::new(Server::http(mode, "all_by_path", &args));
        *place = Arc::downgrade(&server);
        server
    }

    /// The first address.
    pub fn address(&self) -> &str {
        &self.addresses[0]
    }

    pub fn connect(&self) -> Client {
        Client::connect(self.address())
    }

    /// Asks for `path` on a connection of its own.
    pub fn get(&self, path: &str) -> Response {
        let mut client = self.connect();
        client.get(path)
    }

    /// Sends `request` on a connection of its own and reads one response.
    pub fn ask(&self, request: impl AsRef<[u8]>) -> Response {
        let mut client = self.connect();
        client.send(request);
        client.response()
    }

    /// Where a server that was started with `--stats` answers with them.
    pub fn stats_address(&self) -> String {
        let line = self.log.line("*** Stats server enabled on");
        line.split(' ').find(|word| word.starts_with("127.0.0.1:")).unwrap().to_owned()
    }

    /// The statistics of a server that was started with `--stats`.
    pub fn stats(&self) -> serde_json::Value {
        let text = Client::connect(&self.stats_address()).rest().unwrap();
        serde_json::from_slice(&text).unwrap()
    }

    /// Waits until it has said so many times that it serves.
    pub fn await_starts(&self, count: usize) {
        self.log.find(&format!("start {count}"), |text| {
            (text.matches("uwring is ready:").count() >= count).then_some(())
        });
    }

    /// The pid of the process in which the app runs.
    pub fn worker_pid(&self) -> i32 {
        self.get("/pid").text().parse().unwrap()
    }

    /// Stops with `signal` and returns the exit code; panics when it has to be killed.
    pub fn stop(&mut self, signal: i32) -> i32 {
        let code = self.process.stop(signal);
        self.code = Some(code);
        code
    }
}

impl Deref for Server {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.process.log.text();
            let from = log.len().saturating_sub(8_000);
            let from = (from..=log.len()).find(|&at| log.is_char_boundary(at)).unwrap_or(0);
            eprintln!("the server's log ({}):\n{}", self.mode, &log[from..]);
            return;
        }
        if self.code.is_none() {
            let code = self.stop(libc::SIGTERM);
            assert_eq!(code, 0, "exit code at SIGTERM, log:\n{}", self.process.log.text());
        }
        let log = self.process.log.text();
        assert!(!log.contains("BUG"), "the server says that it has a bug:\n{log}");
    }
}
