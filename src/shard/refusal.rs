//! The short answers that the server itself gives.

use crate::proto::Reject;

/// Writes a whole response that closes the connection.
pub(super) fn write(status: u16, reason: &str, detail: &str, is_http: bool, out: &mut Vec<u8>) {
    let body =
        if detail.is_empty() { format!("{reason}\n") } else { format!("{reason}: {detail}\n") };
    let connection = if is_http { "Connection: close\r\n" } else { "" };
    let head = format!(
        "HTTP/1.1 {status} {reason}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n{connection}\r\n",
        body.len()
    );
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(body.as_bytes());
}

/// The answer to bytes that were refused.
pub(super) fn write_reject(reject: Reject, is_http: bool, out: &mut Vec<u8>) {
    write(reject.status(), reject.reason(), &reject.to_string(), is_http, out);
}
