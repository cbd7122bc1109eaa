//! Connections that outlive the server process: an old one gives each to its successor between two
//! requests, with what the client has sent already.
//!
//! The armed read stands in the way: it would take the bytes that the successor waits for. Under
//! epoll it can be dropped, and newer rings cancel it from outside: connections move at once. With
//! others they move with their next bytes.
//!
//! So do those whose requests wait for a worker: the old process may have none that comes back.

use std::cell::Cell;
use std::io;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::time::Duration;

use monoio::net::{TcpStream, UnixStream};

use super::connection::{self, Begun, Connection, Introduced};
use super::listener::{self, Protocol};
use super::signal::Signal;
use super::stream::{Received, Stream};
use super::watch::Watch;
use super::{Shard, timer};
use crate::handoff::Ticket;
use crate::proto::proxy;
use crate::request::{Body, Request};
use crate::shared::link::{LEGACY_BYTES_MAX, Legacy, Told};
use crate::shared::shard as place;
use crate::sys;

/// What a shard serves at an address, by the listener's number.
#[derive(Debug, Clone)]
pub struct Door {
    /// The bound address.
    pub name: String,
    pub protocol: Protocol,
    pub is_unix: bool,
}

/// What became of giving a connection away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Given {
    Away,
    /// There is no heir, or not for this connection.
    Kept,
}

/// What a request needs to be taken back, to go to a successor with its connection.
#[derive(Default)]
pub(super) struct TakeBack {
    /// Its bytes are all here as they came.
    pub(super) may: bool,
    /// The read that stands in the way.
    pub(super) read_is_armed: Cell<bool>,
}

/// Room for what a balancer said, in front of the bytes.
const INTRODUCTION_BYTES: usize = 256;

impl Shard {
    /// Takes back a request that no worker has begun, if a successor is there for it. The read ends
    /// first, in a later turn.
    pub(super) fn takes_back(&self, ticket: &Ticket, how: &TakeBack, watch: &Watch) -> bool {
        if !how.may || !self.has_heir() {
            return false;
        }
        if how.read_is_armed.get() {
            self.disarm(watch);
            return false;
        }
        ticket.withdraw()
    }

    /// Whether a successor takes over what this shard has.
    pub(super) fn has_heir(&self) -> bool {
        self.heir.get().is_some()
    }

    /// Ends the armed read of a connection that is between two requests, where that can be done.
    pub(super) fn disarm(&self, watch: &Watch) {
        if let Some(ring) = self.ring.get() {
            let _ = sys::uring::cancel_on(ring, watch.fd());
        } else if let Some(stop) = watch.stop() {
            stop.raise();
        }
    }

    /// Begins to give all connections to `heir`.
    pub(super) fn retire(self: &Rc<Self>, heir: RawFd) {
        self.heir.set(Some(heir));
        self.draining.set(true);
        for watch in self.watches.idle() {
            self.disarm(&watch);
        }
        // Those that wait for a worker look whether they may go too.
        self.news.iter().for_each(Signal::raise);
    }

    /// Goes on with a connection that a predecessor gave.
    pub(super) fn adopt(self: &Rc<Self>, legacy: Legacy) {
        let Legacy { fd, listener, told, bytes } = legacy;
        let Some(index) = self.doors.iter().position(|door| door.name == listener) else {
            // Its address is not served any more: the connection ends with it.
            return;
        };
        let Door { protocol, is_unix, .. } = self.doors[index];
        let stream = if is_unix {
            let stream = std::os::unix::net::UnixStream::from(fd);
            let set = stream.set_nonblocking(self.nonblocking);
            let stream = set.and_then(|()| UnixStream::from_std(stream));
            stream.map(|s| (Stream::Unix(s), listener::Peer::default()))
        } else {
            let stream = std::net::TcpStream::from(fd);
            let set = stream.set_nonblocking(self.nonblocking);
            let peer = set.and_then(|()| stream.peer_addr()).map(listener::peer_of);
            TcpStream::from_std(stream).and_then(|s| Ok((Stream::Tcp(s), peer?)))
        };
        // A client that left meanwhile has no address any more.
        let Ok((stream, peer)) = stream else { return };
        if self.close_on_exec {
            sys::close_on_exec(stream.fd());
        }
        self.row.bump(place::ACCEPTED, 1);
        let watched = self.watches.add(stream.fd(), self.nonblocking);
        let shard = Rc::clone(self);
        let index = index as u32;
        // What the predecessor knew counts, whatever is configured now.
        let introduced = match told {
            Told::No => Introduced::No,
            Told::InFront | Told::Awaited => Introduced::Awaited,
        };
        let begun = Begun { bytes, introduced };
        monoio::spawn(connection::run(shard, stream, peer, protocol, index, begun, watched));
    }
}

impl<F: Future<Output = Received>> Connection<F> {
    /// Whether this request could go to a successor after its dispatch.
    pub(super) fn take_back(&self, request: &Request, body: &[u8], is_whole: bool) -> TakeBack {
        let len = request.head_len + body.len() + INTRODUCTION_BYTES;
        let may = is_whole
            && !self.stays
            // Chunks are decoded: nobody knows any more where they began.
            && !matches!(request.body, Body::Chunked)
            && len <= LEGACY_BYTES_MAX
            && (self.shard.ring.get().is_some() || self.watch.stop().is_some());
        TakeBack { may, ..TakeBack::default() }
    }

    /// Puts a request that was taken back in front of what else was received.
    pub(super) fn put_back(&mut self, request: &Request, ticket: &Ticket) {
        let mut bytes = Vec::new();
        ticket.copy_head(request.head_len, &mut bytes);
        ticket.copy_body(&mut bytes);
        bytes.append(self.reader.bytes());
        *self.reader.bytes() = bytes;
    }

    /// Gives the connection to the heir, if there is one. Only between two requests, and while no
    /// read is armed.
    pub(super) async fn give_away(&mut self) -> Given {
        let shard = Rc::clone(&self.shard);
        while let Some(heir) = shard.heir.get() {
            let name = &shard.doors[self.listener as usize].name;
            // The successor hears what the balancer said.
            let (told, introduced) = match &self.introduced {
                Introduced::By(client) => {
                    let mut bytes = proxy::encode(client).into_bytes();
                    bytes.extend_from_slice(self.reader.bytes());
                    (Told::InFront, Some(bytes))
                }
                Introduced::Awaited => (Told::Awaited, None),
                // Nobody may say it later.
                Introduced::No => (Told::No, None),
            };
            let bytes = introduced.as_ref().unwrap_or(self.reader.bytes());
            if bytes.len() > LEGACY_BYTES_MAX {
                self.stays = true;
                return Given::Kept;
            }
            match Legacy::give(heir, self.fd, name, told, bytes) {
                Ok(()) => return Given::Away,
                // As many are on their way as the kernel allows.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    timer::pause(Duration::from_millis(2)).await;
                }
                // The heir died: what is here is served here, until the master names another.
                Err(_) => shard.heir.set(None),
            }
        }
        Given::Kept
    }
}
