//! The process that owns the log, where one is needed: it reads what all others write into two
//! pipes and hands each line to its loggers. It never waits for a reader, so nobody who logs does.
//!
//! The master forks it before anything else and starts it again if it dies; the pipes outlive it.
//! At a reload with another configuration a second one takes over, and the first ends when the last
//! process that writes to it has left.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::sync::atomic::AtomicI32;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::desk::{Desk, Wanted};
use crate::options::{Logs, Options};
use crate::sys::{self, Fork};

/// Bytes that may wait in a pipe.
const PIPE_BYTES: usize = 1 << 20;
/// A line without an end is cut here.
const LINE_BYTES_MAX: usize = 64 * 1024;
/// How long the end waits for targets that take lines slowly, and how long the master waits for it.
const END: Duration = Duration::from_secs(2);
const FINISH_MS: i32 = 6000;

/// Where requests' lines go, if not where all others go.
static REQUESTS: AtomicI32 = AtomicI32::new(-1);

/// A descriptor for requests' lines, if they have a way of their own.
pub(super) fn requests() -> Option<File> {
    let fd = REQUESTS.load(Relaxed);
    if fd < 0 { None } else { sys::duplicate(fd).ok().map(File::from) }
}

/// What becomes of log files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Opened by their names again.
    Reopen,
    /// Renamed, and begun anew.
    Rotate,
}

const FINISH: u8 = b'f';

impl Change {
    fn word(self) -> u8 {
        match self {
            Change::Reopen => b'o',
            Change::Rotate => b'r',
        }
    }
}

/// Both ends of a pipe; the reading one is kept so that lines wait while nobody reads.
struct Pipe {
    reader: OwnedFd,
    writer: OwnedFd,
}

impl Pipe {
    fn new() -> io::Result<Pipe> {
        let (reader, writer) = sys::pipe(PIPE_BYTES)?;
        Ok(Pipe { reader, writer })
    }
}

/// The master's handle.
pub struct Process {
    pid: i32,
    control: OwnedFd,
    lines: Pipe,
    requests: Pipe,
    /// Where the output went at the start.
    stderr: OwnedFd,
    options: Options,
}

/// Whether requests' lines have loggers of their own.
fn splits(logs: &Logs) -> bool {
    !logs.request_loggers.is_empty() || !logs.request_encoders.is_empty()
}

/// The file of all lines that no logger takes.
fn base(options: &Options) -> Option<&Path> {
    let files = [&options.logto2, &options.logto, &options.daemonize, &options.daemonize2];
    files.into_iter().flatten().next().map(|path| path.as_path())
}

/// Whether the log needs an owner.
fn is_needed(options: &Options) -> bool {
    let logs = &options.logs;
    let changes = logs.max_size.is_some()
        || !logs.touch_reopen.is_empty()
        || !logs.touch_rotate.is_empty()
        || !options.master_fifo.is_empty();
    splits(logs)
        || !logs.loggers.is_empty()
        || !logs.encoders.is_empty()
        || !logs.drains.is_empty()
        || !logs.filters.is_empty()
        || base(options).is_some() && changes
}

/// Whether the same process can go on for these options.
fn same(old: &Options, new: &Options) -> bool {
    let identity = |options: &Options| (options.uid.clone(), options.gid.clone());
    old.logs == new.logs && base(old) == base(new) && identity(old) == identity(new)
}

impl Process {
    /// Starts it if the log needs one, and makes its pipe this process's standard output and
    /// standard error. For a process with one thread, before it changes its user.
    ///
    /// # Errors
    /// What cannot be opened, and why.
    pub fn start(options: &Options) -> Result<Option<Process>, String> {
        if !is_needed(options) {
            return Ok(None);
        }
        let stderr = sys::duplicate(2).map_err(|error| format!("standard error: {error}"))?;
        Process::start_on(options, stderr).map(Some)
    }

    fn start_on(options: &Options, stderr: OwnedFd) -> Result<Process, String> {
        let failed = |error: io::Error| format!("the log's process: {error}");
        let (lines, requests) = (Pipe::new().map_err(failed)?, Pipe::new().map_err(failed)?);
        let options = options.clone();
        let (pid, control) = begin(&options, &lines, &requests, &stderr)?;
        let process = Process { pid, control, lines, requests, stderr, options };
        process.attach();
        Ok(process)
    }

    /// Makes the pipe this process's output.
    fn attach(&self) {
        if let Ok(file) = self.lines.writer.try_clone().map(File::from) {
            let _ = sys::replace_output(&file);
        }
        let own = splits(&self.options.logs);
        REQUESTS.store(if own { self.requests.writer.as_raw_fd() } else { -1 }, Relaxed);
    }

    /// Gives this process its first output back, for a program that it executes.
    pub fn detach(&self) {
        if let Ok(file) = self.stderr.try_clone().map(File::from) {
            let _ = sys::replace_output(&file);
        }
    }

    /// Takes the output again: nothing was executed.
    pub fn attach_again(&self) {
        self.attach();
    }

    /// Goes on with other options. `current` may be none before and after.
    ///
    /// # Errors
    /// What cannot be opened; nothing was changed then.
    pub fn renew(current: &mut Option<Process>, options: &Options) -> Result<(), String> {
        let Some(old) = current else {
            *current = Process::start(options)?;
            return Ok(());
        };
        if same(&old.options, options) {
            if options.logs.reopen {
                old.order(Change::Reopen);
            }
            return Ok(());
        }
        if !is_needed(options) {
            REQUESTS.store(-1, Relaxed);
            old.detach();
            *current = None;
            return Ok(());
        }
        let stderr = old.stderr.try_clone().map_err(|error| error.to_string())?;
        *current = Some(Process::start_on(options, stderr)?);
        Ok(())
    }

    /// Has log files reopened or renamed, after what was written so far.
    pub fn order(&self, change: Change) {
        let _ = sys::send_with_fd(self.control.as_fd(), &[change.word()], None);
    }

    /// Starts it again if this was its number.
    pub fn bury(&mut self, pid: i32) {
        if pid != self.pid {
            return;
        }
        match begin(&self.options, &self.lines, &self.requests, &self.stderr) {
            Ok((pid, control)) => {
                (self.pid, self.control) = (pid, control);
                super::line(format_args!("the log's process died: a new one writes the log"));
            }
            Err(error) => {
                self.detach();
                super::line(format_args!("the log's process died: {error}"));
            }
        }
    }

    /// Waits until everything is written, and gives this process its first output back.
    pub fn finish(self) {
        self.detach();
        REQUESTS.store(-1, Relaxed);
        let Process { pid, control, .. } = self;
        let _ = sys::send_with_fd(control.as_fd(), &[FINISH], None);
        let mut ended = Vec::new();
        sys::poll_readable(&[control.as_raw_fd()], FINISH_MS, &mut ended);
        if ended != [true] {
            sys::kill(pid, libc::SIGKILL);
        }
    }
}

/// Forks the process and waits until it has opened everything.
fn begin(
    options: &Options,
    lines: &Pipe,
    requests: &Pipe,
    stderr: &OwnedFd,
) -> Result<(i32, OwnedFd), String> {
    let (ours, theirs) = sys::message_pair().map_err(|error| error.to_string())?;
    match sys::fork().map_err(|error| format!("fork(): {error}"))? {
        Fork::Child => {
            if let Ok(file) = stderr.try_clone().map(File::from) {
                let _ = sys::replace_output(&file);
            }
            let fds = [&lines.reader, &requests.reader, stderr, &theirs].map(AsRawFd::as_raw_fd);
            let mut kept = fds.to_vec();
            let engines = options.logs.loggers.iter().chain(&options.logs.request_loggers);
            kept.extend(engines.filter_map(|logger| match logger.engine {
                crate::options::Engine::Fd(fd) => Some(fd),
                _ => None,
            }));
            sys::keep_descriptors(&kept);
            sys::title::become_role("log");
            sys::harmless::defuse(&[
                libc::SIGINT,
                libc::SIGTERM,
                libc::SIGHUP,
                libc::SIGQUIT,
                libc::SIGUSR1,
                libc::SIGUSR2,
                libc::SIGTSTP,
            ]);
            let [lines, requests, stderr, control] = fds;
            let answer = |text: &[u8]| sys::send_with_fd(theirs.as_fd(), text, None);
            match open(options, stderr) {
                Ok(desks) => {
                    let _ = answer(b"+");
                    live([lines, requests], control, desks)
                }
                Err(error) => {
                    let _ = answer(error.as_bytes());
                    sys::exit_now(1)
                }
            }
        }
        Fork::Parent { child } => {
            drop(theirs);
            let mut answer = [0; 4096];
            match sys::receive_with_fd(ours.as_fd(), &mut answer) {
                Ok((1, _)) if answer[0] == b'+' => Ok((child, ours)),
                Ok((len, _)) if len > 0 => {
                    let _ = sys::wait_for(child);
                    Err(String::from_utf8_lossy(&answer[..len]).into_owned())
                }
                _ => Err("the log's process did not start".to_owned()),
            }
        }
    }
}

/// Opens all targets, then becomes the server's user.
fn open(options: &Options, stderr: RawFd) -> Result<[Desk; 2], String> {
    let logs = &options.logs;
    let mut base = base(options).map(Path::to_owned);
    let late = options.logto2.clone();
    let user = || {
        let (own_user, own_group) = sys::user();
        let user = options.uid.as_deref().and_then(sys::user_id).map(|(user, _)| user);
        let group = options.gid.as_deref().and_then(sys::group_id);
        let (user, group) = (user.filter(|&u| u != own_user), group.filter(|&g| g != own_group));
        sys::drop_privileges(user, group, group.map(|_| &[][..]))
            .map_err(|error| format!("the log's process: {error}"))
    };
    if late.is_some() {
        user()?;
        base = late;
    }
    let stderr = || sys::duplicate(stderr).map(File::from);
    let lines = Wanted {
        loggers: &logs.loggers,
        encoders: &logs.encoders,
        routes: &logs.routes,
        drains: &logs.drains,
        filters: &logs.filters,
    };
    let requests = Wanted {
        loggers: &logs.request_loggers,
        encoders: &logs.request_encoders,
        routes: &logs.request_routes,
        drains: &[],
        filters: &[],
    };
    let desks = [
        Desk::open(&lines, options, base.as_deref(), stderr)?,
        Desk::open(&requests, options, base.as_deref(), stderr)?,
    ];
    user()?;
    Ok(desks)
}

/// What came by one pipe and is no whole line yet.
struct Reader {
    fd: RawFd,
    begun: Vec<u8>,
    has_ended: bool,
}

impl Reader {
    /// Hands on the lines that are here.
    fn read(&mut self, desk: &mut Desk, buffer: &mut [u8]) {
        // Not for ever: the other pipe and orders want to be seen.
        for _ in 0..16 {
            match sys::read_fd(self.fd, buffer) {
                Ok(0) => {
                    self.has_ended = true;
                    break;
                }
                Ok(count) => self.split(&buffer[..count], desk),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        desk.flush();
    }

    fn split(&mut self, mut bytes: &[u8], desk: &mut Desk) {
        while let Some(at) = memchr::memchr(b'\n', bytes) {
            if self.begun.is_empty() {
                desk.take(&bytes[..at]);
            } else {
                self.begun.extend_from_slice(&bytes[..at]);
                desk.take(&self.begun);
                self.begun.clear();
            }
            bytes = &bytes[at + 1..];
        }
        self.begun.extend_from_slice(bytes);
        if self.begun.len() > LINE_BYTES_MAX {
            self.end_line(desk);
        }
    }

    /// A line whose end does not come is one all the same.
    fn end_line(&mut self, desk: &mut Desk) {
        if !self.begun.is_empty() {
            desk.take(&self.begun);
            self.begun.clear();
            desk.flush();
        }
    }
}

/// The life of the process.
fn live(fds: [RawFd; 2], control: RawFd, mut desks: [Desk; 2]) -> ! {
    let mut readers = fds.map(|fd| Reader { fd, begun: Vec::new(), has_ended: false });
    let mut buffer = vec![0; 256 * 1024];
    let mut has_master = true;
    let mut ready = Vec::new();
    loop {
        let polled = [readers[0].fd, readers[1].fd, if has_master { control } else { -1 }];
        let polled: Vec<RawFd> = (0..3)
            .map(|at| if at < 2 && readers[at].has_ended { -1 } else { polled[at] })
            .collect();
        let waits = desks.iter().any(Desk::waits);
        sys::poll_readable(&polled, if waits { 20 } else { 1000 }, &mut ready);
        let mut finish = false;
        let order = if ready[2] { sys::read_order(control) } else { None };
        // What was written before an order comes before its effect.
        for (reader, desk) in readers.iter_mut().zip(&mut desks) {
            reader.read(desk, &mut buffer);
        }
        match order {
            None => {}
            Some(0) => has_master = false,
            Some(FINISH) => finish = true,
            Some(word) => change(&mut desks, word == Change::Rotate.word()),
        }
        if !ready.contains(&true) {
            for (reader, desk) in readers.iter_mut().zip(&mut desks) {
                reader.end_line(desk);
            }
        }
        if finish || readers.iter().all(|reader| reader.has_ended) {
            end(&mut readers, &mut desks, &mut buffer);
        }
    }
}

fn change(desks: &mut [Desk; 2], rotates: bool) {
    let mut told = Vec::new();
    let mut renamed = Vec::new();
    for sheet in desks.iter_mut().flat_map(Desk::sheets) {
        let Some(path) = sheet.path().map(Path::to_owned) else { continue };
        // Two loggers of one file: it is renamed once.
        let again = renamed.contains(&path);
        let error = if rotates && !again { sheet.rotate() } else { sheet.reopen() };
        renamed.push(path.clone());
        told.push(match error {
            None if rotates => format!("log: {} was rotated", path.display()),
            None => format!("log: {} was reopened", path.display()),
            Some(error) => format!("log: {}: {error}", path.display()),
        });
    }
    told.dedup();
    for text in told {
        desks[0].take(text.as_bytes());
    }
    desks[0].flush();
}

/// Reads what is left and gives slow targets a little time.
fn end(readers: &mut [Reader; 2], desks: &mut [Desk; 2], buffer: &mut [u8]) -> ! {
    let until = Instant::now() + END;
    for (reader, desk) in readers.iter_mut().zip(desks.iter_mut()) {
        loop {
            reader.read(desk, buffer);
            let mut ready = Vec::new();
            sys::poll_readable(&[reader.fd], 0, &mut ready);
            if ready != [true] || reader.has_ended || Instant::now() > until {
                break;
            }
        }
        reader.end_line(desk);
    }
    while desks.iter().any(Desk::waits) && Instant::now() < until {
        desks.iter_mut().for_each(Desk::flush);
        std::thread::sleep(Duration::from_millis(5));
    }
    desks.iter_mut().for_each(Desk::end);
    sys::exit_now(0)
}
