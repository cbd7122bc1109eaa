//! Pins shards and workers to cores, and lets go where that does harm.
//!
//! A worker on the core of its shard saves the wake-up across cores, 5 to 10 times the CPU of a
//! small request (facts: prototype figures, section 3). Where a shard has several workers, the
//! others get cores of their own. A worker whose app computes for long would keep its shard from
//! the core, so it is let go; a core that others use a good part of is left by all.

use std::time::{Duration, Instant};

use crate::log;
use crate::options::Affinity;
use crate::shared::{Board, core, shard, worker};
use crate::sys::{self, scheduling::Statistics};

/// Mean app time beyond which a worker is let go, in microseconds.
const LONG_APP_US: u64 = 1000;
/// Shares of the time, in per cent: of the core that others may use, and that the threads of a
/// group together may wait for it. Shard and worker wait for each other by design, so that the
/// waiting alone says nothing.
const OTHERS_PERCENT: u64 = 10;
const DELAY_PERCENT: u64 = 10;
/// Looks in a row at which both were more.
const STRIKES: u8 = 2;

/// Which core each shard and worker has, and what was seen at the last look.
pub struct Pins {
    /// The core of each shard and of each worker; empty when nothing is pinned.
    of_shards: Vec<usize>,
    of_workers: Vec<usize>,
    /// Cores of each worker, if that was asked for.
    each: Option<usize>,
    all: Vec<usize>,
    may_let_go: bool,
    released: Vec<bool>,
    last: Vec<(u64, u64)>,
    /// By the worker: of its core.
    groups: Vec<Group>,
    looked: Instant,
}

/// A worker, with the shard on its core if there is one, as of the last look.
#[derive(Clone, Default)]
struct Group {
    released: bool,
    strikes: u8,
    /// Nanoseconds that its threads ran and waited for the core, and that the core was busy.
    used: Used,
}

#[derive(Clone, Copy, Default)]
struct Used {
    ran_ns: u64,
    waited_ns: u64,
    busy_ns: u64,
}

/// The cores that this process may use.
pub fn usable_cores() -> Vec<usize> {
    let ids = core_affinity::get_core_ids().unwrap_or_default();
    ids.into_iter().map(|id| id.id).collect()
}

/// CPUs that the cgroup's quota amounts to, None without a quota.
pub fn quota() -> Option<usize> {
    super::cgroup::cpus().map(|limit| (limit.value.ceil() as usize).max(1))
}

impl Pins {
    /// Decides which shard and worker gets which core.
    ///
    /// `each` is uWSGI's `cpu-affinity`: so many cores for each worker, one after the other.
    pub fn plan(wish: Affinity, each: Option<usize>, shards: usize, workers: usize) -> Pins {
        let all = usable_cores();
        let pinned = match wish {
            _ if each.is_some() => false,
            Affinity::None => false,
            Affinity::Shard => !all.is_empty(),
            Affinity::Auto => workers <= all.len() && quota().is_none_or(|cpus| cpus >= all.len()),
        };
        let quietest = if pinned { quietest_first(&all) } else { Vec::new() };
        let give = |count| quietest.iter().copied().cycle().take(count).collect::<Vec<_>>();
        let of_shards = give(shards);
        let of_workers = match wish {
            Affinity::Shard => of_shards.iter().copied().cycle().take(workers).collect(),
            _ => give(workers),
        };
        Pins {
            of_shards,
            of_workers,
            each,
            all,
            may_let_go: wish == Affinity::Auto,
            released: vec![false; workers],
            last: vec![(0, 0); workers],
            groups: vec![Group::default(); workers],
            looked: Instant::now(),
        }
    }

    pub fn core_of_shard(&self, index: usize) -> Option<usize> {
        self.of_shards.get(index).copied()
    }

    /// Pins a worker's threads. Threads that the app starts inherit it.
    pub fn pin_worker(&self, board: &Board, index: usize) {
        if let Some(each) = self.each.filter(|_| !self.all.is_empty()) {
            let own = (0..each.min(self.all.len()))
                .map(|core| self.all[(index * each.min(self.all.len()) + core) % self.all.len()]);
            self.bind(board, index, &own.collect::<Vec<_>>());
        }
        if let Some(core) = self.of_workers.get(index)
            && !self.released[index]
        {
            self.bind(board, index, &[*core]);
        }
    }

    fn bind(&self, board: &Board, index: usize, cores: &[usize]) {
        for thread in 0..board.threads() {
            let tid = board.core(index, thread).get(core::THREAD_ID) as i32;
            if tid > 0 {
                sys::bind_to_cores(tid, cores);
            }
        }
    }

    /// Looks once a second whether a pinned worker, or all on a core, should be let go.
    pub fn review(&mut self, board: &Board) {
        if self.of_workers.is_empty() || !self.may_let_go {
            return;
        }
        for index in 0..self.released.len() {
            let row = board.worker(index);
            let now = (row.get(worker::REQUESTS), row.get(worker::RUNNING_US));
            let then = std::mem::replace(&mut self.last[index], now);
            let requests = now.0.saturating_sub(then.0);
            let mean_us = now.1.saturating_sub(then.1).checked_div(requests).unwrap_or(0);
            if !self.released[index] && mean_us > LONG_APP_US {
                self.released[index] = true;
                self.bind(board, index, &self.all);
            }
        }
        let elapsed_ns = self.looked.elapsed().as_nanos() as u64;
        self.looked = Instant::now();
        let ticks = ticks();
        for index in 0..self.groups.len() {
            self.review_group(board, index, &ticks, elapsed_ns.max(1));
        }
    }

    fn review_group(
        &mut self,
        board: &Board,
        index: usize,
        ticks: &[(usize, Ticks)],
        elapsed_ns: u64,
    ) {
        if self.groups[index].released {
            return;
        }
        let core = self.of_workers[index];
        // With `auto` there are no more workers than cores, and no more shards than workers.
        let shard = self.core_of_shard(index).map(|_| board.shard(index).get(shard::THREAD_ID));
        // The threads of a worker that is gone may be somebody else's.
        let is_there = board.worker(index).get(worker::PID) != 0;
        let count = if self.released[index] || !is_there { 0 } else { board.threads() };
        let threads = (0..count).map(|thread| board.core(index, thread).get(core::THREAD_ID));
        let mut now = Used::default();
        for thread in threads.chain(shard) {
            let delays = Statistics::of(thread as i32).map(|told| told.read()).unwrap_or_default();
            now.ran_ns += delays.ran_ns;
            now.waited_ns += delays.waited_ns;
        }
        now.busy_ns = ticks.iter().find(|(id, _)| *id == core).map_or(0, |(_, t)| t.busy) * TICK_NS;
        let group = &mut self.groups[index];
        let then = std::mem::replace(&mut group.used, now);
        // A thread that ended takes its times with it: the next look is right again.
        let delta = |of: fn(&Used) -> u64| of(&now).saturating_sub(of(&then));
        let others_ns = delta(|used| used.busy_ns).saturating_sub(delta(|used| used.ran_ns));
        let percent = |ns: u64| ns * 100 / elapsed_ns;
        let is_crowded = then.ran_ns > 0
            && percent(others_ns) > OTHERS_PERCENT
            && percent(delta(|used| used.waited_ns)) > DELAY_PERCENT;
        group.strikes = if is_crowded { group.strikes + 1 } else { 0 };
        if group.strikes == STRIKES {
            group.released = true;
            let number = index + 1;
            let who = match shard {
                Some(thread) => {
                    sys::bind_to_cores(thread as i32, &self.all);
                    format!("shard {number} and worker {number} are")
                }
                None => format!("worker {number} is"),
            };
            log::line(format_args!("core {core} is used by others: {who} let go"));
            self.released[index] = true;
            self.bind(board, index, &self.all);
        }
    }
}

/// The cores, the one that was most idle over a few milliseconds first.
fn quietest_first(cores: &[usize]) -> Vec<usize> {
    let before = ticks();
    std::thread::sleep(Duration::from_millis(30));
    let after = ticks();
    let idle = |core: usize| {
        let at = |ticks: &[(usize, Ticks)]| {
            ticks.iter().find(|(id, _)| *id == core).map_or(0, |(_, ticks)| ticks.idle)
        };
        at(&after).saturating_sub(at(&before))
    };
    let mut sorted = cores.to_vec();
    sorted.sort_by_key(|&core| std::cmp::Reverse(idle(core)));
    sorted
}

/// A core's times so far, in ticks.
#[derive(Clone, Copy)]
struct Ticks {
    /// Of programs: user, nice and system.
    busy: u64,
    idle: u64,
}

/// USER_HZ is 100 on every architecture that we run on (proc_stat(5)).
const TICK_NS: u64 = 10_000_000;

/// The times of each core, from /proc/stat.
fn ticks() -> Vec<(usize, Ticks)> {
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let parse = |line: &str| {
        let mut words = line.strip_prefix("cpu")?.split_ascii_whitespace();
        let core = words.next()?.parse().ok()?;
        let mut next = || words.next()?.parse::<u64>().ok();
        let (user, nice, system) = (next()?, next()?, next()?);
        Some((core, Ticks { busy: user + nice + system, idle: next()? }))
    };
    text.lines().filter_map(parse).collect()
}
