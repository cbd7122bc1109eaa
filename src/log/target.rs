//! What takes lines: files and descriptors, datagrams (syslog, the journal, plain ones), programs.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::net::UdpSocket;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use super::file::{Lost, Rules, Sheet};
use crate::options::{Address, Engine, Options};
use crate::sys;

/// One target.
pub(super) enum Target {
    Sheet(Sheet),
    Packets(Packets),
    Program(Program),
}

impl Target {
    /// Opens what an engine names. `stderr` is where the server's output went at the start.
    ///
    /// # Errors
    /// What cannot be opened, and why.
    pub(super) fn open(
        engine: &Engine,
        options: &Options,
        stderr: impl Fn() -> io::Result<File>,
    ) -> Result<Target, String> {
        let failed = |what: String| move |error: io::Error| format!("logger {what}: {error}");
        let packets = |address, form| Target::Packets(Packets::new(address, form));
        Ok(match engine {
            Engine::Stdio => Target::Sheet(Sheet::of(stderr().map_err(failed("stdio".into()))?)),
            Engine::Fd(fd) => {
                let copy = sys::duplicate(*fd).map_err(failed(format!("fd:{fd}")))?;
                Target::Sheet(Sheet::of(copy.into()))
            }
            Engine::File { path, max_size, backup } => {
                let sheet = Sheet::open(path, Rules::new(options), *max_size, backup.clone());
                Target::Sheet(sheet.map_err(failed(format!("file:{}", path.display())))?)
            }
            Engine::Syslog { identity, facility } => {
                const INFO: u32 = 6;
                let tag = format!("{identity}: ");
                let form = Form::Syslog { priority: facility * 8 + INFO, tag, max: usize::MAX };
                packets(Address::Unix("/dev/log".into()), form)
            }
            Engine::Rsyslog { address, identity, priority } => {
                let tag = match identity {
                    Some(identity) => format!("{identity}: "),
                    None => format!("{} uwsgi: ", sys::hostname()),
                };
                let max = options.logs.packet_bytes.unwrap_or(1024);
                let mut target =
                    Packets::new(address.clone(), Form::Syslog { priority: *priority, tag, max });
                target.splits = options.logs.split_packets;
                Target::Packets(target)
            }
            Engine::Journal => {
                packets(Address::Unix("/run/systemd/journal/socket".into()), Form::Journal)
            }
            Engine::Socket(address) => packets(address.clone(), Form::Plain),
            Engine::Pipe(command) => Target::Program(Program::new(command)),
        })
    }

    /// Takes a line. `is_raw` says that no encoder has changed it.
    pub(super) fn take(&mut self, line: &[u8], is_raw: bool) {
        match self {
            Target::Sheet(sheet) => sheet.add(line),
            Target::Packets(packets) => packets.send(line, is_raw),
            Target::Program(program) => program.add(line),
        }
    }

    /// Writes what waits.
    pub(super) fn flush(&mut self) {
        match self {
            Target::Sheet(sheet) => sheet.flush(),
            Target::Packets(_) => {}
            Target::Program(program) => program.flush(),
        }
    }

    /// Whether lines wait for a reader.
    pub(super) fn waits(&self) -> bool {
        matches!(self, Target::Program(program) if !program.pending.is_empty())
    }
}

/// How long one datagram may wait for a reader that is there and slow.
const PATIENCE: Duration = Duration::from_millis(100);
/// How long a reader that was not there is left alone.
const PAUSE: Duration = Duration::from_millis(500);

/// What a datagram looks like.
#[derive(Debug)]
enum Form {
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
    lost: Lost,
    /// Nobody took the last one: no waiting until then.
    pause: Option<Instant>,
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
                socket.connect((host.as_str(), *port))?;
                socket.set_write_timeout(Some(PATIENCE))?;
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
                socket.set_write_timeout(Some(PATIENCE))?;
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
}

impl Packets {
    fn new(address: Address, form: Form) -> Packets {
        Packets { address, form, splits: false, socket: None, lost: Lost::default(), pause: None }
    }

    fn send(&mut self, line: &[u8], is_raw: bool) {
        if self.pause.is_some_and(|until| until > Instant::now()) {
            return self.lost.add(1, &io::Error::other("nobody takes them"));
        }
        if self.lost.is_any()
            && let Some(text) = self.lost.take()
        {
            // Not this line's fault, so an error is counted as one of the line's own below.
            let _ = self.try_send(text.as_bytes(), true);
        }
        match self.try_send(line, is_raw) {
            Ok(()) => self.pause = None,
            Err(error) => {
                self.lost.add(1, &error);
                self.socket = None;
                self.pause = Some(Instant::now() + PAUSE);
            }
        }
    }

    fn try_send(&mut self, line: &[u8], is_raw: bool) -> io::Result<()> {
        if self.socket.is_none() {
            self.socket = Some(Socket::open(&self.address)?);
        }
        let Some(socket) = &self.socket else { return Ok(()) };
        match &self.form {
            // uWSGI: a line that no encoder has changed keeps its line feed.
            Form::Plain if is_raw => socket.send(&[line, b"\n"].concat()),
            Form::Plain => socket.send(line),
            Form::Journal => {
                let text = [b"MESSAGE=", line.trim_ascii_end()].concat();
                let end = b"\nPRIORITY=6\nSYSLOG_IDENTIFIER=uwsgi\n";
                socket.send(&[&text[..], end].concat())
            }
            Form::Syslog { priority, tag, max } => {
                let mut head = format!("<{priority}>");
                sys::local_time(c"%b %e %H:%M:%S ", super::now_s(), &mut head);
                head.push_str(tag);
                let room = max.saturating_sub(head.len()).max(1);
                for part in parts(line.trim_ascii_end(), room, self.splits) {
                    socket.send(&[head.as_bytes(), part].concat())?;
                }
                Ok(())
            }
        }
    }
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

/// More of a program's lines than these bytes do not wait for it.
const PENDING_MAX: usize = 1 << 20;

/// A command whose standard input gets lines. It is started again when it ends.
pub(super) struct Program {
    command: String,
    running: Option<(Child, ChildStdin)>,
    pending: VecDeque<u8>,
    lost: Lost,
    /// Not before then is it started again.
    start_at: Instant,
}

impl Program {
    fn new(command: &str) -> Program {
        Program {
            command: command.to_owned(),
            running: None,
            pending: VecDeque::new(),
            lost: Lost::default(),
            start_at: Instant::now(),
        }
    }

    fn add(&mut self, line: &[u8]) {
        if self.pending.len() + line.len() > PENDING_MAX {
            return self.lost.add(1, &io::Error::other("the program does not read them"));
        }
        if let Some(text) = self.lost.take() {
            self.pending.extend(text.as_bytes());
            self.pending.push_back(b'\n');
        }
        self.pending.extend(line);
        if !line.ends_with(b"\n") {
            self.pending.push_back(b'\n');
        }
    }

    fn start(&mut self) -> io::Result<()> {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(&self.command).stdin(Stdio::piped());
        // Signals of the terminal and of `kill -- -PID` are the server's: it reads to the end.
        command.process_group(0);
        let mut child = command.spawn()?;
        if let Some(stdin) = child.stdin.take() {
            sys::never_wait(&stdin)?;
            self.running = Some((child, stdin));
        }
        Ok(())
    }

    fn flush(&mut self) {
        while !self.pending.is_empty() {
            let Some((_, stdin)) = &mut self.running else {
                if self.start_at > Instant::now() || self.start().is_err() {
                    return;
                }
                continue;
            };
            let (first, _) = self.pending.as_slices();
            match stdin.write(first) {
                Ok(count) => drop(self.pending.drain(..count)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => {
                    self.end();
                    self.start_at = Instant::now() + Duration::from_secs(1);
                }
            }
        }
    }

    /// Lets it read to the end and leave, for a while.
    pub(super) fn end(&mut self) {
        let Some((mut child, stdin)) = self.running.take() else { return };
        drop(stdin);
        let until = Instant::now() + Duration::from_secs(1);
        while matches!(child.try_wait(), Ok(None)) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        if matches!(child.try_wait(), Ok(None)) {
            // It does not read, so it would not notice.
            sys::kill(-(child.id() as i32), libc::SIGTERM);
        }
    }
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
}
