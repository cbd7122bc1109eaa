//! Lets those who connect go on before their connections are taken.
//!
//! A shard that has slept runs before the client on its core that wakes it, nginx mostly, which had
//! no time to write its request or to connect for the next one: each of them would wake the shard
//! twice. So the shard steps back once and takes a crowd. Measured behind nginx at 64 connections:
//! 2.0 switches of threads for a request before and 0.4 with it, and half the CPU
//! (`bench-results/2026-11-29-connections-taken-as-a-crowd`).

use std::cell::Cell;
use std::time::{Duration, Instant};

use crate::sys;

/// What a further connection may cost of the first one's time.
const WAIT_EACH: Duration = Duration::from_micros(100);
/// Connections that are taken at once before it is tried again: at most so many where the last try
/// brought nobody, and where it was long in vain, because somebody computes on this core.
const ALONE_MAX: u32 = 16;
const IN_VAIN_MAX: u32 = 1024;

/// Whether it is worth to step back, learnt from the last times.
#[derive(Default)]
pub(super) struct Courtesy {
    steps: Rests,
    looks: Rests,
}

/// How often something is left out that has proved wrong.
#[derive(Default)]
struct Rests {
    left: Cell<u32>,
    pause: Cell<u32>,
}

impl Rests {
    /// Whether it is tried this time.
    fn is_over(&self) -> bool {
        let left = self.left.get();
        self.left.set(left.saturating_sub(1));
        left == 0
    }

    /// It was wrong: twice as many are left out as the last time, up to `most`. It was right if
    /// that is 0.
    fn lengthen(&self, most: u32) {
        let pause = (self.pause.get() * 2).max(1).min(most);
        self.pause.set(pause);
        self.left.set(pause);
    }
}

impl Courtesy {
    /// Steps back if that has proved right lately; how long it took, None if it was not tried.
    pub(super) fn step_back(&self) -> Option<Duration> {
        if !self.steps.is_over() {
            return None;
        }
        let before = Instant::now();
        sys::yield_now();
        Some(before.elapsed())
    }

    /// Learns how many connections came meanwhile beside the first.
    pub(super) fn learn(&self, waited: Duration, more: usize) {
        let most = match more {
            _ if waited >= WAIT_EACH * (1 + more as u32) => IN_VAIN_MAX,
            0 => ALONE_MAX,
            _ => 0,
        };
        self.steps.lengthen(most);
    }

    /// Whether to look for more connections without a step back: an accept(2) that finds none costs
    /// as much as a small send.
    pub(super) fn may_look(&self) -> bool {
        self.looks.is_over()
    }

    /// Learns how many connections such a look has found.
    pub(super) fn learn_look(&self, more: usize) {
        self.looks.lengthen(if more == 0 { ALONE_MAX } else { 0 });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Connections that are taken at once after `times` the same happened.
    fn pause_after(times: usize, waited_us: u64, more: usize) -> usize {
        let courtesy = Courtesy::default();
        for _ in 0..times {
            courtesy.learn(Duration::from_micros(waited_us), more);
        }
        (0..).take_while(|_| courtesy.step_back().is_none()).count()
    }

    #[test]
    fn steps_back_each_time_while_a_crowd_comes() {
        assert_eq!(pause_after(5, 900, 20), 0);
    }

    #[test]
    fn tries_again_soon_where_nobody_came() {
        assert_eq!(pause_after(1, 5, 0), 1);
        assert_eq!(pause_after(30, 5, 0), 16);
    }

    #[test]
    fn seldom_waits_for_who_computes() {
        assert_eq!(pause_after(1, 3000, 1), 1);
        assert_eq!(pause_after(30, 3000, 1), 1024);
    }

    #[test]
    fn looks_seldom_where_looks_find_nobody() {
        let courtesy = Courtesy::default();
        let left_out = || (0..).take_while(|_| !courtesy.may_look()).count();
        assert_eq!(left_out(), 0);
        (0..30).for_each(|_| courtesy.learn_look(0));
        assert_eq!(left_out(), 16);
        courtesy.learn_look(3);
        assert_eq!(left_out(), 0);
        assert_eq!(left_out(), 0, "as long as they are right");
    }
}
