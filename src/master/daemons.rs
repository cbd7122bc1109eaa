//! Programs that run beside the server: started with it, restarted when they end, stopped with it.
//!
//! Those with a pidfile outlive a reload and the server itself, and one that runs is taken over.

use std::path::Path;
use std::time::{Duration, Instant};

use super::touch::{self, Seen};
use crate::log;
use crate::options::Daemon;
use crate::sys::{self, Ended, child::Shell};

/// One that lived shorter waits before its next life, longer each time.
const SHORT_LIFE: Duration = Duration::from_secs(5);
const WAIT_MIN: Duration = Duration::from_secs(1);
const WAIT_MAX: Duration = Duration::from_secs(60);
/// How long one may take to stop before it is killed.
const MERCY: Duration = Duration::from_secs(10);

/// All attached daemons.
#[derive(Default)]
pub struct Daemons {
    all: Vec<Attached>,
    is_ending: bool,
}

struct Attached {
    daemon: Daemon,
    /// The process, and whether it is a child of ours.
    pid: Option<(i32, Child)>,
    since: Instant,
    due: Instant,
    wait: Duration,
    kill_at: Option<Instant>,
    /// It is no longer wanted.
    leaves: bool,
    seen: Vec<Option<Seen>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Child {
    Ours,
    /// It sends itself to the background and then ends; the pidfile names who goes on.
    Passing,
    Foreign,
}

impl Daemons {
    /// Takes the list of a configuration: starts what is new, ends what is not in it, and lets
    /// those without a pidfile begin anew, as uWSGI does at a reload.
    pub fn renew(&mut self, wanted: &[Daemon]) {
        for attached in &mut self.all {
            let stays = wanted.contains(&attached.daemon);
            if attached.daemon.pidfile.is_none() {
                attached.leaves = !stays;
                let reload = attached.daemon.reload_signal;
                attached.end(if stays && reload != 0 { reload } else { 0 });
            } else if !stays {
                // It goes on without us.
                (attached.leaves, attached.pid) = (true, None);
            }
        }
        self.all.retain(|attached| !attached.leaves || attached.pid.is_some());
        for daemon in wanted {
            let known = |attached: &Attached| attached.daemon == *daemon && !attached.leaves;
            if !self.all.iter().any(known) {
                self.all.push(Attached::new(daemon.clone()));
            }
        }
    }

    /// Starts, restarts and kills what is due.
    pub fn tend(&mut self) {
        let now = Instant::now();
        for attached in &mut self.all {
            attached.tend(now, self.is_ending);
        }
    }

    /// Whether the process that ended was one of these; `Some(true)` if the server ends with it.
    pub fn bury(&mut self, pid: i32, how: Ended) -> Option<bool> {
        let at = self.all.iter().position(|attached| {
            attached.pid.is_some_and(|(own, child)| own == pid && child != Child::Foreign)
        })?;
        let attached = &mut self.all[at];
        attached.bury(how);
        let is_end = attached.daemon.control && !attached.leaves;
        if attached.leaves {
            self.all.swap_remove(at);
        }
        Some(is_end)
    }

    /// Lets those without a pidfile end. True when all have.
    pub fn end(&mut self) -> bool {
        if !std::mem::replace(&mut self.is_ending, true) {
            let dumb = self.all.iter_mut().filter(|attached| attached.daemon.pidfile.is_none());
            dumb.for_each(|attached| attached.end(0));
        }
        self.all.iter().all(|attached| attached.pid.is_none() || attached.daemon.pidfile.is_some())
    }

    /// Lets nobody wait for those that end.
    pub fn hurry(&mut self) {
        self.end();
        let soon = Instant::now() + Duration::from_secs(1);
        self.all.iter_mut().for_each(|attached| attached.kill_at = attached.kill_at.map(|_| soon));
    }

    /// Before another binary takes the place of this one, which starts them anew.
    pub fn part(&mut self) {
        for attached in &mut self.all {
            if attached.daemon.pidfile.is_none() {
                attached.end(0);
            }
        }
    }
}

impl Attached {
    fn new(daemon: Daemon) -> Attached {
        let now = Instant::now();
        let seen = daemon.touch.iter().map(|path| touch::look(path)).collect();
        let (wait, kill_at) = (WAIT_MIN, None);
        Attached { daemon, pid: None, since: now, due: now, wait, kill_at, leaves: false, seen }
    }

    fn tend(&mut self, now: Instant, is_ending: bool) {
        if let Some((pid, child)) = self.pid {
            // A process that is not our child ends without a word.
            if child == Child::Foreign && !sys::child::exists(pid) {
                self.pid = None;
                self.wait_for_next_life(now);
            } else if self.kill_at.is_some_and(|at| at <= now) {
                log::line(format_args!(
                    "[uwsgi-daemons] killing daemon (pid: {pid}): {}",
                    self.daemon.command
                ));
                sys::kill(-pid, libc::SIGKILL);
                self.kill_at = None;
            } else if self.is_touched() && child != Child::Passing {
                let command = &self.daemon.command;
                log::line(format_args!("[uwsgi-daemons] a file of \"{command}\" was touched"));
                self.end(0);
            }
        }
        if self.pid.is_none() && self.due <= now && !is_ending && !self.leaves {
            self.start(now);
        }
    }

    fn is_touched(&mut self) -> bool {
        let seen: Vec<_> = self.daemon.touch.iter().map(|path| touch::look(path)).collect();
        let changed =
            |(before, now): (&Option<Seen>, &Option<Seen>)| now.is_some() && before != now;
        let is_touched = self.seen.iter().zip(&seen).any(changed);
        self.seen = seen;
        is_touched
    }

    fn start(&mut self, now: Instant) {
        let Daemon { command, pidfile, forks, .. } = &self.daemon;
        if let Some(pid) = pidfile.as_deref().and_then(read)
            && sys::child::exists(pid)
        {
            log::line(format_args!(
                "[uwsgi-daemons] found valid/active pidfile for \"{command}\" (pid: {pid})"
            ));
            (self.pid, self.since) = (Some((pid, Child::Foreign)), now);
            return;
        }
        let user = self.daemon.uid.as_deref().and_then(sys::user_id).map(|(uid, _)| uid);
        let group = self.daemon.gid.as_deref().and_then(sys::group_id);
        let shell = Shell {
            command,
            directory: self.daemon.chdir.as_deref(),
            user,
            group,
            dies_with_us: if pidfile.is_none() { self.daemon.stop_signal } else { 0 },
        };
        log::line(format_args!("[uwsgi-daemons] spawning \"{command}\""));
        match sys::child::start(&shell) {
            Ok(pid) => {
                let child = if *forks { Child::Passing } else { Child::Ours };
                (self.pid, self.since, self.kill_at) = (Some((pid, child)), now, None);
                if let Some(path) = pidfile.as_ref().filter(|_| !forks)
                    && let Err(error) = std::fs::write(path, format!("{pid}\n"))
                {
                    let path = path.display();
                    log::line(format_args!("[uwsgi-daemons] pidfile {path}: {error}"));
                }
            }
            Err(error) => {
                log::line(format_args!("[uwsgi-daemons] \"{command}\": {error}"));
                self.wait_for_next_life(now);
            }
        }
    }

    /// Asks it to end; another signal than its own if one is given.
    fn end(&mut self, signal: i32) {
        let Some((pid, _)) = self.pid else { return };
        log::line(format_args!(
            "[uwsgi-daemons] stopping daemon (pid: {pid}): {}",
            self.daemon.command
        ));
        let by_own = signal == 0;
        // The whole session: the shell and what it runs.
        sys::kill(-pid, if by_own { self.daemon.stop_signal } else { signal });
        self.kill_at = by_own.then(|| Instant::now() + MERCY);
        (self.wait, self.since) = (Duration::ZERO, Instant::now());
    }

    fn bury(&mut self, how: Ended) {
        let was = self.pid.take().map(|(_, child)| child);
        let now = Instant::now();
        if was == Some(Child::Passing) && how == Ended::Exited(0) {
            // The pidfile may be written a moment later.
            self.due = now + WAIT_MIN;
            return;
        }
        self.wait_for_next_life(now);
    }

    fn wait_for_next_life(&mut self, now: Instant) {
        self.kill_at = None;
        if now.duration_since(self.since) >= SHORT_LIFE || self.wait.is_zero() {
            self.wait = WAIT_MIN;
            self.due = now;
            return;
        }
        self.due = now + self.wait;
        log::line(format_args!(
            "[uwsgi-daemons] throttling \"{}\" for {} seconds",
            self.daemon.command,
            self.wait.as_secs()
        ));
        self.wait = (self.wait * 2).min(WAIT_MAX);
    }
}

/// The number in a pidfile.
fn read(path: &Path) -> Option<i32> {
    let text = std::fs::read_to_string(path).ok()?;
    text.trim().parse().ok().filter(|&pid| pid > 1)
}
