//! Worker processes: spawned through the spawner, watched by their pidfds, followed by successors.
//!
//! A worker may have two incarnations for a while: the one that leaves and the one that follows.

use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use super::backoff::{Backoff, WAIT_MIN};
use super::workers::Sitter;
use crate::error::StartError;
use crate::handoff::{Described, Handoff};
use crate::isolation::{Event, Spawner, WithoutApp};
use crate::log;
use crate::shared::{Owner, core, worker};
use crate::sys::{self, Ended};
use crate::wsgi::Plan;

/// Worker processes.
pub struct Processes {
    spawner: Spawner,
    handoff: &'static Handoff,
    /// Of each worker.
    threads: usize,
    living: Vec<Living>,
    next_incarnation: u32,
    /// Respawns that wait for their time.
    due: Vec<(Instant, usize)>,
    backoff: Backoff,
    ended: Vec<(i32, Ended)>,
    /// Requests that a worker had served when it died last.
    served: Vec<(usize, u64)>,
}

struct Living {
    worker: usize,
    pid: i32,
    incarnation: u32,
    watch: Option<OwnedFd>,
    since: Instant,
    birth: Birth,
    leaving: Option<Leaving>,
}

/// Why a process was started; the log tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Birth {
    /// At the server's start, which announces it itself.
    First,
    /// It follows another incarnation.
    Successor,
    /// More workers are wanted.
    Wanted,
}

/// A process that was asked to leave.
#[derive(Debug, Clone, Copy)]
struct Leaving {
    deadline: Instant,
    /// Nobody follows it.
    cheap: bool,
    killed: bool,
}

/// A worker that died.
#[derive(Debug)]
pub struct Death {
    pub worker: usize,
    pub pid: i32,
    pub incarnation: u32,
    pub how: Option<Ended>,
    /// Requests that it ran, by their cores.
    ran: Vec<(usize, Described)>,
    lived: Duration,
    leaving: Option<Leaving>,
}

/// A process that was never ready died of starting; so did one that died before it served a request
/// and before this time.
const SHORT_LIFE: Duration = Duration::from_secs(2);
/// A cheaped worker is not killed for a request that it took in the last moment; harakiri is.
pub const PATIENCE: Duration = Duration::from_secs(24 * 60 * 60);

impl Processes {
    pub(super) fn new(spawner: Spawner, plan: &Plan) -> Processes {
        Processes {
            spawner,
            handoff: plan.handoff,
            threads: plan.board.threads(),
            living: Vec::new(),
            next_incarnation: 1,
            due: Vec::new(),
            backoff: Backoff::default(),
            ended: Vec::new(),
            served: Vec::new(),
        }
    }

    pub(super) fn fds(&self) -> Vec<i32> {
        let watches = self.living.iter().filter_map(|living| living.watch.as_ref());
        let mut fds: Vec<i32> = watches.map(AsRawFd::as_raw_fd).collect();
        if !self.is_lost() {
            fds.push(self.spawner.fd());
        }
        fds
    }

    /// Whether the spawner is gone.
    pub(super) fn is_lost(&self) -> bool {
        self.spawner.pid == 0
    }

    /// The incarnations that live.
    pub fn sitters(&self) -> impl Iterator<Item = Sitter> + '_ {
        self.living.iter().map(|living| Sitter {
            worker: living.worker,
            incarnation: living.incarnation,
            pid: living.pid,
        })
    }

    /// The incarnation of a worker that is to stay; None while there is none.
    pub fn stayer(&self, worker: usize) -> Option<Sitter> {
        let stays = |l: &&Living| l.worker == worker && l.leaving.is_none();
        // The newest: it follows the others.
        self.living.iter().rfind(stays).map(|l| Sitter {
            worker,
            incarnation: l.incarnation,
            pid: l.pid,
        })
    }

    /// Whether a worker has more than one incarnation, or one that leaves, or one that is due.
    pub fn changes(&self, worker: usize) -> bool {
        let mut own = self.living.iter().filter(|living| living.worker == worker);
        let settled = own.next().is_none_or(|living| living.leaving.is_none() && living.pid != 0)
            && own.next().is_none();
        !settled || self.due.iter().any(|&(_, due)| due == worker)
    }

    /// Starts a worker at the server's start.
    pub(super) fn begin(&mut self, plan: &Plan, worker: usize) {
        self.spawn(plan, worker, Birth::First);
    }

    /// Starts a worker that is wanted now.
    pub fn add(&mut self, plan: &Plan, worker: usize) {
        self.spawn(plan, worker, Birth::Wanted);
    }

    /// Starts the next incarnation of a worker whose last one still serves. Its number; None if
    /// it cannot be now.
    pub fn succeed(&mut self, plan: &Plan, worker: usize) -> Option<u32> {
        self.spawn(plan, worker, Birth::Successor)
    }

    fn spawn(&mut self, plan: &Plan, worker: usize, birth: Birth) -> Option<u32> {
        let mut taken = self.living.iter().filter(|living| living.worker == worker);
        let (first, second) = (taken.next().map(|living| living.incarnation), taken.next());
        if second.is_some() {
            return None; // Two incarnations have both of the worker's places.
        }
        let mut incarnation = self.next_incarnation;
        // The other place of the worker: incarnations of different parity never share one.
        if first.is_some_and(|first| first % 2 == incarnation % 2) {
            incarnation = next_of(incarnation);
        }
        self.next_incarnation = next_of(incarnation);
        plan.handoff.reset_worker(worker, incarnation);
        // A server that has an app does not come to answer 500, for code that changed meanwhile.
        let has_app = |w| plan.board.worker(w).get(worker::HAS_APP) == 1;
        let without_app = match birth {
            Birth::Successor | Birth::Wanted if (0..plan.board.workers()).any(has_app) => {
                WithoutApp::Leaves
            }
            _ => WithoutApp::Serves,
        };
        if self.spawner.spawn(worker, incarnation, without_app).is_err() {
            self.spawner.pid = 0;
            return None;
        }
        self.living.push(Living {
            worker,
            pid: 0,
            incarnation,
            watch: None,
            since: Instant::now(),
            birth,
            leaving: None,
        });
        Some(incarnation)
    }

    /// Asks an incarnation to finish what it runs and to leave, until `mercy` is over. Nobody
    /// follows it if it is `cheap`; else one is there already or will be.
    pub fn dismiss(&mut self, plan: &Plan, incarnation: u32, mercy: Duration, cheap: bool) {
        let found = self.living.iter_mut().find(|living| living.incarnation == incarnation);
        let Some(living) = found else { return };
        plan.handoff.stop_worker(living.worker, incarnation);
        let deadline = Instant::now() + mercy;
        living.leaving.get_or_insert(Leaving { deadline, cheap, killed: false });
    }

    /// Asks all incarnations of a worker to leave, with nobody to follow.
    pub fn send_away(&mut self, plan: &Plan, worker: usize) {
        self.due.retain(|&(_, due)| due != worker);
        let own = self.living.iter().filter(|living| living.worker == worker);
        let incarnations: Vec<u32> = own.map(|living| living.incarnation).collect();
        for incarnation in incarnations {
            self.dismiss(plan, incarnation, PATIENCE, true);
        }
    }

    /// Kills an incarnation that was asked to leave.
    pub fn kill(&mut self, incarnation: u32) {
        let found = self.living.iter_mut().find(|living| living.incarnation == incarnation);
        let Some(living) = found.filter(|living| living.pid != 0) else { return };
        if let Some(leaving) = &mut living.leaving {
            leaving.killed = true;
        }
        sys::kill(living.pid, libc::SIGKILL);
    }

    /// Kills the incarnations that were asked to leave and did not.
    pub(super) fn show_no_mercy(&mut self) {
        let now = Instant::now();
        for living in &mut self.living {
            let (worker, pid) = (living.worker + 1, living.pid);
            if let Some(leaving) = &mut living.leaving
                && leaving.deadline <= now
                && !leaving.killed
                && pid != 0
            {
                leaving.killed = true;
                log::line(format_args!(
                    "worker {worker} (pid: {pid}) is taking too much time to die...NO MERCY !!!"
                ));
                sys::kill(pid, libc::SIGKILL);
            }
        }
    }

    /// Waits for the next event of the start.
    pub(super) fn wait(&mut self, plan: &Plan) -> Result<(), StartError> {
        let mut fds = self.fds();
        fds.push(plan.handoff.control_bell());
        sys::poll_readable(&fds, 200, &mut Vec::new());
        plan.handoff.silence_control();
        if let Some(death) = self.deaths().first() {
            return Err(StartError::new(format!(
                "worker {} (pid: {}) died while it started ({})",
                death.worker + 1,
                death.pid,
                describe(death.how)
            )));
        }
        if self.is_lost() {
            return Err(StartError::new("the spawner died while workers started"));
        }
        Ok(())
    }

    /// Takes the spawner's messages.
    fn listen(&mut self, wait_ms: i32) {
        let mut ready = Vec::new();
        while !self.is_lost() {
            sys::poll_readable(&[self.spawner.fd()], wait_ms, &mut ready);
            if ready != [true] {
                return;
            }
            match self.spawner.event() {
                Event::Spawned { worker, pid, watch } => self.meet(worker, pid, watch),
                Event::NotSpawned { worker } => {
                    self.living.retain(|living| living.worker != worker || living.pid != 0);
                    self.due.push((Instant::now() + WAIT_MIN, worker));
                }
                Event::Ended { pid, how } => self.ended.push((pid, how)),
                Event::Gone | Event::Failed => self.spawner.pid = 0,
                Event::Ready { .. } => {}
            }
            if wait_ms > 0 {
                return;
            }
        }
    }

    /// A process that was asked for is there.
    fn meet(&mut self, worker: usize, pid: i32, watch: OwnedFd) {
        let waited = |living: &&mut Living| living.worker == worker && living.pid == 0;
        let Some(living) = self.living.iter_mut().find(waited) else { return };
        (living.pid, living.watch) = (pid, Some(watch));
        // What was heard too late of another process of that number.
        self.ended.retain(|(ended, _)| *ended != pid);
        match living.birth {
            Birth::First => {}
            Birth::Successor => {
                log::line(format_args!("Respawned uWSGI worker {} (new pid: {pid})", worker + 1));
            }
            Birth::Wanted => {
                let cores = self.threads;
                log::line(format_args!(
                    "spawned uWSGI worker {} (pid: {pid}, cores: {cores})",
                    worker + 1
                ));
            }
        }
    }

    pub(super) fn deaths(&mut self) -> Vec<Death> {
        self.listen(0);
        let fds: Vec<i32> =
            self.living.iter().map(|l| l.watch.as_ref().map_or(-1, AsRawFd::as_raw_fd)).collect();
        let mut ready = Vec::new();
        // A pidfd is readable when the last thread of the process is gone.
        sys::poll_readable(&fds, 0, &mut ready);
        let mut dead = Vec::new();
        let mut flags = ready.iter();
        for living in std::mem::take(&mut self.living) {
            let list = match flags.next() {
                Some(true) => &mut dead,
                _ => &mut self.living,
            };
            list.push(living);
        }
        dead.into_iter().map(|living| self.death_of(living)).collect()
    }

    fn death_of(&mut self, living: Living) -> Death {
        // The spawner reaps it and tells how it ended; on a busy machine that may take its time. Of
        // one that was asked to leave it matters little.
        let leaves = living.leaving.is_some_and(|leaving| !leaving.killed);
        let patience = if leaves { 2 } else { 20 };
        for _ in 0..patience {
            if self.ended.iter().any(|(pid, _)| *pid == living.pid) {
                break;
            }
            self.listen(50);
        }
        let at = self.ended.iter().position(|(pid, _)| *pid == living.pid);
        let how = at.map(|at| self.ended.swap_remove(at).1);
        let Living { worker, pid, incarnation, since, leaving, .. } = living;
        // Before the shards take them back.
        let running =
            |core| Some((core, self.handoff.running(worker, incarnation, core)?.describe()));
        let ran = (0..self.threads).filter_map(running).collect();
        Death { worker, pid, incarnation, how, ran, lived: since.elapsed(), leaving }
    }

    /// Draws the conclusions of a death, after the shards have taken its requests back.
    pub(super) fn respawn(&mut self, plan: &Plan, death: &Death) {
        let (worker, pid) = (death.worker, death.pid);
        let owner = Owner::new(worker + 1, death.incarnation);
        let freed = plan.board.locks().bury(owner);
        if freed > 0 {
            log::line(format_args!(
                "worker {} (pid: {pid}) held {freed} lock(s) of uwsgi.lock() when it died: freed",
                worker + 1,
            ));
        }
        let row = plan.board.worker(worker);
        let was_ready = row.get(worker::READY) == u64::from(death.incarnation);
        if was_ready {
            row.set(worker::READY, 0);
            let cores = (0..plan.board.threads()).map(|core| plan.board.core(worker, core));
            cores.for_each(|row| row.set(core::IN_REQUEST, 0));
        }
        let is_followed = self.living.iter().any(|living| living.worker == worker);
        if let (Some(leaving), Some(Ended::Exited(0)) | None) = (death.leaving, death.how)
            && !leaving.killed
        {
            if leaving.cheap && !is_followed {
                row.set(worker::PID, 0);
                return log::line(format_args!("uWSGI worker {} cheaped.", worker + 1));
            }
            log::line(format_args!("worker {} killed successfully (pid: {pid})", worker + 1));
            if !is_followed {
                self.due.push((Instant::now(), worker));
                self.spawn_due(plan);
            }
            return;
        }
        if is_followed {
            return death.tell("");
        }
        let served = row.get(worker::REQUESTS);
        let before = self.served.iter().find(|(index, _)| *index == worker).map_or(0, |s| s.1);
        self.served.retain(|(index, _)| *index != worker);
        self.served.push((worker, served));
        let failed = death.leaving.is_none()
            && (!was_ready || (served == before && death.lived < SHORT_LIFE));
        let wait = self.backoff.wait(worker, failed);
        match wait.as_secs() {
            0 => death.tell(" trying respawn ..."),
            seconds => death.tell(&format!(" trying respawn in {seconds} s ...")),
        }
        self.due.push((Instant::now() + wait, worker));
        self.spawn_due(plan);
    }

    pub(super) fn spawn_due(&mut self, plan: &Plan) {
        let now = Instant::now();
        let (due, later) = self.due.drain(..).partition(|(when, _)| *when <= now);
        self.due = later;
        let due: Vec<(Instant, usize)> = due;
        for (_, worker) in due {
            if !self.living.iter().any(|living| living.worker == worker) {
                self.spawn(plan, worker, Birth::Successor);
            }
        }
    }
}

impl Death {
    /// Tells of a worker that died without being asked to leave, and of what it ran.
    fn tell(&self, what_follows: &str) {
        let (number, pid) = (self.worker + 1, self.pid);
        let how = self.how.map_or_else(String::new, |how| format!(", {}", describe(Some(how))));
        let text = format!("DAMN ! worker {number} (pid: {pid}) died{how} :({what_follows}");
        if self.how.is_some_and(Ended::is_crash) {
            // It has named them itself.
            return log::crash(&text);
        }
        log::line(format_args!("{text}"));
        let shown = |text: &String| log::shown(text.as_bytes());
        for (core, asked) in self.ran.iter().filter(|_| self.leaving.is_none()) {
            let (method, target) = (shown(&asked.method), shown(&asked.target));
            log::line(format_args!("it ran {method} {target} on worker {number} core {core}"));
        }
    }
}

/// 24 bits of a slot's word; a server that spawns that many workers starts again at 2: the parity
/// goes on.
fn next_of(incarnation: u32) -> u32 {
    if incarnation >= 0xff_ffff { 2 } else { incarnation + 1 }
}

/// How a process ended, for people.
pub(super) fn describe(how: Option<Ended>) -> String {
    match how {
        Some(Ended::Exited(code)) => format!("exit code {code}"),
        Some(Ended::Killed(signal)) => format!("killed by signal {signal}"),
        None => "for an unknown reason".into(),
    }
}
