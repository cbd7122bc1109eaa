//! What was asked for about HTTP beyond addresses and times.

use super::value::{Value, Wrong};

/// Fields of all responses, variables of all requests, and who speaks for the client.
#[derive(Debug, Clone, Default)]
pub struct Http {
    /// `(name, value)` of fields that every response gets.
    pub added: Vec<(String, String)>,
    /// Names of fields that no response of the app keeps.
    pub removed: Vec<String>,
    /// `(name, value)` in the environ of each HTTP request.
    pub vars: Vec<(String, String)>,
    /// A connection may begin with a line of the PROXY protocol.
    pub proxy_protocol: bool,
    /// Bytes of a body that a client asks about by `Expect: 100-continue`; beyond it the answer is
    /// 413, before the body is sent.
    pub expected_bytes_max: Option<u64>,
    /// Compress responses with the field `uWSGI-Encoding: gzip`.
    pub auto_gzip: bool,
}

/// What the kernel is asked to give connections.
#[derive(Debug, Clone, Copy, Default)]
pub struct Buffers {
    /// Bytes to be sent.
    pub send: Option<u32>,
    /// Bytes that were received.
    pub receive: Option<u32>,
    /// Connections that may bring their first request along (TCP fast open).
    pub fast_open: Option<u32>,
    /// Addresses may be ones that this machine does not have.
    pub freebind: bool,
    /// A TCP connection is accepted as soon as it is there, and not with its first bytes.
    pub accept_at_once: bool,
}

/// `Name: value`, as in a response.
pub(super) fn field(value: Value<'_>) -> Result<(String, String), Wrong> {
    const EXPECTATION: &str = "a header, like X-Served-By: one";
    let (name, value) = value.text()?.split_once(':').ok_or(Wrong::Expected(EXPECTATION))?;
    let value = value.trim();
    let is_clean = !value.contains(|char: char| char.is_control());
    if !is_token(name) || !is_clean {
        return Err(Wrong::Expected(EXPECTATION));
    }
    let framing = ["content-length", "transfer-encoding"];
    if framing.contains(&name.to_ascii_lowercase().as_str()) {
        return Err(Wrong::Because(format!("{name} differs from response to response")));
    }
    Ok((name.to_owned(), value.to_owned()))
}

/// A field's name alone.
pub(super) fn name(value: Value<'_>) -> Result<String, Wrong> {
    let name = value.text()?;
    if is_token(name) { Ok(name.to_owned()) } else { Err(Wrong::Expected("the name of a header")) }
}

/// RFC 9110, 5.6.2.
fn is_token(name: &str) -> bool {
    let is_mark = |byte: u8| b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || is_mark(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_a_name_and_a_value() {
        let read = |text| field(Value { text: Some(text) });
        assert_eq!(read("X-A:  b c "), Ok(("X-A".to_owned(), "b c".to_owned())));
        assert_eq!(read("X-A:"), Ok(("X-A".to_owned(), String::new())));
        for text in ["X-A", ": b", "X A: b", "X: a\r\nY: b", "Content-Length: 3", ""] {
            assert!(read(text).is_err(), "{text:?}");
        }
    }
}
