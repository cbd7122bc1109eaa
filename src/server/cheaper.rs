//! Cheaper: worker processes that come when there is much to do and leave when there is little.
//!
//! Once a second an algorithm sees how many workers are busy and how many requests wait, and says
//! how many workers to add or whether one may leave. Only a worker that runs nothing is asked to
//! leave, and what it may have taken in that moment it finishes.

use std::time::{Duration, Instant};

use super::processes::{PATIENCE, Processes};
use super::workers::Workers;
use crate::error::StartError;
use crate::log;
use crate::options::{self, Algorithm, Options};
use crate::shared::worker;
use crate::sys;
use crate::wsgi::Plan;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// Decides how many workers there are.
pub struct Cheaper {
    minimum: usize,
    rules: options::Cheaper,
    looked: Instant,
    /// What each worker's row said of its running time, microseconds.
    running_us: Vec<u64>,
    tally: Tally,
}

/// What an algorithm remembers, in seconds or cycles of its window.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Tally {
    overloaded: u64,
    idle: u64,
    /// `busyness`: the window's seconds and the sum of its percentages.
    seconds: u64,
    busy_percents: u64,
}

/// What an algorithm sees.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Load {
    active: usize,
    busy: usize,
    waiting: usize,
    /// Of the last second's time of all threads, per cent.
    percent: u64,
}

/// What it wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    Stay,
    More(usize),
    OneLess,
}

/// Workers at the start: all, unless they come and go.
///
/// # Errors
/// uWSGI: `cheaper` must be lower than the number of workers.
pub fn initial(options: &Options) -> Result<usize, StartError> {
    let all = options.processes.max(1);
    let Some(minimum) = options.cheaper.filter(|&minimum| minimum > 0) else { return Ok(all) };
    if minimum >= all {
        return Err(StartError::new(format!(
            "invalid cheaper value: {minimum} must be lower than processes, which is {all}"
        )));
    }
    Ok(options.cheap.initial.unwrap_or(minimum).clamp(minimum, all))
}

impl Cheaper {
    /// None when all workers are always there.
    pub fn new(options: &Options) -> Option<Cheaper> {
        Some(Cheaper {
            minimum: options.cheaper.filter(|&minimum| minimum > 0)?,
            rules: options.cheap.clone(),
            looked: Instant::now(),
            running_us: vec![0; options.processes],
            tally: Tally::default(),
        })
    }

    /// Looks around, if it is time.
    pub fn look(&mut self, workers: &mut Workers, plan: &Plan) {
        if self.looked.elapsed() < LOOK {
            return;
        }
        self.looked = Instant::now();
        let Some(processes) = workers.processes() else { return };
        let load = self.load(processes, plan);
        let wish = self.tally.decide(&self.rules, self.minimum, load);
        let wish = self.within_memory(wish, processes, plan);
        if self.rules.verbose && self.rules.algorithm == Algorithm::Busyness {
            log::line(format_args!(
                "[busyness] {}% of the last second, {} workers, {} requests wait",
                load.percent, load.active, load.waiting
            ));
        }
        match wish {
            Wish::Stay => {}
            Wish::More(count) => add(count, processes, plan),
            Wish::OneLess if load.active > self.minimum => end_one(processes, plan),
            Wish::OneLess => {}
        }
    }

    /// What is left of a wish when the workers' memory is limited.
    fn within_memory(&self, wish: Wish, processes: &Processes, plan: &Plan) -> Wish {
        if self.rules.rss_soft.or(self.rules.rss_hard).is_none() {
            return wish;
        }
        let shared = plan.handoff.region.bytes();
        let resident = |pid| sys::memory_of(pid).without(shared).resident;
        let all = processes.sitters().filter(|sitter| sitter.pid != 0);
        let used: u64 = all.map(|sitter| resident(sitter.pid)).sum();
        limited(&self.rules, wish, used)
    }

    fn load(&mut self, processes: &Processes, plan: &Plan) -> Load {
        let threads = plan.board.threads();
        let mut load = Load::default();
        let mut worked_us = 0;
        for index in 0..plan.board.workers() {
            let running_us = plan.board.worker(index).get(worker::RUNNING_US);
            let before = std::mem::replace(&mut self.running_us[index], running_us);
            let Some(sitter) = processes.stayer(index) else { continue };
            load.active += 1;
            let running = |thread| plan.handoff.running(index, sitter.incarnation, thread);
            let running = (0..threads).filter(|&thread| running(thread).is_some()).count();
            // Requests that run longer than a second say nothing of their time before they end.
            let most = 1_000_000 * threads as u64;
            let own_us = (running_us.wrapping_sub(before)).max(1_000_000 * running as u64);
            let own_us = if own_us > most { most } else { own_us };
            worked_us += own_us;
            // A sample may fall between two of many short requests.
            if running == threads || own_us >= most / 10 * 9 {
                load.busy += 1;
            }
        }
        load.waiting = (0..plan.board.shards()).map(|shard| plan.handoff.waiting(shard)).sum();
        load.percent = worked_us / 10_000 / (load.active.max(1) * threads) as u64;
        load
    }
}

impl Tally {
    fn decide(&mut self, rules: &options::Cheaper, minimum: usize, load: Load) -> Wish {
        match rules.algorithm {
            Algorithm::Spare => self.spare(rules, load),
            Algorithm::Spare2 => self.spare2(rules, minimum, load),
            Algorithm::Backlog => backlog(rules, load),
            Algorithm::Busyness => self.busyness(rules, load),
            Algorithm::Manual => Wish::Stay,
        }
    }

    /// More when all were busy for `cheaper-overload` seconds, one less when two were idle as long.
    fn spare(&mut self, rules: &options::Cheaper, load: Load) -> Wish {
        match load.active.saturating_sub(load.busy) {
            0 => (self.overloaded, self.idle) = (self.overloaded + 1, 0),
            1 => {}
            _ => (self.overloaded, self.idle) = (0, self.idle + 1),
        }
        if self.overloaded >= rules.overload.max(1) {
            self.overloaded = 0;
            return Wish::More(rules.step);
        }
        if self.idle >= rules.overload.max(1) {
            self.idle = 0;
            return Wish::OneLess;
        }
        Wish::Stay
    }

    /// As many idle workers as `cheaper` says; one less when there were more for `cheaper-idle`.
    fn spare2(&mut self, rules: &options::Cheaper, minimum: usize, load: Load) -> Wish {
        let idle = load.active.saturating_sub(load.busy);
        if idle <= minimum {
            self.idle = 0;
            let missing = (minimum - idle).min(rules.step);
            return if missing > 0 { Wish::More(missing) } else { Wish::Stay };
        }
        self.idle += 1;
        if self.idle < rules.idle.max(1) {
            return Wish::Stay;
        }
        self.idle = 0;
        Wish::OneLess
    }

    /// By the share of time that workers were busy in a window of `cheaper-overload` seconds.
    fn busyness(&mut self, rules: &options::Cheaper, load: Load) -> Wish {
        self.seconds += 1;
        self.busy_percents += load.percent;
        if load.waiting as u64 > rules.backlog_alert {
            return Wish::More(rules.backlog_step);
        }
        if self.seconds < rules.overload.max(1) {
            return Wish::Stay;
        }
        let percent = self.busy_percents / self.seconds;
        (self.seconds, self.busy_percents) = (0, 0);
        if percent > rules.busyness_max {
            self.idle = 0;
            return Wish::More(rules.step);
        }
        if percent >= rules.busyness_min {
            self.idle = self.idle.saturating_sub(1);
            return Wish::Stay;
        }
        self.idle += 1;
        if self.idle < rules.busyness_multiplier.max(1) {
            return Wish::Stay;
        }
        self.idle = 0;
        Wish::OneLess
    }
}

/// The wish that `used` bytes of memory allow.
fn limited(rules: &options::Cheaper, wish: Wish, used: u64) -> Wish {
    let reaches = |limit: Option<u64>| limit.is_some_and(|limit| used >= limit);
    match wish {
        _ if reaches(rules.rss_hard) => Wish::OneLess,
        Wish::More(_) if reaches(rules.rss_soft) => Wish::Stay,
        wish => wish,
    }
}

/// More while more than `cheaper-overload` requests wait, one less while none does.
fn backlog(rules: &options::Cheaper, load: Load) -> Wish {
    match load.waiting as u64 {
        waiting if waiting > rules.overload => Wish::More(rules.step),
        0 if load.busy < load.active => Wish::OneLess,
        _ => Wish::Stay,
    }
}

/// Starts workers, the lowest numbers first; not while some are still starting.
fn add(count: usize, processes: &mut Processes, plan: &Plan) {
    let is_starting = |index| {
        let ready = plan.board.worker(index).get(worker::READY);
        processes.stayer(index).is_some_and(|sitter| u64::from(sitter.incarnation) != ready)
    };
    if (0..plan.board.workers()).any(is_starting) {
        return;
    }
    let absent = |&index: &usize| processes.stayer(index).is_none() && !processes.changes(index);
    let wanted: Vec<usize> = (0..plan.board.workers()).filter(absent).take(count).collect();
    wanted.into_iter().for_each(|index| processes.add(plan, index));
}

/// Asks the highest-numbered worker that runs nothing to leave.
fn end_one(processes: &mut Processes, plan: &Plan) {
    let idle = |&index: &usize| {
        let Some(sitter) = processes.stayer(index) else { return false };
        let mut threads = 0..plan.board.threads();
        !processes.changes(index)
            && threads.all(|t| plan.handoff.running(index, sitter.incarnation, t).is_none())
    };
    let found = (0..plan.board.workers()).rev().find(idle);
    if let Some(sitter) = found.and_then(|index| processes.stayer(index)) {
        processes.dismiss(plan, sitter.incarnation, PATIENCE, true);
    }
}

/// One worker more or one less, by hand. uWSGI: `+` and `-` in the MasterFIFO. The last one stays.
pub fn by_hand(more: bool, workers: &mut Workers, plan: &Plan) {
    let Some(processes) = workers.processes() else {
        return log::line(format_args!("cheaper: the workers are interpreters: all stay"));
    };
    let there = (0..plan.board.workers()).filter(|&i| processes.stayer(i).is_some()).count();
    match more {
        true if there == plan.board.workers() => {
            log::line(format_args!("cheaper: all {there} workers are there"));
        }
        true => add(1, processes, plan),
        false if there > 1 => end_one(processes, plan),
        false => log::line(format_args!("cheaper: the last worker stays")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(algorithm: Algorithm) -> options::Cheaper {
        options::Cheaper { algorithm, overload: 2, idle: 3, step: 2, ..options::Cheaper::default() }
    }

    fn wishes(algorithm: Algorithm, minimum: usize, loads: &[Load]) -> Vec<Wish> {
        let (mut tally, rules) = (Tally::default(), rules(algorithm));
        loads.iter().map(|&load| tally.decide(&rules, minimum, load)).collect()
    }

    fn load(active: usize, busy: usize) -> Load {
        Load { active, busy, ..Load::default() }
    }

    #[test]
    fn spare_counts_seconds_without_an_idle_worker() {
        let loads = [load(2, 2), load(2, 2), load(4, 4), load(4, 3), load(4, 4), load(4, 2)];
        use Wish::{More, Stay};
        assert_eq!(wishes(Algorithm::Spare, 1, &loads), [Stay, More(2), Stay, Stay, More(2), Stay]);
    }

    #[test]
    fn spare_lets_one_go_when_two_were_idle_for_long() {
        let loads = [load(4, 2), load(4, 2), load(3, 1), load(3, 2), load(3, 1)];
        use Wish::{OneLess, Stay};
        assert_eq!(wishes(Algorithm::Spare, 1, &loads), [Stay, OneLess, Stay, Stay, OneLess]);
    }

    #[test]
    fn spare2_keeps_as_many_idle_as_it_was_told() {
        let loads = [load(3, 0), load(3, 1), load(3, 3), load(6, 2), load(6, 2), load(6, 2)];
        use Wish::{More, OneLess, Stay};
        let wanted = [Stay, More(1), More(2), Stay, Stay, OneLess];
        assert_eq!(wishes(Algorithm::Spare2, 3, &loads), wanted);
    }

    #[test]
    fn manual_leaves_it_to_the_operator() {
        let loads = [load(2, 2), load(2, 2), load(2, 0), load(2, 0), load(2, 0), load(2, 0)];
        assert_eq!(wishes(Algorithm::Manual, 1, &loads), [Wish::Stay; 6]);
    }

    #[test]
    fn backlog_counts_waiting_requests() {
        let waits = |waiting| Load { active: 2, busy: 1, waiting, percent: 0 };
        let wanted = [Wish::More(2), Wish::Stay, Wish::OneLess];
        assert_eq!(wishes(Algorithm::Backlog, 1, &[waits(3), waits(2), waits(0)]), wanted);
    }

    #[test]
    fn busyness_looks_at_a_window() {
        let busy = |percent| Load { active: 2, busy: 1, waiting: 0, percent };
        let loads = [busy(100), busy(10), busy(40), busy(40)];
        use Wish::{More, Stay};
        let wanted = [Stay, More(2), Stay, Stay];
        assert_eq!(wishes(Algorithm::Busyness, 1, &loads), wanted);
        let quiet = vec![busy(1); 20];
        let wishes = wishes(Algorithm::Busyness, 1, &quiet);
        assert_eq!(wishes.iter().position(|wish| *wish == Wish::OneLess), Some(19));
    }

    #[test]
    fn memory_limits_what_is_wished_for() {
        let mut rules = rules(Algorithm::Spare);
        (rules.rss_soft, rules.rss_hard) = (Some(100), Some(200));
        let wishes = [Wish::Stay, Wish::More(2), Wish::OneLess];
        let with = |used| wishes.map(|wish| limited(&rules, wish, used));
        assert_eq!(with(99), wishes);
        assert_eq!(with(100), [Wish::Stay, Wish::Stay, Wish::OneLess]);
        assert_eq!(with(200), [Wish::OneLess; 3]);
    }

    #[test]
    fn an_alert_does_not_wait_for_the_window() {
        let alarm = Load { active: 1, busy: 1, waiting: 34, percent: 0 };
        assert_eq!(wishes(Algorithm::Busyness, 1, &[alarm]), [Wish::More(1)]);
    }
}
