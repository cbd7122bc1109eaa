//! Locks of the app (`uwsgi.lock()`) across all workers of a server process, whatever they are made
//! of.
//!
//! A lock is one word that names its owner, so that the server can free what a dead worker held:
//! before a successor of that number starts.

use std::sync::atomic::{AtomicU32, Ordering::AcqRel, Ordering::Acquire, Ordering::Relaxed};
use std::time::Duration;

use crate::sys::{self, Sharing};

/// uWSGI: `locks` adds to the one that is always there.
pub const LOCKS_MAX: usize = 64;

/// Set while somebody may sleep.
const AWAITED: u32 = 1 << 31;
/// A sleeper looks around by itself: a wake that is lost costs this much and no more.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// A worker process as the owner of locks. A successor may have begun before it is gone, so its
/// number alone does not name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner(u32);

/// Bits of the worker's number; the incarnation's are above.
const NUMBER: u32 = 11;

impl Owner {
    /// Worker `number` (from 1, 0 before the fork); its incarnation is 0 while it loads the app.
    pub fn new(number: usize, incarnation: u32) -> Owner {
        let mask = (1 << NUMBER) - 1;
        // No owner is 0.
        let number = if number == 0 { mask } else { number as u32 & mask };
        Owner((incarnation << NUMBER | number) & !AWAITED)
    }
}

/// All locks.
#[derive(Clone, Copy)]
pub struct Locks(&'static [AtomicU32]);

impl Locks {
    pub(super) fn new(words: &'static [AtomicU32]) -> Locks {
        Locks(words)
    }

    /// Waits until the lock `number` is free and takes it. As in uWSGI it does not count: an owner
    /// that asks again waits for ever. The caller must not hold the GIL.
    pub fn acquire(self, number: usize, owner: Owner) {
        let (word, Owner(mine)) = (&self.0[number], owner);
        let mut wanted = mine;
        loop {
            match word.compare_exchange(0, wanted, AcqRel, Acquire) {
                Ok(_) => return,
                Err(held) if held & AWAITED == 0 => {
                    let awaited = word.compare_exchange(held, held | AWAITED, AcqRel, Acquire);
                    if awaited.is_ok() {
                        sys::futex_wait(word, held | AWAITED, Sharing::Processes, LOOK_AGAIN);
                    }
                }
                Err(held) => {
                    sys::futex_wait(word, held, Sharing::Processes, LOOK_AGAIN);
                }
            }
            // Others may sleep still: who comes after a sleep wakes one of them when it is done.
            wanted = mine | AWAITED;
        }
    }

    /// Frees the lock, whoever has it.
    pub fn release(self, number: usize) {
        if self.0[number].swap(0, AcqRel) & AWAITED != 0 {
            sys::futex_wake(&self.0[number], 1, Sharing::Processes);
        }
    }

    pub fn is_held(self, number: usize) -> bool {
        self.0[number].load(Relaxed) != 0
    }

    /// Frees what a dead worker held; the number of locks that were.
    pub fn bury(self, dead: Owner) -> usize {
        let held = |word: &AtomicU32| word.load(Acquire) & !AWAITED == dead.0;
        let numbers = (0..self.0.len()).filter(|&number| held(&self.0[number]));
        numbers.map(|number| self.release(number)).count()
    }

    /// Frees all: what the trial of the app left behind.
    pub(super) fn clear(self) {
        (0..self.0.len()).for_each(|number| self.release(number));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;

    fn locks() -> Locks {
        Locks(sys::half_words_forever(LOCKS_MAX, Sharing::Processes).unwrap())
    }

    #[test]
    fn one_at_a_time_holds_it() {
        let (locks, count) = (locks(), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for worker in 1..=8 {
                let count = &count;
                scope.spawn(move || {
                    for _ in 0..2000 {
                        locks.acquire(3, Owner::new(worker, 1));
                        // A load and a store: two holders would lose a count.
                        count.store(count.load(Relaxed) + 1, Relaxed);
                        locks.release(3);
                    }
                });
            }
        });
        assert_eq!(count.load(Relaxed), 16_000);
        assert!(!locks.is_held(3));
    }

    #[test]
    fn the_owners_death_frees_it_for_a_sleeper() {
        let locks = locks();
        let (first, second) = (Owner::new(1, 1), Owner::new(1, 2));
        locks.acquire(0, first);
        locks.acquire(1, second);
        std::thread::scope(|scope| {
            let sleeper = scope.spawn(move || locks.acquire(0, second));
            while locks.0[0].load(Relaxed) & AWAITED == 0 {
                std::thread::yield_now();
            }
            assert_eq!(locks.bury(first), 1);
            sleeper.join().unwrap();
        });
        assert!(locks.is_held(0) && locks.is_held(1));
        assert_eq!(locks.bury(second), 2);
    }
}
