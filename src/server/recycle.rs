//! Recycling: workers that are replaced for what they have served, for their age or their memory.
//!
//! The successor is there and ready before the old one is told to leave, and the next worker begins
//! only when the old one is gone: nobody waits for it, and two never go together. Where workers are
//! interpreters the whole server process is what is replaced.

use std::time::{Duration, Instant};

use super::processes::Processes;
use super::workers::{Sitter, Workers};
use crate::log;
use crate::options::Options;
use crate::shared::worker;
use crate::sys::{self, Memory};
use crate::wsgi::Plan;

/// Between two looks at the memory.
const MEASURE: Duration = Duration::from_secs(1);
/// A successor that takes longer to start is told of.
const SLOW: Duration = Duration::from_secs(60);
/// After a successor that died of starting, or a server process that was to be replaced.
const AGAIN: Duration = Duration::from_secs(30);

/// What the options say of it.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    requests: Option<u64>,
    requests_delta: u64,
    lifetime_s: Option<u64>,
    lifetime_delta_s: u64,
    lifetime_min: Duration,
    /// Bytes.
    resident: Option<u64>,
    address_space: Option<u64>,
    evil_resident: Option<u64>,
    evil_address_space: Option<u64>,
    mercy: Duration,
}

impl Rules {
    pub fn new(options: &Options) -> Rules {
        let positive = |limit: Option<u64>| limit.filter(|&limit| limit > 0);
        let bytes = |mib: Option<u64>| positive(mib).map(|mib| mib.saturating_mul(1 << 20));
        Rules {
            requests: positive(options.max_requests),
            requests_delta: options.max_requests_delta,
            lifetime_s: positive(options.max_worker_lifetime),
            lifetime_delta_s: options.recycling.max_worker_lifetime_delta,
            lifetime_min: Duration::from_secs(options.min_worker_lifetime),
            resident: bytes(options.reload_on_rss),
            address_space: bytes(options.reload_on_as),
            evil_resident: bytes(options.recycling.evil_reload_on_rss),
            evil_address_space: bytes(options.recycling.evil_reload_on_as),
            mercy: Duration::from_secs(options.worker_reload_mercy.max(1)),
        }
    }

    /// uWSGI: the delta counts once for each worker beyond the first.
    fn requests_of(&self, worker: usize) -> Option<u64> {
        self.requests.map(|limit| limit + self.requests_delta * worker as u64)
    }

    fn lifetime_of(&self, worker: usize) -> Option<Duration> {
        let seconds = self.lifetime_s? + self.lifetime_delta_s * worker as u64;
        Some(Duration::from_secs(seconds))
    }

    fn measures(&self) -> bool {
        let limits =
            [self.resident, self.address_space, self.evil_resident, self.evil_address_space];
        limits.iter().any(Option::is_some)
    }
}

/// Looks after the age of workers.
pub struct Recycler {
    rules: Rules,
    measured: Instant,
    not_before: Instant,
    tenures: Vec<Tenure>,
    way: Option<Way>,
    /// The worker that is looked at first: the one after the last that was replaced.
    next: usize,
}

/// The incarnation of a worker that serves.
#[derive(Debug, Clone, Copy)]
struct Tenure {
    incarnation: u32,
    since: Instant,
    /// What its row said when it began.
    requests: u64,
    memory: Memory,
}

/// A worker on its way out.
struct Way {
    old: Sitter,
    new: u32,
    has_left: bool,
    since: Instant,
    is_told: bool,
}

impl Recycler {
    pub fn new(rules: Rules) -> Recycler {
        let now = Instant::now();
        Recycler { rules, measured: now, not_before: now, tenures: Vec::new(), way: None, next: 0 }
    }

    /// Goes on with what is under way, or begins with the next worker. Returns why this server
    /// process should be replaced, if it should.
    pub fn look(&mut self, workers: &mut Workers, plan: &Plan) -> Option<String> {
        let now = Instant::now();
        self.take_office(plan, now);
        let measures = self.rules.measures() && now.duration_since(self.measured) >= MEASURE;
        if measures {
            self.measured = now;
        }
        let Some(processes) = workers.processes() else {
            if measures {
                // All workers live in this process: each has its share.
                let all = sys::memory_of(std::process::id() as i32);
                let share = all.without(plan.handoff.region.bytes()).divided(self.tenures.len());
                self.tenures.iter_mut().for_each(|tenure| tenure.memory = share);
            }
            return self.server_is_old(plan, now);
        };
        if measures {
            self.measure(processes, plan);
        }
        match self.way.take() {
            Some(way) => self.way = self.go_on(way, processes, plan, now),
            None if now >= self.not_before => self.way = self.begin(processes, plan, now),
            None => {}
        }
        None
    }

    /// Notes which incarnations have begun to serve.
    fn take_office(&mut self, plan: &Plan, now: Instant) {
        for index in 0..plan.board.workers() {
            let row = plan.board.worker(index);
            let incarnation = row.get(worker::READY) as u32;
            // The first ones have served all that there is, also what came before this look.
            let is_first = self.tenures.len() == index;
            let requests = if is_first { 0 } else { row.get(worker::REQUESTS) };
            let memory = Memory::default();
            let tenure = Tenure { incarnation, since: now, requests, memory };
            match self.tenures.get_mut(index) {
                Some(old) if old.incarnation == incarnation || incarnation == 0 => continue,
                Some(old) => *old = tenure,
                None => self.tenures.push(tenure),
            }
            // The worker itself rings when it comes to this request.
            let limit = self.rules.requests_of(index).map_or(0, |limit| requests + limit);
            row.set(worker::RING_AT, limit);
        }
    }

    fn measure(&mut self, processes: &Processes, plan: &Plan) {
        for (index, tenure) in self.tenures.iter_mut().enumerate() {
            let Some(sitter) = processes.stayer(index).filter(|sitter| sitter.pid != 0) else {
                continue;
            };
            let memory = sys::memory_of(sitter.pid).without(plan.handoff.region.bytes());
            tenure.memory = memory;
            let above = |limit: Option<u64>, bytes: u64| limit.is_some_and(|limit| bytes > limit);
            let (what, bytes) = if above(self.rules.evil_resident, memory.resident) {
                ("RSS", memory.resident)
            } else if above(self.rules.evil_address_space, memory.address_space) {
                ("ADDRESS SPACE", memory.address_space)
            } else {
                continue;
            };
            let (number, pid) = (index + 1, sitter.pid);
            log::line(format_args!(
                "*** EVIL RELOAD ON WORKER {number} {what}: {bytes} (pid: {pid}) ***"
            ));
            sys::kill(pid, libc::SIGKILL);
        }
    }

    /// Why a worker is to be replaced, if it is.
    fn reason(&self, index: usize, plan: &Plan, now: Instant) -> Option<String> {
        let tenure = &self.tenures[index];
        let row = plan.board.worker(index);
        if tenure.incarnation == 0 {
            return None;
        }
        if row.get(worker::UNWANTED) == u64::from(tenure.incarnation) {
            return Some("a monitored exception".into());
        }
        let age = now.duration_since(tenure.since);
        if age < self.rules.lifetime_min {
            return None;
        }
        let served = row.get(worker::REQUESTS).saturating_sub(tenure.requests);
        if self.rules.requests_of(index).is_some_and(|limit| served >= limit) {
            return Some(format!("{served} requests served"));
        }
        if self.rules.lifetime_of(index).is_some_and(|limit| age >= limit) {
            return Some(format!(
                "worker {} lifetime reached, it was running for {} second(s)",
                index + 1,
                age.as_secs()
            ));
        }
        let Memory { resident, address_space } = tenure.memory;
        if self.rules.resident.is_some_and(|limit| resident > limit) {
            return Some(format!("{} MiB of resident memory", resident >> 20));
        }
        if self.rules.address_space.is_some_and(|limit| address_space > limit) {
            return Some(format!("{} MiB of address space", address_space >> 20));
        }
        None
    }

    /// Begins with the first worker that is to be replaced.
    fn begin(&mut self, processes: &mut Processes, plan: &Plan, now: Instant) -> Option<Way> {
        let count = self.tenures.len();
        for index in (0..count).map(|step| (self.next + step) % count) {
            let Some(reason) = self.reason(index, plan, now) else { continue };
            let Some(old) = processes.stayer(index) else { continue };
            if old.incarnation != self.tenures[index].incarnation || processes.changes(index) {
                continue;
            }
            let (number, pid) = (index + 1, old.pid);
            match reason.starts_with("worker ") {
                true => log::line(format_args!("{reason}")),
                false => log::line(format_args!("worker {number} (pid: {pid}): {reason}")),
            }
            let new = processes.succeed(plan, index)?;
            self.next = index + 1;
            return Some(Way { old, new, has_left: false, since: now, is_told: false });
        }
        None
    }

    fn go_on(
        &mut self,
        mut way: Way,
        processes: &mut Processes,
        plan: &Plan,
        now: Instant,
    ) -> Option<Way> {
        let lives = |incarnation| processes.sitters().any(|s| s.incarnation == incarnation);
        let Sitter { worker, incarnation, pid } = way.old;
        let is_ready = plan.board.worker(worker).get(worker::READY) == u64::from(way.new);
        if !lives(incarnation) {
            return None; // Gone; if it died by itself the successor is there all the same.
        }
        if !way.has_left && is_ready {
            way.has_left = true;
            log::line(format_args!("...The work of process {pid} is done. Seeya!"));
            processes.dismiss(plan, incarnation, self.rules.mercy, false);
        } else if !way.has_left && !lives(way.new) {
            log::line(format_args!(
                "the successor of worker {} (pid: {pid}) died while it started: the old one stays \
                 for {} seconds",
                worker + 1,
                AGAIN.as_secs()
            ));
            self.not_before = now + AGAIN;
            return None;
        } else if !way.has_left && !way.is_told && now.duration_since(way.since) >= SLOW {
            way.is_told = true;
            log::line(format_args!(
                "the successor of worker {} (pid: {pid}) still starts after {} seconds: the old \
                 one goes on",
                worker + 1,
                SLOW.as_secs()
            ));
        }
        Some(way)
    }

    /// Why this process, whose workers are interpreters, should be replaced.
    fn server_is_old(&mut self, plan: &Plan, now: Instant) -> Option<String> {
        if now < self.not_before {
            return None;
        }
        let reasons = (0..self.tenures.len()).find_map(|index| {
            self.reason(index, plan, now).map(|reason| format!("worker {}: {reason}", index + 1))
        });
        if reasons.is_some() {
            self.not_before = now + AGAIN;
        }
        reasons
    }
}
