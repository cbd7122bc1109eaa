//! The process that owns the log, where one is needed: it reads what all others write into a pipe
//! and a socket and hands each line to its loggers (`owner.rs`). It never waits for a reader, so
//! nobody who logs does.
//!
//! The master forks it before anything else and starts it again if it dies; pipe and socket outlive
//! it. At a reload with another configuration a second one takes over, and the first ends when the
//! last process that writes to it has left.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::alarm::Bells;
use super::desk::{Desk, Wanted};
use super::out;
use super::owner::{self, Office};
use crate::options::{Engine, Logs, Options};
use crate::sys::{self, Fork};

/// Bytes that may wait in a pipe.
const PIPE_BYTES: usize = 1 << 20;
/// How long the master waits for the end of it, and for its beginning.
const FINISH: Duration = Duration::from_secs(6);
const BEGIN: Duration = Duration::from_secs(10);
/// One that lived shorter died of starting: the next one waits so long.
const SHORT_LIFE: Duration = Duration::from_secs(1);

/// What becomes of log files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Opened by their names again.
    Reopen,
    /// Renamed, and begun anew.
    Rotate,
}

pub(super) const END: u8 = b'f';

impl Change {
    pub(super) fn word(self) -> u8 {
        match self {
            Change::Reopen => b'o',
            Change::Rotate => b'r',
        }
    }
}

/// Both ends of a way; the reading one is kept so that lines wait while nobody reads.
struct Way {
    reader: OwnedFd,
    writer: OwnedFd,
}

impl Way {
    fn pipe() -> io::Result<Way> {
        let (reader, writer) = sys::pipe(PIPE_BYTES)?;
        Ok(Way { reader, writer })
    }

    /// Messages go in as one, whoever writes at the same time and however full it is.
    fn messages() -> io::Result<Way> {
        let (reader, writer) = sys::message_pair()?;
        sys::widen(&writer, PIPE_BYTES);
        Ok(Way { reader, writer })
    }
}

/// The master's handle.
pub struct Process {
    pid: i32,
    control: OwnedFd,
    lines: Way,
    messages: Way,
    /// Where the output went at the start.
    stderr: OwnedFd,
    options: Options,
    since: Instant,
    /// It died and could not be started again, or died at once: then.
    again: Option<Instant>,
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
        || logs.alarms.is_any()
        || base(options).is_some() && changes
}

/// Whether the same process can go on for these options.
fn same(old: &Options, new: &Options) -> bool {
    let identity = |options: &Options| (options.uid.clone(), options.gid.clone());
    old.logs == new.logs && base(old) == base(new) && identity(old) == identity(new)
}

/// The options with names of files that mean the same wherever this process is later. uWSGI: the
/// files of loggers and of `daemonize2` lie where `chdir` leads, all others where it was started.
fn rooted(options: &Options, directory: &Path) -> Options {
    let mut options = options.clone();
    let late = options.chdir.as_ref().map_or(directory.to_owned(), |path| directory.join(path));
    let root = |path: &mut PathBuf| *path = directory.join(&*path);
    let root_late = |path: &mut PathBuf| *path = late.join(&*path);
    let logs = &mut options.logs;
    for logger in logs.loggers.iter_mut().chain(&mut logs.request_loggers) {
        if let Engine::File { path, backup, .. } = &mut logger.engine {
            root_late(path);
            backup.iter_mut().for_each(root_late);
        }
    }
    logs.backup.iter_mut().for_each(root);
    let files = [&mut options.logto, &mut options.logto2, &mut options.daemonize];
    files.into_iter().flatten().for_each(root);
    options.daemonize2.iter_mut().for_each(root_late);
    options
}

impl Process {
    /// Starts it if the log needs one, and makes its pipe this process's standard output and
    /// standard error. For a process with one thread, before it changes its user. `directory` is
    /// the one of the first start.
    ///
    /// # Errors
    /// What cannot be opened, and why.
    pub fn start(options: &Options, directory: &Path) -> Result<Option<Process>, String> {
        if !is_needed(options) {
            return Ok(None);
        }
        let stderr = sys::duplicate(2).map_err(|error| format!("standard error: {error}"))?;
        Process::start_on(rooted(options, directory), stderr).map(Some)
    }

    fn start_on(options: Options, stderr: OwnedFd) -> Result<Process, String> {
        let failed = |error: io::Error| format!("the log's process: {error}");
        let (lines, messages) = (Way::pipe().map_err(failed)?, Way::messages().map_err(failed)?);
        let (pid, control) = begin(&options, &lines, &messages, &stderr, false)?;
        let since = Instant::now();
        let process =
            Process { pid, control, lines, messages, stderr, options, since, again: None };
        process.attach();
        Ok(process)
    }

    /// Makes the pipe this process's output.
    fn attach(&self) {
        if let Ok(file) = self.lines.writer.try_clone().map(File::from) {
            let _ = sys::replace_output(&file);
        }
        out::lead(Some(self.messages.writer.as_raw_fd()), splits(&self.options.logs));
    }

    /// Gives this process its first output back, for a program that it executes.
    pub fn detach(&self) {
        out::lead(None, false);
        if let Ok(file) = self.stderr.try_clone().map(File::from) {
            let _ = sys::replace_output(&file);
        }
    }

    /// Takes the output again: nothing was executed.
    pub fn attach_again(&self) {
        self.attach();
    }

    /// Goes on with other options. `current` may be none before and after; if it was not none
    /// before, the output is what it was at the start.
    ///
    /// # Errors
    /// What cannot be opened; nothing was changed then.
    pub fn renew(
        current: &mut Option<Process>,
        options: &Options,
        directory: &Path,
    ) -> Result<(), String> {
        let Some(old) = current else {
            *current = Process::start(options, directory)?;
            return Ok(());
        };
        let options = rooted(options, directory);
        if same(&old.options, &options) {
            if options.logs.reopen {
                old.order(Change::Reopen);
            }
            return Ok(());
        }
        if !is_needed(&options) {
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
        let _ = sys::send_message_now(self.control.as_raw_fd(), [&[change.word()], b""]);
    }

    /// Starts it again if this was its number.
    pub fn bury(&mut self, pid: i32) {
        if pid == self.pid {
            self.pid = -1;
            let wait = if self.since.elapsed() < SHORT_LIFE { SHORT_LIFE } else { Duration::ZERO };
            self.again = Some(Instant::now() + wait);
            self.tend();
        }
    }

    /// Starts it again if that is due. Lines wait meanwhile.
    pub fn tend(&mut self) {
        if self.again.is_none_or(|at| at > Instant::now()) {
            return;
        }
        match begin(&self.options, &self.lines, &self.messages, &self.stderr, true) {
            Ok((pid, control)) => {
                (self.pid, self.control, self.again) = (pid, control, None);
                self.since = Instant::now();
                super::line(format_args!("the log's process died: a new one writes the log"));
            }
            Err(_) => self.again = Some(Instant::now() + SHORT_LIFE),
        }
    }

    /// Waits until everything is written, and gives this process its first output back.
    pub fn finish(mut self) {
        // What was written since it died is not lost if it can be started.
        if self.pid < 0 {
            self.again = Some(Instant::now());
            self.tend();
        }
        self.detach();
        let Process { pid, control, .. } = self;
        if pid < 0 {
            return;
        }
        let _ = sys::send_message_now(control.as_raw_fd(), [&[END], b""]);
        if !sys::await_readable(control.as_raw_fd(), FINISH) {
            sys::kill(pid, libc::SIGKILL);
        }
    }
}

/// Forks the process and waits until it has opened everything. `is_again` says that it takes the
/// place of one that died: then it begins with what can be opened.
fn begin(
    options: &Options,
    lines: &Way,
    messages: &Way,
    stderr: &OwnedFd,
    is_again: bool,
) -> Result<(i32, OwnedFd), String> {
    let (ours, theirs) = sys::message_pair().map_err(|error| error.to_string())?;
    let before = sys::hold_signals();
    let forked = sys::fork();
    if matches!(forked, Ok(Fork::Child)) {
        if let Ok(file) = stderr.try_clone().map(File::from) {
            let _ = sys::replace_output(&file);
        }
        out::lead(None, false);
        let fds = [&lines.reader, &messages.reader, stderr, &theirs].map(AsRawFd::as_raw_fd);
        let mut kept = fds.to_vec();
        let engines = options.logs.loggers.iter().chain(&options.logs.request_loggers);
        kept.extend(engines.filter_map(|logger| match logger.engine {
            Engine::Fd(fd) => Some(fd),
            _ => None,
        }));
        sys::keep_descriptors(&kept);
        sys::title::become_role("log");
        sys::drop_handlers(&[
            libc::SIGINT,
            libc::SIGTERM,
            libc::SIGHUP,
            libc::SIGQUIT,
            libc::SIGUSR1,
            libc::SIGUSR2,
            libc::SIGTSTP,
        ]);
        sys::release_signals();
        let [lines, messages, stderr, control] = fds;
        let answer = |text: &[u8]| sys::send_with_fd(theirs.as_fd(), text, None);
        match open(options, stderr, is_again) {
            Ok(office) => {
                let _ = answer(b"+");
                owner::live([lines, messages], control, office)
            }
            Err(error) => {
                let _ = answer(error.as_bytes());
                sys::exit_now(1)
            }
        }
    }
    sys::restore_signals(&before);
    let Fork::Parent { child } = forked.map_err(|error| format!("fork(): {error}"))? else {
        unreachable!("BUG: the child has its own life")
    };
    drop(theirs);
    let mut answer = [0; 4096];
    if !sys::await_readable(ours.as_raw_fd(), BEGIN) {
        sys::kill(child, libc::SIGKILL);
    }
    match sys::receive_with_fd(ours.as_fd(), &mut answer) {
        Ok((1, _)) if answer[0] == b'+' => Ok((child, ours)),
        Ok((len, _)) if len > 0 => {
            let _ = sys::wait_for(child);
            Err(String::from_utf8_lossy(&answer[..len]).into_owned())
        }
        _ => {
            let _ = sys::wait_for(child);
            Err("the log's process did not start".to_owned())
        }
    }
}

/// Opens all targets, then becomes the server's user.
fn open(options: &Options, stderr: RawFd, is_again: bool) -> Result<Office, String> {
    let logs = &options.logs;
    let mut base = base(options).map(Path::to_owned);
    let late = options.logto2.clone();
    let user = || {
        let (own_user, own_group) = sys::user();
        let user = options.uid.as_deref().and_then(sys::user_id).map(|(user, _)| user);
        let group = options.gid.as_deref().and_then(sys::group_id);
        let (user, group) = (user.filter(|&u| u != own_user), group.filter(|&g| g != own_group));
        let groups: Vec<u32> =
            options.privileges.add_gids.iter().filter_map(|name| sys::group_id(name)).collect();
        let is_asked = own_user == 0
            && !options.privileges.no_initgroups
            && (group.is_some() || !groups.is_empty());
        sys::drop_privileges(user, group, is_asked.then_some(&groups[..]))
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
        Desk::open(&lines, options, base.as_deref(), is_again, stderr)?,
        Desk::open(&requests, options, base.as_deref(), is_again, stderr)?,
    ];
    let bells = Bells::new(&logs.alarms)?;
    user()?;
    Ok(Office { desks, bells })
}
