//! The shard's side of the crossing: slots handed out, requests queued, news gathered.

use std::fs::File;
use std::os::fd::AsFd;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};

use super::call::flag;
use super::direct::OwnSend;
use super::region::{Area, Region};
use super::thrift::Thrift;
use super::ticket::Ticket;
use super::window::{self, BodyEnd};
use super::{Handoff, seat, slot};
use crate::request::{Fields, Range, Request, Version};
use crate::sys::{self, Sharing};

/// A request that is ready for a worker.
pub struct Dispatch<'a> {
    pub request: &'a Request,
    /// The head's bytes; `request`'s ranges count from its first.
    pub head: &'a [u8],
    pub remote_addr: &'a [u8],
    pub remote_port: &'a [u8],
    /// Index of the listener that took the connection.
    pub listener: u32,
    /// The connection ends with the response.
    pub ends: bool,
    pub body: DispatchBody<'a>,
    /// Microseconds since the epoch at which the head was complete.
    pub arrived_us: u64,
}

/// What is known of a request's body at dispatch.
#[derive(Debug, Clone, Copy)]
pub enum DispatchBody<'a> {
    /// All of it, decoded.
    Whole(&'a [u8]),
    /// Its first bytes; more follow through the window. `len` is None for a chunked body.
    Begun { first: &'a [u8], len: Option<u64> },
    /// It lies in a file of this path, `len` bytes long.
    Spooled { path: &'a [u8], len: u64 },
}

/// A slot that has carried no more than this needs no slimming.
const LEAN_BYTES: u64 = 64 * 1024;

/// One shard's slots and ring. Lives on the shard's thread.
pub struct Queue {
    handoff: &'static Handoff,
    pub(super) region: &'static Region,
    pub(super) shard: usize,
    /// How many workers are the shard's own, and their places.
    pub(super) workers: usize,
    pub(super) places: Vec<usize>,
    free: Vec<u32>,
    generations: Vec<u32>,
    /// Requests queued since the last `flush`.
    unannounced: usize,
    /// Where the ring's tail stood at the last tick.
    mark: u32,
    /// Requests waited too long while no own worker slept: until one sleeps again, others are woken
    /// without waiting for that.
    pub(super) is_stalled: bool,
    /// Whom it is worth to wake.
    pub(super) thrift: Thrift,
    /// Slots whose windows hold the pages of a large body.
    fat: Vec<usize>,
    /// Files that came from worker processes, with the cells that name their requests.
    files: Vec<(u64, File)>,
}

impl Queue {
    /// The queue of shard `shard`, whose own workers are `workers` (indices from 0).
    pub fn new(handoff: &'static Handoff, shard: usize, workers: Vec<usize>) -> Queue {
        let count = handoff.region.geometry().slots_per_shard;
        let places = |&worker: &usize| {
            let mut places =
                [handoff.region.place(worker, 0), handoff.region.place(worker, 1)].to_vec();
            places.dedup();
            places
        };
        let places = workers.iter().flat_map(places).collect();
        Queue {
            handoff,
            region: handoff.region,
            shard,
            workers: workers.len(),
            places,
            free: (0..count as u32).rev().collect(),
            generations: vec![0; count],
            unannounced: 0,
            mark: 0,
            is_stalled: false,
            thrift: Thrift::default(),
            fat: Vec::new(),
            files: Vec::new(),
        }
    }

    fn first_slot(&self) -> usize {
        self.shard * self.generations.len()
    }

    /// Takes a free slot; None when as many requests as there are slots wait or run already.
    pub fn reserve(&mut self) -> Option<Ticket> {
        let local = self.free.pop()?;
        let index = self.first_slot() + local as usize;
        let generation = self.generations[local as usize].wrapping_add(1);
        self.generations[local as usize] = generation;
        Some(Ticket::new(self.region, index, generation))
    }

    /// Fills the slot and puts it into the ring. `flush` wakes the workers for a whole batch, and
    /// `may_sleep` must be asked behind it: until then no worker rings.
    pub fn submit(&mut self, ticket: &Ticket, dispatch: &Dispatch<'_>) {
        let index = ticket.slot();
        fill(self.region, index, dispatch);
        let entry = self.region.slot(index);
        entry.state.store(slot::word(ticket.generation(), 0, slot::QUEUED), Release);
        let control = self.region.control(self.shard);
        let ring = self.region.ring(self.shard);
        let tail = control.tail.0.load(Relaxed);
        // At most every slot is queued once, and the ring has two cells for each.
        ring[tail as usize & (ring.len() - 1)]
            .store(slot::cell(ticket.generation(), index), Release);
        control.tail.0.store(tail.wrapping_add(1), SeqCst);
        self.unannounced += 1;
        // The shard is awake, and looks for news before it sleeps: until then nobody need ring. A
        // lone request is left as it is, for a worker sends its answer only past a shard that
        // sleeps.
        if self.unannounced > 1 && control.asleep.0.load(Relaxed) != 0 {
            control.asleep.0.store(0, Relaxed);
        }
    }

    /// Wakes sleeping workers for what was queued since the last call: one thread a worker, the
    /// lowest-numbered workers first, so that the others' caches are left alone, and no more than
    /// are useful. Where the own workers are stuck, other shards' are woken. How many were queued.
    pub fn flush(&mut self) -> usize {
        let queued = std::mem::take(&mut self.unannounced);
        if queued == 0 {
            return 0;
        }
        let wakes = |place: &usize| seat::wake_one(self.region, *place);
        let own = self.places.iter().copied().filter(wakes);
        let own = own.take(queued.min(self.useful())).count();
        let mut missing = queued - own;
        if own > 0 && self.is_stalled {
            self.is_stalled = false;
            self.region.control(self.shard).wishes.overdue.store(0, SeqCst);
        }
        if missing > 0 && self.is_stalled {
            missing -= self.others().filter(wakes).take(missing).count();
        }
        if missing > 0 && self.handoff.unattended.load(Relaxed) {
            self.handoff.ring_control();
        }
        queued
    }

    /// The places of other shards' workers.
    fn others(&self) -> impl Iterator<Item = usize> {
        (0..self.region.places()).filter(|place| !self.places.contains(place))
    }

    fn has_sleepers(&self) -> bool {
        let asleep = |&place: &usize| self.region.seats(place).sleepers.0.load(Relaxed) != 0;
        self.places.iter().any(asleep)
    }

    /// Whether requests wait in the ring that no worker has taken.
    pub fn has_waiting(&self) -> bool {
        let control = self.region.control(self.shard);
        control.head.0.load(Acquire) != control.tail.0.load(Relaxed)
    }

    /// Whether requests wait that somebody could take but the own workers that are awake: one that
    /// sleeps, or another shard's, which may be free a moment later. Then `tick` must be called.
    pub fn may_need_help(&self) -> bool {
        let has_others = self.region.places() > self.places.len();
        self.has_waiting() && (has_others || self.has_sleepers())
    }

    /// Called about once a millisecond while requests wait: what was queued before the last call
    /// and is still there has waited too long, so one more thread is woken, another shard's if need
    /// be.
    pub fn tick(&mut self) {
        let control = self.region.control(self.shard);
        let head = control.head.0.load(Acquire);
        let tail = control.tail.0.load(Relaxed);
        let waited = (self.mark.wrapping_sub(head) as i32) > 0;
        self.mark = tail;
        self.is_stalled |= waited && !self.has_sleepers();
        self.look_at_stuck();
        let overdue = u32::from(waited || self.is_stalled);
        // All idle workers read this word: it is written only when it changes.
        if control.wishes.overdue.load(Relaxed) != overdue {
            control.wishes.overdue.store(overdue, SeqCst);
        }
        let wakes = |place| seat::wake_one(self.region, place);
        if waited && !self.places.iter().copied().any(wakes) {
            let _ = self.others().any(wakes);
        }
    }

    /// Gathers the slots that have news.
    pub fn drain(&mut self, news: &mut Vec<usize>) {
        let control = self.region.control(self.shard);
        for (index, word) in control.news.0.iter().enumerate() {
            if word.load(SeqCst) == 0 {
                continue;
            }
            let mut bits = word.swap(0, SeqCst);
            while bits != 0 {
                let local = index * 64 + bits.trailing_zeros() as usize;
                bits &= bits - 1;
                // A broken worker may have set a bit that no slot has.
                if local < self.generations.len() {
                    news.push(self.first_slot() + local);
                }
            }
        }
    }

    /// Says that the shard is about to sleep on its doorbell; false if there is news already.
    pub fn may_sleep(&self) -> bool {
        let control = self.region.control(self.shard);
        control.asleep.0.store(1, SeqCst);
        if control.news.0.iter().all(|word| word.load(SeqCst) == 0) {
            return true;
        }
        control.asleep.0.store(0, SeqCst);
        false
    }

    /// Says that the shard is awake: workers need not ring.
    pub fn woke_up(&self) {
        self.region.control(self.shard).asleep.0.store(0, SeqCst);
        self.handoff.silence(self.shard);
    }

    /// Takes back what incarnation `incarnation` of worker `worker` left when it died: requests
    /// that it ran become FAILED, finished ones that it could not announce are announced here.
    /// Appends them to `news`.
    pub fn reclaim(&mut self, worker: usize, incarnation: u32, news: &mut Vec<usize>) {
        // Nobody is to be woken who cannot wake.
        let place = self.region.place(worker, incarnation);
        self.region.seats(place).sleepers.0.store(0, SeqCst);
        self.region.seats(place).seated.0.store(0, SeqCst);
        self.drain(news);
        for index in self.first_slot()..self.first_slot() + self.generations.len() {
            let entry = self.region.slot(index);
            let state = entry.state.load(Acquire);
            if slot::incarnation(state) != incarnation {
                continue;
            }
            let end = match slot::stage(state) {
                slot::RUNNING => Some(slot::FAILED),
                slot::LATE => Some(slot::ENDED),
                _ => None,
            };
            if let Some(end) = end {
                let end = slot::word(slot::generation(state), incarnation, end);
                entry.state.store(end, Release);
            }
            // How much of its own send went out, nobody knows.
            Ticket::new(self.region, index, slot::generation(state)).end_dead_send();
            news.push(index);
        }
        // It may also have swallowed a wake-up that was meant for a waiting request; without
        // another worker of this shard, one of the others must hear of it.
        if self.has_waiting() {
            self.unannounced += 1;
            self.flush();
            self.mark = self.region.control(self.shard).tail.0.load(Relaxed);
            self.tick();
        }
    }

    /// Gives a slot back whose request is over.
    pub fn release(&mut self, ticket: &Ticket) {
        let entry = self.region.slot(ticket.slot());
        debug_assert!(
            !matches!(slot::stage(entry.state.load(Acquire)), slot::RUNNING | slot::LATE),
            "BUG: a slot is not reused while a worker may write into it"
        );
        entry.state.store(slot::word(ticket.generation(), 0, slot::IDLE), Release);
        self.region.direct(ticket.slot()).word.store(0, Relaxed);
        drop(self.region.take_large(ticket.slot()));
        drop(self.region.take_file(ticket.slot()));
        let most = entry.input.produced.load(Relaxed).max(entry.output.produced.load(Relaxed));
        if most > LEAN_BYTES && !self.fat.contains(&ticket.slot()) {
            self.fat.push(ticket.slot());
        }
        self.free.push((ticket.slot() - self.first_slot()) as u32);
    }

    /// Gives back the memory that large bodies left in free slots. Called now and then: to do it
    /// after each request would cost a page fault for each page of the next.
    pub fn slim(&mut self) {
        let region = self.region;
        self.fat.retain(|&slot| {
            if slot::stage(region.slot(slot).state.load(Acquire)) != slot::IDLE {
                return true;
            }
            region.shrink(slot, Area::Input);
            region.shrink(slot, Area::Output);
            false
        });
    }

    /// Takes the file that is the response's body, if there is one.
    pub fn take_file(&mut self, ticket: &Ticket) -> Option<File> {
        if ticket.progress().flags & flag::FILE == 0 {
            return None;
        }
        if self.handoff.files.is_empty() {
            return self.region.take_file(ticket.slot());
        }
        let (end, _) = &self.handoff.files[self.shard];
        let mut name = [0; 8];
        while let Ok((8, fd)) = sys::receive_with_fd(end.as_fd(), &mut name) {
            // Without a free descriptor only the name arrives.
            self.files.extend(fd.map(|fd| (u64::from_ne_bytes(name), File::from(fd))));
        }
        // Descriptors of requests that nobody waits for any more are closed.
        let (slots, generations) = (self.generations.len(), &self.generations);
        self.files.retain(|(cell, _)| {
            generations[slot::cell_slot(*cell) % slots] == slot::generation(*cell)
        });
        let wanted = slot::cell(ticket.generation(), ticket.slot());
        let at = self.files.iter().position(|(cell, _)| *cell == wanted)?;
        Some(self.files.swap_remove(at).1)
    }

    /// Whether workers of this shard can send answers by themselves.
    pub fn workers_send(&self) -> bool {
        self.region.sharing() == Sharing::Threads
            || self.places.iter().any(|&p| self.region.seats(p).sends.0.load(Relaxed) == 1)
    }

    /// Whether a worker has sent the answer of this slot's request by itself.
    pub fn was_sent(&self, slot: usize) -> bool {
        let generation = self.generations[slot - self.first_slot()];
        let ticket = Ticket::new(self.region, slot, generation);
        matches!(ticket.own_send(), OwnSend::Sent(_) | OwnSend::Broken)
    }

    /// Slots that carry a request now.
    pub fn in_use(&self) -> usize {
        self.generations.len() - self.free.len()
    }
}

fn fill(region: &Region, index: usize, dispatch: &Dispatch<'_>) {
    let entry = region.slot(index);
    let request = dispatch.request;
    let head_len = request.head_len.min(dispatch.head.len());
    region.put(index, Area::Head, 0, &dispatch.head[..head_len]);
    let addr = Range::new(head_len, dispatch.remote_addr.len());
    region.put(index, Area::Head, head_len, dispatch.remote_addr);
    let port_at = head_len + dispatch.remote_addr.len();
    let port = Range::new(port_at, dispatch.remote_port.len());
    region.put(index, Area::Head, port_at, dispatch.remote_port);
    let ranges =
        [request.method, request.target, request.path, request.query, request.host, addr, port];
    for (to, range) in entry.ranges.iter().zip(ranges) {
        to.store(u32::from(range.start) << 16 | u32::from(range.len), Relaxed);
    }
    region.put_fields(index, &request.fields);
    entry.fields.store(request.fields.len() as u32, Relaxed);
    entry.head_len.store(port_at as u32 + u32::from(port.len), Relaxed);
    let modifiers = u32::from(request.modifier1) << 8 | u32::from(request.modifier2);
    entry.modifiers.store(modifiers, Relaxed);
    entry.logvars_len.store(0, Relaxed);
    entry.listener.store(dispatch.listener, Relaxed);
    entry.arrived_us.store(dispatch.arrived_us, Relaxed);

    let mut flags = 0;
    flags |= if request.kind == Fields::Vars { flag::VARS } else { 0 };
    flags |= if request.version == Version::Http11 { flag::HTTP_11 } else { 0 };
    flags |= if request.path_is_encoded { flag::PATH_ENCODED } else { 0 };
    flags |= if dispatch.ends { flag::ENDS } else { 0 };

    window::reset(&entry.input);
    window::reset(&entry.output);
    entry.out_flags.store(0, Relaxed);
    entry.worker.store(0, Relaxed);
    let (first, len, complete) = match dispatch.body {
        DispatchBody::Whole(bytes) => (bytes, bytes.len() as u64, true),
        DispatchBody::Begun { first, len } => (first, len.unwrap_or(u64::MAX), false),
        DispatchBody::Spooled { path, len } => {
            flags |= flag::SPOOLED;
            (path, len, true)
        }
    };
    if !first.is_empty() {
        let put = window::put(region, index, Area::Input, &entry.input, first);
        assert!(put == first.len(), "BUG: a dispatched body start fits the window");
    }
    if complete {
        entry.input.end.store(BodyEnd::Complete as u32, Relaxed);
    }
    entry.body_len.store(len, Relaxed);
    entry.flags.store(flags, Relaxed);
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::handoff::{Geometry, Seat};

    pub(in crate::handoff) fn submit(queue: &mut Queue) {
        let ticket = queue.reserve().expect("a slot is free");
        let dispatch = Dispatch {
            request: &Request::default(),
            head: b"GET",
            remote_addr: b"",
            remote_port: b"",
            listener: 0,
            ends: false,
            body: DispatchBody::Whole(b""),
            arrived_us: 1,
        };
        queue.submit(&ticket, &dispatch);
    }

    /// Queues so many requests, and lets a worker end them before the shard looks. Whether the
    /// flag that asks for the bell stood all the time.
    fn rings(requests: usize) -> bool {
        let geometry = Geometry { shards: 1, workers: 1, threads: 1, slots_per_shard: 8 };
        let handoff = Handoff::new(geometry, Sharing::Threads).expect("memory for the slots");
        let mut queue = Queue::new(handoff, 0, vec![0]);
        let seat = Seat::new(handoff, 0, 0, 1);
        assert!(queue.may_sleep(), "nothing has happened yet");
        (0..requests).for_each(|_| submit(&mut queue));
        let asked = handoff.region.control(0).asleep.0.load(SeqCst) == 1;
        queue.flush();
        while let Some(call) = seat.claim() {
            call.finish();
        }
        let mut news = Vec::new();
        assert!(!queue.may_sleep(), "the shard must look first");
        queue.drain(&mut news);
        assert_eq!(news.len(), requests);
        assert!(queue.may_sleep(), "it has seen all");
        asked
    }

    #[test]
    fn others_are_woken_at_once_while_the_own_workers_are_stuck() {
        let geometry = Geometry { shards: 2, workers: 2, threads: 1, slots_per_shard: 8 };
        let handoff = Handoff::new(geometry, Sharing::Threads).expect("memory for the slots");
        let mut queue = Queue::new(handoff, 0, vec![0]);
        let (own, other) = (Seat::new(handoff, 0, 0, 1), Seat::new(handoff, 1, 0, 1));
        let sleepers = |worker| &handoff.region.seats(handoff.region.place(worker, 1)).sleepers.0;
        // Queues a request; whether the other shard's worker, who sleeps, is woken for it.
        let wakes_other = |queue: &mut Queue| {
            sleepers(1).store(1, SeqCst);
            submit(queue);
            queue.flush();
            sleepers(1).load(SeqCst) == 0
        };
        assert!(!wakes_other(&mut queue), "the own worker may take it");
        queue.tick();
        assert_eq!(sleepers(1).load(SeqCst), 1);
        queue.tick();
        assert_eq!(sleepers(1).load(SeqCst), 0, "it has waited too long");
        assert!(other.claim().is_some());
        assert!(wakes_other(&mut queue), "the own worker is still away");
        queue.tick();
        assert!(other.claim().is_some(), "also behind a tick");
        // The own worker is back.
        sleepers(0).store(1, SeqCst);
        assert!(!wakes_other(&mut queue));
        assert_eq!(sleepers(0).load(SeqCst), 0);
        assert!(other.claim().is_none(), "it is the own worker's again");
        assert!(own.claim().is_some());
        assert!(!wakes_other(&mut queue));
    }

    #[test]
    fn workers_ring_for_a_lone_request_only() {
        assert!(rings(1));
        assert!(!rings(2));
        assert!(!rings(8));
    }
}
