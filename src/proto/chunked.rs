//! The chunked transfer coding, RFC 9112, 7.1: requests are decoded, responses encoded.
//!
//! The decoder goes byte by byte through what frames the data and in one move over the data, so it
//! gives the same result wherever the bytes are cut.

use super::grammar::{TOKEN, VALUE, is};
use super::{Limits, Reject};

/// RFC 9112, 7.1.1: extensions are ignored, so they must not cost more than the body itself and
/// this many bytes.
const EXTENSION_BYTES_MAX: u64 = 16 * 1024;
/// Bytes of all trailer fields together.
const TRAILER_BYTES_MAX: u16 = 8 * 1024;
/// F9 of the checklist: 64 bits, whatever the zeros in front.
const SIZE_DIGITS_MAX: u8 = 16;

/// RFC 9110, 6.5.1: fields that frame, route, authenticate or describe the content are not allowed
/// after it; a server that merged them would be deceived.
const FORBIDDEN_TRAILERS: [&[u8]; 16] = [
    b"authorization",
    b"cache-control",
    b"connection",
    b"content-encoding",
    b"content-length",
    b"content-range",
    b"content-type",
    b"cookie",
    b"expect",
    b"host",
    b"proxy-authorization",
    b"range",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
];
const FORBIDDEN_LEN_MAX: usize = 19;

/// What ends a chunked body in a response: the last chunk, no trailers, the end.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Appends the line that comes before a chunk of `len` bytes; CR LF must come after them.
/// `len` is not 0: that is the last chunk.
pub fn encode_size(len: usize, out: &mut Vec<u8>) {
    debug_assert!(len > 0, "BUG: an empty chunk ends the body");
    let digits = (usize::BITS - len.leading_zeros()).div_ceil(4);
    for at in (0..digits).rev() {
        out.push(b"0123456789abcdef"[(len >> (4 * at)) & 0xf]);
    }
    out.extend_from_slice(b"\r\n");
}

/// Where in the coding the next byte is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Size,
    SizeLf,
    Extension(Extension),
    Data,
    DataCr,
    DataLf,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
    Done,
}

/// RFC 9112, 7.1.1: `BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extension {
    BeforeName,
    Name,
    AfterName,
    BeforeValue,
    Token,
    Quoted,
    QuotedPair,
    QuoteEnd,
    AfterValue,
}

/// Takes the coding off one body.
#[derive(Debug, Clone, Default)]
pub struct Decoder {
    state: State,
    size_digits: u8,
    /// Length of the trailer name so far, and its first bytes in lower case.
    name_len: u8,
    name: [u8; FORBIDDEN_LEN_MAX],
    trailer_bytes: u16,
    /// The size of this chunk as read so far, then what is left of its data.
    left: u64,
    /// Data bytes of all chunks whose size was read.
    total: u64,
    extension_bytes: u64,
}

/// What one call of `Decoder::decode` did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Bytes of the coding that were taken; more follow this body when it is done.
    pub consumed: usize,
    /// Bytes of the body: they are now at the start of the buffer.
    pub produced: usize,
    /// The last chunk and the trailer fields were read to their end.
    pub done: bool,
}

impl Decoder {
    /// Decodes `bytes` in place: the data moves to the start, what framed it is gone. All bytes are
    /// consumed unless the body is done.
    pub fn decode(&mut self, bytes: &mut [u8], limits: &Limits) -> Result<Step, Reject> {
        let mut consumed = 0;
        let mut produced = 0;
        while consumed < bytes.len() && self.state != State::Done {
            if self.state == State::Data {
                let rest = bytes.len() - consumed;
                let run = usize::try_from(self.left).map_or(rest, |left| left.min(rest));
                bytes.copy_within(consumed..consumed + run, produced);
                consumed += run;
                produced += run;
                self.left -= run as u64;
                if self.left == 0 {
                    self.state = State::DataCr;
                }
            } else {
                self.state = self.next(bytes[consumed], limits)?;
                consumed += 1;
            }
        }
        Ok(Step { consumed, produced, done: self.state == State::Done })
    }

    /// The state after one byte of framing.
    fn next(&mut self, byte: u8, limits: &Limits) -> Result<State, Reject> {
        match (self.state, byte) {
            (State::Size, _) => self.next_in_size(byte, limits),
            (State::Extension(part), _) => self.next_in_extension(part, byte),
            (State::SizeLf, b'\n') if self.left > 0 => Ok(State::Data),
            (State::SizeLf, b'\n') => Ok(State::TrailerStart),
            (State::SizeLf, _) => Err(Reject::ChunkSize),
            (State::DataCr, b'\r') => Ok(State::DataLf),
            (State::DataLf, b'\n') => {
                self.size_digits = 0;
                Ok(State::Size)
            }
            (State::TrailerStart, b'\r') => Ok(State::EndLf),
            (State::EndLf, b'\n') => Ok(State::Done),
            (State::EndLf, _) => Err(Reject::TrailerInvalid),
            (State::Data | State::DataCr | State::DataLf | State::Done, _) => Err(Reject::ChunkEnd),
            _ => self.next_in_trailer(byte),
        }
    }

    fn next_in_size(&mut self, byte: u8, limits: &Limits) -> Result<State, Reject> {
        if let Some(digit) = char::from(byte).to_digit(16) {
            if self.size_digits == SIZE_DIGITS_MAX {
                return Err(Reject::ChunkSize);
            }
            self.size_digits += 1;
            self.left = self.left << 4 | u64::from(digit);
            return Ok(State::Size);
        }
        let after = match byte {
            b'\r' => State::SizeLf,
            b';' => State::Extension(Extension::BeforeName),
            _ => return Err(Reject::ChunkSize),
        };
        if self.size_digits == 0 || self.left > i64::MAX as u64 {
            return Err(Reject::ChunkSize);
        }
        self.total = self.total.checked_add(self.left).ok_or(Reject::ChunkSize)?;
        if self.total > limits.body_bytes_max {
            return Err(Reject::BodyTooLarge);
        }
        Ok(after)
    }

    fn next_in_extension(&mut self, part: Extension, byte: u8) -> Result<State, Reject> {
        use Extension::*;
        self.extension_bytes += 1;
        let sent = self.total - self.left;
        if self.extension_bytes > EXTENSION_BYTES_MAX.saturating_add(sent) {
            return Err(Reject::ChunkExtension);
        }
        let next = match (part, byte) {
            (BeforeName | BeforeValue | AfterName | AfterValue, b' ' | b'\t') => part,
            (BeforeName | Name, _) if is(byte, TOKEN) => Name,
            (BeforeValue | Token, _) if is(byte, TOKEN) => Token,
            (Name, b' ' | b'\t') => AfterName,
            (Name | AfterName, b'=') => BeforeValue,
            (BeforeValue, b'"') => Quoted,
            (Token | QuoteEnd, b' ' | b'\t') => AfterValue,
            (Quoted, b'"') => QuoteEnd,
            (Quoted, b'\\') => QuotedPair,
            (Quoted | QuotedPair, _) if is(byte, VALUE) => Quoted,
            (Name | AfterName | Token | QuoteEnd | AfterValue, b';') => BeforeName,
            (Name | Token | QuoteEnd, b'\r') => return Ok(State::SizeLf),
            _ => return Err(Reject::ChunkExtension),
        };
        Ok(State::Extension(next))
    }

    fn next_in_trailer(&mut self, byte: u8) -> Result<State, Reject> {
        self.trailer_bytes += 1;
        if self.trailer_bytes > TRAILER_BYTES_MAX {
            return Err(Reject::TrailersTooLarge);
        }
        match (self.state, byte) {
            (State::TrailerStart, _) if is(byte, TOKEN) => {
                self.name_len = 0;
                self.note_name(byte);
                Ok(State::TrailerName)
            }
            (State::TrailerName, _) if is(byte, TOKEN) => {
                self.note_name(byte);
                Ok(State::TrailerName)
            }
            (State::TrailerName, b':') if self.name_is_forbidden() => Err(Reject::TrailerForbidden),
            (State::TrailerName, b':') => Ok(State::TrailerValue),
            (State::TrailerValue, b'\r') => Ok(State::TrailerLf),
            (State::TrailerValue, _) if is(byte, VALUE) => Ok(State::TrailerValue),
            (State::TrailerLf, b'\n') => Ok(State::TrailerStart),
            _ => Err(Reject::TrailerInvalid),
        }
    }

    fn note_name(&mut self, byte: u8) {
        if let Some(place) = self.name.get_mut(usize::from(self.name_len)) {
            *place = byte.to_ascii_lowercase();
        }
        self.name_len = self.name_len.saturating_add(1);
    }

    fn name_is_forbidden(&self) -> bool {
        let name = self.name.get(..usize::from(self.name_len));
        name.is_some_and(|name| FORBIDDEN_TRAILERS.contains(&name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The body and the bytes left after it; none when it is not done.
    fn decode(coded: &[u8]) -> Result<Option<(Vec<u8>, usize)>, Reject> {
        let mut bytes = coded.to_vec();
        let step = Decoder::default().decode(&mut bytes, &Limits::default())?;
        bytes.truncate(step.produced);
        Ok(step.done.then_some((bytes, coded.len() - step.consumed)))
    }

    fn body(coded: &str) -> Option<(Vec<u8>, usize)> {
        decode(coded.as_bytes()).unwrap()
    }

    #[test]
    fn decodes_chunks_and_stops_behind_the_last() {
        assert_eq!(body("4\r\nWiki\r\n5\r\npedia\r\n0\r\n\r\nGET"), Some((b"Wikipedia".into(), 3)));
        assert_eq!(body("0\r\n\r\n"), Some((vec![], 0)));
        assert_eq!(body("0000\r\n\r\n"), Some((vec![], 0)));
        assert_eq!(body("000000000000000A\r\n0123456789\r\n0\r\n\r\n").unwrap().0.len(), 10);
    }

    #[test]
    fn gives_the_same_body_wherever_it_is_cut() {
        let coded = b"3;a=\"b;\\\"\"\r\nabc\r\n1\r\nd\r\n0 \t;x\r\n";
        assert_eq!(decode(coded), Err(Reject::ChunkSize));
        let coded = b"3;a=\"b;\\\"\"\r\nabc\r\n1\r\nd\r\n0;x\r\nX-Sum: 1\r\n\r\n";
        for cut in 0..=coded.len() {
            let mut decoder = Decoder::default();
            let mut whole = Vec::new();
            for part in [&coded[..cut], &coded[cut..]] {
                let mut part = part.to_vec();
                let step = decoder.decode(&mut part, &Limits::default()).unwrap();
                assert_eq!(step.consumed, part.len());
                whole.extend_from_slice(&part[..step.produced]);
            }
            assert_eq!((whole, decoder.state), (b"abcd".to_vec(), State::Done), "{cut}");
        }
    }

    #[test]
    fn rejects_sizes_that_are_not_plain_hexadecimal() {
        for size in
            ["", " 5", "5 ", "0x5", "+5", "-5", "5_0", "g", "00000000000000005", "\n", "5\n"]
        {
            assert_eq!(
                decode(format!("{size}\r\nabcde").as_bytes()),
                Err(Reject::ChunkSize),
                "{size}"
            );
        }
        assert_eq!(decode(b"8000000000000000\r\n"), Err(Reject::ChunkSize));
        assert_eq!(decode(b"1\rxa"), Err(Reject::ChunkSize));
    }

    #[test]
    fn rejects_data_that_does_not_end_where_its_size_says() {
        for data in ["ab\r\n", "a\n", "axx", "a\rx", "a0\r\n"] {
            assert_eq!(decode(format!("1\r\n{data}").as_bytes()), Err(Reject::ChunkEnd), "{data}");
        }
    }

    #[test]
    fn ignores_extensions_that_are_valid_and_short() {
        for extension in
            [";a", "; a", ";a=b", ";a = b ;c", ";a=\"b c\\\"\u{e9}\"", ";a=\"\";b=\t\"x\""]
        {
            let coded = format!("0{extension}\r\n\r\n");
            assert!(body(&coded).is_some(), "{extension}");
        }
        for extension in
            [";", ";;", ";=", ";a=", ";a b", ";a=b c", ";a=\"", ";\0", ";a\n", ";a=\"\n\"", ";a "]
        {
            let coded = format!("0{extension}\r\n\r\n");
            assert_eq!(decode(coded.as_bytes()), Err(Reject::ChunkExtension), "{extension}");
        }
        let long = format!("0;{}\r\n\r\n", "a".repeat(16 * 1024));
        assert_eq!(decode(long.as_bytes()), Err(Reject::ChunkExtension));
    }

    #[test]
    fn drops_trailers_but_those_that_belong_in_the_head() {
        assert!(body("0\r\nX-Sum: 1\r\nDigest:\r\n\r\n").is_some());
        for name in ["Content-Length", "TRANSFER-encoding", "host", "Proxy-Authorization", "TE"] {
            let coded = format!("0\r\n{name}: 1\r\n\r\n");
            assert_eq!(decode(coded.as_bytes()), Err(Reject::TrailerForbidden), "{name}");
        }
        assert!(body("0\r\nProxy-Authorizations: 1\r\nT: e\r\n\r\n").is_some());
        for trailer in
            ["a : b\r\n", " a: b\r\n", "a\r\n", ":\r\n", "a: b\n", "a: \0\r\n", "\n", "\rx"]
        {
            let coded = format!("0\r\n{trailer}\r\n");
            assert_eq!(decode(coded.as_bytes()), Err(Reject::TrailerInvalid), "{trailer:?}");
        }
        let many = format!("0\r\n{}", "X: y\r\n".repeat(2000));
        assert_eq!(decode(many.as_bytes()), Err(Reject::TrailersTooLarge));
    }

    #[test]
    fn refuses_a_body_over_the_limit_at_the_size_that_passes_it() {
        let limits = Limits { body_bytes_max: 5, ..Limits::default() };
        let mut decoder = Decoder::default();
        assert!(decoder.decode(&mut b"3\r\nabc\r\n2\r\n".to_vec(), &limits).is_ok());
        assert!(decoder.decode(&mut b"de\r\n1".to_vec(), &limits).is_ok());
        assert_eq!(decoder.decode(&mut b"\r".to_vec(), &limits), Err(Reject::BodyTooLarge));
    }

    #[test]
    fn writes_sizes_that_it_can_read() {
        for len in [1, 9, 10, 15, 16, 255, 256, 65_536] {
            let mut coded = Vec::new();
            encode_size(len, &mut coded);
            coded.extend(std::iter::repeat_n(b'x', len));
            coded.extend_from_slice(b"\r\n");
            coded.extend_from_slice(LAST_CHUNK);
            assert_eq!(decode(&coded), Ok(Some((vec![b'x'; len], 0))), "{len}");
        }
    }
}
