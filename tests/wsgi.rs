//! PEP 3333: what an app may do, and what the server owes it.

use crate::harness::{Broken, Server, for_each_mode};

/// A GET of `/NAME/...`; the marker of a request, for its lines in the log.
fn marker(name: &str, mode: crate::harness::Mode) -> String {
    format!("{name}-{}-{}", mode.isolation, mode.io)
}

#[test]
fn takes_the_second_start_response_before_the_body() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        let response = server.get("/starts/twice");
        assert_eq!((response.status, response.text()), (201, "twice"));
        assert_eq!(response.field("x-first"), None, "the first call's fields are gone");
    });
}

#[test]
fn replaces_the_head_for_an_error_before_it_was_sent() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        let response = server.get("/starts/exc_info_before");
        assert_eq!((response.status, response.text()), (503, "sorry"));
    });
}

#[test]
fn raises_the_apps_error_again_when_the_head_was_sent() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        let mut client = server.connect();
        client.send("GET /starts/exc_info_after HTTP/1.1\r\nHost: a\r\n\r\n");
        match client.try_response() {
            Err(Broken::Closed(seen)) => assert!(String::from_utf8_lossy(&seen).contains("some")),
            other => panic!("the response must be seen to be cut: {other:?}"),
        }
        server.log.line("ValueError: after the head");
    });
}

#[test]
fn refuses_a_second_start_response_after_the_head() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        let response = server.get("/starts/twice_after");
        assert_eq!(response.text(), "first OSError OSError");
    });
}

#[test]
fn sends_what_is_written_with_write_before_the_rest() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        let response = server.get("/writes");
        assert_eq!((response.status, response.text()), (200, "one two three"));
    });
}

#[test]
fn answers_500_to_an_app_that_never_starts_a_response() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        let mut client = server.connect();
        assert_eq!(client.get("/starts/never").status, 500);
        assert_eq!(client.get("/starts/never_and_no_body").status, 500);
        assert_eq!(client.get("/starts/returns_none").status, 500);
        client.assert_open();
    });
}

#[test]
fn answers_500_and_writes_the_traceback_once_when_an_app_raises() {
    for_each_mode(|mode| {
        let server = Server::http(mode, "all_by_path", &[]);
        for place in ["call", "after_start", "first"] {
            let mark = marker(place, mode);
            let mut client = server.connect();
            let response = client.get(&format!("/raises/{place}?{mark}"));
            assert_eq!(response.status, 500, "{place}");
            assert!(!response.text().contains("Traceback"), "{place}");
            client.assert_open();
            server.log.line(&format!("GET /raises/{place}?{mark} =>"));
            let log = server.log.text();
            assert_eq!(log.matches(&format!("RuntimeError: {mark}")).count(), 1, "{place}:\n{log}");
        }
        assert_eq!(server.log.text().matches("Traceback (most recent call last):").count(), 3);
    });
}

#[test]
fn sends_the_traceback_where_that_is_asked_for() {
    for_each_mode(|mode| {
        let server = Server::http(mode, "all_by_path", &["--catch-exceptions"]);
        let mark = marker("shown", mode);
        let response = server.get(&format!("/raises/call?{mark}"));
        assert_eq!(response.status, 500);
        let text = response.text();
        assert!(text.starts_with("Traceback (most recent call last):"), "{text}");
        assert!(text.ends_with(&format!("RuntimeError: {mark}\n")), "{text}");
        server.log.line(&format!("RuntimeError: {mark}"));
    });
}

#[test]
fn cuts_the_response_of_an_app_that_raises_after_the_first_byte() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        let mark = marker("later", mode);
        for version in ["1.1", "1.0"] {
            let mut client = server.connect();
            client.send(format!("GET /raises/later?{mark} HTTP/{version}\r\nHost: a\r\n\r\n"));
            let end = client.try_response();
            match version {
                "1.1" => assert!(matches!(end, Err(Broken::Closed(_))), "{end:?}"),
                // Its end by closing would look complete.
                _ => assert!(matches!(end, Err(Broken::Reset)), "{end:?}"),
            }
            server.log.line(&format!("RuntimeError: {mark}"));
        }
        let mut client = server.connect();
        client.send(format!("GET /raises/later?{mark}-length HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert!(client.try_response().is_err(), "fewer bytes than its length says");
    });
}

#[test]
fn goes_on_after_exceptions_that_are_no_errors() {
    for_each_mode(|mode| {
        let server = Server::http(mode, "all_by_path", &[]);
        for kind in
            ["SystemExit", "KeyboardInterrupt", "GeneratorExit", "RecursionError", "MemoryError"]
        {
            let mut client = server.connect();
            client.send(format!("GET /raises_kind/{kind} HTTP/1.1\r\nHost: a\r\n\r\n"));
            assert_eq!(client.response().status, 500, "{kind}");
            assert_eq!(server.get("/hello").text(), "hello", "{kind}");
        }
    });
}

#[test]
fn calls_close_whatever_happened() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        for end in ["whole", "raises", "raises_first", "length_small", "head_only"] {
            let mark = marker(end, mode);
            let mut client = server.connect();
            let method = if end == "head_only" { "HEAD" } else { "GET" };
            client.send(format!("{method} /closes/{end}?{mark} HTTP/1.1\r\nHost: a\r\n\r\n"));
            server.log.line(&format!("closed {mark}"));
            server.log.line(&format!("{method} /closes/{end}?{mark} =>"));
            assert_eq!(server.log.text().matches(&format!("closed {mark}")).count(), 1);
        }
    });
}

#[test]
fn calls_close_when_the_client_has_left() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        for resets in [true, false] {
            let mark = marker(if resets { "reset" } else { "left" }, mode);
            let mut client = server.connect();
            client.send(format!("GET /closes/endless?{mark} HTTP/1.1\r\nHost: a\r\n\r\n"));
            client.peek().unwrap();
            if resets {
                client.reset()
            } else {
                drop(client)
            }
            server.log.line(&format!("closed {mark}"));
            assert_eq!(server.get("/hello").text(), "hello");
        }
    });
}

#[test]
fn logs_an_error_in_close_and_keeps_the_answer() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        let mark = marker("close_raises", mode);
        let response = server.get(&format!("/closes/close_raises?{mark}"));
        assert_eq!(response.text(), "part1part2");
        server.log.line(&format!("RuntimeError: in close {mark}"));
        assert_eq!(server.get("/hello").text(), "hello");
    });
}

#[test]
fn cuts_a_body_that_is_longer_than_its_length() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        for kind in ["list", "generator", "write", "large"] {
            let mut client = server.connect();
            let response = client.get(&format!("/length/too_small/{kind}"));
            assert_eq!(response.text(), "12345", "{kind}");
            client.assert_open();
        }
    });
}

#[test]
fn closes_when_a_body_is_shorter_than_its_length() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        for kind in ["list", "generator", "write", "empty"] {
            let mut client = server.connect();
            client.send(format!("GET /length/too_large/{kind} HTTP/1.1\r\nHost: a\r\n\r\n"));
            let end = client.try_response();
            assert!(matches!(end, Err(Broken::Closed(_))), "{kind}: {end:?}");
        }
        server.log.line("the app promised 1000 bytes");
    });
}

#[test]
fn drops_hop_by_hop_headers_and_refuses_them_when_strict() {
    for_each_mode(|mode| {
        let fields = ["Connection", "Keep-Alive", "TE", "Trailer", "Upgrade", "Proxy-Authenticate"];
        let (loose, strict) = (Server::shared(mode), Server::shared_with(mode, &["--wsgi-strict"]));
        for name in fields {
            let path = format!("/header?{name}&x");
            let response = loose.get(&path);
            assert_eq!((response.status, response.field(name)), (200, None), "{name}");
            assert_eq!(strict.get(&path).status, 500, "{name}");
        }
        assert_eq!(loose.get("/header?Transfer-Encoding&chunked").status, 500);
    });
}

#[test]
fn refuses_headers_that_would_break_the_response() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        let mut client = server.connect();
        for path in [
            "X-A&a%0D%0AX-B: c",
            "X-A&a%0Ab",
            "X-A&a%0Db",
            "X-A&%00",
            "X A&b",
            "&b",
            "X:&b",
            "X%0D%0AY&b",
            "X-A&%E2%82%AC",
            "%E2%82%AC&a",
            "Content-Length&x",
            "Content-Length&-1",
        ] {
            let path = path.replace(' ', "%20");
            let response = client.get(&format!("/header?{path}"));
            assert_eq!(response.status, 500, "{path}");
            assert!(response.fields.iter().all(|(name, _)| !name.eq_ignore_ascii_case("x-b")));
        }
        for path in ["200 OK%0D%0AX-B: c", "20", "2000 OK", "abc", "200-OK", "%E2%82%AC"] {
            let path = path.replace(' ', "%20");
            assert_eq!(client.get(&format!("/header/status?{path}")).status, 500, "{path}");
        }
        assert_eq!(client.get("/header?X-A&%E9%20%2B").field("x-a"), Some("é +"));
        assert_eq!(client.get("/header/types").text(), "TypeError TypeError TypeError TypeError");
        client.assert_open();
    });
}

#[test]
fn fills_in_the_phrase_of_a_bare_status() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        assert_eq!(server.get("/header/status?404").reason, "Not Found");
    });
}

#[test]
fn reads_wsgi_input_in_every_way() {
    let body: String = (0..3000).map(|n| format!("line {n} {}\n", "y".repeat(n % 97))).collect();
    let body = body + "no end";
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        let length = body.len();
        let expected = server
            .ask(format!(
                "POST /reads/read HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}"
            ))
            .text()
            .to_owned();
        assert!(expected.starts_with(&format!("{length} ")), "{expected}");
        for way in [
            "read_n",
            "read_none",
            "readline",
            "readline_hint",
            "readlines",
            "readlines_hint",
            "iterate",
            "mixed",
        ] {
            for chunk in [7, 1000, 100_000, 400_000] {
                let mut client = server.connect();
                client.send(format!(
                    "POST /reads/{way} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                ));
                for piece in body.as_bytes().chunks(chunk) {
                    let mut coded = format!("{:x}\r\n", piece.len()).into_bytes();
                    coded.extend_from_slice(piece);
                    coded.extend_from_slice(b"\r\n");
                    client.send(coded);
                }
                client.send("0\r\n\r\n");
                assert_eq!(client.response().text(), expected, "{way} {chunk}");
            }
        }
    });
}

#[test]
fn reads_nothing_behind_the_end_of_the_body() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        let mut client = server.connect();
        client.send("POST /reads/past_end HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.response().text(), "b'abc' b'' b'' [] []");
        assert_eq!(client.response().text(), "hello");
        assert_eq!(client.get("/reads/past_end").text(), "b'' b'' b'' [] []");
    });
}

#[test]
fn gives_a_seekable_input_with_post_buffering() {
    for_each_mode(|mode| {
        let server = Server::shared_with(mode, &["--post-buffering", "4096"]);
        for length in [5_000, 100_000, 1_000_000] {
            let body: String = (0..length).map(|n| char::from(b'a' + (n % 26) as u8)).collect();
            let response = server.ask(format!(
                "POST /reads/seek HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}"
            ));
            assert_eq!(
                response.text(),
                format!("{length} {length} abc {}", &body[10..13]),
                "{length}"
            );
        }
        assert_eq!(server.get("/hello").text(), "hello");
    });
}

#[test]
fn refuses_to_seek_without_post_buffering() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        let response = server.ask("POST /reads/seek HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\nabcdefghijklmnopqrst");
        assert_eq!(response.status, 500);
        server.log.line("OSError");
    });
}

#[test]
fn encodes_a_str_with_one_warning_and_refuses_it_when_strict() {
    for_each_mode(|mode| {
        let server = Server::http(mode, "all_by_path", &[]);
        for _ in 0..3 {
            assert_eq!(server.get("/returns/str_in_list").text(), "h\u{e9}llo");
        }
        server.log.line("GET /returns/str_in_list");
        let log = server.log.text();
        assert_eq!(log.matches("encode").count(), 1, "one warning that names the fix:\n{log}");
        let strict = Server::shared_with(mode, &["--wsgi-strict"]);
        assert_eq!(strict.get("/returns/str_in_list").status, 500);
    });
}

#[test]
fn sends_every_kind_of_iterable() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        for kind in [
            "bytes",
            "list",
            "tuple",
            "generator",
            "iterator_class",
            "getitem_class",
            "list_subclass",
            "bytearray_no",
            "empty_list",
            "none_in_list",
        ] {
            let response = server.get(&format!("/returns/{kind}"));
            match kind {
                "empty_list" => assert_eq!((response.status, response.text()), (200, "")),
                "bytearray_no" => assert!(response.status == 500 || response.text() == "hello"),
                _ => assert_eq!((response.status, response.text()), (200, "hello"), "{kind}"),
            }
        }
    });
}

#[test]
fn closes_iterables_that_are_subclasses_of_list() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        assert_eq!(server.get("/returns/list_subclass").text(), "hello");
        server.log.line("list subclass closed");
    });
}

#[test]
fn gives_each_request_an_environ_of_its_own() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        server.get("/keeps_environ?first");
        let response = server.get("/keeps_environ?second");
        assert_eq!(response.text(), "first second");
    });
}

#[test]
fn satisfies_the_validator_of_the_standard_library() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        let mut client = server.connect();
        for request in [
            "GET /validated?a=b HTTP/1.1\r\nHost: a\r\n\r\n",
            "POST /validated HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\na\nbc\ndefg",
            "POST /validated HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n4\r\na\nbc\r\n0\r\n\r\n",
        ] {
            client.send(request);
            let response = client.response();
            assert_eq!(response.status, 200, "{request}");
        }
        client.send("HEAD /validated HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.response_to_head().status, 200);
    });
}

#[test]
fn loses_no_output_of_print() {
    for_each_mode(|mode| {
        let mut server = Server::http(mode, "all_by_path", &[]);
        for number in 0..50 {
            server.get(&format!("/prints?{number}"));
        }
        server.stop(libc::SIGTERM);
        let log = server.log.text();
        for number in 0..50 {
            for place in ["out", "err", "wsgi.errors", "unfinished"] {
                assert_eq!(
                    log.matches(&format!("<{place} {number}>")).count(),
                    1,
                    "{place} {number}\n{log}"
                );
            }
        }
    });
}

#[test]
fn serves_an_app_given_as_a_class_or_an_instance() {
    for_each_mode(|mode| {
        for callable in ["AsClass", "instance", "function"] {
            let server = Server::http(mode, "callables", &["--callable", callable]);
            assert_eq!(server.get("/").text(), callable);
        }
    });
}

#[test]
fn an_iterator_of_what_is_here_already_has_a_length() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        let mut client = server.connect();
        for count in [0, 1, 2, 3, 400] {
            let response = client.get(&format!("/iterates_a_list?{count}"));
            let expected: String = (0..count).map(|number| format!("piece {number},")).collect();
            assert_eq!(response.text(), expected);
            assert_eq!(response.field("content-length"), Some(expected.len().to_string().as_str()));
            server.log.line(&format!("closed {count}"));
        }
        client.send("HEAD /iterates_a_list?3 HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.response_to_head().status, 200);
        client.assert_open();
    });
}
