//! Sends files by sendfile(2) on the helpers: a file that is not in memory must not hold up the
//! shard.
//!
//! A helper sends until the socket takes no more and reports back; the shard waits for the socket
//! in its ring. So a slow client holds no helper.
//!
//! What was sent a few seconds ago lies in memory all but surely: of that the shard sends by itself
//! what the socket takes, together with the head.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use monoio::net::UnixStream;

use super::Shard;
use super::errand::{Report, Task};
use super::watch::Watch;
use crate::sys::{self, warm};

/// What is larger is always sent by a helper: the shard has others to serve.
const OWN_BYTES_MAX: u64 = 1024 * 1024;

/// Bytes that a helper sends before others have their turn.
const TURN_BYTES: u64 = 4 * 1024 * 1024;

/// A file on its way to a socket.
pub(super) struct Transfer {
    socket: Arc<OwnedFd>,
    file: Arc<File>,
    offset: u64,
    end: u64,
}

/// Sends head and range as far as the socket takes them now, if the file is in memory. What was
/// sent is taken off both; returns the body's bytes.
///
/// # Errors
/// The connection's.
pub(super) fn begin(
    shard: &Shard,
    fd: i32,
    head: &mut Vec<u8>,
    file: &File,
    range: &mut Range<u64>,
) -> io::Result<u64> {
    if range.is_empty() || range.end - range.start > OWN_BYTES_MAX {
        return Ok(0);
    }
    let now_s = shard.watches.now_s();
    let Some(known) = warm::identity(file).filter(|&file| shard.warm.has(file, range, now_s))
    else {
        return Ok(0);
    };
    shard.warm.note(known, range.clone(), now_s);
    let (of_head, of_file) = sys::send_file_now(fd, head, file, range.clone())?;
    head.drain(..of_head);
    range.start += of_file as u64;
    Ok(of_file as u64)
}

/// How much of a file was sent.
pub(super) struct Sending {
    pub(super) bytes: u64,
    /// False if the file has shrunk meanwhile.
    pub(super) is_whole: bool,
}

/// Sends `range` of `file` over the socket `fd`. Each turn that brings the client something earns
/// a new deadline.
///
/// # Errors
/// The connection's.
pub(super) async fn send(
    shard: &Shard,
    watch: &Watch,
    fd: i32,
    file: Arc<File>,
    range: Range<u64>,
) -> io::Result<Sending> {
    let start = range.start;
    if range.is_empty() {
        return Ok(Sending { bytes: 0, is_whole: true });
    }
    let known = warm::identity(&file);
    let whole = range.clone();
    let mut transfer = Transfer::new(fd, file, range)?;
    while !transfer.is_done() {
        watch.set_write(shard.watches.now_s() + shard.timeouts.write_s);
        let Report::Sent(after, result) = shard.errand(Task::Send(transfer)).await else {
            return Err(io::Error::other("BUG: a helper panicked while it sent"));
        };
        transfer = after;
        match result {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Ok(Sending { bytes: transfer.offset - start, is_whole: false });
            }
            result => result?,
        }
        if !transfer.is_done() {
            transfer.writable().await?;
        }
    }
    watch.clear_write();
    if let Some(known) = known {
        shard.warm.note(known, whole, shard.watches.now_s());
    }
    Ok(Sending { bytes: transfer.offset - start, is_whole: true })
}

impl Transfer {
    /// Prepares to send a range of `file`. The socket becomes non-blocking, which the ring does not
    /// mind: it waits by polling.
    ///
    /// # Errors
    /// The kernel's (too many files).
    fn new(socket: i32, file: Arc<File>, range: Range<u64>) -> io::Result<Transfer> {
        let socket = crate::sys::duplicate(socket)?;
        rustix::io::ioctl_fionbio(&socket, true)?;
        Ok(Transfer { socket: Arc::new(socket), file, offset: range.start, end: range.end })
    }

    /// Waits until the socket takes more.
    ///
    /// # Errors
    /// The connection's.
    async fn writable(&self) -> io::Result<()> {
        // Only asked whether it is writable, so it may be a TCP socket too.
        let gate = UnixStream::from_std(self.socket.try_clone()?.into())?;
        gate.writable(false).await
    }

    fn is_done(&self) -> bool {
        self.offset >= self.end
    }

    /// Sends what the socket takes. Ok when it takes no more, or all or enough is sent.
    pub(super) fn send(&mut self) -> io::Result<()> {
        let turn_end = self.end.min(self.offset + TURN_BYTES);
        while self.offset < turn_end {
            let count = usize::try_from(turn_end - self.offset).unwrap_or(usize::MAX);
            let (socket, file) = (self.socket.as_fd(), self.file.as_fd());
            match rustix::fs::sendfile(socket, file, Some(&mut self.offset), count) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()), // The file has shrunk.
                Ok(_) => {}
                Err(rustix::io::Errno::AGAIN) => return Ok(()),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}
