//! What it does: writes server lines and request lines to the log.
//! What it does not: decide what is worth a line.
//! Who may call it: every room above `sys`.
//! What it may import: options, sys.
//!
//! Without more than `logto` all processes append to standard error, which is the file. Whatever
//! needs one owner of the log (loggers, routes, encoders, rotation, reopening) brings a process of
//! its own (`process.rs`), and standard error of all others is a pipe to it.

mod alarm;
mod desk;
mod encoder;
mod escape;
mod file;
mod format;
mod out;
mod owner;
mod packets;
mod process;
mod program;
mod request_line;
mod rules;
mod target;
mod writer;

use std::fmt;
use std::sync::RwLock;

pub use process::{Change, Process};
pub use request_line::{Clock, Form, RequestLine};
pub use rules::open as open_file;
pub use writer::{Lines, Writer};

use crate::options::Options;

/// What stands before lines of the server.
#[derive(Debug, Default, Clone)]
struct Style {
    prefix: Option<String>,
    /// strftime's format; empty is `ctime`'s.
    date: Option<String>,
}

static STYLE: RwLock<Style> = RwLock::new(Style { prefix: None, date: None });

/// Lets lines of the server begin as `log-date` and `log-prefix` say.
pub fn set_style(options: &Options) {
    let style = Style { prefix: options.logs.prefix.clone(), date: options.log_date.clone() };
    *STYLE.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = style;
}

/// Writes a line that uWSGI begins with the date.
pub fn dated(text: fmt::Arguments<'_>) {
    begin_and_write(true, text);
}

/// Writes one line to standard error, whole: lines of several threads and processes do not mix.
/// If the log has a reader that has stopped reading, it waits a second for it, once.
pub fn line(text: fmt::Arguments<'_>) {
    begin_and_write(false, text);
}

/// What a peer sent, for a line of the server: it cannot end it.
pub fn shown(bytes: &[u8]) -> String {
    let mut out = Vec::with_capacity(bytes.len());
    escape::escaped(escape::Place::Plain, bytes, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// Writes a line about a process that has crashed, which `alarm-segfault` may want to know.
pub fn crash(text: &str) {
    line(format_args!("{text}"));
    out::crash(text);
}

/// uWSGI: `uwsgi.alarm()`. A name that no alarm has raises none.
pub fn alarm(name: &[u8], text: &[u8]) {
    out::alarm(name, text);
}

fn begin_and_write(is_dated: bool, text: fmt::Arguments<'_>) {
    let style = STYLE.read().unwrap_or_else(|poisoned| poisoned.into_inner()).clone();
    let mut line = String::with_capacity(128);
    // uWSGI: a prefix takes the date's place.
    if let Some(prefix) = &style.prefix {
        line.push_str(prefix);
        line.push_str(" - ");
    } else if is_dated || style.date.is_some() {
        date(style.date.as_deref().unwrap_or_default(), now_s(), &mut line);
        line.push_str(" - ");
    }
    let _ = fmt::Write::write_fmt(&mut line, text);
    line.push('\n');
    // A shard waits for nobody: its lines go the way of its requests' lines.
    if !writer::leads_away(line.as_bytes()) {
        out::put(line.as_bytes(), out::PATIENCE);
    }
}

/// Appends a moment in the form of `log-date`.
fn date(format: &str, seconds: i64, out: &mut String) {
    match std::ffi::CString::new(format) {
        Ok(format) if !format.is_empty() => crate::sys::local_time(&format, seconds, out),
        _ => crate::sys::ctime(seconds, out),
    }
}

fn now_s() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |since| since.as_secs() as i64)
}

fn count_lines(lines: &[u8]) -> u64 {
    lines.iter().filter(|&&byte| byte == b'\n').count().max(1) as u64
}
