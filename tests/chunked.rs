//! Transfer codings: chunked requests, chunked responses.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Client, Response, Server, for_each_mode};

fn chunks(sizes: &[usize]) -> Vec<u8> {
    let mut coded =
        b"POST /sink HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for &size in sizes {
        coded.extend_from_slice(format!("{size:X}\r\n").as_bytes());
        coded.extend(std::iter::repeat_n(b'x', size));
        coded.extend_from_slice(b"\r\n");
    }
    coded.extend_from_slice(b"0\r\n\r\n");
    coded
}

#[test]
fn reads_chunked_bodies_of_all_sizes() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        let mut client = server.connect();
        for sizes in [&[1][..], &[], &[65_536, 1, 262_144, 5], &[700_000], &[1; 500]] {
            client.send(chunks(sizes));
            let total: usize = sizes.iter().sum();
            let response = client.response();
            assert!(response.text().starts_with(&format!("{total} ")), "{}", response.text());
        }
        client.assert_open();
    });
}

#[test]
fn goes_on_with_chunks_that_are_here_when_no_more_come() {
    // The framing of so small chunks takes a third of the bytes: what of the body fits into a slot
    // is in the server's buffer before it is taken out, and nothing comes after it.
    let body = chunks(&[13; 24_000]);
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        let response = server.ask(&body);
        assert!(response.text().starts_with("312000 "), "{}", response.text());
    });
}

#[test]
fn says_that_a_chunked_body_ends_by_itself() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        let response = server.ask(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        );
        let seen = response.json();
        assert_eq!(
            (&seen["body"], &seen["environ"]["wsgi.input_terminated"]),
            (&"abc".into(), &true.into())
        );
    });
}

#[test]
fn finds_the_next_request_behind_chunks_that_nobody_read() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        let mut client = server.connect();
        let unread =
            String::from_utf8(chunks(&[3, 50_000])).unwrap().replace("/sink", "/ignores_input");
        client.send(format!("{unread}GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(client.response().text(), "not read");
        assert_eq!(client.response().text(), "hello");
    });
}

#[test]
fn tells_the_app_of_a_broken_chunk_far_behind() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        let mut client = server.connect();
        let mut coded = chunks(&[600_000]);
        let end = coded.len() - 5;
        coded.truncate(end);
        coded.extend_from_slice(b"zz\r\nGET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
        let _ = client.try_send(&coded);
        let response = client.response();
        assert!(response.status == 400 || response.status == 500, "{response:?}");
        client.assert_closed();
    });
}

#[test]
fn sends_what_a_generator_yields_in_chunks_as_it_comes() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        let directory = crate::harness::scratch();
        let (first, second) = (directory.path().join("1"), directory.path().join("2"));
        let mut client = server.connect();
        let path = format!("/steps?{}&{}", first.display(), second.display());
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let head = client.head().unwrap();
        assert_eq!(head.field("transfer-encoding"), Some("chunked"));
        // Each piece is here before the app goes on.
        assert_eq!(client.read_exact(10), b"5\r\nstart\r\n");
        std::fs::write(&first, "").unwrap();
        assert_eq!(client.read_exact(10), b"5\r\nstep1\r\n");
        std::fs::write(&second, "").unwrap();
        assert_eq!(client.read_exact(15), b"5\r\nstep2\r\n0\r\n\r\n");
        client.assert_open();
    });
}

#[test]
fn sends_no_empty_chunk_before_the_end() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        let response = server.get("/yields_empty");
        assert_eq!(response.text(), "ab");
        assert!(!response.chunks.contains(&0));
    });
}

#[test]
fn sends_no_chunks_to_http_1_0() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        let mut client = server.connect();
        client.send("GET /large/5000/10 HTTP/1.0\r\n\r\n");
        let response = client.response();
        assert_eq!((response.field("transfer-encoding"), response.body.len()), (None, 5000));
    });
}

/// A request for `reads_chunks`, with more than waits for its end before the app is called.
fn begin(client: &mut Client, path: &str) {
    let head = "HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    client.send(format!("POST /reads_chunks/{path} {head}"));
    client.send(format!("{BEGIN_BYTES:x}\r\n{}\r\n", "-".repeat(BEGIN_BYTES)));
}

const BEGIN_BYTES: usize = 300_000;

/// The pieces behind the long beginning, and how often nothing had come.
fn pieces(response: &Response) -> (String, usize) {
    let pieces = response.json();
    let pieces = pieces.as_array().unwrap();
    let nothing = pieces.iter().filter(|piece| piece.is_null()).count();
    let text: String = pieces.iter().filter_map(Value::as_str).collect();
    (text.trim_start_matches('-').to_owned(), nothing)
}

#[test]
fn gives_chunks_to_uwsgi_chunked_read_as_they_come() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        let mut client = server.connect();
        begin(&mut client, "40");
        for chunk in ["3\r\none\r\n", "3\r\ntwo\r\n", "0\r\n\r\n"] {
            std::thread::sleep(Duration::from_millis(50));
            client.send(chunk);
        }
        assert_eq!(pieces(&client.response()), ("onetwo".to_owned(), 0), "{mode}");

        begin(&mut client, "500/now");
        std::thread::sleep(Duration::from_millis(100));
        client.send("3\r\none\r\n0\r\n\r\n");
        let (text, nothing) = pieces(&client.response());
        assert!(text == "one" && nothing > 0, "{mode}: {text}, {nothing} times nothing");

        begin(&mut client, "40/9000000000000000000");
        client.send("3\r\none\r\n0\r\n\r\n");
        assert!(pieces(&client.response()).0.starts_with("one"), "{mode}");

        begin(&mut client, "10/1");
        std::thread::sleep(Duration::from_millis(2_500));
        client.send("3\r\none\r\n0\r\n\r\n");
        let (text, _) = pieces(&client.response());
        assert!(text.starts_with(NOT_RECEIVED) && text.ends_with("one"), "{mode}: {text}");

        // Small bodies are whole before the app is called, and without one there is no wait.
        client.send("POST /reads_chunks/3 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
        assert_eq!(client.response().json(), json!(["abc", "", ""]), "{mode}");
        assert_eq!(client.get("/reads_chunks/2").json(), json!(["", ""]), "{mode}");
        client.assert_open();
    });
}

const NOT_RECEIVED: &str = "OSError('unable to receive chunked part')";

#[test]
fn tells_chunked_read_that_a_body_breaks_off() {
    for_each_mode(|mode| {
        let server = Server::http(mode, "all_by_path", &[]);
        let mut client = server.connect();
        begin(&mut client, "20");
        client.send("5\r\ntw");
        client.half_close();
        let line = server.log.line(NOT_RECEIVED);
        assert!(line.starts_with("pieces: ['--"), "{mode}: {line}");
        assert_eq!(server.get("/hello").text(), "hello", "{mode}");
    });
}
