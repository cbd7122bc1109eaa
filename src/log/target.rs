//! What takes lines: files and descriptors, datagrams (syslog, the journal, plain ones), programs.

use std::fs::File;
use std::io;

use super::desk::open_sheet;
use super::file::Sheet;
use super::packets::{Form, Packets};
use super::program::Program;
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
        is_again: bool,
        stderr: &impl Fn() -> io::Result<File>,
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
                let limits = (*max_size, backup.clone());
                let sheet = open_sheet(path, options, limits, is_again, stderr);
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
                target.splits(options.logs.split_packets);
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
            Target::Packets(packets) => packets.refresh(),
            Target::Program(program) => program.flush(),
        }
    }

    /// Whether lines wait for a reader.
    pub(super) fn waits(&self) -> bool {
        match self {
            Target::Sheet(sheet) => sheet.waits(),
            Target::Packets(_) => false,
            Target::Program(program) => program.waits(),
        }
    }
}
