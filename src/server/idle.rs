//! What becomes of a server that nobody asks: its worker processes leave until the next request, or
//! all of it ends. uWSGI: `cheap`, `idle` and `die-on-idle`.

use std::time::{Duration, Instant};

use super::workers::Workers;
use crate::log;
use crate::options::Options;
use crate::shared::{Board, core, shard};
use crate::wsgi::Plan;

/// Looks how long there was no request.
pub struct Idle {
    /// Zero: for ever.
    limit: Duration,
    ends: bool,
    /// Workers that come with the next request.
    first: usize,
    seen: u64,
    since: Instant,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Awake,
    /// The workers are gone or about to leave.
    Cheap,
    Over,
}

impl Idle {
    /// `first` workers come after a time without any.
    pub fn new(options: &Options, first: usize) -> Idle {
        Idle {
            limit: Duration::from_secs(options.idle),
            ends: options.die_on_idle,
            first,
            seen: 0,
            since: Instant::now(),
            state: State::Awake,
        }
    }

    /// Says that no worker is there yet.
    pub fn begin_cheap(&mut self, plan: &Plan) {
        self.state = State::Cheap;
        plan.handoff.set_unattended(true);
    }

    /// Whether workers are not to be started by anyone else.
    pub fn is_cheap(&self) -> bool {
        self.state == State::Cheap
    }

    /// Looks around. True when the server is to end now; said once.
    pub fn look(&mut self, workers: &mut Workers, plan: &Plan) -> bool {
        let seen = requests(plan.board);
        if seen != self.seen || is_busy(plan.board) {
            (self.seen, self.since) = (seen, Instant::now());
        }
        if self.state == State::Cheap {
            self.wake(workers, plan);
        }
        if self.limit.is_zero() || self.since.elapsed() < self.limit {
            return false;
        }
        let seconds = self.limit.as_secs();
        if self.ends && self.state != State::Over {
            self.state = State::Over;
            log::line(format_args!("no request for {seconds} seconds (die-on-idle): stopping"));
            return true;
        }
        if !self.ends && self.state == State::Awake && workers.processes().is_some() {
            log::line(format_args!("no request for {seconds} seconds (idle)"));
            self.go_cheap(workers, plan);
        }
        false
    }

    /// Lets all worker processes leave until there is a request.
    pub fn go_cheap(&mut self, workers: &mut Workers, plan: &Plan) {
        let Some(processes) = workers.processes() else {
            return log::line(format_args!(
                "cheap mode: the workers are interpreters, which cost no process: they stay"
            ));
        };
        if self.state != State::Awake {
            return;
        }
        self.begin_cheap(plan);
        log::line(format_args!("cheap mode enabled: waiting for a request..."));
        (0..plan.board.workers()).for_each(|index| processes.send_away(plan, index));
    }

    /// Starts workers when a request waits.
    fn wake(&mut self, workers: &mut Workers, plan: &Plan) {
        let waits = (0..plan.board.shards()).any(|shard| plan.handoff.waiting(shard) > 0);
        let Some(processes) = workers.processes() else { return };
        // One that died of its own while it was to leave has a successor.
        if (0..plan.board.workers()).any(|index| processes.stayer(index).is_some()) {
            return self.awake(plan);
        }
        if !waits {
            return;
        }
        let is_free =
            |&index: &usize| processes.stayer(index).is_none() && !processes.changes(index);
        // A worker that is still leaving gets its successor at the next look.
        let free: Vec<usize> = (0..plan.board.workers()).filter(is_free).take(self.first).collect();
        if free.is_empty() {
            return;
        }
        free.into_iter().for_each(|index| processes.add(plan, index));
        self.awake(plan);
    }

    fn awake(&mut self, plan: &Plan) {
        (self.state, self.since) = (State::Awake, Instant::now());
        plan.handoff.set_unattended(false);
    }
}

/// All requests of all shards, files included.
fn requests(board: &Board) -> u64 {
    let of =
        |index| board.shard(index).get(shard::REQUESTS) + board.shard(index).get(shard::STATIC);
    (0..board.shards()).map(of).sum()
}

/// Whether a request runs, or an answer is on its way.
fn is_busy(board: &Board) -> bool {
    let in_request = |worker, thread| board.core(worker, thread).get(core::IN_REQUEST) > 0;
    (0..board.workers()).any(|worker| (0..board.threads()).any(|t| in_request(worker, t)))
        || (0..board.shards()).any(|index| board.shard(index).get(shard::ACTIVE) > 0)
}
