//! Responses that a worker sends by itself, on a connection that the shard has lent it.

use std::fs::File;
use std::io;
use std::ops::Range;

use super::reply::{LARGE_BYTES, Reply, State};
use crate::handoff::{App, Call, Lent, OwnSent, flag};
use crate::python::Py;
use crate::request::Version;
use crate::response::{Added, Connection, encode_head, version_text};
use crate::shared::now_us;
use crate::sys::warm;
use crate::sys::{self, Half};

/// A body that is one piece of so many bytes is sent from where it lies: to copy it into the window
/// and out again would cost more than the second part of the send.
const PIECE_BYTES: usize = 4 * 1024;
/// While more than this is sent, other threads of the app may run.
const DETACHED_BYTES: usize = 64 * 1024;
/// A larger file, or one that may have to come from a disk, the shard has sent by its helpers.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// A larger buffer of a response that was sent from here is given back.
const OUT_BYTES_KEPT: usize = 64 * 1024;

/// A connection that was taken for a response whose head is ready to go.
struct Taken {
    lent: Lent,
    /// The connection ends with the response.
    ends: bool,
    head_bytes: usize,
}

impl Taken {
    /// Ends the connection's sending side if all went out, and lets go of it. A copy must not
    /// outlive the request: the peer would see no end of the connection.
    fn end(self, is_all: bool) -> u32 {
        if self.ends && is_all {
            // The shard closes when it hears the peer's own end, or looks next.
            sys::shut(self.lent.fd(), Half::Write);
        }
        self.head_bytes as u32
    }
}

impl State {
    /// Sends a whole response from here, if the shard has lent the connection for that.
    pub(super) fn send(&mut self, call: &Call, app: App) -> bool {
        if call.is_held() || !call.may_send(self.is_slow) {
            return false;
        }
        let Some(taken) = self.take(call) else { return false };
        let out = &mut self.out;
        call.take_back_output(usize::MAX, out);
        let result = sys::send_now(taken.lent.fd(), out);
        let is_all = matches!(result, Ok(sent) if sent == out.len());
        let head_bytes = taken.end(is_all);
        let left = result.ok().map(|sent| &out[sent..]);
        let own = OwnSent { head_bytes, bytes: out.len() as u32, ended_us: now_us() };
        call.end_send(own, left, app);
        if out.capacity() > OUT_BYTES_KEPT {
            *out = Vec::new();
        }
        true
    }

    /// Takes the connection, and puts the head with the connection's own fields into `out`.
    fn take(&mut self, call: &Call) -> Option<Taken> {
        let (length, flags) = (self.framing.length, self.framing.flags);
        if length.is_none() && !self.bodiless {
            return None; // Its end would have to be framed, or be the connection's.
        }
        let head = call.head();
        let version = if head.has(flag::HTTP_11) { Version::Http11 } else { Version::Http10 };
        let (is_http, ends) = (!head.has(flag::VARS), head.has(flag::ENDS));
        let lent = call.take_send()?;
        let out = &mut self.out;
        out.clear();
        out.extend_from_slice(version_text(is_http, version));
        call.take_back_output(self.head_len, out);
        let added = Added {
            length: length.filter(|_| is_http && flags & flag::LENGTH_KNOWN != 0),
            date: (is_http && flags & flag::HAS_DATE == 0)
                .then(|| self.date.line(call.arrived_us())),
            chunked: false,
            connection: Connection::of(is_http, !ends, version),
        };
        encode_head(&added, out);
        Some(Taken { lent, ends, head_bytes: out.len() })
    }
}

impl Reply {
    /// Sends the head and a body that is one piece, from where it lies, as far as the socket takes
    /// them now. Returns how many bytes of the body are none of the caller's business any more; the
    /// others go the usual way.
    pub(super) fn send_piece(&self, py: Py<'_>, call: &Call, body: &[u8]) -> usize {
        let mut state = self.0.borrow_mut();
        let is_all = state.written == body.len() as u64
            && state.framing.length == Some(state.written)
            && body.len() >= PIECE_BYTES;
        // A process would have to copy a large body, window by window, with a turn of the shard
        // for each.
        let saves_a_copy = body.len() >= LARGE_BYTES && !call.shares_memory();
        let is_held = body.len() < LARGE_BYTES && call.is_held();
        if !is_all || is_held || !(saves_a_copy || call.may_send(state.is_slow)) {
            return 0;
        }
        let Some(taken) = state.take(call) else { return 0 };
        let out = std::mem::take(&mut state.out);
        // The app's other threads may come by meanwhile.
        drop(state);
        let send = || {
            let result = sys::send_both_now(taken.lent.fd(), &out, body);
            let all = out.len() + body.len();
            let is_over = result.as_ref().map_or(true, |sent| *sent == all);
            let head_bytes = taken.end(is_over);
            let bytes = *result.as_ref().unwrap_or(&0);
            let own = OwnSent { head_bytes, bytes: bytes as u32, ended_us: now_us() };
            if is_over {
                call.end_send(own, result.is_ok().then_some(&[]), App::Runs);
                return (true, body.len());
            }
            call.end_part(own, &out[bytes.min(out.len())..]);
            (false, bytes.saturating_sub(out.len()))
        };
        let is_small = body.len() < DETACHED_BYTES;
        let (is_over, body_bytes) = if is_small { send() } else { py.detach(send) };
        let mut state = self.0.borrow_mut();
        (state.whole, state.out) = (is_over, out);
        body_bytes
    }

    /// Sends the head and a range of a file, which is the body, as far as the socket takes them
    /// now, if the shard has lent the connection and the file is in memory. The shard gets what is
    /// left, and waits for nothing more from the app.
    ///
    /// # Errors
    /// The kernel's, when the descriptor cannot be passed to the shard.
    pub(super) fn send_file(
        &self,
        py: Py<'_>,
        call: &Call,
        file: File,
        range: Range<u64>,
    ) -> io::Result<()> {
        let len = range.end - range.start;
        let mut state = self.0.borrow_mut();
        let may_send = state.framing.length == Some(len)
            && call.may_send(state.is_slow)
            && state.has_in_memory(&file, &range)
            // sendfile(2) knows no MSG_NOSIGNAL, and the app sets the signals of a process.
            && (call.shares_memory() || !sys::harmless::dies_of_sigpipe());
        let taken = if may_send { state.take(call) } else { None };
        let Some(taken) = taken else {
            call.set_file(file, range.start, len)?;
            if state.framing.length == Some(len) && !state.bodiless {
                state.whole = true;
                call.publish_whole();
            }
            return Ok(());
        };
        let out = std::mem::take(&mut state.out);
        drop(state);
        let send = || {
            let result = sys::send_file_now(taken.lent.fd(), &out, &file, range.clone());
            let (of_head, of_file) = *result.as_ref().unwrap_or(&(0, 0));
            let is_over = result.is_err() || of_file as u64 == len;
            let head_bytes = taken.end(is_over);
            let bytes = (of_head + of_file) as u32;
            let own = OwnSent { head_bytes, bytes, ended_us: now_us() };
            if is_over {
                call.set_flags(flag::FILE);
                call.end_send(own, result.is_ok().then_some(&[]), App::Runs);
                return Ok(());
            }
            let left = len - of_file as u64;
            let passed = call.set_file(file, range.end - left, left);
            if passed.is_ok() {
                // Nothing of it is the app's business any more.
                call.set_flags(flag::WHOLE);
            }
            call.end_part(own, &out[of_head..]);
            passed
        };
        let passed = if len < DETACHED_BYTES as u64 { send() } else { py.detach(send) };
        let mut state = self.0.borrow_mut();
        (state.whole, state.out) = (passed.is_ok(), out);
        passed
    }
}

impl State {
    /// Whether a range of a file was sent a short time ago. It counts as sent from here on.
    fn has_in_memory(&self, file: &File, range: &Range<u64>) -> bool {
        if range.is_empty() || range.end - range.start > FILE_BYTES_MAX {
            return false;
        }
        let Some(known) = warm::identity(file) else { return false };
        let now_s = now_us() / 1_000_000;
        let is_warm = self.warm.has(known, range, now_s);
        self.warm.note(known, range.clone(), now_s);
        is_warm
    }
}
