//! Leaves threads asleep that are not worth to be woken: with an app that takes a few microseconds
//! a thread that is awake has answered before another one runs, which costs as much as some
//! requests, and more on another core.

use std::sync::atomic::Ordering::{Acquire, Relaxed, SeqCst};

use super::Queue;

/// How long requests may wait for the threads that are awake, before another one is woken: what
/// that costs on another core, with some requests in which it brings nothing.
const WORTH_US: u64 = 50;
/// But not for more of them than these, of the fastest app.
const WAIT_EACH_MAX: u64 = 16;

/// A thread, by place and number, with the request that it took last.
type Sight = (usize, usize, u64);

/// What a shard knows of its workers' threads.
#[derive(Default)]
pub(super) struct Thrift {
    /// Microseconds that the app takes, if it is fast.
    pace_us: Option<u64>,
    /// The threads that were awake at the last tick.
    seen: Vec<Sight>,
    /// Those that had taken nothing between the last two: they are of no use to what waits.
    stuck: Vec<Sight>,
}

impl Queue {
    /// Says how long the app takes for a request, if that is less than it takes to wake a thread.
    pub fn set_fast(&mut self, pace_us: Option<u64>) {
        self.thrift.pace_us = pace_us;
    }

    /// How many threads more are worth to be woken for what waits.
    pub(super) fn useful(&self) -> usize {
        let Some(pace_us) = self.thrift.pace_us.filter(|_| !self.is_stalled) else {
            return usize::MAX;
        };
        let control = self.region.control(self.shard);
        let waiting = control.tail.0.load(Relaxed).wrapping_sub(control.head.0.load(Acquire));
        let awake: u32 = self.places.iter().map(|&place| self.awake(place).count_ones()).sum();
        let stuck = self.thrift.stuck.iter().filter(|sight| self.shows(**sight)).count();
        // What is awake looks into the ring before it sleeps, and `tick` sees to the rest.
        let ready = (awake as usize).saturating_sub(stuck);
        let each = (WORTH_US / pace_us.max(1)).clamp(1, WAIT_EACH_MAX);
        (waiting as usize).div_ceil(each as usize).saturating_sub(ready)
    }

    /// Called at each tick: looks who has taken nothing since the last one, though requests wait.
    pub(super) fn look_at_stuck(&mut self) {
        if self.thrift.pace_us.is_none() {
            return;
        }
        // Both keep their memory.
        let mut seen = std::mem::take(&mut self.thrift.seen);
        let mut stuck = std::mem::take(&mut self.thrift.stuck);
        stuck.clear();
        stuck.extend(seen.drain(..).filter(|sight| self.shows(*sight)));
        for &place in &self.places {
            let mut awake = self.awake(place);
            while awake != 0 {
                let thread = awake.trailing_zeros() as usize;
                awake &= awake - 1;
                seen.push((place, thread, self.last_taken(place, thread)));
            }
        }
        (self.thrift.seen, self.thrift.stuck) = (seen, stuck);
    }

    /// A bit for each thread at a place that serves and does not sleep.
    fn awake(&self, place: usize) -> u64 {
        let seats = self.region.seats(place);
        seats.seated.0.load(Acquire) & !seats.sleepers.0.load(SeqCst)
    }

    /// Whether a thread is awake and has taken nothing since it was seen.
    fn shows(&self, (place, thread, taken): Sight) -> bool {
        self.awake(place) >> thread & 1 == 1 && self.last_taken(place, thread) == taken
    }

    fn last_taken(&self, place: usize, thread: usize) -> u64 {
        // A broken worker may have set a bit that no thread has.
        let thread = thread % self.region.geometry().threads;
        self.region.chair(place, thread).current.load(Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::super::queue::tests::submit;
    use super::super::{Geometry, Handoff, Seat};
    use super::*;
    use crate::sys::Sharing;

    /// A shard with two workers of one thread each, both asleep.
    fn crossing() -> (&'static Handoff, Queue, [Seat; 2]) {
        let geometry = Geometry { shards: 1, workers: 2, threads: 1, slots_per_shard: 64 };
        let handoff = Handoff::new(geometry, Sharing::Threads).expect("memory for the slots");
        let seats = [Seat::new(handoff, 0, 0, 1), Seat::new(handoff, 1, 0, 1)];
        let queue = Queue::new(handoff, 0, vec![0, 1]);
        for worker in 0..2 {
            let seats = handoff.region.seats(handoff.region.place(worker, 1));
            seats.seated.0.store(1, Relaxed);
            seats.sleepers.0.store(1, Relaxed);
        }
        (handoff, queue, seats)
    }

    fn asleep(handoff: &Handoff) -> [bool; 2] {
        let place = |worker| handoff.region.place(worker, 1);
        [0, 1].map(|worker| handoff.region.seats(place(worker)).sleepers.0.load(Relaxed) != 0)
    }

    #[test]
    fn a_fast_app_wakes_one_thread_for_a_few_requests() {
        let (handoff, mut queue, _) = crossing();
        queue.set_fast(Some(3));
        (0..3).for_each(|_| submit(&mut queue));
        queue.flush();
        assert_eq!(asleep(handoff), [false, true]);
        (0..10).for_each(|_| submit(&mut queue));
        queue.flush();
        assert_eq!(asleep(handoff), [false, true], "it is on its way");
        (0..10).for_each(|_| submit(&mut queue));
        queue.flush();
        assert_eq!(asleep(handoff), [false, false], "there is work for two");
    }

    #[test]
    fn the_longer_the_app_takes_the_more_are_woken() {
        for (pace_us, woken) in [(0, [false, true]), (10, [false, false]), (24, [false, false])] {
            let (handoff, mut queue, _) = crossing();
            queue.set_fast(Some(pace_us));
            (0..6).for_each(|_| submit(&mut queue));
            queue.flush();
            assert_eq!(asleep(handoff), woken, "{pace_us} us");
        }
    }

    #[test]
    fn a_thread_that_has_left_is_not_waited_for() {
        let (handoff, mut queue, seats) = crossing();
        queue.set_fast(Some(3));
        let first = handoff.region.seats(handoff.region.place(0, 1));
        first.sleepers.0.store(0, Relaxed);
        seats[0].leave();
        submit(&mut queue);
        queue.flush();
        assert_eq!(asleep(handoff), [false, false]);
    }

    #[test]
    fn a_slow_app_wakes_one_for_each() {
        let (handoff, mut queue, _) = crossing();
        queue.set_fast(None);
        (0..2).for_each(|_| submit(&mut queue));
        queue.flush();
        assert_eq!(asleep(handoff), [false, false]);
    }

    #[test]
    fn a_thread_that_is_stuck_does_not_count() {
        let (handoff, mut queue, seats) = crossing();
        queue.set_fast(Some(3));
        submit(&mut queue);
        queue.flush();
        let call = seats[0].claim().expect("a request");
        submit(&mut queue);
        queue.flush();
        assert_eq!(asleep(handoff), [false, true], "it may be done in a moment");
        queue.tick();
        queue.tick();
        assert_eq!(asleep(handoff), [false, false], "it was not");
        seats[1].claim().expect("the other request").finish();
        handoff.region.seats(handoff.region.place(1, 1)).sleepers.0.store(1, Relaxed);
        submit(&mut queue);
        queue.flush();
        assert_eq!(asleep(handoff), [false, false], "nobody waits for it again");
        call.finish();
        seats[0].claim().expect("the third request").finish();
        handoff.region.seats(handoff.region.place(1, 1)).sleepers.0.store(1, Relaxed);
        submit(&mut queue);
        queue.flush();
        assert_eq!(asleep(handoff), [false, true], "it is free again");
    }
}
