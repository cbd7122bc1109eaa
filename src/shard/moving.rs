//! Connections that move to the shard on whose core their packets arrive.
//!
//! A listener's group hashes a connection to any shard. Where its client, or the network card's
//! queue, is served by the core of another, each answer crosses to it: a client there is woken by
//! an interrupt from core to core, which costs both more than the send (docs/scaling.md).
//!
//! Only between shards that are pinned to a core each, and only as far as none gets many more
//! connections than the one that gives.

use std::os::fd::{OwnedFd, RawFd};
use std::rc::Rc;

use super::Shard;
use super::connection::{Begun, Connection};
use super::stream::Received;
use crate::shared::{Inbox, shard as place, worker};
use crate::sys;

/// Requests of a connection after which it is looked where its packets arrive, and then each time.
const LOOK_FIRST: u16 = 8;
const LOOK_EVERY: u16 = 32;
/// The same at most: after each move it is twice as many, for a client may send from all cores.
const LOOK_EVERY_MAX: u16 = 4096;
/// The share of its own that another shard may have more, so that two can exchange connections.
const MORE: u64 = 16;
/// An app that takes so long is slowed down more by a shard that has more than the others.
const LONG_APP_US: u64 = 250;
/// With fewer of its own it only evens out: their requests can run beside others'.
const FEW: u64 = 4;

/// A connection on its way from one shard to another, between two requests.
pub struct Moved {
    fd: OwnedFd,
    listener: u32,
    begun: Begun,
}

/// When it is looked where a connection's packets arrive.
pub(super) struct Looks {
    /// Requests until then.
    left: u16,
    every: u16,
}

impl Default for Looks {
    fn default() -> Self {
        Looks { left: LOOK_FIRST, every: LOOK_EVERY }
    }
}

impl Looks {
    /// Counts a request; whether it is time.
    fn is_due(&mut self) -> bool {
        self.left -= 1;
        let is_due = self.left == 0;
        if is_due {
            self.left = self.every;
        }
        is_due
    }

    /// Those of the same connection in another shard.
    fn after_a_move(&self) -> Looks {
        let every = (self.every * 2).min(LOOK_EVERY_MAX);
        Looks { left: self.every, every }
    }
}

impl Shard {
    /// Says on which core this shard is, if connections may come here. Called each half second.
    pub(super) fn tell_core(&self) {
        let is_ready = |&worker: &usize| self.board.worker(worker).get(worker::READY) != 0;
        let core = match self.inboxes.len() {
            0 | 1 => None,
            _ if self.draining.get() || !self.workers.iter().any(is_ready) => None,
            _ => sys::scheduling::only_core(),
        };
        self.row.set(place::CORE, core.map_or(0, |core| core as u64 + 1));
    }

    /// The shard where a connection's packets arrive, if it is another and has room for it.
    fn nearer(&self, fd: RawFd) -> Option<usize> {
        let own = self.row.get(place::CORE);
        if own == 0 || self.draining.get() {
            return None;
        }
        let core = sys::incoming_core(fd)? as u64 + 1;
        if core == own {
            return None;
        }
        let of = |index: usize, place| self.board.shard(index).get(place);
        let nearer = (0..self.inboxes.len()).find(|&index| of(index, place::CORE) == core)?;
        let open = self.row.get(place::OPEN);
        // As long as it is not known it may be.
        let is_long = self.pace.mean_us().is_none_or(|mean| mean >= LONG_APP_US);
        let more = if is_long || open < FEW { 0 } else { open.div_ceil(MORE) };
        (of(nearer, place::OPEN) < open + more).then_some(nearer)
    }

    /// Begins with the connections that other shards gave.
    pub(super) fn settle(self: &Rc<Shard>) {
        let Some(inbox) = self.inboxes.get(self.index) else { return };
        inbox.take().into_iter().for_each(|moved| self.go_on_with(moved));
    }

    /// Takes no more of them than have come.
    pub(super) fn settle_the_last(self: &Rc<Shard>) {
        self.row.set(place::CORE, 0);
        let Some(inbox) = self.inboxes.get(self.index) else { return };
        inbox.close().into_iter().for_each(|moved| self.go_on_with(moved));
    }

    fn go_on_with(self: &Rc<Shard>, moved: Moved) {
        let Moved { fd, listener, begun } = moved;
        self.begin_again(fd, listener, begun);
    }
}

impl<F: Future<Output = Received>> Connection<F> {
    /// Looks now and then where the packets arrive, and leaves the connection, with what has come
    /// of it, to the shard there; false if it stays. While no read is armed.
    pub(super) fn moves(&mut self) -> bool {
        if !self.looks.is_due() {
            return false;
        }
        let shard = Rc::clone(&self.shard);
        if shard.doors[self.listener as usize].is_unix {
            return false;
        }
        let Some(to) = shard.nearer(self.fd) else { return false };
        // A number of its own: the runtime knows this one.
        let Ok(fd) = sys::duplicate(self.fd) else { return false };
        let bytes = std::mem::take(self.reader.bytes());
        let begun = Begun {
            looks: self.looks.after_a_move(),
            peer: Some(self.peer.clone()),
            ..Begun::new(bytes, self.introduced.clone(), self.was_copied)
        };
        let inbox: &Inbox<Moved> = &shard.inboxes[to];
        if let Err(Moved { begun, .. }) = inbox.put(Moved { fd, listener: self.listener, begun }) {
            // It takes no more.
            *self.reader.bytes() = begun.bytes;
            return false;
        }
        shard.handoff.ring(to);
        shard.row.bump(place::MOVED, 1);
        // It is not to be shut at the close of this number.
        self.was_copied = false;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_come_rarely_where_a_connection_has_moved_often() {
        let mut looks = Looks::default();
        let mut requests = || (1..).find(|_| looks.is_due()).unwrap();
        assert_eq!([requests(), requests(), requests()], [8, 32, 32]);
        let mut looks = looks.after_a_move();
        let mut requests = || (1..).find(|_| looks.is_due()).unwrap();
        assert_eq!([requests(), requests()], [32, 64]);
        (0..20).for_each(|_| looks = looks.after_a_move());
        assert_eq!((looks.left, looks.every), (LOOK_EVERY_MAX, LOOK_EVERY_MAX));
    }
}
