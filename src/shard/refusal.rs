//! The short answers that the server itself gives.

use std::io::Write;

use crate::proto::Reject;
use crate::response::{Added, Connection, encode_head};

/// Writes a whole response.
pub(super) fn write(
    status: u16,
    reason: &str,
    detail: &str,
    connection: Connection,
    out: &mut Vec<u8>,
) {
    let body =
        if detail.is_empty() { format!("{reason}\n") } else { format!("{reason}: {detail}\n") };
    // A Vec takes all that is written to it.
    let _ = write!(out, "HTTP/1.1 {status} {reason}\r\nContent-Type: text/plain\r\n");
    let length = Some(body.len() as u64);
    encode_head(&Added { length, date: None, chunked: false, connection }, out);
    out.extend_from_slice(body.as_bytes());
}

/// The answer to bytes that were refused.
pub(super) fn write_reject(reject: Reject, is_http: bool, out: &mut Vec<u8>) {
    let connection = if is_http { Connection::Close } else { Connection::Unsaid };
    write(reject.status(), reject.reason(), &reject.to_string(), connection, out);
}
