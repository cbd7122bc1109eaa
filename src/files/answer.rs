//! The head of an answer, and which bytes follow it.

use std::io::Write;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use super::Rules;
use super::asked::Asked;
use super::conditions::{Verdict, decide};
use super::expires::{self, Subject};
use super::ranges::{Part, part};
use super::search::Found;
use crate::options::ServeMode;

/// An answer whose head is written.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// Fields in the head.
    pub fields: u32,
    pub body: Body,
}

/// What follows the head.
#[derive(Debug, PartialEq, Eq)]
pub enum Body {
    None,
    /// These bytes of the file.
    One(Range<u64>),
    Several(Vec<Piece>),
}

/// A part of a body that has several.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    Text(Vec<u8>),
    /// These bytes of the file.
    Span(Range<u64>),
}

/// Writes the fields and counts them.
struct Head<'o> {
    out: &'o mut Vec<u8>,
    fields: u32,
}

impl Head<'_> {
    fn field(&mut self, name: &str, value: impl std::fmt::Display) {
        // A Vec takes all that is written to it.
        let _ = write!(self.out, "{name}: {value}\r\n");
        self.fields += 1;
    }
}

/// See `Files::answer`.
pub(super) fn answer(
    rules: &Rules,
    asked: &Asked<'_>,
    found: &Found,
    now_s: u64,
    boundary: u64,
    out: &mut Vec<u8>,
) -> Answer {
    let verdict = decide(asked, &found.tag, found.changed_s, &found.changed);
    let mut head = Head { out, fields: 0 };
    let (status, part) = match verdict {
        Verdict::Failed => return without_body(412, "Precondition Failed", head),
        Verdict::NotModified => (304, Part::Whole),
        Verdict::Send { ranges } => match asked.range {
            // RFC 9110, 14.2: ranges are defined for GET alone.
            Some(field) if ranges && !asked.is_head && sends_ranges(rules) => {
                match part(field, found.len) {
                    Part::Whole => (200, Part::Whole),
                    Part::Unsatisfiable => {
                        // uWSGI's reason.
                        let _ = write!(head.out, "416 Requested Range Not Satisfiable\r\n");
                        head.field("Content-Range", format_args!("bytes */{}", found.len));
                        head.field("Content-Length", 0);
                        return Answer { status: 416, fields: head.fields, body: Body::None };
                    }
                    part => (206, part),
                }
            }
            _ => (200, Part::Whole),
        },
    };
    head.out.extend_from_slice(match status {
        206 => b"206 Partial Content\r\n",
        304 => b"304 Not Modified\r\n",
        _ => b"200 OK\r\n",
    });
    let body = match (status, part) {
        (304, _) => Body::None,
        (_, Part::One(range)) => Body::One(range),
        (_, Part::Several(ranges)) => Body::Several(pieces(&ranges, found, boundary)),
        _ => Body::One(0..found.len),
    };
    let content = Content { status, body: &body, boundary };
    describe(&mut head, rules, asked, found, now_s, &content);
    let is_ours = rules.serve_mode == ServeMode::Send;
    let body = if is_ours && !asked.is_head { body } else { Body::None };
    Answer { status, fields: head.fields, body }
}

fn sends_ranges(rules: &Rules) -> bool {
    rules.ranges && rules.serve_mode == ServeMode::Send
}

fn without_body(status: u16, reason: &str, mut head: Head<'_>) -> Answer {
    let _ = write!(head.out, "{status} {reason}\r\n");
    head.field("Content-Length", 0);
    Answer { status, fields: head.fields, body: Body::None }
}

/// What a GET would get, of which HEAD gets the fields.
struct Content<'b> {
    status: u16,
    body: &'b Body,
    boundary: u64,
}

/// Writes the fields, uWSGI's in its order, then ours.
fn describe(
    head: &mut Head<'_>,
    rules: &Rules,
    asked: &Asked<'_>,
    found: &Found,
    now_s: u64,
    content: &Content<'_>,
) {
    let Content { status, body, boundary } = *content;
    let has_content = *body != Body::None;
    let kind = found.kind.as_deref();
    if has_content {
        if let Some(coding) = found.coding {
            head.field("Content-Encoding", coding.name());
        }
        match (body, kind) {
            (Body::Several(_), _) => head.field(
                "Content-Type",
                format_args!("multipart/byteranges; boundary={boundary:020}"),
            ),
            (_, Some(kind)) => head.field("Content-Type", kind),
            (_, None) => {}
        }
    }
    let subject = Subject { kind, file: &found.named, path_info: asked.path_info, uri: asked.uri };
    if let Some(at) = expires::at(&rules.expiry, &subject, now_s, found.changed_s) {
        let time = UNIX_EPOCH + Duration::from_secs(at);
        head.field("Expires", httpdate::HttpDate::from(time));
    }
    let mode = rules.serve_mode;
    if has_content {
        match mode {
            ServeMode::Send => head.field("Content-Length", length(body)),
            ServeMode::AccelRedirect => head.field("X-Accel-Redirect", Escaped(&found.path)),
            ServeMode::Sendfile => head.field("X-Sendfile", Escaped(&found.path)),
        }
        if let (206, Body::One(range)) = (status, body) {
            let (first, last) = (range.start, range.end - 1);
            head.field("Content-Range", format_args!("bytes {first}-{last}/{}", found.len));
        }
    }
    head.field("Last-Modified", &found.changed);
    if mode == ServeMode::Send {
        head.field("ETag", &found.tag);
    }
    if found.varies {
        head.field("Vary", "Accept-Encoding");
    }
    if has_content && sends_ranges(rules) {
        head.field("Accept-Ranges", "bytes");
    }
    if has_content && mode != ServeMode::Send {
        // The other server knows how long the file is.
        head.field("Content-Length", 0);
    }
}

fn length(body: &Body) -> u64 {
    match body {
        Body::None => 0,
        Body::One(range) => range.end - range.start,
        Body::Several(pieces) => pieces.iter().map(Piece::len).sum(),
    }
}

impl Piece {
    fn len(&self) -> u64 {
        match self {
            Piece::Text(text) => text.len() as u64,
            Piece::Span(range) => range.end - range.start,
        }
    }
}

/// The parts of multipart/byteranges (RFC 9110, 14.6).
fn pieces(ranges: &[Range<u64>], found: &Found, boundary: u64) -> Vec<Piece> {
    let mut pieces = Vec::with_capacity(ranges.len() * 2 + 1);
    for range in ranges {
        let mut text = format!("\r\n--{boundary:020}\r\n");
        if let Some(kind) = &found.kind {
            text += &format!("Content-Type: {kind}\r\n");
        }
        let (first, last) = (range.start, range.end - 1);
        text += &format!("Content-Range: bytes {first}-{last}/{}\r\n\r\n", found.len);
        pieces.push(Piece::Text(text.into_bytes()));
        pieces.push(Piece::Span(range.clone()));
    }
    pieces.push(Piece::Text(format!("\r\n--{boundary:020}--\r\n").into_bytes()));
    pieces
}

/// A path as the servers in front decode it: a file's name may hold any byte, a line feed too.
struct Escaped<'p>(&'p Path);

impl std::fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for &byte in self.0.as_os_str().as_bytes() {
            match byte {
                b'%' | b'?' | b'#' | 0..=b' ' | 0x7f.. => write!(f, "%{byte:02X}")?,
                _ => write!(f, "{}", char::from(byte))?,
            }
        }
        Ok(())
    }
}
