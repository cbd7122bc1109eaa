//! A worker thread's place at the crossing: claims requests, sleeps when there are none.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
use std::time::Duration;

use super::call::Call;
use super::region::Region;
use super::{Handoff, fault, late, slot};
use crate::sys;

/// One thread of one worker. `incarnation` is never reused, so a successor cannot be taken for it.
pub struct Seat {
    handoff: &'static Handoff,
    worker: usize,
    place: usize,
    thread: usize,
    incarnation: u32,
    shard: usize,
}

impl Seat {
    /// The place of thread `thread` of worker `worker` (both from 0) at its own shard's ring.
    pub fn new(handoff: &'static Handoff, worker: usize, thread: usize, incarnation: u32) -> Seat {
        assert!(incarnation > 0, "BUG: incarnation 0 means that no worker has the slot");
        let shard = worker % handoff.region.geometry().shards;
        let place = handoff.region.place(worker, incarnation);
        Seat { handoff, worker, place, thread, incarnation, shard }
    }

    /// The worker's index, from 0.
    pub fn worker(&self) -> usize {
        self.worker
    }

    /// The thread's index in its worker, from 0: uWSGI's core.
    pub fn thread(&self) -> usize {
        self.thread
    }

    /// The worker's incarnation.
    pub fn incarnation(&self) -> u32 {
        self.incarnation
    }

    /// Takes one request: of the own shard, else of one where requests wait too long.
    pub fn claim(&self) -> Option<Call> {
        self.claim_from(self.shard).or_else(|| self.claim_overdue())
    }

    fn claim_overdue(&self) -> Option<Call> {
        let shards = self.handoff.region.geometry().shards;
        (1..shards)
            .map(|step| (self.shard + step) % shards)
            .filter(|&other| self.handoff.region.control(other).wishes.overdue.load(Acquire) == 1)
            .find_map(|other| self.claim_from(other))
    }

    fn claim_from(&self, shard: usize) -> Option<Call> {
        let region = self.handoff.region;
        let control = region.control(shard);
        let ring = region.ring(shard);
        loop {
            let head = control.head.0.load(Acquire);
            if head == control.tail.0.load(SeqCst) {
                return None;
            }
            let cell = ring[head as usize & (ring.len() - 1)].load(Acquire);
            let generation = slot::generation(cell);
            let index = slot::cell_slot(cell);
            let state = &region.slot(index).state;
            let queued = slot::word(generation, 0, slot::QUEUED);
            let mine = slot::word(generation, self.incarnation, slot::RUNNING);
            // This one instruction takes the request and says who has it.
            let taken = state.compare_exchange(queued, mine, AcqRel, Acquire).is_ok();
            if taken {
                fault::point("claimed");
            }
            // A cell whose slot is not queued any more belongs to somebody who died or is slow:
            // whoever meets it helps the head on.
            let _ = control.head.0.compare_exchange(head, head.wrapping_add(1), SeqCst, Acquire);
            if taken {
                // Whoever watches over requests looks here; the state word says when it is over.
                region.chair(self.place, self.thread).current.store(cell, Release);
                self.handoff.guard_reserve(shard);
                return Some(Call::new(self.handoff, index, generation, self.incarnation));
            }
        }
    }

    /// Whether a request waits that this thread could take.
    pub fn has_work(&self) -> bool {
        let region = self.handoff.region;
        let waiting = |shard: usize| {
            let control = region.control(shard);
            control.head.0.load(SeqCst) != control.tail.0.load(SeqCst)
        };
        waiting(self.shard)
            || (0..region.geometry().shards).any(|shard| {
                region.control(shard).wishes.overdue.load(SeqCst) == 1 && waiting(shard)
            })
    }

    /// Whether requests wait in the own shard's ring.
    pub fn more_waiting(&self) -> bool {
        let control = self.handoff.region.control(self.shard);
        control.head.0.load(Acquire) != control.tail.0.load(Acquire)
    }

    /// Says who sits here: `ident` is Python's name for the thread.
    pub fn sit(&self, ident: u64) {
        let chair = self.handoff.region.chair(self.place, self.thread);
        chair.tid.store(sys::thread_id() as u32, Relaxed);
        chair.ident.store(ident, Relaxed);
        late::sit(self.handoff, self.place, self.thread);
        self.handoff.region.seats(self.place).seated.0.fetch_or(self.bit(), SeqCst);
    }

    /// Says that this thread serves no longer.
    pub fn leave(&self) {
        self.handoff.region.seats(self.place).seated.0.fetch_and(!self.bit(), SeqCst);
    }

    fn bit(&self) -> u64 {
        1 << (self.thread % 64)
    }

    /// Whether an exception was left in this thread for the request that has just ended. The caller
    /// holds the GIL.
    pub fn take_interrupt(&self) -> bool {
        let interrupted = &self.handoff.region.chair(self.place, self.thread).interrupted;
        interrupted.load(Relaxed) == 1 && interrupted.swap(0, Relaxed) == 1
    }

    /// Whether the worker was asked to leave.
    pub fn stopping(&self) -> bool {
        self.handoff.region.seats(self.place).stop.0.load(Acquire) == 1
    }

    /// Sleeps until there may be work, the worker is to stop, or `limit` has passed. True if a
    /// signal ended the sleep.
    pub fn sleep(&self, limit: Duration) -> bool {
        let region = self.handoff.region;
        let seats = region.seats(self.place);
        let futex = &region.chair(self.place, self.thread).futex;
        futex.store(0, SeqCst);
        seats.sleepers.0.fetch_or(self.bit(), SeqCst);
        // Looked at again with the bit up: what came before is seen here, what comes later wakes
        // us.
        let sleeps = !self.has_work() && !self.stopping();
        self.handoff.end_all_gathering();
        let interrupted = sleeps && sys::futex_wait(futex, 0, region.sharing(), limit);
        fault::point("woken");
        seats.sleepers.0.fetch_and(!self.bit(), SeqCst);
        interrupted
    }

    /// Wakes one sleeping sibling of this worker, unless one is on its way already: it can only run
    /// while this thread lets go of the GIL, and one is enough to take the next request then.
    pub fn wake_sibling(&self) {
        let seats = self.handoff.region.seats(self.place);
        if seats.waking.0.load(Acquire) == 0 {
            wake_one(self.handoff.region, self.place);
        }
    }

    /// Says that this thread waits for the GIL to take a request.
    pub fn begin_waking(&self) {
        self.handoff.region.seats(self.place).waking.0.fetch_add(1, AcqRel);
    }

    /// Says that it has the GIL.
    pub fn end_waking(&self) {
        self.handoff.region.seats(self.place).waking.0.fetch_sub(1, AcqRel);
    }
}

/// Wakes the lowest-numbered sleeping thread at a place. False if none sleeps.
pub(super) fn wake_one(region: &Region, place: usize) -> bool {
    let seats = region.seats(place);
    loop {
        let sleepers = seats.sleepers.0.load(SeqCst);
        if sleepers == 0 {
            return false;
        }
        let thread = sleepers.trailing_zeros() as usize;
        let bit = 1u64 << thread;
        if seats.sleepers.0.fetch_and(!bit, SeqCst) & bit != 0 {
            if thread >= region.geometry().threads {
                return false;
            }
            let futex = &region.chair(place, thread).futex;
            futex.store(1, SeqCst);
            sys::futex_wake(futex, 1, region.sharing());
            return true;
        }
    }
}
