//! HTTP heads, bodies and limits, as peers send them: well and badly.

use std::path::PathBuf;

use crate::harness::{Broken, Server, for_each_mode, tests_path};

/// A file of `tests/requests/`.
struct Case {
    name: String,
    bytes: Vec<u8>,
    expected: Vec<(String, String)>,
}

impl Case {
    fn value(&self, key: &str) -> Option<&str> {
        self.expected.iter().find(|(k, _)| k == key).map(|(_, value)| value.as_str())
    }
}

fn corpus(folder: &str) -> Vec<Case> {
    let entries = std::fs::read_dir(tests_path("requests").join(folder)).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "http"));
    paths.sort();
    let case = |path: PathBuf| {
        let text = std::fs::read_to_string(path.with_extension("expect")).unwrap();
        let line = |line: &str| line.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned()));
        Case {
            name: path.file_stem().unwrap().to_string_lossy().into_owned(),
            bytes: std::fs::read(&path).unwrap(),
            expected: text.lines().map(|l| line(l).unwrap()).collect(),
        }
    };
    paths.into_iter().map(case).collect()
}

#[test]
fn refuses_every_invalid_request_of_the_corpus_and_closes() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        for case in corpus("invalid") {
            let mut client = server.connect();
            // A large one may be refused before all of it was sent.
            let _ = client.try_send(&case.bytes);
            let response = match client.try_response() {
                Ok(response) => response,
                Err(broken) => panic!("{}: {broken:?}", case.name),
            };
            let status = response.status.to_string();
            assert_eq!(Some(status.as_str()), case.value("status"), "{}: {response:?}", case.name);
            assert!(response.closes(), "{}: {response:?}", case.name);
            client.assert_closed();
        }
    });
}

#[test]
fn serves_every_valid_request_of_the_corpus() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        for case in corpus("valid") {
            if case.value("state") == Some("partial") {
                continue;
            }
            let mut client = server.connect();
            client.send(&case.bytes);
            let is_head = case.value("method") == Some("HEAD");
            let mut read = || if is_head { client.response_to_head() } else { client.response() };
            // A body that is here already needs no invitation, but may get one.
            let response = match (case.value("continues"), read()) {
                (Some("yes"), interim) if interim.status == 100 => read(),
                (_, response) => response,
            };
            assert_eq!(response.status, 200, "{}: {response:?}", case.name);
            if !is_head {
                check_description(&case, &response.json());
            }
        }
    });
}

/// Compares what the app was given with the expectation.
fn check_description(case: &Case, seen: &serde_json::Value) {
    let environ = &seen["environ"];
    let escaped = |value: &serde_json::Value| {
        let text = value.as_str().unwrap_or("");
        let bytes: Vec<u8> = text.chars().map(|c| u8::try_from(c).unwrap()).collect();
        bytes.escape_ascii().to_string()
    };
    let pairs = [
        ("method", &environ["REQUEST_METHOD"]),
        ("target", &environ["REQUEST_URI"]),
        ("query", &environ["QUERY_STRING"]),
        ("body", &seen["body"]),
    ];
    for (key, value) in pairs {
        if let Some(expected) = case.value(key) {
            assert_eq!(escaped(value), expected, "{}: {key}", case.name);
        }
    }
    if case.value("encoded") == Some("no") {
        let expected = case.value("path").unwrap_or("");
        assert_eq!(escaped(&environ["PATH_INFO"]), expected, "{}: path", case.name);
    }
    if let Some(version) = case.value("version") {
        assert_eq!(environ["SERVER_PROTOCOL"], format!("HTTP/{version}"), "{}", case.name);
    }
}

#[test]
fn waits_for_the_rest_of_an_unfinished_request() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        for case in corpus("valid") {
            if case.value("state") != Some("partial") {
                continue;
            }
            let mut client = server.connect();
            client.send(&case.bytes);
            client.half_close();
            // Nothing complete came, so nothing is answered as if it had.
            match client.try_response() {
                Err(Broken::Closed(_)) => {}
                Ok(response) => assert!(response.status >= 400, "{}: {response:?}", case.name),
                Err(broken) => panic!("{}: {broken:?}", case.name),
            }
        }
    });
}

#[test]
fn gives_the_same_answer_wherever_a_request_is_cut() {
    let request = b"POST /describe?q=1 HTTP/1.1\r\nHost: a.example\r\nX-Y: z\r\nContent-Length: 5\r\n\r\nabcde\
                    GET /hello HTTP/1.1\r\nHost: b\r\n\r\n";
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        let mut probe = server.connect();
        for cut in 1..request.len() {
            let mut client = server.connect();
            client.send(&request[..cut]);
            // An answer on another connection: the server has had time to see the first part.
            probe.assert_open();
            client.send(&request[cut..]);
            let first = client.response();
            assert_eq!(first.json()["body"], "abcde", "cut at {cut}");
            assert_eq!(client.response().text(), "hello", "cut at {cut}");
        }
    });
}

#[test]
fn reads_a_request_that_comes_byte_by_byte() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        let mut client = server.connect();
        for byte in b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc" {
            client.send([*byte]);
        }
        assert_eq!(client.response().json()["body"], "abc");
        client.assert_open();
    });
}

#[test]
fn answers_a_client_that_has_half_closed() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        for request in [
            "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n",
            "POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab",
        ] {
            let mut client = server.connect();
            client.send(request);
            client.half_close();
            assert_eq!(client.response().text(), "hello");
            client.assert_closed();
        }
    });
}

#[test]
fn answers_a_half_closed_client_after_a_slow_app_and_with_a_large_body() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        let mut client = server.connect();
        client.send("GET /large/3000000/60000 HTTP/1.1\r\nHost: a\r\n\r\n");
        client.half_close();
        assert_eq!(client.response().body.len(), 3_000_000);
        client.assert_closed();
    });
}

#[test]
fn sends_no_body_to_a_head_request() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        let mut client = server.connect();
        for (path, length) in [
            ("/hello", Some("5")),
            ("/large/9000/100?length", Some("9000")),
            ("/large/9000/100", None),
        ] {
            client.send(format!("HEAD {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
            let response = client.response_to_head();
            assert_eq!(response.status, 200);
            if length.is_some() && response.field("content-length").is_some() {
                assert_eq!(response.field("content-length"), length, "{path}");
            }
            client.assert_open();
        }
    });
}

#[test]
fn sends_neither_body_nor_framing_with_statuses_that_have_none() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        let mut client = server.connect();
        for path in ["204", "304", "204?generated", "304?generated", "204?length", "304?length"] {
            let response = client.get(&format!("/status/{path}"));
            assert_eq!(response.status.to_string(), path[..3], "{path}");
            assert_eq!(response.reason, "Because");
            assert_eq!(response.field("transfer-encoding"), None, "{path}");
            assert!(response.body.is_empty());
            client.assert_open();
        }
    });
}

#[test]
fn invites_a_body_that_waits_for_100_continue() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        let mut client = server.connect();
        for framing in ["Content-Length: 3", "Transfer-Encoding: chunked"] {
            client.send(format!(
                "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n{framing}\r\n\r\n"
            ));
            let interim = client.head().unwrap();
            assert_eq!((interim.status, interim.fields.len()), (100, 0));
            client.send(if framing.ends_with('3') { "abc" } else { "3\r\nabc\r\n0\r\n\r\n" });
            assert_eq!(client.response().json()["body"], "abc");
        }
        client.assert_open();
    });
}

#[test]
fn sends_no_100_continue_to_http_1_0_nor_when_the_body_is_there() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        let whole =
            "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc";
        assert_eq!(server.ask(whole).json()["body"], "abc");
        let mut client = server.connect();
        client.send("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
        server.get("/hello");
        client.send("abc");
        assert_eq!(client.response().json()["body"], "abc");
    });
}

#[test]
fn answers_413_to_a_body_over_the_limit() {
    for_each_mode(|mode| {
        let server = Server::shared_with(mode, &["--limit-post", "1000"]);
        let within = format!(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n{}",
            "x".repeat(1000)
        );
        assert_eq!(server.ask(within).status, 200);
        for request in [
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n".to_owned(),
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\nExpect: 100-continue\r\n\r\n"
                .to_owned(),
            format!(
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3E9\r\n{}",
                "x".repeat(1001)
            ),
        ] {
            let mut client = server.connect();
            client.send(request);
            let response = client.response();
            assert_eq!(response.status, 413);
            assert!(response.closes());
            client.assert_closed();
        }
    });
}

#[test]
fn answers_431_and_414_at_the_limit_of_buffer_size() {
    for_each_mode(|mode| {
        let server = Server::shared_with(mode, &["--buffer-size", "2000"]);
        let request = |path: usize, field: usize| {
            format!(
                "GET /{} HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
                "p".repeat(path),
                "x".repeat(field)
            )
        };
        assert_eq!(server.ask(request(10, 1800)).status, 200);
        for (path, field, status) in [(10, 2100, 431), (2100, 10, 414), (10, 200_000, 431)] {
            let mut client = server.connect();
            let _ = client.try_send(request(path, field).as_bytes());
            let response = client.response();
            assert_eq!(response.status, status, "{path} {field}");
            client.assert_closed();
        }
    });
}

#[test]
fn answers_408_to_a_head_that_does_not_come_in_time() {
    for_each_mode(|mode| {
        let server = Server::shared_with(mode, &["--http-headers-timeout", "1"]);
        let mut slow = server.connect();
        slow.send("GET / HTTP/1.1\r\nHos");
        let mut silent = server.connect();
        let response = slow.response();
        assert_eq!(response.status, 408);
        slow.assert_closed();
        // One that said nothing has asked nothing: no answer, only the end.
        silent.assert_closed();
    });
}

#[test]
fn answers_408_to_a_head_that_comes_by_drops() {
    for_each_mode(|mode| {
        let server = Server::shared_with(mode, &["--http-headers-timeout", "1"]);
        let mut client = server.connect();
        client.send("GET / HTTP/1.1\r\nHost: a\r\nX: ");
        // Each drop comes well within the limit, the whole never does.
        let mut other = server.connect();
        while client.try_send(b"x").is_ok() {
            other.assert_open();
            if client.has_answer() {
                break;
            }
        }
        assert_eq!(client.response().status, 408);
    });
}

#[test]
fn answers_408_to_a_body_that_stops() {
    for_each_mode(|mode| {
        let server = Server::shared_with(mode, &["--http-timeout", "1"]);
        let mut client = server.connect();
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab");
        assert_eq!(client.response().status, 408);
        client.assert_closed();
        assert_eq!(server.get("/hello").text(), "hello", "the worker is free");
    });
}

#[test]
fn tells_the_app_of_a_long_body_that_stops() {
    for_each_mode(|mode| {
        let server = Server::shared_with(mode, &["--http-timeout", "1"]);
        let mut client = server.connect();
        client.send("POST /sink HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
        client.send("x".repeat(600_000));
        // The app's read raises; it gets the ordinary end of an app that raised.
        let response = client.response();
        assert!(response.status == 500 || response.status == 408, "{response:?}");
        assert_eq!(server.get("/hello").text(), "hello", "the worker is free");
    });
}

#[test]
fn shows_an_early_answer_to_a_client_that_still_uploads() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        for sent in [0, 1_000, 300_000, 2_000_000] {
            let mut client = server.connect();
            client.send(
                "POST /ignores_input HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n",
            );
            // The server may stop reading in the middle.
            let _ = client.try_send("x".repeat(sent).as_bytes());
            let _ = client.try_send("x".repeat(300_000).as_bytes());
            let response = client.response();
            assert_eq!((response.status, response.text()), (403, "not read"), "{sent}");
            assert!(response.closes());
        }
    });
}

#[test]
fn never_takes_an_unread_body_for_a_request() {
    let smuggled = "GET /status/299 HTTP/1.1\r\nHost: a\r\n\r\n";
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        let mut client = server.connect();
        for framing in [
            format!("Content-Length: {}\r\n\r\n{smuggled}", smuggled.len()),
            format!(
                "Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{smuggled}\r\n0\r\n\r\n",
                smuggled.len()
            ),
        ] {
            client.send(format!("POST /ignores_input HTTP/1.1\r\nHost: a\r\n{framing}"));
            assert_eq!(client.response().text(), "not read");
            client.assert_open();
        }
    });
}

#[test]
fn dates_every_response() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        let response = server.get("/hello");
        let date = response.field("date").expect("RFC 9110, 6.6.1");
        assert!(httpdate::parse_http_date(date).is_ok(), "{date}");
    });
}
