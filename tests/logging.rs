//! Requests' lines: which are written, in which form, and that they are uWSGI's.

use std::collections::BTreeMap;

use crate::compatibility::Uwsgi;
use crate::harness::packet::{packet, vars};
use crate::harness::{Client, Mode, Server, for_each_mode};

/// Variables whose values the same request gives both servers.
const SAME: &[&str] = &[
    "uri",
    "method",
    "user",
    "addr",
    "host",
    "proto",
    "uagent",
    "referer",
    "status",
    "rsize",
    "cl",
    "wid",
    "core",
    "vars",
    "pktsize",
    "switches",
    "modifier1",
    "modifier2",
    "metric.x",
    "var.HTTP_X_FORWARDED_FOR",
    "var.NO_SUCH",
    "rerr",
    "werr",
    "ioerr",
    "tmpl",
    "mine",
];
/// Variables whose values differ in their digits, or letters of a date.
const ALIKE: &[&str] = &[
    "micros", "msecs", "secs", "tmsecs", "tmicros", "time", "epoch", "ctime", "ltime", "ftime",
    "pid", "size", "hsize",
];

/// A format that names each variable, and its values in a line.
fn format(names: &[&str]) -> String {
    let parts: Vec<_> = names.iter().map(|name| format!("<{name}|%({name})>")).collect();
    format!("all: {}", parts.concat())
}

fn values(line: &str) -> BTreeMap<String, String> {
    let parts = line.split_once("all: ").unwrap().1.split(['<', '>']);
    let pairs = parts.filter_map(|part| part.split_once('|'));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Digits, and letters of days and months, count as one.
fn shape(text: &str) -> String {
    let mut shape = String::new();
    for c in text.chars().filter(|c| *c != ' ') {
        let c = match c {
            '0'..='9' => '#',
            'a'..='z' | 'A'..='Z' => 'a',
            other => other,
        };
        if !shape.ends_with(c) {
            shape.push(c);
        }
    }
    shape
}

/// Packets that end in lines, by what is in their URI alone.
fn packets() -> Vec<(&'static str, Vec<u8>)> {
    let more = [
        ("HTTP_USER_AGENT", "agent 1.0"),
        ("HTTP_REFERER", "http://b.example/"),
        ("HTTP_X_FORWARDED_FOR", "1.2.3.4, 5.6.7.8"),
        ("REMOTE_USER", "joe"),
        ("CONTENT_LENGTH", "3"),
    ];
    let mut post = packet(0, &vars("POST", "/logvars?first", &more));
    post.extend_from_slice(b"abc");
    vec![
        ("first", post),
        ("second", packet(0, &vars("GET", "/status/404?length&second", &[]))),
        ("third", packet(0, &vars("PUT", "/hello?third", &[("SERVER_PROTOCOL", "HTTP/1.0")]))),
    ]
}

fn ask(address: &str, bytes: &[u8]) {
    let mut client = Client::connect(address);
    client.send(bytes);
    client.rest().unwrap();
}

#[test]
fn every_variable_is_what_it_is_in_uwsgi() {
    let all: Vec<&str> = SAME.iter().chain(ALIKE).copied().collect();
    let format = format(&all);
    let Some(uwsgi) = Uwsgi::start(&["--log-format", &format]) else { return };
    for_each_mode(|mode| {
        let server = Server::shared_with(mode, &["--log-format", &format]);
        for (part, bytes) in packets() {
            ask(&uwsgi.addresses[1], &bytes);
            ask(&server.addresses[1], &bytes);
            // The app of logvars prints its query too.
            let find = |text: &str| {
                let mut lines = text.lines().filter(|line| line.starts_with("all: "));
                lines.find(|line| line.contains(part) && line.ends_with('>')).map(str::to_owned)
            };
            let theirs = values(&uwsgi.process.log.find(part, find));
            let ours = values(&server.log.find(part, find));
            for name in SAME {
                assert_eq!(ours[*name], theirs[*name], "{name} of {part}");
            }
            for name in ALIKE {
                let (ours, theirs) = (&ours[*name], &theirs[*name]);
                assert_eq!(shape(ours), shape(theirs), "{name} of {part}: {ours}, {theirs}");
            }
            let counts = |name: &str| ours[name].parse::<u64>().unwrap();
            assert_eq!(counts("size"), counts("hsize") + counts("rsize"));
        }
    });
}

#[test]
fn options_change_the_line_as_in_uwsgi() {
    let cases: &[&[&str]] = &[
        &["--log-micros", "--memory-report", "--log-x-forwarded-for"],
        &["--log-format", "%(addr) %(ftime) %(uri)", "--log-x-forwarded-for"],
        &["--log-format", "%(ftime) %(uri)", "--log-date=D%Y", "--logformat-strftime"],
        &["--log-format", "%(ftime) %(uri)", "--log-date=D%Y"],
        &["--log-format", "100% %% %x %(uri) \"%(uagent)\""],
    ];
    for more in cases {
        let Some(uwsgi) = Uwsgi::start(more) else { return };
        let mut args = vec!["--socket", "127.0.0.1:0"];
        args.extend_from_slice(more);
        let server = Server::http(Mode::ANY, "all_by_path", &args);
        let (_, bytes) = packets().remove(0);
        ask(&uwsgi.addresses[1], &bytes);
        ask(&server.addresses[1], &bytes);
        let find = |text: &str| {
            let mut lines = text.lines().filter(|line| !line.starts_with("app says"));
            lines.find(|line| line.contains("/logvars?first")).map(str::to_owned)
        };
        let theirs = uwsgi.process.log.find("first", find);
        let ours = server.log.find("first", find);
        assert_eq!(shape(&ours), shape(&theirs), "\n{ours}\n{theirs}");
    }
}

#[test]
fn server_lines_begin_with_the_date_or_the_prefix_and_no_others() {
    let server = Server::http(Mode::ANY, "prints", &["--log-date=<%Y>"]);
    assert!(server.log.line("uwring is ready:").starts_with("<20"));
    server.get("/?one");
    assert_eq!(server.log.line("<err one"), "<err one>");
    assert!(server.log.line("GET /?one").starts_with("[pid: "));
    let server = Server::http(Mode::ANY, "hello", &["--log-prefix=here", "--log-date"]);
    assert!(server.log.line("uwring is ready:").starts_with("here - uwring"));
}

#[test]
fn the_app_gives_variables_to_its_line() {
    let format = r#"{"line":"%(var.HTTP_X_N)","mine":"%(mine)","second":"%(second)","no":%(no)}"#;
    for_each_mode(|mode| {
        let server = Server::shared_with(mode, &["--log-format", format]);
        for (number, path) in ["/logvars?a", "/logvars?q%22b%0Ac", "/hello"].iter().enumerate() {
            let line = format!("{number} {mode}");
            let request = format!(
                "GET {path} HTTP/1.1\r\nHost: a\r\nX-N: {line}\r\nConnection: close\r\n\r\n"
            );
            assert_eq!(server.ask(&request).status, 200);
            let text = server.log.line(&format!("\"{line}\""));
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            let mine = ["a", "q\"b\nc", "-"][number];
            let second = ["\u{fffd}2", "\u{fffd}2", "-"][number];
            let wanted = serde_json::json!(
                {"line": line, "mine": mine, "second": second, "no": null}
            );
            assert_eq!(value, wanted, "{text}");
        }
    });
}

#[test]
fn what_clients_send_stays_in_its_place() {
    let json = r#"{"uri":"%(uri)","agent":"%(uagent)","status":%(status),"x":%(var.HTTP_X)}"#;
    let quoted = "\"%(uagent)\" %(uri)";
    for (format, is_json) in [(json, true), (quoted, false)] {
        let server = Server::http(Mode::ANY, "hello", &["--log-format", format]);
        let agent = "a\"b\\c,\"status\":500,\"\u{e9}";
        let request = format!(
            "GET /?hostile HTTP/1.1\r\nHost: a\r\nUser-Agent: {agent}\r\nX: 1}},{{\r\n\
             Connection: close\r\n\r\n"
        );
        server.ask(&request);
        let line = server.log.line("/?hostile");
        if is_json {
            let value: serde_json::Value = serde_json::from_str(&line).unwrap();
            let wanted = serde_json::json!(
                {"uri": "/?hostile", "agent": agent, "status": 200, "x": "1},{"}
            );
            assert_eq!(value, wanted);
        } else {
            assert_eq!(line.matches('"').count(), 2, "{line}");
        }
    }
}

#[test]
fn what_clients_send_ends_no_line_of_the_server() {
    let server = Server::shared_with(Mode::ANY, &[]);
    let path = [("PATH_INFO", "/length/too_small/list")];
    ask(&server.addresses[1], &packet(0, &vars("GET", "/length\nforged: all is well", &path)));
    let line = server.log.line("more than its Content-Length");
    assert!(line.contains("/length\\x0aforged: all is well"), "{line}");
}

#[test]
fn some_requests_are_logged_though_logging_is_off() {
    let long = "/large/5000/0?long";
    let cases: &[(&[&str], &[&str])] = &[
        (&["--log-4xx"], &["/status/404?a"]),
        (&["--log-5xx"], &["/status/500?a"]),
        (&["--log-zero"], &["/status/204?a"]),
        (&["--log-big", "5000"], &[long]),
        (&["--log-slow", "60000"], &[]),
        (&["--log-4xx", "--log-big=5000"], &["/status/404?a", long]),
    ];
    for (options, logged) in cases {
        let mut args = vec!["--disable-logging"];
        args.extend_from_slice(options);
        let mut server = Server::http(Mode::ANY, "all_by_path", &args);
        let all = ["/hello?a", "/status/404?a", "/status/500?a", "/status/204?a", long];
        for path in all {
            server.get(path);
        }
        assert_eq!(server.stop(libc::SIGTERM), 0);
        let text = server.log.text();
        for path in all {
            let is_there = text.contains(&format!("GET {path} =>"));
            assert_eq!(is_there, logged.contains(&path), "{options:?} {path}:\n{text}");
        }
    }
}

#[test]
fn slow_sent_and_broken_requests_are_logged_though_logging_is_off() {
    let directory = crate::harness::scratch();
    let ready = directory.path().join("ready").display().to_string();
    let more = ["--disable-logging", "--log-slow", "1", "--log-ioerror"];
    let server = Server::http(Mode::ANY, "all_by_path", &more);
    let mut client = server.connect();
    client.send(format!("GET /waits?{ready} HTTP/1.1\r\nHost: a\r\n\r\n"));
    server.log.line("waiting for");
    std::fs::write(&ready, "").unwrap();
    client.response();
    assert!(server.log.line(&format!("GET /waits?{ready} =>")).contains("(HTTP/1.1 200)"));
    // More than the socket takes, and nobody reads it.
    let mut client = server.connect();
    client.send("GET /large/90000000/65536?broken HTTP/1.1\r\nHost: a\r\n\r\n");
    client.reset();
    server.log.line("GET /large/90000000/65536?broken =>");
}
