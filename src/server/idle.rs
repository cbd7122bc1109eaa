//! The end of a server that nobody asks. uWSGI: `idle` with `die-on-idle`.

use std::time::{Duration, Instant};

use crate::log;
use crate::options::Options;
use crate::shared::{Board, core, shard};

/// How long there was no request.
pub struct Idle {
    limit: Duration,
    seen: u64,
    since: Instant,
    is_over: bool,
}

impl Idle {
    /// None where the server goes on.
    pub fn new(options: &Options) -> Option<Idle> {
        let limit = Duration::from_secs(options.idle);
        let wanted = options.die_on_idle && !limit.is_zero();
        wanted.then(|| Idle { limit, seen: 0, since: Instant::now(), is_over: false })
    }

    /// Whether it is to end now; said once.
    pub fn is_over(&mut self, board: &Board) -> bool {
        let seen = requests(board);
        if seen != self.seen || is_busy(board) {
            (self.seen, self.since) = (seen, Instant::now());
        }
        if self.is_over || self.since.elapsed() < self.limit {
            return false;
        }
        self.is_over = true;
        let seconds = self.limit.as_secs();
        log::line(format_args!("no request for {seconds} seconds (die-on-idle): stopping"));
        true
    }
}

/// All requests of all shards, files included.
fn requests(board: &Board) -> u64 {
    let of =
        |index| board.shard(index).get(shard::REQUESTS) + board.shard(index).get(shard::STATIC);
    (0..board.shards()).map(of).sum()
}

fn is_busy(board: &Board) -> bool {
    let in_request = |worker, thread| board.core(worker, thread).get(core::IN_REQUEST) > 0;
    (0..board.workers()).any(|worker| (0..board.threads()).any(|t| in_request(worker, t)))
}
