//! What a peer sent, made harmless for a line: it can neither end the line nor leave its quotes.

use std::io::Write;

/// Where in a line a value stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Anywhere: controls become `\xNN`.
    Plain,
    /// Between double quotes: these and backslashes too.
    Quoted,
    /// Inside a string of JSON.
    Json,
    /// Where JSON wants a value: what is no number gets quotes, and none is `null`.
    JsonValue,
}

/// Appends `bytes` as they may stand at that place.
pub fn escaped(place: Place, bytes: &[u8], out: &mut Vec<u8>) {
    match place {
        Place::Plain => visible(bytes, |byte| byte >= b' ' && byte != 0x7f, out),
        Place::Quoted => {
            let is_harmless = |byte| byte >= b' ' && byte != 0x7f && byte != b'"' && byte != b'\\';
            visible(bytes, is_harmless, out);
        }
        Place::Json => json(bytes, out),
        Place::JsonValue if is_number(bytes) => out.extend_from_slice(bytes),
        Place::JsonValue => {
            out.push(b'"');
            json(bytes, out);
            out.push(b'"');
        }
    }
}

fn visible(bytes: &[u8], is_harmless: impl Fn(u8) -> bool, out: &mut Vec<u8>) {
    // What controls of the second set (U+0080 to U+009F) begin with: terminals obey them too.
    const C1: u8 = 0xc2;
    if bytes.iter().all(|&byte| is_harmless(byte) && byte != C1) {
        return out.extend_from_slice(bytes);
    }
    let mut is_control = false;
    for (at, &byte) in bytes.iter().enumerate() {
        let next = bytes.get(at + 1);
        let begins = byte == C1 && next.is_some_and(|next| (0x80..0xa0).contains(next));
        if is_harmless(byte) && !begins && !std::mem::replace(&mut is_control, begins) {
            out.push(byte);
        } else {
            is_control = begins;
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
}

/// The inside of a JSON string (RFC 8259, 7). Bytes that are no UTF-8 become U+FFFD.
pub fn json(bytes: &[u8], out: &mut Vec<u8>) {
    let is_plain = |byte: u8| (b' '..0x7f).contains(&byte) && byte != b'"' && byte != b'\\';
    if bytes.iter().all(|&byte| is_plain(byte)) {
        return out.extend_from_slice(bytes);
    }
    for chunk in bytes.utf8_chunks() {
        for &byte in chunk.valid().as_bytes() {
            match byte {
                b'"' => out.extend_from_slice(b"\\\""),
                b'\\' => out.extend_from_slice(b"\\\\"),
                b'\n' => out.extend_from_slice(b"\\n"),
                b'\r' => out.extend_from_slice(b"\\r"),
                b'\t' => out.extend_from_slice(b"\\t"),
                0..b' ' | 0x7f => {
                    let _ = write!(out, "\\u{byte:04x}");
                }
                _ => out.push(byte),
            }
        }
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

/// A number as JSON writes it, and no longer than any that we write.
fn is_number(bytes: &[u8]) -> bool {
    let digits = bytes.strip_prefix(b"-").unwrap_or(bytes);
    let (whole, part) = match digits.iter().position(|&byte| byte == b'.') {
        Some(at) => (&digits[..at], Some(&digits[at + 1..])),
        None => (digits, None),
    };
    let all = |digits: &[u8]| !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    all(whole) && (whole == b"0" || whole[0] != b'0') && part.is_none_or(all) && bytes.len() < 25
}

/// Appends a number's digits.
pub fn number(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(place: Place, bytes: &[u8]) -> String {
        let mut out = Vec::new();
        escaped(place, bytes, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_place_has_its_escapes() {
        assert_eq!(at(Place::Plain, b"a\"\n\x7f"), "a\"\\x0a\\x7f");
        assert_eq!(at(Place::Plain, "a\u{9b}2J\u{e9}\u{a9}".as_bytes()), "a\\xc2\\x9b2Jé©");
        assert_eq!(at(Place::Quoted, b"a\"\\\n"), "a\\x22\\x5c\\x0a");
        assert_eq!(at(Place::Json, b"a\"\\\n\x01\xff\xc3\xa9"), "a\\\"\\\\\\n\\u0001\u{fffd}é");
        assert_eq!(at(Place::JsonValue, b"12"), "12");
        assert_eq!(at(Place::JsonValue, b"-0.25"), "-0.25");
        for text in ["012", "", "1e5", "1,\"a\":2", "-", "1."] {
            assert_eq!(
                serde_json::from_str::<String>(&at(Place::JsonValue, text.as_bytes())).unwrap(),
                text
            );
        }
    }

    proptest! {
        #[test]
        fn json_reads_back(text in ".*") {
            let line = format!("\"{}\"", at(Place::Json, text.as_bytes()));
            prop_assert_eq!(serde_json::from_str::<String>(&line).unwrap(), text);
        }

        #[test]
        fn no_bytes_break_a_line(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            for place in [Place::Plain, Place::Quoted, Place::Json, Place::JsonValue] {
                let mut out = Vec::new();
                escaped(place, &bytes, &mut out);
                prop_assert!(out.iter().all(|&byte| byte >= b' ' && byte != 0x7f));
            }
        }

        #[test]
        fn numbers_are_those_of_std(value in any::<u64>()) {
            let mut out = Vec::new();
            number(value, &mut out);
            prop_assert_eq!(String::from_utf8(out).unwrap(), value.to_string());
        }
    }
}
