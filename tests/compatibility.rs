//! The same app and request to a real uWSGI and to uwring. What differs is listed here, and why.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

use crate::harness::packet::{packet, vars};
use crate::harness::process::Process;
use crate::harness::{Client, Response, Server, app, for_each_mode, tools};

/// A real uWSGI with an HTTP and a uwsgi socket.
pub struct Uwsgi {
    pub process: Process,
    pub addresses: Vec<String>,
}

impl Uwsgi {
    /// Serves all fixture apps; None if uWSGI is waived.
    pub fn start(more: &[&str]) -> Option<Uwsgi> {
        Uwsgi::serve("all_by_path", more)
    }

    /// Serves the fixture app `name`; None if uWSGI is waived.
    pub fn serve(name: &str, more: &[&str]) -> Option<Uwsgi> {
        let app = app(name);
        Uwsgi::serve_what(&[&["--wsgi-file", &app], more].concat())
    }

    /// Serves what the options say; None if uWSGI is waived.
    pub fn serve_what(options: &[&str]) -> Option<Uwsgi> {
        let mut command = Command::new(tools::uwsgi()?);
        for (name, _) in std::env::vars_os() {
            let shown = name.to_string_lossy();
            if shown.starts_with("PYTHON") || shown.starts_with("UWSGI_") {
                command.env_remove(&name);
            }
        }
        command.args([
            "--http-socket",
            "127.0.0.1:0",
            "--socket",
            "127.0.0.1:0",
            "--master",
            "--die-on-term",
        ]);
        command.args(["--buffer-size", "32768"]).args(options);
        let process = Process::start(command);
        process.log.line("spawned uWSGI worker 1");
        let log = process.log.text();
        let bound = log.lines().filter_map(|line| line.split("bound to TCP address ").nth(1));
        let addresses = bound.map(|rest| rest.split(' ').next().unwrap().to_owned()).collect();
        Some(Uwsgi { process, addresses })
    }
}

impl Drop for Uwsgi {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.process.stop(libc::SIGTERM);
        }
    }
}

pub fn ask(address: &str, bytes: &[u8]) -> Response {
    let mut client = Client::connect(address);
    client.send(bytes);
    client.response()
}

/// Requests that both must answer alike, as HTTP and as packets.
///
/// Two differ by intent. `/a/../b`: uWSGI collapses the dots in PATH_INFO, we pass the path as it
/// was sent. `start_response` with exc_info before the head: uWSGI sends no body, PEP 3333 wants
/// it.
const TARGETS: &[&str] = &[
    "/hello",
    "/describe/a%20b%2F%25?x=1&y=%20",
    "/describe//double///slashes",
    "/status/404",
    "/status/200",
    "/starts/twice",
    "/writes",
    "/returns/bytes",
    "/returns/generator",
    "/returns/none_in_list",
    "/header?X-A&b",
    "/header/status?404",
    "/large/100000/1000",
    "/yields_empty",
];

/// Fields that the server adds for the connection: over HTTP uWSGI adds none, and closes.
const OWN_FIELDS: [&str; 4] = ["date", "connection", "content-length", "transfer-encoding"];

fn of_the_app(response: &Response) -> Vec<(String, String)> {
    let own = |name: &str| OWN_FIELDS.contains(&name.to_ascii_lowercase().as_str());
    response.fields.iter().filter(|(name, _)| !own(name)).cloned().collect()
}

/// What an environ may differ in, and is therefore not compared.
const NOT_COMPARED: &[&str] = &[
    "uwsgi.version", // Another version.
    "wsgi.input",    // Types of their own.
    "wsgi.errors",
    "wsgi.file_wrapper",
    "SERVER_PORT", // Another port.
    "REMOTE_PORT", // uWSGI's http-socket does not know it.
    "HTTP_CONTENT_LENGTH",
];

fn environ(response: &Response) -> BTreeMap<String, Value> {
    let seen = response.json()["environ"].take();
    let pairs = seen.as_object().unwrap().clone();
    pairs.into_iter().filter(|(key, _)| !NOT_COMPARED.contains(&key.as_str())).collect()
}

fn compare(target: &str, theirs: &Response, ours: &Response) {
    assert_eq!(ours.status, theirs.status, "{target}");
    assert_eq!(ours.reason, theirs.reason, "{target}");
    assert_eq!(of_the_app(ours), of_the_app(theirs), "{target}");
    if target.starts_with("/describe") {
        assert_eq!(environ(ours), environ(theirs), "{target}");
        assert_eq!(ours.json()["body"], theirs.json()["body"], "{target}");
    } else {
        assert_eq!(ours.text(), theirs.text(), "{target}");
    }
}

#[test]
fn answers_http_like_uwsgi() {
    let Some(uwsgi) = Uwsgi::start(&[]) else { return };
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        for target in TARGETS {
            let request = format!(
                "GET {target} HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\nX-Y: \u{e9}\r\nCookie: a=b\r\n\r\n"
            );
            let theirs = ask(&uwsgi.addresses[0], request.as_bytes());
            compare(target, &theirs, &ask(server.address(), request.as_bytes()));
        }
        let request = "POST /describe HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: text/x\r\nContent-Length: 3\r\n\r\nabc";
        compare("/describe", &ask(&uwsgi.addresses[0], request.as_bytes()), &server.ask(request));
    });
}

#[test]
fn answers_packets_like_uwsgi() {
    let Some(uwsgi) = Uwsgi::start(&[]) else { return };
    let mut packets: Vec<(String, Vec<u8>)> = TARGETS
        .iter()
        .map(|target| {
            ((*target).to_owned(), packet(0, &vars("GET", target, &[("SCRIPT_NAME", "")])))
        })
        .collect();
    let mut post =
        packet(0, &vars("POST", "/describe", &[("SCRIPT_NAME", ""), ("CONTENT_LENGTH", "3")]));
    post.extend_from_slice(b"abc");
    packets.push(("/describe".to_owned(), post));
    for more in [
        &[("SCRIPT_NAME", ""), ("HTTPS", "on")][..],
        &[("SCRIPT_NAME", ""), ("HTTPS", "off")],
        &[("SCRIPT_NAME", ""), ("UWSGI_SCHEME", "https")],
        &[("SCRIPT_NAME", ""), ("HTTP_X_FORWARDED_PROTO", "https")],
        &[("SCRIPT_NAME", ""), ("HTTP_X_FORWARDED_SSL", "on")],
        &[("SCRIPT_NAME", ""), ("REMOTE_USER", "j\u{fc}rgen"), ("DOCUMENT_ROOT", "/var/www")],
        &[("SCRIPT_NAME", ""), ("A", "1"), ("A", "2"), ("lower", "x"), ("EMPTY", "")],
    ] {
        packets.push((format!("/describe {more:?}"), packet(0, &vars("GET", "/describe", more))));
    }
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        for (target, bytes) in &packets {
            let (theirs, ours) =
                (ask(&uwsgi.addresses[1], bytes), ask(&server.addresses[1], bytes));
            compare(target, &theirs, &ours);
            // Over its own protocol uWSGI adds nothing, and neither do we, but a length that is
            // known.
            let fields =
                ours.fields.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("content-length"));
            let all = theirs
                .fields
                .iter()
                .filter(|(name, _)| !name.eq_ignore_ascii_case("content-length"));
            assert!(fields.eq(all), "{target}: {:?} {:?}", ours.fields, theirs.fields);
            assert_eq!(ours.version, theirs.version, "{target}");
        }
    });
}

/// The line without what must differ: pids, counters, the time, header bytes that HTTP adds.
pub fn line_form(line: &str) -> String {
    let begin = line.find("[pid:").unwrap();
    let mut form = String::new();
    for c in line[begin..].chars() {
        let c = if c.is_ascii_digit() { '#' } else { c };
        if c != '#' || !form.ends_with('#') {
            form.push(c);
        }
    }
    // `[Sun Nov # ##:##:## ####]`: the day and the month may change while the test runs.
    let (head, rest) = form.split_once("} [").unwrap();
    let (time, tail) = rest.split_once(']').unwrap();
    let time: String =
        time.chars().map(|c| if c.is_ascii_alphabetic() { 'a' } else { c }).collect();
    format!("{head}}} [{}]{tail}", time.replace("  ", " "))
}

#[test]
fn writes_the_request_line_like_uwsgi() {
    let Some(uwsgi) = Uwsgi::start(&[]) else { return };
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        for (target, method, more) in [
            ("/hello?plain", "GET", &[][..]),
            ("/status/404?length", "POST", &[("SERVER_PROTOCOL", "HTTP/1.0")]),
            ("/hello?user", "GET", &[("REMOTE_USER", "joe"), ("REMOTE_ADDR", "::1")]),
        ] {
            let bytes = packet(0, &vars(method, target, more));
            ask(&uwsgi.addresses[1], &bytes);
            ask(&server.addresses[1], &bytes);
            let part = format!("{method} {target} =>");
            let (theirs, ours) = (uwsgi.process.log.line(&part), server.log.line(&part));
            assert_eq!(line_form(&ours), line_form(&theirs), "\n{ours}\n{theirs}");
            // The same packet: the same vars, bytes, body, status and header count.
            let same = |line: &str| {
                let from = line.find("() {").or(line.find("(joe) {")).unwrap();
                let vars = line[from..].split('}').next().unwrap().to_owned();
                let generated =
                    line.split("generated ").nth(1).unwrap().split(' ').next().unwrap().to_owned();
                let status =
                    line.split(" msecs ").nth(1).unwrap().split(')').next().unwrap().to_owned();
                (vars, generated, status)
            };
            assert_eq!(same(&ours), same(&theirs));
        }
    });
}

#[test]
fn names_the_same_options_in_the_module() {
    let Some(uwsgi) = Uwsgi::start(&["--set", "colour=blue"]) else { return };
    for_each_mode(|mode| {
        let server = Server::shared_with(mode, &["--master", "--set", "colour=blue"]);
        let (theirs, ours) = (ask_json(&uwsgi.addresses[0]), ask_json(server.address()));
        assert_eq!(ours, theirs);
    });
}

fn ask_json(address: &str) -> Value {
    let request = b"GET /module HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    ask(address, request).json()
}
