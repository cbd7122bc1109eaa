//! The thread that writes request lines, so that a slow disk or terminal holds up no shard.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

/// Batches that may wait: beyond it lines are dropped and counted, memory does not grow.
const BATCHES_MAX: usize = 256;
/// Empty batches that may wait for their next use, and how large each of them may have grown.
const SPARES_MAX: usize = 64;
const SPARE_BYTES_MAX: usize = 64 * 1024;

/// A shard's end: it gathers the lines of a turn and hands them over.
pub struct Lines {
    /// None after `close`.
    sender: Option<SyncSender<Batch>>,
    batch: Vec<u8>,
    /// Batches come back, so that a turn allocates none.
    spares: Receiver<Vec<u8>>,
    back: SyncSender<Vec<u8>>,
}

/// Lines on their way to the writer, and the way back for their memory.
struct Batch {
    lines: Vec<u8>,
    back: SyncSender<Vec<u8>>,
}

impl Lines {
    fn new(sender: Option<SyncSender<Batch>>) -> Lines {
        let (back, spares) = sync_channel(SPARES_MAX);
        Lines { sender, batch: Vec::new(), spares, back }
    }

    /// The lines that the next `flush` hands over.
    pub fn batch(&mut self) -> &mut Vec<u8> {
        &mut self.batch
    }

    /// Hands the batch over. Returns false if it had to be dropped.
    pub fn flush(&mut self) -> bool {
        if self.batch.is_empty() {
            return true;
        }
        let spare = self.spares.try_recv().unwrap_or_else(|_| Vec::with_capacity(4096));
        let lines = std::mem::replace(&mut self.batch, spare);
        let batch = Batch { lines, back: self.back.clone() };
        let sent = self.sender.as_ref().map(|sender| sender.try_send(batch));
        !matches!(sent, Some(Err(TrySendError::Full(_))))
    }

    /// Hands over what is left; the writer ends when all have done so.
    pub fn close(&mut self) {
        self.flush();
        self.sender = None;
    }
}

impl Clone for Lines {
    fn clone(&self) -> Self {
        Lines::new(self.sender.clone())
    }
}

/// The writer's handle: closing all `Lines` and joining it writes what is left.
pub struct Writer(std::thread::JoinHandle<()>);

impl Writer {
    /// Starts the thread. Lines go to standard error, which `logto` may have pointed elsewhere.
    ///
    /// # Errors
    /// The kernel's, when no thread can be started.
    pub fn start() -> io::Result<(Writer, Lines)> {
        let (sender, receiver) = sync_channel(BATCHES_MAX);
        let thread = std::thread::Builder::new().name("uwring log".into());
        let handle = thread.spawn(move || write_batches(&receiver))?;
        Ok((Writer(handle), Lines::new(Some(sender))))
    }

    /// Waits until everything is written. All `Lines` must be gone.
    pub fn finish(self) {
        let _ = self.0.join();
    }
}

fn write_batches(receiver: &Receiver<Batch>) {
    let mut lines = Vec::new();
    while let Ok(batch) = receiver.recv() {
        lines.clear();
        take(batch, &mut lines);
        while lines.len() <= 256 * 1024
            && let Ok(more) = receiver.try_recv()
        {
            take(more, &mut lines);
        }
        // A full disk loses lines, not the server.
        let _ = io::stderr().lock().write_all(&lines);
    }
}

/// Adds a batch to `lines` and sends its memory back.
fn take(batch: Batch, lines: &mut Vec<u8>) {
    let Batch { lines: mut spare, back } = batch;
    lines.extend_from_slice(&spare);
    spare.clear();
    if spare.capacity() <= SPARE_BYTES_MAX {
        // Its shard has enough of them, or has ended: this one is freed.
        let _ = back.try_send(spare);
    }
}

/// Points standard output and standard error at a file (uWSGI: `logto`).
///
/// # Errors
/// The kernel's (no such directory, no permission).
pub fn redirect_to(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    crate::sys::replace_output(&file)
}
