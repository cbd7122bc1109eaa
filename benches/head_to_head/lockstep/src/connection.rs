use std::io;
use std::net::TcpStream;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::answer::{self, Progress};
use crate::options::Address;

/// A connection without its whole answer after this time is hung.
pub const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug)]
// The fields are read by `{:?}` alone, which the result line shows.
#[allow(dead_code)]
pub enum Failure {
    /// The server closed before it sent a byte of the answer.
    Closed,
    Hung,
    /// The answer said that it was the last, or should have, and no close followed it.
    NotClosed,
    Wrong(&'static str),
    System(io::ErrorKind),
}

pub struct Connection {
    stream: Option<OwnedFd>,
    pub sent_at: Instant,
    /// Answers since the start, and on the stream that is open now.
    pub answered: u64,
    pub answered_here: u64,
}

impl Default for Connection {
    fn default() -> Self {
        Self { stream: None, sent_at: Instant::now(), answered: 0, answered_here: 0 }
    }
}

/// The buffer of the one answer that is being read.
pub struct Reader<'o> {
    buffer: Vec<u8>,
    expected: Option<&'o [u8]>,
    /// Take what is there and wait for nothing: another connection has used up the patience.
    pub hurry: bool,
}

impl<'o> Reader<'o> {
    pub fn new(expected: &'o Option<Vec<u8>>) -> Self {
        Self { buffer: vec![0; 256 * 1024], expected: expected.as_deref(), hurry: false }
    }
}

impl Connection {
    pub fn is_open(&self) -> bool {
        self.stream.is_some()
    }

    /// Its descriptor; -1 while it is closed.
    pub fn number(&self) -> RawFd {
        self.stream.as_ref().map_or(-1, AsRawFd::as_raw_fd)
    }

    pub fn open(&mut self, address: &Address) -> Result<(), Failure> {
        self.answered_here = 0;
        let stream = match address {
            Address::Tcp(address) => TcpStream::connect(address).and_then(|stream| {
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                Ok(OwnedFd::from(stream))
            }),
            Address::Unix(path) => UnixStream::connect(path).and_then(|stream| {
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                Ok(OwnedFd::from(stream))
            }),
        };
        self.stream = Some(stream.map_err(|error| Failure::System(error.kind()))?);
        Ok(())
    }

    /// Closes with a reset: a peer that closed first keeps no TIME_WAIT. At 20,000 connections a
    /// second those would fill the system's table, and one server would pay for the one before it.
    /// The server's own part, which ends with its close, costs the same.
    pub fn close(&mut self) {
        let Some(stream) = self.stream.take() else { return };
        let linger = libc::linger { l_onoff: 1, l_linger: 0 };
        // SAFETY: the value lives through the call, and its size is given. Should it fail, the
        // close is an ordinary one.
        unsafe {
            libc::setsockopt(
                stream.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_LINGER,
                (&raw const linger).cast(),
                size_of_val(&linger) as libc::socklen_t,
            );
        }
    }

    pub fn is_closed_by_peer(&self) -> bool {
        let Some(stream) = &self.stream else { return false };
        let mut byte = 0_u8;
        // SAFETY: one byte of room at an address that lives through the call.
        let got = unsafe {
            libc::recv(
                stream.as_raw_fd(),
                (&raw mut byte).cast(),
                1,
                libc::MSG_PEEK | libc::MSG_DONTWAIT,
            )
        };
        got == 0 || (got < 0 && io::Error::last_os_error().kind() != io::ErrorKind::WouldBlock)
    }

    pub fn send(&mut self, request: &[u8]) -> Result<(), Failure> {
        let stream = self.stream.as_ref().expect("BUG: send on a closed connection");
        let mut rest = request;
        while !rest.is_empty() {
            // SAFETY: the request lives through the call, and its length is given.
            let sent = unsafe {
                libc::send(stream.as_raw_fd(), rest.as_ptr().cast(), rest.len(), libc::MSG_NOSIGNAL)
            };
            if sent < 0 {
                return Err(failure(io::Error::last_os_error()));
            }
            rest = &rest[sent as usize..];
        }
        Ok(())
    }

    /// Reads `count` whole answers, and the close after the last where one is due.
    pub fn receive(
        &mut self,
        reader: &mut Reader,
        count: usize,
        new_each: bool,
    ) -> Result<(), Failure> {
        let mut filled = 0;
        for left in (0..count).rev() {
            filled = self.receive_one(reader, filled, left, new_each)?;
        }
        Ok(())
    }

    /// Reads one whole answer of which `filled` bytes are here; `left` more are to come. Returns
    /// how many bytes of the next are here.
    fn receive_one(
        &mut self,
        reader: &mut Reader,
        mut filled: usize,
        left: usize,
        new_each: bool,
    ) -> Result<usize, Failure> {
        let mut judge_first = filled > 0;
        let mut bytes_min = 1;
        let (lives, ended, len) = loop {
            let mut ended = false;
            if !std::mem::take(&mut judge_first) {
                let got = self.fill(reader, filled)?;
                filled += got;
                ended = got == 0;
                if ended && filled == 0 {
                    return Err(Failure::Closed);
                }
                if !ended && filled < bytes_min {
                    continue;
                }
            }
            match answer::judge(&reader.buffer[..filled], ended, reader.expected) {
                Progress::Partial { bytes_min: next } => bytes_min = next,
                Progress::Whole { connection_lives, len } => break (connection_lives, ended, len),
                Progress::Wrong(why) => return Err(Failure::Wrong(why)),
            }
        };
        if left == 0 && len < filled {
            return Err(Failure::Wrong("bytes after the answer"));
        }
        if left > 0 && !lives {
            return Err(Failure::Wrong("it closes between pipelined requests"));
        }
        reader.buffer.copy_within(len..filled, 0);
        if new_each || !lives {
            if !ended {
                self.expect_close(reader)?;
            }
            self.close();
        }
        self.answered += 1;
        self.answered_here += 1;
        Ok(filled - len)
    }

    fn expect_close(&self, reader: &mut Reader) -> Result<(), Failure> {
        match self.fill(reader, 0) {
            // A reset is a close, if a rude one: the answer was whole.
            Ok(0) | Err(Failure::Closed) => Ok(()),
            Ok(_) => Err(Failure::Wrong("bytes after the answer")),
            Err(Failure::Hung) => Err(Failure::NotClosed),
            Err(other) => Err(other),
        }
    }

    fn fill(&self, reader: &mut Reader, filled: usize) -> Result<usize, Failure> {
        let stream = self.stream.as_ref().expect("BUG: receive on a closed connection");
        if filled == reader.buffer.len() {
            reader.buffer.resize(filled * 2, 0);
        }
        let room = &mut reader.buffer[filled..];
        let flags = if reader.hurry { libc::MSG_DONTWAIT } else { 0 };
        // SAFETY: the room lives through the call, and its length is given.
        let got =
            unsafe { libc::recv(stream.as_raw_fd(), room.as_mut_ptr().cast(), room.len(), flags) };
        if got < 0 { Err(failure(io::Error::last_os_error())) } else { Ok(got as usize) }
    }
}

fn failure(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Failure::Hung,
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Failure::Closed,
        other => Failure::System(other),
    }
}
