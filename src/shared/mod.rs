//! What it does: holds what more than one shard or process may touch: counters and the worker
//! table.
//! What it does not: hold Python objects; sit on the request path but for a few counters.
//! Who may call it: every room but proto, python and handoff.
//! What it may import: sys, std.
//!
//! Counters lie in one mapping that forked workers share, so the stats read true values without
//! asking anybody.

pub mod link;
mod locks;
mod mailbox;
pub mod rescue;
mod signals;

use std::io;
use std::sync::atomic::{
    AtomicU32, AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release,
};
use std::time::{SystemTime, UNIX_EPOCH};

pub use locks::{LOCKS_MAX, Locks, Owner};
pub use mailbox::{Inbox, Mailbox};
pub use signals::Raised;

use crate::sys::{self, Sharing};

/// Microseconds since the epoch.
pub fn now_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}

/// Places in a worker's row.
pub mod worker {
    pub const INCARNATION: usize = 0;
    pub const PID: usize = 1;
    pub const REQUESTS: usize = 2;
    pub const EXCEPTIONS: usize = 3;
    /// Microseconds spent in requests.
    pub const RUNNING_US: usize = 4;
    /// Bytes sent to clients.
    pub const TX: usize = 5;
    /// uWSGI: (old + last) / 2, microseconds.
    pub const AVG_RT_US: usize = 6;
    /// Seconds since the epoch.
    pub const LAST_SPAWN: usize = 7;
    pub const SPAWNS: usize = 8;
    /// The incarnation that takes requests, 0 while there is none.
    pub const READY: usize = 9;
    /// 1 when it has an app.
    pub const HAS_APP: usize = 10;
    /// Seconds that loading the app took.
    pub const STARTUP_S: usize = 11;
    /// The interpreter's address, for uWSGI's start-up line.
    pub const INTERPRETER: usize = 12;
    /// Requests that took longer than they may.
    pub const HARAKIRIS: usize = 13;
    /// The number of the request at which the worker rings the control thread; 0 for none.
    pub const RING_AT: usize = 14;
    /// The incarnation that is to be replaced because of an exception.
    pub const UNWANTED: usize = 15;
    pub const WORDS: usize = 16;
}

/// Places in an app's row: one of several apps of a worker.
pub mod app {
    pub const REQUESTS: usize = 0;
    pub const EXCEPTIONS: usize = 1;
    pub const WORDS: usize = 2;
}

/// Places in a core's row: one thread of a worker.
pub mod core {
    pub const REQUESTS: usize = 0;
    pub const IN_REQUEST: usize = 1;
    /// Seconds since the epoch.
    pub const REQUEST_START: usize = 2;
    pub const READ_ERRORS: usize = 3;
    pub const WRITE_ERRORS: usize = 4;
    /// The kernel's id of the thread.
    pub const THREAD_ID: usize = 5;
    pub const WORDS: usize = 8;
}

/// Places in a shard's row.
pub mod shard {
    pub const ACCEPTED: usize = 0;
    pub const OPEN: usize = 1;
    pub const REQUESTS: usize = 2;
    pub const REJECTED: usize = 3;
    /// Times that a worker had to ring the doorbell.
    pub const BELLS: usize = 4;
    pub const PANICS: usize = 5;
    pub const LOG_DROPPED: usize = 6;
    pub const THREAD_ID: usize = 7;
    /// Bytes sent to clients.
    pub const TX: usize = 8;
    /// Answers that a worker sent by itself.
    pub const OWN_SENDS: usize = 9;
    /// Requests that ended here without being counted for the whole server.
    pub const DONE: usize = 10;
    /// Requests that were answered with a file, without the app.
    pub const STATIC: usize = 11;
    /// Connections that have a request, as of the last sweep.
    pub const ACTIVE: usize = 12;
    /// Times that requests or answers had the shard's attention, a whole batch at once.
    pub const TURNS: usize = 13;
    /// Connections of which only the descriptor is left, as of the last sweep.
    pub const PARKED: usize = 14;
    /// Times that requests were left to gather while all workers computed.
    pub const GATHERED: usize = 15;
    /// Answers that waited for each other meanwhile (`coalesce-answers`).
    pub const HELD: usize = 16;
    /// 1 while it waits its turn when it wakes up (SCHED_BATCH).
    pub const BATCH: usize = 17;
    /// The number of the core that it is pinned to, and one more; 0 where connections of other
    /// shards may not come.
    pub const CORE: usize = 18;
    /// Connections that moved to the shard where their packets arrive.
    pub const MOVED: usize = 19;
    pub const WORDS: usize = 20;
}

/// One row of counters.
#[derive(Clone, Copy)]
pub struct Row(&'static [AtomicU64]);

impl Row {
    pub fn get(self, place: usize) -> u64 {
        self.0[place].load(Relaxed)
    }

    pub fn set(self, place: usize, value: u64) {
        self.0[place].store(value, Relaxed);
    }

    /// Adds to a counter that several threads write.
    pub fn add(self, place: usize, value: u64) -> u64 {
        self.0[place].fetch_add(value, Relaxed) + value
    }

    /// Adds to a counter that only one thread writes at a time (a shard, the holder of a GIL): no
    /// locked instruction.
    pub fn bump(self, place: usize, value: u64) -> u64 {
        let sum = self.0[place].load(Relaxed).wrapping_add(value);
        self.0[place].store(sum, Relaxed);
        sum
    }
}

/// The counters of the whole server.
pub struct Board {
    words: &'static [AtomicU64],
    /// What workers sleep on: the app's locks, then its signals.
    bells: &'static [AtomicU32],
    workers: usize,
    threads: usize,
    shards: usize,
    /// Apps of each worker, 0 where the worker's own row says all of its only one.
    apps: usize,
}

const HEADER_WORDS: usize = 24;
/// Requests logged or answered since the start, of all workers.
const TOTAL: usize = 0;
/// Bits of what apps ask of the server.
const WISHES: usize = 1;
/// Extension modules that refused an interpreter while requests were served.
const LATE_REFUSALS: usize = 2;
/// The length and the bytes of a text that answers a ping.
const WARNING_LEN: usize = 3;
const WARNING: usize = 8;
/// uWSGI: longer ones are cut.
pub const WARNING_BYTES_MAX: usize = 80;

/// What an app asks of the server (`uwsgi.reload()` and its like).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    Reload = 1,
    Stop = 2,
    /// The workers cannot be mended one by one.
    Replace = 4,
}

impl Board {
    /// Makes the board. Must run before workers are forked.
    ///
    /// # Errors
    /// The kernel's.
    pub fn new(
        workers: usize,
        threads: usize,
        shards: usize,
        apps: usize,
    ) -> io::Result<&'static Board> {
        let apps = if apps > 1 { apps } else { 0 };
        let count = HEADER_WORDS
            + workers * (worker::WORDS + threads * core::WORDS + apps * app::WORDS)
            + shards * shard::WORDS;
        let words = sys::words_forever(count, Sharing::Processes)?;
        let bells = LOCKS_MAX + workers * signals::WORDS;
        let bells = sys::half_words_forever(bells, Sharing::Processes)?;
        Ok(Box::leak(Box::new(Board { words, bells, workers, threads, shards, apps })))
    }

    /// The app's locks.
    pub fn locks(&self) -> Locks {
        Locks::new(&self.bells[..LOCKS_MAX])
    }

    /// The app's signals.
    pub fn signals(&self) -> Raised {
        Raised::new(&self.bells[LOCKS_MAX..])
    }

    /// Forgets the locks and signals of a trial of the app.
    pub fn forget_trial(&self) {
        self.locks().clear();
        self.signals().clear();
    }

    pub fn workers(&self) -> usize {
        self.workers
    }

    pub fn threads(&self) -> usize {
        self.threads
    }

    pub fn shards(&self) -> usize {
        self.shards
    }

    fn row(&self, at: usize, words: usize) -> Row {
        Row(&self.words[at..at + words])
    }

    /// The row of worker `index` (from 0).
    pub fn worker(&self, index: usize) -> Row {
        assert!(index < self.workers, "BUG: no worker {index}");
        self.row(HEADER_WORDS + index * worker::WORDS, worker::WORDS)
    }

    /// The row of thread `thread` of worker `index`.
    pub fn core(&self, index: usize, thread: usize) -> Row {
        assert!(index < self.workers && thread < self.threads, "BUG: no such core");
        let start = HEADER_WORDS + self.workers * worker::WORDS;
        self.row(start + (index * self.threads + thread) * core::WORDS, core::WORDS)
    }

    /// The row of app `app` of worker `index`, where there are several apps.
    pub fn app(&self, index: usize, app: usize) -> Option<Row> {
        if app >= self.apps {
            return None;
        }
        let cores = self.workers * self.threads;
        let start = HEADER_WORDS + self.workers * worker::WORDS + cores * core::WORDS;
        let start = start + self.shards * shard::WORDS;
        Some(self.row(start + (index * self.apps + app) * app::WORDS, app::WORDS))
    }

    /// The row of a shard.
    pub fn shard(&self, index: usize) -> Row {
        assert!(index < self.shards, "BUG: no shard {index}");
        let cores = self.workers * self.threads;
        let start = HEADER_WORDS + self.workers * worker::WORDS + cores * core::WORDS;
        self.row(start + index * shard::WORDS, shard::WORDS)
    }

    /// Asks for something; the control thread looks within half a second.
    pub fn ask(&self, wish: Wish) {
        self.words[WISHES].fetch_or(wish as u64, Relaxed);
    }

    /// What was asked for since the last call.
    pub fn take_wishes(&self) -> Vec<Wish> {
        let bits = self.words[WISHES].swap(0, Relaxed);
        let all = [Wish::Reload, Wish::Stop, Wish::Replace];
        all.into_iter().filter(|&wish| bits & wish as u64 != 0).collect()
    }

    /// Counts one request of the whole server and returns its number. All shards write this word:
    /// only for a line that tells the number.
    pub fn count_request(&self) -> u64 {
        self.words[TOTAL].fetch_add(1, Relaxed) + 1 + self.uncounted()
    }

    /// Sets the text that answers a ping, as far as it fits.
    pub fn set_warning(&self, text: &[u8]) {
        let text = &text[..text.len().min(WARNING_BYTES_MAX)];
        self.words[WARNING_LEN].store(0, Release);
        for (place, eight) in text.chunks(8).enumerate() {
            let mut bytes = [0; 8];
            bytes[..eight.len()].copy_from_slice(eight);
            self.words[WARNING + place].store(u64::from_ne_bytes(bytes), Relaxed);
        }
        self.words[WARNING_LEN].store(text.len() as u64, Release);
    }

    /// The text that answers a ping.
    pub fn warning(&self) -> Vec<u8> {
        let len = (self.words[WARNING_LEN].load(Acquire) as usize).min(WARNING_BYTES_MAX);
        let words = &self.words[WARNING..WARNING + WARNING_BYTES_MAX / 8];
        let bytes = words.iter().flat_map(|word| word.load(Relaxed).to_ne_bytes());
        bytes.take(len).collect()
    }

    /// Counts an extension module that refused an interpreter while requests were served.
    pub fn count_late_refusal(&self) {
        self.words[LATE_REFUSALS].fetch_add(1, Relaxed);
    }

    /// Extension modules that refused so, each counted once. Where it is not 0 under `--isolation
    /// auto`, the trial saw too little, and processes would serve the app better.
    pub fn late_refusals(&self) -> u64 {
        self.words[LATE_REFUSALS].load(Relaxed)
    }

    /// Requests of the whole server so far.
    pub fn total(&self) -> u64 {
        self.words[TOTAL].load(Relaxed) + self.uncounted()
    }

    fn uncounted(&self) -> u64 {
        (0..self.shards).map(|index| self.shard(index).get(shard::DONE)).sum()
    }
}
