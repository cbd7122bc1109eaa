//! Builds environ: a copy of a template dict that still holds the last request's values.
//!
//! The same client sends the same fields again and again. A field that is what it was costs a
//! comparison; one that changed is set in the template, one that is absent is taken out of it, and
//! then the request gets its copy (`template.rs`).

use super::template::{Cached, Template};
use crate::handoff::{Call, Head, flag};
use crate::python::{Dict, Kept, Object, Py};
use crate::request::decode_path;

/// What does not change between requests.
#[derive(Debug, Clone)]
pub struct Fixed {
    pub multithread: bool,
    pub multiprocess: bool,
    /// `uwsgi.core` is set when a worker has several.
    pub core: Option<usize>,
    /// SERVER_PORT of each listener, by its index.
    pub ports: Vec<String>,
    /// `(name, value)` in each HTTP request's environ. uWSGI: `http-var`.
    pub http_vars: Vec<(String, String)>,
    pub hostname: String,
    pub version: String,
}

/// The environ maker of one worker thread.
pub struct Builder {
    http: Template,
    /// Of `http-var`, and whether the scheme is https after them: where the client said nothing of
    /// it, another one, or https.
    http_vars: Vec<(Kept, Kept)>,
    is_https: [bool; 3],
    vars: Template,
    method: Cached,
    target: Cached,
    path: Cached,
    query: Cached,
    addr: Cached,
    port: Cached,
    server_port: Cached,
    ports: Vec<String>,
    protocol: Cached,
    url_scheme: Kept,
    https: Kept,
    input: Kept,
    no_body: Kept,
    content_length: Kept,
    terminated: Kept,
    script_name: Kept,
    path_info: Kept,
    decoded: Vec<u8>,
}

impl Builder {
    /// Prepares the templates. `errors`, `no_body` (the `wsgi.input` of a request without a body)
    /// and `file_wrapper` are the interpreter's own objects.
    pub fn new(
        py: Py<'_>,
        fixed: &Fixed,
        errors: &Object<'_>,
        no_body: &Object<'_>,
        file_wrapper: Option<&Object<'_>>,
    ) -> Builder {
        let common = Dict::new(py);
        common.set_text("wsgi.version", &py.tuple(&[py.int(1), py.int(0)]));
        common.set_text("wsgi.url_scheme", &py.interned("http"));
        common.set_text("wsgi.input", no_body);
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
        http.set_text("SERVER_NAME", &py.str(&fixed.hostname));
        http.set_text("SCRIPT_NAME", &py.interned(""));
        let kept =
            |(name, value): &(String, String)| (py.interned(name).keep(), py.str(value).keep());
        let is_https = [None, Some(false), Some(true)].map(|known| {
            let vars = fixed.http_vars.iter();
            let says = |known, (name, value): &(String, String)| {
                says_https(name.as_bytes(), value.as_bytes(), known)
            };
            vars.fold(known, says) == Some(true)
        });
        let interned = |text: &str| py.interned(text).keep();
        let cached = |key: &str| Cached::new(&py.interned(key));
        Builder {
            http: Template::new(http),
            http_vars: fixed.http_vars.iter().map(kept).collect(),
            is_https,
            vars: Template::new(common),
            method: cached("REQUEST_METHOD"),
            target: cached("REQUEST_URI"),
            path: cached("PATH_INFO"),
            query: cached("QUERY_STRING"),
            addr: cached("REMOTE_ADDR"),
            port: cached("REMOTE_PORT"),
            server_port: cached("SERVER_PORT"),
            ports: fixed.ports.clone(),
            protocol: cached("SERVER_PROTOCOL"),
            url_scheme: interned("wsgi.url_scheme"),
            https: interned("https"),
            input: interned("wsgi.input"),
            no_body: no_body.clone().keep(),
            content_length: interned("CONTENT_LENGTH"),
            terminated: interned("wsgi.input_terminated"),
            script_name: interned("SCRIPT_NAME"),
            path_info: interned("PATH_INFO"),
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
        let environ = if head.has(flag::VARS) {
            self.vars_environ(py, head)
        } else {
            self.http_environ(py, call, head)
        };
        if !input.is(self.no_body.get(py)) {
            environ.set(self.input.get(py), input);
        }
        environ
    }

    fn http_environ<'py>(&mut self, py: Py<'py>, call: &Call, head: &Head<'_>) -> Dict<'py> {
        let template = self.http.begin(py);
        let path = if head.has(flag::PATH_ENCODED) {
            decode_path(head.path(), &mut self.decoded);
            &self.decoded
        } else {
            head.path()
        };
        let port = self.ports.get(head.listener()).map_or("", String::as_str);
        let protocol = if head.has(flag::HTTP_11) { &b"HTTP/1.1"[..] } else { b"HTTP/1.0" };
        self.method.put(py, &template, head.method());
        self.target.put(py, &template, head.target());
        self.path.put(py, &template, path);
        self.query.put(py, &template, head.query());
        self.addr.put(py, &template, head.remote_addr());
        self.port.put(py, &template, head.remote_port());
        self.server_port.put(py, &template, port.as_bytes());
        self.protocol.put(py, &template, protocol);
        let (mut is_sized, mut is_crowded) = (false, false);
        let mut https = None;
        for field in head.fields {
            let name = field.name.of(head.bytes);
            let value = field.value.of(head.bytes);
            is_crowded |= !self.http.put_header(py, &template, name, value);
            is_sized |= name.len() == 14 && name.eq_ignore_ascii_case(b"content-length");
            let forwarded = name.len() == 17 && name.eq_ignore_ascii_case(b"x-forwarded-proto");
            if forwarded {
                // uWSGI: the forwarded scheme is believed.
                let is_https = value.eq_ignore_ascii_case(b"https");
                https = Some(is_https || https == Some(true));
            }
        }
        self.http.end(py, &template);
        let environ = Dict::copy_of(template.as_object());
        if is_crowded {
            self.http.put_crowded_headers(py, &environ, head);
        }
        if self.is_https[https.map_or(0, |https| 1 + usize::from(https))] {
            environ.set(self.url_scheme.get(py), self.https.get(py));
        }
        if !is_sized {
            self.describe_unsized(py, call, &environ);
        }
        // uWSGI: they come behind all that the client says, and the last one of a name wins.
        for (name, value) in &self.http_vars {
            environ.set(name.get(py), value.get(py));
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
        let template = self.vars.begin(py);
        let mut https = None;
        let (mut script, mut path) = (&[][..], &[][..]);
        let mut is_crowded = false;
        for field in head.fields {
            let name = field.name.of(head.bytes);
            let value = field.value.of(head.bytes);
            // The last one of a name wins, as in uWSGI.
            is_crowded |= !self.vars.put_variable(py, &template, name, value);
            https = says_https(name, value, https);
            match name {
                b"SCRIPT_NAME" => script = value,
                b"PATH_INFO" => path = value,
                _ => {}
            }
        }
        self.vars.end(py, &template);
        let environ = Dict::copy_of(template.as_object());
        if is_crowded {
            self.vars.put_crowded_variables(py, &environ, head);
        }
        if https == Some(true) {
            environ.set(self.url_scheme.get(py), self.https.get(py));
        }
        if head.modifier1() == 30 && !script.is_empty() && path.starts_with(script) {
            // uWSGI: modifier1 30 takes SCRIPT_NAME off PATH_INFO.
            environ.set(self.path_info.get(py), &py.latin1(&path[script.len()..]));
        }
        if script.is_empty() {
            // PEP 3333 lets it be absent, but frameworks are better off with the empty string.
            environ.set(self.script_name.get(py), &py.interned(""));
        }
        environ
    }
}

/// What a variable says of the request's scheme, with what was `known` before it. uWSGI: only what
/// says on counts of the first two, and the others are believed either way.
fn says_https(name: &[u8], value: &[u8], known: Option<bool>) -> Option<bool> {
    match name {
        b"HTTPS" | b"HTTP_X_FORWARDED_SSL" if known.is_none() => {
            let on = value.len() >= 2 && value[..2].eq_ignore_ascii_case(b"on");
            (on || value.starts_with(b"1")).then_some(true)
        }
        b"UWSGI_SCHEME" | b"HTTP_X_FORWARDED_PROTO" => Some(value.eq_ignore_ascii_case(b"https")),
        _ => known,
    }
}
