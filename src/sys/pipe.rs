//! Pipes that the log runs through, and a process that keeps few descriptors.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};

use rustix::pipe::PipeFlags;

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
