//! Lets who wakes a shard go on first.
//!
//! A thread that has slept runs, when it wakes up, in front of the one on its core that woke it: a
//! client or nginx, which had only begun to send. It finds one request and not a crowd, and both
//! are switched for each. With SCHED_BATCH it waits until the other sleeps, or has had its time.
//! Measured: docs/scaling.md.
//!
//! It is no good where somebody computes on the core: a long request, a stranger. So the shard
//! looks how long it waits for its core each time, and goes back to the usual policy where that is
//! long.
//! Workers have the usual one, for what the app starts would inherit theirs.

use std::cell::Cell;
use std::time::{Duration, Instant};

use super::Shard;
use crate::shared::shard as place;
use crate::sys::scheduling::{self, Delays, Statistics};

/// An app that takes longer than this for a request gains little and would hold up its shard.
const FAST_APP_US: u64 = 150;
/// While it serves, a shard looks after each such time how long it waited.
const LOOK: Duration = Duration::from_millis(20);
/// A mean delay from which on somebody computes on the core. Who sends requests takes less.
const LONG_NS: u64 = 1_000_000;
/// Times that say something.
const SAID_BY: u64 = 12;
/// How long it is left alone after that, at first and at most.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(64);

/// What a shard knows of its waits.
pub(super) struct Scheduling {
    /// None where nothing is to be changed, or the kernel tells nothing.
    statistics: Option<Statistics>,
    is_batch: Cell<bool>,
    looked: Cell<Instant>,
    before: Cell<Delays>,
    /// Until when the usual policy stays, and how long that was.
    until: Cell<Instant>,
    pause: Cell<Duration>,
}

impl Scheduling {
    /// Of the calling thread.
    pub(super) fn new(is_wanted: bool) -> Scheduling {
        let now = Instant::now();
        let is_wanted = is_wanted && scheduling::is_usual();
        let statistics = is_wanted.then(|| Statistics::of(crate::sys::thread_id()).ok()).flatten();
        // A kernel may count nothing.
        let statistics = statistics.filter(|statistics| statistics.read().times > 0);
        Scheduling {
            statistics,
            is_batch: Cell::new(false),
            looked: Cell::new(now),
            before: Cell::default(),
            until: Cell::new(now),
            pause: Cell::new(PAUSE),
        }
    }

    /// Whether it has waited long for its core, as far as that is known now.
    fn waits_long(&self, statistics: &Statistics) -> bool {
        let now = statistics.read();
        let before = self.before.get();
        if now.times.saturating_sub(before.times) < SAID_BY {
            return false;
        }
        self.before.set(now);
        now.mean_ns_since(before) > LONG_NS
    }

    fn pause(&self, now: Instant) {
        let pause = self.pause.get();
        self.until.set(now + pause);
        self.pause.set((pause * 2).min(PAUSE_MAX));
    }
}

impl Shard {
    /// Called at each turn: looks now and then whether somebody computes on the core.
    pub(super) fn look_at_delay(&self) {
        let own = &self.scheduling;
        if !own.is_batch.get() || own.looked.get().elapsed() < LOOK {
            return;
        }
        let now = Instant::now();
        own.looked.set(now);
        if own.statistics.as_ref().is_some_and(|statistics| own.waits_long(statistics)) {
            own.pause(now);
            self.set_batch(false);
        }
    }

    /// Called each half second: chooses the policy.
    pub(super) fn look_at_scheduling(&self) {
        let own = &self.scheduling;
        if own.statistics.is_none() {
            return;
        }
        self.look_at_delay();
        let now = Instant::now();
        let is_fast = self.pace.mean_us().is_none_or(|mean| mean < FAST_APP_US);
        if own.is_batch.get() && now >= own.until.get() + own.pause.get() {
            // It was right for long.
            own.pause.set(PAUSE);
        }
        self.set_batch(is_fast && now >= own.until.get());
    }

    fn set_batch(&self, is_batch: bool) {
        let own = &self.scheduling;
        if own.is_batch.get() != is_batch && scheduling::set_batch(is_batch).is_ok() {
            own.is_batch.set(is_batch);
            own.before.set(own.statistics.as_ref().map(Statistics::read).unwrap_or_default());
            self.row.set(place::BATCH, u64::from(is_batch));
        }
    }
}
