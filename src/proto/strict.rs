//! Finds the first thing wrong with a head that the fast parser did not accept.
//!
//! It goes through the bytes in order and stops at the first fault, so the answer depends on the
//! bytes alone and not on how they were cut into packets. It also sees what httparse lets pass: a
//! bare LF.

use super::grammar::{TOKEN, VALUE, VISIBLE, is};
use super::{Limits, Reject};

/// Checks `head`, a request head or the first bytes of one, that starts at the request line.
/// Bytes after the empty line are not looked at.
pub(super) fn check(head: &[u8], limits: &Limits) -> Result<(), Reject> {
    let Some(mut rest) = check_request_line(head, limits)? else {
        return Ok(());
    };
    let mut fields = 0;
    loop {
        match rest {
            [] | [b'\r'] | [b'\r', b'\n', ..] => return Ok(()),
            [b'\r' | b'\n', ..] => return Err(Reject::LineEnd),
            [b' ' | b'\t', ..] => return Err(Reject::FieldFolded),
            _ => {}
        }
        fields += 1;
        if fields > limits.fields_max {
            return Err(Reject::FieldsTooMany);
        }
        let Some(next) = check_field_line(rest)? else {
            return Ok(());
        };
        rest = next;
    }
}

/// Checks the first line and gives what follows it; none when `head` ends within the line.
fn check_request_line<'a>(head: &'a [u8], limits: &Limits) -> Result<Option<&'a [u8]>, Reject> {
    let Some(end) = head.iter().position(|byte| !is(*byte, TOKEN)) else {
        return Ok(None);
    };
    // It may become an empty line before the request line.
    if head == b"\r" {
        return Ok(None);
    }
    if end == 0 || head[end] != b' ' {
        return Err(Reject::Method);
    }
    let target = &head[end + 1..];
    let within_limit = &target[..target.len().min(limits.target_bytes_max.saturating_add(1))];
    let Some(end) = within_limit.iter().position(|byte| !is(*byte, VISIBLE)) else {
        let too_long = within_limit.len() > limits.target_bytes_max;
        return if too_long { Err(Reject::TargetTooLong) } else { Ok(None) };
    };
    if end == 0 || target[end] != b' ' {
        return Err(Reject::Target);
    }
    check_version(&target[end + 1..])
}

/// Checks the version and the line's end. RFC 9112, 2.3: exactly `HTTP/` DIGIT `.` DIGIT.
fn check_version(version: &[u8]) -> Result<Option<&[u8]>, Reject> {
    for (found, expected) in version.iter().zip(b"HTTP/1.1") {
        let is_minor_0 = *expected == b'1' && *found == b'0' && version.starts_with(b"HTTP/1.0");
        if found != expected && !is_minor_0 {
            let another_number = *expected == b'1' && found.is_ascii_digit();
            return Err(match another_number {
                true => Reject::VersionUnsupported,
                false => Reject::VersionSyntax,
            });
        }
    }
    match version.get(8..) {
        None | Some([] | [b'\r']) => Ok(None),
        Some([b'\r', b'\n', rest @ ..]) => Ok(Some(rest)),
        Some([b'\r' | b'\n', ..]) => Err(Reject::LineEnd),
        Some(_) => Err(Reject::VersionSyntax),
    }
}

/// Checks one field line and gives what follows it; none when `line` ends within it.
fn check_field_line(line: &[u8]) -> Result<Option<&[u8]>, Reject> {
    let Some(end) = line.iter().position(|byte| !is(*byte, TOKEN)) else {
        return Ok(None);
    };
    match line[end] {
        b':' if end > 0 => {}
        // RFC 9112, 5.1: white space here has let requests slip past front servers.
        b' ' | b'\t' => return Err(Reject::FieldSpaceBeforeColon),
        _ => return Err(Reject::FieldName),
    }
    let value = &line[end + 1..];
    let Some(end) = value.iter().position(|byte| !is(*byte, VALUE)) else {
        return Ok(None);
    };
    match &value[end..] {
        [b'\r'] => Ok(None),
        [b'\r', b'\n', rest @ ..] => Ok(Some(rest)),
        [b'\r' | b'\n', ..] => Err(Reject::LineEnd),
        _ => Err(Reject::FieldValue),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_default(head: &[u8]) -> Result<(), Reject> {
        check(head, &Limits::default())
    }

    #[test]
    fn finds_nothing_wrong_with_any_beginning_of_a_good_head() {
        let head = b"GET /a?b HTTP/1.0\r\nHost: a\r\nX: \t\xff\r\n\r\n\0 not looked at";
        for end in 0..=head.len() {
            assert_eq!(check_default(&head[..end]), Ok(()), "{end}");
        }
    }

    #[test]
    fn stops_at_the_first_fault() {
        assert_eq!(check_default(b"GET /\x80 HTTP/3.0\r\n"), Err(Reject::Target));
        assert_eq!(check_default(b"GET / HTTP/3.0\r\n :"), Err(Reject::VersionUnsupported));
        assert_eq!(check_default(b"GET / HTTP/1.1\r\na:b\n\0"), Err(Reject::LineEnd));
        let limits = Limits { target_bytes_max: 3, fields_max: 1, ..Limits::default() };
        assert_eq!(check(b"GET /23", &limits), Ok(()));
        assert_eq!(check(b"GET /234\0", &limits), Err(Reject::TargetTooLong));
        assert_eq!(check(b"GET /2\x004", &limits), Err(Reject::Target));
        assert_eq!(check(b"A / HTTP/1.1\r\na:b\r\n", &limits), Ok(()));
        assert_eq!(check(b"A / HTTP/1.1\r\na:b\r\nc", &limits), Err(Reject::FieldsTooMany));
    }

    #[test]
    fn tells_other_versions_from_what_is_no_version() {
        for version in ["HTTP/2", "HTTP/0.9", "HTTP/1.2\r\n", "HTTP/9.9"] {
            let head = format!("GET / {version}");
            assert_eq!(check_default(head.as_bytes()), Err(Reject::VersionUnsupported), "{head}");
        }
        for version in ["http/1.1", "HTTP/1.1x", "HTTP/1.10", "HTTP/111", "HTTP/1.1 ", "\r\n"] {
            let head = format!("GET / {version}");
            assert_eq!(check_default(head.as_bytes()), Err(Reject::VersionSyntax), "{head}");
        }
    }
}
