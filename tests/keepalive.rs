//! Connections that serve several requests: keep-alive, pipelining, their ends.

use crate::harness::{Server, for_each_mode};

const HELLO: &str = "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn keeps_a_connection_of_http_1_1_by_itself() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        let mut client = server.connect();
        for _ in 0..5 {
            client.send(HELLO);
            let response = client.response();
            assert_eq!(response.field("connection"), None);
            assert_eq!(response.text(), "hello");
        }
    });
}

#[test]
fn closes_when_the_client_asks_for_it() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        for option in ["close", "Close", "x, close", "keep-alive, close"] {
            let mut client = server.connect();
            client.send(format!("GET /hello HTTP/1.1\r\nHost: a\r\nConnection: {option}\r\n\r\n"));
            let response = client.response();
            assert!(response.closes(), "{option}: {response:?}");
            client.assert_closed();
        }
    });
}

#[test]
fn keeps_a_connection_of_http_1_0_only_when_asked_and_the_length_is_known() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        let mut client = server.connect();
        client.send("GET /hello HTTP/1.0\r\n\r\n");
        assert_eq!(client.response().text(), "hello");
        client.assert_closed();

        let mut client = server.connect();
        for _ in 0..3 {
            client.send("GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
            let response = client.response();
            assert_eq!(
                response.field("connection").map(str::to_ascii_lowercase).as_deref(),
                Some("keep-alive")
            );
            assert_eq!(response.text(), "hello");
        }
        // Without a length the end of the connection is the end of the body.
        client.send("GET /large/1000/10 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        let response = client.response();
        assert_eq!(response.field("transfer-encoding"), None);
        assert_eq!(response.body.len(), 1000);
        client.assert_closed();
    });
}

#[test]
fn answers_pipelined_requests_in_order() {
    for_each_mode(|mode| {
        let server = Server::shared_with(mode, &["--processes", "2"]);
        let mut client = server.connect();
        let many: String = (0..50)
            .map(|n| format!("POST /?n={n} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{n:02}"))
            .collect();
        client.send(many);
        for n in 0..50 {
            let seen = client.response().json();
            assert_eq!(seen["environ"]["QUERY_STRING"], format!("n={n}"));
            assert_eq!(seen["body"], format!("{n:02}"));
        }
        client.assert_open();
    });
}

#[test]
fn answers_a_good_request_before_it_refuses_a_bad_one() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        let mut client = server.connect();
        client.send(format!("{HELLO}GET / HTTP/1.1\r\nHost : a\r\n\r\n{HELLO}"));
        assert_eq!(client.response().text(), "hello");
        assert_eq!(client.response().status, 400);
        client.assert_closed();
    });
}

#[test]
fn serves_nothing_after_a_bad_request_nor_after_close() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        let mut client = server.connect();
        client.send(format!("BAD\r\n\r\n{HELLO}"));
        assert_eq!(client.response().status, 400);
        client.assert_closed();

        let mut client = server.connect();
        client.send(format!("GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n{HELLO}"));
        assert!(client.response().closes());
        client.assert_closed();
    });
}

#[test]
fn a_request_after_close_does_not_cut_the_answer() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        let mut client = server.connect();
        // More than the socket buffers hold: the answer is still on its way when the server is
        // done.
        client.send("GET /large/6000000/0 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        client.peek().unwrap();
        client.send(HELLO.repeat(100));
        assert_eq!(client.response().body.len(), 6_000_000);
    });
}

#[test]
fn serves_the_rest_of_a_pipelined_request_that_comes_late() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        let second = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
        let mut probe = server.connect();
        for cut in 1..second.len() {
            let mut client = server.connect();
            client.send(format!("{HELLO}{}", &second[..cut]));
            assert_eq!(client.response().text(), "hello");
            probe.assert_open();
            client.send(&second[cut..]);
            assert_eq!(client.response().json()["body"], "abc", "cut at {cut}");
        }
    });
}

#[test]
fn serves_a_pipelined_request_behind_every_kind_of_response() {
    let first = [
        "/status/204",
        "/large/300000/0",
        "/large/300000/1000",
        "/large/5/5?length",
        "/ignores_input",
    ];
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        for path in first {
            let mut client = server.connect();
            client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n{HELLO}"));
            client.response();
            assert_eq!(client.response().text(), "hello", "{path}");
        }
    });
}

#[test]
fn closes_an_idle_connection_after_its_time() {
    for_each_mode(|mode| {
        // uWSGI: 1 only means "on".
        let server = Server::shared_with(mode, &["--http-keepalive", "2"]);
        let mut client = server.connect();
        client.assert_open();
        client.assert_closed();
    });
}

#[test]
fn a_request_that_never_ends_does_not_stop_its_connection_from_closing() {
    for_each_mode(|mode| {
        let server = Server::shared_with(mode, &["--http-headers-timeout", "1"]);
        let mut client = server.connect();
        client.send(format!("{HELLO}GET /unfinished"));
        assert_eq!(client.response().text(), "hello");
        assert_eq!(client.response().status, 408);
        client.assert_closed();
    });
}
