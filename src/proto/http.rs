//! HTTP/1.x request heads: RFC 9112, in strict mode for an origin server.
//!
//! httparse does the bulk at the speed of its vector code. What it did not accept goes through
//! `strict`, which names the fault; what it did is judged here as a whole: host, framing,
//! expectations.

use std::mem::MaybeUninit;

use super::fields::{Said, has_underscore};
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
    let limits = &Limits {
        head_bytes_max: limits.head_bytes_max.min(usize::from(u16::MAX)),
        fields_max: limits.fields_max.min(FIELDS_CEILING),
        ..*limits
    };
    let window = &bytes[..bytes.len().min(limits.head_bytes_max)];
    let skipped = skip_empty_lines(window)?;
    let head = &window[skipped..];

    if head.len() <= EARLY_BYTES || may_hold_end(head) {
        let mut places = [const { MaybeUninit::uninit() }; FIELDS_CEILING];
        let mut parsed = httparse::Request::new(&mut []);
        match parsed.parse_with_uninit_headers(head, &mut places[..limits.fields_max]) {
            Ok(httparse::Status::Complete(len)) => {
                request.head_len = skipped + len;
                return accept(window, &parsed, limits, request);
            }
            Ok(httparse::Status::Partial) => {}
            Err(_) => return Err(name_fault(head, limits)),
        }
    }
    if window.len() == limits.head_bytes_max {
        strict::check(head, limits)?;
        return Err(Reject::HeadTooLarge);
    }
    strict::check(&head[..head.len().min(EARLY_BYTES)], limits)?;
    Ok(Parsed::Partial)
}

/// The reason why httparse, or a check that it does not make, refused `head`.
fn name_fault(head: &[u8], limits: &Limits) -> Reject {
    let fault = strict::check(head, limits).err();
    debug_assert!(fault.is_some(), "BUG: {} is not at fault", head.escape_ascii());
    fault.unwrap_or(Reject::LineEnd)
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
    request.is_head = method == "HEAD";
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
    match request.body {
        Body::Length(length) if request.expects_continue && length > limits.expected_bytes_max => {
            Err(Reject::ExpectedTooLarge)
        }
        _ => Ok(()),
    }
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
        let limits = Limits {
            head_bytes_max: 64,
            target_bytes_max: 8,
            fields_max: 2,
            body_bytes_max: 9,
            ..Limits::default()
        };
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
    fn a_body_that_is_asked_about_has_a_limit_of_its_own() {
        let limits = Limits { expected_bytes_max: 9, ..Limits::default() };
        let parse = |version: u8, fields: &str| {
            let head = format!("POST / HTTP/1.{version}\r\nHost: a\r\n{fields}\r\n\r\n");
            parse(head.as_bytes(), &limits, &mut Request::default())
        };
        let expect = "Expect: 100-continue\r\n";
        assert_eq!(parse(1, &format!("{expect}Content-Length: 9")), Ok(Parsed::Complete));
        let refused = Err(Reject::ExpectedTooLarge);
        assert_eq!(parse(1, &format!("{expect}Content-Length: 10")), refused);
        assert_eq!(parse(1, "Content-Length: 10"), Ok(Parsed::Complete));
        assert_eq!(parse(0, &format!("{expect}Content-Length: 10")), Ok(Parsed::Complete));
        let chunked = format!("{expect}Transfer-Encoding: chunked");
        assert_eq!(parse(1, &chunked), Ok(Parsed::Complete));
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
    fn binds_a_limit_that_is_set_to_unlimited() {
        let limits =
            Limits { head_bytes_max: usize::MAX, fields_max: usize::MAX, ..Limits::default() };
        let fields = |count| format!("GET / HTTP/1.0\r\n{}\r\n", "X:\r\n".repeat(count));
        let parse = |head: String| parse(head.as_bytes(), &limits, &mut Request::default());
        assert_eq!(parse(fields(FIELDS_CEILING)), Ok(Parsed::Complete));
        assert_eq!(parse(fields(FIELDS_CEILING + 1)), Err(Reject::FieldsTooMany));
        let long = format!("GET / HTTP/1.0\r\nX: {}\r\n\r\n", "x".repeat(66_000));
        assert_eq!(parse(long), Err(Reject::HeadTooLarge));
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
