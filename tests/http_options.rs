//! Options about HTTP and its sockets: fields of all responses, the PROXY protocol, buffers.

use crate::harness::server::command;
use crate::harness::{Client, Mode, Server, app, eventually, for_each_mode, scratch};
use crate::harness::{packet, process::Process};

/// Asks for the environ, with `before` in front of the request.
fn environ(server: &Server, before: &[u8]) -> serde_json::Value {
    let mut client = server.connect();
    client.send([before, b"GET /describe HTTP/1.1\r\nHost: a\r\n\r\n"].concat());
    client.response().json()["environ"].clone()
}

#[test]
fn fields_are_added_to_and_taken_out_of_every_response() {
    let directory = scratch();
    std::fs::write(directory.path().join("x.txt"), "static").unwrap();
    let map = format!("/files={}", directory.path().display());
    let more = [
        "--add-header",
        "X-Served-By: one",
        "--add-header",
        "X-Empty:",
        "--rem-header",
        "x-a",
        "--static-map",
        &map,
    ];
    for_each_mode(|mode| {
        let args = [&["--socket", "127.0.0.1:0"], &more[..]].concat();
        let server = Server::http(mode, "all_by_path", &args);
        for (path, status) in [("/hello", 200), ("/raises/call?x", 500), ("/files/x.txt", 200)] {
            let response = server.get(path);
            assert_eq!(response.status, status, "{path}");
            assert_eq!(response.field("x-served-by"), Some("one"), "{path}");
            assert_eq!(response.field("x-empty"), Some(""), "{path}");
        }
        assert_eq!(server.get("/header?X-B&b").field("x-b"), Some("b"));
        assert_eq!(server.get("/header?X-A&b").field("x-a"), None);
        let response = packet::get(&server, "/hello");
        assert_eq!(response.field("x-served-by"), Some("one"));
        let line = server.log.line("GET /header?X-B&b ");
        assert!(line.contains(" 4 headers in "), "{line}");
    });
}

#[test]
fn connection_close_as_a_field_ends_keep_alive() {
    for_each_mode(|mode| {
        let server = Server::http(mode, "hello", &["--add-header", "Connection: close"]);
        let mut client = server.connect();
        let response = client.get("/");
        assert!(response.closes());
        client.assert_closed();
        let server = Server::http(mode, "hello", &["--add-header", "Connection: Keep-Alive"]);
        let mut client = server.connect();
        client.get("/");
        client.assert_open();
    });
}

#[test]
fn what_is_no_header_stops_the_start() {
    for header in ["X-A", "X A: b", "Content-Length: 3"] {
        let args =
            ["--http-socket", "127.0.0.1:0", "--wsgi-file", &app("hello"), "--add-header", header];
        let (code, log) = Process::start(command(&args)).finish();
        assert_eq!(code, 1, "{log}");
        assert!(log.contains("argument 5: add-header: "), "{log}");
    }
}

#[test]
fn http_var_wins_over_what_the_client_says() {
    for_each_mode(|mode| {
        let vars = ["HTTP_X_ROLE=none", "HTTPS=on", "REMOTE_ADDR=192.0.2.1"];
        let more: Vec<_> = vars.iter().flat_map(|var| ["--http-var", var]).collect();
        let server = Server::http(mode, "all_by_path", &more);
        for fields in ["", "X-Role: admin\r\n", "x-role: admin\r\nX-ROLE: root\r\n"] {
            let request = format!("GET /describe HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
            let found = server.ask(request).json()["environ"].clone();
            assert_eq!(found["HTTP_X_ROLE"], "none", "{mode} {fields}");
            assert_eq!(found["REMOTE_ADDR"], "192.0.2.1", "{mode}");
            assert_eq!(found["wsgi.url_scheme"], "https", "{mode}");
        }
    });
}

#[test]
fn http_var_has_the_last_word_on_the_scheme() {
    for (var, none, http, https) in [
        ("HTTP_X_FORWARDED_PROTO=http", "http", "http", "http"),
        ("HTTP_X_FORWARDED_PROTO=https", "https", "https", "https"),
        ("UWSGI_SCHEME=http", "http", "http", "http"),
        ("HTTPS=off", "http", "http", "https"),
        ("HTTPS=on", "https", "http", "https"),
        ("OTHER=1", "http", "http", "https"),
    ] {
        let server = Server::http(Mode::ANY, "all_by_path", &["--http-var", var]);
        for (said, expected) in [("", none), ("http", http), ("https", https)] {
            let field = match said {
                "" => String::new(),
                _ => format!("X-Forwarded-Proto: {said}\r\n"),
            };
            let request = format!("GET /describe HTTP/1.1\r\nHost: a\r\n{field}\r\n");
            let found = server.ask(request).json()["environ"]["wsgi.url_scheme"].clone();
            assert_eq!(found, expected, "{var}, and the client says \"{said}\"");
        }
    }
}

#[test]
fn a_balancer_says_who_the_client_is() {
    for_each_mode(|mode| {
        let more = ["--enable-proxy-protocol", "--http-var", "BEHIND=balancer"];
        let server = Server::http(mode, "all_by_path", &more);
        let found = environ(&server, b"PROXY TCP4 192.0.2.7 192.0.2.2 40001 80\r\n");
        assert_eq!(
            (&found["REMOTE_ADDR"], &found["REMOTE_PORT"]),
            (&"192.0.2.7".into(), &"40001".into())
        );
        assert_eq!(found["BEHIND"], "balancer");
        let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24".to_vec();
        let mut addresses = [0_u8; 36];
        (addresses[15], addresses[33]) = (1, 7);
        header.extend(addresses);
        let found = environ(&server, &header);
        assert_eq!((&found["REMOTE_ADDR"], &found["REMOTE_PORT"]), (&"::1".into(), &"7".into()));
        // Its health checks, and clients that come without it.
        for before in [&b"PROXY UNKNOWN\r\n"[..], b""] {
            assert_eq!(environ(&server, before)["REMOTE_ADDR"], "127.0.0.1");
        }
        // It is said once, for all requests of the connection, in as many pieces as it comes.
        let mut client = server.connect();
        for piece in [&b"PRO"[..], b"XY TCP4 192.0.2.8 192.0.2.2 4", b"0002 80\r\nGET /describe HT"]
        {
            client.send(piece);
        }
        client.send("TP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.response().json()["environ"]["REMOTE_ADDR"], "192.0.2.8");
        assert_eq!(client.get("/describe").json()["environ"]["REMOTE_ADDR"], "192.0.2.8");
        let line = server.log.line("192.0.2.8 () ");
        assert!(line.contains("GET /describe"), "{line}");

        let mut client = server.connect();
        client.send("PROXY TCP4 192.0.2.256 a b c\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.response().status, 400);
        client.assert_closed();
    });
}

#[test]
fn without_the_option_nobody_can_say_who_the_client_is() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        let mut client = server.connect();
        client.send("PROXY TCP4 192.0.2.7 192.0.2.2 40001 80\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.response().status, 400);
    });
}

#[test]
fn a_reload_keeps_what_the_balancer_said() {
    for_each_mode(|mode| {
        let more = ["--enable-proxy-protocol", "--master"];
        let server = Server::http(mode, "all_by_path", &more);
        let mut client = server.connect();
        client.send("PROXY TCP4 192.0.2.9 192.0.2.2 40003 80\r\n");
        assert_eq!(client.get("/describe").json()["environ"]["REMOTE_ADDR"], "192.0.2.9");
        let mut unsaid = server.connect();
        let mut nobody = server.connect();
        nobody.send("PROXY UNKNOWN\r\n");
        assert_eq!(nobody.get("/describe").json()["environ"]["REMOTE_ADDR"], "127.0.0.1");
        server.signal(libc::SIGHUP);
        server.log.line("a successor serves");
        assert_eq!(client.get("/describe").json()["environ"]["REMOTE_ADDR"], "192.0.2.9");
        unsaid.send("PROXY TCP4 192.0.2.10 192.0.2.2 40003 80\r\n");
        assert_eq!(unsaid.get("/describe").json()["environ"]["REMOTE_ADDR"], "192.0.2.10");
        // What was said once cannot be said anew, by a client behind the balancer.
        nobody.send("PROXY TCP4 192.0.2.11 192.0.2.2 40003 80\r\n");
        nobody.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(nobody.response().status, 400);
    });
}

#[test]
fn what_a_balancer_said_counts_after_a_reload_that_asks_no_more() {
    for_each_mode(|mode| {
        let directory = scratch();
        let ini = directory.path().join("app.ini");
        let write = |text: &str| std::fs::write(&ini, format!("[uwsgi]\n{text}\n")).unwrap();
        write("enable-proxy-protocol = true");
        let name = ini.display().to_string();
        let server = Server::http(mode, "all_by_path", &["--master", "--ini", &name]);
        let who = |client: &mut Client| {
            client.get("/describe").json()["environ"]["REMOTE_ADDR"].as_str().unwrap().to_owned()
        };
        let mut client = server.connect();
        client.send("PROXY TCP4 192.0.2.9 192.0.2.2 40003 80\r\n");
        assert_eq!(who(&mut client), "192.0.2.9");
        write("");
        server.signal(libc::SIGHUP);
        server.log.line("a successor serves");
        assert_eq!(who(&mut client), "192.0.2.9");
        // A new connection is asked for a request, and those that were never asked stay so.
        let mut direct = server.connect();
        assert_eq!(who(&mut direct), "127.0.0.1");
        write("enable-proxy-protocol = true");
        server.signal(libc::SIGHUP);
        server.log.find("the second successor", |text| {
            (text.matches("a successor serves").count() == 2).then_some(())
        });
        assert_eq!(who(&mut client), "192.0.2.9");
        direct.send("PROXY TCP4 192.0.2.11 192.0.2.2 40003 80\r\n");
        direct.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(direct.response().status, 400);
    });
}

#[test]
fn sockets_have_the_buffers_that_were_asked_for() {
    let more = ["--socket-sndbuf", "65536", "--socket-rcvbuf", "32768", "--tcp-fast-open", "16"];
    for_each_mode(|mode| {
        let server = Server::http(mode, "hello", &more);
        assert_eq!(server.get("/").text(), "hello");
        let port = server.address().rsplit(':').next().unwrap();
        let ss = std::process::Command::new("ss").args(["-tlmnH", "sport", "=", port]).output();
        let Ok(ss) = ss else { return };
        let text = String::from_utf8(ss.stdout).unwrap();
        // The kernel doubles what was asked for.
        assert!(text.contains("rb65536") && text.contains("tb131072"), "{text}");
    });
}

#[test]
fn a_silent_connection_is_taken_at_once_only_where_that_was_asked_for() {
    for_each_mode(|mode| {
        for (option, taken) in [("--need-app", 0), ("--no-defer-accept", 1)] {
            let server = Server::http(mode, "hello", &["--stats", "127.0.0.1:0", option]);
            let accepted = || {
                let stats = server.stats();
                let shards = stats["shards"].as_array().unwrap();
                shards.iter().map(|shard| shard["accepted"].as_u64().unwrap()).sum::<u64>()
            };
            let before = accepted();
            let mut silent = server.connect();
            for _ in 0..3 {
                assert_eq!(server.get("/").text(), "hello");
            }
            eventually("all are counted", || accepted() == before + 3 + taken);
            assert_eq!(silent.get("/").text(), "hello");
            assert_eq!(accepted(), before + 4);
        }
    });
}

#[test]
fn sockets_can_share_an_address_by_its_number() {
    for_each_mode(|mode| {
        let hello = app("hello");
        let args = ["--shared-socket", "127.0.0.1:0", "--http", "=0", "--wsgi-file", &hello];
        let server = Server::start(mode, &args);
        assert_eq!(server.get("/").text(), "hello");
    });
    let args = ["--http-socket", "=1", "--shared-socket", "127.0.0.1:0"];
    let (code, log) = Process::start(command(&args)).finish();
    assert_eq!(code, 1, "{log}");
    assert!(log.contains("http-socket: no shared-socket has that number"), "{log}");
}

#[test]
fn a_server_that_nobody_asks_ends() {
    for_each_mode(|mode| {
        for more in [&["--master"][..], &[]] {
            let args = [&["--idle", "1", "--die-on-idle"], more].concat();
            let mut server = Server::http(mode, "hello", &args);
            server.get("/");
            server.log.line("no request for 1 seconds (die-on-idle): stopping");
            assert_eq!(server.stop(0), 0);
        }
    });
}

#[test]
fn workers_get_their_cores_and_their_nice_value() {
    for_each_mode(|mode| {
        let more = ["--cpu-affinity", "1", "--prio", "3", "--stats", "127.0.0.1:0"];
        let server = Server::http(mode, "all_by_path", &more);
        let pid = server.worker_pid();
        let thread = server.stats()["workers"][0]["cores"][0]["thread_id"].as_u64();
        let thread = thread.map_or_else(|| pid.to_string(), |thread| thread.to_string());
        let status = std::fs::read_to_string(format!("/proc/{pid}/task/{thread}/status"));
        if let Ok(status) = status
            && mode.is_process()
        {
            let line = status.lines().find(|line| line.starts_with("Cpus_allowed_list:")).unwrap();
            let cores = line.split_whitespace().nth(1).unwrap();
            assert!(cores.parse::<usize>().is_ok(), "{line}");
        }
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let nice = stat.rsplit(") ").next().unwrap().split(' ').nth(16).unwrap().to_owned();
        assert_eq!(nice, "3");
    });
}

#[test]
fn an_address_of_another_machine_can_be_bound() {
    let hello = app("hello");
    // Of a net for documentation: no machine has it.
    let args = ["--http-socket", "192.0.2.77:0", "--wsgi-file", &hello];
    let (code, log) = Process::start(command(&args)).finish();
    assert_eq!(code, 1, "{log}");
    assert!(log.contains("this machine has no such address"), "{log}");
    let args = [&args[..], &["--freebind"]].concat();
    let mut server = Process::start(command(&args));
    server.log.line("uwring is ready: ");
    assert!(server.log.text().contains("bound to TCP address 192.0.2.77:"));
    assert_eq!(server.stop(libc::SIGTERM), 0);
}

#[test]
fn a_body_that_is_too_large_is_refused_before_it_is_sent() {
    for_each_mode(|mode| {
        let server = Server::http(mode, "reads", &["--http-manage-expect=100"]);
        let head = |length: usize, more: &str| {
            format!("POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n{more}\r\n")
        };
        let expect = "Expect: 100-continue\r\n";
        let mut client = server.connect();
        client.send(head(101, expect));
        let refused = client.response();
        assert_eq!(refused.status, 413);
        assert!(refused.text().contains("http-manage-expect"), "{}", refused.text());
        client.assert_closed();
        let mut client = server.connect();
        client.send(head(100, expect));
        assert_eq!(client.read_exact(25), b"HTTP/1.1 100 Continue\r\n\r\n");
        client.send("x".repeat(100));
        assert_eq!(client.response().status, 200);
        // uWSGI: without the question there is no limit.
        assert_eq!(server.ask(head(101, "") + &"x".repeat(101)).status, 200);
    });
}
