//! How a shard leaves new requests to gather in the kernel while its workers have enough to do, and
//! answers to gather in their slots if it is told so, and how workers end that.

use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use super::{Handoff, Queue};

/// Requests that wait for a worker beyond one for each, before it is worth while.
const SPARE: u32 = 2;
/// In the word that says how many may wait: whole answers may wait for each other.
const HOLDS: u32 = 1 << 31;

impl Queue {
    /// Whether no worker of any shard is free, and the own ones will find requests for a while. A
    /// thread that sleeps is not free while another of its worker waits for the GIL.
    pub fn has_reserve(&self) -> bool {
        let control = self.region.control(self.shard);
        let waiting = control.tail.0.load(Relaxed).wrapping_sub(control.head.0.load(SeqCst));
        let is_free = |place| {
            let seats = self.region.seats(place);
            seats.sleepers.0.load(SeqCst) != 0 && seats.waking.0.load(SeqCst) == 0
        };
        waiting >= self.low_mark() + SPARE && !(0..self.region.places()).any(is_free)
    }

    /// Asks workers to ring the doorbell when few requests are left, or when one has nothing to do.
    /// False if it is so already. With `holds` they do not ring for whole answers either: in both
    /// cases `drain` must be asked behind `end_gathering` then.
    pub fn begin_gathering(&self, holds: bool) -> bool {
        let word = self.low_mark() | if holds { HOLDS } else { 0 };
        self.region.control(self.shard).wishes.reserve.store(word, SeqCst);
        // Looked at with the word set: what comes later rings.
        self.has_reserve()
    }

    pub fn end_gathering(&self) {
        self.region.control(self.shard).wishes.reserve.store(0, SeqCst);
    }

    /// One for each own worker: while it runs, the shard gets the next.
    fn low_mark(&self) -> u32 {
        (self.workers as u32).max(1)
    }
}

impl Handoff {
    /// Behind a request that was taken from a shard's ring: rings if too few are left there.
    pub(super) fn guard_reserve(&self, shard: usize) {
        let control = self.region.control(shard);
        let reserve = control.wishes.reserve.load(SeqCst) & !HOLDS;
        if reserve == 0 {
            return;
        }
        let waiting = control.tail.0.load(SeqCst).wrapping_sub(control.head.0.load(SeqCst));
        if waiting < reserve && control.wishes.reserve.swap(0, SeqCst) != 0 {
            self.ring(shard);
        }
    }

    /// Whether whole answers may wait for each other now, and for the shard.
    pub(super) fn holds_answers(&self, shard: usize) -> bool {
        self.region.control(shard).wishes.reserve.load(SeqCst) & HOLDS != 0
    }

    /// Tells the slot's shard of a whole answer, at once or when it looks again by itself.
    pub(super) fn notify_answer(&self, slot: usize) {
        self.note(slot);
        let shard = self.shard_of(slot);
        // In this order: whoever ends the gathering looks for news behind that.
        if !self.holds_answers(shard) {
            self.wake(shard);
        }
    }

    /// A worker that has nothing to do wakes all shards that let requests gather.
    pub(super) fn end_all_gathering(&self) {
        for shard in 0..self.region.geometry().shards {
            let reserve = &self.region.control(shard).wishes.reserve;
            if reserve.load(SeqCst) != 0 && reserve.swap(0, SeqCst) != 0 {
                self.ring(shard);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::queue::tests::submit;
    use super::*;
    use crate::handoff::{Geometry, Seat};
    use crate::sys::{self, Sharing};
    use std::time::Duration;

    fn crossing(shards: usize) -> &'static Handoff {
        let geometry = Geometry { shards, workers: shards, threads: 1, slots_per_shard: 8 };
        Handoff::new(geometry, Sharing::Threads).expect("memory for the slots")
    }

    fn rung(handoff: &Handoff) -> bool {
        sys::await_readable_briefly(handoff.bell(0), Duration::ZERO)
    }

    #[test]
    fn a_worker_rings_when_few_requests_are_left() {
        let handoff = crossing(1);
        let mut queue = Queue::new(handoff, 0, vec![0]);
        let seat = Seat::new(handoff, 0, 0, 1);
        (0..2).for_each(|_| submit(&mut queue));
        assert!(!queue.begin_gathering(false), "so few are none to rest on");
        (0..2).for_each(|_| submit(&mut queue));
        assert!(queue.begin_gathering(false));
        for left in [3, 2, 1] {
            assert!(seat.claim().is_some());
            assert!(!rung(handoff), "{left} are left");
        }
        assert!(seat.claim().is_some());
        assert!(rung(handoff), "none is left while it runs");
        handoff.silence(0);
        (0..4).for_each(|_| submit(&mut queue));
        queue.end_gathering();
        while seat.claim().is_some() {}
        assert!(!rung(handoff), "nobody asked");
    }

    #[test]
    fn whole_answers_wait_while_requests_gather() {
        let handoff = crossing(1);
        let mut queue = Queue::new(handoff, 0, vec![0]);
        let seat = Seat::new(handoff, 0, 0, 1);
        let mut news = Vec::new();
        (0..4).for_each(|_| submit(&mut queue));
        assert!(queue.may_sleep());
        assert!(queue.begin_gathering(true));
        let (first, second) = (seat.claim().unwrap(), seat.claim().unwrap());
        first.finish();
        assert!(!rung(handoff), "it waits");
        second.publish();
        assert!(rung(handoff), "a piece does not");
        queue.end_gathering();
        queue.drain(&mut news);
        assert_eq!(news.len(), 2, "both are heard of");
        handoff.silence(0);
        assert!(queue.may_sleep());
        second.finish();
        assert!(rung(handoff), "nothing gathers any more");
    }

    #[test]
    fn a_worker_of_another_shard_that_has_nothing_to_do_rings() {
        let handoff = crossing(2);
        let mut queue = Queue::new(handoff, 0, vec![0]);
        (0..4).for_each(|_| submit(&mut queue));
        assert!(queue.begin_gathering(false));
        let other = Seat::new(handoff, 1, 0, 1);
        other.sleep(Duration::from_millis(1));
        assert!(rung(handoff));
        let seats = handoff.region.seats(handoff.region.place(1, 1));
        seats.sleepers.0.store(1, SeqCst);
        assert!(!queue.begin_gathering(false), "it is free");
        other.begin_waking();
        assert!(queue.begin_gathering(false), "a sibling waits for the GIL before it");
        other.end_waking();
        assert!(!queue.has_reserve());
    }
}
