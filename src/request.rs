//! `Request`: one parsed request head, as ranges into the bytes that it came in.
//!
//! Both protocols make the same `Request`. It owns no bytes: the connection's buffer holds them
//! until dispatch, the slot holds a copy afterwards, and the ranges are right in both because they
//! count from the first byte of the head.

/// A range of bytes that counts from the first byte of the request head.
/// A head is at most 65,535 bytes (uWSGI: `buffer-size` is a 16-bit number).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Range {
    pub start: u16,
    pub len: u16,
}

impl Range {
    /// The range that starts at `start` and has `len` bytes.
    pub fn new(start: usize, len: usize) -> Range {
        debug_assert!(start + len <= usize::from(u16::MAX), "BUG: a head is bounded by 64 KiB");
        Range { start: start as u16, len: len as u16 }
    }

    /// The bytes of this range in `head`; empty when `head` is too short for it.
    pub fn of(self, head: &[u8]) -> &[u8] {
        head.get(self.start.into()..usize::from(self.start) + usize::from(self.len)).unwrap_or(&[])
    }

    pub fn is_empty(self) -> bool {
        self.len == 0
    }
}

/// One header field (HTTP) or one variable (uwsgi): its name and its value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Field {
    pub name: Range,
    pub value: Range,
}

/// What a request's `fields` are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Fields {
    /// HTTP header fields, names as the peer wrote them: environ keys are made from them.
    #[default]
    Headers = 0,
    /// uwsgi variables: names are environ keys already, all of environ is in them.
    Vars = 1,
}

/// How the request's body is delimited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Body {
    /// Nothing follows the head: no length was given, or the length 0.
    #[default]
    None,
    /// Exactly this many bytes follow the head.
    Length(u64),
    /// RFC 9112, 7.1: chunked transfer coding follows the head.
    Chunked,
}

/// The HTTP version of the request line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Version {
    Http10 = 0,
    #[default]
    Http11 = 1,
}

/// One request head.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// Bytes of the head, the blank line (or the packet header) included.
    pub head_len: usize,
    pub method: Range,
    /// The raw request target, `REQUEST_URI`. Absolute-form keeps path and query only.
    pub target: Range,
    /// The raw path, still percent-encoded over HTTP.
    pub path: Range,
    /// The query without its `?`.
    pub query: Range,
    /// The Host field, or the authority of an absolute-form target (RFC 9112, 3.2.2).
    pub host: Range,
    pub version: Version,
    /// The path holds a `%` and must be decoded.
    pub path_is_encoded: bool,
    pub kind: Fields,
    pub fields: Vec<Field>,
    pub body: Body,
    /// The connection may carry another request (never over uwsgi).
    pub keep_alive: bool,
    /// The method is HEAD: the response has no body.
    pub is_head: bool,
    /// The client waits for `100 Continue` (RFC 9110, 10.1.1).
    pub expects_continue: bool,
    /// uwsgi: the two modifiers of the packet header; 0 over HTTP.
    pub modifier1: u8,
    pub modifier2: u8,
}

impl Request {
    /// Makes this `Request` ready for the next head and keeps its memory.
    pub fn clear(&mut self) {
        let mut fields = std::mem::take(&mut self.fields);
        fields.clear();
        *self = Request { fields, ..Request::default() };
    }
}

/// How a body is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    Brotli,
    Gzip,
}

impl Coding {
    /// The value of Content-Encoding.
    pub fn name(self) -> &'static str {
        match self {
            Coding::Brotli => "br",
            Coding::Gzip => "gzip",
        }
    }
}

/// The codings that a client takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Codings {
    brotli: bool,
    gzip: bool,
}

impl Codings {
    /// What the Accept-Encoding fields among `fields` of `head` name.
    pub fn of(head: &[u8], kind: Fields, fields: &[Field]) -> Codings {
        let prefix: &[u8] = if kind == Fields::Vars { b"HTTP_" } else { b"" };
        let mut codings = Codings::default();
        for field in fields {
            let name = field.name.of(head).strip_prefix(prefix);
            if name.is_some_and(|name| is_named(name, b"accept-encoding")) {
                codings.accept(field.value.of(head));
            }
        }
        codings
    }

    /// Adds what an Accept-Encoding field names; one with the weight 0 is refused (RFC 9110,
    /// 12.5.3).
    fn accept(&mut self, field: &[u8]) {
        for item in field.split(|&byte| byte == b',') {
            let mut parts = item.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
            let name = parts.next().unwrap_or(b"");
            let is_taken = !parts.any(is_zero);
            if name.eq_ignore_ascii_case(b"br") {
                self.brotli = is_taken;
            } else if name.eq_ignore_ascii_case(b"gzip") || name.eq_ignore_ascii_case(b"x-gzip") {
                self.gzip = is_taken;
            }
        }
    }

    pub fn has_gzip(self) -> bool {
        self.gzip
    }

    /// One number for each set of them.
    pub fn bits(self) -> u8 {
        u8::from(self.brotli) | u8::from(self.gzip) << 1
    }

    /// The smaller ones first.
    pub fn in_order(self) -> impl Iterator<Item = Coding> {
        let brotli = self.brotli.then_some(Coding::Brotli);
        brotli.into_iter().chain(self.gzip.then_some(Coding::Gzip))
    }
}

/// `q=0`, `q=0.0` and so on.
fn is_zero(parameter: &[u8]) -> bool {
    let weight = match parameter {
        [b'q' | b'Q', b'=', weight @ ..] => weight,
        _ => return false,
    };
    weight.first() == Some(&b'0') && weight.iter().all(|byte| matches!(byte, b'0' | b'.'))
}

/// Whether a field's or variable's name is `wanted`, which is in small letters.
pub fn is_named(name: &[u8], wanted: &[u8]) -> bool {
    let small = |byte: &u8| if *byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    name.len() == wanted.len() && name.iter().zip(wanted).all(|(a, b)| small(a) == *b)
}

/// A mountpoint as it is compared. uWSGI: a `/` at its end does not count.
pub fn mountpoint(written: &str) -> Vec<u8> {
    written.strip_suffix('/').unwrap_or(written).as_bytes().to_vec()
}

/// The longest mountpoint that the path begins with, up to the path's end or a `/`: its index and
/// its bytes. The one of everything is empty and does not count.
pub fn longest_mountpoint(points: &[Vec<u8>], path: &[u8]) -> Option<(usize, usize)> {
    let fits = |point: &&Vec<u8>| {
        let rest = path.strip_prefix(point.as_slice()).filter(|_| !point.is_empty());
        rest.is_some_and(|rest| matches!(rest, [] | [b'/', ..]))
    };
    let len = points.iter().filter(fits).map(Vec::len).max()?;
    let index = points.iter().position(|point| point.len() == len && fits(&point))?;
    Some((index, len))
}

/// Percent-decodes a path once (RFC 3986, 2.1) into `out`. What is no valid escape stays as it is.
pub fn decode_path(path: &[u8], out: &mut Vec<u8>) {
    out.clear();
    let mut rest = path;
    while let Some((&byte, tail)) = rest.split_first() {
        let hex = |index: usize| tail.get(index).and_then(|&b| char::from(b).to_digit(16));
        match (byte, hex(0), hex(1)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                rest = &tail[2..];
            }
            _ => {
                out.push(byte);
                rest = tail;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_a_client_takes() {
        let accepted = |fields: &[&str]| {
            let mut codings = Codings::default();
            fields.iter().for_each(|field| codings.accept(field.as_bytes()));
            codings.in_order().map(Coding::name).collect::<Vec<_>>()
        };
        assert_eq!(accepted(&["gzip, deflate, br, zstd"]), ["br", "gzip"]);
        assert_eq!(accepted(&["GZIP;q=0.5", "x"]), ["gzip"]);
        assert_eq!(accepted(&["gzip", "br"]), ["br", "gzip"]);
        assert_eq!(accepted(&["br;q=0, gzip;q=0.001"]), ["gzip"]);
        assert_eq!(accepted(&["gzip; q=0.000,br;q=0"]), [""; 0]);
        assert_eq!(accepted(&["identity, *", "bro, gzipped"]), [""; 0]);
    }

    #[test]
    fn the_longest_mountpoint_of_whole_segments_wins() {
        let mounted = ["", "/one", "/two/", "/one/deep"].map(mountpoint);
        let found = |path: &str| longest_mountpoint(&mounted, path.as_bytes());
        for (path, index, len) in [
            ("/one", 1, 4),
            ("/one/", 1, 4),
            ("/one/x", 1, 4),
            ("/one/deep/y", 3, 9),
            ("/one/deeper", 1, 4),
            ("/two", 2, 4),
            ("/two//z", 2, 4),
        ] {
            assert_eq!(found(path), Some((index, len)), "{path}");
        }
        for path in ["/", "/onex", "/other", ""] {
            assert_eq!(found(path), None, "{path}");
        }
    }

    #[test]
    fn decodes_escapes_once_and_leaves_broken_ones() {
        let mut out = Vec::new();
        decode_path(b"/a%20b%2525%zz%4", &mut out);
        assert_eq!(out, b"/a b%25%zz%4");
    }
}
