//! uWSGI's signals: numbers from 0 to 255 that one worker raises and another one's app hears.

use std::sync::atomic::{AtomicU32, Ordering::AcqRel, Ordering::Acquire};
use std::time::Duration;

use crate::sys::{self, Sharing};

const PENDING: usize = 256 / 32;
/// The last word of a worker is its bell.
pub(super) const WORDS: usize = PENDING + 1;

/// What was raised and not heard, of all workers.
#[derive(Clone, Copy)]
pub struct Raised(&'static [AtomicU32]);

impl Raised {
    pub(super) fn new(words: &'static [AtomicU32]) -> Raised {
        Raised(words)
    }

    fn of(self, index: usize) -> (&'static [AtomicU32], &'static AtomicU32) {
        let words = &self.0[index * WORDS..(index + 1) * WORDS];
        (&words[..PENDING], &words[PENDING])
    }

    /// Raises a signal for worker `index` (from 0). One that it has not heard yet is the same.
    pub fn raise(self, index: usize, signal: u8) {
        let (pending, bell) = self.of(index);
        pending[usize::from(signal) / 32].fetch_or(1 << (signal % 32), AcqRel);
        bell.fetch_add(1, AcqRel);
        sys::futex_wake(bell, u32::MAX >> 1, Sharing::Processes);
    }

    /// The signals of worker `index` that nobody has heard. Sleeps for them until `limit`; the
    /// caller must not hold the GIL.
    pub fn hear(self, index: usize, limit: Duration) -> Vec<u8> {
        let (pending, bell) = self.of(index);
        let rung = bell.load(Acquire);
        let heard = take(pending);
        if !heard.is_empty() {
            return heard;
        }
        sys::futex_wait(bell, rung, Sharing::Processes, limit);
        take(pending)
    }

    /// Forgets all: what the trial of the app left behind.
    pub(super) fn clear(self) {
        self.0.chunks_exact(WORDS).for_each(|words| drop(take(&words[..PENDING])));
    }
}

fn take(pending: &[AtomicU32]) -> Vec<u8> {
    let mut heard = Vec::new();
    for (place, word) in pending.iter().enumerate() {
        let bits = word.swap(0, AcqRel);
        let set = (0..32).filter(|bit| bits & (1 << bit) != 0);
        heard.extend(set.map(|bit| (place * 32 + bit) as u8));
    }
    heard
}
