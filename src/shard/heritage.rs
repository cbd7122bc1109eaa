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

use super::connection::{Begun, Connection, Introduced};
use super::listener::Protocol;
use super::signal::Signal;
use super::stream::Received;
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
    /// There is no heir.
    Kept,
    /// More has come of it than can travel.
    Never,
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
        monoio::spawn(Rc::clone(self).give_parked());
    }

    /// Goes on with a connection that a predecessor gave.
    pub(super) fn adopt(self: &Rc<Self>, legacy: Legacy) {
        let Legacy { fd, listener, told, bytes } = legacy;
        let Some(index) = self.doors.iter().position(|door| door.name == listener) else {
            // Its address is not served any more: the connection ends with it.
            return;
        };
        self.row.bump(place::ACCEPTED, 1);
        // What the predecessor knew counts, whatever is configured now.
        let introduced = match told {
            Told::No => Introduced::No,
            Told::InFront | Told::Awaited => Introduced::Awaited,
        };
        let begun = Begun::new(bytes, introduced, false);
        self.begin_again(fd, index as u32, begun);
    }

    /// Gives a connection of `listener` to the heir, if there is one, with what has come of it.
    pub(super) async fn hand_over(
        &self,
        fd: RawFd,
        listener: u32,
        introduced: &Introduced,
        bytes: &[u8],
    ) -> Given {
        while let Some(heir) = self.heir.get() {
            let name = &self.doors[listener as usize].name;
            // The successor hears what the balancer said.
            let (told, with_introduction) = match introduced {
                Introduced::By(client) => {
                    let mut all = proxy::encode(client).into_bytes();
                    all.extend_from_slice(bytes);
                    (Told::InFront, Some(all))
                }
                Introduced::Awaited => (Told::Awaited, None),
                // Nobody may say it later.
                Introduced::No => (Told::No, None),
            };
            let bytes = with_introduction.as_deref().unwrap_or(bytes);
            if bytes.len() > LEGACY_BYTES_MAX {
                return Given::Never;
            }
            match Legacy::give(heir, fd, name, told, bytes) {
                Ok(()) => return Given::Away,
                // As many are on their way as the kernel allows.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    timer::pause(Duration::from_millis(2)).await;
                }
                // The heir died: what is here is served here, until the master names another.
                Err(_) => self.heir.set(None),
            }
        }
        Given::Kept
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
        let given = shard.hand_over(self.fd, self.listener, &self.introduced, self.reader.bytes());
        let given = given.await;
        self.stays |= given == Given::Never;
        given
    }
}
