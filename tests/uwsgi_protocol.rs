//! The uwsgi protocol, as nginx and others speak it.

use crate::harness::packet::{ask, connect, get, packet, vars};
use crate::harness::{Broken, Server, for_each_mode, tests_path};

#[test]
fn answers_a_packet_and_closes() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        let mut client = connect(&server);
        client.send(packet(0, &vars("GET", "/hello", &[])));
        let response = client.response();
        assert_eq!((response.status, response.text()), (200, "hello"));
        client.assert_closed();
    });
}

#[test]
fn adds_nothing_to_the_apps_fields_that_a_proxy_would_not_want() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        let response = get(&server, "/large/1000/100");
        for name in ["date", "connection", "transfer-encoding", "server"] {
            assert_eq!(response.field(name), None, "{name}");
        }
        assert_eq!(response.body.len(), 1000);
    });
}

#[test]
fn names_the_clients_version_in_the_status_line() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        for version in ["HTTP/1.0", "HTTP/1.1"] {
            let more = [("SERVER_PROTOCOL", version)];
            let response = ask(&server, &packet(0, &vars("GET", "/hello", &more)));
            assert_eq!(response.version, version);
        }
    });
}

#[test]
fn reads_the_body_behind_the_packet() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        for length in [0_usize, 1, 5_000, 1_000_000] {
            let text = length.to_string();
            let more = [("CONTENT_LENGTH", text.as_str())];
            let mut bytes = packet(0, &vars("POST", "/sink", &more));
            bytes.extend(std::iter::repeat_n(b'x', length));
            assert!(ask(&server, &bytes).text().starts_with(&format!("{length} ")), "{length}");
        }
    });
}

#[test]
fn never_takes_body_bytes_for_a_packet() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        let inner = packet(0, &vars("GET", "/hello", &[]));
        let length = inner.len().to_string();
        for path in ["/ignores_input", "/"] {
            let more = [("CONTENT_LENGTH", length.as_str())];
            let mut client = connect(&server);
            client.send(packet(0, &vars("POST", path, &more)));
            client.send(&inner);
            client.send(&inner);
            assert_ne!(client.response().text(), "hello");
            client.assert_closed();
        }
    });
}

#[test]
fn gives_the_same_answer_wherever_a_packet_is_cut() {
    let mut bytes = packet(0, &vars("POST", "/", &[("CONTENT_LENGTH", "3")]));
    bytes.extend_from_slice(b"abc");
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        let mut probe = server.connect();
        for cut in (1..bytes.len()).filter(|cut| *cut < 8 || cut % 9 == 0) {
            let mut client = connect(&server);
            client.send(&bytes[..cut]);
            probe.assert_open();
            client.send(&bytes[cut..]);
            assert_eq!(client.response().json()["body"], "abc", "cut at {cut}");
        }
    });
}

#[test]
fn answers_a_ping() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        let mut client = connect(&server);
        client.send([100, 0, 0, 0]);
        assert_eq!(client.read_exact(4), [100, 0, 0, 1]);
        client.assert_closed();
        server.log.line("PING");
    });
}

#[test]
fn takes_script_name_off_the_path_for_modifier_30() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        let sent = vars("GET", "/mount/describe", &[("SCRIPT_NAME", "/mount")]);
        let seen = ask(&server, &packet(30, &sent)).json();
        assert_eq!(seen["environ"]["PATH_INFO"], "/describe");
        let seen = ask(&server, &packet(0, &sent)).json();
        assert_eq!(seen["environ"]["PATH_INFO"], "/mount/describe");
    });
}

#[test]
fn answers_modifiers_that_it_does_not_serve() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        for modifier in [5, 22, 18, 173] {
            let response = ask(&server, &packet(modifier, &vars("GET", "/", &[])));
            assert_eq!(response.status, 400, "{modifier}");
            server.log.line(&format!("-- unavailable modifier requested: {modifier} --"));
        }
    });
}

#[test]
fn says_what_is_wrong_to_http_on_a_uwsgi_socket() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        let response = ask(&server, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(response.status, 400);
        assert!(response.text().contains("uwsgi protocol"), "{}", response.text());
    });
}

#[test]
fn ignores_vars_that_would_load_code() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        let file = tests_path("apps/callables.py").display().to_string();
        let more = [
            ("UWSGI_FILE", file.as_str()),
            ("UWSGI_SCRIPT", "callables:function"),
            ("UWSGI_MODULE", "callables"),
            ("UWSGI_CALLABLE", "function"),
            ("UWSGI_SETENV", "EVIL=1"),
            ("UWSGI_POSTFILE", "/etc/passwd"),
            ("UWSGI_CHDIR", "/"),
            ("UWSGI_PYHOME", "/"),
        ];
        let seen = ask(&server, &packet(0, &vars("GET", "/", &more))).json();
        assert_eq!(seen["body"], "", "described by its own app");
    });
}

#[test]
fn refuses_malformed_packets() {
    let cases: [(&str, &[u8], u16); 5] = [
        ("no vars", &[0, 0, 0, 0], 400),
        ("no name", &[0, 5, 0, 0, 0, 0, 1, 0, b'x'], 400),
        ("past the end", &[0, 4, 0, 0, 9, 0, b'x', b'x'], 400),
        ("value past the end", &[0, 6, 0, 0, 1, 0, b'x', 9, 0, b'x'], 400),
        ("half a length", &[0, 1, 0, 0, 1], 400),
    ];
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        for (name, bytes, status) in cases {
            let mut client = connect(&server);
            client.send(bytes);
            assert_eq!(client.response().status, status, "{name}");
            client.assert_closed();
        }
        for length in ["1x", "-1", "+1", "1,1", " 1", "99999999999999999999"] {
            let more = [("CONTENT_LENGTH", length)];
            assert_eq!(ask(&server, &packet(0, &vars("POST", "/", &more))).status, 400, "{length}");
        }
    });
}

#[test]
fn refuses_packets_over_buffer_size_and_names_the_limit() {
    for_each_mode(|mode| {
        let server = Server::shared_with(mode, &["--buffer-size", "4096"]);
        let long = "x".repeat(4096);
        let response = ask(&server, &packet(0, &vars("GET", "/", &[("HTTP_X", &long)])));
        assert_eq!(response.status, 431);
        assert!(response.text().contains("buffer-size"), "{}", response.text());
        let fits = "x".repeat(3000);
        assert_eq!(ask(&server, &packet(0, &vars("GET", "/", &[("HTTP_X", &fits)]))).status, 200);
    });
}

#[test]
fn gives_an_unfinished_packet_no_answer_that_looks_whole() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        let bytes = packet(0, &vars("GET", "/hello", &[]));
        let mut client = connect(&server);
        client.send(&bytes[..bytes.len() - 1]);
        client.half_close();
        match client.try_response() {
            Err(Broken::Closed(_)) => {}
            other => panic!("{other:?}"),
        }
        assert_eq!(get(&server, "/hello").text(), "hello");
    });
}

#[test]
fn sends_a_500_to_a_proxy_when_the_app_raises() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        let response = get(&server, "/raises/call?uwsgi");
        assert_eq!(response.status, 500);
    });
}

#[test]
fn serves_a_body_of_unknown_length_up_to_the_end_of_the_connection() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        let response = get(&server, "/large/2000000/50000");
        assert_eq!(response.body.len(), 2_000_000);
        let response = get(&server, "/large/2000000/0");
        assert_eq!((response.field("content-length"), response.body.len()), (None, 2_000_000));
    });
}
