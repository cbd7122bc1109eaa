//! The ways out of this process: standard error, which is a file, a terminal, somebody's pipe or
//! the log's process's, and beside it that one's socket of messages.
//!
//! Whole lines go out as one: through a pipe so many as the kernel takes as one, and longer ones by
//! the socket, where there is one. A reader that has stopped reading is waited for once, and then
//! costs lines and no time until it reads again.

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, RawFd};
use std::sync::Mutex;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64};
use std::time::{Duration, Instant};

use super::count_lines;
use crate::sys;

/// How long a line of the server waits for a reader, and how long requests' lines do, which have a
/// thread of their own.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);
pub(super) const LONG_PATIENCE: Duration = Duration::from_secs(5);

/// Lines that could not be written since the last that could.
static LOST: AtomicU64 = AtomicU64::new(0);
/// A reader was waited for in vain, and has taken nothing since.
static STALLED: AtomicBool = AtomicBool::new(false);
/// The log's process's socket, if there is one.
static MESSAGES: AtomicI32 = AtomicI32::new(-1);
/// Whether requests' lines have a way of their own.
static SPLITS: AtomicBool = AtomicBool::new(false);
/// Whether the last write to standard error ended inside a line. One writes at a time.
static TORN: Mutex<bool> = Mutex::new(false);

/// What a message to the log's process holds, by its first byte.
pub(super) const SERVER: u8 = b'l';
pub(super) const REQUESTS: u8 = b'r';
pub(super) const CRASH: u8 = b'c';
/// The name of an alarm, NUL and its text.
pub(super) const ALARM: u8 = b'a';
/// Bytes of lines in a message; a longer line is cut.
pub(super) const MESSAGE_MAX: usize = 64 * 1024;

/// Sets where long lines go, and requests' lines if they have a way of their own.
pub(super) fn lead(messages: Option<RawFd>, splits: bool) {
    MESSAGES.store(messages.unwrap_or(-1), Relaxed);
    SPLITS.store(splits, Relaxed);
}

/// Tells the alarms of a crash, if there are any.
pub(super) fn crash(text: &str) {
    if MESSAGES.load(Relaxed) >= 0 {
        let _ = send(CRASH, text.as_bytes(), Instant::now());
    }
}

/// Raises the alarm of this name, if there is one.
pub(super) fn alarm(name: &[u8], text: &[u8]) {
    if MESSAGES.load(Relaxed) >= 0 {
        let _ = send(ALARM, &[name, b"\0", text].concat(), Instant::now());
    }
}

/// Counts lines that never left, so that one that does tells of them.
pub(super) fn lose(lines: u64) {
    LOST.fetch_add(lines, Relaxed);
}

/// Writes whole lines of requests, which wait longer.
pub(super) fn put_requests(lines: &[u8]) {
    if !SPLITS.load(Relaxed) {
        return put(lines, LONG_PATIENCE);
    }
    let until = Instant::now() + LONG_PATIENCE;
    if let Err(rest) = send(REQUESTS, lines, until) {
        lose(count_lines(rest));
    } else if LOST.load(Relaxed) > 0 {
        put(b"", PATIENCE);
    }
}

/// Writes whole lines to standard error. A log that cannot be written (a full disk) must not end a
/// request: what is lost is counted, and told once the log takes lines again.
pub(super) fn put(lines: &[u8], patience: Duration) {
    let until = Instant::now() + patience;
    if let Err(lost) = write_lines(lines, until) {
        return lose(lost);
    }
    if LOST.load(Relaxed) > 0 {
        let lost = LOST.swap(0, Relaxed);
        let text = format!("log: {lost} line(s) could not be written\n");
        if write_lines(text.as_bytes(), Instant::now()).is_err() {
            lose(lost);
        }
    }
}

/// Returns how many lines were lost.
fn write_lines(mut lines: &[u8], until: Instant) -> Result<(), u64> {
    let stderr = io::stderr();
    if !sys::has_reader(stderr.as_fd()) {
        return write_whole(&stderr, lines, until).map_err(|_| count_lines(lines));
    }
    while !lines.is_empty() {
        let (first, rest) = lines.split_at(whole_lines(lines, sys::PIPE_ATOM));
        let is_sent = first.len() > sys::PIPE_ATOM
            && MESSAGES.load(Relaxed) >= 0
            && send(SERVER, first, until).is_ok();
        if !is_sent && write_whole(&stderr, first, until).is_err() {
            return Err(count_lines(lines));
        }
        lines = rest;
    }
    Ok(())
}

/// Bytes of the lines that fit into `most`, or of the first one if that is longer.
pub(super) fn whole_lines(lines: &[u8], most: usize) -> usize {
    let first = &lines[..lines.len().min(most)];
    let end = memchr::memrchr(b'\n', first).or_else(|| memchr::memchr(b'\n', lines));
    end.map_or(lines.len(), |at| at + 1)
}

/// Writes all of it. Nobody else of this process writes in between once it has begun, and nobody
/// waits for the lock while it waits for a beginning.
fn write_whole(stderr: &io::Stderr, bytes: &[u8], until: Instant) -> io::Result<()> {
    loop {
        let mut is_torn = TORN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        // Whoever uses std's own way has its lock.
        let mut lock = stderr.lock();
        lock.flush()?;
        let head: &[u8] = if *is_torn { b"\n" } else { b"" };
        let mut rest = &[head, bytes].concat()[..];
        let all = rest.len();
        while !rest.is_empty() {
            match sys::write_now(lock.as_fd(), rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    *is_torn = rest[count - 1] != b'\n';
                    rest = &rest[count..];
                    STALLED.store(false, Relaxed);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if rest.len() == all {
                        break;
                    }
                    wait(lock.as_fd(), until)?;
                }
                Err(error) => return Err(error),
            }
        }
        if rest.is_empty() {
            return Ok(());
        }
        drop(lock);
        drop(is_torn);
        wait(stderr.as_fd(), until)?;
    }
}

/// Waits for a reader, if there is time and it was not in vain before.
fn wait(fd: BorrowedFd<'_>, until: Instant) -> io::Result<()> {
    let left = until.saturating_duration_since(Instant::now());
    let left = if STALLED.load(Relaxed) { Duration::ZERO } else { left };
    if sys::await_room(fd, left) {
        // Somebody else may have taken the room: this turn ends at `until` all the same.
        std::thread::yield_now();
        return if Instant::now() > until { Err(stalled()) } else { Ok(()) };
    }
    Err(stalled())
}

fn stalled() -> io::Error {
    STALLED.store(true, Relaxed);
    io::ErrorKind::WouldBlock.into()
}

/// Sends lines to the log's process; what was not sent, if it takes none.
fn send(kind: u8, mut lines: &[u8], until: Instant) -> Result<(), &[u8]> {
    let fd = MESSAGES.load(Relaxed);
    while !lines.is_empty() {
        let end = whole_lines(lines, MESSAGE_MAX).min(MESSAGE_MAX);
        match sys::send_message_now(fd, [&[kind], &lines[..end]]) {
            Ok(()) => {
                STALLED.store(false, Relaxed);
                lines = &lines[end..];
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let Ok(copy) = sys::duplicate(fd) else { return Err(lines) };
                if wait(copy.as_fd(), until).is_err() {
                    return Err(lines);
                }
            }
            Err(_) => return Err(lines),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_lines_go_out_together() {
        assert_eq!(whole_lines(b"one\ntwo\nthree\n", 9), 8);
        assert_eq!(whole_lines(b"one\ntwo\n", 8), 8);
        assert_eq!(whole_lines(b"longer than that\nx\n", 4), 17);
        assert_eq!(whole_lines(b"no end", 3), 6);
        assert_eq!(whole_lines(b"", 3), 0);
    }
}
