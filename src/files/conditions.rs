//! Conditional requests, in the order of RFC 9110, 13.2.2.

use super::asked::Asked;
use super::etag::{self, Comparison};

/// What the conditions decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The file is sent; whether its ranges may be.
    Send { ranges: bool },
    /// 304.
    NotModified,
    /// 412.
    Failed,
}

/// Decides for a file of this tag and change (seconds since the epoch, and as a field says it).
pub(super) fn decide(asked: &Asked<'_>, tag: &str, changed_s: i64, changed: &str) -> Verdict {
    let any = |lists: &[&[u8]], how| lists.iter().any(|list| etag::list_has(list, tag, how));
    let before = |field: Option<&[u8]>| field.and_then(seconds).map(|limit| changed_s <= limit);
    let is_held = if asked.if_match.is_empty() {
        before(asked.if_unmodified_since).unwrap_or(true)
    } else {
        any(&asked.if_match, Comparison::Strong)
    };
    if !is_held {
        return Verdict::Failed;
    }
    let is_known = if asked.if_none_match.is_empty() {
        before(asked.if_modified_since).unwrap_or(false)
    } else {
        any(&asked.if_none_match, Comparison::Weak)
    };
    if is_known {
        return Verdict::NotModified;
    }
    Verdict::Send {
        ranges: match asked.if_range {
            None => true,
            // RFC 9110, 13.1.5: a strong tag, or exactly the date that we gave.
            Some(value) if value.starts_with(b"\"") => value == tag.as_bytes(),
            Some(value) => value == changed.as_bytes(),
        },
    }
}

/// A date in any form of HTTP; what is none does not count (RFC 9110, 13.1.3).
fn seconds(field: &[u8]) -> Option<i64> {
    let time = httpdate::parse_http_date(std::str::from_utf8(field).ok()?).ok()?;
    let since = time.duration_since(std::time::UNIX_EPOCH).ok()?;
    i64::try_from(since.as_secs()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: &str = "\"t\"";
    const CHANGED: &str = "Thu, 02 Jan 2020 03:04:05 GMT";
    const CHANGED_S: i64 = 1_577_934_245;
    const EARLIER: &[u8] = b"Thu, 02 Jan 2020 03:04:04 GMT";
    const SEND: Verdict = Verdict::Send { ranges: true };

    fn decided(asked: &Asked<'_>) -> Verdict {
        decide(asked, TAG, CHANGED_S, CHANGED)
    }

    #[test]
    fn without_conditions_the_file_is_sent() {
        assert_eq!(decided(&Asked::default()), SEND);
    }

    #[test]
    fn a_match_is_asked_for_first() {
        let tag = |list: &'static [u8]| Asked { if_match: vec![list], ..Asked::default() };
        assert_eq!(decided(&tag(b"\"t\"")), SEND);
        assert_eq!(decided(&tag(b"W/\"t\"")), Verdict::Failed);
        // The date is not looked at beside a tag.
        let both = Asked { if_unmodified_since: Some(EARLIER), ..tag(b"\"t\"") };
        assert_eq!(decided(&both), SEND);
        let date = |date| Asked { if_unmodified_since: Some(date), ..Asked::default() };
        assert_eq!(decided(&date(EARLIER)), Verdict::Failed);
        assert_eq!(decided(&date(CHANGED.as_bytes())), SEND);
        assert_eq!(decided(&date(b"soon")), SEND);
        // 412 wins over 304.
        let contradiction = Asked { if_none_match: vec![b"*"], ..tag(b"\"x\"") };
        assert_eq!(decided(&contradiction), Verdict::Failed);
    }

    #[test]
    fn what_the_client_has_is_not_sent_again() {
        let tag = |list: &'static [u8]| Asked { if_none_match: vec![list], ..Asked::default() };
        assert_eq!(decided(&tag(b"W/\"t\"")), Verdict::NotModified);
        assert_eq!(decided(&tag(b"\"x\"")), SEND);
        let date = |date| Asked { if_modified_since: Some(date), ..Asked::default() };
        assert_eq!(decided(&date(CHANGED.as_bytes())), Verdict::NotModified);
        assert_eq!(decided(&date(EARLIER)), SEND);
        assert_eq!(decided(&date(b"rubbish")), SEND);
        // Another tag is news, whatever the date says.
        let both = Asked { if_modified_since: Some(CHANGED.as_bytes()), ..tag(b"\"x\"") };
        assert_eq!(decided(&both), SEND);
    }

    #[test]
    fn ranges_need_what_they_were_begun_with() {
        let ranges = |value| {
            let asked = Asked { if_range: Some(value), ..Asked::default() };
            decided(&asked) == SEND
        };
        assert!(ranges(b"\"t\"") && ranges(CHANGED.as_bytes()));
        assert!(!ranges(b"W/\"t\"") && !ranges(b"\"x\"") && !ranges(EARLIER) && !ranges(b""));
    }
}
