//! The part of a response's head that is the server's own: version, length, date, framing,
//! connection.

use std::fmt::Write as _;
use std::io::Write;
use std::time::{Duration, UNIX_EPOCH};

use crate::request::Version;

/// What the head says of the connection's future.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connection {
    /// Nothing: the version's default holds, or the protocol has no such field.
    Unsaid,
    Close,
    /// For HTTP/1.0, which closes by default.
    KeepAlive,
}

impl Connection {
    /// What must be said to a client of `version` (RFC 9112, 9.3); nothing over uwsgi.
    pub fn of(is_http: bool, keep_alive: bool, version: Version) -> Connection {
        match (is_http, keep_alive, version) {
            (false, ..) | (true, true, Version::Http11) => Connection::Unsaid,
            (true, false, _) => Connection::Close,
            (true, true, Version::Http10) => Connection::KeepAlive,
        }
    }
}

/// How the end of a body is told to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// By Content-Length, or there is no body.
    Length,
    Chunked,
    /// By closing the connection.
    Close,
}

impl Framing {
    /// The framing of a response (RFC 9112, 6.3). `has_length`: its length stands in the head.
    pub fn of(is_http: bool, version: Version, has_length: bool, bodiless: bool) -> Framing {
        match version {
            _ if has_length || bodiless => Framing::Length,
            Version::Http11 if is_http => Framing::Chunked,
            _ => Framing::Close,
        }
    }
}

/// The Date field of the current second, formatted once (RFC 9110, 6.6.1).
#[derive(Debug, Default)]
pub struct Date {
    second: u64,
    line: String,
}

impl Date {
    /// The whole line, for a time in microseconds since the epoch.
    pub fn line(&mut self, now_us: u64) -> &str {
        let second = now_us / 1_000_000;
        if self.second != second || self.line.is_empty() {
            self.second = second;
            let time = UNIX_EPOCH + Duration::from_secs(second);
            self.line.clear();
            let _ = write!(self.line, "Date: {}\r\n", httpdate::HttpDate::from(time));
        }
        &self.line
    }
}

/// The start of the status line, before the app's `200 OK`.
pub fn version_text(is_http: bool, version: Version) -> &'static [u8] {
    match (is_http, version) {
        // uWSGI: over its protocol the status line names the client's version.
        (false, Version::Http10) => b"HTTP/1.0 ",
        _ => b"HTTP/1.1 ",
    }
}

/// What the operator does to the fields of all responses. uWSGI: `add-header`, `rem-header`.
#[derive(Debug, Default)]
pub struct Amendment {
    /// Whole lines, each ended by CR LF.
    pub lines: Vec<u8>,
    /// How many they are.
    pub count: u32,
    /// Names that no response of the app keeps.
    pub removed: Vec<String>,
    /// Responses that ask for it are compressed. uWSGI: `http-auto-gzip`.
    pub gzip: bool,
}

impl Amendment {
    pub fn new(added: &[(String, String)], removed: &[String], gzip: bool) -> Amendment {
        let mut lines = Vec::new();
        for (name, value) in added {
            // A Vec takes all that is written to it.
            let _ = write!(lines, "{name}: {value}\r\n");
        }
        Amendment { lines, count: added.len() as u32, removed: removed.to_vec(), gzip }
    }

    /// Whether a field of the app is left out.
    pub fn removes(&self, name: &[u8]) -> bool {
        self.removed.iter().any(|removed| removed.as_bytes().eq_ignore_ascii_case(name))
    }
}

/// The lines that the server adds behind the app's.
#[derive(Debug, Clone, Copy)]
pub struct Added<'a> {
    /// A Content-Length that the app did not give, in bytes.
    pub length: Option<u64>,
    /// A whole Date line, ended by CR LF.
    pub date: Option<&'a str>,
    pub chunked: bool,
    pub connection: Connection,
}

/// Appends the added lines and the empty line that ends the head.
pub fn encode_head(added: &Added<'_>, out: &mut Vec<u8>) {
    if let Some(length) = added.length {
        // A Vec takes all that is written to it.
        let _ = write!(out, "Content-Length: {length}\r\n");
    }
    if let Some(date) = added.date {
        out.extend_from_slice(date.as_bytes());
    }
    if added.chunked {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    out.extend_from_slice(match added.connection {
        Connection::Unsaid => b"\r\n",
        Connection::Close => b"Connection: close\r\n\r\n",
        Connection::KeepAlive => b"Connection: keep-alive\r\n\r\n",
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_only_what_is_asked_for() {
        let nothing =
            Added { length: None, date: None, chunked: false, connection: Connection::Unsaid };
        let mut out = b"HTTP/1.1 204 No Content\r\n".to_vec();
        encode_head(&nothing, &mut out);
        assert_eq!(out, b"HTTP/1.1 204 No Content\r\n\r\n");
    }

    #[test]
    fn adds_length_date_and_connection_in_this_order() {
        let date = "Date: Sun, 22 Nov 2026 18:28:18 GMT\r\n";
        let all = Added {
            length: Some(40),
            date: Some(date),
            chunked: false,
            connection: Connection::KeepAlive,
        };
        let mut out = Vec::new();
        encode_head(&all, &mut out);
        let expected = format!("Content-Length: 40\r\n{date}Connection: keep-alive\r\n\r\n");
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
