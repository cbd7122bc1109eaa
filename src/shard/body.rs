//! A request's body on its way from the socket to the worker.

use std::cell::Cell;
use std::future::Future;
use std::os::fd::RawFd;

use super::Shard;
use super::exchange::News;
use super::heritage::TakeBack;
use super::reader::Reader;
use super::stream::{Received, WriteHalf};
use super::watch::Watch;
use crate::handoff::{BodyEnd, Ticket, WINDOW_BYTES};
use crate::proto::chunked::Decoder;
use crate::proto::{Limits, Reject};
use crate::request::{Body, Request};
use crate::sys;

/// A client that sends a body more slowly than this is cut off.
const RATE_BYTES_PER_S: u64 = 512;

/// What is left of a body.
pub(super) enum Rest {
    Length(u64),
    Chunked(Box<Decoder>),
    Done,
}

impl Rest {
    pub(super) fn of(request: &Request) -> Rest {
        match request.body {
            Body::None => Rest::Done,
            Body::Length(len) => Rest::Length(len),
            Body::Chunked => Rest::Chunked(Box::default()),
        }
    }

    pub(super) fn is_done(&self) -> bool {
        matches!(self, Rest::Done | Rest::Length(0))
    }

    /// Bytes that may still come: what draining would have to read.
    pub(super) fn left(&self) -> u64 {
        match self {
            Rest::Length(left) => *left,
            Rest::Chunked(_) => u64::MAX,
            Rest::Done => 0,
        }
    }

    /// The length of a body that is framed by it, and so needs no decoding.
    fn length(&self) -> u64 {
        if let Rest::Length(left) = self { *left } else { 0 }
    }

    /// Counts bytes of such a body that went another way.
    fn took(&mut self, bytes: usize) {
        if let Rest::Length(left) = self {
            *left -= bytes as u64;
        }
    }

    /// Decodes up to `max` raw bytes at the front of `bytes` in place: `produced` body bytes then
    /// stand there, and `consumed` raw bytes are used up.
    fn decode(&mut self, bytes: &mut [u8], max: usize, limits: &Limits) -> Result<Decoded, Reject> {
        let room = bytes.len().min(max);
        match self {
            Rest::Done => Ok(Decoded::default()),
            Rest::Length(left) => {
                let len = room.min(usize::try_from(*left).unwrap_or(room));
                *left -= len as u64;
                Ok(Decoded { consumed: len, produced: len })
            }
            Rest::Chunked(decoder) => {
                let step = decoder.decode(&mut bytes[..room], limits)?;
                if step.done {
                    *self = Rest::Done;
                }
                Ok(Decoded { consumed: step.consumed, produced: step.produced })
            }
        }
    }
}

/// What `Rest::decode` did, in bytes.
#[derive(Default)]
struct Decoded {
    consumed: usize,
    produced: usize,
}

/// Sets deadlines that a client of at least the minimum rate meets.
pub(super) struct Pace {
    window_s: u64,
    bytes: u64,
}

impl Pace {
    pub(super) fn start(shard: &Shard, watch: &Watch) -> Pace {
        let window_s = shard.timeouts.body_s.max(1);
        watch.set_read(shard.watches.now_s() + window_s);
        Pace { window_s, bytes: 0 }
    }

    /// Counts received bytes; enough of them earn a new deadline.
    fn received(&mut self, shard: &Shard, watch: &Watch, bytes: usize) {
        self.bytes += bytes as u64;
        if self.bytes >= self.window_s * RATE_BYTES_PER_S {
            *self = Pace::start(shard, watch);
        }
    }
}

/// Why a body did not come.
pub(super) enum Lost {
    Refused(Reject),
    /// The client left or closed in the middle.
    Gone,
}

/// What reading a body needs of its connection.
pub(super) struct Receiving<'c, F> {
    pub(super) shard: &'c Shard,
    pub(super) reader: &'c mut Reader<F>,
    pub(super) fd: RawFd,
    pub(super) watch: &'c Watch,
    /// The peer is to be heard while the app runs.
    pub(super) watches: bool,
}

impl<F: Future<Output = Received>> Receiving<'_, F> {
    /// Gathers the body behind the head of `head_len` bytes until it is whole or `max` bytes of it
    /// are in `body`. The raw bytes are taken out of the reader, the head stays.
    pub(super) async fn gather(
        &mut self,
        rest: &mut Rest,
        head_len: usize,
        max: usize,
        body: &mut Vec<u8>,
        mut invite: Option<&mut WriteHalf>,
    ) -> Result<(), Lost> {
        let mut pace = Pace::start(self.shard, self.watch);
        // A read of the exchange before may still be armed.
        std::future::poll_fn(|cx| self.reader.poll(cx)).await;
        loop {
            let bytes = self.reader.bytes();
            let raw = &mut bytes[head_len..];
            let step =
                rest.decode(raw, max - body.len(), &self.shard.limits).map_err(Lost::Refused)?;
            body.extend_from_slice(&raw[..step.produced]);
            bytes.drain(head_len..head_len + step.consumed);
            if rest.is_done() || body.len() >= max {
                self.watch.clear_read();
                return Ok(());
            }
            if bytes.len() > head_len {
                continue; // Framing took of the room: what is here may be all that comes.
            }
            if let Some(writer) = invite.take() {
                // RFC 9110, 10.1.1: the client waits for this before it sends the body.
                let _ = writer.send_bytes(super::respond::CONTINUE).await;
            }
            // What is here already, straight from the socket.
            let wanted = rest.length().min((max - body.len()) as u64);
            let received = sys::receive_now(self.fd, wanted as usize, body);
            if received > 0 {
                rest.took(received);
                pace.received(self.shard, self.watch, received);
                continue;
            }
            let more = self.reader.more(true).await;
            if self.watch.has_expired() {
                return Err(Lost::Refused(Reject::RequestTimeout));
            }
            if !more {
                return Err(Lost::Gone);
            }
            let received = self.reader.bytes().len() - head_len;
            pace.received(self.shard, self.watch, received);
        }
    }

    /// Moves the rest of the body through the slot's window, then waits for the peer to leave.
    /// Never completes: the response decides when the exchange is over.
    pub(super) async fn stream(
        &mut self,
        rest: &mut Rest,
        left: &Cell<u64>,
        ticket: &Ticket,
        news: &News<'_>,
        take_back: &TakeBack,
    ) {
        if !rest.is_done() {
            let end = self.pump(rest, left, ticket, news).await;
            ticket.end_body(end);
            if end != BodyEnd::Complete {
                // What follows on this connection has no known start.
                left.set(u64::MAX);
                return std::future::pending().await;
            }
            left.set(0);
        }
        self.watch_peer(ticket, news, take_back).await;
    }

    async fn pump(
        &mut self,
        rest: &mut Rest,
        left: &Cell<u64>,
        ticket: &Ticket,
        news: &News<'_>,
    ) -> BodyEnd {
        let mut pace = Pace::start(self.shard, self.watch);
        loop {
            // From the connection's buffer straight into the window, as far as it has room.
            while !rest.is_done() && self.reader.buffered() > 0 {
                let seen = news.seen();
                let room = ticket.body_space();
                let bytes = self.reader.bytes();
                let Ok(step) = rest.decode(bytes, room, &self.shard.limits) else {
                    return BodyEnd::Aborted;
                };
                ticket.put_body(&bytes[..step.produced]);
                self.reader.consume(step.consumed);
                left.set(rest.left());
                if self.reader.buffered() > 0 && !rest.is_done() {
                    // The app reads slowly: that is no fault of the client's.
                    self.watch.clear_read();
                    ticket.want_body_space();
                    if ticket.body_space() < WINDOW_BYTES / 2 {
                        news.changed(seen).await;
                    }
                    pace = Pace::start(self.shard, self.watch);
                }
            }
            // What else is here already goes straight from the socket into the window, twice at
            // most: the window's end may lie between.
            let mut looks = if self.reader.is_armed() { 0 } else { 2 };
            while looks > 0 && rest.length() > 0 {
                let received = ticket.receive_body(self.fd, rest.length());
                rest.took(received);
                left.set(rest.left());
                pace.received(self.shard, self.watch, received);
                looks = if received == 0 { 0 } else { looks - 1 };
            }
            if rest.is_done() {
                self.watch.clear_read();
                return BodyEnd::Complete;
            }
            let more = self.reader.more(true).await;
            if self.watch.has_expired() {
                return BodyEnd::TimedOut;
            }
            if !more {
                return BodyEnd::Aborted;
            }
            let received = self.reader.bytes().len();
            pace.received(self.shard, self.watch, received);
        }
    }

    /// Keeps a read armed while the app runs, to see a peer that breaks the connection. With bytes
    /// of a next request in the buffer there is no need: they are served first. A connection that
    /// ends with this response has the read only if the request is slow, or a worker may send the
    /// response: else it would have to be cancelled, which costs as much as a request.
    async fn watch_peer(&mut self, ticket: &Ticket, news: &News<'_>, take_back: &TakeBack) {
        if !self.watches {
            self.watch.slow().await;
        }
        if self.reader.is_armed() || self.reader.bytes().is_empty() {
            self.reader.arm(false);
            take_back.read_is_armed.set(self.reader.is_armed());
            std::future::poll_fn(|cx| self.reader.poll(cx)).await;
            take_back.read_is_armed.set(false);
            // From here on the peer wakes us no more, so a worker must.
            let is_ours = ticket.revoke();
            if is_ours {
                self.shard.offered.remove(ticket.slot());
            }
            if !is_ours || self.shard.has_heir() {
                news.raise();
            }
            if self.reader.has_failed() {
                ticket.cancel();
            }
        }
        std::future::pending::<()>().await;
    }

    /// Reads and drops what is left of a body, so that the next request starts at the right byte.
    pub(super) async fn drain(&mut self, rest: &mut Rest) -> Result<(), Lost> {
        let mut sink = self.shard.take_buffer();
        while !rest.is_done() {
            sink.clear();
            let result = self.gather(rest, 0, 64 * 1024, &mut sink, None).await;
            result?;
        }
        self.shard.give_buffer(sink);
        Ok(())
    }
}
