//! What it does: writes server lines and request lines to the log.
//! What it does not: decide what is worth a line.
//! Who may call it: every room above `sys`.
//! What it may import: options, sys.

mod request_line;
mod writer;

use std::fmt;
use std::io::Write;

pub use request_line::{Clock, RequestLine, write as write_request_line};
pub use writer::{Lines, Writer, redirect_to};

/// Writes a line that uWSGI begins with the date.
pub fn dated(text: fmt::Arguments<'_>) {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let mut date = String::with_capacity(24);
    crate::sys::ctime(now.map_or(0, |since| since.as_secs() as i64), &mut date);
    line(format_args!("{date} - {text}"));
}

/// Writes one line to standard error, whole: lines of several threads and processes do not mix.
pub fn line(text: fmt::Arguments<'_>) {
    let mut bytes = Vec::with_capacity(128);
    let _ = writeln!(bytes, "{text}");
    // A log that cannot be written (a full disk) must not end a request.
    let _ = std::io::stderr().lock().write_all(&bytes);
}
