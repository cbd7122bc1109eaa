//! How long the successors of workers wait whose predecessors died of starting: a broken start must
//! not make the server spin.

use std::time::Duration;

/// As the master's for server processes.
pub const WAIT_MIN: Duration = Duration::from_secs(2);
const WAIT_MAX: Duration = Duration::from_secs(30);

/// The waits of all workers.
#[derive(Debug, Default)]
pub struct Backoff {
    /// What the next failure of a worker costs, by its index.
    next: Vec<Duration>,
}

impl Backoff {
    /// How long the successor of `worker` waits: longer with each start that failed, not at all
    /// after one that did not.
    pub fn wait(&mut self, worker: usize, has_failed: bool) -> Duration {
        if self.next.len() <= worker {
            self.next.resize(worker + 1, WAIT_MIN);
        }
        let next = &mut self.next[worker];
        if !has_failed {
            *next = WAIT_MIN;
            return Duration::ZERO;
        }
        let wait = *next;
        *next = (wait * 2).min(WAIT_MAX);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_with_each_failure_and_begin_anew_after_a_life() {
        let mut backoff = Backoff::default();
        let seconds: Vec<u64> = (0..6).map(|_| backoff.wait(1, true).as_secs()).collect();
        assert_eq!(seconds, [2, 4, 8, 16, 30, 30]);
        assert_eq!(backoff.wait(0, true), WAIT_MIN, "each worker has its own");
        assert_eq!(backoff.wait(1, false), Duration::ZERO);
        assert_eq!(backoff.wait(1, true), WAIT_MIN);
    }
}
