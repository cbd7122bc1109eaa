//! A child process with its output, which a test waits on with a deadline.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock};
use std::time::Instant;

use super::DEADLINE;

/// What a process and its children wrote to both outputs.
#[derive(Default)]
pub struct Log {
    state: Mutex<(Vec<u8>, bool)>,
    grown: Condvar,
}

impl Log {
    /// All that was written so far.
    /// While it lives nobody reads the log: its pipe fills.
    pub fn hold(&self) -> Held<'_> {
        Held { _state: self.lock() }
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.lock().0).into_owned()
    }

    /// A test that panicked with the lock held says nothing about the text.
    fn lock(&self) -> MutexGuard<'_, (Vec<u8>, bool)> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Waits until `wanted` finds what it wants in the text.
    pub fn find<T>(&self, what: &str, wanted: impl Fn(&str) -> Option<T>) -> T {
        let deadline = Instant::now() + DEADLINE;
        let mut state = self.lock();
        loop {
            let text = String::from_utf8_lossy(&state.0);
            if let Some(found) = wanted(&text) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero() && !state.1, "no {what} in the log:\n{text}");
            drop(text);
            state = self.grown.wait_timeout(state, left).unwrap_or_else(|p| p.into_inner()).0;
        }
    }

    /// Waits for a line that holds `part`, and returns it.
    pub fn line(&self, part: &str) -> String {
        self.find(&format!("line with {part:?}"), |text| {
            let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
            whole.lines().find(|line| line.contains(part)).map(str::to_owned)
        })
    }

    /// Waits until nobody holds the output any more: the process and all its children are gone.
    /// False at the deadline.
    fn wait_for_end(&self) -> bool {
        let deadline = Instant::now() + DEADLINE;
        let mut state = self.lock();
        while !state.1 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.grown.wait_timeout(state, left).unwrap_or_else(|p| p.into_inner()).0;
        }
        true
    }

    fn follow(&self, mut pipe: impl Read) {
        let mut buffer = [0; 16 * 1024];
        loop {
            let count = pipe.read(&mut buffer).unwrap_or(0);
            let mut state = self.lock();
            state.0.extend_from_slice(&buffer[..count]);
            state.1 = count == 0;
            self.grown.notify_all();
            if count == 0 {
                return;
            }
        }
    }
}

/// A log that is not read.
pub struct Held<'l> {
    _state: std::sync::MutexGuard<'l, (Vec<u8>, bool)>,
}

/// A running program.
pub struct Process {
    child: Child,
    pub log: Arc<Log>,
    ended: Option<ExitStatus>,
}

impl Process {
    /// Starts `command` with both outputs in one log, in a process group of its own.
    pub fn start(command: Command) -> Process {
        let (reader, writer) = std::io::pipe().unwrap();
        let mut command = dying_with_us(command);
        command.stdin(Stdio::null()).stdout(writer.try_clone().unwrap()).stderr(writer);
        Process::run(command, reader)
    }

    /// Starts `command` on a terminal of 150 columns and 40 lines; the log is what it shows.
    pub fn on_terminal(command: Command) -> Process {
        let (screen, terminal) = terminal().unwrap();
        let mut command = dying_with_us(command);
        command.env("TERM", "xterm").env("LINES", "40").env("COLUMNS", "150");
        command.stdin(terminal.try_clone().unwrap()).stdout(terminal.try_clone().unwrap());
        command.stderr(terminal);
        Process::run(command, screen)
    }

    fn run(mut command: Command, reader: impl Read + Send + 'static) -> Process {
        command.process_group(0);
        let child = spawn(command);
        let log = Arc::new(Log::default());
        let follower = Arc::clone(&log);
        std::thread::spawn(move || follower.follow(reader));
        Process { child, log, ended: None }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: i32) {
        uwring::sys::kill(self.pid() as i32, signal);
    }

    /// Waits for the exit code; 128 plus the number of the signal that killed it.
    pub fn wait(&mut self) -> i32 {
        let mut status = self.ended;
        super::eventually("the exit of the process", || {
            status = status.or_else(|| self.child.try_wait().unwrap());
            status.is_some()
        });
        self.ended = status;
        status.map_or(-1, |s| s.code().unwrap_or_else(|| 128 + s.signal().unwrap_or(0)))
    }

    pub fn has_ended(&mut self) -> bool {
        self.ended = self.ended.or_else(|| self.child.try_wait().unwrap());
        self.ended.is_some()
    }

    /// Sends `signal`, waits for the exit and for the last child; the exit code.
    pub fn stop(&mut self, signal: i32) -> i32 {
        if !self.has_ended() {
            self.signal(signal);
        }
        let code = self.wait();
        assert!(self.log.wait_for_end(), "a child outlives it, log:\n{}", self.log.text());
        code
    }

    /// Waits for the end that comes by itself: the exit code and the whole log.
    pub fn finish(mut self) -> (i32, String) {
        let code = self.wait();
        assert!(self.log.wait_for_end(), "a child outlives it, log:\n{}", self.log.text());
        (code, self.log.text())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The whole group: worker processes too.
        uwring::sys::kill(-(self.pid() as i32), libc::SIGKILL);
        let _ = self.child.wait();
    }
}

/// A pseudo-terminal: the side that sees the screen, and the side that programs run on.
fn terminal() -> std::io::Result<(File, File)> {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let screen = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&screen)?;
    unlockpt(&screen)?;
    let name = ptsname(&screen, Vec::new())?;
    let terminal = File::options()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NOCTTY)
        .open(OsStr::from_bytes(name.as_bytes()))?;
    Ok((screen.into(), terminal))
}

/// The kernel kills the process when the tests end before it.
fn dying_with_us(command: Command) -> Command {
    let mut wrapped = Command::new("setpriv");
    wrapped.args(["--pdeathsig", "KILL", "--"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(name, value),
            None => wrapped.env_remove(name),
        };
    }
    if let Some(directory) = command.get_current_dir() {
        wrapped.current_dir(directory);
    }
    wrapped
}

/// Spawns on one thread that lives as long as the tests do: the death signal comes with the end of
/// the thread that forked, and each test has a thread of its own.
fn spawn(command: Command) -> Child {
    type Order = (Command, Sender<std::io::Result<Child>>);
    static FORKER: OnceLock<Mutex<Sender<Order>>> = OnceLock::new();
    let forker = FORKER.get_or_init(|| {
        let (orders, taken) = channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, answer) in taken {
                let _ = answer.send(command.spawn());
            }
        });
        Mutex::new(orders)
    });
    let program = format!("{command:?}");
    let (answer, child) = channel();
    forker.lock().unwrap().send((command, answer)).unwrap();
    child.recv().unwrap().unwrap_or_else(|error| panic!("{program}: {error}"))
}
