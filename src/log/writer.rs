//! The thread that writes request lines, so that a slow disk or terminal holds up no shard.

use std::fs::File;
use std::io::{self, Write};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use super::{LOST, count_lines, process, put};

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

    /// Hands the batch over. Returns how many lines had to be dropped.
    pub fn flush(&mut self) -> u64 {
        if self.batch.is_empty() {
            return 0;
        }
        let spare = self.spares.try_recv().unwrap_or_else(|_| Vec::with_capacity(4096));
        let lines = std::mem::replace(&mut self.batch, spare);
        let batch = Batch { lines, back: self.back.clone() };
        match self.sender.as_ref().map(|sender| sender.try_send(batch)) {
            Some(Err(TrySendError::Full(batch))) => {
                let lines = count_lines(&batch.lines);
                LOST.fetch_add(lines, Relaxed);
                lines
            }
            _ => 0,
        }
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
    /// Starts the thread. Lines go to standard error, which `logto` may have pointed elsewhere, or
    /// to the log's process.
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
    let mut own_way = process::requests();
    let mut lines = Vec::new();
    while let Ok(batch) = receiver.recv() {
        lines.clear();
        take(batch, &mut lines);
        while lines.len() <= 256 * 1024
            && let Ok(more) = receiver.try_recv()
        {
            take(more, &mut lines);
        }
        match &mut own_way {
            Some(pipe) => write_whole_lines(pipe, &lines),
            None => put(&lines),
        }
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

/// Writes lines into a pipe that another server process may write to at the same time: so many
/// bytes go in as one (PIPE_BUF).
fn write_whole_lines(pipe: &mut File, mut lines: &[u8]) {
    while !lines.is_empty() {
        let most = &lines[..lines.len().min(4096)];
        let end = memchr::memrchr(b'\n', most).or_else(|| memchr::memchr(b'\n', lines));
        let (first, rest) = lines.split_at(end.map_or(lines.len(), |at| at + 1));
        if pipe.write_all(first).is_err() {
            LOST.fetch_add(count_lines(lines), Relaxed);
            return;
        }
        lines = rest;
    }
    if LOST.load(Relaxed) > 0 {
        put(b"");
    }
}
