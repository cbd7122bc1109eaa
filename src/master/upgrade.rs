//! A new binary takes over: the master executes it in its own place, with its number, its listeners
//! and its server processes, and then reloads.
//!
//! It is asked first whether it runs and understands the configuration, since there is no way back.

use std::ffi::OsString;
use std::fs::Metadata;
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::children::{Child, Phase};
use super::origin::Origin;
use super::{Made, Master, Role, hooks, identity};
use crate::error::StartError;
use crate::listen::{self, Kept, Listener};
use crate::log;
use crate::notify::Notify;
use crate::options::{Environment, Moment, Options, python};
use crate::stats::Stats;
use crate::sys;

/// Asks a binary only whether it would start: it ends with 0 before it does anything.
pub const CHECK: &str = "UWRING_CHECK";
/// What a master leaves to the binary that it executes.
const RESUME: &str = "UWRING_RESUME";
/// Counts changes of what stands in `State`: an older binary's is refused.
const VERSION: u32 = 1;

/// The binary that this process was started from.
pub struct Binary {
    path: PathBuf,
    seen: Option<Seen>,
}

type Seen = (u64, u64, i64, i64);

fn seen(meta: &Metadata) -> Seen {
    (meta.dev(), meta.ino(), meta.mtime(), meta.mtime_nsec())
}

impl Binary {
    /// The running one.
    pub fn own() -> Binary {
        let path = std::env::current_exe().unwrap_or_default();
        let meta = std::fs::metadata("/proc/self/exe").ok();
        Binary { path, seen: meta.as_ref().map(seen) }
    }

    /// Whether another file lies in its place now.
    fn is_replaced(&self) -> bool {
        let meta = std::fs::metadata(&self.path).ok();
        meta.is_some() && meta.as_ref().map(seen) != self.seen
    }
}

/// What the next binary needs.
#[derive(Serialize, Deserialize)]
struct State {
    version: u32,
    pid: u32,
    listeners: Vec<Kept>,
    children: Vec<KeptChild>,
    stats: Option<RawFd>,
    pidfiles: Vec<PathBuf>,
    isolate: bool,
    #[serde(default)]
    longest_start_s: u64,
}

#[derive(Serialize, Deserialize)]
struct KeptChild {
    pid: i32,
    link: RawFd,
    heir: RawFd,
    retires: bool,
}

/// What this binary was left.
pub struct Resumed {
    pub listeners: Vec<Listener>,
    pub children: Vec<Child>,
    pub stats: Option<OwnedFd>,
    pub pidfiles: Vec<PathBuf>,
    pub isolate: bool,
    pub longest_start: Duration,
}

/// Takes up what the binary before left, and takes it out of the environment.
pub fn resume(env: &mut Environment) -> Option<Resumed> {
    let at = env.iter().position(|(name, _)| name == RESUME)?;
    let (_, text) = env.swap_remove(at);
    sys::unset_env(RESUME);
    let state: State = serde_json::from_str(text.to_str()?).ok()?;
    if state.version != VERSION || state.pid != std::process::id() {
        return None;
    }
    let children = state.children.into_iter().map(|kept| {
        let phase = if kept.retires { Phase::Retiring } else { Phase::Serving };
        Child::resumed(kept.pid, sys::adopt(kept.link), sys::adopt(kept.heir), phase)
    });
    Some(Resumed {
        listeners: state.listeners.into_iter().map(Listener::from_kept).collect(),
        children: children.collect(),
        stats: state.stats.map(sys::adopt),
        pidfiles: state.pidfiles,
        isolate: state.isolate,
        longest_start: Duration::from_secs(state.longest_start_s),
    })
}

impl Master {
    /// Goes on in the place of the binary before, and reloads.
    pub(super) fn resume(
        options: Options,
        origin: Origin,
        role: Role,
        before: Resumed,
    ) -> Result<i32, StartError> {
        identity::banner();
        identity::environment(&options)?;
        identity::open_log(&options, origin.path())?;
        identity::title(&options, "master");
        let log = log::Process::start(&options, origin.path()).map_err(StartError::new)?;
        identity::change_directory(&options)?;
        let mut old = before.listeners;
        let listeners = listen::bind(&options, (role.shards)(&options), &mut old)?;
        listen::vacuum(&old);
        let stats = match before.stats.and_then(|fd| Stats::resumed(&options, fd)) {
            Some(stats) => Some(stats),
            None => Stats::bind(&options)?,
        };
        let pidfile = identity::Pidfiles::resumed(before.pidfiles);
        let notify = Notify::from_env(&origin.env);
        let made = Made { options, listeners, pidfile, log };
        let daemon = identity::Daemon::default();
        let mut master = Master::new(made, origin, role, stats, notify, daemon)?;
        (master.children, master.isolate, master.has_served) =
            (before.children, before.isolate, true);
        master.longest_start = before.longest_start;
        sys::release_signals();
        let ready = hooks::run(&master.made.options, Moment::PreApp);
        if let Err(error) = ready.and_then(|()| master.spawn()) {
            log::line(format_args!("reload: {error}: the old server goes on"));
        }
        let code = master.life()?;
        master.made.end(code)
    }

    /// The binary to execute, if a reload needs another one: its file was replaced, or the
    /// environment of the app has another Python.
    pub(super) fn new_binary(&self) -> Option<PathBuf> {
        if self.binary.is_replaced() {
            return Some(self.binary.path.clone());
        }
        let options = self.origin.read_again(&self.made.options).ok()?;
        let program = self.origin.args.first().cloned().unwrap_or_default();
        let minor = python::choose(&options, &program, &self.origin.env).ok()?.minor?;
        let own: u8 = env!("UWRING_PYTHON_MINOR").parse().ok()?;
        (minor != own).then(|| self.binary.path.clone())
    }

    /// Becomes another binary. Returns only if that fails.
    pub(super) fn become_binary(&mut self, path: &Path) -> StartError {
        let shown = path.display();
        let mut check = self.as_started(path);
        match check.env(CHECK, "1").output() {
            Ok(output) if output.status.success() => {}
            Ok(output) => {
                let text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
                return StartError::new(format!("{shown} would not start: {text}"));
            }
            Err(error) => return StartError::new(format!("{shown}: {error}")),
        }
        log::line(format_args!("executing {shown}, which was replaced"));
        let children = self.children.iter().filter(|child| child.phase != Phase::Starting);
        let state = State {
            version: VERSION,
            pid: std::process::id(),
            listeners: self.made.listeners.iter().map(Listener::keep).collect(),
            children: children
                .map(|child| KeptChild {
                    pid: child.pid,
                    link: child.leash.fd(),
                    heir: child.heir_fd(),
                    retires: child.phase == Phase::Retiring,
                })
                .collect(),
            stats: self.stats.as_ref().map(Stats::fd),
            pidfiles: self.made.pidfile.paths().to_vec(),
            isolate: self.isolate,
            longest_start_s: self.longest_start.as_secs(),
        };
        let mut fds: Vec<RawFd> = state.children.iter().flat_map(|c| [c.link, c.heir]).collect();
        fds.extend(state.listeners.iter().flat_map(|kept| &kept.fds));
        fds.extend(state.stats);
        let text = serde_json::to_string(&state).unwrap_or_default();
        let mut env = self.origin.env.clone();
        env.push((RESUME.into(), text.into()));
        if let Err(error) = std::env::set_current_dir(self.origin.path()) {
            return StartError::new(format!("{}: {error}", self.origin.path().display()));
        }
        // Signals that come meanwhile wait for the new binary's handlers: the mask stays.
        self.daemons.part();
        let before = sys::hold_signals();
        if let Some(log) = &self.made.log {
            log.detach();
        }
        fds.iter().for_each(|&fd| sys::inherit_on_exec(fd));
        let error = sys::exec(path, &self.origin.args, &env);
        fds.iter().for_each(|&fd| sys::close_on_exec(fd));
        sys::restore_signals(&before);
        if let Some(log) = &self.made.log {
            log.attach_again();
        }
        StartError::new(format!("{shown}: {error}"))
    }

    /// `path` with the arguments, the environment and the directory of the first start.
    fn as_started(&self, path: &Path) -> Command {
        let mut command = Command::new(path);
        let args: &[OsString] = &self.origin.args;
        if let Some((name, rest)) = args.split_first() {
            command.arg0(name).args(rest);
        }
        command.env_clear().envs(self.origin.env.iter().cloned());
        command.current_dir(self.origin.path());
        command
    }
}
