//! The life of the log's process: it reads lines and hands them to its desks, obeys the master, and
//! at the end writes what is left.

use std::io;
use std::os::fd::RawFd;
use std::path::Path;
use std::time::{Duration, Instant};

use super::alarm::Bells;
use super::desk::Desk;
use super::out;
use super::process::{Change, END};
use crate::sys;

/// A line without an end is cut here.
const LINE_BYTES_MAX: usize = 64 * 1024;
/// A line whose end does not come for so long is one all the same.
const LINE_WAITS: Duration = Duration::from_secs(1);
/// How long the end waits for targets that take lines slowly.
const END_WAITS: Duration = Duration::from_secs(2);
/// How often targets that take lines slowly are asked.
const ASK_MS: i32 = 20;

/// Who takes lines: the desk of the server's and the one of requests', and what rings at some.
pub(super) struct Office {
    pub desks: [Desk; 2],
    pub bells: Bells,
}

impl Office {
    fn take(&mut self, desk: usize, line: &[u8]) {
        let has_word = self.bells.hear(line);
        self.desks[desk].take(line);
        if has_word {
            self.say();
        }
    }

    fn crash(&mut self, text: &[u8]) {
        self.bells.crash(text);
        self.say();
    }

    fn alarm(&mut self, message: &[u8]) {
        let mut parts = message.splitn(2, |&byte| byte == 0);
        if let (Some(name), Some(text)) = (parts.next(), parts.next()) {
            self.bells.ring(name, text);
            self.say();
        }
    }

    fn say(&mut self) {
        for line in self.bells.said() {
            self.desks[0].take(&line);
        }
    }

    fn flush(&mut self) {
        self.desks.iter_mut().for_each(Desk::flush);
        self.bells.tend();
    }

    fn waits(&self) -> bool {
        self.desks.iter().any(Desk::waits)
    }
}

/// What came by the pipe and is no whole line yet.
struct Reader {
    fd: RawFd,
    begun: Vec<u8>,
    /// When the last of it came.
    since: Instant,
    has_ended: bool,
}

impl Reader {
    fn new(fd: RawFd) -> Reader {
        Reader { fd, begun: Vec::new(), since: Instant::now(), has_ended: false }
    }

    /// Hands on the lines that are here.
    fn read(&mut self, office: &mut Office, buffer: &mut [u8]) {
        // Not for ever: the other way and orders want to be seen.
        for _ in 0..16 {
            match sys::read_fd(self.fd, buffer) {
                Ok(0) => {
                    self.has_ended = true;
                    self.end_line(office);
                    break;
                }
                Ok(count) => self.split(&buffer[..count], office),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        if !self.begun.is_empty() && self.since.elapsed() > LINE_WAITS {
            self.end_line(office);
        }
    }

    fn split(&mut self, mut bytes: &[u8], office: &mut Office) {
        self.since = Instant::now();
        while let Some(at) = memchr::memchr(b'\n', bytes) {
            if self.begun.is_empty() {
                office.take(0, &bytes[..at]);
            } else {
                self.begun.extend_from_slice(&bytes[..at]);
                office.take(0, &self.begun);
                self.begun.clear();
            }
            bytes = &bytes[at + 1..];
        }
        self.begun.extend_from_slice(bytes);
        if self.begun.len() > LINE_BYTES_MAX {
            self.end_line(office);
        }
    }

    fn end_line(&mut self, office: &mut Office) {
        if !self.begun.is_empty() {
            office.take(0, &self.begun);
            self.begun.clear();
        }
    }
}

/// Messages of whole lines, each kind for its desk.
struct Messages {
    fd: RawFd,
    has_ended: bool,
}

impl Messages {
    fn read(&mut self, office: &mut Office, buffer: &mut [u8]) {
        for _ in 0..64 {
            match sys::receive_message_now(self.fd, buffer) {
                Ok(0) => {
                    self.has_ended = true;
                    break;
                }
                Ok(count) => {
                    let (kind, lines) = (buffer[0], &buffer[1..count]);
                    let lines = lines.strip_suffix(b"\n").unwrap_or(lines);
                    if kind == out::CRASH {
                        office.crash(lines);
                        continue;
                    }
                    if kind == out::ALARM {
                        office.alarm(lines);
                        continue;
                    }
                    let desk = usize::from(kind == out::REQUESTS);
                    lines.split(|&byte| byte == b'\n').for_each(|line| office.take(desk, line));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
    }
}

/// What lines come by.
struct Ways {
    lines: Reader,
    messages: Messages,
    buffer: Vec<u8>,
}

impl Ways {
    fn read(&mut self, office: &mut Office) {
        if !self.lines.has_ended {
            self.lines.read(office, &mut self.buffer);
        }
        if !self.messages.has_ended {
            self.messages.read(office, &mut self.buffer);
        }
        office.flush();
    }

    /// Descriptors to wait for.
    fn fds(&self) -> [RawFd; 2] {
        [
            if self.lines.has_ended { -1 } else { self.lines.fd },
            if self.messages.has_ended { -1 } else { self.messages.fd },
        ]
    }
}

/// The life of the process.
pub(super) fn live([lines, messages]: [RawFd; 2], control: RawFd, mut office: Office) -> ! {
    let messages = Messages { fd: messages, has_ended: false };
    let mut ways = Ways { lines: Reader::new(lines), messages, buffer: vec![0; 256 * 1024] };
    let mut has_master = true;
    let mut ready = Vec::new();
    loop {
        let [lines, messages] = ways.fds();
        let polled = [lines, messages, if has_master { control } else { -1 }];
        sys::poll_readable(&polled, if office.waits() { ASK_MS } else { 1000 }, &mut ready);
        let order = if ready[2] { sys::read_order(control) } else { None };
        // What was written before an order comes before its effect.
        ways.read(&mut office);
        match order {
            None => {}
            Some(0) => has_master = false,
            Some(END) => end(&mut ways, &mut office),
            Some(word) => change(&mut office.desks, word == Change::Rotate.word()),
        }
        if ways.lines.has_ended && ways.messages.has_ended {
            end(&mut ways, &mut office);
        }
    }
}

fn change(desks: &mut [Desk; 2], rotates: bool) {
    let mut told = Vec::new();
    let mut renamed = Vec::new();
    for sheet in desks.iter_mut().flat_map(Desk::sheets) {
        let Some(path) = sheet.path().map(Path::to_owned) else { continue };
        // Two loggers of one file: it is renamed once.
        let again = renamed.contains(&path);
        let error = if rotates && !again { sheet.rotate() } else { sheet.reopen() };
        renamed.push(path.clone());
        told.push(match error {
            None if rotates => format!("log: {} was rotated", path.display()),
            None => format!("log: {} was reopened", path.display()),
            Some(error) => format!("log: {}: {error}", path.display()),
        });
    }
    told.dedup();
    for text in told {
        desks[0].take(text.as_bytes());
    }
    desks[0].flush();
}

/// Reads what is left and gives slow targets a little time.
fn end(ways: &mut Ways, office: &mut Office) -> ! {
    let until = Instant::now() + END_WAITS;
    loop {
        ways.read(office);
        let mut ready = Vec::new();
        sys::poll_readable(&ways.fds(), 0, &mut ready);
        if !ready.contains(&true) || Instant::now() > until {
            break;
        }
    }
    ways.lines.end_line(office);
    office.flush();
    while office.waits() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(5));
        office.flush();
    }
    Desk::end(&mut office.desks);
    sys::exit_now(0)
}
