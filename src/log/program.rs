//! Programs that get lines on their standard input.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use super::file::Lost;
use crate::sys;

/// More of a program's lines than these bytes do not wait for it.
const PENDING_MAX: usize = 1 << 20;
/// How long one that ended, or does not start, is left alone.
const PAUSE: Duration = Duration::from_secs(1);
/// How long one that gets no more lines may take to leave.
const MERCY: Duration = Duration::from_secs(1);

/// A command whose standard input gets lines. It is started again when it ends.
pub(super) struct Program {
    command: String,
    running: Option<(Child, ChildStdin)>,
    pending: VecDeque<u8>,
    /// The line that is written now has begun in the pipe.
    is_inside: bool,
    lost: Lost,
    /// Not before then is it started again.
    start_at: Instant,
    pub(super) leaving: Leaving,
}

impl Program {
    pub(super) fn new(command: &str) -> Program {
        Program {
            command: command.to_owned(),
            running: None,
            pending: VecDeque::new(),
            is_inside: false,
            lost: Lost::default(),
            start_at: Instant::now(),
            leaving: Leaving::default(),
        }
    }

    pub(super) fn add(&mut self, line: &[u8]) {
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

    /// Whether lines wait for it, or it is waited for.
    pub(super) fn waits(&self) -> bool {
        !self.pending.is_empty()
    }

    pub(super) fn flush(&mut self) {
        self.leaving.tend();
        while !self.pending.is_empty() {
            let Some((_, stdin)) = &mut self.running else {
                if self.start_at > Instant::now() {
                    return;
                }
                match spawn(&self.command) {
                    Ok(running) => self.running = Some(running),
                    Err(_) => {
                        self.start_at = Instant::now() + PAUSE;
                        return;
                    }
                }
                continue;
            };
            let (first, _) = self.pending.as_slices();
            match stdin.write(first) {
                Ok(count) => {
                    self.is_inside = first[..count].last() != Some(&b'\n');
                    self.pending.drain(..count);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => {
                    self.end();
                    self.start_at = Instant::now() + PAUSE;
                    if std::mem::take(&mut self.is_inside) {
                        // The next one shall not begin with the rest of a line.
                        let end = self.pending.iter().position(|&byte| byte == b'\n');
                        self.pending.drain(..end.map_or(self.pending.len(), |at| at + 1));
                        self.lost.add(1, &error);
                    }
                }
            }
        }
    }

    /// Gives it no more lines, and lets it read what it has.
    pub(super) fn end(&mut self) {
        if let Some((child, _)) = self.running.take() {
            self.leaving.add(child);
        }
    }
}

/// Starts a command with a standard input that is never waited for.
pub(super) fn spawn(text: &str) -> io::Result<(Child, ChildStdin)> {
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(text).stdin(Stdio::piped());
    // Signals of the terminal and of `kill -- -PID` are the server's: it reads to the end.
    command.process_group(0);
    let mut child = command.spawn()?;
    let stdin = child.stdin.take().ok_or(ErrorKind::BrokenPipe)?;
    sys::never_wait(&stdin)?;
    Ok((child, stdin))
}

/// Commands that are to end by themselves, each until then.
#[derive(Default)]
pub(super) struct Leaving(Vec<(Child, Instant)>);

impl Leaving {
    pub(super) fn add(&mut self, child: Child) {
        self.0.push((child, Instant::now() + MERCY));
    }

    pub(super) fn join(&mut self, other: &mut Leaving) {
        self.0.append(&mut other.0);
    }

    /// Takes the end of those that have ended, and ends those that are late.
    pub(super) fn tend(&mut self) {
        let now = Instant::now();
        self.0.retain_mut(|(child, until)| {
            if !matches!(child.try_wait(), Ok(None)) {
                return false;
            }
            if *until <= now {
                // It does not read, so it would not notice.
                sys::kill(-(child.id() as i32), libc::SIGKILL);
                let _ = child.wait();
                return false;
            }
            true
        });
    }

    /// Waits for all of them, as long as each may take.
    pub(super) fn await_all(&mut self) {
        while !self.0.is_empty() {
            self.tend();
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_does_not_leave_holds_up_nobody_and_no_line_is_torn() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lines");
        // The first one takes some bytes and closes its input, and stays; the next ones read all.
        let name = path.display();
        let text = format!(
            "if mkdir {name}.d 2> /dev/null; then head -c 5000 > /dev/null; exec 0<&-; sleep 99; \
                            else cat >> {name}; fi"
        );
        let mut program = Program::new(&text);
        let line = [b'x'; 199];
        let started = Instant::now();
        let mut longest = Duration::ZERO;
        while !path.exists() && started.elapsed() < Duration::from_secs(20) {
            if program.pending.len() < 200_000 {
                program.add(&line);
            }
            let before = Instant::now();
            program.flush();
            longest = longest.max(before.elapsed());
        }
        while program.waits() {
            program.flush();
        }
        program.end();
        program.leaving.await_all();
        assert!(longest < Duration::from_millis(500), "{longest:?}");
        let text = std::fs::read_to_string(&path).unwrap();
        let mut lines = text.lines();
        assert!(lines.all(|text| text.as_bytes() == line || text.starts_with("log: ")), "{text}");
        assert!(program.leaving.0.is_empty());
    }
}
