//! The thread that writes request lines, so that a slow disk or terminal holds up no shard.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

/// Batches that may wait: beyond it lines are dropped and counted, memory does not grow.
const BATCHES_MAX: usize = 256;

/// A shard's end: it gathers the lines of a turn and hands them over.
pub struct Lines {
    /// None after `close`.
    sender: Option<SyncSender<Vec<u8>>>,
    batch: Vec<u8>,
}

impl Lines {
    /// The lines that the next `flush` hands over.
    pub fn batch(&mut self) -> &mut Vec<u8> {
        &mut self.batch
    }

    /// Hands the batch over. Returns false if it had to be dropped.
    pub fn flush(&mut self) -> bool {
        if self.batch.is_empty() {
            return true;
        }
        let batch = std::mem::replace(&mut self.batch, Vec::with_capacity(4096));
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
        Lines { sender: self.sender.clone(), batch: Vec::new() }
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
        Ok((Writer(handle), Lines { sender: Some(sender), batch: Vec::new() }))
    }

    /// Waits until everything is written. All `Lines` must be gone.
    pub fn finish(self) {
        let _ = self.0.join();
    }
}

fn write_batches(receiver: &Receiver<Vec<u8>>) {
    while let Ok(mut batch) = receiver.recv() {
        while let Ok(more) = receiver.try_recv() {
            batch.extend_from_slice(&more);
            if batch.len() > 256 * 1024 {
                break;
            }
        }
        // A full disk loses lines, not the server.
        let _ = io::stderr().lock().write_all(&batch);
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
