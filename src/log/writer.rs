//! The thread that writes request lines, so that a slow disk or terminal holds up no shard.

use std::cell::RefCell;
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use super::{count_lines, out};

/// Batches that may wait: beyond it lines are dropped and counted, memory does not grow.
const BATCHES_MAX: usize = 256;
/// Empty batches that may wait for their next use, and how large each of them may have grown.
const SPARES_MAX: usize = 64;
const SPARE_BYTES_MAX: usize = 64 * 1024;
/// How long the end waits where not everybody has left.
const SETTLE: Duration = Duration::from_secs(2);

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
    /// None for a line of the server.
    back: Option<SyncSender<Vec<u8>>>,
}

thread_local! {
    /// Where lines of the server go that this thread writes, if it must not wait.
    static AWAY: RefCell<Option<SyncSender<Batch>>> = const { RefCell::new(None) };
}

/// Hands a line of the server to the writer, if this thread is one that must not wait.
pub(super) fn leads_away(line: &[u8]) -> bool {
    AWAY.try_with(|away| {
        let away = away.borrow();
        let Some(sender) = away.as_ref() else { return false };
        let batch = Batch { lines: line.to_vec(), back: None };
        match sender.try_send(batch) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                out::lose(1);
                true
            }
            Err(TrySendError::Disconnected(_)) => false,
        }
    })
    .unwrap_or(false)
}

impl Lines {
    fn new(sender: Option<SyncSender<Batch>>) -> Lines {
        let (back, spares) = sync_channel(SPARES_MAX);
        Lines { sender, batch: Vec::new(), spares, back }
    }

    /// Lets this thread's lines of the server go the same way: it never waits for the log then.
    pub fn lead_away(&self) {
        AWAY.with(|away| away.borrow_mut().clone_from(&self.sender));
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
        let batch = Batch { lines, back: Some(self.back.clone()) };
        match self.sender.as_ref().map(|sender| sender.try_send(batch)) {
            Some(Err(TrySendError::Full(batch))) => {
                let lines = count_lines(&batch.lines);
                out::lose(lines);
                lines
            }
            _ => 0,
        }
    }

    pub fn tail(&self) -> Tail {
        Tail(self.sender.clone())
    }

    /// Hands over what is left; the writer ends when all have done so.
    pub fn close(&mut self) {
        self.flush();
        self.sender = None;
    }
}

/// An end of the way that nothing is written to: whoever has it can wait for what others wrote.
pub struct Tail(Option<SyncSender<Batch>>);

impl Tail {
    /// Waits until what was handed over is written, for a while: some who hand over may stay.
    pub fn settle(self) {
        let Some(sender) = self.0 else { return };
        let until = Instant::now() + SETTLE;
        // A line of the server ends what is written together; then the way back is taken after it.
        let (back, done) = sync_channel(1);
        for back in [None, Some(back)] {
            let mut batch = Batch { lines: Vec::new(), back };
            while let Err(TrySendError::Full(again)) = sender.try_send(batch) {
                if Instant::now() > until {
                    return;
                }
                batch = again;
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        let _ = done.recv_timeout(until.saturating_duration_since(Instant::now()));
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
    let mut lines = Vec::new();
    let mut next = receiver.recv().ok();
    while let Some(batch) = next.take() {
        let Some(back) = batch.back else {
            out::put(&batch.lines, out::LONG_PATIENCE);
            next = receiver.recv().ok();
            continue;
        };
        lines.clear();
        take(batch.lines, &back, &mut lines);
        while lines.len() <= 256 * 1024
            && next.is_none()
            && let Ok(more) = receiver.try_recv()
        {
            match &more.back {
                Some(back) => take(more.lines, back, &mut lines),
                None => next = Some(more),
            }
        }
        out::put_requests(&lines);
        next = next.or_else(|| receiver.recv().ok());
    }
}

/// Adds a batch to `lines` and sends its memory back.
fn take(mut spare: Vec<u8>, back: &SyncSender<Vec<u8>>, lines: &mut Vec<u8>) {
    lines.extend_from_slice(&spare);
    spare.clear();
    if spare.capacity() <= SPARE_BYTES_MAX {
        // Its shard has enough of them, or has ended: this one is freed.
        let _ = back.try_send(spare);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_handed_over_is_waited_for() {
        let (sender, receiver) = sync_channel(BATCHES_MAX);
        let mut lines = Lines::new(Some(sender));
        let taken = &std::sync::atomic::AtomicUsize::new(0);
        let tail = lines.tail();
        for _ in 0..100 {
            lines.batch().extend_from_slice(b"line\n");
            lines.flush();
        }
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let mut all = Vec::new();
                while let Ok(batch) = receiver.recv() {
                    std::thread::sleep(Duration::from_millis(1));
                    taken.fetch_add(batch.lines.len(), std::sync::atomic::Ordering::SeqCst);
                    if let Some(back) = batch.back {
                        take(batch.lines, &back, &mut all);
                    }
                }
            });
            tail.settle();
            assert_eq!(taken.load(std::sync::atomic::Ordering::SeqCst), 500);
            // One stays, and its lines go on.
            drop(lines);
        });
    }

    #[test]
    fn a_thread_that_must_not_wait_hands_its_lines_on() {
        let (sender, receiver) = sync_channel(1);
        let lines = Lines::new(Some(sender));
        std::thread::spawn(move || {
            assert!(!leads_away(b"before\n"));
            lines.lead_away();
            assert!(leads_away(b"one\n") && leads_away(b"there is no room\n"));
        })
        .join()
        .unwrap();
        let batch = receiver.recv().unwrap();
        assert!(batch.lines == b"one\n" && batch.back.is_none());
        assert!(receiver.recv().is_err(), "the thread has left, and its end with it");
    }
}
