//! What it does: turns bytes into a `Request` and back, and frames bodies.
//! What it does not: sockets, clocks, the operator's words, responses to a `Reject`, environ.
//! Who may call it: shard, with numbers (`Limits`) and the bytes that have arrived so far.
//! What it may import: request, httparse, bytes, std.

pub mod chunked;
pub mod http;
pub mod proxy;
pub mod uwsgi;

#[cfg(test)]
mod corpus;
mod fields;
mod grammar;
mod reject;
mod strict;
mod target;

pub use reject::Reject;

/// How much of a peer's bytes is accepted. Every number binds, a large one too: a head never has
/// more than 65,535 bytes, an HTTP head never more than `http::FIELDS_CEILING` fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of an HTTP head, leading empty lines included, or of the vars block of a uwsgi packet
    /// (uWSGI: `buffer-size`; a packet of exactly this many bytes still passes). At most 65,535.
    pub head_bytes_max: usize,
    /// Bytes of the request target as the peer wrote it. HTTP only.
    pub target_bytes_max: usize,
    /// Header fields or vars in one head.
    pub fields_max: usize,
    /// Bytes of one body, after the transfer coding is taken off; `u64::MAX` is no limit
    /// (uWSGI: `limit-post`).
    pub body_bytes_max: u64,
    /// Bytes of a body whose client waits for `100 Continue`; `u64::MAX` is no limit
    /// (uWSGI: `http-manage-expect`). HTTP only; a chunked body has no length to compare.
    pub expected_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            head_bytes_max: usize::from(u16::MAX),
            target_bytes_max: 32 * 1024,
            fields_max: 128,
            body_bytes_max: u64::MAX,
            expected_bytes_max: u64::MAX,
        }
    }
}

/// What the bytes so far amount to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parsed {
    /// The head is complete: `Request::head_len` says how many bytes it took.
    Complete,
    /// Nothing is wrong so far; call again with the same bytes and more.
    Partial,
}
