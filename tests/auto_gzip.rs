//! `http-auto-gzip`: bodies of apps that ask for it are compressed.

use std::io::Read;

use flate2::read::GzDecoder;

use crate::harness::{Mode, Response, Server, app, eventually, for_each_mode, packet, scratch};

const ON: &[&str] = &["--http-auto-gzip", "--socket", "127.0.0.1:0"];

fn ask(server: &Server, target: &str, accepts: &str) -> Response {
    let accepts = format!("Accept-Encoding: {accepts}\r\n");
    server.ask(format!("GET {target} HTTP/1.1\r\nHost: a\r\n{accepts}\r\n"))
}

/// The body as the client reads it, and the fields that say how it came.
fn read(response: &Response) -> (String, Option<&str>, Option<&str>) {
    assert_eq!(response.field("uwsgi-encoding"), None);
    let coding = response.field("content-encoding");
    let mut text = String::new();
    match coding {
        Some(_) => GzDecoder::new(&response.body[..]).read_to_string(&mut text).unwrap(),
        None => (&response.body[..]).read_to_string(&mut text).unwrap(),
    };
    (text, coding, response.field("vary"))
}

#[test]
fn bodies_are_compressed_for_those_who_take_it() {
    let text = "compressible ".repeat(400);
    let program = std::fs::read_to_string(app("compressible")).unwrap();
    let varies = Some("Accept-Encoding");
    for_each_mode(|mode| {
        let server = Server::http(mode, "compressible", ON);
        for (path, expected) in [
            ("/list", text.as_str()),
            ("/write", &format!("{text}end")),
            ("/file", &program),
            ("/pieces", "one two"),
        ] {
            let response = ask(&server, path, "br, GZIP;q=0.5");
            assert_eq!(read(&response), (expected.to_owned(), Some("gzip"), varies), "{path}");
            assert_eq!(response.field("content-length"), None);
            for accepts in ["", "br", "gzip;q=0"] {
                let response = ask(&server, path, accepts);
                assert_eq!(read(&response), (expected.to_owned(), None, varies), "{path}");
            }
        }
        let large = ask(&server, "/large", "gzip");
        let (text, coding, _) = read(&large);
        assert_eq!((text.len(), coding), (4 << 20, Some("gzip")));
        assert!(large.body.len() < 3 << 20, "{}", large.body.len());
        let line = server.log.line("GET /list ");
        assert!(line.contains(" 3 headers in "), "{line}");
    });
}

#[test]
fn some_answers_stay_as_they_are() {
    for_each_mode(|mode| {
        let server = Server::http(mode, "compressible", ON);
        let plain = |target: &str| {
            let response = ask(&server, target, "gzip");
            assert_eq!(response.field("uwsgi-encoding"), None, "{target}");
            let coding = response.field("content-encoding").map(str::to_owned);
            (response.status, response.body.len(), coding, response.field("vary").is_some())
        };
        // uWSGI: the app has said how long it is.
        assert_eq!(plain("/list?Content-Length=5200"), (200, 5200, None, false));
        let br = Some("br".to_owned());
        assert_eq!(plain("/list?Content-Encoding=br"), (200, 5200, br, false));
        assert_eq!(plain("/list?Content-Range=bytes%200-5199/9999"), (200, 5200, None, false));
        assert_eq!(plain("/empty"), (200, 0, None, false));
        assert_eq!(plain("/204-No-Content"), (204, 0, None, false));
        assert_eq!(plain("/304-Not-Modified"), (304, 0, None, true));
        let response = ask(&server, "/list?ETag=%22a%22", "gzip");
        assert_eq!(response.field("etag"), Some("W/\"a\""));
        assert_eq!(ask(&server, "/list?Vary=*", "gzip").field("vary"), Some("*"));

        // The server in front compresses, and is told.
        let accepts = [("HTTP_ACCEPT_ENCODING", "gzip")];
        let vars = packet::vars("GET", "/list", &accepts);
        let response = packet::ask(&server, &packet::packet(0, &vars));
        assert_eq!(response.field("uwsgi-encoding"), Some("gzip"));
        assert_eq!((response.field("content-encoding"), response.body.len()), (None, 5200));
    });
    let off = Server::http(Mode::ANY, "compressible", &[]);
    assert_eq!(ask(&off, "/list", "gzip").field("uwsgi-encoding"), Some("gzip"));
}

#[test]
fn a_head_an_old_client_and_a_broken_body_are_framed_as_they_must() {
    for_each_mode(|mode| {
        let server = Server::http(mode, "compressible", ON);
        let mut client = server.connect();
        client.send("HEAD /list HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n");
        let head = client.response_to_head();
        assert_eq!((head.field("content-encoding"), head.body.len()), (Some("gzip"), 0));
        assert_eq!(client.get("/list").body.len(), 5200);

        let old = server.ask("GET /list HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n");
        assert_eq!(read(&old).0.len(), 5200);
        assert!(old.field("transfer-encoding").is_none() && old.closes());

        let mut client = server.connect();
        client.send("GET /raises HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n");
        assert!(client.try_response().is_err(), "the end of the body is missing");
        assert_eq!(ask(&server, "/list", "gzip").status, 200);
    });
}

#[test]
fn each_piece_can_be_read_at_once() {
    for_each_mode(|mode| {
        let directory = scratch();
        let next = directory.path().join("next");
        let more = [ON, &["--add-header", "uWSGI-Encoding: gzip"]].concat();
        let server = Server::http(mode, "steps", &more);
        let mut client = server.connect();
        let fields = "Host: a\r\nAccept-Encoding: gzip\r\nConnection: close";
        client.send(format!("GET /?{} HTTP/1.1\r\n{fields}\r\n\r\n", next.display()));
        let mut raw = Vec::new();
        eventually("the first piece", || {
            raw.extend(client.read_some());
            let Some(body) = raw.windows(4).position(|four| four == b"\r\n\r\n") else {
                return false;
            };
            // One chunk, which a flush has ended: it can be read to here, and not further.
            let chunk = &raw[body + 4..];
            let Some(line) = chunk.iter().position(|&byte| byte == b'\n') else { return false };
            let mut text = Vec::new();
            let _ = GzDecoder::new(&chunk[line + 1..]).read_to_end(&mut text);
            text.starts_with(b"start")
        });
        std::fs::write(&next, "").unwrap();
        assert!(!client.rest().unwrap().is_empty());
    });
}
