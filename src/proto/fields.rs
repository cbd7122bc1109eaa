//! What header fields say about the connection and the framing of the body.

use std::mem::replace;

use super::Reject;
use super::grammar::{TOKEN, decimal, is};

/// What the head says about the connection and the body.
#[derive(Default)]
pub(super) struct Said {
    /// The index of the Host field.
    pub(super) host: Option<usize>,
    content_type: bool,
    pub(super) length: Option<u64>,
    pub(super) coding: Option<Result<(), Reject>>,
    pub(super) close: bool,
    pub(super) keep_alive: bool,
    pub(super) continues: bool,
}

impl Said {
    /// Takes note of one field, the `index`-th that is kept, and says whether to keep it.
    #[inline]
    pub(super) fn keeps(
        &mut self,
        name: &[u8],
        value: &[u8],
        index: usize,
    ) -> Result<bool, Reject> {
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
#[inline]
pub(super) fn has_underscore(name: &[u8]) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let in_word = |word: &[u8; 8]| {
        let zeroed = u64::from_ne_bytes(*word) ^ (ONES * b'_' as u64);
        zeroed.wrapping_sub(ONES) & !zeroed & (ONES << 7) != 0
    };
    let Some(last) = name.last_chunk::<8>() else {
        return name.contains(&b'_');
    };
    in_word(last) || name.as_chunks::<8>().0.iter().any(in_word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_chunked_alone_as_a_coding() {
        assert_eq!(coding(b"Chunked"), Ok(()));
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
            assert_eq!(coding(value.as_bytes()), Err(reject), "{value}");
        }
    }

    #[test]
    fn finds_an_underscore_wherever_it_is() {
        for name in ["_", "a_", "_2345678", "1234567_", "12345678_", "1234_678-0", "-^_`"] {
            assert!(has_underscore(name.as_bytes()), "{name}");
        }
        for name in ["a", "12345678", "Upgrade-Insecure-Requests", "^`^`^`^`", "\u{df}234567"] {
            assert!(!has_underscore(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn finds_options_in_a_list_whatever_their_case() {
        let mut said = Said::default();
        assert_eq!(said.keeps(b"Connection", b"x ,\tKeep-Alive , y", 0), Ok(true));
        assert!(said.keep_alive && !said.close);
        assert_eq!(said.keeps(b"CONNECTION", b"xclose, \"close\"", 0), Ok(true));
        assert!(!said.close);
        assert_eq!(said.keeps(b"connection", b",close", 0), Ok(true));
        assert!(said.close);
    }
}
