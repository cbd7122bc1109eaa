//! A worker's own send: with a lone request the shard offers the connection's descriptor, and a
//! worker that answers while nothing else waits sends by itself, which saves the shard a turn.
//!
//! The word is `descriptor 32 | stage 8`. Whoever moves it out of OFFERED owns the connection's
//! sending side, and the shard does not send while a worker has it.
//!
//! A worker that is a thread uses the shard's descriptor, so the shard waits with its close. A
//! worker process fetches a copy (pidfd_getfd(2), where the kernel lets it), before it takes the
//! offer: an offer that still stands then says that the number meant this connection all the time.
//! The copy is its own, so the shard closes without waiting for a process that may be stopped.

use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, SeqCst};

use super::call::{Call, flag};
use super::region::Direct;
use super::ticket::Ticket;
use super::{Handoff, fault, window};
use crate::sys::{self, Sharing};

/// From this mean time of a request on, in microseconds, answers come one by one: the shard would
/// be woken for each, which costs more than its send saves in a batch.
pub const SLOW_APP_US: u64 = 25;

const NONE: u64 = 0;
const OFFERED: u64 = 1;
const TAKEN: u64 = 2;
/// Taken, and the shard wants to hear of the end.
const WATCHED: u64 = 3;
const SENT: u64 = 4;
const BROKEN: u64 = 5;
/// The worker has sent a part, and the shard sends what follows.
const PART: u64 = 6;

const STAGE: u64 = 0xff;

/// What became of an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnSend {
    /// Nobody but the shard sends.
    None,
    /// A worker sends at this moment.
    Running,
    /// A worker answered; what the socket did not take waits in the output window.
    Sent(OwnSent),
    /// A worker has begun the response; the rest comes by the output window or as a large body.
    Part(OwnSent),
    /// The connection broke.
    Broken,
}

/// What a worker sent by itself, in bytes, and when it was done (microseconds since the epoch).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OwnSent {
    pub head_bytes: u32,
    /// Of head and body; of a whole response with what waits in the output window.
    pub bytes: u32,
    pub ended_us: u64,
}

/// Whether the app is done with a request whose response is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum App {
    Ended,
    /// Its iterable has to be ended and closed yet.
    Runs,
}

/// A connection that a worker may send on.
#[derive(Debug)]
pub enum Lent {
    /// The shard's own, which keeps it open until `Call::end_send`.
    Borrowed(RawFd),
    /// Of a worker process.
    Copy(OwnedFd),
}

impl Lent {
    pub fn fd(&self) -> RawFd {
        match self {
            Lent::Borrowed(fd) => *fd,
            Lent::Copy(fd) => fd.as_raw_fd(),
        }
    }
}

impl Handoff {
    /// In a worker process: tries whether it may fetch the server's descriptors, and says so to the
    /// shards. Without it (seccomp in a container, another user) the shards send all answers.
    pub fn enable_own_sends(&self, worker: usize, incarnation: u32) {
        let Ok(home) = sys::pidfd_open(self.home_pid) else { return };
        // Any descriptor of the server's that is surely there.
        if sys::fetch_descriptor(home.as_fd(), self.control_bell()).is_err() {
            return;
        }
        if self.home.set(home).is_ok() {
            let place = self.region.place(worker, incarnation);
            self.region.seats(place).sends.0.store(1, SeqCst);
        }
    }
}

impl Ticket {
    /// Offers a connection, before the request is submitted. False if it cannot be.
    pub fn offer(&self, fd: RawFd) -> bool {
        let direct = self.region().direct(self.slot());
        let Ok(fd) = u32::try_from(fd) else { return false };
        direct.word.store(u64::from(fd) << 32 | OFFERED, Relaxed);
        true
    }

    /// What a worker did with the offer. One that nobody has taken counts as none.
    pub fn own_send(&self) -> OwnSend {
        let direct = self.region().direct(self.slot());
        match direct.word.load(Acquire) & STAGE {
            TAKEN | WATCHED => OwnSend::Running,
            stage @ (SENT | PART) => {
                let lens = direct.lens.load(Relaxed);
                let own = OwnSent {
                    head_bytes: (lens >> 32) as u32,
                    bytes: lens as u32,
                    ended_us: direct.ended_us.load(Relaxed),
                };
                if stage == SENT { OwnSend::Sent(own) } else { OwnSend::Part(own) }
            }
            BROKEN => OwnSend::Broken,
            _ => OwnSend::None,
        }
    }

    /// Takes the offer back. False if a worker has taken it.
    pub fn revoke(&self) -> bool {
        let direct = self.region().direct(self.slot());
        let word = direct.word.load(Relaxed);
        word & STAGE == NONE
            || (word & STAGE == OFFERED
                && direct.word.compare_exchange(word, NONE, AcqRel, Acquire).is_ok())
    }

    /// Asks for news of the end of a send that a worker has begun. False if it is over.
    pub fn watch_send(&self) -> bool {
        let direct = self.region().direct(self.slot());
        let word = direct.word.load(Relaxed);
        match word & STAGE {
            WATCHED => true,
            TAKEN => {
                let watched = word & !STAGE | WATCHED;
                direct.word.compare_exchange(word, watched, AcqRel, Acquire).is_ok()
            }
            _ => false,
        }
    }

    /// Takes the offer back, or waits for the one send(2) of a thread that does not block. After it
    /// the descriptor may be closed. False if a worker process is not done yet with its copy: then
    /// the slot must wait.
    pub fn end_offer(&self) -> bool {
        let mut patience = 3;
        while !self.revoke() && self.own_send() == OwnSend::Running {
            if self.region().sharing() == Sharing::Processes {
                if patience == 0 {
                    return false;
                }
                patience -= 1;
            }
            sys::yield_now();
        }
        true
    }

    /// The worker is dead that may have been sending.
    pub(super) fn end_dead_send(&self) {
        let word = &self.region().direct(self.slot()).word;
        if matches!(word.load(Acquire) & STAGE, TAKEN | WATCHED) {
            word.store(BROKEN, SeqCst);
        }
    }
}

impl Call {
    /// Whether the connection was offered and nothing else wants this worker or the shard now.
    /// With `anyway`, though other requests wait: each takes so long that to wake the shard for its
    /// answer alone would cost more.
    pub fn may_send(&self, anyway: bool) -> bool {
        let direct = self.region().direct(self.slot());
        let control = self.region().control(self.shard());
        direct.word.load(Acquire) & STAGE == OFFERED
            && (anyway || control.head.0.load(Acquire) == control.tail.0.load(Acquire))
            && control.asleep.0.load(Relaxed) == 1
    }

    /// Whether the shard lets whole answers wait for each other now, and sends them together.
    pub fn is_held(&self) -> bool {
        self.handoff().holds_answers(self.shard())
    }

    /// Takes the offered connection for a response of which nothing has gone out. Until `end_send`
    /// or `end_part` the descriptor stays what it is.
    pub fn take_send(&self) -> Option<Lent> {
        let direct = self.region().direct(self.slot());
        let word = direct.word.load(Acquire);
        let entry = self.entry();
        let is_whole = entry.output.consumed.load(Relaxed) == 0
            && entry.out_flags.load(Relaxed) & (flag::CUT | flag::FILE | flag::RAISED | flag::LEFT)
                == 0
            && self.region().large_is_free(self.slot());
        if word & STAGE != OFFERED || !is_whole {
            return None;
        }
        let fd = (word >> 32) as RawFd;
        // Before the offer is taken: see the head of this file.
        let lent = match (self.region().sharing(), self.handoff().home.get()) {
            (Sharing::Threads, _) => Lent::Borrowed(fd),
            (Sharing::Processes, Some(home)) => {
                Lent::Copy(sys::fetch_descriptor(home.as_fd(), fd).ok()?)
            }
            // The number means something else here: another worker may take offers, not this one.
            (Sharing::Processes, None) => return None,
        };
        fault::point("own send, fetched");
        let taken = word & !STAGE | TAKEN;
        direct.word.compare_exchange(word, taken, AcqRel, Acquire).ok()?;
        fault::point("own send, taken");
        Some(lent)
    }

    /// Moves up to `max` bytes of the output out of its window, behind `out`.
    pub fn take_back_output(&self, max: usize, out: &mut Vec<u8>) {
        let (first, second) = self.output_parts(max);
        out.extend_from_slice(first);
        out.extend_from_slice(second);
        window::consume(&self.entry().output, first.len() + second.len());
    }

    /// Ends the own send, and with it the request if the app has ended. `left` is what the socket
    /// did not take: the shard sends it. None: the connection broke.
    pub fn end_send(&self, sent: OwnSent, left: Option<&[u8]>, app: App) {
        let direct = self.region().direct(self.slot());
        if let Some(left) = left {
            // It came out of this window, so it fits.
            self.write(left);
        }
        direct.say(sent);
        if app == App::Ended {
            self.set_done();
        } else {
            self.set_flags(flag::WHOLE);
        }
        fault::point("own send, sent");
        let end = if left.is_some() { SENT } else { BROKEN };
        let before = direct.word.swap(end, SeqCst);
        // The shard looks at the word whenever the peer is heard of. It must hear from us if it
        // waits for this end, or has bytes left to send.
        if before & STAGE == WATCHED || left.is_none_or(|left| !left.is_empty()) {
            self.publish();
        }
    }

    /// Gives the connection back in the midst of a response. `head_left` is what the socket did not
    /// take of the head, and what is written from here on follows it.
    pub fn end_part(&self, sent: OwnSent, head_left: &[u8]) {
        let direct = self.region().direct(self.slot());
        self.write(head_left);
        direct.say(sent);
        fault::point("own send, part");
        direct.word.swap(PART, SeqCst);
        self.publish();
    }
}

impl Direct {
    fn say(&self, sent: OwnSent) {
        self.lens.store(u64::from(sent.head_bytes) << 32 | u64::from(sent.bytes), Relaxed);
        self.ended_us.store(sent.ended_us, Relaxed);
    }
}
