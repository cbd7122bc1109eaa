//! Connections that have been idle for long: all that is left of one is its descriptor, which one
//! epoll watches for all. What its peer sends next makes it a connection again.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::time::Duration;

use monoio::net::{TcpStream, UnixStream};
use slab::Slab;

use super::connection::{self, Begun, Connection, Introduced};
use super::heritage::Given;
use super::listener::{Peer, log_and_end, peer_of};
use super::stream::{Received, Stream};
use super::watch::Watch;
use super::{Shard, timer};
use crate::shared::shard as place;
use crate::sys;

/// Seconds that a connection is idle before its memory is given back, and up to a second more.
const AFTER_S: u64 = 4;
/// So many connections are parked at once: each costs some microseconds, and others wait for them.
const AT_ONCE: usize = 64;
const PAUSE: Duration = Duration::from_millis(1);
/// So many have to be parked before the memory goes back to the system, which costs more.
const TRIM_AFTER: usize = 256;

/// The deadline of one that is on its way to an heir.
const HELD_S: u64 = u64::MAX;

/// All that is left of a connection.
struct Parked {
    fd: OwnedFd,
    /// The number of its listener.
    listener: u32,
    /// A worker process has had a copy of the socket.
    was_copied: bool,
    /// When it ends for lack of a request.
    deadline_s: u64,
    /// None stands for `No`, which needs no room.
    introduced: Option<Box<Introduced>>,
}

impl Parked {
    fn introduced(&self) -> Introduced {
        self.introduced.as_deref().cloned().unwrap_or(Introduced::No)
    }
}

/// The parked connections of a shard.
pub(super) struct Parking {
    epoll: OwnedFd,
    parked: RefCell<Slab<Parked>>,
    /// How many were parked since memory went back.
    untrimmed: Cell<usize>,
    /// A task parks connections.
    is_busy: Cell<bool>,
}

impl Parking {
    /// # Errors
    /// The kernel's (too many files).
    pub(super) fn new() -> io::Result<Parking> {
        Ok(Parking {
            epoll: sys::epoll::new()?,
            parked: RefCell::default(),
            untrimmed: Cell::new(0),
            is_busy: Cell::new(false),
        })
    }

    pub(super) fn len(&self) -> usize {
        self.parked.borrow().len()
    }

    fn put(&self, parked: Parked) -> io::Result<()> {
        let mut all = self.parked.borrow_mut();
        let place = all.vacant_entry();
        sys::epoll::add(&self.epoll, &parked.fd, place.key() as u64)?;
        place.insert(parked);
        self.untrimmed.set(self.untrimmed.get() + 1);
        Ok(())
    }

    fn take(&self, key: usize) -> Option<Parked> {
        let parked = self.parked.borrow_mut().try_remove(key)?;
        sys::epoll::remove(&self.epoll, &parked.fd);
        Some(parked)
    }

    /// Those whose deadline is not after `now_s`.
    fn late(&self, now_s: u64) -> Vec<usize> {
        let parked = self.parked.borrow();
        let late = parked.iter().filter(|(_, parked)| parked.deadline_s <= now_s);
        late.map(|(key, _)| key).collect()
    }

    /// Lets neither its peer nor its deadline end one that is on its way to an heir, and returns
    /// what goes there. It is open until it has gone.
    fn hold(&self, key: usize) -> Option<(RawFd, u32, Introduced)> {
        let mut all = self.parked.borrow_mut();
        let parked = all.get_mut(key).filter(|parked| parked.deadline_s != HELD_S)?;
        sys::epoll::remove(&self.epoll, &parked.fd);
        parked.deadline_s = HELD_S;
        Some((parked.fd.as_raw_fd(), parked.listener, parked.introduced()))
    }
}

/// Makes connections of those whose peer sent something or left.
pub(super) async fn wakes(shard: Rc<Shard>) {
    // Only asked whether it is readable: an epoll is no socket.
    let copy = sys::duplicate(shard.parking.epoll.as_raw_fd());
    let Ok(stream) = copy.and_then(|copy| UnixStream::from_std(copy.into())) else {
        return log_and_end(&shard, "no descriptor is left for idle connections");
    };
    let mut keys = Vec::new();
    loop {
        // A failed wait (an interrupted turn) is only a reason to look.
        let _ = stream.readable(false).await;
        sys::epoll::ready(&shard.parking.epoll, &mut keys);
        for key in keys.drain(..) {
            if let Some(parked) = shard.parking.take(key as usize) {
                shard.unpark(parked);
            }
        }
    }
}

impl Shard {
    /// Has connections parked that have been idle for long, and ends the late ones.
    pub(super) fn look_at_idle(self: &Rc<Shard>) {
        let now_s = self.watches.now_s();
        for key in self.parking.late(now_s) {
            self.end(key);
        }
        if !self.long_idle(1).is_empty() && !self.parking.is_busy.replace(true) {
            monoio::spawn(Rc::clone(self).park_long_idle());
        }
    }

    /// Some of those that have been idle for long.
    fn long_idle(&self, most: usize) -> Vec<Rc<Watch>> {
        // A successor takes idle ones as they are.
        let most = if self.draining.get() { 0 } else { most };
        self.watches.idle_since(self.watches.now_s().saturating_sub(AFTER_S), most)
    }

    /// Asks those that have been idle for long to be parked, some at a time.
    async fn park_long_idle(self: Rc<Shard>) {
        loop {
            let some = self.long_idle(AT_ONCE);
            if some.is_empty() {
                break;
            }
            for watch in &some {
                watch.park();
                self.disarm(watch);
            }
            timer::pause(PAUSE).await;
        }
        if self.parking.untrimmed.get() >= TRIM_AFTER {
            self.parking.untrimmed.set(0);
            // What is kept for the next use lies between pages that nobody uses any more.
            self.requests.borrow_mut().clear();
            self.buffers.borrow_mut().clear();
            sys::trim_memory();
        }
        self.parking.is_busy.set(false);
    }

    /// Closes all that are parked: they are between two requests.
    pub(super) fn end_parked(&self) {
        for key in self.parking.late(u64::MAX) {
            self.end(key);
        }
    }

    /// Gives all that are parked to the heir.
    pub(super) async fn give_parked(self: Rc<Shard>) {
        for key in self.parking.late(u64::MAX) {
            let Some((fd, listener, introduced)) = self.parking.hold(key) else { continue };
            match self.hand_over(fd, listener, &introduced, &[]).await {
                Given::Away => self.end(key),
                // It died.
                Given::Kept | Given::Never => {
                    if let Some(parked) = self.parking.take(key) {
                        self.unpark(parked);
                    }
                }
            }
        }
    }

    /// Closes one, as far as this process has it.
    fn end(&self, key: usize) {
        if self.parking.take(key).is_some() {
            self.count_open(-1);
        }
    }

    fn unpark(self: &Rc<Shard>, parked: Parked) {
        let introduced = parked.introduced();
        let Parked { fd, listener, was_copied, .. } = parked;
        self.count_open(-1);
        let begun = Begun::new(Vec::new(), introduced, was_copied);
        self.begin_again(fd, listener, begun);
    }

    /// Serves a connection that has been served before, here or by a predecessor.
    pub(super) fn begin_again(self: &Rc<Shard>, fd: OwnedFd, listener: u32, mut begun: Begun) {
        let known = begun.peer.take();
        let door = &self.doors[listener as usize];
        let stream = if door.is_unix {
            let stream = std::os::unix::net::UnixStream::from(fd);
            let set = stream.set_nonblocking(self.nonblocking);
            let stream = set.and_then(|()| UnixStream::from_std(stream));
            stream.map(|stream| (Stream::Unix(stream), Peer::default()))
        } else {
            let stream = std::net::TcpStream::from(fd);
            let set = stream.set_nonblocking(self.nonblocking);
            let ask = || stream.peer_addr().map(peer_of);
            let peer = set.and_then(|()| known.map_or_else(ask, Ok));
            TcpStream::from_std(stream).and_then(|stream| Ok((Stream::Tcp(stream), peer?)))
        };
        // A client that left meanwhile has no address any more.
        let Ok((stream, mut peer)) = stream else { return };
        if let Introduced::By(client) = &begun.introduced {
            peer = Peer { addr: client.addr.clone(), port: client.port.clone() };
        }
        let watched = self.watches.add(stream.fd(), self.nonblocking);
        let (shard, protocol) = (Rc::clone(self), door.protocol);
        monoio::spawn(connection::run(shard, stream, peer, protocol, listener, begun, watched));
    }

    /// Counts open connections; parked ones are.
    pub(super) fn count_open(&self, change: i64) {
        let open = self.row.get(place::OPEN).saturating_add_signed(change);
        self.row.set(place::OPEN, open);
    }

    /// Whether no connection is open.
    pub(super) fn is_empty(&self) -> bool {
        self.watches.len() + self.parking.len() == 0
    }
}

impl<F: Future<Output = Received>> Connection<F> {
    /// Leaves the descriptor to the shard; false if it cannot, and the connection goes on. While no
    /// read is armed and nothing has come.
    pub(super) fn park(&mut self, deadline_s: u64) -> bool {
        // A number of its own: the runtime knows this one.
        let Ok(fd) = sys::duplicate(self.fd) else { return false };
        let introduced = match &self.introduced {
            Introduced::No => None,
            known => Some(Box::new(known.clone())),
        };
        let (listener, was_copied) = (self.listener, self.was_copied);
        let parked = Parked { fd, listener, was_copied, deadline_s, introduced };
        if self.shard.parking.put(parked).is_err() {
            return false;
        }
        self.shard.count_open(1);
        // It is not to be shut at the close of this number.
        self.was_copied = false;
        true
    }
}
