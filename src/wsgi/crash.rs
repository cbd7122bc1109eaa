//! Names the requests that ran when a native module crashes: uWSGI's "process got Segmentation
//! Fault", with the request that did it.

use std::sync::OnceLock;

use crate::handoff::Handoff;
use crate::shared::{Board, core, rescue, worker};
use crate::sys;

static WHERE: OnceLock<(&'static Handoff, &'static Board)> = OnceLock::new();

/// Installs the last words for this process.
pub fn watch(handoff: &'static Handoff, board: &'static Board) {
    if WHERE.set((handoff, board)).is_ok() {
        sys::crash::on_crash(tell);
    }
}

/// A line that is built without allocating.
struct Line {
    bytes: [u8; 1024],
    len: usize,
}

impl Line {
    fn put(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if self.len + 1 < self.bytes.len() {
                // A target cannot hold control characters over HTTP; over uwsgi it can.
                self.bytes[self.len] = if byte < b' ' { b'?' } else { byte };
                self.len += 1;
            }
        }
    }

    fn number(&mut self, number: usize) {
        let mut digits = [0; 20];
        let (mut left, mut at) = (number, digits.len());
        loop {
            at -= 1;
            digits[at] = b'0' + (left % 10) as u8;
            left /= 10;
            if left == 0 {
                break;
            }
        }
        self.put(&digits[at..]);
    }

    fn end(mut self) {
        self.bytes[self.len] = b'\n';
        sys::crash::write_raw(&self.bytes[..=self.len]);
    }
}

/// Runs in a signal's handler: no lock, no memory, no formatting of the standard library.
fn tell(signal: i32) {
    let Some((handoff, board)) = WHERE.get() else { return };
    let rescues = rescue::begin();
    if rescues {
        (0..board.shards()).for_each(|shard| handoff.ring(shard));
    }
    let mut line = Line { bytes: [0; 1024], len: 0 };
    line.put(b"!!! uwring process ");
    line.number(std::process::id() as usize);
    line.put(b" got ");
    line.put(match signal {
        libc::SIGSEGV => b"Segmentation Fault",
        libc::SIGBUS => b"Bus Error",
        libc::SIGILL => b"Illegal Instruction",
        libc::SIGFPE => b"Arithmetic Exception",
        _ => b"Abort",
    });
    line.put(b" !!!");
    line.end();
    let own = sys::thread_id() as u64;
    handoff.each_running(|running| {
        if running.worker >= board.workers() || running.core >= board.threads() {
            return;
        }
        if board.worker(running.worker).get(worker::PID) != u64::from(std::process::id()) {
            return;
        }
        let is_here = board.core(running.worker, running.core).get(core::THREAD_ID) == own;
        let mut line = Line { bytes: [0; 1024], len: 0 };
        line.put(if is_here { b"!!! it ran " } else { b"!!! beside it ran " });
        line.put(running.method);
        line.put(b" ");
        line.put(running.target);
        line.put(b" on worker ");
        line.number(running.worker + 1);
        line.put(b" core ");
        line.number(running.core);
        line.put(b" !!!");
        line.end();
    });
    // uWSGI's words around it.
    let mut line = Line { bytes: [0; 1024], len: 0 };
    line.put(b"*** backtrace of ");
    line.number(std::process::id() as usize);
    line.put(b" ***");
    line.end();
    sys::crash::write_native_stack();
    sys::crash::write_raw(b"*** end of backtrace ***\n");
    if rescues {
        rescue::finish(board);
    }
}
