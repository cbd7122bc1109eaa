//! `Ticket`: a shard's private record of a request that it handed over.
//!
//! What decides about the connection stays here and in the connection; lengths that a worker wrote
//! are read once and checked.

use std::os::fd::RawFd;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};

use bytes::Bytes;

use super::call::{NO_APP, ResponseHead, flag};
use super::region::{Area, LOGVARS_BYTES_MAX, Region, Slot, WINDOW_BYTES};
use super::slot;
use super::window::{self, BodyEnd};

/// How far a request has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// No worker has taken it yet.
    Queued,
    Running,
    /// It runs beyond its limit, and its answer is wanted no more.
    Late,
    /// It was late and is over.
    Ended,
    /// Answered completely.
    Done,
    /// The worker that ran it died.
    Failed,
}

/// What the shard sees of a response at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    pub stage: Stage,
    /// All of the response is here, though the app may not have ended.
    pub is_whole: bool,
    /// The head, once the worker has written it.
    pub head: Option<ResponseHead>,
    /// Bytes that wait in the output window.
    pub pending: usize,
    /// `flag::CUT`, `flag::RAISED`, `flag::FILE`.
    pub flags: u32,
}

impl Stage {
    /// Whether the worker has let go of the request, in whatever way.
    pub fn is_over(self) -> bool {
        matches!(self, Stage::Done | Stage::Failed | Stage::Ended)
    }

    /// Whether the request took longer than it may.
    pub fn is_late(self) -> bool {
        matches!(self, Stage::Late | Stage::Ended)
    }
}

/// The value of a request variable that the app has added, in what `copy_logvars` gave.
pub fn added_var<'b>(all: &'b [u8], wanted: &[u8]) -> &'b [u8] {
    if all.is_empty() { b"" } else { logvar(all, &added_var_name(wanted)) }
}

/// The name by which a request variable stands among the logvars.
pub fn added_var_name(name: &[u8]) -> Vec<u8> {
    [b"\0", name].concat()
}

/// The value of a variable in what `copy_logvars` gave; empty if there is none.
pub fn logvar<'b>(all: &'b [u8], wanted: &[u8]) -> &'b [u8] {
    let text = |bytes: &'b [u8]| -> Option<(&'b [u8], &'b [u8])> {
        let (len, rest) = bytes.split_first_chunk()?;
        rest.split_at_checked(usize::from(u16::from_ne_bytes(*len)))
    };
    let mut rest = all;
    while let Some((name, after)) = text(rest)
        && let Some((value, after)) = text(after)
    {
        if name == wanted {
            return value;
        }
        rest = after;
    }
    b""
}

/// One request on its way through the workers.
pub struct Ticket {
    region: &'static Region,
    slot: usize,
    generation: u32,
}

impl Ticket {
    pub(super) fn new(region: &'static Region, slot: usize, generation: u32) -> Ticket {
        Ticket { region, slot, generation }
    }

    /// The slot's index in the region.
    pub fn slot(&self) -> usize {
        self.slot
    }

    pub fn generation(&self) -> u32 {
        self.generation
    }

    fn entry(&self) -> &'static Slot {
        self.region.slot(self.slot)
    }

    pub(super) fn region(&self) -> &'static Region {
        self.region
    }

    /// What is known of the response now.
    pub fn progress(&self) -> Progress {
        let entry = self.entry();
        // The stage first: when it says Done, everything before it is visible.
        let stage = match slot::stage(entry.state.load(Acquire)) {
            slot::QUEUED => Stage::Queued,
            slot::DONE => Stage::Done,
            slot::FAILED => Stage::Failed,
            slot::LATE => Stage::Late,
            slot::ENDED => Stage::Ended,
            _ => Stage::Running,
        };
        let flags = entry.out_flags.load(Acquire);
        let is_whole = stage == Stage::Done || flags & flag::WHOLE != 0;
        let pending = window::pending(&entry.output);
        let head = (flags & flag::HAS_HEAD != 0).then(|| ResponseHead {
            head_len: entry.out_head_len.load(Relaxed),
            status: entry.status.load(Relaxed) as u16,
            headers: entry.out_headers.load(Relaxed),
            length: Some(entry.out_length.load(Relaxed)).filter(|&length| length != u64::MAX),
            flags,
        });
        Progress { stage, is_whole, head, pending, flags }
    }

    /// Appends up to `max` bytes of output to `out` and frees their place. Returns how many.
    pub fn take_output(&self, max: usize, out: &mut Vec<u8>) -> usize {
        let output = &self.entry().output;
        let len = window::pending(output).min(max);
        let at = (output.consumed.load(Relaxed) % WINDOW_BYTES as u64) as usize;
        let first = len.min(WINDOW_BYTES - at);
        self.region.take(self.slot, Area::Output, at, first, out);
        self.region.take(self.slot, Area::Output, 0, len - first, out);
        if len > 0 {
            self.free_output(len);
        }
        len
    }

    /// The oldest output, at most half a window of it, where it lies: for a send without a copy. It
    /// stays as it is until `free_output`, so far as the worker keeps to the rules; one that does
    /// not spoils its own response.
    pub fn view_output(&self) -> Bytes {
        let output = &self.entry().output;
        let half = WINDOW_BYTES / 2;
        let (first, _) = window::parts(self.region, self.slot, Area::Output, output, half);
        Bytes::from_static(first)
    }

    /// Frees the place of `len` bytes that were viewed and sent.
    pub fn free_output(&self, len: usize) {
        let output = &self.entry().output;
        window::consume(output, len);
        if window::space(output) >= WINDOW_BYTES / 2 {
            window::wake_worker(self.region, output);
        }
    }

    /// Takes a large body that was handed over as it is, once the window's bytes before it are
    /// taken.
    pub fn take_large_in_turn(&self) -> Option<Bytes> {
        if self.region.large_is_free(self.slot) || window::pending(&self.entry().output) > 0 {
            return None; // The worker writes nothing to the window while a large body waits.
        }
        let body = self.region.take_large(self.slot)?;
        window::wake_worker(self.region, &self.entry().output);
        Some(body)
    }

    /// Where in the file the body starts, and its length.
    pub fn file_range(&self) -> (u64, u64) {
        let entry = self.entry();
        (entry.file_offset.load(Relaxed), entry.file_len.load(Relaxed))
    }

    /// Appends the first `len` bytes of the request's head to `out`.
    pub fn copy_head(&self, len: usize, out: &mut Vec<u8>) {
        self.region.take(self.slot, Area::Head, 0, len, out);
    }

    /// Appends what was put of the request's body at its dispatch, if no worker has had it.
    pub fn copy_body(&self, out: &mut Vec<u8>) {
        let len = self.entry().input.produced.load(Relaxed).min(WINDOW_BYTES as u64);
        self.region.take(self.slot, Area::Input, 0, len as usize, out);
    }

    /// Whether the app wants a line of the request log.
    pub fn wants_line(&self) -> bool {
        self.entry().out_flags.load(Acquire) & flag::LOGGED != 0
    }

    /// Appends what the app gave to the log line, for `logvar`.
    pub fn copy_logvars(&self, out: &mut Vec<u8>) {
        let len = self.entry().logvars_len.load(Acquire) as usize;
        self.region.take(self.slot, Area::Logvars, 0, len.min(LOGVARS_BYTES_MAX), out);
    }

    /// Room for more of the request body.
    pub fn body_space(&self) -> usize {
        window::space(&self.entry().input)
    }

    /// Asks for news when the worker has made room.
    pub fn want_body_space(&self) {
        self.entry().input.shard_waits.store(1, SeqCst);
    }

    /// Copies what fits of `bytes` into the request body and returns how much that was.
    pub fn put_body(&self, bytes: &[u8]) -> usize {
        let input = &self.entry().input;
        let put = window::put(self.region, self.slot, Area::Input, input, bytes);
        if window::pending(input) >= input.wanted.load(SeqCst) as usize {
            window::wake_worker(self.region, input);
        }
        put
    }

    /// Receives up to `max` bytes of the request body from a socket into the window, as far as they
    /// are here and it has room in one piece; returns how many. An end or an error is left to
    /// whoever receives next.
    pub fn receive_body(&self, fd: RawFd, max: u64) -> usize {
        let input = &self.entry().input;
        let received = window::receive(self.region, self.slot, input, fd, max);
        if received > 0 && window::pending(input) >= input.wanted.load(SeqCst) as usize {
            window::wake_worker(self.region, input);
        }
        received
    }

    /// Says how the request body ended.
    pub fn end_body(&self, end: BodyEnd) {
        let input = &self.entry().input;
        input.end.store(end as u32, SeqCst);
        window::wake_worker(self.region, input);
    }

    /// Tells the worker that nobody reads its output any more.
    pub fn cancel(&self) {
        let entry = self.entry();
        entry.output.end.store(1, SeqCst);
        window::wake_worker(self.region, &entry.output);
        let _ = entry.input.end.compare_exchange(0, BodyEnd::Aborted as u32, SeqCst, Relaxed);
        window::wake_worker(self.region, &entry.input);
    }

    /// The response was whole and is sent, and the app has not ended: it gets no more of the body.
    pub fn end_input(&self) {
        let entry = self.entry();
        let _ = entry.input.end.compare_exchange(0, BodyEnd::Aborted as u32, SeqCst, Relaxed);
        window::wake_worker(self.region, &entry.input);
    }

    /// Which worker (from 1; 0 before one took it) and core answered, and the app's own count.
    pub fn signed(&self) -> (u32, u32, u64) {
        let entry = self.entry();
        let app_request = entry.app_request.load(Relaxed);
        (entry.worker.load(Relaxed), entry.core.load(Relaxed), app_request)
    }

    /// The app that answered, None if there was none.
    pub fn app(&self) -> Option<u32> {
        let app = self.entry().app.load(Relaxed);
        (app != NO_APP).then_some(app)
    }

    /// When the request arrived, microseconds since the epoch.
    pub fn arrived_us(&self) -> u64 {
        self.entry().arrived_us.load(Relaxed)
    }

    /// Takes a request back that no worker has claimed. False if one has.
    pub fn withdraw(&self) -> bool {
        let queued = slot::word(self.generation, 0, slot::QUEUED);
        let idle = slot::word(self.generation, 0, slot::IDLE);
        self.entry().state.compare_exchange(queued, idle, Release, Relaxed).is_ok()
    }
}
