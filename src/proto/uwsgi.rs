//! The uwsgi protocol: request packets as nginx, Apache and uWSGI's routers send them.
//!
//! ```text
//! byte 0     modifier1   0 and 30: a Python request, 100: a ping
//! byte 1..2  datasize    little endian: the bytes of the vars block, not of the body
//! byte 3     modifier2
//! vars       { key_len: u16 LE, key, value_len: u16 LE, value } until the block is full
//! body       exactly CONTENT_LENGTH bytes, unframed; then the connection ends
//! ```

use super::grammar::decimal;
use super::{Limits, Parsed, Reject};
use crate::request::{Body, Field, Fields, Range, Request, Version};

/// The bytes before the vars block.
pub const HEADER_LEN: usize = 4;

const MODIFIER_PING: u8 = 100;

/// What a packet asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packet {
    /// uWSGI: 0 is Python, 30 is Python with SCRIPT_NAME taken off PATH_INFO.
    Request,
    /// Answered with `pong`.
    Ping,
    /// Another language or a control message, by its modifier1: not served.
    Other(u8),
}

impl Packet {
    /// What a packet with this modifier1 asks for.
    pub fn of(modifier1: u8) -> Packet {
        match modifier1 {
            0 | 30 => Packet::Request,
            MODIFIER_PING => Packet::Ping,
            other => Packet::Other(other),
        }
    }
}

/// Parses the packet at the start of `bytes`. `request.modifier1` says what it asks for
/// (`Packet::of`); only a request has vars, all of them in `request.fields`. Of a var that is sent
/// twice the last one counts, as in environ.
///
/// A packet that is not served is complete at its fourth byte, so that a client that speaks
/// something else is not waited for.
pub fn parse(bytes: &[u8], limits: &Limits, request: &mut Request) -> Result<Parsed, Reject> {
    request.clear();
    let &[modifier1, size_low, size_high, modifier2, ..] = bytes else {
        return Ok(Parsed::Partial);
    };
    let size = usize::from(u16::from_le_bytes([size_low, size_high]));
    request.kind = Fields::Vars;
    request.modifier1 = modifier1;
    request.modifier2 = modifier2;
    request.head_len = HEADER_LEN;
    let packet = Packet::of(modifier1);
    if let Packet::Other(_) = packet {
        return Ok(Parsed::Complete);
    }
    // A range counts from the packet's first byte with 16 bits.
    if size > limits.head_bytes_max.min(usize::from(u16::MAX) - HEADER_LEN) {
        return Err(Reject::HeadTooLarge);
    }
    if packet == Packet::Request && size == 0 {
        return Err(Reject::PacketEmpty);
    }
    request.head_len += size;
    let Some(head) = bytes.get(..request.head_len) else {
        return Ok(Parsed::Partial);
    };
    if packet == Packet::Request {
        read_vars(head, limits, request)?;
    }
    Ok(Parsed::Complete)
}

/// Reads the vars of a whole packet.
fn read_vars(head: &[u8], limits: &Limits, request: &mut Request) -> Result<(), Reject> {
    // uWSGI: a request that names no protocol is answered as HTTP/1.0.
    request.version = Version::Http10;
    let mut at = HEADER_LEN;
    while at < head.len() {
        let name = take_text(head, &mut at).ok_or(Reject::PacketMalformed)?;
        let value = take_text(head, &mut at).ok_or(Reject::PacketMalformed)?;
        if name.is_empty() {
            return Err(Reject::PacketMalformed);
        }
        if request.fields.len() >= limits.fields_max {
            return Err(Reject::FieldsTooMany);
        }
        note_var(head, name, value, limits, request)?;
        request.fields.push(Field { name, value });
    }
    Ok(())
}

/// Takes one length and as many bytes from `head` at `at`.
fn take_text(head: &[u8], at: &mut usize) -> Option<Range> {
    let start = *at + 2;
    let length = head.get(*at..start)?;
    let len = u16::from_le_bytes([length[0], length[1]]).into();
    // A range must not be made before it is known to be inside: the length may say 65,535.
    head.get(start..start + len)?;
    *at = start + len;
    Some(Range::new(start, len))
}

/// Sets what the server itself reads from a var.
fn note_var(
    head: &[u8],
    name: Range,
    value: Range,
    limits: &Limits,
    request: &mut Request,
) -> Result<(), Reject> {
    match name.of(head) {
        b"REQUEST_METHOD" => {
            request.method = value;
            request.is_head = value.of(head) == b"HEAD";
        }
        b"REQUEST_URI" => request.target = value,
        b"PATH_INFO" => request.path = value,
        b"QUERY_STRING" => request.query = value,
        b"HTTP_HOST" => request.host = value,
        b"SERVER_PROTOCOL" => {
            let is_10 = matches!(value.of(head), b"HTTP/1.0" | b"HTTP/0.9" | b"");
            request.version = if is_10 { Version::Http10 } else { Version::Http11 };
        }
        b"CONTENT_LENGTH" => request.body = body(value.of(head), limits)?,
        _ => {}
    }
    Ok(())
}

/// nginx sends an empty CONTENT_LENGTH for a request without a body.
fn body(content_length: &[u8], limits: &Limits) -> Result<Body, Reject> {
    if content_length.is_empty() {
        return Ok(Body::None);
    }
    match decimal(content_length).ok_or(Reject::LengthInvalid)? {
        0 => Ok(Body::None),
        length if length > limits.body_bytes_max => Err(Reject::BodyTooLarge),
        length => Ok(Body::Length(length)),
    }
}

/// Makes a packet, as a web server would: for tests and benches. The vars must fit in 64 KiB.
pub fn encode(vars: &[(&str, &str)], modifier1: u8) -> Vec<u8> {
    let mut packet = vec![modifier1, 0, 0, 0];
    for text in vars.iter().flat_map(|(name, value)| [name, value]) {
        packet.extend_from_slice(&(text.len() as u16).to_le_bytes());
        packet.extend_from_slice(text.as_bytes());
    }
    let size = u16::try_from(packet.len() - HEADER_LEN).expect("the vars fit in a packet");
    packet[1..3].copy_from_slice(&size.to_le_bytes());
    packet
}

/// The answer to a ping. uWSGI: modifier2 is 1, and a warning follows if the app has set one.
pub fn pong(warning: &[u8]) -> Vec<u8> {
    let len = u16::try_from(warning.len()).unwrap_or(u16::MAX);
    let [low, high] = len.to_le_bytes();
    [&[MODIFIER_PING, low, high, 1], &warning[..usize::from(len)]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_default(packet: &[u8]) -> Result<Request, Reject> {
        let mut request = Request::default();
        assert_eq!(parse(packet, &Limits::default(), &mut request)?, Parsed::Complete);
        Ok(request)
    }

    fn parse_vars(vars: &[(&str, &str)]) -> Result<Request, Reject> {
        parse_default(&encode(vars, 0))
    }

    #[test]
    fn reads_the_vars_that_the_server_needs() {
        let packet = encode(
            &[
                ("QUERY_STRING", "b=c"),
                ("REQUEST_METHOD", "POST"),
                ("CONTENT_LENGTH", "12"),
                ("REQUEST_URI", "/a%2F?b=c"),
                ("PATH_INFO", "/a/"),
                ("SERVER_PROTOCOL", "HTTP/1.1"),
                ("HTTP_HOST", "example.org"),
            ],
            0,
        );
        let request = parse_default(&packet).unwrap();
        assert_eq!(request.head_len, packet.len());
        assert_eq!(request.method.of(&packet), b"POST");
        assert_eq!(request.target.of(&packet), b"/a%2F?b=c");
        assert_eq!(request.path.of(&packet), b"/a/");
        assert_eq!(request.query.of(&packet), b"b=c");
        assert_eq!(request.host.of(&packet), b"example.org");
        assert_eq!((request.version, request.body), (Version::Http11, Body::Length(12)));
        assert_eq!((request.kind, request.fields.len()), (Fields::Vars, 7));
        assert!(!request.keep_alive && !request.path_is_encoded);
    }

    #[test]
    fn waits_for_the_whole_packet_and_no_more() {
        let packet = encode(&[("A", "b"), ("CONTENT_LENGTH", "3")], 30);
        let mut request = Request::default();
        for end in 0..packet.len() {
            let parsed = parse(&packet[..end], &Limits::default(), &mut request);
            assert_eq!(parsed, Ok(Parsed::Partial), "{end}");
        }
        assert_eq!(parse_default(&packet).unwrap().modifier1, 30);
    }

    #[test]
    fn keeps_loading_vars_as_mere_text() {
        let request = parse_vars(&[("UWSGI_FILE", "/tmp/evil.py")]).unwrap();
        assert_eq!((request.fields.len(), request.path), (1, Range::default()));
    }

    #[test]
    fn counts_the_last_of_a_repeated_var() {
        let request = parse_vars(&[("CONTENT_LENGTH", "1"), ("CONTENT_LENGTH", "2")]).unwrap();
        assert_eq!((request.body, request.fields.len()), (Body::Length(2), 2));
        let request = parse_vars(&[("CONTENT_LENGTH", "1"), ("HTTP_CONTENT_LENGTH", "2")]).unwrap();
        assert_eq!(request.body, Body::Length(1));
    }

    #[test]
    fn reads_no_body_from_an_empty_content_length() {
        assert_eq!(parse_vars(&[("CONTENT_LENGTH", "")]).unwrap().body, Body::None);
        assert_eq!(parse_vars(&[("A", "")]).unwrap().body, Body::None);
        for bad in ["1a", "-1", " 1", "1 ", "0x1", "9223372036854775808"] {
            assert_eq!(parse_vars(&[("CONTENT_LENGTH", bad)]), Err(Reject::LengthInvalid), "{bad}");
        }
    }

    #[test]
    fn rejects_texts_that_are_unnamed_or_run_past_the_block() {
        assert_eq!(parse_vars(&[("", "a")]), Err(Reject::PacketMalformed));
        for vars in
            [&[1, 0][..], &[1], &[1, 0, b'A'], &[1, 0, b'A', 2, 0, b'b'], &[9, 9, b'A'], &[0xff; 9]]
        {
            let packet = [&[0, vars.len() as u8, 0, 0][..], vars, b"the body"].concat();
            assert_eq!(parse_default(&packet), Err(Reject::PacketMalformed), "{vars:?}");
        }
    }

    #[test]
    fn binds_every_limit() {
        let limits =
            Limits { head_bytes_max: 12, fields_max: 2, body_bytes_max: 9, ..Limits::default() };
        let parse = |vars| parse(&encode(vars, 0), &limits, &mut Request::default());
        assert_eq!(parse(&[("A", "b"), ("C", "d")]), Ok(Parsed::Complete));
        assert_eq!(parse(&[("A", "b"), ("C", "de")]), Err(Reject::HeadTooLarge));
        let limits = Limits { head_bytes_max: 65535, ..limits };
        let parse = |vars| super::parse(&encode(vars, 0), &limits, &mut Request::default());
        assert_eq!(parse(&[("A", ""), ("B", ""), ("C", "")]), Err(Reject::FieldsTooMany));
        assert_eq!(parse(&[("CONTENT_LENGTH", "10")]), Err(Reject::BodyTooLarge));
        let full = [0, 0xff, 0xff, 0];
        let parsed = super::parse(&full, &limits, &mut Request::default());
        assert_eq!(parsed, Err(Reject::HeadTooLarge));
    }

    #[test]
    fn tells_pings_and_strangers_from_requests() {
        assert_eq!(Packet::of(parse_default(&[100, 0, 0, 0]).unwrap().modifier1), Packet::Ping);
        assert_eq!(Packet::of(parse_default(b"GET / ").unwrap().modifier1), Packet::Other(b'G'));
        assert_eq!(parse_default(&[0, 0, 0, 0]), Err(Reject::PacketEmpty));
    }
}
