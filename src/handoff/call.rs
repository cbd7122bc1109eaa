//! `Call`: a request that a worker runs. A handle of indices, so it may be kept by Python objects
//! that outlive the request: `is_current` tells whether it still is this request.

use std::os::fd::AsFd;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
use std::time::Duration;

use bytes::Bytes;

use super::region::{Area, LOGVARS_BYTES_MAX, Region, Slot};
use super::window::{self, BodyEnd};
use super::{Handoff, fault, slot};
use crate::request::{Field, Range};

/// In the place of an app's index: there is none for the request.
pub(super) const NO_APP: u32 = u32::MAX;

/// Bits of a slot's words.
pub mod flag {
    /// Request: the fields are uwsgi variables.
    pub const VARS: u32 = 1;
    /// Request: HTTP/1.1.
    pub const HTTP_11: u32 = 2;
    /// Request: the path must be percent-decoded.
    pub const PATH_ENCODED: u32 = 4;
    /// Request: the body lies in a file whose path is in the input window.
    pub const SPOOLED: u32 = 8;
    /// Request: its connection ends with the response.
    pub const ENDS: u32 = 16;

    /// Response: the head is in the output window.
    pub const HAS_HEAD: u32 = 1;
    /// Response: it ended early, the connection must be closed so that the client can tell.
    pub const CUT: u32 = 2;
    /// Response: the app gave a Date field.
    pub const HAS_DATE: u32 = 4;
    /// Response: the app raised an exception.
    pub const RAISED: u32 = 8;
    /// Response: the body is (the rest of) a file.
    pub const FILE: u32 = 16;
    /// Response: its length is known though the app gave no Content-Length.
    pub const LENGTH_KNOWN: u32 = 32;
    /// Response: its last byte is here, though the app has not ended yet.
    pub const WHOLE: u32 = 64;
    /// Response: the app let go of the client, what has been written is all.
    pub const LEFT: u32 = 128;
    /// Response: its line is wanted in the request log, whatever the options say.
    pub const LOGGED: u32 = 256;
}

/// What a worker says of its response's head.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ResponseHead {
    /// Bytes of status and header lines at the start of the output.
    pub head_len: u32,
    pub status: u16,
    /// Header lines, for the request log.
    pub headers: u32,
    /// The app's Content-Length.
    pub length: Option<u64>,
    /// `flag::HAS_DATE` and its like.
    pub flags: u32,
}

/// One request that this worker has claimed.
#[derive(Clone, Copy)]
pub struct Call {
    handoff: &'static Handoff,
    slot: u32,
    generation: u32,
    incarnation: u32,
}

/// The request's head as the worker reads it.
pub struct Head<'c> {
    slot: &'c Slot,
    pub bytes: &'c [u8],
    pub fields: &'c [Field],
    pub flags: u32,
}

impl Head<'_> {
    fn range(&self, index: usize) -> &[u8] {
        let packed = self.slot.ranges[index].load(Relaxed);
        Range { start: (packed >> 16) as u16, len: packed as u16 }.of(self.bytes)
    }

    pub fn method(&self) -> &[u8] {
        self.range(0)
    }

    pub fn target(&self) -> &[u8] {
        self.range(1)
    }

    pub fn path(&self) -> &[u8] {
        self.range(2)
    }

    pub fn query(&self) -> &[u8] {
        self.range(3)
    }

    pub fn host(&self) -> &[u8] {
        self.range(4)
    }

    pub fn remote_addr(&self) -> &[u8] {
        self.range(5)
    }

    pub fn remote_port(&self) -> &[u8] {
        self.range(6)
    }

    pub fn listener(&self) -> usize {
        self.slot.listener.load(Relaxed) as usize
    }

    pub fn modifier1(&self) -> u8 {
        (self.slot.modifiers.load(Relaxed) >> 8) as u8
    }

    pub fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }
}

impl Call {
    pub(super) fn new(
        handoff: &'static Handoff,
        slot: usize,
        generation: u32,
        incarnation: u32,
    ) -> Call {
        Call { handoff, slot: slot as u32, generation, incarnation }
    }

    pub(super) fn entry(&self) -> &'static Slot {
        self.handoff.region.slot(self.slot as usize)
    }

    pub(super) fn handoff(&self) -> &'static Handoff {
        self.handoff
    }

    pub(super) fn region(&self) -> &'static Region {
        self.handoff.region
    }

    pub(super) fn slot(&self) -> usize {
        self.slot as usize
    }

    pub(super) fn shard(&self) -> usize {
        self.handoff.shard_of(self.slot as usize)
    }

    /// The slot's state word in one of its stages under this worker.
    pub(super) fn word(&self, stage: u8) -> u64 {
        slot::word(self.generation, self.incarnation, stage)
    }

    /// Whether this request still runs here.
    pub fn is_current(&self) -> bool {
        self.entry().state.load(Acquire) == self.word(slot::RUNNING)
    }

    /// The head. Only while the request is current.
    pub fn head(&self) -> Head<'static> {
        let slot = self.entry();
        let region = self.handoff.region;
        let len = slot.head_len.load(Relaxed) as usize;
        let len = len.min(super::HEAD_BYTES_MAX);
        Head {
            slot,
            bytes: region.view(self.slot as usize, Area::Head, 0, len),
            fields: region.fields(self.slot as usize),
            flags: slot.flags.load(Relaxed),
        }
    }

    /// When the request arrived, microseconds since the epoch.
    pub fn arrived_us(&self) -> u64 {
        self.entry().arrived_us.load(Relaxed)
    }

    /// The body's length; None for a chunked body that has not ended.
    pub fn body_len(&self) -> Option<u64> {
        Some(self.entry().body_len.load(Relaxed)).filter(|&len| len != u64::MAX)
    }

    /// How the body ended, if the shard has seen its end.
    pub fn body_end(&self) -> Option<BodyEnd> {
        BodyEnd::from_word(self.entry().input.end.load(SeqCst))
    }

    /// Body bytes that are here now, at most `max`, in one or two pieces.
    pub fn body_parts(&self, max: usize) -> (&'static [u8], &'static [u8]) {
        let input = &self.entry().input;
        window::parts(self.handoff.region, self.slot as usize, Area::Input, input, max)
    }

    /// Frees the oldest `len` body bytes for more.
    pub fn body_consume(&self, len: usize) {
        let input = &self.entry().input;
        window::consume(input, len);
        let roomy = window::space(input) >= super::WINDOW_BYTES / 2;
        if roomy && input.shard_waits.swap(0, SeqCst) == 1 {
            self.handoff.notify(self.slot as usize);
        }
    }

    /// Sleeps until `wanted` bytes of the body (at most half a window) are here or it ended, or for
    /// a second. The caller must not hold the GIL.
    pub fn body_wait(&self, wanted: usize) {
        self.body_wait_for(wanted, window::WAIT);
    }

    /// The same, for `limit` or a second.
    pub fn body_wait_for(&self, wanted: usize, limit: Duration) {
        let input = &self.entry().input;
        let wanted = wanted.clamp(1, super::WINDOW_BYTES / 2);
        input.wanted.store(wanted as u32, SeqCst);
        window::worker_wait(self.handoff.region, input, limit, || {
            window::pending(input) >= wanted || input.end.load(SeqCst) != 0 || !self.is_current()
        });
    }

    /// Whether the client is gone: what is still written goes nowhere.
    pub fn is_cancelled(&self) -> bool {
        self.entry().output.end.load(Acquire) != 0
    }

    /// Leaves what the app gives to the request's log line; what is too long is left out.
    pub fn set_logvars<'v>(&self, pairs: impl Iterator<Item = (&'v [u8], &'v [u8])>) {
        if !self.is_current() {
            return;
        }
        let mut bytes = Vec::new();
        for (name, value) in pairs {
            if bytes.len() + 4 + name.len() + value.len() > LOGVARS_BYTES_MAX {
                continue;
            }
            for text in [name, value] {
                bytes.extend_from_slice(&(text.len() as u16).to_ne_bytes());
                bytes.extend_from_slice(text);
            }
        }
        self.handoff.region.put(self.slot as usize, Area::Logvars, 0, &bytes);
        self.entry().logvars_len.store(bytes.len() as u32, Release);
    }

    /// Wakes the control thread: it has to look at this worker.
    pub fn ring_control(&self) {
        self.handoff.ring_control();
    }

    /// Says which worker and core answer, for the request log.
    pub fn sign(&self, worker: usize, core: usize, app_request: u64) {
        fault::point("running");
        let entry = self.entry();
        entry.worker.store(worker as u32 + 1, Relaxed);
        entry.core.store(core as u32, Relaxed);
        entry.app.store(0, Relaxed);
        entry.app_request.store(app_request, Relaxed);
    }

    /// Says which app answers, and how many requests it had: for those that are not the only one.
    /// None says that there is no app.
    pub fn sign_app(&self, app: Option<(usize, u64)>) {
        let entry = self.entry();
        let (app, number) = app.map_or((NO_APP, 0), |(app, number)| (app as u32, number));
        entry.app.store(app, Relaxed);
        entry.app_request.store(number, Relaxed);
    }

    /// Says what stands in the head, whose bytes were the first that were written.
    pub fn set_head(&self, head: ResponseHead) {
        let entry = self.entry();
        entry.out_head_len.store(head.head_len, Relaxed);
        entry.status.store(u32::from(head.status), Relaxed);
        entry.out_headers.store(head.headers, Relaxed);
        entry.out_length.store(head.length.unwrap_or(u64::MAX), Relaxed);
        entry.out_flags.fetch_or(head.flags | flag::HAS_HEAD, AcqRel);
    }

    /// Adds bits to the response's flags.
    pub fn set_flags(&self, flags: u32) {
        self.entry().out_flags.fetch_or(flags, AcqRel);
    }

    /// Copies what fits now into the output and returns how much that was. Nobody is told yet.
    pub fn write(&self, bytes: &[u8]) -> usize {
        if !self.handoff.region.large_is_free(self.slot as usize) {
            return 0; // The large body before these bytes must be taken first.
        }
        let output = &self.entry().output;
        window::put(self.handoff.region, self.slot as usize, Area::Output, output, bytes)
    }

    /// What waits in the output window, at most `max` bytes, in one or two pieces.
    pub(super) fn output_parts(&self, max: usize) -> (&'static [u8], &'static [u8]) {
        let output = &self.entry().output;
        window::parts(self.handoff.region, self.slot as usize, Area::Output, output, max)
    }

    /// Hands over a large body as it is, after all bytes written so far. Gives it back if the last
    /// one was not taken yet, or the workers are processes and must copy.
    pub fn write_large(&self, body: Bytes) -> Result<(), Bytes> {
        let region = self.handoff.region;
        if region.sharing() == crate::sys::Sharing::Processes
            || !region.large_is_free(self.slot as usize)
        {
            return Err(body);
        }
        region.put_large(self.slot as usize, body);
        Ok(())
    }

    /// Whether large bodies may be handed over as they are.
    pub fn shares_memory(&self) -> bool {
        self.handoff.region.sharing() == crate::sys::Sharing::Threads
    }

    /// Leaves a file as the response's body: `len` bytes from `offset`.
    ///
    /// # Errors
    /// The kernel's, when the descriptor cannot be passed now; nothing was changed then.
    pub fn set_file(&self, file: std::fs::File, offset: u64, len: u64) -> std::io::Result<()> {
        let entry = self.entry();
        if self.shares_memory() {
            self.handoff.region.put_file(self.slot as usize, file);
        } else {
            // The generation names the request: a descriptor of a dead worker finds no taker.
            let (_, out) = &self.handoff.files[self.handoff.shard_of(self.slot as usize)];
            let name = super::slot::cell(self.generation, self.slot as usize).to_ne_bytes();
            crate::sys::send_with_fd(out.as_fd(), &name, Some(file.as_fd()))?;
        }
        entry.file_offset.store(offset, Relaxed);
        entry.file_len.store(len, Relaxed);
        entry.out_flags.fetch_or(flag::FILE, AcqRel);
        Ok(())
    }

    /// Tells the shard that there is output.
    pub fn publish(&self) {
        self.handoff.notify(self.slot as usize);
    }

    /// Tells the shard that the response is whole, before the app has ended: the end itself needs
    /// no bell then.
    pub fn publish_whole(&self) {
        self.set_flags(flag::WHOLE);
        self.handoff.notify_answer(self.slot as usize);
    }

    /// Lets go of the client before the app has ended: what was written is the response, and no
    /// more is taken.
    pub fn disconnect(&self) {
        if !self.is_current() {
            return;
        }
        let before = self.entry().out_flags.fetch_or(flag::LEFT | flag::WHOLE, AcqRel);
        if before & flag::WHOLE == 0 {
            self.publish();
        }
    }

    /// Whether the app let go of the client.
    pub fn has_left(&self) -> bool {
        self.entry().out_flags.load(Relaxed) & flag::LEFT != 0
    }

    /// Ends a request whose response was whole before: the shard looks when it has a reason to.
    pub fn finish_quietly(&self) {
        if self.set_done() {
            self.handoff.note(self.slot as usize);
        }
    }

    /// Sleeps until there is room for output or the client is gone. The caller must not hold the
    /// GIL.
    pub fn output_wait(&self) {
        let output = &self.entry().output;
        let region = self.handoff.region;
        window::worker_wait(region, output, window::WAIT, || {
            let roomy = window::space(output) >= super::WINDOW_BYTES / 2
                && region.large_is_free(self.slot as usize);
            roomy || output.end.load(SeqCst) != 0 || !self.is_current()
        });
    }

    /// Ends the request: nothing may be written after it.
    pub fn finish(&self) {
        fault::point("answered");
        if self.set_done() {
            fault::point("done, no news set");
            self.handoff.notify_answer(self.slot as usize);
        }
    }

    /// Gives the request back, in time or late. False if it is another's already.
    pub(super) fn set_done(&self) -> bool {
        let state = &self.entry().state;
        let change = |from, to| {
            let (from, to) = (self.word(from), self.word(to));
            state.compare_exchange(from, to, AcqRel, Acquire).is_ok()
        };
        change(slot::RUNNING, slot::DONE) || change(slot::LATE, slot::ENDED)
    }
}
