//! Builds environ: a copy of a template dict, with cached key and value objects.
//!
//! The same client sends the same fields again and again, so each field name keeps its environ key
//! and the str of the value it had last. The tables have a fixed size: a peer that invents names
//! replaces entries, it does not make memory grow.

use crate::handoff::{Call, Head, flag};
use crate::python::{Dict, Kept, Object, Py};

/// What does not change between requests.
#[derive(Debug, Clone)]
pub struct Fixed {
    pub multithread: bool,
    pub multiprocess: bool,
    /// `uwsgi.core` is set when a worker has several.
    pub core: Option<usize>,
    /// SERVER_PORT of each listener, by its index.
    pub ports: Vec<String>,
    pub hostname: String,
    pub version: String,
}

/// A key whose value is often the one of the last request.
struct Cached {
    key: Kept,
    bytes: Vec<u8>,
    value: Option<Kept>,
}

impl Cached {
    fn new(py: Py<'_>, key: &str) -> Cached {
        Cached { key: py.interned(key).keep(), bytes: Vec::new(), value: None }
    }

    fn set(&mut self, py: Py<'_>, environ: &Dict<'_>, bytes: &[u8]) {
        let value = match &self.value {
            Some(value) if self.bytes == bytes => value,
            _ => {
                self.bytes.clear();
                self.bytes.extend_from_slice(bytes);
                self.value.insert(py.latin1(bytes).keep())
            }
        };
        environ.set(self.key.get(py), value.get(py));
    }
}

/// One field name, its key and its last value.
struct Entry {
    name: Vec<u8>,
    cached: Cached,
    /// The request that set it last: a second field of the name is joined to the first.
    serial: u64,
}

const ENTRIES: usize = 256;

/// Names that are looked up by their bytes.
struct Names(Vec<Option<Entry>>);

impl Names {
    fn new() -> Names {
        Names((0..ENTRIES).map(|_| None).collect())
    }

    /// A cheap hash that is blind to case: length, first, middle and last letters.
    fn index(name: &[u8]) -> usize {
        let len = name.len();
        let at = |index: usize| usize::from(name.get(index).copied().unwrap_or(0) | 0x20);
        let hash = len.wrapping_mul(31)
            ^ at(0).wrapping_mul(7)
            ^ at(len / 2).wrapping_mul(131)
            ^ at(len.wrapping_sub(1)).wrapping_mul(1031)
            ^ at(len.wrapping_sub(3)).wrapping_mul(17);
        (hash ^ (hash >> 8)) % ENTRIES
    }

    /// The entry of `name`: the one it has, or one that this request does not use yet. None when
    /// all its places are in use by other names of this request.
    fn entry(
        &mut self,
        name: &[u8],
        serial: u64,
        same: fn(&[u8], &[u8]) -> bool,
        make: impl FnOnce() -> Cached,
    ) -> Option<&mut Entry> {
        let first = Names::index(name);
        let places = (0..4).map(|step| (first + step) % ENTRIES);
        let known = |at: &usize| self.0[*at].as_ref().is_some_and(|e| same(&e.name, name));
        if let Some(at) = places.clone().find(known) {
            return self.0[at].as_mut();
        }
        let unused = |at: &usize| self.0[*at].as_ref().is_none_or(|e| e.serial != serial);
        let at = places.clone().find(unused)?;
        Some(self.0[at].insert(Entry { name: name.to_vec(), cached: make(), serial: 0 }))
    }
}

/// The environ maker of one worker thread.
pub struct Builder {
    http: Kept,
    vars: Kept,
    method: Cached,
    target: Cached,
    path: Cached,
    query: Cached,
    addr: Cached,
    port: Cached,
    server_port: Kept,
    ports: Vec<Kept>,
    protocol: Kept,
    http_10: Kept,
    url_scheme: Kept,
    https: Kept,
    input: Kept,
    content_length: Kept,
    terminated: Kept,
    script_name: Kept,
    headers: Names,
    variables: Names,
    serial: u64,
    decoded: Vec<u8>,
}

impl Builder {
    /// Prepares the templates. `errors` and `file_wrapper` are the interpreter's own objects.
    pub fn new(
        py: Py<'_>,
        fixed: &Fixed,
        errors: &Object<'_>,
        file_wrapper: Option<&Object<'_>>,
    ) -> Builder {
        let empty = py.interned("");
        let common = Dict::new(py);
        common.set_text("wsgi.version", &py.tuple(&[py.int(1), py.int(0)]));
        common.set_text("wsgi.url_scheme", &py.interned("http"));
        common.set_text("wsgi.input", &py.none());
        common.set_text("wsgi.errors", errors);
        common.set_text("wsgi.multithread", &py.bool(fixed.multithread));
        common.set_text("wsgi.multiprocess", &py.bool(fixed.multiprocess));
        common.set_text("wsgi.run_once", &py.bool(false));
        if let Some(wrapper) = file_wrapper {
            common.set_text("wsgi.file_wrapper", wrapper);
        }
        common.set_text("uwsgi.version", &py.bytes(fixed.version.as_bytes(), b""));
        common.set_text("uwsgi.node", &py.bytes(fixed.hostname.as_bytes(), b""));
        if let Some(core) = fixed.core {
            common.set_text("uwsgi.core", &py.int(core as i64));
        }
        let http = Dict::copy_of(common.as_object());
        http.set_text("SERVER_PROTOCOL", &py.interned("HTTP/1.1"));
        http.set_text("SERVER_NAME", &py.str(&fixed.hostname));
        for key in [
            "SCRIPT_NAME",
            "REQUEST_METHOD",
            "REQUEST_URI",
            "PATH_INFO",
            "QUERY_STRING",
            "SERVER_PORT",
            "REMOTE_ADDR",
            "REMOTE_PORT",
        ] {
            http.set_text(key, &empty);
        }
        let interned = |text: &str| py.interned(text).keep();
        Builder {
            http: http.into_object().keep(),
            vars: common.into_object().keep(),
            method: Cached::new(py, "REQUEST_METHOD"),
            target: Cached::new(py, "REQUEST_URI"),
            path: Cached::new(py, "PATH_INFO"),
            query: Cached::new(py, "QUERY_STRING"),
            addr: Cached::new(py, "REMOTE_ADDR"),
            port: Cached::new(py, "REMOTE_PORT"),
            server_port: interned("SERVER_PORT"),
            ports: fixed.ports.iter().map(|port| py.str(port).keep()).collect(),
            protocol: interned("SERVER_PROTOCOL"),
            http_10: interned("HTTP/1.0"),
            url_scheme: interned("wsgi.url_scheme"),
            https: interned("https"),
            input: interned("wsgi.input"),
            content_length: interned("CONTENT_LENGTH"),
            terminated: interned("wsgi.input_terminated"),
            script_name: interned("SCRIPT_NAME"),
            headers: Names::new(),
            variables: Names::new(),
            serial: 0,
            decoded: Vec::new(),
        }
    }

    /// The environ of one request: a new dict.
    pub fn build<'py>(
        &mut self,
        py: Py<'py>,
        call: &Call,
        head: &Head<'_>,
        input: &Object<'_>,
    ) -> Dict<'py> {
        self.serial += 1;
        let environ = if head.has(flag::VARS) {
            self.vars_environ(py, head)
        } else {
            self.http_environ(py, call, head)
        };
        environ.set(self.input.get(py), input);
        environ
    }

    fn http_environ<'py>(&mut self, py: Py<'py>, call: &Call, head: &Head<'_>) -> Dict<'py> {
        let environ = Dict::copy_of(self.http.get(py));
        self.method.set(py, &environ, head.method());
        self.target.set(py, &environ, head.target());
        if head.has(flag::PATH_ENCODED) {
            decode(head.path(), &mut self.decoded);
            self.path.set(py, &environ, &self.decoded);
        } else {
            self.path.set(py, &environ, head.path());
        }
        self.query.set(py, &environ, head.query());
        self.addr.set(py, &environ, head.remote_addr());
        self.port.set(py, &environ, head.remote_port());
        if let Some(port) = self.ports.get(head.listener()) {
            environ.set(self.server_port.get(py), port.get(py));
        }
        if !head.has(flag::HTTP_11) {
            environ.set(self.protocol.get(py), self.http_10.get(py));
        }
        let mut sized = false;
        for field in head.fields {
            let name = field.name.of(head.bytes);
            let value = field.value.of(head.bytes);
            let entry = self.headers.entry(name, self.serial, <[u8]>::eq_ignore_ascii_case, || {
                Cached::new(py, &environ_key(name))
            });
            match entry {
                Some(entry) if entry.serial != self.serial => {
                    entry.serial = self.serial;
                    entry.cached.set(py, &environ, value);
                }
                Some(entry) => join(py, &environ, &mut entry.cached, name, value),
                None => {
                    // The names crowd in one place of the table: this one goes without it.
                    let mut cached = Cached::new(py, &environ_key(name));
                    if let Some(first) = environ.get(cached.key.get(py)) {
                        cached.bytes.extend_from_slice(first.as_latin1().unwrap_or_default());
                        join(py, &environ, &mut cached, name, value);
                    } else {
                        cached.set(py, &environ, value);
                    }
                }
            }
            sized |= name.len() == 14 && name.eq_ignore_ascii_case(b"content-length");
            let forwarded = name.len() == 17 && name.eq_ignore_ascii_case(b"x-forwarded-proto");
            if forwarded && value.eq_ignore_ascii_case(b"https") {
                // uWSGI: the forwarded scheme is believed.
                environ.set(self.url_scheme.get(py), self.https.get(py));
            }
        }
        if !sized {
            self.describe_unsized(py, call, &environ);
        }
        environ
    }

    /// A chunked body: its length is told if it is known already, else that it ends by itself.
    fn describe_unsized(&self, py: Py<'_>, call: &Call, environ: &Dict<'_>) {
        match call.body_len() {
            Some(0) => {}
            Some(len) => {
                environ.set(self.content_length.get(py), &py.str(&len.to_string()));
                environ.set(self.terminated.get(py), &py.bool(true));
            }
            None => environ.set(self.terminated.get(py), &py.bool(true)),
        }
    }

    fn vars_environ<'py>(&mut self, py: Py<'py>, head: &Head<'_>) -> Dict<'py> {
        let environ = Dict::copy_of(self.vars.get(py));
        let mut https = None;
        let (mut script, mut path) = (&[][..], &[][..]);
        for field in head.fields {
            let name = field.name.of(head.bytes);
            let value = field.value.of(head.bytes);
            let exact = |a: &[u8], b: &[u8]| a == b;
            let entry = self.variables.entry(name, self.serial, exact, || {
                let key = py.latin1(name);
                Cached { key: key.keep(), bytes: Vec::new(), value: None }
            });
            // The last one of a name wins, as in uWSGI.
            match entry {
                Some(entry) => {
                    entry.serial = self.serial;
                    entry.cached.set(py, &environ, value);
                }
                None => environ.set(&py.latin1(name), &py.latin1(value)),
            }
            match name {
                b"HTTPS" | b"HTTP_X_FORWARDED_SSL" if https.is_none() => {
                    let on = value.len() >= 2 && value[..2].eq_ignore_ascii_case(b"on");
                    https = (on || value.starts_with(b"1")).then_some(true);
                }
                b"UWSGI_SCHEME" | b"HTTP_X_FORWARDED_PROTO" => {
                    https = Some(value.eq_ignore_ascii_case(b"https"));
                }
                b"SCRIPT_NAME" => script = value,
                b"PATH_INFO" => path = value,
                _ => {}
            }
        }
        if https == Some(true) {
            environ.set(self.url_scheme.get(py), self.https.get(py));
        }
        if head.modifier1() == 30 && !script.is_empty() && path.starts_with(script) {
            // uWSGI: modifier1 30 takes SCRIPT_NAME off PATH_INFO.
            self.path.set(py, &environ, &path[script.len()..]);
        }
        if script.is_empty() {
            // PEP 3333 lets it be absent, but frameworks are better off with the empty string.
            environ.set(self.script_name.get(py), &py.interned(""));
        }
        environ
    }
}

/// Joins a repeated field's value to the first (RFC 9110, 5.3; RFC 9113, 8.2.3 for Cookie).
fn join(py: Py<'_>, environ: &Dict<'_>, cached: &mut Cached, name: &[u8], value: &[u8]) {
    let is_cookie = name.eq_ignore_ascii_case(b"cookie");
    let mut both = cached.bytes.clone();
    both.extend_from_slice(if is_cookie { b"; " } else { b"," });
    both.extend_from_slice(value);
    cached.set(py, environ, &both);
}

/// `Accept-Language` becomes `HTTP_ACCEPT_LANGUAGE`; the two fields of the body have no prefix.
fn environ_key(name: &[u8]) -> String {
    let upper: String = name
        .iter()
        .map(|&byte| if byte == b'-' { '_' } else { char::from(byte.to_ascii_uppercase()) })
        .collect();
    match upper.as_str() {
        "CONTENT_TYPE" | "CONTENT_LENGTH" => upper,
        _ => format!("HTTP_{upper}"),
    }
}

/// Percent-decodes once (RFC 3986, 2.1). What is no valid escape stays as it is.
fn decode(path: &[u8], out: &mut Vec<u8>) {
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
    fn decodes_escapes_once_and_leaves_broken_ones() {
        let mut out = Vec::new();
        decode(b"/a%20b%2525%zz%4", &mut out);
        assert_eq!(out, b"/a b%25%zz%4");
    }

    #[test]
    fn names_become_environ_keys() {
        assert_eq!(environ_key(b"Accept-Language"), "HTTP_ACCEPT_LANGUAGE");
        assert_eq!(environ_key(b"content-type"), "CONTENT_TYPE");
    }
}
