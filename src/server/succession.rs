//! The server process's side of its replacement: orders of the master, connections that come from a
//! predecessor, and those that go to a successor.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use super::control::Control;
use super::workers::Sitter;
use crate::handoff::Described;
use crate::log;
use crate::notify::Notify;
use crate::shard::Message;
use crate::shared::link::{Legacy, News, Order, Tie};
use crate::shared::shard;
use crate::sys;

/// The master hears at least this often that the control thread runs.
const ALIVE_EVERY: Duration = Duration::from_secs(1);

/// Between the end of the mercy, when connections close that wait, and the end of this process:
/// shorter than the master waits then.
const LAST_MOMENT: Duration = Duration::from_secs(2);

/// What ties this process to its master, its predecessors and its successors.
pub struct Ties {
    tie: Option<Tie>,
    /// Where there is no master, which tells the service manager else.
    notify: Option<Notify>,
    /// Whether predecessors may still send.
    inherits: bool,
    /// The newest is the one that connections go to. None is closed before the end: shards know
    /// them by number.
    heirs: Vec<OwnedFd>,
    since: Instant,
    told: Instant,
    buffer: Vec<u8>,
    /// A descriptor that stands for nothing: where the app has taken all that may be open, its
    /// place is the one that an heir comes in.
    spare: Option<OwnedFd>,
}

impl Ties {
    /// Made when `workers` serve.
    pub fn new(tie: Option<Tie>, workers: usize) -> Ties {
        let inherits = tie.is_some();
        let now = Instant::now();
        let mut notify = match tie {
            Some(_) => None,
            None => Some(Notify::from_env(&std::env::vars_os().collect())),
        };
        if let Some(notify) = &mut notify {
            notify.ready(workers);
        }
        let (heirs, buffer) = (Vec::new(), Vec::new());
        let spare = sys::eventfd().ok();
        Ties { tie, notify, inherits, heirs, since: now, told: now, buffer, spare }
    }

    pub fn has_master(&self) -> bool {
        self.tie.is_some()
    }

    /// Whether a successor serves.
    pub fn retires(&self) -> bool {
        !self.heirs.is_empty()
    }

    /// Whether a successor has been serving for longer than `limit`.
    pub fn retires_longer_than(&self, limit: Duration) -> bool {
        self.retires() && self.since.elapsed() > limit
    }

    /// Descriptors to wait on.
    pub fn fds(&self) -> Vec<RawFd> {
        let mut fds = Vec::new();
        if let Some(tie) = &self.tie {
            fds.push(tie.fd());
            if self.inherits {
                fds.push(tie.heritage.as_raw_fd());
            }
        }
        fds
    }

    pub fn tell(&self, news: News) {
        if let Some(tie) = &self.tie {
            tie.tell(news);
        }
    }

    /// How long a stop waits for requests: `mercy`, or little more where it is over already.
    pub fn rest(&self, mercy: Duration) -> Duration {
        if self.retires_longer_than(mercy) { LAST_MOMENT.min(mercy) } else { mercy }
    }

    /// The end begins.
    pub fn tell_stopping(&mut self) {
        if let Some(notify) = &mut self.notify {
            notify.stopping();
        }
    }

    /// Tells the master now and then that all is well, or the service manager.
    pub fn tell_alive(&mut self) {
        if let Some(notify) = &mut self.notify {
            notify.alive();
        }
        if self.told.elapsed() >= ALIVE_EVERY {
            self.told = Instant::now();
            self.tell(News::Alive);
        }
    }

    /// The next order, if there is one.
    pub fn order(&mut self) -> Option<Order> {
        let tie = self.tie.as_ref()?;
        let mut ready = Vec::new();
        sys::poll_readable(&[tie.fd()], 0, &mut ready);
        if ready != [true] {
            return None;
        }
        self.spare = None;
        let order = tie.order();
        if !matches!(order, Order::Retire(_)) {
            self.spare = sys::eventfd().ok();
        }
        if matches!(order, Order::Orphaned) {
            self.tie = None;
        }
        Some(order)
    }

    /// Takes up a successor; the number is what shards need.
    pub fn name_heir(&mut self, heir: OwnedFd) -> RawFd {
        let number = heir.as_raw_fd();
        if self.heirs.is_empty() {
            self.since = Instant::now();
        }
        self.heirs.push(heir);
        number
    }

    /// The next connection from a predecessor, if there is one.
    fn inherit(&mut self) -> Option<Legacy> {
        let tie = self.tie.as_ref().filter(|_| self.inherits)?;
        match Legacy::take(&tie.heritage, &mut self.buffer) {
            Ok(legacy) => legacy,
            Err(error) => {
                if error.kind() != io::ErrorKind::UnexpectedEof {
                    log::line(format_args!("taking over connections: {error}"));
                }
                self.inherits = false;
                None
            }
        }
    }

    /// The last act: whoever still sends connections is told that nobody listens, and those that
    /// are on their way are passed on.
    pub fn close_heritage(&mut self) {
        if let Some(tie) = &self.tie {
            sys::shut(tie.heritage.as_raw_fd(), sys::Half::Read);
        }
        self.pass_on();
    }

    /// Passes on what predecessors send: the shards may have ended already.
    fn pass_on(&mut self) {
        let Some(heir) = self.heirs.last().map(AsRawFd::as_raw_fd) else { return };
        while let Some(Legacy { fd, listener, told, bytes }) = self.inherit() {
            for _ in 0..1000 {
                match Legacy::give(heir, fd.as_raw_fd(), &listener, told, &bytes) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                    _ => break,
                }
            }
        }
    }
}

impl Control {
    /// Gives connections from predecessors to the shards, each to the one that has fewest.
    pub(super) fn take_heritage(&mut self) {
        if self.ties.retires() {
            return self.ties.pass_on();
        }
        let board = self.plan.board;
        let mut given = vec![0; self.shards.len()];
        while let Some(legacy) = self.ties.inherit() {
            let open = |index: &usize| board.shard(*index).get(shard::OPEN) + given[*index];
            let Some(index) = (0..self.shards.len()).min_by_key(open) else { return };
            given[index] += 1;
            self.shards[index].legacies.put(legacy);
            self.plan.handoff.ring(index);
        }
    }

    /// Names the requests that the end of this process cuts.
    pub(super) fn name_running(&self) {
        let (handoff, threads) = (self.plan.handoff, self.plan.board.threads());
        for Sitter { worker, incarnation, .. } in self.workers.sitters(&self.plan) {
            for core in 0..threads {
                let Some(running) = handoff.running(worker, incarnation, core) else { continue };
                let Described { method, target, .. } = running.describe();
                let (method, target) =
                    (log::shown(method.as_bytes()), log::shown(target.as_bytes()));
                let number = worker + 1;
                log::line(format_args!("cut: {method} {target} on worker {number} core {core}"));
            }
        }
    }

    /// Leaves the serving to a successor.
    pub(super) fn retire(&mut self, heir: OwnedFd) {
        let is_first = !self.ties.retires();
        if is_first {
            // It answers for the statistics too.
            self.stats = None;
        }
        let heir = self.ties.name_heir(heir);
        self.tell(Message::Retire { heir });
        self.await_shards();
        if is_first {
            // Said once no request begins here any more.
            log::line(format_args!("a successor serves: finishing the requests in flight"));
        }
    }
}
