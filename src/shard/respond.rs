//! The response's way from the slot to the socket: head, framing, body, end.

use std::cell::Cell;
use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;

use bytes::{Buf, Bytes};

use super::exchange::{DRAIN_BYTES_MAX, News};
use super::heritage::TakeBack;
use super::stream::WriteHalf;
use super::watch::Watch;
use super::{Shard, refusal, sendfile};
use crate::handoff::{OwnSend, OwnSent, Progress, ResponseHead, Stage, Ticket, flag};
use crate::proto::chunked;
use crate::request::Request;
use crate::response::{Added, Connection, Framing, encode_head, version_text};
use crate::shared::shard as place;
use crate::sys;

/// RFC 9110, 15.2.1.
pub(super) const CONTINUE: Bytes = Bytes::from_static(b"HTTP/1.1 100 Continue\r\n\r\n");

/// Of a large body no more is sent at once, so that others have their turn.
const NOW_BYTES: usize = 1024 * 1024;
/// Bytes that one send of the rest carries at most: each one earns a new deadline.
pub(super) const PIECE_BYTES: usize = 256 * 1024;

/// So much output is sent from where it lies; less is copied, to go out in one send with the head.
const VIEW_BYTES: usize = 32 * 1024;

/// What was sent.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sent {
    pub(super) keep_alive: bool,
    pub(super) status: u16,
    pub(super) headers: u32,
    pub(super) head_bytes: u64,
    pub(super) body_bytes: u64,
    pub(super) is_file: bool,
    /// It ended early, and nothing in its framing tells the client.
    pub(super) is_cut: bool,
    /// The connection broke.
    pub(super) is_broken: bool,
    /// A worker had the connection.
    pub(super) was_lent: bool,
    /// Nothing was: the request was taken back.
    pub(super) is_withdrawn: bool,
    /// When the last byte was sent, if that was not just now.
    pub(super) ended_us: Option<u64>,
}

/// The sending side of an exchange.
pub(super) struct Sending<'c> {
    pub(super) shard: &'c Shard,
    pub(super) writer: &'c mut WriteHalf,
    pub(super) fd: RawFd,
    pub(super) watch: &'c Watch,
    pub(super) out: &'c mut Vec<u8>,
    pub(super) request: &'c Request,
    pub(super) ticket: &'c Ticket,
    pub(super) news: &'c News<'c>,
    pub(super) take_back: &'c TakeBack,
    /// What of the request's body has not been read.
    pub(super) body_left: &'c Cell<u64>,
    pub(super) is_http: bool,
    /// The connection ends with the response.
    pub(super) ends: bool,
    pub(super) arrived_us: u64,
}

impl Sending<'_> {
    /// Sends the whole response. An error is a connection that broke.
    pub(super) async fn respond(&mut self) -> io::Result<Sent> {
        let mut has_yielded = false;
        let (head, progress) = loop {
            let seen = self.news.seen();
            match self.ticket.own_send() {
                OwnSend::None => {}
                OwnSend::Sent(own) => {
                    self.shard.offered.remove(self.ticket.slot());
                    return self.sent_by_worker(own).await;
                }
                OwnSend::Part(own) => {
                    self.shard.offered.remove(self.ticket.slot());
                    return self.begun_by_worker(own).await;
                }
                OwnSend::Broken => return Err(io::ErrorKind::BrokenPipe.into()),
                OwnSend::Running => {
                    // The peer was faster than the worker's way out of send(2). On a shared core
                    // the worker goes on when we step aside.
                    if !has_yielded && self.shard.queue.borrow().in_use() == 1 {
                        has_yielded = true;
                        sys::yield_now();
                    } else if self.ticket.watch_send() {
                        self.news.changed(seen).await;
                    }
                    continue;
                }
            }
            let progress = self.ticket.progress();
            let is_over =
                progress.is_whole || progress.stage == Stage::Failed || progress.stage.is_late();
            // While the server drains, the head must say that the connection ends.
            let is_ours = is_over || progress.head.is_some() || self.shard.draining.get();
            if is_ours && !self.ticket.revoke() {
                continue; // A worker has begun to send it in this moment.
            }
            if is_ours {
                self.shard.offered.remove(self.ticket.slot());
            }
            if progress.stage.is_late() && !progress.is_whole {
                return self.too_late().await;
            }
            let is_queued = progress.stage == Stage::Queued;
            if is_queued && self.shard.takes_back(self.ticket, self.take_back, self.watch) {
                return Ok(Sent { is_withdrawn: true, ..Sent::default() });
            }
            match progress.head {
                Some(head) => break (head, progress),
                None if progress.stage == Stage::Failed => return self.lost_worker().await,
                // uWSGI: the app let go of its client before it had answered.
                None if progress.flags & flag::LEFT != 0 => return Ok(Sent::default()),
                None if progress.stage == Stage::Done => return self.no_answer().await,
                None if self.shard.gives_up.get() => return self.given_up().await,
                None => self.news.changed(seen).await,
            }
        };
        self.out.clear();
        let (mut sent, framing) = self.write_head(&head, &progress);
        let whole = self.body(&mut sent, framing).await?;
        if !whole {
            sent.keep_alive = false;
            sent.is_cut = framing == Framing::Close;
        }
        Ok(sent)
    }

    /// The worker has sent the answer by itself; what the socket did not take then is sent here.
    async fn sent_by_worker(&mut self, own: OwnSent) -> io::Result<Sent> {
        let progress = self.ticket.progress();
        self.out.clear();
        self.ticket.take_output(progress.pending, self.out);
        self.flush().await?;
        let body_bytes = u64::from(own.bytes.saturating_sub(own.head_bytes));
        Ok(Sent { body_bytes, ended_us: Some(own.ended_us), ..self.own_head(own) })
    }

    /// The worker has sent the head and a part of a body whose length it has told.
    async fn begun_by_worker(&mut self, own: OwnSent) -> io::Result<Sent> {
        let framing = Framing::of(self.is_http, self.request.version, true, false);
        self.out.clear();
        let mut sent = Sent { body_bytes: u64::from(own.bytes), ..self.own_head(own) };
        let whole = self.body(&mut sent, framing).await?;
        // What was left of the head came by the same way as the body.
        sent.body_bytes = sent.body_bytes.saturating_sub(sent.head_bytes);
        sent.keep_alive &= whole;
        sent.is_cut = !whole && framing == Framing::Close;
        Ok(sent)
    }

    /// What is known of a head that a worker has sent.
    fn own_head(&self, own: OwnSent) -> Sent {
        self.shard.row.bump(place::OWN_SENDS, 1);
        let progress = self.ticket.progress();
        let head = progress.head.unwrap_or_default();
        Sent {
            keep_alive: !self.ends && self.shard.keeps(self.request, self.is_http),
            status: head.status,
            headers: head.headers,
            head_bytes: u64::from(own.head_bytes),
            is_file: progress.flags & flag::FILE != 0,
            was_lent: true,
            ..Sent::default()
        }
    }

    /// Composes the head. The worker gave status and fields, the connection's are ours.
    fn write_head(&mut self, head: &ResponseHead, progress: &Progress) -> (Sent, Framing) {
        let bodiless = matches!(head.status, 100..=199 | 204 | 304) || self.request.is_head;
        let out = &mut *self.out;
        out.extend_from_slice(version_text(self.is_http, self.request.version));
        self.ticket.take_output(head.head_len as usize, out);
        let has_length = head.length.is_some();
        let framing = Framing::of(self.is_http, self.request.version, has_length, bodiless);
        let keep_alive = !self.ends
            && self.shard.keeps(self.request, self.is_http)
            && framing != Framing::Close
            && progress.flags & flag::CUT == 0
            && self.body_left.get() <= DRAIN_BYTES_MAX;
        let mut date = self.shard.date.borrow_mut();
        // uWSGI: over its protocol the app's head goes out as it is.
        let added = Added {
            length: head.length.filter(|_| self.is_http && head.flags & flag::LENGTH_KNOWN != 0),
            date: (self.is_http && head.flags & flag::HAS_DATE == 0)
                .then(|| date.line(self.arrived_us)),
            chunked: framing == Framing::Chunked,
            connection: Connection::of(self.is_http, keep_alive, self.request.version),
        };
        encode_head(&added, out);
        let sent = Sent {
            keep_alive,
            status: head.status,
            headers: head.headers,
            head_bytes: out.len() as u64,
            ..Sent::default()
        };
        (sent, framing)
    }

    /// Sends the body; false if it ended before it was complete.
    async fn body(&mut self, sent: &mut Sent, framing: Framing) -> io::Result<bool> {
        loop {
            let seen = self.news.seen();
            let progress = self.ticket.progress();
            if progress.pending >= VIEW_BYTES {
                let view = self.ticket.view_output();
                let len = view.len();
                self.large(view, framing).await?;
                self.ticket.free_output(len);
                sent.body_bytes += len as u64;
                continue;
            }
            if progress.pending > 0 {
                if framing == Framing::Chunked {
                    chunked::encode_size(progress.pending, self.out);
                }
                let taken = self.ticket.take_output(progress.pending, self.out);
                sent.body_bytes += taken as u64;
                if framing == Framing::Chunked {
                    self.out.extend_from_slice(b"\r\n");
                }
            } else if let Some(large) = self.ticket.take_large_in_turn() {
                sent.body_bytes += large.len() as u64;
                self.large(large, framing).await?;
                continue;
            } else if !progress.is_whole
                && (progress.stage == Stage::Failed || progress.stage.is_late())
            {
                return self.flush().await.map(|()| false);
            } else if progress.is_whole {
                return self.end(progress.flags, sent, framing).await;
            } else if self.out.is_empty() {
                self.news.changed(seen).await;
                continue;
            }
            // With nothing more to come, head, body and end go out in one send.
            let last = self.ticket.progress();
            if !last.is_whole || last.pending > 0 || self.out.len() >= PIECE_BYTES {
                self.flush().await?;
            }
        }
    }

    async fn end(&mut self, flags: u32, sent: &mut Sent, framing: Framing) -> io::Result<bool> {
        let is_short = || {
            let promised = self.ticket.progress().head.and_then(|head| head.length);
            framing == Framing::Length
                && !self.request.is_head
                && promised.is_some_and(|promised| sent.body_bytes < promised)
        };
        let whole = flags & flag::CUT == 0 && !(flags & flag::LEFT != 0 && is_short());
        if flags & flag::FILE != 0 {
            let file = self.shard.queue.borrow_mut().take_file(self.ticket);
            let Some(file) = file else {
                // No descriptor was left to take it: the client must not wait for the body.
                return self.flush().await.map(|()| false);
            };
            sent.is_file = true;
            return Ok(self.file(file, sent).await? && whole);
        }
        if whole && framing == Framing::Chunked {
            self.out.extend_from_slice(chunked::LAST_CHUNK);
        }
        self.flush().await?;
        Ok(whole)
    }

    /// Sends a body that the worker handed over as it is, straight from its memory.
    async fn large(&mut self, large: Bytes, framing: Framing) -> io::Result<()> {
        if framing == Framing::Chunked {
            chunked::encode_size(large.len(), self.out);
        }
        let mut rest = large;
        let head = self.out.len();
        let taken = sys::send_both_now(self.fd, self.out, &rest[..rest.len().min(NOW_BYTES)])?;
        self.out.drain(..taken.min(head));
        rest.advance(taken.saturating_sub(head));
        self.flush().await?;
        while !rest.is_empty() {
            let piece = rest.split_to(rest.len().min(PIECE_BYTES));
            self.set_deadline();
            self.writer.send_bytes(piece).await?;
        }
        self.watch.clear_write();
        if framing == Framing::Chunked {
            self.out.extend_from_slice(b"\r\n");
        }
        Ok(())
    }

    /// Sends a file that the worker opened.
    async fn file(&mut self, file: std::fs::File, sent: &mut Sent) -> io::Result<bool> {
        let (offset, len) = self.ticket.file_range();
        let mut range = offset..offset + len;
        sent.body_bytes += sendfile::begin(self.shard, self.fd, self.out, &file, &mut range)?;
        self.flush().await?;
        let sending =
            sendfile::send(self.shard, self.watch, self.fd, Arc::new(file), range).await?;
        sent.body_bytes += sending.bytes;
        Ok(sending.is_whole)
    }

    fn set_deadline(&self) {
        self.watch.set_write(self.shard.watches.now_s() + self.shard.timeouts.write_s);
    }

    async fn flush(&mut self) -> io::Result<()> {
        if self.out.is_empty() {
            return Ok(());
        }
        self.set_deadline();
        let out = std::mem::take(self.out);
        let (result, out) = self.writer.send(out).await;
        *self.out = out;
        self.out.clear();
        if self.out.capacity() > 64 * 1024 {
            *self.out = Vec::new();
        }
        self.watch.clear_write();
        result.map(drop)
    }

    /// The worker died before it answered: its request costs a 502, its connection lives on.
    async fn lost_worker(&mut self) -> io::Result<Sent> {
        self.own(502, "Bad Gateway", "the worker that ran this request died").await
    }

    /// The app took longer than it may. What it does from now on goes nowhere.
    async fn too_late(&mut self) -> io::Result<Sent> {
        self.own(504, "Gateway Timeout", "the app took longer than this server allows").await
    }

    /// The server ends, and the app has not begun to answer.
    async fn given_up(&mut self) -> io::Result<Sent> {
        self.own(503, "Service Unavailable", "the server ended before the app had answered").await
    }

    async fn no_answer(&mut self) -> io::Result<Sent> {
        self.own(500, "Internal Server Error", "").await
    }

    async fn own(&mut self, status: u16, reason: &str, detail: &str) -> io::Result<Sent> {
        self.out.clear();
        let keep_alive =
            !self.ends && self.shard.keeps(self.request, self.is_http) && self.body_left.get() == 0;
        let connection = Connection::of(self.is_http, keep_alive, self.request.version);
        refusal::write(status, reason, detail, connection, self.out);
        if self.request.is_head
            && let Some(end) = self.out.windows(4).position(|four| four == b"\r\n\r\n")
        {
            self.out.truncate(end + 4);
        }
        let bytes = self.out.len() as u64;
        self.flush().await?;
        Ok(Sent { keep_alive, status, headers: 3, head_bytes: bytes, ..Sent::default() })
    }
}
