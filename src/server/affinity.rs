//! Pins shards and workers to cores, and lets go where that does harm.
//!
//! A worker on the core of its shard saves the wake-up across cores, 5 to 10 times the CPU of a
//! small request (facts: prototype figures, section 3). A worker whose app computes for long would
//! keep its shard from the core, so it is let go.

use std::time::Duration;

use crate::options::Affinity;
use crate::shared::{Board, core, shard, worker};
use crate::sys;

/// Mean app time beyond which a worker is let go, in microseconds.
const LONG_APP_US: u64 = 1000;
/// Share of the time that a pinned thread may wait for its core, in per cent.
const DELAY_PERCENT: u64 = 10;

/// Which core each shard has, and what was seen at the last look.
pub struct Pins {
    /// The core of each shard; empty when nothing is pinned.
    cores: Vec<usize>,
    all: Vec<usize>,
    may_let_go: bool,
    released: Vec<bool>,
    last: Vec<(u64, u64)>,
    delays: Vec<u64>,
}

/// The cores that this process may use.
pub fn usable_cores() -> Vec<usize> {
    let ids = core_affinity::get_core_ids().unwrap_or_default();
    ids.into_iter().map(|id| id.id).collect()
}

/// CPUs that the cgroup's quota amounts to, None without a quota.
pub fn quota() -> Option<usize> {
    let text = std::fs::read_to_string("/sys/fs/cgroup/cpu.max").ok()?;
    let mut parts = text.split_ascii_whitespace().map(str::parse::<u64>);
    let (quota, period) = (parts.next()?.ok()?, parts.next()?.ok()?);
    usize::try_from(quota.div_ceil(period.max(1))).ok().map(|cpus| cpus.max(1))
}

impl Pins {
    /// Decides which shard gets which core.
    pub fn plan(wish: Affinity, shards: usize, workers: usize) -> Pins {
        let all = usable_cores();
        let pinned = match wish {
            Affinity::None => false,
            Affinity::Shard => !all.is_empty(),
            Affinity::Auto => workers <= all.len() && quota().is_none_or(|cpus| cpus >= all.len()),
        };
        let cores = if pinned {
            let quietest = quietest_first(&all);
            (0..shards).map(|index| quietest[index % quietest.len()]).collect()
        } else {
            Vec::new()
        };
        Pins {
            cores,
            all,
            may_let_go: wish == Affinity::Auto,
            released: vec![false; workers],
            last: vec![(0, 0); workers],
            delays: vec![0; workers + shards],
        }
    }

    /// The core of a shard and of its workers.
    pub fn core_of_shard(&self, index: usize) -> Option<usize> {
        self.cores.get(index).copied()
    }

    pub fn core_of_worker(&self, index: usize) -> Option<usize> {
        let shards = self.cores.len();
        (shards > 0).then(|| self.cores[index % shards])
    }

    /// Pins a worker's threads. Threads that the app starts inherit it.
    pub fn pin_worker(&self, board: &Board, index: usize) {
        if let Some(core) = self.core_of_worker(index)
            && !self.released[index]
        {
            self.bind(board, index, &[core]);
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

    /// Looks once a second whether a pinned worker should be let go.
    pub fn review(&mut self, board: &Board, pid_of: impl Fn(usize) -> u32) {
        if self.cores.is_empty() || !self.may_let_go {
            return;
        }
        for index in 0..self.released.len() {
            let row = board.worker(index);
            let now = (row.get(worker::REQUESTS), row.get(worker::RUNNING_US));
            let then = std::mem::replace(&mut self.last[index], now);
            let requests = now.0.saturating_sub(then.0);
            let mean_us = now.1.saturating_sub(then.1).checked_div(requests).unwrap_or(0);
            let thread = board.core(index, 0).get(core::THREAD_ID) as i32;
            let delayed = self.is_delayed(index, pid_of(index), thread);
            if !self.released[index] && (mean_us > LONG_APP_US || delayed) {
                self.released[index] = true;
                self.bind(board, index, &self.all);
            }
        }
        self.review_shards(board);
    }

    fn review_shards(&mut self, board: &Board) {
        for index in 0..self.cores.len() {
            let thread = board.shard(index).get(shard::THREAD_ID) as i32;
            let place = self.released.len() + index;
            let shard_is_alone = self.released.iter().skip(index).step_by(self.cores.len());
            let all_released = shard_is_alone.clone().all(|&released| released);
            if self.is_delayed(place, std::process::id(), thread) && all_released {
                // The core belongs to somebody else now.
                sys::bind_to_cores(thread, &self.all);
            }
        }
    }

    /// Whether a thread waited for its core more than the allowed share of the last second.
    fn is_delayed(&mut self, place: usize, pid: u32, thread: i32) -> bool {
        let path = format!("/proc/{pid}/task/{thread}/schedstat");
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let mut numbers = text.split_ascii_whitespace().map(|text| text.parse().unwrap_or(0u64));
        let (_, waited) = (numbers.next(), numbers.next().unwrap_or(0));
        let before = std::mem::replace(&mut self.delays[place], waited);
        // Shard and worker on one core wait for each other by design: only far more than that says
        // that a third party wants the core.
        let share = waited.saturating_sub(before) * 100 / 1_000_000_000;
        before > 0 && share > 40 + DELAY_PERCENT
    }
}

/// The cores, the one that was most idle over a few milliseconds first.
fn quietest_first(cores: &[usize]) -> Vec<usize> {
    let before = idle_ticks();
    std::thread::sleep(Duration::from_millis(30));
    let after = idle_ticks();
    let idle = |core: usize| {
        let at = |ticks: &[(usize, u64)]| {
            ticks.iter().find(|(id, _)| *id == core).map_or(0, |(_, idle)| *idle)
        };
        at(&after).saturating_sub(at(&before))
    };
    let mut sorted = cores.to_vec();
    sorted.sort_by_key(|&core| std::cmp::Reverse(idle(core)));
    sorted
}

/// Idle time of each core so far, from /proc/stat.
fn idle_ticks() -> Vec<(usize, u64)> {
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let parse = |line: &str| {
        let mut words = line.strip_prefix("cpu")?.split_ascii_whitespace();
        let core = words.next()?.parse().ok()?;
        // user, nice, system, then idle.
        Some((core, words.nth(3)?.parse().ok()?))
    };
    text.lines().filter_map(parse).collect()
}
