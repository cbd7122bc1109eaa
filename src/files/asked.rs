//! What a request says that matters to a file: conditions, ranges, codings.

use crate::request::{Fields, Request, is_named};

/// The fields of a request for a file.
#[derive(Debug, Default)]
pub struct Asked<'h> {
    pub is_head: bool,
    /// The decoded path.
    pub(super) path_info: &'h [u8],
    pub(super) uri: &'h [u8],
    /// A list may come in several fields.
    pub(super) if_match: Vec<&'h [u8]>,
    pub(super) if_none_match: Vec<&'h [u8]>,
    pub(super) if_modified_since: Option<&'h [u8]>,
    pub(super) if_unmodified_since: Option<&'h [u8]>,
    pub(super) if_range: Option<&'h [u8]>,
    pub(super) range: Option<&'h [u8]>,
}

impl<'h> Asked<'h> {
    /// Gathers it from the head; `wanted` has the path.
    pub fn new(head: &'h [u8], request: &Request, wanted: &'h super::Wanted) -> Asked<'h> {
        let mut asked = Asked {
            is_head: request.is_head,
            path_info: &wanted.path,
            uri: request.target.of(head),
            ..Asked::default()
        };
        let prefix: &[u8] = if request.kind == Fields::Vars { b"HTTP_" } else { b"" };
        for field in &request.fields {
            let Some(name) = field.name.of(head).strip_prefix(prefix) else { continue };
            if !matches!(name.first(), Some(b'i' | b'I' | b'r' | b'R')) {
                continue;
            }
            let value = field.value.of(head).trim_ascii();
            let is = |wanted: &[u8]| is_named(name, wanted);
            if is(b"if-match") {
                asked.if_match.push(value);
            } else if is(b"if-none-match") {
                asked.if_none_match.push(value);
            } else if is(b"if-modified-since") {
                asked.if_modified_since = Some(value);
            } else if is(b"if-unmodified-since") {
                asked.if_unmodified_since = Some(value);
            } else if is(b"if-range") {
                asked.if_range = Some(value);
            } else if is(b"range") {
                asked.range = Some(value);
            }
        }
        asked
    }
}

/// The directory that the server in front of us names. An HTTP client cannot name one.
pub(super) fn docroot<'h>(head: &'h [u8], request: &Request) -> Option<&'h [u8]> {
    if request.kind != Fields::Vars {
        return None;
    }
    let named = |field: &&crate::request::Field| field.name.of(head) == b"DOCUMENT_ROOT";
    let value = request.fields.iter().rev().find(named)?.value.of(head);
    (value.first() == Some(&b'/') && !value.contains(&0)).then_some(value)
}
