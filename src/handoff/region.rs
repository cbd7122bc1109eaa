//! The memory that a shard and its workers share: control words, rings and slots in one mapping.
//!
//! Everything is addressed by index, never by pointer: the mapping lies at the same place in forked
//! workers, but nothing here relies on it. Fields are atomics; byte areas are copied in and out, or
//! viewed by the side that the slot's state word says owns them.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::{FromRawFd, IntoRawFd, RawFd};
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, AtomicU64, Ordering};

use bytes::Bytes;

use crate::request::Field;
use crate::sys::{self, Sharing};

/// Bytes of each of a slot's two windows: request body in, response out.
pub const WINDOW_BYTES: usize = 256 * 1024;
/// Most fields that a request may have (uWSGI: `max-vars`).
pub const FIELDS_MAX: usize = 128;
/// Bytes of a request head, with the texts that the shard appends to it.
pub const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Bytes of names and values that an app gives to its request's log line.
pub const LOGVARS_BYTES_MAX: usize = 2048;

/// Keeps a word that one side writes often away from its neighbours' cache lines.
#[repr(C, align(64))]
#[derive(Default)]
pub(super) struct Line<T>(pub(super) T);

/// One shard's side of the crossing.
#[repr(C)]
pub(super) struct Control {
    /// Claim ring: the shard writes `tail`, workers move `head` forward.
    pub(super) tail: Line<AtomicU32>,
    pub(super) head: Line<AtomicU32>,
    /// A bit for each slot that has news. Setting one twice does no harm, and a worker that dies
    /// before it has set one leaves nothing half done.
    pub(super) news: Line<[AtomicU64; NEWS_WORDS]>,
    /// 1 while the shard waits for its doorbell.
    pub(super) asleep: Line<AtomicU32>,
    pub(super) wishes: Wishes,
}

/// What a shard wants of all workers. They look at it whenever they have nothing to do, and it
/// seldom changes.
#[repr(C, align(64))]
pub(super) struct Wishes {
    /// 1 while a request of this shard waits longer than it should: other shards' workers may help.
    pub(super) overdue: AtomicU32,
    /// While the shard lets requests gather: how many may wait for a worker at least. Whoever takes
    /// one and leaves fewer rings. 0 while it does not. With a bit for whole answers that may wait
    /// too (`coalesce.rs`).
    pub(super) reserve: AtomicU32,
}

/// One worker incarnation's side of the crossing, for all its threads.
#[repr(C)]
pub(super) struct Seats {
    /// A bit for each thread that sleeps.
    pub(super) sleepers: Line<AtomicU64>,
    /// A bit for each thread that serves.
    pub(super) seated: Line<AtomicU64>,
    /// 1: finish what runs, then leave.
    pub(super) stop: Line<AtomicU32>,
    /// Threads that were woken and have not looked into the ring yet.
    pub(super) waking: Line<AtomicU32>,
    /// 1: this worker process can send by itself.
    pub(super) sends: Line<AtomicU32>,
}

/// What one thread of a worker and the others tell each other, on a cache line of its own.
#[repr(C, align(64))]
pub(super) struct Chair {
    /// The futex that the thread sleeps on.
    pub(super) futex: AtomicU32,
    /// The thread's kernel id.
    pub(super) tid: AtomicU32,
    /// The cell of the request that the thread took last. Whether it still runs is told by the
    /// slot's state word.
    pub(super) current: AtomicU64,
    /// A cell and the second (since the epoch) by which the app wants that request to be over.
    pub(super) limited: AtomicU64,
    pub(super) limit_s: AtomicU64,
    /// Python's name for the thread.
    pub(super) ident: AtomicU64,
    /// 1: an exception was left in the thread for the request that it ran then.
    pub(super) interrupted: AtomicU32,
    /// The cell of a request that is to get no exception any more.
    pub(super) closed: AtomicU64,
}

/// A slot's fixed part. The shard writes the request half before QUEUED, the worker the response
/// half while RUNNING.
#[repr(C)]
pub(super) struct Slot {
    pub(super) state: AtomicU64,
    pub(super) head_len: AtomicU32,
    pub(super) fields: AtomicU32,
    pub(super) flags: AtomicU32,
    pub(super) listener: AtomicU32,
    pub(super) ranges: [AtomicU32; 7],
    pub(super) modifiers: AtomicU32,
    /// Content-Length, or u64::MAX when the body's length is not known beforehand.
    pub(super) body_len: AtomicU64,
    pub(super) arrived_us: AtomicU64,

    pub(super) input: Window,
    pub(super) output: Window,

    pub(super) worker: AtomicU32,
    pub(super) core: AtomicU32,
    pub(super) status: AtomicU32,
    pub(super) out_flags: AtomicU32,
    pub(super) out_head_len: AtomicU32,
    pub(super) out_headers: AtomicU32,
    /// Which of the worker's apps answered, `call::NO_APP` for none.
    pub(super) app: AtomicU32,
    pub(super) app_request: AtomicU64,
    pub(super) out_length: AtomicU64,
    pub(super) file_offset: AtomicU64,
    pub(super) file_len: AtomicU64,
    /// Bytes in `Area::Logvars`.
    pub(super) logvars_len: AtomicU32,
}

/// A bounded stream of bytes from one side to the other: counters only grow.
#[repr(C)]
pub(super) struct Window {
    pub(super) produced: AtomicU64,
    pub(super) consumed: AtomicU64,
    /// How the stream ended (`body.rs`), 0 while it goes on.
    pub(super) end: AtomicU32,
    /// The futex that the worker sleeps on; 1 while it sleeps.
    pub(super) worker_waits: AtomicU32,
    /// Bytes that the sleeping worker wants to find: it is not woken for fewer.
    pub(super) wanted: AtomicU32,
    /// 1 while the shard wants to hear of the next change.
    pub(super) shard_waits: AtomicU32,
}

/// Which of a slot's byte areas is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Area {
    Head,
    Input,
    Output,
    /// What the app gives to its request's log line.
    Logvars,
}

/// How many of everything a region holds.
#[derive(Debug, Clone, Copy)]
pub struct Geometry {
    pub shards: usize,
    pub workers: usize,
    pub threads: usize,
    pub slots_per_shard: usize,
}

/// Most slots of a shard: its news fit one cache line.
pub(super) const SLOTS_MAX: usize = NEWS_WORDS * 64;
const NEWS_WORDS: usize = 8;
const NO_FILE: i32 = -1;
const FIELDS_BYTES: usize = FIELDS_MAX * std::mem::size_of::<Field>();
const HEAD_AT: usize = std::mem::size_of::<Slot>().next_multiple_of(64);
const OUTPUT_AT: usize = HEAD_AT + FIELDS_BYTES + HEAD_BYTES_MAX;
const INPUT_AT: usize = OUTPUT_AT + WINDOW_BYTES;
const LOGVARS_AT: usize = INPUT_AT + WINDOW_BYTES;
/// The odd 320 bytes spread the slots' first lines over all sets of the caches: at a multiple of
/// 4096 they would all fall into one.
const SLOT_STRIDE: usize = (LOGVARS_AT + LOGVARS_BYTES_MAX).next_multiple_of(4096) + 320;

/// Places of a worker: a process's successor begins before it leaves. Interpreters have none.
fn sides(sharing: Sharing) -> usize {
    match sharing {
        Sharing::Threads => 1,
        Sharing::Processes => 2,
    }
}

/// The mapping and where things lie in it.
pub struct Region {
    base: *mut u8,
    len: usize,
    sharing: Sharing,
    geometry: Geometry,
    ring_cells: usize,
    control_stride: usize,
    seats_at: usize,
    chairs_at: usize,
    slots_at: usize,
    /// Large bodies and files that threads hand over as they are; unused between processes.
    large: Box<[AtomicPtr<Bytes>]>,
    files: Box<[AtomicI32]>,
    direct_at: usize,
}

/// A slot's word of `direct.rs`, and what the worker says of its own send.
#[repr(C)]
pub(super) struct Direct {
    pub(super) word: AtomicU64,
    /// `head bytes 32 | bytes 32`.
    pub(super) lens: AtomicU64,
    pub(super) ended_us: AtomicU64,
}

// SAFETY: all shared fields are atomics; byte areas follow the ownership told by the state word.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

impl Region {
    /// Maps a region that lives as long as the process.
    ///
    /// # Errors
    /// The kernel's, when it refuses the address space.
    pub fn map(geometry: Geometry, sharing: Sharing) -> io::Result<&'static Region> {
        assert!(geometry.slots_per_shard <= SLOTS_MAX, "BUG: too many slots");
        let ring_cells = (geometry.slots_per_shard * 2).next_power_of_two();
        let control_stride = (std::mem::size_of::<Control>() + ring_cells * 8).next_multiple_of(64);
        let seats_at = control_stride * geometry.shards;
        let places = geometry.workers * sides(sharing);
        let chairs_at = seats_at + std::mem::size_of::<Seats>() * places;
        let chairs = places * geometry.threads * std::mem::size_of::<Chair>();
        let slots_at = (chairs_at + chairs).next_multiple_of(4096);
        let slots = geometry.slots_per_shard * geometry.shards;
        let direct_at = (slots_at + slots * SLOT_STRIDE).next_multiple_of(64);
        let len = direct_at + slots * std::mem::size_of::<Line<Direct>>();
        let base = sys::map_forever(len, sharing)?;
        let large = (0..slots).map(|_| AtomicPtr::default()).collect();
        let files = (0..slots).map(|_| AtomicI32::new(NO_FILE)).collect();
        Ok(Box::leak(Box::new(Region {
            base,
            len,
            sharing,
            geometry,
            ring_cells,
            control_stride,
            seats_at,
            chairs_at,
            slots_at,
            large,
            files,
            direct_at,
        })))
    }

    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    pub fn sharing(&self) -> Sharing {
        self.sharing
    }

    /// Bytes of address space that the region takes in every process.
    pub fn bytes(&self) -> usize {
        self.len
    }

    /// How many places for worker incarnations there are.
    pub(super) fn places(&self) -> usize {
        self.geometry.workers * sides(self.sharing)
    }

    /// The place of one incarnation of a worker. A process's successor has another parity, so both
    /// can be there for a while.
    pub(super) fn place(&self, worker: usize, incarnation: u32) -> usize {
        assert!(worker < self.geometry.workers, "BUG: no worker {worker}");
        let side = incarnation as usize % sides(self.sharing);
        worker * sides(self.sharing) + side
    }

    /// In a worker process: children that the app forks must not be able to touch the slots.
    pub fn keep_from_children(&self) {
        sys::keep_from_children(self.base, self.len);
    }

    pub(super) fn slots(&self) -> usize {
        self.geometry.slots_per_shard * self.geometry.shards
    }

    pub(super) fn control(&self, shard: usize) -> &Control {
        assert!(shard < self.geometry.shards, "BUG: no shard {shard}");
        // SAFETY: inside the mapping (checked above), aligned to 64, zeroed memory is a valid
        // Control, and all its fields are atomics.
        unsafe { &*self.base.add(shard * self.control_stride).cast() }
    }

    pub(super) fn ring(&self, shard: usize) -> &[AtomicU64] {
        assert!(shard < self.geometry.shards, "BUG: no shard {shard}");
        let at = shard * self.control_stride + std::mem::size_of::<Control>();
        // SAFETY: `ring_cells` words follow the shard's Control inside the mapping.
        unsafe { std::slice::from_raw_parts(self.base.add(at).cast(), self.ring_cells) }
    }

    pub(super) fn seats(&self, place: usize) -> &Seats {
        assert!(place < self.places(), "BUG: no place {place}");
        let at = self.seats_at + place * std::mem::size_of::<Seats>();
        // SAFETY: inside the mapping (checked above), aligned, all fields are atomics.
        unsafe { &*self.base.add(at).cast() }
    }

    /// One thread's line at a place.
    pub(super) fn chair(&self, place: usize, thread: usize) -> &Chair {
        let threads = self.geometry.threads;
        assert!(place < self.places() && thread < threads, "BUG: no such thread");
        let at = self.chairs_at + (place * threads + thread) * std::mem::size_of::<Chair>();
        // SAFETY: inside the mapping (checked above), aligned to 64, all fields are atomics.
        unsafe { &*self.base.add(at).cast() }
    }

    fn slot_base(&self, slot: usize) -> *mut u8 {
        assert!(slot < self.slots(), "BUG: no slot {slot}");
        // SAFETY: inside the mapping (checked above).
        unsafe { self.base.add(self.slots_at + slot * SLOT_STRIDE) }
    }

    pub(super) fn slot(&self, slot: usize) -> &Slot {
        // SAFETY: inside the mapping, the stride keeps 8-byte alignment, all fields are atomics.
        unsafe { &*self.slot_base(slot).cast() }
    }

    fn area(&self, slot: usize, area: Area, at: usize, len: usize) -> *mut u8 {
        let (start, size) = match area {
            Area::Head => (HEAD_AT + FIELDS_BYTES, HEAD_BYTES_MAX),
            Area::Input => (INPUT_AT, WINDOW_BYTES),
            Area::Output => (OUTPUT_AT, WINDOW_BYTES),
            Area::Logvars => (LOGVARS_AT, LOGVARS_BYTES_MAX),
        };
        assert!(at <= size && len <= size - at, "BUG: {at}+{len} is outside a slot's {area:?}");
        // SAFETY: inside the slot's area (checked above).
        unsafe { self.slot_base(slot).add(start + at) }
    }

    /// Copies `bytes` into an area that the caller owns.
    pub(super) fn put(&self, slot: usize, area: Area, at: usize, bytes: &[u8]) {
        let to = self.area(slot, area, at, bytes.len());
        // SAFETY: the range was checked, `bytes` is private memory and cannot overlap it; the state
        // word (or the window's counters) says that nobody else uses the range now.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
    }

    /// Receives from a socket into an area, without waiting, and returns how many bytes.
    pub(super) fn receive(
        &self,
        slot: usize,
        area: Area,
        at: usize,
        len: usize,
        fd: RawFd,
    ) -> usize {
        let to = self.area(slot, area, at, len);
        // SAFETY: as in `put`, but that the kernel writes.
        unsafe { sys::receive_into(fd, to, len) }
    }

    /// Appends a copy of an area's bytes to `out`. What another process may be changing is copied
    /// once and only then looked at.
    pub(super) fn take(&self, slot: usize, area: Area, at: usize, len: usize, out: &mut Vec<u8>) {
        let from = self.area(slot, area, at, len);
        out.reserve(len);
        // SAFETY: the range was checked, `out` has room for `len` more bytes, which the copy fills
        // before the length says so.
        unsafe {
            std::ptr::copy_nonoverlapping(from, out.as_mut_ptr().add(out.len()), len);
            out.set_len(out.len() + len);
        }
    }

    /// A view of an area that stays unchanged while the caller looks: the head while the request
    /// runs, or the produced part of a window.
    pub(super) fn view(&self, slot: usize, area: Area, at: usize, len: usize) -> &[u8] {
        let from = self.area(slot, area, at, len);
        // SAFETY: the range was checked; the shard does not write it before the caller is done
        // (state word RUNNING, or `consumed` not yet advanced).
        unsafe { std::slice::from_raw_parts(from, len) }
    }

    pub(super) fn put_fields(&self, slot: usize, fields: &[Field]) {
        assert!(fields.len() <= FIELDS_MAX, "BUG: {} fields", fields.len());
        // SAFETY: the table starts inside the slot, is 2-byte aligned and has room for FIELDS_MAX.
        unsafe {
            let to = self.slot_base(slot).add(HEAD_AT).cast::<Field>();
            std::ptr::copy_nonoverlapping(fields.as_ptr(), to, fields.len());
        }
    }

    /// The fields of a request that the caller runs.
    pub(super) fn fields(&self, slot: usize) -> &[Field] {
        let count = self.slot(slot).fields.load(Ordering::Relaxed) as usize;
        // SAFETY: as in `put_fields`; any bytes are a valid Field, and the count is bounded.
        unsafe {
            let from = self.slot_base(slot).add(HEAD_AT).cast::<Field>();
            std::slice::from_raw_parts(from, count.min(FIELDS_MAX))
        }
    }

    /// Gives back the pages of a slot's windows after a large body.
    pub(super) fn shrink(&self, slot: usize, area: Area) {
        let keep = 16 * 1024;
        let base = self.area(slot, area, keep, WINDOW_BYTES - keep);
        // SAFETY: the caller owns the slot and nobody needs its old bytes.
        unsafe { sys::give_back(base, WINDOW_BYTES - keep, self.sharing) };
    }

    /// Leaves a large body for the other side. False (and the body is returned by drop) if the last
    /// one was not taken yet: callers ask `large_is_free` first.
    pub(super) fn put_large(&self, slot: usize, body: Bytes) {
        let old = self.large[slot].swap(Box::into_raw(Box::new(body)), Ordering::AcqRel);
        if !old.is_null() {
            // SAFETY: the pointer came from Box::into_raw and was taken out of the cell just now.
            drop(unsafe { Box::from_raw(old) });
        }
    }

    /// Leaves an open file for the other side.
    pub(super) fn put_file(&self, slot: usize, file: File) {
        assert!(self.sharing == Sharing::Threads, "BUG: descriptors do not cross processes");
        let old = self.files[slot].swap(file.into_raw_fd(), Ordering::AcqRel);
        drop(Self::file_of(old));
    }

    pub(super) fn take_file(&self, slot: usize) -> Option<File> {
        Self::file_of(self.files[slot].swap(NO_FILE, Ordering::AcqRel))
    }

    fn file_of(fd: i32) -> Option<File> {
        // SAFETY: the number came from into_raw_fd and was taken out of the cell just now, so it is
        // owned by nobody else.
        (fd != NO_FILE).then(|| unsafe { File::from_raw_fd(fd) })
    }

    /// The slot's words of `direct.rs`.
    pub(super) fn direct(&self, slot: usize) -> &Direct {
        assert!(slot < self.slots(), "BUG: no slot {slot}");
        let at = self.direct_at + slot * std::mem::size_of::<Line<Direct>>();
        // SAFETY: inside the mapping (checked above), aligned to 64, all fields are atomics.
        unsafe { &(*self.base.add(at).cast::<Line<Direct>>()).0 }
    }

    pub(super) fn large_is_free(&self, slot: usize) -> bool {
        self.large[slot].load(Ordering::Acquire).is_null()
    }

    pub(super) fn take_large(&self, slot: usize) -> Option<Bytes> {
        let body = self.large[slot].swap(std::ptr::null_mut(), Ordering::AcqRel);
        // SAFETY: the pointer came from Box::into_raw and was taken out of the cell just now.
        (!body.is_null()).then(|| *unsafe { Box::from_raw(body) })
    }
}
