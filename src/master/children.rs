//! The server processes, as the master sees them.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use crate::shared::link::{Leash, News, Tie};
use crate::sys;

/// What a server process is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Starting,
    Serving,
    /// A successor serves.
    Retiring,
}

/// A server process.
pub struct Child {
    pub pid: i32,
    pub leash: Leash,
    /// Where its predecessors hand their connections in.
    pub heir: OwnedFd,
    /// Where it hands its own in if it crashes.
    pub rescue: Option<OwnedFd>,
    /// It has done so.
    pub has_crashed: bool,
    pub phase: Phase,
    pub since: Instant,
    /// When it told last that it runs.
    pub heard: Instant,
    pub kill_at: Option<Instant>,
    /// When it began to serve.
    pub crowned: Option<Instant>,
    /// It took too long to start and is killed: another one starts in its place.
    pub is_given_up: bool,
    /// It may have accepted a connection.
    opens: bool,
    is_open: bool,
}

/// A child that is not born yet.
pub struct Unborn {
    leash: Leash,
    heir: OwnedFd,
    rescue: OwnedFd,
}

impl Unborn {
    /// The child with its number.
    pub fn born(self, pid: i32) -> Child {
        let mut child = Child::new(pid, self.leash, self.heir, Phase::Starting);
        child.rescue = Some(self.rescue);
        child
    }
}

impl Child {
    /// Both ends of the links: the master's and the server process's.
    ///
    /// # Errors
    /// The kernel's (too many files).
    pub fn prepare() -> io::Result<(Unborn, Tie)> {
        let (ours, theirs) = sys::message_pair()?;
        let (heir, heritage) = sys::message_pair()?;
        let (rescue, way) = sys::message_pair()?;
        let tie = Tie::new(theirs, heritage, way, std::process::id() as i32);
        Ok((Unborn { leash: Leash::new(ours), heir, rescue }, tie))
    }

    /// One that the binary before has started.
    pub fn resumed(pid: i32, link: OwnedFd, heir: OwnedFd, phase: Phase) -> Child {
        Child::new(pid, Leash::new(link), heir, phase)
    }

    fn new(pid: i32, leash: Leash, heir: OwnedFd, phase: Phase) -> Child {
        let now = Instant::now();
        Child {
            pid,
            leash,
            heir,
            rescue: None,
            has_crashed: false,
            phase,
            since: now,
            heard: now,
            kill_at: None,
            crowned: (phase != Phase::Starting).then_some(now),
            is_given_up: false,
            opens: phase != Phase::Starting,
            is_open: true,
        }
    }

    /// For how long it has served.
    pub fn served(&self) -> Duration {
        self.crowned.map_or(Duration::ZERO, |at| at.elapsed())
    }

    pub fn heir_fd(&self) -> RawFd {
        self.heir.as_raw_fd()
    }

    /// Tells predecessors, which hold a copy of this descriptor, that nobody listens any more. Not
    /// for a forked process that only drops what is its parent's: the socket is the same.
    pub fn disinherit(&self) {
        sys::shut(self.heir.as_raw_fd(), sys::Half::Both);
    }

    /// Readable when there is news.
    pub fn fds(&self) -> impl Iterator<Item = RawFd> {
        let rescue = self.rescue.as_ref().map(AsRawFd::as_raw_fd);
        self.is_open.then(|| self.leash.fd()).into_iter().chain(rescue)
    }

    /// Whether it is sure to have no connection: it may be killed.
    pub fn serves_nobody(&self) -> bool {
        let mut ready = Vec::new();
        // The first news of a start is that it opens, and this may still lie here.
        sys::poll_readable(&[self.leash.fd()], 0, &mut ready);
        !self.opens && ready != [true]
    }

    /// What the server process has told since the last call.
    pub fn take_news(&mut self) -> Vec<News> {
        let mut all = Vec::new();
        let mut ready = Vec::new();
        while self.is_open {
            sys::poll_readable(&[self.leash.fd()], 0, &mut ready);
            if ready != [true] {
                break;
            }
            match self.leash.news() {
                Some(news) => {
                    self.opens = true;
                    all.push(news);
                }
                // Its end is told by the kernel.
                None => self.is_open = false,
            }
        }
        all
    }
}
