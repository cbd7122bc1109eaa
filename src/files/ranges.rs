//! The Range field (RFC 9110, 14): which bytes of a file are wanted.

use std::ops::Range;

/// With more ranges than this, or with more bytes in them than the file has, the whole file is
/// sent: many small or overlapping ranges are an attack (RFC 9110, 17.15).
const RANGES_MAX: usize = 16;

/// What a Range field means for one file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    Whole,
    One(Range<u64>),
    Several(Vec<Range<u64>>),
    /// 416.
    Unsatisfiable,
}

/// The bytes of a file of `len` that `field` asks for.
pub(super) fn part(field: &[u8], len: u64) -> Part {
    const UNIT: &[u8] = b"bytes=";
    // RFC 9110, 14.2: a unit that is not known does not count. An empty file has no ranges.
    let is_bytes = field.get(..UNIT.len()).is_some_and(|unit| unit.eq_ignore_ascii_case(UNIT));
    if !is_bytes || len == 0 {
        return Part::Whole;
    }
    let specs = || field[UNIT.len()..].split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
    if specs().count() > RANGES_MAX {
        return Part::Whole;
    }
    let mut ranges = Vec::new();
    for spec in specs().filter(|spec| !spec.is_empty()) {
        match one(spec, len) {
            Spec::Range(range) => ranges.push(range),
            Spec::Beyond => {}
            // As uWSGI and nginx do; RFC 9110, 14.2 allows it.
            Spec::Malformed => return Part::Unsatisfiable,
        }
    }
    let total = ranges.iter().fold(0u64, |sum, range| sum.saturating_add(range.end - range.start));
    match ranges.len() {
        0 => Part::Unsatisfiable,
        1 => Part::One(ranges.swap_remove(0)),
        _ if total > len => Part::Whole,
        _ => Part::Several(ranges),
    }
}

enum Spec {
    Range(Range<u64>),
    /// The file does not reach so far.
    Beyond,
    Malformed,
}

/// `first-last`, `first-` or `-suffix`.
fn one(spec: &[u8], len: u64) -> Spec {
    let Some(dash) = spec.iter().position(|&byte| byte == b'-') else { return Spec::Malformed };
    match (number(&spec[..dash]), number(&spec[dash + 1..])) {
        (Some(Some(first)), Some(last)) => {
            if last.is_some_and(|last| last < first) {
                return Spec::Malformed;
            }
            if first >= len {
                return Spec::Beyond;
            }
            Spec::Range(first..last.map_or(len, |last| last.saturating_add(1).min(len)))
        }
        (Some(None), Some(Some(0))) => Spec::Beyond,
        (Some(None), Some(Some(suffix))) => Spec::Range(len.saturating_sub(suffix)..len),
        _ => Spec::Malformed,
    }
}

/// Digits, or nothing; None for something else. What is too large is as large as can be.
#[expect(clippy::option_option, reason = "nothing written and something wrong are two things")]
fn number(digits: &[u8]) -> Option<Option<u64>> {
    if digits.is_empty() {
        return Some(None);
    }
    let mut sum = 0u64;
    for &byte in digits {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        sum = sum.saturating_mul(10).saturating_add(digit);
    }
    Some(Some(sum))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(field: &str) -> Part {
        part(field.as_bytes(), 10)
    }

    #[test]
    fn single_ranges() {
        for (field, range) in [
            ("bytes=0-0", 0..1),
            ("bytes=2-4", 2..5),
            ("Bytes=3-", 3..10),
            ("bytes=-3", 7..10),
            ("bytes=-30", 0..10),
            ("bytes=0-100", 0..10),
            ("bytes= 1-2 ,", 1..3),
            ("bytes=1-2, 50-60", 1..3),
            ("bytes=9-99999999999999999999999", 9..10),
        ] {
            assert_eq!(of(field), Part::One(range), "{field}");
        }
    }

    #[test]
    fn several_ranges_in_the_order_asked_for() {
        assert_eq!(of("bytes=5-6,0-1, -1"), Part::Several(vec![5..7, 0..2, 9..10]));
    }

    #[test]
    fn what_is_not_there_is_unsatisfiable() {
        for field in
            ["bytes=10-", "bytes=30-40,50-", "bytes=-0", "bytes=", "bytes=5-2", "bytes=a-b"]
        {
            assert_eq!(of(field), Part::Unsatisfiable, "{field}");
        }
        for field in ["bytes=-", "bytes=1", "bytes=1-2-3", "bytes=+1-2", "bytes=0-1,x"] {
            assert_eq!(of(field), Part::Unsatisfiable, "{field}");
        }
    }

    #[test]
    fn what_costs_more_than_the_file_is_the_file() {
        assert_eq!(of("items=0-1"), Part::Whole);
        assert_eq!(of("bytes"), Part::Whole);
        assert_eq!(of("bytes=0-,0-"), Part::Whole);
        assert_eq!(of(&format!("bytes={}", "0-0,".repeat(17))), Part::Whole);
        assert_eq!(part(b"bytes=0-1", 0), Part::Whole);
    }

    proptest::proptest! {
        #[test]
        fn every_range_lies_in_the_file(field in "bytes=[0-9, -]{0,40}", len in 0u64..200) {
            let ranges = match part(field.as_bytes(), len) {
                Part::One(range) => vec![range],
                Part::Several(ranges) => ranges,
                _ => vec![],
            };
            for range in ranges {
                assert!(range.start < range.end && range.end <= len);
            }
        }
    }
}
