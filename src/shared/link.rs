//! The words between the master and a server process: single packets on a pair of sockets.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use crate::sys;

/// What the master tells a server process.
#[derive(Debug)]
pub enum Order {
    /// A successor serves: accept no more, give it the connections (the descriptor leads to it),
    /// finish what runs, and end. A later one names a later successor.
    Retire(OwnedFd),
    /// Finish what runs, then end.
    Stop,
    /// End at once.
    Quit,
    /// Write the workers' status to the log.
    Status,
    /// Hold requests back, or no longer.
    Pause,
    /// One worker more, or one less, or none until a request comes.
    More,
    Less,
    Cheap,
    /// The master is gone.
    Orphaned,
}

/// What a server process tells the master.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// It is about to accept connections.
    Opens,
    /// It serves.
    Ready,
    /// Its control thread runs; told now and then.
    Alive,
    /// The app asks for a reload of everything.
    Reload,
    /// The app asks for the end.
    Stop,
    /// It wants a successor: its workers cannot be replaced one by one.
    Replace,
    /// The same, with processes for workers: a module refused an interpreter.
    Isolate,
}

const RETIRE: u8 = b'r';
const STOP: u8 = b's';
const QUIT: u8 = b'q';
const STATUS: u8 = b'i';
const PAUSE: u8 = b'p';
const MORE: u8 = b'+';
const LESS: u8 = b'-';
const CHEAP: u8 = b'C';

/// The server process's end of the link to its master.
pub struct Tie {
    link: OwnedFd,
    /// Where predecessors hand their connections in.
    pub heritage: OwnedFd,
    /// Where this process hands its own in if it crashes.
    pub rescue: OwnedFd,
    pub master_pid: i32,
    /// It is to take the place of a server that works: one without an app must not.
    pub needs_app: bool,
}

impl Tie {
    pub fn new(link: OwnedFd, heritage: OwnedFd, rescue: OwnedFd, master_pid: i32) -> Tie {
        Tie { link, heritage, rescue, master_pid, needs_app: false }
    }

    /// Readable when there is an order.
    pub fn fd(&self) -> RawFd {
        self.link.as_raw_fd()
    }

    /// All descriptors of the tie.
    pub fn fds(&self) -> Vec<RawFd> {
        vec![self.link.as_raw_fd(), self.heritage.as_raw_fd(), self.rescue.as_raw_fd()]
    }

    /// Tells the master; one that is gone needs no news.
    pub fn tell(&self, news: News) {
        let word = match news {
            News::Opens => b'O',
            News::Ready => b'R',
            News::Alive => b'A',
            News::Reload => b'L',
            News::Stop => b'S',
            News::Replace => b'P',
            News::Isolate => b'I',
        };
        // Without waiting: a master that is stopped must not stop the server.
        let _ = sys::send_now(self.link.as_raw_fd(), &[word]);
    }

    /// Waits for the next order.
    pub fn order(&self) -> Order {
        let mut word = [0; 1];
        let got = sys::receive_with_fd(self.link.as_fd(), &mut word);
        match (got, word[0]) {
            (Ok((1, Some(heir))), RETIRE) => Order::Retire(heir),
            (Ok((1, None)), STOP) => Order::Stop,
            (Ok((1, None)), QUIT) => Order::Quit,
            (Ok((1, None)), STATUS) => Order::Status,
            (Ok((1, None)), PAUSE) => Order::Pause,
            (Ok((1, None)), MORE) => Order::More,
            (Ok((1, None)), LESS) => Order::Less,
            (Ok((1, None)), CHEAP) => Order::Cheap,
            _ => Order::Orphaned,
        }
    }
}

/// The master's end of the link to one server process.
pub struct Leash(OwnedFd);

impl Leash {
    pub fn new(link: OwnedFd) -> Leash {
        Leash(link)
    }

    /// Readable when there is news.
    pub fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// Waits for the next news; None when the server process is gone.
    pub fn news(&self) -> Option<News> {
        let mut word = [0; 1];
        match (sys::receive_with_fd(self.0.as_fd(), &mut word), word[0]) {
            (Ok((1, _)), b'O') => Some(News::Opens),
            (Ok((1, _)), b'R') => Some(News::Ready),
            (Ok((1, _)), b'A') => Some(News::Alive),
            (Ok((1, _)), b'L') => Some(News::Reload),
            (Ok((1, _)), b'S') => Some(News::Stop),
            (Ok((1, _)), b'P') => Some(News::Replace),
            (Ok((1, _)), b'I') => Some(News::Isolate),
            _ => None,
        }
    }

    /// Orders something; a process that is gone needs no orders.
    pub fn order(&self, order: &Order) {
        let (word, fd) = match order {
            Order::Retire(heir) => (RETIRE, Some(heir.as_fd())),
            Order::Stop => (STOP, None),
            Order::Quit => (QUIT, None),
            Order::Status => (STATUS, None),
            Order::Pause => (PAUSE, None),
            Order::More => (MORE, None),
            Order::Less => (LESS, None),
            Order::Cheap => (CHEAP, None),
            Order::Orphaned => return,
        };
        let _ = sys::send_with_fd(self.0.as_fd(), &[word], fd);
    }
}

/// A connection on its way from a server process to its successor, between two requests.
#[derive(Debug)]
pub struct Legacy {
    pub fd: OwnedFd,
    /// The bound address of the listener that it came by: numbers differ between configurations.
    pub listener: String,
    pub told: Told,
    /// What the client has sent and nobody has read.
    pub bytes: Vec<u8>,
}

/// Whether a balancer says who the client is, as the predecessor's configuration had it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// Nobody says.
    No,
    /// In front of the unread bytes.
    InFront,
    /// The next bytes may say it.
    Awaited,
}

/// More unread bytes than this do not travel.
pub const LEGACY_BYTES_MAX: usize = 96 * 1024;

impl Legacy {
    /// Gives a connection away. The caller's descriptor stays open.
    ///
    /// # Errors
    /// The kernel's: `WouldBlock` when too many are on their way, others when the heir is gone.
    pub fn give(
        heir: RawFd,
        fd: RawFd,
        listener: &str,
        told: Told,
        bytes: &[u8],
    ) -> io::Result<()> {
        let name_len = u8::try_from(listener.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        let mut message = Vec::with_capacity(2 + listener.len() + bytes.len());
        message.push(match told {
            Told::No => 0,
            Told::InFront => 1,
            Told::Awaited => 2,
        });
        message.push(name_len);
        message.extend_from_slice(listener.as_bytes());
        message.extend_from_slice(bytes);
        sys::give_fd(heir, &message, fd)
    }

    /// Takes a connection that a predecessor gave, if one is here. `Ok(None)` if none is,
    /// `UnexpectedEof` when none will come any more.
    ///
    /// # Errors
    /// As above.
    pub fn take(heritage: &OwnedFd, buffer: &mut Vec<u8>) -> io::Result<Option<Legacy>> {
        let mut ready = Vec::new();
        sys::poll_readable(&[heritage.as_raw_fd()], 0, &mut ready);
        if ready != [true] {
            return Ok(None);
        }
        buffer.resize(2 + 255 + LEGACY_BYTES_MAX, 0);
        let (len, fd) = sys::receive_with_fd(heritage.as_fd(), buffer)?;
        let Some((&[told, name_len], rest)) = buffer[..len].split_first_chunk() else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        let told = match told {
            1 => Told::InFront,
            2 => Told::Awaited,
            _ => Told::No,
        };
        // A descriptor that this process has no room for is lost: the client sees an end.
        let Some(fd) = fd else { return Ok(None) };
        let (name, bytes) = rest.split_at(rest.len().min(usize::from(name_len)));
        let listener = String::from_utf8_lossy(name).into_owned();
        Ok(Some(Legacy { fd, listener, told, bytes: bytes.to_vec() }))
    }
}
