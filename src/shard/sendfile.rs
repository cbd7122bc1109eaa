//! Sends files by sendfile(2) on a few helper threads: a file that is not in memory must not hold
//! up the shard.
//!
//! A helper sends until the socket takes no more and reports back; the shard waits for the socket
//! in its ring. So a slow client holds no helper.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use monoio::net::UnixStream;

use crate::handoff::Handoff;
use crate::shared::Mailbox;

const HELPERS: usize = 4;
/// Bytes that a helper sends before others have their turn.
const TURN_BYTES: u64 = 4 * 1024 * 1024;

/// A file on its way to a socket.
pub(super) struct Transfer {
    socket: Arc<OwnedFd>,
    file: Arc<File>,
    pub(super) offset: u64,
    pub(super) end: u64,
}

/// What a helper did: the transfer as it stands now, and why it stopped.
pub(super) struct Report {
    pub(super) slot: usize,
    pub(super) transfer: Transfer,
    pub(super) result: io::Result<()>,
}

/// Where reports come back to.
#[derive(Clone)]
pub(super) struct Desk {
    pub(super) reports: Mailbox<Report>,
    pub(super) handoff: &'static Handoff,
    pub(super) shard: usize,
}

struct Job {
    slot: usize,
    transfer: Transfer,
    desk: Desk,
}

impl Transfer {
    /// Prepares to send `file` from `offset` up to `end`. The socket becomes non-blocking, which
    /// the ring does not mind: it waits by polling.
    ///
    /// # Errors
    /// The kernel's (too many files).
    pub(super) fn new(socket: i32, file: File, offset: u64, end: u64) -> io::Result<Transfer> {
        let socket = crate::sys::duplicate(socket)?;
        rustix::io::ioctl_fionbio(&socket, true)?;
        Ok(Transfer { socket: Arc::new(socket), file: Arc::new(file), offset, end })
    }

    /// Waits until the socket takes more.
    ///
    /// # Errors
    /// The connection's.
    pub(super) async fn writable(&self) -> io::Result<()> {
        // Only asked whether it is writable, so it may be a TCP socket too.
        let gate = UnixStream::from_std(self.socket.try_clone()?.into())?;
        gate.writable(false).await
    }

    pub(super) fn is_done(&self) -> bool {
        self.offset >= self.end
    }

    /// Sends what the socket takes. Ok when it takes no more, or all or enough is sent.
    fn send(&mut self) -> io::Result<()> {
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

/// Gives a transfer to the helpers; the report comes to the desk, whose shard is rung.
pub(super) fn submit(slot: usize, transfer: Transfer, desk: &Desk) {
    let job = Job { slot, transfer, desk: desk.clone() };
    if let Err(refused) = helpers().send(job) {
        // No helper could be started: better a short wait here than no answer.
        run(refused.0);
    }
}

fn run(mut job: Job) {
    let result = job.transfer.send();
    let Job { slot, transfer, desk } = job;
    desk.reports.put(Report { slot, transfer, result });
    desk.handoff.ring(desk.shard);
}

/// The helpers, started when the first file is sent.
fn helpers() -> &'static Sender<Job> {
    static HELPERS_SENDER: OnceLock<Sender<Job>> = OnceLock::new();
    HELPERS_SENDER.get_or_init(|| {
        let (sender, receiver) = channel::<Job>();
        let receiver = Arc::new(Mutex::new(receiver));
        for index in 1..=HELPERS {
            let receiver = Arc::clone(&receiver);
            let life = move || {
                loop {
                    let job = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    match job {
                        Ok(job) => run(job),
                        Err(_) => return,
                    }
                }
            };
            let builder = std::thread::Builder::new().name(format!("uwring file {index}"));
            let _ = builder.spawn(life);
        }
        sender
    })
}
