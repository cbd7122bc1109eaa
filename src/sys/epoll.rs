//! One epoll for many descriptors, of which each is told once.

use std::io;
use std::os::fd::OwnedFd;

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

/// Those that are told in one call.
const AT_ONCE: usize = 64;

/// # Errors
/// The kernel's (too many files).
pub fn new() -> io::Result<OwnedFd> {
    Ok(epoll::create(CreateFlags::CLOEXEC)?)
}

/// Tells of `key` once `fd` is readable or its peer has left.
///
/// # Errors
/// The kernel's (`ENOSPC` beyond fs.epoll.max_user_watches).
pub fn add(epoll: &OwnedFd, fd: &OwnedFd, key: u64) -> io::Result<()> {
    let flags = EventFlags::IN | EventFlags::RDHUP | EventFlags::ONESHOT;
    Ok(epoll::add(epoll, fd, EventData::new_u64(key), flags)?)
}

/// Forgets `fd`; before it is closed, for copies of it keep it known.
pub fn remove(epoll: &OwnedFd, fd: &OwnedFd) {
    let _ = epoll::delete(epoll, fd);
}

/// Appends the keys of those that are ready, without waiting: at most so many that the others of a
/// thread are not kept waiting.
pub fn ready(epoll: &OwnedFd, keys: &mut Vec<u64>) {
    let none = Event { flags: EventFlags::empty(), data: EventData::new_u64(0) };
    let mut events = [none; AT_ONCE];
    let now = rustix::time::Timespec { tv_sec: 0, tv_nsec: 0 };
    if let Ok(count) = epoll::wait(epoll, &mut events[..], Some(&now)) {
        keys.extend(events[..count].iter().map(|event| event.data.u64()));
    }
}
