//! The byte classes and the number of RFC 9110 and RFC 3986 that more than one parser needs.

/// RFC 9110, 5.6.2: the bytes of a method, a field name, a coding.
pub(super) const TOKEN: u8 = 1;
/// RFC 9110, 5.5: the bytes of a field value: visible, SP, HT and obs-text.
pub(super) const VALUE: u8 = 2;
/// RFC 3986, 3.2.2: the bytes of a registered name or an IPv4 address. The comma is left out:
/// a list of hosts is what an attacker sends.
pub(super) const HOST: u8 = 4;
/// Visible ASCII: the bytes that a request target may hold. RFC 3986 allows fewer; browsers send
/// these.
pub(super) const VISIBLE: u8 = 8;
/// Visible ASCII that says nothing about the structure of a target: all but `#`, `%`, `?`.
pub(super) const PLAIN: u8 = 16;

const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut index = 0;
    while index < 256 {
        let byte = index as u8;
        let mut class = 0;
        if byte.is_ascii_alphanumeric() || in_list(byte, b"!#$%&'*+-.^_`|~") {
            class |= TOKEN;
        }
        if byte.is_ascii_alphanumeric() || in_list(byte, b"-._~!$&'()*+;=%") {
            class |= HOST;
        }
        if byte == b'\t' || byte == b' ' || byte >= 0x80 || byte.is_ascii_graphic() {
            class |= VALUE;
        }
        if byte.is_ascii_graphic() {
            class |= VISIBLE;
            if !matches!(byte, b'#' | b'%' | b'?') {
                class |= PLAIN;
            }
        }
        classes[index] = class;
        index += 1;
    }
    classes
};

const fn in_list(byte: u8, list: &[u8]) -> bool {
    let mut index = 0;
    while index < list.len() && list[index] != byte {
        index += 1;
    }
    index < list.len()
}

/// Whether `byte` belongs to `class`.
#[inline]
pub(super) fn is(byte: u8, class: u8) -> bool {
    CLASSES[usize::from(byte)] & class != 0
}

/// RFC 9110, 8.6: `1*DIGIT`, no sign, no list, nothing around it; below 2^63.
pub(super) fn decimal(digits: &[u8]) -> Option<u64> {
    let mut number: u64 = 0;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        number = number.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
    }
    (!digits.is_empty() && number <= i64::MAX as u64).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_token_bytes_of_rfc_9110() {
        let bytes: Vec<u8> = (0..=255).filter(|byte| is(*byte, TOKEN)).collect();
        let marks: Vec<u8> = bytes.into_iter().filter(|b| !b.is_ascii_alphanumeric()).collect();
        assert_eq!(marks, b"!#$%&'*+-.^_`|~");
    }

    #[test]
    fn reads_plain_decimal_numbers_only() {
        assert_eq!(decimal(b"0"), Some(0));
        assert_eq!(decimal(b"010"), Some(10));
        assert_eq!(decimal(b"9223372036854775807"), Some(i64::MAX as u64));
        for bad in ["", "+1", "-1", "1 ", "1_0", "0x1", "1,1", "9223372036854775808", "1\u{b2}"] {
            assert_eq!(decimal(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(decimal(b"99999999999999999999999"), None);
    }
}
