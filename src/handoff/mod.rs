//! What it does: moves a request from a shard to a worker and its response back, over shared
//! memory.
//! What it does not: sockets, protocols, Python; it never blocks a shard.
//! Who may call it: shard (queue, ticket), wsgi and api (seat, call), server (to make and stop it).
//! What it may import: request, sys, std, bytes.
//!
//! One request's way: the shard `reserve`s a slot, fills it and `submit`s it; a worker's `Seat`
//! `claim`s it as a `Call`, answers into the slot's output window and `finish`es; the shard
//! `drain`s the list of slots with news. The slot's state word is the only truth (`slot.rs`); ring,
//! the news and the sleeper bits are hints that can be lost with a worker and are mended by
//! `Queue::tick` and `Queue::reclaim`.

mod call;
mod coalesce;
mod direct;
mod fault;
mod late;
mod queue;
mod region;
mod seat;
mod slot;
mod thrift;
mod ticket;
mod window;

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;

pub use call::{Call, Head, ResponseHead, flag};
pub use direct::{App, Lent, OwnSend, OwnSent, SLOW_APP_US};
pub use late::{Described, Taken, close_to_interrupts, limit_own_request};
pub use queue::{Dispatch, DispatchBody, Queue};
pub use region::{FIELDS_MAX, Geometry, HEAD_BYTES_MAX, LOGVARS_BYTES_MAX, Region, WINDOW_BYTES};
pub use seat::Seat;
pub use ticket::{Progress, Stage, Ticket, added_var, added_var_name, logvar};
pub use window::BodyEnd;

use crate::sys::{self, Sharing};

/// The whole crossing: its memory and one doorbell for each shard. Lives as long as the process.
pub struct Handoff {
    pub region: &'static Region,
    bells: Vec<OwnedFd>,
    control: OwnedFd,
    /// No worker is there, and the control thread is to hear of requests.
    unattended: AtomicBool,
    /// The server process, and in a worker process that may fetch its descriptors the way there.
    home_pid: i32,
    home: OnceLock<OwnedFd>,
    /// For each shard, the two ends of the way that descriptors take out of worker processes.
    files: Vec<(OwnedFd, OwnedFd)>,
}

/// A request that a worker runs.
pub struct Running<'r> {
    /// The worker's and its thread's index, from 0.
    pub worker: usize,
    pub core: usize,
    pub method: &'r [u8],
    pub target: &'r [u8],
}

impl Handoff {
    /// Makes the crossing. Must run before worker processes are forked, which share it.
    ///
    /// # Errors
    /// The kernel's (address space, descriptors).
    pub fn new(geometry: Geometry, sharing: Sharing) -> io::Result<&'static Handoff> {
        let region = Region::map(geometry, sharing)?;
        let bells = (0..geometry.shards).map(|_| sys::eventfd()).collect::<io::Result<_>>()?;
        let mut files = Vec::new();
        if sharing == Sharing::Processes {
            for _ in 0..geometry.shards {
                let pair = sys::message_pair()?;
                rustix::io::ioctl_fionbio(&pair.0, true)?;
                rustix::io::ioctl_fionbio(&pair.1, true)?;
                files.push(pair);
            }
        }
        let control = sys::eventfd()?;
        Ok(Box::leak(Box::new(Handoff {
            region,
            bells,
            control,
            unattended: AtomicBool::new(false),
            home_pid: std::process::id() as i32,
            home: OnceLock::new(),
            files,
        })))
    }

    /// The descriptor that becomes readable when the shard has news and said that it sleeps.
    pub fn bell(&self, shard: usize) -> RawFd {
        self.bells[shard].as_raw_fd()
    }

    /// The descriptor that becomes readable when a worker has news for the control thread: it is
    /// ready, or it has left.
    pub fn control_bell(&self) -> RawFd {
        self.control.as_raw_fd()
    }

    pub fn ring_control(&self) {
        sys::eventfd_ring(self.control.as_fd());
    }

    pub fn silence_control(&self) {
        sys::eventfd_clear(self.control.as_fd());
    }

    /// Wakes a shard, whatever it waits for.
    pub fn ring(&self, shard: usize) {
        sys::eventfd_ring(self.bells[shard].as_fd());
    }

    /// Silences a shard's doorbell; the shard calls it when it wakes.
    pub fn silence(&self, shard: usize) {
        sys::eventfd_clear(self.bells[shard].as_fd());
    }

    /// Says whether the control thread wants to hear of requests that no worker is there for.
    pub fn set_unattended(&self, unattended: bool) {
        self.unattended.store(unattended, SeqCst);
    }

    /// The shard that a slot belongs to.
    fn shard_of(&self, slot: usize) -> usize {
        slot / self.region.geometry().slots_per_shard
    }

    /// Shows each request that a worker runs at this moment. For a signal's handler too: no lock,
    /// no memory. What a worker of another process does meanwhile may tear a line, nothing else.
    pub fn each_running(&'static self, mut show: impl FnMut(Running<'_>)) {
        use std::sync::atomic::Ordering::Acquire;
        let geometry = self.region.geometry();
        for index in 0..geometry.shards * geometry.slots_per_shard {
            let state = self.region.slot(index).state.load(Acquire);
            if !matches!(slot::stage(state), slot::RUNNING | slot::LATE) {
                continue;
            }
            let call = Call::new(self, index, 0, 0);
            let (entry, head) = (self.region.slot(index), call.head());
            let worker = entry.worker.load(Acquire) as usize;
            let core = entry.core.load(Acquire) as usize;
            if let Some(worker) = worker.checked_sub(1) {
                show(Running { worker, core, method: head.method(), target: head.target() });
            }
        }
    }

    /// Sets the slot's news bit and wakes nobody.
    fn note(&self, slot: usize) {
        let control = self.region.control(self.shard_of(slot));
        let local = slot % self.region.geometry().slots_per_shard;
        control.news.0[local / 64].fetch_or(1 << (local % 64), SeqCst);
    }

    /// Tells the slot's shard that there is news, and wakes it if it sleeps.
    fn notify(&self, slot: usize) {
        self.note(slot);
        self.wake(self.shard_of(slot));
    }

    /// Wakes the shard if it sleeps.
    fn wake(&self, shard: usize) {
        let control = self.region.control(shard);
        fault::point("news set, not told");
        if control.asleep.0.load(SeqCst) == 1 && control.asleep.0.swap(0, SeqCst) == 1 {
            fault::point("flag cleared, not rung");
            self.ring(shard);
        }
    }

    /// Asks the threads of one worker incarnation to leave when they are done with what they run.
    pub fn stop_worker(&self, worker: usize, incarnation: u32) {
        self.stop_place(self.region.place(worker, incarnation));
    }

    /// Asks all workers to leave.
    pub fn stop_all(&self) {
        (0..self.region.places()).for_each(|place| self.stop_place(place));
    }

    fn stop_place(&self, place: usize) {
        self.region.seats(place).stop.0.store(1, SeqCst);
        for _ in 0..self.region.geometry().threads {
            seat::wake_one(self.region, place);
        }
    }

    /// Makes a worker's place ready for an incarnation that begins; whoever sat there is dead.
    pub fn reset_worker(&self, worker: usize, incarnation: u32) {
        let place = self.region.place(worker, incarnation);
        for thread in 0..self.region.geometry().threads {
            self.region.chair(place, thread).current.store(0, SeqCst);
        }
        let seats = self.region.seats(place);
        seats.sleepers.0.store(0, SeqCst);
        seats.seated.0.store(0, SeqCst);
        seats.waking.0.store(0, SeqCst);
        seats.stop.0.store(0, SeqCst);
        seats.sends.0.store(0, SeqCst);
    }
}
