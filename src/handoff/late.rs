//! Requests that run, seen from outside: how long, and the end of those that run too long.
//!
//! The watching side reads what the worker's threads write anyway; a request costs one store for
//! it. `Running::expire` is one compare-and-swap on the slot's state word, so it never meets a
//! request that is over, and the slot stays the worker's until that lets go of it or dies.

use std::cell::Cell;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use super::call::flag;
use super::region::{Area, Chair, HEAD_BYTES_MAX};
use super::{Handoff, slot};
use crate::request::Range;

thread_local! {
    /// Where this thread sits, if it is a worker's.
    static OWN: Cell<Option<(&'static Handoff, usize, usize)>> = const { Cell::new(None) };
}

/// Says that the calling thread is thread `thread` of `place`.
pub(super) fn sit(handoff: &'static Handoff, place: usize, thread: usize) {
    OWN.set(Some((handoff, place, thread)));
}

/// Limits the request that the calling thread runs: over by `limit_s` (seconds since the epoch; 0
/// for no limit). False if the thread is no worker's.
pub fn limit_own_request(limit_s: u64) -> bool {
    let Some((handoff, place, thread)) = OWN.get() else { return false };
    let chair = handoff.region.chair(place, thread);
    chair.limit_s.store(limit_s, Relaxed);
    let cell = if limit_s == 0 { 0 } else { chair.current.load(Relaxed) };
    chair.limited.store(cell, Release);
    true
}

/// From here on the request that the calling thread runs gets no exception any more. True if one
/// was left that the thread has to take back. The caller holds the thread's GIL.
pub fn close_to_interrupts() -> bool {
    let Some((handoff, place, thread)) = OWN.get() else { return false };
    let chair = handoff.region.chair(place, thread);
    chair.closed.store(chair.current.load(Relaxed), Relaxed);
    chair.interrupted.swap(0, Relaxed) == 1
}

/// A request that a worker's thread has taken and not given back.
#[derive(Clone, Copy)]
pub struct Taken {
    handoff: &'static Handoff,
    place: usize,
    thread: usize,
    slot: usize,
    generation: u32,
    incarnation: u32,
}

/// What the log says of a request.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Described {
    pub method: String,
    pub target: String,
    pub remote_addr: String,
    /// Seconds since the epoch.
    pub arrived_s: u64,
}

impl Handoff {
    /// What a thread of a worker incarnation runs now.
    pub fn running(&'static self, worker: usize, incarnation: u32, thread: usize) -> Option<Taken> {
        let place = self.region.place(worker, incarnation);
        let cell = self.region.chair(place, thread).current.load(Acquire);
        let slot = slot::cell_slot(cell);
        // A worker process may have written anything.
        if cell == 0 || slot >= self.region.slots() {
            return None;
        }
        let generation = slot::generation(cell);
        let running = Taken { handoff: self, place, thread, slot, generation, incarnation };
        (running.is(slot::RUNNING) || running.is(slot::LATE)).then_some(running)
    }

    /// Requests that wait in a shard's ring for a worker.
    pub fn waiting(&self, shard: usize) -> usize {
        let control = self.region.control(shard);
        let tail = control.tail.0.load(Acquire);
        tail.wrapping_sub(control.head.0.load(Acquire)) as usize
    }
}

impl Taken {
    fn chair(&self) -> &'static Chair {
        self.handoff.region.chair(self.place, self.thread)
    }

    fn is(&self, stage: u8) -> bool {
        let word = slot::word(self.generation, self.incarnation, stage);
        self.handoff.region.slot(self.slot).state.load(Acquire) == word
    }

    /// A number that this request has and no other that this thread runs later.
    pub fn key(&self) -> u64 {
        slot::cell(self.generation, self.slot)
    }

    /// Whether it runs beyond its limit.
    pub fn is_late(&self) -> bool {
        self.is(slot::LATE)
    }

    /// By when the app itself wants the request to be over, in seconds since the epoch.
    pub fn own_limit_s(&self) -> Option<u64> {
        let chair = self.chair();
        let is_meant = chair.limited.load(Acquire) == self.key();
        is_meant.then(|| chair.limit_s.load(Relaxed)).filter(|&limit_s| limit_s > 0)
    }

    /// The kernel's id of the thread.
    pub fn tid(&self) -> i32 {
        self.chair().tid.load(Relaxed) as i32
    }

    /// Python's name for the thread.
    pub fn ident(&self) -> u64 {
        self.chair().ident.load(Relaxed)
    }

    /// Declares the request late and tells its shard, which answers for the worker. False if it is
    /// over already.
    pub fn expire(&self) -> bool {
        let word = |stage| slot::word(self.generation, self.incarnation, stage);
        let state = &self.handoff.region.slot(self.slot).state;
        let (running, late) = (word(slot::RUNNING), word(slot::LATE));
        if state.compare_exchange(running, late, AcqRel, Acquire).is_err() {
            return false;
        }
        self.handoff.notify(self.slot);
        true
    }

    /// Notes that an exception is left in the thread, so that the thread takes it back when the
    /// request is over; false if none is to be left (`close_to_interrupts`). The caller holds the
    /// thread's GIL and has seen that the request is late.
    pub fn mark_interrupted(&self) -> bool {
        let is_open = self.chair().closed.load(Relaxed) != self.key();
        if is_open {
            self.chair().interrupted.store(1, Relaxed);
        }
        is_open
    }

    /// What the request asks for; nothing of it if the request ended meanwhile.
    pub fn describe(&self) -> Described {
        let region = self.handoff.region;
        let entry = region.slot(self.slot);
        let len = (entry.head_len.load(Relaxed) as usize).min(HEAD_BYTES_MAX);
        let mut head = Vec::new();
        region.take(self.slot, Area::Head, 0, len, &mut head);
        let text = |range: Range| {
            let end = usize::from(range.start) + usize::from(range.len);
            // Control characters of a peer would break the log's lines.
            let bytes = head.get(usize::from(range.start)..end).unwrap_or_default();
            String::from_utf8_lossy(bytes).replace(char::is_control, "?")
        };
        let range = |index: usize| {
            let packed = entry.ranges[index].load(Relaxed);
            Range { start: (packed >> 16) as u16, len: packed as u16 }
        };
        // Over the uwsgi protocol the peer is a proxy, which names its client.
        let is_vars = entry.flags.load(Relaxed) & flag::VARS != 0;
        let fields = if is_vars { region.fields(self.slot) } else { &[] };
        let client = fields.iter().find(|field| text(field.name) == "REMOTE_ADDR");
        let described = Described {
            method: text(range(0)),
            target: text(range(1)),
            remote_addr: text(client.map_or_else(|| range(5), |field| field.value)),
            arrived_s: entry.arrived_us.load(Relaxed) / 1_000_000,
        };
        if self.is(slot::LATE) || self.is(slot::RUNNING) { described } else { Described::default() }
    }
}
