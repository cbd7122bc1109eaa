//! Deadlines of connections: one sweep a second over all of them, which acts by shutdown(2).
//!
//! A timer for each read would cost an operation each, and a timeout around a read can lose bytes
//! that the kernel has already taken; after a shutdown the pending operation completes by itself.

use std::cell::{Cell, RefCell};
use std::os::fd::RawFd;
use std::rc::Rc;
use std::task::{Poll, Waker};

use slab::Slab;

use super::signal::Signal;
use crate::sys::{self, Half};

/// One connection's deadline.
pub struct Watch {
    fd: RawFd,
    /// By when more must have been received, and by when more must have been taken.
    read_s: Cell<u64>,
    write_s: Cell<u64>,
    expired: Cell<bool>,
    /// Since when it is between two requests, and may be closed at any time; 0 while it is not.
    idle_since_s: Cell<u64>,
    /// How many of the shard's are not.
    active: Rc<Cell<usize>>,
    /// It has been idle for so long that it is to be parked.
    parks: Cell<bool>,
    /// Ends the armed read, where that loses nothing: epoll takes no byte before it is asked.
    stop: Option<Signal>,
    /// Who wants to know that its request is a slow one, and for how many sweeps it has to be.
    slow: RefCell<Option<Waker>>,
    sweeps_left: Cell<u8>,
}

impl Watch {
    /// Whether the deadline passed.
    pub fn has_expired(&self) -> bool {
        self.expired.get()
    }

    /// Sets the time by which the peer must have sent something; the read ends otherwise.
    pub fn set_read(&self, deadline_s: u64) {
        self.read_s.set(deadline_s);
    }

    /// Nothing is waited for from the peer.
    pub fn clear_read(&self) {
        self.read_s.set(u64::MAX);
    }

    /// Sets the time by which the peer must have taken something; the connection ends otherwise.
    pub fn set_write(&self, deadline_s: u64) {
        self.write_s.set(deadline_s);
    }

    pub fn clear_write(&self) {
        self.write_s.set(u64::MAX);
    }

    /// Waits until the request has taken about half a second.
    pub async fn slow(&self) {
        self.sweeps_left.set(2);
        std::future::poll_fn(|cx| {
            if self.sweeps_left.get() == 0 {
                return Poll::Ready(());
            }
            *self.slow.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn age(&self) {
        let left = self.sweeps_left.get().saturating_sub(1);
        self.sweeps_left.set(left);
        if left == 0
            && let Some(waker) = self.slow.borrow_mut().take()
        {
            waker.wake();
        }
    }

    /// What ends the armed read, if it may be dropped.
    pub fn stop(&self) -> Option<&Signal> {
        self.stop.as_ref()
    }

    pub fn fd(&self) -> RawFd {
        self.fd
    }

    /// Nothing is under way from `now_s` on.
    pub fn begin_idle(&self, now_s: u64) {
        if self.idle_since_s.replace(now_s.max(1)) == 0 {
            self.active.set(self.active.get() - 1);
        }
    }

    pub fn end_idle(&self) {
        if self.idle_since_s.replace(0) != 0 {
            self.active.set(self.active.get() + 1);
        }
    }

    fn is_idle(&self) -> bool {
        self.idle_since_s.get() != 0
    }

    /// Asks the connection to be parked; its read is to end then.
    pub fn park(&self) {
        self.parks.set(true);
    }

    /// Whether it was asked to, and until when it would be idle.
    pub fn take_park(&self) -> Option<u64> {
        self.parks.take().then(|| self.read_s.get())
    }
}

/// All connections of a shard.
#[derive(Default)]
pub struct Watches {
    watches: RefCell<Slab<Rc<Watch>>>,
    active: Rc<Cell<usize>>,
    now_s: Cell<u64>,
}

impl Watches {
    /// Seconds on the shard's clock, as of the last sweep.
    pub fn now_s(&self) -> u64 {
        self.now_s.get()
    }

    /// Begins to watch a socket. The key ends it. Reads of it may be dropped where `drops`.
    pub fn add(&self, fd: RawFd, drops: bool) -> (usize, Rc<Watch>) {
        let watch = Rc::new(Watch {
            fd,
            read_s: Cell::new(u64::MAX),
            write_s: Cell::new(u64::MAX),
            expired: Cell::new(false),
            idle_since_s: Cell::new(0),
            active: Rc::clone(&self.active),
            parks: Cell::new(false),
            stop: drops.then(Signal::default),
            slow: RefCell::new(None),
            sweeps_left: Cell::new(0),
        });
        self.active.set(self.active.get() + 1);
        let key = self.watches.borrow_mut().insert(Rc::clone(&watch));
        (key, watch)
    }

    /// Ends watching; before the socket is closed, whose number may then be another's.
    pub fn remove(&self, key: usize) {
        let watch = self.watches.borrow_mut().remove(key);
        if !watch.is_idle() {
            self.active.set(self.active.get() - 1);
        }
    }

    pub fn len(&self) -> usize {
        self.watches.borrow().len()
    }

    /// Acts on all deadlines up to `now_s`.
    pub fn sweep(&self, now_s: u64) {
        self.now_s.set(now_s);
        for (_, watch) in self.watches.borrow().iter() {
            watch.age();
            let half = if watch.write_s.get() <= now_s {
                Half::Both
            } else if watch.read_s.get() <= now_s {
                Half::Read
            } else {
                continue;
            };
            watch.expired.set(true);
            watch.clear_read();
            watch.clear_write();
            sys::shut(watch.fd, half);
        }
    }

    /// The connections that are between two requests.
    pub fn idle(&self) -> Vec<Rc<Watch>> {
        let watches = self.watches.borrow();
        let all = watches.iter().map(|(_, watch)| watch);
        all.filter(|watch| watch.is_idle()).map(Rc::clone).collect()
    }

    /// At most so many of those that have been idle since `since_s` or longer, and were not asked
    /// to be parked yet.
    pub fn idle_since(&self, since_s: u64, most: usize) -> Vec<Rc<Watch>> {
        let is_long = |watch: &&Rc<Watch>| {
            watch.is_idle() && !watch.parks.get() && watch.idle_since_s.get() <= since_s
        };
        let watches = self.watches.borrow();
        let all = watches.iter().map(|(_, watch)| watch);
        all.filter(is_long).take(most).map(Rc::clone).collect()
    }

    /// How many connections have a request.
    pub fn active(&self) -> usize {
        self.active.get()
    }

    /// Ends the connections that are between two requests.
    pub fn end_idle(&self) {
        for (_, watch) in self.watches.borrow().iter() {
            if watch.is_idle() {
                sys::shut(watch.fd, Half::Read);
            }
        }
    }
}
