//! What an app finds in environ, and what the log says of its request.

use serde_json::Value;

use crate::harness::packet::{ask, packet, vars};
use crate::harness::{Server, for_each_mode};

fn described(server: &Server, head: &str) -> Value {
    server.ask(head).json()["environ"].take()
}

#[test]
fn describes_a_request_as_cgi_does() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        let seen = described(
            &server,
            "PUT /describe/a%20b%2Fc%C3%A9?x=%20y&z HTTP/1.1\r\nHost: www.example:81\r\nAccept-Language: de\r\n\
             content-type: text/x\r\nContent-Length: 2\r\nX-Two: 1\r\nX-TWO: 2\r\n\
             Cookie: a=b\r\nCookie: c=d\r\n\
             X-High: \u{e9}\r\nX-Empty:\r\n\r\nab",
        );
        let port = server.address().rsplit(':').next().unwrap();
        for (key, expected) in [
            ("REQUEST_METHOD", "PUT"),
            ("REQUEST_URI", "/describe/a%20b%2Fc%C3%A9?x=%20y&z"),
            ("PATH_INFO", "/describe/a b/c\u{c3}\u{a9}"),
            ("QUERY_STRING", "x=%20y&z"),
            ("SCRIPT_NAME", ""),
            ("SERVER_PROTOCOL", "HTTP/1.1"),
            ("SERVER_PORT", port),
            ("REMOTE_ADDR", "127.0.0.1"),
            ("HTTP_HOST", "www.example:81"),
            ("HTTP_ACCEPT_LANGUAGE", "de"),
            ("CONTENT_TYPE", "text/x"),
            ("CONTENT_LENGTH", "2"),
            ("HTTP_COOKIE", "a=b; c=d"),
            ("HTTP_X_HIGH", "\u{c3}\u{a9}"),
            ("HTTP_X_EMPTY", ""),
            ("wsgi.url_scheme", "http"),
            ("wsgi.version", "(1, 0)"),
        ] {
            assert_eq!(seen[key], expected, "{key}");
        }
        let two = seen["HTTP_X_TWO"].as_str().unwrap().replace(' ', "");
        assert_eq!(two, "1,2");
        assert!(!seen["SERVER_NAME"].as_str().unwrap().is_empty());
        assert!(seen["REMOTE_PORT"].as_str().unwrap().parse::<u16>().is_ok());
        for absent in ["HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH"] {
            assert_eq!(seen[absent], Value::Null, "{absent}");
        }
        assert_eq!(
            (&seen["wsgi.run_once"], &seen["wsgi.multithread"]),
            (&false.into(), &false.into())
        );
        assert!(seen["uwsgi.version"].as_str().unwrap().starts_with("b'2."), "bytes, as in uWSGI");
        assert!(seen["uwsgi.node"].as_str().unwrap().starts_with("b'"));
    });
}

#[test]
fn sets_no_body_keys_for_a_request_without_body() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        let seen = described(&server, "GET /describe HTTP/1.1\r\nHost: a\r\n\r\n");
        for key in ["CONTENT_LENGTH", "CONTENT_TYPE"] {
            assert!(seen[key].is_null() || seen[key] == "", "{key}: {}", seen[key]);
        }
    });
}

#[test]
fn leaves_out_headers_that_could_be_taken_for_others() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        let seen = described(
            &server,
            "GET /describe HTTP/1.1\r\nHost: a\r\nX_Forwarded_For: evil\r\nContent_Length: 5\r\nProxy: evil\r\n\
             Script-Name: /evil\r\nRemote-User: evil\r\nWsgi.input: evil\r\n\r\n",
        );
        for key in [
            "HTTP_X_FORWARDED_FOR",
            "HTTP_CONTENT_LENGTH",
            "CONTENT_LENGTH",
            "HTTP_PROXY",
            "REMOTE_USER",
        ] {
            assert_eq!(seen[key], Value::Null, "{key}");
        }
        assert_eq!(seen["SCRIPT_NAME"], "");
        assert_eq!(seen["HTTP_SCRIPT_NAME"], "/evil");
    });
}

#[test]
fn keeps_apart_many_names_whatever_they_are() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        // Twice the names that any cache would hold, and each of them twice in its request.
        for round in 0..10 {
            let fields: String = (0..50)
                .map(|n| {
                    format!("X-Q{round}{n:02}-Zz-Zz: a{n}\r\nX-Q{round}{n:02}-Zz-Zz: b{n}\r\n")
                })
                .collect();
            let seen =
                described(&server, &format!("GET /describe HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
            for n in 0..50 {
                let value =
                    seen[format!("HTTP_X_Q{round}{n:02}_ZZ_ZZ")].as_str().unwrap().replace(' ', "");
                assert_eq!(value, format!("a{n},b{n}"), "{round} {n}");
            }
        }
    });
}

#[test]
fn joins_repeated_fields_however_they_are_interleaved() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        // Same length, same first, middle and last letters.
        let names: Vec<String> = ('a'..='j').map(|c| format!("x{c}-mid-z-zz")).collect();
        let once: String = names.iter().map(|name| format!("{name}: 1\r\n")).collect();
        let twice: String = names.iter().map(|name| format!("{name}: 2\r\n")).collect();
        let seen =
            described(&server, &format!("GET /describe HTTP/1.1\r\nHost: a\r\n{once}{twice}\r\n"));
        for name in names {
            let key = format!("HTTP_{}", name.to_uppercase().replace('-', "_"));
            assert_eq!(seen[&key].as_str().unwrap().replace(' ', ""), "1,2", "{key}");
        }
    });
}

#[test]
fn gives_a_later_request_nothing_of_an_earlier_one() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        let mut client = server.connect();
        client.send("POST /describe?secret HTTP/1.1\r\nHost: a\r\nX-Secret: 1\r\nAuthorization: b\r\nContent-Length: 3\r\n\r\nabc");
        client.response();
        let text = String::from_utf8(client.get("/describe").body).unwrap();
        assert!(
            !text.to_lowercase().contains("secret") && !text.contains("AUTHORIZATION"),
            "{text}"
        );
    });
}

#[test]
fn describes_the_same_request_the_same_over_both_protocols() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        let over_http = described(
            &server,
            "POST /describe/a?b=c HTTP/1.1\r\nHost: a.example\r\nX-Y: z\r\nContent-Type: text/x\r\nContent-Length: 3\r\n\r\nabc",
        );
        let own = over_http.clone();
        let var = |key: &str| own[key].as_str().unwrap().to_owned();
        let (port, peer, name) = (var("SERVER_PORT"), var("REMOTE_PORT"), var("SERVER_NAME"));
        let more = [
            ("CONTENT_LENGTH", "3"),
            ("CONTENT_TYPE", "text/x"),
            ("SERVER_PORT", &port),
            ("REMOTE_PORT", &peer),
            ("SERVER_NAME", &name),
            ("HTTP_X_Y", "z"),
        ];
        let mut bytes = packet(0, &vars("POST", "/describe/a?b=c", &more));
        bytes.extend_from_slice(b"abc");
        let over_uwsgi = ask(&server, &bytes).json()["environ"].take();
        assert_eq!(over_http, over_uwsgi);
    });
}

#[test]
fn knows_the_scheme_from_the_proxy() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        let seen = described(
            &server,
            "GET /describe HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: https\r\n\r\n",
        );
        assert_eq!(seen["wsgi.url_scheme"], "https");
        for (name, value, scheme) in [
            ("HTTPS", "on", "https"),
            ("HTTPS", "1", "https"),
            ("HTTPS", "", "http"),
            ("UWSGI_SCHEME", "https", "https"),
        ] {
            let seen = ask(&server, &packet(0, &vars("GET", "/describe", &[(name, value)]))).json();
            assert_eq!(seen["environ"]["wsgi.url_scheme"], scheme, "{name}={value}");
        }
    });
}

#[test]
fn tells_how_many_workers_and_threads_there_are() {
    for_each_mode(|mode| {
        for (processes, threads) in [("1", "1"), ("1", "2"), ("4", "1"), ("4", "2")] {
            let more = ["--master", "--processes", processes, "--threads", threads];
            let server = Server::http(mode, "describe", &more);
            let seen = described(&server, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            assert_eq!(seen["wsgi.multiprocess"], processes != "1", "{processes} {threads}");
            assert_eq!(seen["wsgi.multithread"], threads != "1", "{processes} {threads}");
            let core = &seen["uwsgi.core"];
            assert_eq!(core.is_null(), threads == "1", "{core}");
            assert!(core.as_u64().is_none_or(|core| core < 2));
        }
    });
}

/// `[pid: 1|app: 0|req: 1/1] ADDR () {N vars in N bytes} [CTIME] GET URI => ...`, digits as `#`.
fn form(line: &str) -> String {
    let mut form = String::new();
    for c in line.chars() {
        match c {
            '0'..='9' if form.ends_with('#') => {}
            '0'..='9' => form.push('#'),
            _ => form.push(c),
        }
    }
    form
}

#[test]
fn writes_the_request_line_of_uwsgi() {
    for_each_mode(|mode| {
        let server = Server::http(mode, "all_by_path", &[]);
        server.get("/hello?q");
        let line = server.log.line("GET /hello?q");
        let (before, after) = (line.find('[').unwrap(), line.find("} [").unwrap());
        assert_eq!(
            form(&line[before..after]),
            "[pid: #|app: #|req: #/#] #.#.#.# () {# vars in # bytes"
        );
        let end = line.find("] GET").unwrap();
        assert_eq!(end - (after + 3), 24, "ctime has 24 characters: {line}");
        assert_eq!(
            form(&line[end..]),
            "] GET /hello?q => generated # bytes in # msecs (HTTP/#.# #) # headers in # bytes (# switches on core #)"
        );
        assert!(
            line.contains("req: 1/1]")
                && line.contains("generated 5 bytes")
                && line.contains("(HTTP/1.1 200)"),
            "{line}"
        );
        assert!(line.starts_with(&format!("[pid: {}|", server.worker_pid())), "{line}");
        server.log.line("GET /pid");
        server.ask("POST /status/404 HTTP/1.0\r\n\r\n");
        let line = server.log.line("POST /status/404");
        assert!(line.contains("req: 3/3]") && line.contains("(HTTP/1.0 404)"), "{line}");
    });
}

#[test]
fn makes_no_second_log_line_of_what_a_peer_sends() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        let more = [("REQUEST_URI", "/x\n[pid: 1|app: 0] forged"), ("PATH_INFO", "/hello")];
        ask(&server, &packet(0, &vars("GET", "/hello", &more)));
        let line = server.log.line("forged");
        assert!(line.starts_with("[pid: ") && line.contains("\\x0a"), "{line}");
    });
}

#[test]
fn logs_what_is_asked_for_and_nothing_else() {
    for_each_mode(|mode| {
        let mut server =
            Server::http(mode, "all_by_path", &["--disable-logging", "--log-4xx", "--log-5xx"]);
        for path in ["/hello", "/status/404", "/raises/call?x"] {
            server.get(path);
        }
        server.stop(libc::SIGTERM);
        let log = server.log.text();
        let logged = |part: &str| log.contains(&format!("GET {part}"));
        assert!(!logged("/hello") && logged("/status/404") && logged("/raises/call"), "{log}");
    });
}

/// A small generator of numbers, the same in each run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % limit
    }
}

/// What the environ of a request with these fields must hold besides what all requests have.
fn joined_fields(fields: &[(String, String)]) -> std::collections::BTreeMap<String, String> {
    let mut expected = std::collections::BTreeMap::new();
    for (name, value) in fields {
        let key = format!("HTTP_{}", name.to_ascii_uppercase().replace('-', "_"));
        let separator = if key == "HTTP_COOKIE" { "; " } else { "," };
        expected
            .entry(key)
            .and_modify(|first: &mut String| *first = format!("{first}{separator}{value}"))
            .or_insert(value.clone());
    }
    expected
}

fn own_fields(environ: &Value, prefix: &str) -> std::collections::BTreeMap<String, String> {
    let fields = environ.as_object().unwrap().iter();
    fields
        .filter(|(key, _)| key.starts_with(prefix))
        .map(|(key, value)| (key.clone(), value.as_str().unwrap().to_owned()))
        .collect()
}

#[test]
fn no_field_of_one_request_shows_in_the_next() {
    for_each_mode(|mode| {
        let server = Server::shared_with(mode, &["--disable-logging"]);
        let mut client = server.connect();
        let mut numbers = Numbers(1);
        for round in 0..400 {
            // A few names, names that want the same place, more names than the table holds; some
            // of them twice.
            let kind = round % 3;
            let names = [4, 40, 4000][kind];
            let mut fields = vec![("Host".to_owned(), "a".to_owned())];
            for _ in 0..numbers.below(30) {
                let name = match numbers.below(names) {
                    0 => "Cookie".to_owned(),
                    1 => "cOOKIE".to_owned(),
                    number if kind == 1 => format!("X-C{number:03}C00CzC"),
                    number => format!("X-{number}"),
                };
                fields.push((name, numbers.below(3).to_string()));
            }
            let lines: String =
                fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
            client.send(format!("GET /describe HTTP/1.1\r\n{lines}\r\n"));
            let environ = client.response().json()["environ"].take();
            assert_eq!(own_fields(&environ, "HTTP_"), joined_fields(&fields), "round {round}");
            assert_eq!(environ.get("CONTENT_LENGTH"), None);
        }
    });
}

#[test]
fn no_variable_of_one_request_shows_in_the_next() {
    for_each_mode(|mode| {
        let server = Server::shared_with(mode, &["--disable-logging"]);
        let mut numbers = Numbers(2);
        for round in 0..300 {
            let kind = round % 3;
            let names = [4, 40, 4000][kind];
            let mut expected = std::collections::BTreeMap::new();
            let mut own: Vec<(String, String)> = Vec::new();
            for _ in 0..numbers.below(30) {
                let number = numbers.below(names);
                let name = match kind {
                    1 => format!("V_C{number:03}C00CzC"),
                    _ => format!("V_{number}"),
                };
                let value = numbers.below(3).to_string();
                expected.insert(name.clone(), value.clone());
                own.push((name, value));
            }
            let own: Vec<_> = own.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            let environ =
                ask(&server, &packet(0, &vars("GET", "/describe", &own))).json()["environ"].take();
            assert_eq!(own_fields(&environ, "V_"), expected, "round {round}");
        }
    });
}

#[test]
fn a_variable_named_like_a_key_of_all_requests_changes_its_own_request_only() {
    for_each_mode(|mode| {
        let server = Server::shared_with(mode, &["--disable-logging"]);
        let seen = |more: &[(&str, &str)]| {
            let mut environ =
                ask(&server, &packet(0, &vars("GET", "/describe", more))).json()["environ"].take();
            environ["REMOTE_PORT"].take();
            environ
        };
        let before = seen(&[]);
        let own = [("wsgi.url_scheme", "https"), ("wsgi.errors", "x"), ("uwsgi.node", "x")];
        assert_eq!(seen(&own)["wsgi.url_scheme"], "https");
        assert_eq!(seen(&[]), before);
    });
}
