//! Bodies that are compressed on their way to the client. uWSGI: `http-auto-gzip`.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::reply::{Reply, State, write_all};
use crate::handoff::{Call, flag};
use crate::python::{Exception, Kind, Py};
use crate::request::{Codings, Fields};

/// So much is compressed at once. The app's other threads run meanwhile.
const STEP_BYTES: usize = 64 * 1024;

/// How the body goes out.
#[derive(Default)]
pub(super) enum Encoding {
    #[default]
    Identity,
    Gzip(Box<GzEncoder<Vec<u8>>>),
    /// A thread is at it.
    Busy,
}

/// What the fields of a head say that matters here.
#[derive(Default)]
struct Said {
    /// `uWSGI-Encoding: gzip`.
    asks: bool,
    /// It stands for a part of something, or is encoded already.
    is_fixed: bool,
    varies: bool,
}

/// A line's field name and value; the status line has none.
fn field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|&byte| byte == b':')?;
    let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
    (!name.contains(&b' ')).then_some((name, value))
}

fn lines(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    head.split_inclusive(|&byte| byte == b'\n')
}

impl Said {
    fn of(head: &[u8]) -> Said {
        let mut said = Said::default();
        for (name, value) in lines(head).filter_map(field) {
            let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
            if is(b"uwsgi-encoding") {
                said.asks = value.eq_ignore_ascii_case(b"gzip");
            } else if is(b"content-encoding") || is(b"content-range") {
                said.is_fixed = true;
            } else if is(b"vary") {
                let mut names = value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
                said.varies |=
                    names.any(|name| name == b"*" || name.eq_ignore_ascii_case(b"accept-encoding"));
            }
        }
        said
    }
}

/// The head without the field that asks, and with those that say what was done. Returns by how many
/// fields it grew.
fn rewrite(head: &mut Vec<u8>, compresses: bool, says_vary: bool) -> i32 {
    let old = std::mem::take(head);
    let mut grown = 0;
    for line in lines(&old) {
        match field(line) {
            Some((name, _)) if name.eq_ignore_ascii_case(b"uwsgi-encoding") => grown -= 1,
            // RFC 9110, 8.8.1: a strong one says that the bytes are the same.
            Some((name, value)) if compresses && is_strong_tag(name, value) => {
                head.extend_from_slice(b"ETag: W/");
                head.extend_from_slice(value);
                head.extend_from_slice(b"\r\n");
            }
            _ => head.extend_from_slice(line),
        }
    }
    if compresses {
        head.extend_from_slice(b"Content-Encoding: gzip\r\n");
        grown += 1;
    }
    if says_vary {
        head.extend_from_slice(b"Vary: Accept-Encoding\r\n");
        grown += 1;
    }
    grown
}

fn is_strong_tag(name: &[u8], value: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"etag") && value.first() == Some(&b'"')
}

impl State {
    /// What the head says, if this server may compress the response at all. Over the uwsgi protocol
    /// that is up to the server in front, and it hears the app's wish.
    fn said(&self, call: &Call) -> Option<Said> {
        let is_on = self.amendment.gzip && !call.head().has(flag::VARS);
        is_on.then(|| Said::of(&self.head))
    }

    /// Whether another client could get the body compressed. uWSGI: not if the app has said how
    /// long it is.
    fn is_compressible(&self, said: &Said) -> bool {
        let is_known = self.framing.flags & flag::LENGTH_KNOWN != 0;
        let has_body = !is_known || self.framing.length != Some(0);
        let is_open = self.framing.length.is_none() || is_known;
        let status = self.framing.status;
        said.asks && !said.is_fixed && has_body && is_open && !matches!(status, 100..=199 | 204)
    }

    fn compresses(&self, call: &Call, said: &Said) -> bool {
        let head = call.head();
        self.is_compressible(said)
            && self.framing.status != 304
            && Codings::of(head.bytes, Fields::Headers, head.fields).has_gzip()
    }

    /// Decides how the body goes out, just before the head does.
    pub(super) fn choose_encoding(&mut self, call: &Call) {
        self.encoding = Encoding::Identity;
        let Some(said) = self.said(call) else { return };
        let compresses = self.compresses(call, &said);
        let says_vary = self.is_compressible(&said) && !said.varies;
        let grown = rewrite(&mut self.head, compresses, says_vary);
        self.framing.headers = self.framing.headers.saturating_add_signed(grown);
        if !compresses {
            return;
        }
        self.framing.length = None;
        self.framing.flags &= !flag::LENGTH_KNOWN;
        if !self.bodiless {
            let encoder = GzEncoder::new(Vec::new(), Compression::default());
            self.encoding = Encoding::Gzip(Box::new(encoder));
        }
    }
}

impl Reply {
    /// Whether the body will be compressed: a file cannot be left to the kernel then.
    pub fn will_compress(&self) -> bool {
        let state = self.0.borrow();
        let said = state.call.and_then(|call| Some((call, state.said(&call)?)));
        said.is_some_and(|(call, said)| state.compresses(&call, &said))
    }

    /// Sends bytes of the body through the compressor.
    ///
    /// # Errors
    /// OSError when the client is gone.
    pub(super) fn compress(&self, py: Py<'_>, call: &Call, bytes: &[u8]) -> Result<(), Exception> {
        for step in bytes.chunks(STEP_BYTES) {
            self.with_encoder(py, call, |encoder| encoder.write_all(step))?;
        }
        Ok(())
    }

    /// Lets the client have all that was compressed so far. uWSGI: each piece goes out at once.
    ///
    /// # Errors
    /// OSError when the client is gone.
    pub fn flush(&self, py: Py<'_>) -> Result<(), Exception> {
        let Some(call) = self.encoded_call() else { return Ok(()) };
        self.with_encoder(py, &call, GzEncoder::flush)
    }

    /// Ends a compressed body.
    ///
    /// # Errors
    /// OSError when the client is gone.
    pub(super) fn end_encoding(&self, py: Py<'_>) -> Result<(), Exception> {
        let Some(call) = self.encoded_call() else { return Ok(()) };
        self.with_encoder(py, &call, GzEncoder::try_finish)?;
        self.0.borrow_mut().encoding = Encoding::Identity;
        Ok(())
    }

    /// The request that runs, if its body is compressed.
    fn encoded_call(&self) -> Option<Call> {
        let state = self.0.borrow();
        state.call.filter(|_| !matches!(state.encoding, Encoding::Identity))
    }

    /// Does something with the encoder, without the GIL, and sends what comes out.
    fn with_encoder(
        &self,
        py: Py<'_>,
        call: &Call,
        work: impl Send + FnOnce(&mut GzEncoder<Vec<u8>>) -> std::io::Result<()>,
    ) -> Result<(), Exception> {
        let taken = std::mem::replace(&mut self.0.borrow_mut().encoding, Encoding::Busy);
        let Encoding::Gzip(mut encoder) = taken else {
            return Err(Exception::new(Kind::Runtime, "another thread writes this response"));
        };
        let done = py.detach(|| work(&mut encoder));
        let sent = match done {
            Ok(()) => write_all(py, call, encoder.get_ref()),
            Err(error) => Err(Exception::new(Kind::Os, error.to_string())),
        };
        encoder.get_mut().clear();
        self.0.borrow_mut().encoding = Encoding::Gzip(encoder);
        sent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_says_what_was_done() {
        let rewritten = |fields: &str, compresses, says_vary| {
            let mut head = format!("200 OK: x\r\n{fields}").into_bytes();
            let grown = rewrite(&mut head, compresses, says_vary);
            (String::from_utf8(head).unwrap().replace("\r\n", "|"), grown)
        };
        let asks = "uWSGI-Encoding: gzip\r\nETag: \"a\"\r\nX: y\r\n";
        assert_eq!(rewritten(asks, false, false), ("200 OK: x|ETag: \"a\"|X: y|".into(), -1));
        let all = "200 OK: x|ETag: W/\"a\"|X: y|Content-Encoding: gzip|Vary: Accept-Encoding|";
        assert_eq!(rewritten(asks, true, true), (all.into(), 1));
        let weak = "200 OK: x|etag: W/\"a\"|Content-Encoding: gzip|";
        assert_eq!(rewritten("etag: W/\"a\"\r\n", true, false), (weak.into(), 1));
    }

    #[test]
    fn a_head_is_read_for_what_matters() {
        let said = |fields: &str| {
            let said = Said::of(format!("200 OK\r\n{fields}").as_bytes());
            (said.asks, said.is_fixed, said.varies)
        };
        assert_eq!(said("UWSGI-ENCODING: GZIP\r\n"), (true, false, false));
        assert_eq!(said("uWSGI-Encoding: br\r\n"), (false, false, false));
        assert_eq!(said("Content-Encoding: br\r\n"), (false, true, false));
        assert_eq!(said("Content-Range: bytes 0-1/2\r\n"), (false, true, false));
        assert_eq!(said("Vary: Cookie, accept-encoding\r\n"), (false, false, true));
        assert_eq!(said("Vary: Cookie\r\nVary: *\r\n"), (false, false, true));
        assert_eq!(said("Vary: Cookie\r\n"), (false, false, false));
    }
}
