//! Lets requests gather while all workers compute, as a network card coalesces its interrupts.
//!
//! Where an app takes its time, a worker has requests in store and sends its answers by itself, so
//! that the shard's only business is to receive requests for later. Each that came woke it in the
//! midst of the worker's computing: with Flask under load from another core 1.9 switches of threads
//! for a request, and a third more CPU than with requests gathered. So the shard
//! waits for its doorbell only, for a bounded time: what comes meanwhile stays in the kernel. A
//! worker rings when few requests are left, or when it has nothing to do
//! (`handoff/coalesce.rs`); whoever else wants the shard rings the same bell.
//!
//! With `coalesce-answers` workers leave their answers to the shard meanwhile, which sends them
//! together: a client on another core is woken once for all of them.

use std::time::Duration;

use super::Shard;
use super::signal::Signal;
use crate::shared::shard as place;

/// How long a connection, a file or a static answer may have to wait while all workers compute.
const MOST: Duration = Duration::from_millis(1);
/// A turn with so many requests is one of several: a ring hands over twenty completions at a time.
const CROWD: usize = 16;
/// An app that takes longer for a request, in microseconds, has too few answers within `MOST`.
const HELD_APP_US: u64 = 500;

/// The moment at which all other tasks have run and their operations are with the kernel.
#[derive(Default)]
pub(super) struct Brink {
    wanted: Signal,
    reached: Signal,
}

impl Brink {
    /// Drives it, as a part of the runtime's main future: that is polled when no task can run, and
    /// if it makes one able to, the runtime submits what is queued before it runs that.
    pub(super) async fn tell(&self) {
        loop {
            self.wanted.wait().await;
            self.reached.raise();
        }
    }

    /// Twice, since what is completed on the spot makes tasks able to run, which want operations.
    async fn reach(&self) {
        for _ in 0..2 {
            self.wanted.raise();
            self.reached.wait().await;
        }
    }
}

impl Shard {
    /// Whether nothing is under way here but requests whose answers workers send, and they have
    /// enough of these.
    fn may_coalesce(&self) -> bool {
        self.app_is_slow.get()
            && self.can_gather
            && !self.draining.get()
            && self.watches.active() == self.offered.len()
            && !self.turn.is_raised()
            && self.queue.borrow().has_reserve()
    }

    /// Whether answers may wait for each other with an app of this pace.
    pub(super) fn may_hold(&self, fastest_us: u64) -> bool {
        self.coalesces_answers && fastest_us < HELD_APP_US
    }

    /// At the end of a turn with so many requests: waits until workers want more, if they have
    /// enough. Then delivers the answers that have waited for that; `news` is a vector for it.
    pub(super) async fn coalesce(&self, queued: usize, news: &mut Vec<usize>) {
        if queued == 0 || queued >= CROWD || !self.may_coalesce() {
            return;
        }
        self.brink.reach().await;
        if !self.may_coalesce() {
            return;
        }
        let holds = self.holds_answers.get();
        let mut queue = self.queue.borrow_mut();
        if queue.begin_gathering(holds) {
            crate::sys::await_readable_briefly(self.bell(), MOST);
            self.row.bump(place::GATHERED, 1);
        }
        queue.end_gathering();
        if holds {
            queue.drain(news);
            drop(queue);
            self.row.bump(place::HELD, news.len() as u64);
            self.deliver(news);
            news.clear();
        }
    }
}
