//! How long the app takes for a request, and what a shard does differently for that.

use std::cell::Cell;

use super::Shard;
use crate::handoff::SLOW_APP_US;
use crate::shared::worker;

/// The time that the app takes for a request in the own workers, over the last ones.
#[derive(Default)]
pub(super) struct Pace {
    /// Requests and microseconds of all times.
    totals: Cell<(u64, u64)>,
    /// Of the last ones.
    window: Cell<(u64, u64)>,
}

/// Requests of which fewer say nothing, and of which more count half.
const SAID_BY: u64 = 64;
const FORGOTTEN_FROM: u64 = 2048;

impl Pace {
    /// Microseconds of a request, as of the last look; None if too few are known.
    pub(super) fn mean_us(&self) -> Option<u64> {
        let (requests, running_us) = self.window.get();
        (requests >= SAID_BY).then(|| running_us / requests)
    }

    /// Takes the totals of now in. Microseconds of a request; None if too few are known.
    fn look(&self, requests: u64, running_us: u64) -> Option<u64> {
        let before = self.totals.replace((requests, running_us));
        let window = self.window.get();
        // A worker's counters may begin anew.
        let mut window = (
            window.0 + requests.saturating_sub(before.0),
            window.1 + running_us.saturating_sub(before.1),
        );
        if window.0 > FORGOTTEN_FROM {
            window = (window.0 / 2, window.1 / 2);
        }
        self.window.set(window);
        self.mean_us()
    }
}

impl Shard {
    /// Looks whether each request takes so long that answers come one by one, whether they may wait
    /// for each other, and whether the app is so fast that few threads serve it best.
    pub(super) fn look_at_pace(&self) {
        let pace = |index: &usize| self.board.worker(*index).get(worker::AVG_RT_US);
        // A worker that had no request says nothing of the app.
        let fastest = self.workers.iter().map(pace).filter(|&pace| pace > 0).min().unwrap_or(0);
        self.app_is_slow.set(fastest >= SLOW_APP_US);
        self.holds_answers.set(self.may_hold(fastest));
        let sum = |word| self.workers.iter().map(|&w| self.board.worker(w).get(word)).sum();
        let mean = self.pace.look(sum(worker::REQUESTS), sum(worker::RUNNING_US));
        let mut queue = self.queue.borrow_mut();
        queue.set_fast(mean.filter(|&mean| mean < SLOW_APP_US));
        self.workers_send.set(queue.workers_send());
    }
}

#[cfg(test)]
mod tests {
    use super::Pace;

    #[test]
    fn the_pace_is_that_of_all_requests_and_not_of_the_last() {
        let pace = Pace::default();
        assert_eq!(pace.look(10, 50), None, "too few");
        assert_eq!(pace.look(1000, 5000), Some(5));
        assert_eq!(pace.look(1001, 105_000), Some(104), "one was long");
        let later = (2..200).map(|n| pace.look(n * 1000, 105_000 + n * 5000));
        assert_eq!(later.last(), Some(Some(5)), "long ago");
        assert_eq!(pace.look(3, 15), Some(5), "the counters begin anew");
    }
}
