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

/// Writes one line to standard error, whole: lines of several threads and processes do not mix.
pub fn line(text: fmt::Arguments<'_>) {
    let mut bytes = Vec::with_capacity(128);
    let _ = writeln!(bytes, "{text}");
    // A log that cannot be written (a full disk) must not end a request.
    let _ = std::io::stderr().lock().write_all(&bytes);
}
