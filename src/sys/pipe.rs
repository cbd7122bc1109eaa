//! Pipes that the log runs through, and a process that keeps few descriptors.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use rustix::pipe::PipeFlags;

/// Standard error.
pub const STDERR: RawFd = 2;

/// A pipe that holds up to `bytes`, if the user may have one so large: its reading end, which never
/// waits, and its writing end, which does.
///
/// # Errors
/// The kernel's (too many files).
pub fn pipe(bytes: usize) -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    let _ = rustix::pipe::fcntl_setpipe_size(&writer, bytes);
    never_wait(&reader)?;
    Ok((reader, writer))
}

/// Lets calls on this descriptor, and on all copies of it, return at once.
///
/// # Errors
/// The kernel's.
pub fn never_wait(fd: &impl AsFd) -> io::Result<()> {
    Ok(rustix::io::ioctl_fionbio(fd, true)?)
}

/// Reads what is there into `bytes`; 0 at the end.
///
/// # Errors
/// The kernel's; `WouldBlock` if nothing is there.
pub fn read_fd(fd: RawFd, bytes: &mut [u8]) -> io::Result<usize> {
    // SAFETY: a number that is no open descriptor is an error without effect.
    Ok(rustix::io::read(unsafe { BorrowedFd::borrow_raw(fd) }, bytes)?)
}

/// The one byte of a message that is there; 0 when the other end is closed.
pub fn read_order(fd: RawFd) -> Option<u8> {
    let mut word = [0];
    match read_fd(fd, &mut word) {
        Ok(count) => Some(if count == 0 { 0 } else { word[0] }),
        Err(_) => None,
    }
}

/// Closes all descriptors of this process but the first three and these. For a forked process of
/// one thread that goes on with nothing else of its parent's.
pub fn keep_descriptors(kept: &[RawFd]) {
    let names = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let open: Vec<RawFd> =
        names.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    for fd in open.into_iter().filter(|fd| *fd > 2 && !kept.contains(fd)) {
        super::close(fd);
    }
}

/// Writes some of `bytes`.
///
/// # Errors
/// The kernel's.
pub fn write_fd(fd: RawFd, bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: a number that is no open descriptor is an error without effect.
    Ok(rustix::io::write(unsafe { BorrowedFd::borrow_raw(fd) }, bytes)?)
}

/// Whether the descriptor is a pipe.
pub fn is_pipe(fd: RawFd) -> bool {
    // SAFETY: as above.
    let stat = rustix::fs::fstat(unsafe { BorrowedFd::borrow_raw(fd) });
    stat.is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_fifo())
}

/// Waits until a write would not wait, up to `patience`; None is for ever. True also where the
/// write would fail.
pub fn is_writable(fd: RawFd, patience: Option<Duration>) -> bool {
    let patience = patience.map_or(-1, |patience| patience.as_millis() as libc::c_int);
    let mut polled = libc::pollfd { fd, events: libc::POLLOUT, revents: 0 };
    // SAFETY: one pollfd, on the stack.
    unsafe { libc::poll(&raw mut polled, 1, patience) != 0 }
}
