//! Turns start_response's arguments into header lines, and refuses what must not go out.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::handoff::flag;
use crate::python::{Exception, Kind, Object};
use crate::response::Amendment;

/// What the lines say about the response's framing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Framing {
    pub status: u16,
    pub headers: u32,
    pub length: Option<u64>,
    pub flags: u32,
}

/// Writes the status (without the version) and the header lines to `head`, each ended by CR LF.
///
/// # Errors
/// TypeError for wrong types, ValueError for what cannot stand in a header.
pub fn write_head(
    status: &Object<'_>,
    fields: &Object<'_>,
    strict: bool,
    amendment: &Amendment,
    head: &mut Vec<u8>,
) -> Result<Framing, Exception> {
    let mut framing = Framing { status: write_status(status, head)?, ..Framing::default() };
    if !fields.is_list() && (strict || !fields.is_tuple()) {
        return Err(type_error("http headers must be in a python list", fields));
    }
    let mut index = 0;
    while let Some(field) = fields.item(index) {
        index += 1;
        let pair = (field.is_tuple()).then(|| (field.item(0), field.item(1), field.item(2)));
        let Some((Some(name), Some(value), None)) = pair else {
            return Err(type_error("http header must be a tuple of a name and a value", &field));
        };
        if !amendment.removed.is_empty() && name.as_latin1().is_some_and(|n| amendment.removes(n)) {
            continue;
        }
        write_field(&name, &value, strict, head, &mut framing)?;
    }
    head.extend_from_slice(&amendment.lines);
    framing.headers += amendment.count;
    Ok(framing)
}

fn type_error(expected: &str, found: &Object<'_>) -> Exception {
    Exception::new(Kind::Type, format!("{expected}, not {}", found.type_name()))
}

fn value_error(message: &str, found: &Object<'_>) -> Exception {
    Exception::new(Kind::Value, format!("{message}: {:?}", found.to_text()))
}

fn write_status(status: &Object<'_>, head: &mut Vec<u8>) -> Result<u16, Exception> {
    if !status.is_str() {
        return Err(type_error("http status must be a string", status));
    }
    let Some(text) = status.as_latin1() else {
        return Err(value_error("http status is not latin-1", status));
    };
    let digits = text.len() >= 3 && text[..3].iter().all(u8::is_ascii_digit);
    let separated = text.len() == 3 || text.get(3) == Some(&b' ');
    if !digits || !separated || text.iter().any(|&b| b < b' ' || b == 0x7f) {
        return Err(value_error("http status must be three digits and a reason", status));
    }
    let code = text[..3].iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
    if !(100..=999).contains(&code) {
        return Err(value_error("http status must be three digits and a reason", status));
    }
    head.extend_from_slice(text);
    if text.len() <= 4 {
        // uWSGI: a bare code gets its phrase.
        head.truncate(3);
        head.push(b' ');
        head.extend_from_slice(phrase(code).as_bytes());
    }
    head.extend_from_slice(b"\r\n");
    Ok(code)
}

fn write_field(
    name: &Object<'_>,
    value: &Object<'_>,
    strict: bool,
    head: &mut Vec<u8>,
    framing: &mut Framing,
) -> Result<(), Exception> {
    let Some(name_bytes) = name.as_latin1() else {
        return Err(type_error("http header name must be a latin-1 string", name));
    };
    let Some(value_bytes) = value.as_latin1() else {
        return Err(type_error("http header value must be a latin-1 string", value));
    };
    if name_bytes.is_empty() || !all_are(name_bytes, TOKEN) {
        return Err(value_error("http header name is not a token", name));
    }
    if !all_are(value_bytes, VALUE) {
        return Err(value_error("http header value holds a control character", value));
    }
    // Most names are none of those that mean something to us: length and first letter tell.
    match (name_bytes.len(), name_bytes[0] | 0x20) {
        (2 | 7, b't')
        | (4, b'd')
        | (7, b'u')
        | (10, b'c' | b'k')
        | (14, b'c')
        | (17, b't')
        | (18 | 19, b'p')
            if special(name, name_bytes, value, value_bytes, strict, framing)? == Keep::No =>
        {
            return Ok(());
        }
        _ => {}
    }
    let value = trim(value_bytes);
    head.reserve(name_bytes.len() + value.len() + 4);
    head.extend_from_slice(name_bytes);
    head.extend_from_slice(b": ");
    head.extend_from_slice(value);
    head.extend_from_slice(b"\r\n");
    framing.headers += 1;
    Ok(())
}

/// Whether a field goes out.
#[derive(PartialEq, Eq)]
enum Keep {
    Yes,
    No,
}

fn special(
    name: &Object<'_>,
    name_bytes: &[u8],
    value: &Object<'_>,
    value_bytes: &[u8],
    strict: bool,
    framing: &mut Framing,
) -> Result<Keep, Exception> {
    let is = |known: &str| name_bytes.eq_ignore_ascii_case(known.as_bytes());
    if is("content-length") {
        let text = std::str::from_utf8(trim(value_bytes)).unwrap_or("");
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let Some(length) = text.parse().ok().filter(|&length| digits && length != u64::MAX) else {
            return Err(value_error("Content-Length must be a number", value));
        };
        if framing.length.is_some_and(|other| other != length) {
            return Err(value_error("two different Content-Length fields", value));
        }
        // RFC 9110, 8.6: 1xx and 204 have none.
        let has_none = matches!(framing.status, 100..=199 | 204);
        if framing.length.is_some() || has_none {
            return Ok(Keep::No);
        }
        framing.length = Some(length);
    } else if is("date") {
        framing.flags |= flag::HAS_DATE;
    } else if is("transfer-encoding") {
        // The body would be framed twice, and the client could not read it.
        return Err(value_error("the server frames the body: Transfer-Encoding is refused", value));
    } else if HOP_BY_HOP.iter().any(|known| is(known)) {
        // PEP 3333, "Other HTTP Features": hop-by-hop fields are the server's own.
        if strict {
            return Err(value_error("a hop-by-hop header is refused", name));
        }
        warn_hop_by_hop(name);
        return Ok(Keep::No);
    }
    Ok(Keep::Yes)
}

const HOP_BY_HOP: [&str; 7] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "upgrade",
];

fn warn_hop_by_hop(name: &Object<'_>) {
    static WARNED: AtomicBool = AtomicBool::new(false);
    if !WARNED.swap(true, Ordering::Relaxed) {
        crate::log::line(format_args!(
            "the app sent the hop-by-hop header {:?}: it and its like are dropped, because the \
             server decides about the connection (said once)",
            name.to_text()
        ));
    }
}

fn trim(value: &[u8]) -> &[u8] {
    // Most need none.
    if let [first, .., last] = value
        && *first > b' '
        && *last > b' '
    {
        return value;
    }
    let blank = |b: &u8| *b == b' ' || *b == b'\t';
    let start = value.iter().position(|b| !blank(b)).unwrap_or(value.len());
    let end = value.iter().rposition(|b| !blank(b)).map_or(start, |last| last + 1);
    &value[start..end]
}

/// What a byte may be part of.
const TOKEN: u8 = 1;
const VALUE: u8 = 2;

/// For each byte: RFC 9110, 5.6.2 says what is a token; 5.5 forbids CR, LF and NUL in a value, and
/// other controls but HT have no business there either.
static BYTES: [u8; 256] = {
    let mut kinds = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        if b.is_ascii_alphanumeric() {
            kinds[byte] |= TOKEN;
        }
        if (b >= b' ' && b != 0x7f) || b == b'\t' {
            kinds[byte] |= VALUE;
        }
        byte += 1;
    }
    let others = b"!#$%&'*+-.^_`|~";
    let mut index = 0;
    while index < others.len() {
        kinds[others[index] as usize] |= TOKEN;
        index += 1;
    }
    kinds
};

fn all_are(bytes: &[u8], kind: u8) -> bool {
    bytes.iter().fold(kind, |kinds, &byte| kinds & BYTES[usize::from(byte)]) != 0
}

/// The reason phrase of a status code (IANA's registry).
fn phrase(code: u16) -> &'static str {
    match code {
        100 => "Continue",
        101 => "Switching Protocols",
        103 => "Early Hints",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        418 => "I'm a Teapot",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        423 => "Locked",
        424 => "Failed Dependency",
        425 => "Too Early",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        507 => "Insufficient Storage",
        511 => "Network Authentication Required",
        _ => "Unknown",
    }
}
