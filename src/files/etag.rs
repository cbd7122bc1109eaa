//! Entity tags (RFC 9110, 8.8.3): made from size and change, and lists of them in conditions.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

/// The strong tag of a file, quotes included. Seconds alone would call two changes within one the
/// same. `mark` tells the encodings of one file apart.
pub(super) fn of(metadata: &Metadata, mark: &str) -> String {
    let (s, ns, len) = (metadata.mtime(), metadata.mtime_nsec(), metadata.len());
    let nanoseconds = i128::from(s) * 1_000_000_000 + i128::from(ns);
    format!("\"{nanoseconds:x}-{len:x}{mark}\"")
}

/// How tags are compared (RFC 9110, 8.8.3.2).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Strong,
    Weak,
}

/// Whether a list of tags, or `*`, has `tag`, which is a strong one.
pub(super) fn list_has(list: &[u8], tag: &str, comparison: Comparison) -> bool {
    let mut rest = list.trim_ascii();
    if rest == b"*" {
        return true;
    }
    while !rest.is_empty() {
        let is_weak = rest.starts_with(b"W/");
        let quoted = if is_weak { &rest[2..] } else { rest };
        let Some((b'"', text)) = quoted.split_first() else { return false };
        let Some(end) = text.iter().position(|&byte| byte == b'"') else { return false };
        let may_match = comparison == Comparison::Weak || !is_weak;
        if may_match && &quoted[..end + 2] == tag.as_bytes() {
            return true;
        }
        let gap = |byte: &u8| matches!(byte, b',' | b' ' | b'\t');
        let after = &quoted[end + 2..];
        let next = after.iter().position(|byte| !gap(byte)).unwrap_or(after.len());
        rest = &after[next..];
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_tag_in_a_list() {
        use Comparison::{Strong, Weak};
        let has = |list: &str, comparison| list_has(list.as_bytes(), "\"a,b\"", comparison);
        for list in ["\"a,b\"", "*", " \"x\", \"a,b\"", "\"x\" ,W/\"y\",, \"a,b\" "] {
            assert!(has(list, Strong) && has(list, Weak), "{list}");
        }
        for list in ["W/\"a,b\"", "\"x\", W/\"a,b\""] {
            assert!(has(list, Weak) && !has(list, Strong), "{list}");
        }
        for list in ["", "\"a\"", "a,b", "\"a,b", "\"x\", *", "w/\"a,b\"", "\"", "W/"] {
            assert!(!has(list, Weak), "{list}");
        }
    }
}
