//! HTTP/1.x request heads: RFC 9112, in strict mode for an origin server.
//!
//! httparse does the bulk at the speed of its vector code. What it did not accept goes through
//! `strict`, which names the fault; what it did is judged here as a whole: host, framing,
//! expectations.

use std::mem::{MaybeUninit, replace};

use super::grammar::{TOKEN, decimal, is};
use super::{Limits, Parsed, Reject, strict, target};
use crate::request::{Body, Field, Range, Request, Version};

/// The number of header fields that no limit lifts: their places are on the stack.
pub const FIELDS_CEILING: usize = 256;

/// RFC 9112, 2.2: some clients send CR LF after a body. A few are skipped.
const EMPTY_LINES_MAX: usize = 4;

/// An unfinished head is looked at up to here: it tells garbage from HTTP, and a client that sends
/// one byte for each packet cannot make it cost more.
const EARLY_BYTES: usize = 2048;

/// Parses the request head at the start of `bytes`. The ranges in `request` count from `bytes[0]`;
/// its fields are as the peer sent them and in its order, without Transfer-Encoding, `Proxy` and
/// names that hold an underscore.
pub fn parse(bytes: &[u8], limits: &Limits, request: &mut Request) -> Result<Parsed, Reject> {
    request.clear();
    let head_bytes_max = limits.head_bytes_max.min(usize::from(u16::MAX));
    let window = &bytes[..bytes.len().min(head_bytes_max)];
    let skipped = skip_empty_lines(window)?;
    let head = &window[skipped..];

    if head.len() <= EARLY_BYTES || may_hold_end(head) {
        let room = limits.fields_max.min(FIELDS_CEILING);
        let mut places = [const { MaybeUninit::uninit() }; FIELDS_CEILING];
        let mut parsed = httparse::Request::new(&mut []);
        match parsed.parse_with_uninit_headers(head, &mut places[..room]) {
            Ok(httparse::Status::Complete(len)) => {
                request.head_len = skipped + len;
                return accept(window, &parsed, limits, request);
            }
            Ok(httparse::Status::Partial) => {}
            Err(_) => return Err(name_fault(head, limits)),
        }
    }
    if window.len() == head_bytes_max {
        strict::check(head, limits)?;
        return Err(Reject::HeadTooLarge);
    }
    strict::check(&head[..head.len().min(EARLY_BYTES)], limits)?;
    Ok(Parsed::Partial)
}

/// The reason why httparse, or a check that it does not make, refused `head`.
fn name_fault(head: &[u8], limits: &Limits) -> Reject {
    strict::check(head, limits).err().unwrap_or(Reject::LineEnd)
}

/// How many bytes of empty lines come before the request line.
fn skip_empty_lines(window: &[u8]) -> Result<usize, Reject> {
    let mut skipped = 0;
    while window[skipped..].starts_with(b"\r\n") {
        skipped += 2;
        if skipped > 2 * EMPTY_LINES_MAX {
            return Err(Reject::EmptyLines);
        }
    }
    match window[skipped..] {
        [b'\n', ..] => Err(Reject::LineEnd),
        [b'\r', other, ..] if other != b'\n' => Err(Reject::LineEnd),
        _ => Ok(skipped),
    }
}

/// Whether the empty line that ends a head may be in `head`: nowhere else in a valid one does a CR
/// follow an LF.
fn may_hold_end(head: &[u8]) -> bool {
    // Blocks without a way out inside, so that the compiler makes vector code of them.
    head.chunks(1024).enumerate().any(|(index, block)| {
        let next = &head[(index * 1024 + 1).min(head.len())..];
        let pairs = block.iter().zip(next);
        pairs.fold(false, |found, (a, b)| found | (*a == b'\n') & (*b == b'\r'))
    })
}

/// Fills `request` from a head that httparse accepted, and judges it.
fn accept(
    window: &[u8],
    parsed: &httparse::Request<'_, '_>,
    limits: &Limits,
    request: &mut Request,
) -> Result<Parsed, Reject> {
    let (Some(method), Some(target)) = (parsed.method, parsed.path) else {
        unreachable!("BUG: httparse calls a head without a method or a target complete");
    };
    request.method = range_in(window, method.as_bytes());
    request.target = range_in(window, target.as_bytes());
    request.version = if parsed.version == Some(0) { Version::Http10 } else { Version::Http11 };
    let plain = target.len() <= limits.target_bytes_max && target.is_ascii();
    if !plain || !lines_end_in_crlf(window, request.head_len, parsed.headers) {
        return Err(name_fault(&window[request.method.start.into()..], limits));
    }

    let mut said = Said::default();
    request.fields.reserve(parsed.headers.len());
    for header in parsed.headers.iter() {
        let name = header.name.as_bytes();
        // nginx and uWSGI would make one environ key of `Foo-Bar` and `Foo_Bar`.
        if has_underscore(name) || !said.keeps(name, header.value, request.fields.len())? {
            continue;
        }
        let value = range_in(window, header.value);
        request.fields.push(Field { name: range_in(window, name), value });
    }
    settle(window, &said, limits, request)?;
    Ok(Parsed::Complete)
}

/// RFC 9112, 2.2: httparse also takes a bare LF for a line's end. Every line end comes before a
/// field name or before the head's end, so these places are all of them.
fn lines_end_in_crlf(window: &[u8], head_len: usize, headers: &[httparse::Header<'_>]) -> bool {
    let is_crlf = |end: usize| end >= 2 && window[end - 2..end] == *b"\r\n";
    is_crlf(head_len)
        && is_crlf(head_len - 2)
        && headers.iter().all(|header| is_crlf(offset_in(window, header.name.as_bytes())))
}

/// What the head says about the connection and the body.
#[derive(Default)]
struct Said {
    /// The index of the Host field.
    host: Option<usize>,
    content_type: bool,
    length: Option<u64>,
    coding: Option<Result<(), Reject>>,
    close: bool,
    keep_alive: bool,
    continues: bool,
}

impl Said {
    /// Takes note of one field, the `index`-th that is kept, and says whether to keep it.
    #[inline]
    fn keeps(&mut self, name: &[u8], value: &[u8], index: usize) -> Result<bool, Reject> {
        let named = |expected: &[u8]| name.eq_ignore_ascii_case(expected);
        match (name.len(), name[0] | 0x20) {
            (4, b'h') if named(b"host") && self.host.replace(index).is_some() => {
                return Err(Reject::HostRepeated);
            }
            // httpoxy: it would become HTTP_PROXY, which HTTP clients obey.
            (5, b'p') if named(b"proxy") => return Ok(false),
            (6, b'e') if named(b"expect") => {
                // RFC 9110, 10.1.1: there is no other expectation.
                if !value.eq_ignore_ascii_case(b"100-continue") {
                    return Err(Reject::Expectation);
                }
                self.continues = true;
            }
            (10, b'c') if named(b"connection") => self.note_connection(value),
            (12, b'c') if named(b"content-type") && replace(&mut self.content_type, true) => {
                return Err(Reject::ContentTypeRepeated);
            }
            (14, b'c') if named(b"content-length") => {
                let length = decimal(value).ok_or(Reject::LengthInvalid)?;
                if self.length.replace(length).is_some() {
                    return Err(Reject::LengthRepeated);
                }
            }
            (17, b't') if named(b"transfer-encoding") => {
                let repeated = self.coding.is_some();
                self.coding =
                    Some(if repeated { Err(Reject::CodingInvalid) } else { coding(value) });
                return Ok(false);
            }
            _ => {}
        }
        Ok(true)
    }

    /// RFC 9110, 7.6.1: a list of options in any case, over any number of fields.
    fn note_connection(&mut self, value: &[u8]) {
        for option in value.split(|byte| *byte == b',').map(trim) {
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }
}

/// Judges what the head says as a whole, and sets the rest of `request`.
fn settle(
    window: &[u8],
    said: &Said,
    limits: &Limits,
    request: &mut Request,
) -> Result<(), Reject> {
    let is_11 = request.version == Version::Http11;
    let authority = target::split(window, request)?;
    request.host = said.host.map(|index| request.fields[index].value).unwrap_or_default();
    if !target::is_host(request.host.of(window)) {
        return Err(Reject::HostInvalid);
    }
    // RFC 9112, 3.2: Host is required from 1.1 on.
    if is_11 && request.host.is_empty() {
        return Err(Reject::HostMissing);
    }
    if let Some(authority) = authority {
        // RFC 9112, 3.2.2: the target's authority replaces Host, in the fields as well.
        request.host = authority;
        if let Some(index) = said.host {
            request.fields[index].value = authority;
        }
    }

    request.body = match (said.length, said.coding) {
        // RFC 9112, 6.1 and 6.3: both of these are how requests are smuggled.
        (Some(_), Some(_)) => return Err(Reject::LengthBesideCoding),
        (None, Some(_)) if !is_11 => return Err(Reject::CodingBefore11),
        (None, Some(coding)) => coding.map(|()| Body::Chunked)?,
        (Some(length), None) if length > limits.body_bytes_max => return Err(Reject::BodyTooLarge),
        (Some(0) | None, None) => Body::None,
        (Some(length), None) => Body::Length(length),
    };
    // RFC 9112, 9.3.
    request.keep_alive = !said.close && (is_11 || said.keep_alive);
    // RFC 9110, 10.1.1: ignored in 1.0; without a body there is nothing to continue with.
    request.expects_continue = said.continues && is_11 && request.body != Body::None;
    Ok(())
}

/// RFC 9112, 6.1 and 6.3: exactly `chunked` is understood. A proper list that ends in it is of
/// known length in a coding that is not; anything else has no length.
fn coding(value: &[u8]) -> Result<(), Reject> {
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(());
    }
    let is_token = |coding: &[u8]| !coding.is_empty() && coding.iter().all(|byte| is(*byte, TOKEN));
    let mut others = value.split(|byte| *byte == b',').map(trim);
    let ends_in_chunked = others.next_back().is_some_and(|c| c.eq_ignore_ascii_case(b"chunked"));
    let others_differ = others.all(|c| is_token(c) && !c.eq_ignore_ascii_case(b"chunked"));
    Err(if ends_in_chunked && others_differ {
        Reject::CodingUnknown
    } else {
        Reject::CodingInvalid
    })
}

/// RFC 9110, 5.6.3: optional white space is SP and HT, nothing else.
fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// Whether `name` holds an underscore; eight bytes at a time, names are on the hot path.
fn has_underscore(name: &[u8]) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let (words, rest) = name.as_chunks::<8>();
    let in_words = words.iter().any(|word| {
        let zeroed = u64::from_ne_bytes(*word) ^ (ONES * b'_' as u64);
        zeroed.wrapping_sub(ONES) & !zeroed & (ONES << 7) != 0
    });
    in_words || rest.contains(&b'_')
}

/// Where `part`, a slice of `window`, starts in it.
fn offset_in(window: &[u8], part: &[u8]) -> usize {
    part.as_ptr() as usize - window.as_ptr() as usize
}

fn range_in(window: &[u8], part: &[u8]) -> Range {
    Range::new(offset_in(window, part), part.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_default(head: &[u8]) -> Result<Request, Reject> {
        let mut request = Request::default();
        match parse(head, &Limits::default(), &mut request)? {
            Parsed::Complete => Ok(request),
            Parsed::Partial => panic!("incomplete: {}", head.escape_ascii()),
        }
    }

    fn with_fields(fields: &str) -> Result<Request, Reject> {
        parse_default(format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n").as_bytes())
    }

    #[test]
    fn counts_ranges_from_the_first_byte() {
        let head = b"\r\n\r\nGET /p%20q?r HTTP/1.1\r\nHost: a:80\r\nX: \t y \r\nE:\r\n\r\nrest";
        let request = parse_default(head).unwrap();
        assert_eq!(request.head_len, head.len() - 4);
        assert_eq!(request.method.of(head), b"GET");
        assert_eq!(request.target.of(head), b"/p%20q?r");
        assert_eq!(request.path.of(head), b"/p%20q");
        assert_eq!(request.query.of(head), b"r");
        assert_eq!(request.host.of(head), b"a:80");
        assert!(request.path_is_encoded && request.keep_alive);
        let fields: Vec<_> =
            request.fields.iter().map(|f| (f.name.of(head), f.value.of(head))).collect();
        assert_eq!(fields, [(&b"Host"[..], &b"a:80"[..]), (b"X", b"y"), (b"E", b"")]);
    }

    #[test]
    fn rejects_two_content_lengths() {
        let two = "Content-Length: 1\r\ncontent-length: 1\r\n";
        assert_eq!(with_fields(two), Err(Reject::LengthRepeated));
    }

    #[test]
    fn rejects_a_length_beside_a_coding() {
        let both = "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n";
        assert_eq!(with_fields(both), Err(Reject::LengthBesideCoding));
    }

    #[test]
    fn takes_chunked_alone_as_a_coding() {
        let request = with_fields("Transfer-Encoding: \tChunked \r\n").unwrap();
        assert_eq!((request.body, request.fields.len()), (Body::Chunked, 1));
        for (value, reject) in [
            ("gzip, chunked", Reject::CodingUnknown),
            ("chunked, chunked", Reject::CodingInvalid),
            ("chunked, gzip", Reject::CodingInvalid),
            ("xchunked", Reject::CodingInvalid),
            (",chunked", Reject::CodingInvalid),
            ("chunked,", Reject::CodingInvalid),
            ("", Reject::CodingInvalid),
            ("\"chunked\"", Reject::CodingInvalid),
            ("chunked;q=1", Reject::CodingInvalid),
        ] {
            let fields = format!("Transfer-Encoding: {value}\r\n");
            assert_eq!(with_fields(&fields), Err(reject), "{value}");
        }
    }

    #[test]
    fn drops_names_with_an_underscore_wherever_it_is() {
        for name in ["_", "a_", "_2345678", "1234567_", "12345678_", "Content_Length", "1234_678-0"]
        {
            let request = with_fields(&format!("{name}: 1\r\n")).unwrap();
            assert_eq!((request.fields.len(), request.body), (1, Body::None), "{name}");
        }
    }

    #[test]
    fn refuses_a_bare_line_feed_at_every_place() {
        let lines = ["GET / HTTP/1.1", "Host: a", "X: y", ""];
        for bad in 0..lines.len() {
            let ends = |at: usize| if at == bad { "\n" } else { "\r\n" };
            let head: String =
                lines.iter().enumerate().map(|(at, line)| format!("{line}{}", ends(at))).collect();
            assert_eq!(parse_default(head.as_bytes()), Err(Reject::LineEnd), "{head:?}");
        }
    }

    #[test]
    fn binds_every_limit() {
        let limits =
            Limits { head_bytes_max: 64, target_bytes_max: 8, fields_max: 2, body_bytes_max: 9 };
        let parse = |head: &str| parse(head.as_bytes(), &limits, &mut Request::default());
        let start = "GET / HTTP/1.1\r\nHost: a\r\n";
        assert_eq!(parse("GET /2345678"), Ok(Parsed::Partial));
        assert_eq!(parse("GET /23456789"), Err(Reject::TargetTooLong));
        assert_eq!(parse(&format!("{start}X:\r\n\r\n")), Ok(Parsed::Complete));
        assert_eq!(parse(&format!("{start}X:\r\nY:\r\n\r\n")), Err(Reject::FieldsTooMany));
        assert_eq!(parse(&format!("{start}Content-Length: 9\r\n\r\n")), Ok(Parsed::Complete));
        assert_eq!(parse(&format!("{start}Content-Length: 10\r\n\r\n")), Err(Reject::BodyTooLarge));
        let filled = format!("{start}X: {}", "x".repeat(64 - start.len() - 3));
        assert_eq!(parse(&filled[..63]), Ok(Parsed::Partial));
        assert_eq!(parse(&filled), Err(Reject::HeadTooLarge));
        assert_eq!(parse(&format!("{}\r\n\r\n", &filled[..60])), Ok(Parsed::Complete));
        assert_eq!(parse(&format!("{}\r\n\r\n", &filled[..61])), Err(Reject::HeadTooLarge));
    }

    #[test]
    fn finds_the_end_of_a_long_head_wherever_its_bytes_lie() {
        for len in EARLY_BYTES - 40..EARLY_BYTES + 1100 {
            let head = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(len));
            let mut request = Request::default();
            let cut = parse(&head.as_bytes()[..head.len() - 1], &Limits::default(), &mut request);
            assert_eq!(cut, Ok(Parsed::Partial), "{len}");
            assert_eq!(parse_default(head.as_bytes()).unwrap().head_len, head.len());
        }
    }

    #[test]
    fn keeps_the_connection_as_the_version_and_the_options_say() {
        let keeps = |version: &str, options: &str| {
            let head = format!("GET / HTTP/{version}\r\nHost: a\r\nConnection: {options}\r\n\r\n");
            parse_default(head.as_bytes()).unwrap().keep_alive
        };
        assert!(keeps("1.1", "upgrade"));
        assert!(!keeps("1.1", "x ,\tCLOSE , keep-alive"));
        assert!(!keeps("1.0", "closed"));
        assert!(keeps("1.0", "x,Keep-Alive"));
    }
}
