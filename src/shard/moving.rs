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
pub(super) const LOOK_FIRST: u8 = 8;
const LOOK_EVERY: u8 = 32;
/// The share of its own that another shard may have more, so that two can exchange connections.
const MORE: u64 = 16;
/// An app that takes so long is slowed down more by a shard that has more than the others.
const LONG_APP_US: u64 = 250;
/// With fewer of its own it keeps what is left: their requests can run beside others'.
const FEW: u64 = 4;

/// A connection on its way from one shard to another, between two requests.
pub struct Moved {
    fd: OwnedFd,
    listener: u32,
    begun: Begun,
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
        let is_long = self.pace.mean_us().is_some_and(|mean| mean >= LONG_APP_US);
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
        self.until_look -= 1;
        if self.until_look > 0 {
            return false;
        }
        self.until_look = LOOK_EVERY;
        let shard = Rc::clone(&self.shard);
        if shard.doors[self.listener as usize].is_unix {
            return false;
        }
        let Some(to) = shard.nearer(self.fd) else { return false };
        // A number of its own: the runtime knows this one.
        let Ok(fd) = sys::duplicate(self.fd) else { return false };
        let bytes = std::mem::take(self.reader.bytes());
        let begun =
            Begun { bytes, introduced: self.introduced.clone(), was_copied: self.was_copied };
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
