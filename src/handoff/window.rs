//! The two bounded byte streams of a slot: request body in, response out.
//!
//! `produced` and `consumed` count bytes and only grow; a position is the count modulo the window.
//! Whoever waits sets its flag, looks again, and only then sleeps.

use std::os::fd::RawFd;
use std::sync::atomic::Ordering::{Relaxed, Release, SeqCst};
use std::time::Duration;

use super::region::{Area, Region, WINDOW_BYTES, Window};
use crate::sys;

/// How a request body ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum BodyEnd {
    /// Every byte is in the window or was read.
    Complete = 1,
    /// The client went away, or what it sent broke the protocol.
    Aborted = 2,
    /// The client sent less than the minimum rate.
    TimedOut = 3,
}

impl BodyEnd {
    pub(super) fn from_word(word: u32) -> Option<BodyEnd> {
        match word {
            0 => None,
            1 => Some(BodyEnd::Complete),
            3 => Some(BodyEnd::TimedOut),
            _ => Some(BodyEnd::Aborted),
        }
    }
}

/// Bytes that were produced and not yet consumed, never more than the window holds: the counters of
/// a broken worker must not lead outside it.
pub(super) fn pending(window: &Window) -> usize {
    let produced = window.produced.load(SeqCst);
    let consumed = window.consumed.load(SeqCst);
    produced.wrapping_sub(consumed).min(WINDOW_BYTES as u64) as usize
}

pub(super) fn space(window: &Window) -> usize {
    WINDOW_BYTES - pending(window)
}

/// Copies as much of `bytes` into the window as it holds now and returns how much that was.
pub(super) fn put(
    region: &Region,
    slot: usize,
    area: Area,
    window: &Window,
    bytes: &[u8],
) -> usize {
    let len = bytes.len().min(space(window));
    let produced = window.produced.load(Relaxed);
    let at = (produced % WINDOW_BYTES as u64) as usize;
    let first = len.min(WINDOW_BYTES - at);
    region.put(slot, area, at, &bytes[..first]);
    if first < len {
        region.put(slot, area, 0, &bytes[first..len]);
    }
    window.produced.store(produced + len as u64, SeqCst);
    len
}

/// Receives from a socket into the input's free part, without waiting, and returns how much.
pub(super) fn receive(region: &Region, slot: usize, window: &Window, fd: RawFd, max: u64) -> usize {
    let produced = window.produced.load(Relaxed);
    let at = (produced % WINDOW_BYTES as u64) as usize;
    let max = usize::try_from(max).unwrap_or(WINDOW_BYTES);
    let len = space(window).min(WINDOW_BYTES - at).min(max);
    let received = if len == 0 { 0 } else { region.receive(slot, Area::Input, at, len, fd) };
    window.produced.store(produced + received as u64, SeqCst);
    received
}

/// The oldest pending bytes, at most `max`, in one or two pieces; they stay until `consume`.
pub(super) fn parts<'r>(
    region: &'r Region,
    slot: usize,
    area: Area,
    window: &Window,
    max: usize,
) -> (&'r [u8], &'r [u8]) {
    let len = pending(window).min(max);
    let at = (window.consumed.load(Relaxed) % WINDOW_BYTES as u64) as usize;
    let first = len.min(WINDOW_BYTES - at);
    (region.view(slot, area, at, first), region.view(slot, area, 0, len - first))
}

pub(super) fn consume(window: &Window, len: usize) {
    window.consumed.fetch_add(len as u64, SeqCst);
}

/// The limit of a wait is for a server that died: PDEATHSIG ends the process, a thread ends with
/// it.
pub(super) const WAIT: Duration = Duration::from_secs(1);

/// The worker's half of waiting: sleeps until the shard has changed something, or a while passed.
/// `ready` is asked again after the flag is up, so no change is missed.
pub(super) fn worker_wait(
    region: &Region,
    window: &Window,
    limit: Duration,
    ready: impl Fn() -> bool,
) {
    window.worker_waits.store(1, SeqCst);
    if ready() {
        window.worker_waits.store(0, SeqCst);
        return;
    }
    sys::futex_wait(&window.worker_waits, 1, region.sharing(), limit.min(WAIT));
    window.worker_waits.store(0, SeqCst);
}

/// The shard's half: wakes a worker that waits on this window.
pub(super) fn wake_worker(region: &Region, window: &Window) {
    if window.worker_waits.load(SeqCst) == 1 && window.worker_waits.swap(0, SeqCst) == 1 {
        sys::futex_wake(&window.worker_waits, 1, region.sharing());
    }
}

pub(super) fn reset(window: &Window) {
    window.produced.store(0, Relaxed);
    window.consumed.store(0, Relaxed);
    window.end.store(0, Relaxed);
    window.worker_waits.store(0, Relaxed);
    window.wanted.store(0, Relaxed);
    window.shard_waits.store(0, Release);
}
