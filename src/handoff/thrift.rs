//! Leaves threads asleep that are not worth to be woken: with an app that takes a few microseconds
//! a thread that is awake has answered before another one runs, which costs as much as some
//! requests, and more on another core.

use std::sync::atomic::Ordering::{Acquire, Relaxed};

use super::{Queue, slot};

/// Requests that wait for each thread that is awake, before another one is woken.
const WAIT_EACH: usize = 16;

/// What a shard knows of its workers' threads.
#[derive(Default)]
pub(super) struct Thrift {
    /// The app is fast, and has so many threads in the own workers.
    fast_threads: Option<usize>,
    /// What the threads ran at the last tick, by place and thread: the cells of requests.
    ran: Vec<(usize, usize, u64)>,
    /// Those that ran the same at the tick before: they are of no use to what waits.
    stuck: Vec<(usize, usize, u64)>,
}

impl Queue {
    /// Says how many threads the own workers have, if a request takes them less time than it takes
    /// to wake one.
    pub fn set_fast(&mut self, threads: Option<usize>) {
        self.thrift.fast_threads = threads;
    }

    /// How many threads more are worth to be woken for what waits.
    pub(super) fn useful(&self) -> usize {
        let Some(threads) = self.thrift.fast_threads.filter(|_| !self.is_stalled) else {
            return usize::MAX;
        };
        let control = self.region.control(self.shard);
        let waiting = control.tail.0.load(Relaxed).wrapping_sub(control.head.0.load(Acquire));
        let sleepers = |&place: &usize| self.region.seats(place).sleepers.0.load(Relaxed);
        let asleep: u32 = self.places.iter().map(|place| sleepers(place).count_ones()).sum();
        let is_stuck = |&&(place, thread, cell): &&(usize, usize, u64)| {
            self.region.chair(place, thread).current.load(Acquire) == cell && self.runs(cell)
        };
        let stuck = self.thrift.stuck.iter().filter(is_stuck).count();
        // What is awake looks into the ring before it sleeps, and `tick` sees to the rest.
        let awake = threads.saturating_sub(asleep as usize + stuck);
        (waiting as usize).div_ceil(WAIT_EACH).saturating_sub(awake)
    }

    /// Called at each tick: looks which threads run what they ran at the last one.
    pub(super) fn look_at_stuck(&mut self) {
        if self.thrift.fast_threads.is_none() {
            return;
        }
        let threads = self.region.geometry().threads;
        let chairs = self.places.iter().flat_map(|&place| (0..threads).map(move |t| (place, t)));
        let cell = |place, thread| self.region.chair(place, thread).current.load(Acquire);
        let runs = chairs.map(|(place, thread)| (place, thread, cell(place, thread)));
        let ran: Vec<_> = runs.filter(|&(_, _, cell)| self.runs(cell)).collect();
        let is_same = |run: &&(usize, usize, u64)| self.thrift.ran.contains(run);
        self.thrift.stuck = ran.iter().filter(is_same).copied().collect();
        self.thrift.ran = ran;
    }

    /// Whether the request that a cell names runs.
    fn runs(&self, cell: u64) -> bool {
        let state = self.region.slot(slot::cell_slot(cell)).state.load(Acquire);
        slot::generation(state) == slot::generation(cell)
            && matches!(slot::stage(state), slot::RUNNING | slot::LATE)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
            let place = handoff.region.place(worker, 1);
            handoff.region.seats(place).sleepers.0.store(1, Relaxed);
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
        queue.set_fast(Some(2));
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
        queue.set_fast(Some(2));
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
        seats[1].claim().expect("the third request").finish();
        call.finish();
        assert!(!seats[1].sleep(Duration::from_millis(1)));
        handoff.region.seats(handoff.region.place(1, 1)).sleepers.0.store(1, Relaxed);
        submit(&mut queue);
        queue.flush();
        assert_eq!(asleep(handoff), [false, true], "it is free again");
    }
}
