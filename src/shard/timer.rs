//! Time as a readable descriptor.
//!
//! The runtime's own timers give every wait of the ring a timeout, and in a virtual machine arming
//! one for each wait costs more than the request (docs/decisions.md). A timerfd is armed
//! once and the ring only polls it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use monoio::net::UnixStream;

use crate::sys;

/// A timer of one task.
pub(super) struct Timer {
    fd: OwnedFd,
    /// A copy of the descriptor, only to be asked whether it is readable: a timerfd is no socket.
    stream: UnixStream,
}

impl Timer {
    /// A timer that is not armed.
    ///
    /// # Errors
    /// The kernel's (too many files).
    pub(super) fn new() -> io::Result<Timer> {
        let fd = sys::timerfd()?;
        let stream = UnixStream::from_std(fd.try_clone()?.into())?;
        Ok(Timer { fd, stream })
    }

    /// Waits once.
    pub(super) async fn sleep(&self, duration: Duration) {
        sys::timerfd_arm(self.fd.as_fd(), duration);
        // A failed wait ends early, which every caller stands.
        let _ = self.stream.readable(false).await;
        sys::eventfd_clear(self.fd.as_fd());
    }
}

/// Waits once, with a timer of its own; for rare waits.
pub(super) async fn pause(duration: Duration) {
    if let Ok(timer) = Timer::new() {
        timer.sleep(duration).await;
    }
}
