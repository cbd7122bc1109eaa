//! Sockets: descriptors that travel, ends, and a send that does not wait.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};
use socket2::{Domain, Socket, Type};

/// Asks for buffers of so many bytes, for so many first requests that come with their SYN, and for
/// connections that are accepted with their first bytes, or without any after so many seconds, on a
/// listening socket; its connections inherit the buffers.
///
/// # Errors
/// The kernel's.
pub fn tune(
    socket: RawFd,
    send: Option<u32>,
    receive: Option<u32>,
    fast_open: Option<u32>,
    defer_accept_s: Option<u32>,
) -> io::Result<()> {
    let set = |level: i32, name: i32, value: u32| {
        let value = libc::c_int::try_from(value).unwrap_or(libc::c_int::MAX);
        let len = std::mem::size_of::<libc::c_int>() as libc::socklen_t;
        // SAFETY: the value lives for the call and has the length that is said; a wrong descriptor
        // is refused by the kernel.
        let result =
            unsafe { libc::setsockopt(socket, level, name, (&raw const value).cast(), len) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    };
    send.map_or(Ok(()), |bytes| set(libc::SOL_SOCKET, libc::SO_SNDBUF, bytes))?;
    receive.map_or(Ok(()), |bytes| set(libc::SOL_SOCKET, libc::SO_RCVBUF, bytes))?;
    // It spares wake-ups: a kernel without it is no reason not to serve.
    let _ = defer_accept_s.map(|s| set(libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, s));
    fast_open.map_or(Ok(()), |count| set(libc::IPPROTO_TCP, libc::TCP_FASTOPEN, count))
}

/// Sends `bytes` and, if given, a descriptor over a unix socket, as one message.
///
/// # Errors
/// The kernel's (peer gone, buffer full).
pub fn send_with_fd(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    fd: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = fd.as_slice();
    if !fds.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(fds));
    }
    let slices = [IoSlice::new(bytes)];
    rustix::net::sendmsg(socket, &slices, &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// As `send_with_fd`, without waiting, for descriptors that are open as long as the caller looks.
///
/// # Errors
/// The kernel's (`WouldBlock` when too much is on its way, others when the peer is gone).
pub fn give_fd(socket: RawFd, bytes: &[u8], fd: RawFd) -> io::Result<()> {
    // SAFETY: the caller's connection keeps `fd` open during this call; a wrong number is refused
    // by the kernel.
    let (socket, fd) = unsafe { (BorrowedFd::borrow_raw(socket), BorrowedFd::borrow_raw(fd)) };
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = [fd];
    control.push(SendAncillaryMessage::ScmRights(&fds));
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    match rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], &mut control, flags) {
        Ok(_) => Ok(()),
        // Too many descriptors are on their way: the same as a full buffer.
        Err(rustix::io::Errno::TOOMANYREFS) => Err(io::ErrorKind::WouldBlock.into()),
        Err(error) => Err(error.into()),
    }
}

/// Receives one message, and the descriptor that came with it.
///
/// # Errors
/// The kernel's (`WouldBlock` on an empty non-blocking socket).
pub fn receive_with_fd(
    socket: BorrowedFd<'_>,
    bytes: &mut [u8],
) -> io::Result<(usize, Option<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut slices = [IoSliceMut::new(bytes)];
    let flags = RecvFlags::CMSG_CLOEXEC;
    let got = rustix::net::recvmsg(socket, &mut slices, &mut control, flags)?;
    let fd = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    Ok((got.bytes, fd))
}

/// A pair of connected sockets that keep message boundaries.
///
/// # Errors
/// The kernel's (too many files).
pub fn message_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let (family, kind) = (AddressFamily::UNIX, SocketType::SEQPACKET);
    Ok(rustix::net::socketpair(family, kind, SocketFlags::CLOEXEC, None)?)
}

/// Which half of a connection `shut` ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Half {
    Read,
    Write,
    Both,
}

/// shutdown(2): pending reads of the connection then complete with 0. A dead peer is no error.
pub fn shut(fd: RawFd, half: Half) {
    let how = match half {
        Half::Read => libc::SHUT_RD,
        Half::Write => libc::SHUT_WR,
        Half::Both => libc::SHUT_RDWR,
    };
    // SAFETY: no pointer is passed.
    unsafe { libc::shutdown(fd, how) };
}

/// The core that received the last packet of a connection (SO_INCOMING_CPU, socket(7)).
pub fn incoming_core(fd: RawFd) -> Option<usize> {
    // SAFETY: the descriptor is open while the caller borrows it here.
    let socket = unsafe { BorrowedFd::borrow_raw(fd) };
    rustix::net::sockopt::socket_incoming_cpu(socket).ok().map(|core| core as usize)
}

/// Makes close(2) reset the connection, which a peer can tell from its end.
pub fn reset_at_close(fd: RawFd) {
    // SAFETY: the descriptor is open while the caller borrows it here.
    let socket = unsafe { BorrowedFd::borrow_raw(fd) };
    let _ = rustix::net::sockopt::set_socket_linger(socket, Some(Duration::ZERO));
}

/// Bytes that were received and not read yet.
pub fn unread(fd: RawFd) -> usize {
    let mut count: libc::c_int = 0;
    // SAFETY: the call fills a local int.
    unsafe { libc::ioctl(fd, libc::FIONREAD, &raw mut count) };
    usize::try_from(count).unwrap_or(0)
}

/// Keeps `fd` from programs that a child executes.
pub fn close_on_exec(fd: RawFd) {
    // SAFETY: no pointer is passed.
    unsafe { libc::ioctl(fd, libc::FIOCLEX) };
}

/// Leaves `fd` open for the program that this process executes next.
pub fn inherit_on_exec(fd: RawFd) {
    // SAFETY: no pointer is passed.
    unsafe { libc::ioctl(fd, libc::FIONCLEX) };
}

/// Bytes waiting in a listener's accept queue, if the kernel tells.
pub fn accept_queue(fd: RawFd) -> u32 {
    // SAFETY: all-zero is valid for tcp_info; the length passed is its size.
    unsafe {
        let mut info: libc::tcp_info = std::mem::zeroed();
        let mut len = std::mem::size_of_val(&info) as libc::socklen_t;
        let (to, level) = ((&raw mut info).cast(), libc::IPPROTO_TCP);
        let result = libc::getsockopt(fd, level, libc::TCP_INFO, to, &raw mut len);
        // For a listener the kernel puts the queue's length into tcpi_unacked.
        if result == 0 { info.tcpi_unacked } else { 0 }
    }
}

/// Sends what the kernel takes of `bytes` now, without waiting, and returns how much that was.
///
/// # Errors
/// The kernel's (the peer is gone).
pub fn send_now(fd: RawFd, bytes: &[u8]) -> io::Result<usize> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: pointer and length are those of a slice that outlives the call.
    let sent = unsafe { libc::send(fd, bytes.as_ptr().cast(), bytes.len(), flags) };
    match usize::try_from(sent) {
        Ok(sent) => Ok(sent),
        Err(_) => match io::Error::last_os_error() {
            error if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            error if error.kind() == io::ErrorKind::Interrupted => Ok(0),
            error => Err(error),
        },
    }
}

/// Appends at most `max` bytes of what has arrived to `buffer`, without waiting, and returns how
/// many. An end or an error is left to whoever receives next.
pub fn receive_now(fd: RawFd, max: usize, buffer: &mut Vec<u8>) -> usize {
    buffer.reserve(max);
    let spare = buffer.spare_capacity_mut().as_mut_ptr().cast();
    // SAFETY: there is room for so much, of which as much is filled as the length then says.
    unsafe {
        let received = receive_into(fd, spare, max);
        buffer.set_len(buffer.len() + received);
        received
    }
}

/// The same, to where `to` points.
///
/// # Safety
/// The kernel may write `len` bytes there.
pub unsafe fn receive_into(fd: RawFd, to: *mut u8, len: usize) -> usize {
    if len == 0 {
        return 0;
    }
    // SAFETY: what the caller promised.
    let received = unsafe { libc::recv(fd, to.cast(), len, libc::MSG_DONTWAIT) };
    usize::try_from(received).unwrap_or(0)
}

/// Sends what the socket takes of two texts, one behind the other, without waiting.
///
/// # Errors
/// The kernel's (the peer is gone).
pub fn send_both_now(fd: RawFd, first: &[u8], second: &[u8]) -> io::Result<usize> {
    // SAFETY: the caller's socket stays open during the call.
    let socket = unsafe { BorrowedFd::borrow_raw(fd) };
    let parts = [IoSlice::new(first), IoSlice::new(second)];
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    taken(rustix::net::sendmsg(socket, &parts, &mut SendAncillaryBuffer::default(), flags))
}

/// Sends what the socket takes of `head`, and then of a range of `file`, without waiting for the
/// socket: it becomes one that does not block. Returns the bytes of both.
///
/// # Errors
/// The kernel's (the peer is gone).
pub fn send_file_now(
    fd: RawFd,
    head: &[u8],
    file: &File,
    range: Range<u64>,
) -> io::Result<(usize, usize)> {
    // SAFETY: as above.
    let socket = unsafe { BorrowedFd::borrow_raw(fd) };
    rustix::io::ioctl_fionbio(socket, true)?;
    let mut sent = 0;
    if !head.is_empty() {
        // More follows at once, so that both may share a packet.
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL | SendFlags::MORE;
        sent = taken(rustix::net::send(socket, head, flags))?;
        if sent < head.len() {
            return Ok((sent, 0));
        }
    }
    let mut offset = range.start;
    let count = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
    Ok((sent, taken(rustix::fs::sendfile(socket, file, Some(&mut offset), count))?))
}

/// Nothing, where the socket takes nothing now.
fn taken(result: rustix::io::Result<usize>) -> io::Result<usize> {
    match result {
        Err(Errno::AGAIN | Errno::INTR) => Ok(0),
        result => Ok(result?),
    }
}

/// A socket to listen on, not bound yet. With `freebind` its address may be one that this machine
/// does not have.
///
/// # Errors
/// The kernel's.
pub fn tcp_socket(addr: SocketAddr, freebind: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    // Accepted sockets inherit it.
    socket.set_tcp_nodelay(true)?;
    if freebind {
        match addr {
            SocketAddr::V4(_) => socket.set_freebind_v4(true)?,
            SocketAddr::V6(_) => socket.set_freebind_v6(true)?,
        }
    }
    Ok(socket)
}
