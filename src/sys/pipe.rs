//! Descriptors that the log runs through, writes that wait for nobody, and a process that keeps
//! little of its parent's.

use std::io::{self, IoSlice, IsTerminal};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::FileType;
use rustix::io::{Errno, ReadWriteFlags};
use rustix::net::{RecvFlags, SendFlags};
use rustix::pipe::PipeFlags;

/// So many bytes go into a pipe as one or not at all (PIPE_BUF).
pub const PIPE_ATOM: usize = 4096;

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

/// Whether a write to it can wait for somebody who reads, and what is written by several may mix.
pub fn has_reader(fd: BorrowedFd<'_>) -> bool {
    match rustix::fs::fstat(fd).map(|stat| FileType::from_raw_mode(stat.st_mode)) {
        Ok(FileType::Fifo | FileType::Socket) => true,
        Ok(FileType::CharacterDevice) => fd.is_terminal(),
        _ => false,
    }
}

/// Writes as many of the bytes as are taken without waiting for a reader; a disk is waited for.
/// Other holders of the same open file may wait as before.
///
/// # Errors
/// `WouldBlock` if none are taken now, or the kernel's.
pub fn write_now(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    let kind = FileType::from_raw_mode(rustix::fs::fstat(fd)?.st_mode);
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    Ok(match kind {
        FileType::Socket => rustix::net::send(fd, bytes, flags)?,
        FileType::Fifo => {
            let all = [IoSlice::new(bytes)];
            match rustix::io::pwritev2(fd, &all, u64::MAX, ReadWriteFlags::NOWAIT) {
                // An older kernel.
                Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::SPIPE) => {
                    write_if_ready(fd, bytes)?
                }
                result => result?,
            }
        }
        FileType::CharacterDevice if fd.is_terminal() => write_if_ready(fd, bytes)?,
        _ => rustix::io::write(fd, bytes)?,
    })
}

/// A pipe that says it is ready has room for as much as goes in as one.
fn write_if_ready(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    if !await_room(fd, Duration::ZERO) {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    Ok(rustix::io::write(fd, &bytes[..bytes.len().min(PIPE_ATOM)])?)
}

/// Sends these bytes as one message to a socket of messages, without waiting.
///
/// # Errors
/// `WouldBlock` if there is no room, or the kernel's.
pub fn send_message_now(fd: RawFd, parts: [&[u8]; 2]) -> io::Result<()> {
    // SAFETY: a number that is no open descriptor is an error without effect.
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    let slices = parts.map(IoSlice::new);
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    let mut nothing = rustix::net::SendAncillaryBuffer::default();
    rustix::net::sendmsg(fd, &slices, &mut nothing, flags)?;
    Ok(())
}

/// The next message that is there; 0 bytes at the end.
///
/// # Errors
/// `WouldBlock` if there is none, or the kernel's.
pub fn receive_message_now(fd: RawFd, bytes: &mut [u8]) -> io::Result<usize> {
    // SAFETY: a number that is no open descriptor is an error without effect.
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    let (count, _) = rustix::net::recv(fd, bytes, RecvFlags::DONTWAIT)?;
    Ok(count)
}

/// Waits until a write may be taken; false if it was not within this time.
pub fn await_room(fd: impl AsFd, most: Duration) -> bool {
    let most_ms = most.as_millis().min(i32::MAX as u128) as i32;
    let fd = fd.as_fd().as_raw_fd();
    let mut polled = [libc::pollfd { fd, events: libc::POLLOUT, revents: 0 }];
    // SAFETY: `polled` is a live array of the length passed.
    unsafe { libc::poll(polled.as_mut_ptr(), 1, most_ms) > 0 }
}

/// Waits until something can be read, a signal comes, or this time is over, which need not be whole
/// milliseconds. True if something can be read.
pub fn await_readable_briefly(fd: RawFd, most: Duration) -> bool {
    // SAFETY: a number that is no open descriptor is an error without effect.
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    let mut polled = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    let most = Timespec { tv_sec: most.as_secs() as i64, tv_nsec: most.subsec_nanos().into() };
    rustix::event::poll(&mut polled, Some(&most)).is_ok_and(|ready| ready > 0)
}

/// Waits until something can be read or the other end is closed, whatever signals come meanwhile;
/// false if neither was so within this time.
pub fn await_readable(fd: RawFd, most: Duration) -> bool {
    let until = Instant::now() + most;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let mut ready = Vec::new();
        super::poll_readable(&[fd], left.as_millis() as i32, &mut ready);
        if ready == [true] || left.is_zero() {
            return ready == [true];
        }
    }
}

/// Lets as many bytes wait in a socket as this user may have there.
pub fn widen(socket: &impl AsFd, bytes: usize) {
    if rustix::net::sockopt::set_socket_send_buffer_size_force(socket, bytes).is_err() {
        let _ = rustix::net::sockopt::set_socket_send_buffer_size(socket, bytes);
    }
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

/// Takes away the handlers of this forked process's parent, which write to descriptors that are
/// something else here; `deaf` are heard and do nothing, also in programs that it starts.
pub fn drop_handlers(deaf: &[i32]) {
    for signal in 1..=libc::SIGRTMAX() {
        // Ignored stays ignored: SIGPIPE.
        let keeps = [libc::SIGKILL, libc::SIGSTOP, libc::SIGPIPE].contains(&signal);
        if !keeps && !deaf.contains(&signal) {
            // SAFETY: no pointer is passed; numbers that the library keeps are refused.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
    }
    super::harmless::defuse(deaf);
}
