//! The request target and the host: RFC 9112, 3.2 and RFC 9110, 7.2.

use super::Reject;
use super::grammar::{HOST, PLAIN, is};
use crate::request::{Range, Request};

/// Sets `target`, `path`, `query` and `path_is_encoded` from the raw target, and gives the host
/// of an absolute-form target. `method` and `target` are ranges of `bytes`.
pub(super) fn split(bytes: &[u8], request: &mut Request) -> Result<Option<Range>, Reject> {
    let method = request.method.of(bytes);
    let target = request.target.of(bytes);
    // RFC 9112, 3.2.3 and 9110, 9.3.6: only a proxy has a use for CONNECT.
    if method == b"CONNECT" {
        return Err(Reject::Connect);
    }
    if target.first() == Some(&b'/') {
        split_path(bytes, request)?;
        return Ok(None);
    }
    // RFC 9112, 3.2.4: asterisk-form is for OPTIONS alone.
    if target == b"*" && method == b"OPTIONS" {
        request.path = request.target;
        return Ok(None);
    }
    let scheme = scheme_len(target).ok_or(Reject::TargetForm)?;
    let after = &target[scheme..];
    let end = after.iter().position(|b| matches!(b, b'/' | b'?' | b'#')).unwrap_or(after.len());
    let userinfo = userinfo_len(&after[..end]).ok_or(Reject::HostInvalid)?;
    // RFC 9110, 4.2.1: an http URI with an empty host is invalid.
    if userinfo == end || !is_host(&after[userinfo..end]) {
        return Err(Reject::HostInvalid);
    }
    let start = usize::from(request.target.start);
    let host = Range::new(start + scheme + userinfo, end - userinfo);
    if after.get(end) == Some(&b'/') {
        request.target = Range::new(start + scheme + end, after.len() - end);
        split_path(bytes, request)?;
    } else {
        // RFC 9112, 3.2.1: an empty path is sent on as `/`. The one at hand ends the scheme.
        let slash = Range::new(start + scheme - 1, 1);
        let rest = Range::new(start + scheme + end, after.len() - end);
        request.target = rest;
        split_path(bytes, request)?;
        request.path = slash;
        if rest.is_empty() {
            request.target = slash;
        }
    }
    Ok(Some(host))
}

/// Sets `path`, `query` and `path_is_encoded` from a target that starts with its path.
fn split_path(bytes: &[u8], request: &mut Request) -> Result<(), Reject> {
    let target = request.target.of(bytes);
    let start = usize::from(request.target.start);
    let mut path_len = target.len();
    let mut index = 0;
    while index < target.len() {
        let byte = target[index];
        if !is(byte, PLAIN) {
            match byte {
                b'%' => request.path_is_encoded = true,
                b'?' => {
                    path_len = index;
                    break;
                }
                // RFC 9112, 3.2: a fragment is never sent.
                b'#' => return Err(Reject::TargetForm),
                _ => return Err(Reject::Target),
            }
        }
        index += 1;
    }
    request.path = Range::new(start, path_len);
    if path_len < target.len() {
        let query = &target[path_len + 1..];
        if query.contains(&b'#') {
            return Err(Reject::TargetForm);
        }
        if !query.is_ascii() {
            return Err(Reject::Target);
        }
        request.query = Range::new(start + path_len + 1, query.len());
    }
    Ok(())
}

/// The length of `http://` or `https://` at the start of `target`. RFC 3986, 3.1: in any case.
fn scheme_len(target: &[u8]) -> Option<usize> {
    let starts_with = |scheme: &[u8]| {
        target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    };
    if starts_with(b"http://") {
        return Some(7);
    }
    starts_with(b"https://").then_some(8)
}

/// The length of `userinfo@` at the start of `authority`; none when there are two of them.
fn userinfo_len(authority: &[u8]) -> Option<usize> {
    let Some(at) = authority.iter().position(|byte| *byte == b'@') else {
        return Some(0);
    };
    (!authority[at + 1..].contains(&b'@')).then_some(at + 1)
}

/// Whether `host` is `uri-host [ ":" port ]`, RFC 9110, 7.2. An empty one is.
pub(super) fn is_host(host: &[u8]) -> bool {
    let name_len = match host {
        [b'[', literal @ ..] => match literal.iter().position(|byte| *byte == b']') {
            // RFC 3986, 3.2.2: an IPv6 address or `v1.something`; a zone only after `%25`.
            Some(end) if end > 1 && literal[..end].iter().all(|b| is(*b, HOST) || *b == b':') => {
                end + 2
            }
            _ => return false,
        },
        _ => host.iter().position(|byte| !is(*byte, HOST)).unwrap_or(host.len()),
    };
    match &host[name_len..] {
        [] => true,
        [b':', port @ ..] => name_len > 0 && port.len() <= 5 && port.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split_target(method: &str, target: &str) -> Result<[String; 4], Reject> {
        let bytes = format!("{method} {target}").into_bytes();
        let mut request = Request {
            method: Range::new(0, method.len()),
            target: Range::new(method.len() + 1, target.len()),
            ..Request::default()
        };
        let host = split(&bytes, &mut request)?.unwrap_or_default();
        let text = |range: Range| String::from_utf8_lossy(range.of(&bytes)).into_owned();
        Ok([text(host), text(request.target), text(request.path), text(request.query)])
    }

    #[test]
    fn splits_origin_form() {
        assert_eq!(split_target("GET", "/"), Ok(["", "/", "/", ""].map(String::from)));
        assert_eq!(
            split_target("GET", "/a?b?c"),
            Ok(["", "/a?b?c", "/a", "b?c"].map(String::from))
        );
        assert_eq!(
            split_target("GET", "//a/../?"),
            Ok(["", "//a/../?", "//a/../", ""].map(String::from))
        );
    }

    #[test]
    fn splits_absolute_form() {
        for (target, expected) in [
            ("http://a/b?c", ["a", "/b?c", "/b", "c"]),
            ("HTTPS://u:p@[::1]:80/", ["[::1]:80", "/", "/", ""]),
            ("http://a", ["a", "/", "/", ""]),
            ("http://a?b", ["a", "?b", "/", "b"]),
        ] {
            assert_eq!(split_target("GET", target), Ok(expected.map(String::from)), "{target}");
        }
    }

    #[test]
    fn refuses_the_forms_that_no_origin_server_serves() {
        for (method, target, reject) in [
            ("CONNECT", "a:80", Reject::Connect),
            ("GET", "a:80", Reject::TargetForm),
            ("GET", "*", Reject::TargetForm),
            ("OPTIONS", "*x", Reject::TargetForm),
            ("GET", "ftp://a/", Reject::TargetForm),
            ("GET", "/a#b", Reject::TargetForm),
            ("GET", "/a?b#c", Reject::TargetForm),
            ("GET", "http://a#b", Reject::TargetForm),
            ("GET", "http:///a", Reject::HostInvalid),
            ("GET", "http://a,b/", Reject::HostInvalid),
            ("GET", "http://u@/", Reject::HostInvalid),
            ("GET", "http://u@v@a/", Reject::HostInvalid),
        ] {
            assert_eq!(split_target(method, target), Err(reject), "{target}");
        }
    }

    #[test]
    fn knows_hosts() {
        for good in ["", "a", "a.b-c_d", "a:", "a:80", "127.0.0.1:65535", "[::1]", "[::1]:80"] {
            assert!(is_host(good.as_bytes()), "{good}");
        }
        for bad in [
            "a b", "a/b", "u@a", "a,b", "a:b", "a:123456", ":80", "[", "[]", "[::1", "[::1]x",
            "a:b:c", "::1", "[::1]]", "a\t", "\u{e9}", "a?b", "a#", "a\\b", "<a>", "\"a\"",
        ] {
            assert!(!is_host(bad.as_bytes()), "{bad}");
        }
    }
}
