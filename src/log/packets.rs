//! Lines as datagrams: syslog here and elsewhere, the journal, plain ones.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use super::file::Lost;
use crate::options::Address;
use crate::sys;

/// How long a reader that is there and slow may be waited for, and the part of all time that such
/// waits may take: others' lines wait as long.
const PATIENCE: Duration = Duration::from_millis(100);
const PART: u32 = 4;
/// How long a reader that was not there is left alone.
const PAUSE: Duration = Duration::from_millis(500);
/// How long the first line waits for the address of a name.
const LOOKUP: Duration = Duration::from_secs(2);
/// A line that is too long for a datagram is cut to this.
const CUT: usize = 32 * 1024;

/// What a datagram looks like.
#[derive(Debug)]
pub(super) enum Form {
    Plain,
    /// RFC 3164.
    Syslog {
        priority: u32,
        tag: String,
        max: usize,
    },
    Journal,
}

/// Datagrams to one address.
pub(super) struct Packets {
    address: Address,
    form: Form,
    splits: bool,
    socket: Option<Socket>,
    /// A socket that somebody else opens, since names are slow to look up.
    lookup: Option<Receiver<io::Result<Socket>>>,
    lost: Lost,
    /// Nobody took the last one: no waiting until then.
    pause: Option<Instant>,
    /// What may be waited, and when that was last reckoned.
    patience: (Duration, Instant),
}

enum Socket {
    Udp(UdpSocket),
    Unix(UnixDatagram),
}

impl Socket {
    fn open(address: &Address) -> io::Result<Socket> {
        match address {
            Address::Tcp { host, port } => {
                let is_v6 = host.contains(':');
                let socket = UdpSocket::bind(if is_v6 { "[::]:0" } else { "0.0.0.0:0" })?;
                socket.connect((host.trim_matches(['[', ']']), *port))?;
                socket.set_nonblocking(true)?;
                Ok(Socket::Udp(socket))
            }
            address => {
                let socket = UnixDatagram::unbound()?;
                match address {
                    Address::Unix(path) => socket.connect(path)?,
                    Address::Abstract(name) => {
                        socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?;
                    }
                    _ => return Err(ErrorKind::InvalidInput.into()),
                }
                socket.set_nonblocking(true)?;
                Ok(Socket::Unix(socket))
            }
        }
    }

    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        match self {
            // An earlier datagram's refusal is told at the next one, which was not sent then.
            Socket::Udp(socket) => match socket.send(bytes) {
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => socket.send(bytes),
                result => result,
            },
            Socket::Unix(socket) => socket.send(bytes),
        }
        .map(drop)
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Socket::Udp(socket) => socket.as_fd(),
            Socket::Unix(socket) => socket.as_fd(),
        }
    }
}

/// Whether an address must be asked for.
fn is_name(address: &Address) -> bool {
    let Address::Tcp { host, .. } = address else { return false };
    host.trim_matches(['[', ']']).parse::<IpAddr>().is_err()
}

impl Packets {
    pub(super) fn new(address: Address, form: Form) -> Packets {
        let mut packets = Packets {
            address,
            form,
            splits: false,
            socket: None,
            lookup: None,
            lost: Lost::default(),
            pause: None,
            patience: (PATIENCE, Instant::now()),
        };
        if is_name(&packets.address) {
            packets.look_up();
            let found = packets.lookup.as_ref().and_then(|lookup| lookup.recv_timeout(LOOKUP).ok());
            packets.found(found);
        }
        packets
    }

    pub(super) fn splits(&mut self, splits: bool) {
        self.splits = splits;
    }

    fn look_up(&mut self) {
        let (sender, receiver) = channel();
        let address = self.address.clone();
        let work = move || drop(sender.send(Socket::open(&address)));
        if std::thread::Builder::new().spawn(work).is_ok() {
            self.lookup = Some(receiver);
        }
    }

    fn found(&mut self, found: Option<io::Result<Socket>>) {
        if let Some(found) = found {
            self.lookup = None;
            self.socket = found.ok();
        }
    }

    /// Looks whether the address has been found meanwhile.
    pub(super) fn refresh(&mut self) {
        let found = self.lookup.as_ref().and_then(|lookup| lookup.try_recv().ok());
        self.found(found);
    }

    pub(super) fn send(&mut self, line: &[u8], is_raw: bool) {
        if self.pause.is_some_and(|until| until > Instant::now()) {
            return self.lost.add(1, &io::Error::other("nobody takes them"));
        }
        if self.lost.is_any()
            && let Some(text) = self.lost.take()
        {
            // Not this line's fault, so an error is counted as one of the line's own below.
            let _ = self.try_send(text.as_bytes(), true);
        }
        let mut result = self.try_send(line, is_raw);
        if result.as_ref().is_err_and(is_too_long) {
            // Of a long line the beginning is better than nothing.
            result = self.try_send(parts(line, CUT, false)[0], is_raw);
        }
        match result {
            Ok(()) => self.pause = None,
            // This line's fault alone.
            Err(error) if is_too_long(&error) => self.lost.add(1, &error),
            Err(error) => {
                self.lost.add(1, &error);
                if !is_name(&self.address) {
                    self.socket = None;
                }
                self.pause = Some(Instant::now() + PAUSE);
            }
        }
    }

    fn try_send(&mut self, line: &[u8], is_raw: bool) -> io::Result<()> {
        self.refresh();
        if self.socket.is_none() {
            if is_name(&self.address) {
                if self.lookup.is_none() {
                    self.look_up();
                }
                return Err(io::Error::other("the address is not known yet"));
            }
            self.socket = Some(Socket::open(&self.address)?);
        }
        let Some(socket) = &self.socket else { return Ok(()) };
        let mut patience = Patience(&mut self.patience);
        match &self.form {
            // uWSGI: a line that no encoder has changed keeps its line feed.
            Form::Plain if is_raw => patience.send(socket, &[line, b"\n"].concat()),
            Form::Plain => patience.send(socket, line),
            Form::Journal => patience.send(socket, &journal(line.trim_ascii_end())),
            Form::Syslog { priority, tag, max } => {
                let mut head = format!("<{priority}>");
                sys::local_time(c"%b %e %H:%M:%S ", super::now_s(), &mut head);
                head.push_str(tag);
                let room = max.saturating_sub(head.len()).max(1);
                for part in parts(line.trim_ascii_end(), room, self.splits) {
                    patience.send(socket, &[head.as_bytes(), part].concat())?;
                }
                Ok(())
            }
        }
    }
}

/// EMSGSIZE.
fn is_too_long(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EMSGSIZE)
}

/// What may be waited for a reader. It comes back with time.
struct Patience<'p>(&'p mut (Duration, Instant));

impl Patience<'_> {
    fn send(&mut self, socket: &Socket, bytes: &[u8]) -> io::Result<()> {
        let (left, since) = &mut *self.0;
        let now = Instant::now();
        *left = (*left + (now - *since) / PART).min(PATIENCE);
        *since = now;
        loop {
            match socket.send(bytes) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock && !left.is_zero() => {
                    sys::await_room(socket.as_fd(), *left);
                    let waited = since.elapsed();
                    *since = Instant::now();
                    // The clock of poll is coarse: a wait is never free.
                    *left = left.saturating_sub(waited.max(Duration::from_millis(1)));
                }
                result => return result,
            }
        }
    }
}

/// A message of the journal. A value with line feeds has its length before it: what stands behind
/// one must not be a field of its own.
fn journal(line: &[u8]) -> Vec<u8> {
    let mut text = b"MESSAGE".to_vec();
    if memchr::memchr(b'\n', line).is_some() {
        text.push(b'\n');
        text.extend((line.len() as u64).to_le_bytes());
    } else {
        text.push(b'=');
    }
    text.extend_from_slice(line);
    text.extend_from_slice(b"\nPRIORITY=6\nSYSLOG_IDENTIFIER=uwsgi\n");
    text
}

/// A line in parts of at most `max` bytes, no character cut; only the first without `all`.
fn parts(line: &[u8], max: usize, all: bool) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    let mut rest = line;
    while rest.len() > max {
        let is_inside = |at: &usize| rest[*at] & 0xc0 == 0x80;
        let end = (max.saturating_sub(3)..=max).rev().find(|at| *at > 0 && !is_inside(at));
        let (part, after) = rest.split_at(end.unwrap_or(max));
        parts.push(part);
        rest = after;
        if !all {
            return parts;
        }
    }
    parts.push(rest);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_cut_between_characters() {
        let text = "aé".repeat(5);
        let bytes = text.as_bytes();
        assert_eq!(parts(bytes, 100, true), [bytes]);
        let cut = parts(bytes, 5, true);
        assert_eq!(cut.concat(), bytes);
        assert!(cut.iter().all(|part| part.len() <= 5 && std::str::from_utf8(part).is_ok()));
        assert_eq!(parts(bytes, 5, false).len(), 1);
    }

    #[test]
    fn a_dead_reader_costs_lines_and_no_time() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let mut packets = Packets::new(Address::Unix(path.clone()), Form::Plain);
        for _ in 0..1000 {
            packets.send(b"lost", true);
        }
        let reader = UnixDatagram::bind(&path).unwrap();
        packets.pause = None;
        packets.send(b"taken", true);
        let mut bytes = [0; 200];
        let count = reader.recv(&mut bytes).unwrap();
        assert!(bytes[..count].starts_with(b"log: 1000 line(s) were lost: "));
        let count = reader.recv(&mut bytes).unwrap();
        assert_eq!(&bytes[..count], b"taken\n");
    }

    #[test]
    fn a_line_too_long_for_a_datagram_is_cut_and_costs_no_other() {
        let reader = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = reader.local_addr().unwrap().port();
        let address = Address::Tcp { host: "127.0.0.1".into(), port };
        let mut packets = Packets::new(address, Form::Plain);
        packets.send(&[b'x'; 65_536], true);
        packets.send(b"next", true);
        let mut bytes = [0; 70_000];
        assert_eq!(reader.recv(&mut bytes).unwrap(), CUT + 1);
        let count = reader.recv(&mut bytes).unwrap();
        assert_eq!(&bytes[..count], b"next\n");
    }

    #[test]
    fn a_slow_reader_takes_a_part_of_the_time_at_most() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let reader = UnixDatagram::bind(&path).unwrap();
        let mut packets = Packets::new(Address::Unix(path), Form::Plain);
        let reads = std::sync::atomic::AtomicBool::new(true);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut bytes = [0; 100];
                while reads.load(std::sync::atomic::Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_millis(30));
                    let _ = reader.recv(&mut bytes);
                }
            });
            // At the reader's speed these took half a minute.
            let started = Instant::now();
            for _ in 0..1000 {
                packets.send(b"line", true);
            }
            let took = started.elapsed();
            reads.store(false, std::sync::atomic::Ordering::Relaxed);
            packets.pause = None;
            packets.send(b"the last", true);
            assert!(took < Duration::from_secs(10), "{took:?}");
        });
        assert!(packets.lost.is_any());
    }

    #[test]
    fn a_line_feed_makes_no_field_of_the_journal() {
        assert!(journal(b"one").starts_with(b"MESSAGE=one\nPRIORITY"));
        let two = journal(b"one\nPRIORITY=0");
        assert!(two.starts_with(b"MESSAGE\n\x0e\0\0\0\0\0\0\0one\nPRIORITY=0\nPRIORITY=6"));
    }
}
