//! A real nginx in front: uwsgi_pass over TCP and unix sockets, proxy_pass, two servers.

use crate::harness::nginx::Nginx;
use crate::harness::{Server, app, for_each_mode, scratch};

/// What must work through any front.
fn exercise(nginx: &Nginx) {
    let mut client = nginx.connect();
    for _ in 0..20 {
        assert_eq!(client.get("/hello").text(), "hello");
    }
    client.send("POST /describe/a%20b?x=y HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\nX-Y: z\r\n\r\nabc");
    let seen = client.response().json();
    assert_eq!(seen["body"], "abc");
    for (key, value) in [
        ("PATH_INFO", "/describe/a b"),
        ("QUERY_STRING", "x=y"),
        ("REQUEST_METHOD", "POST"),
        ("CONTENT_LENGTH", "3"),
        ("HTTP_X_Y", "z"),
        ("REMOTE_ADDR", "127.0.0.1"),
    ] {
        assert_eq!(seen["environ"][key], value, "{key}");
    }
    assert!(seen["environ"]["HTTP_HOST"].as_str().unwrap().starts_with("a.example"));
    let total = 5_000_000;
    client
        .send(format!("POST /sink HTTP/1.1\r\nHost: a.example\r\nContent-Length: {total}\r\n\r\n"));
    client.send(vec![b'x'; total]);
    assert!(client.response().text().starts_with(&format!("{total} ")));
    assert_eq!(client.get(&format!("/large/{total}/10000")).body.len(), total);
    assert_eq!(client.get(&format!("/large/{total}/0")).body.len(), total);
    client
        .send("POST /ignores_input HTTP/1.1\r\nHost: a.example\r\nContent-Length: 100000\r\n\r\n");
    client.send(vec![b'x'; 100_000]);
    assert_eq!(client.response().status, 403);
    assert_eq!(nginx.get("/raises/call?nginx").status, 500);
    assert_eq!(nginx.get("/status/304").status, 304);
    assert_eq!(nginx.get("/status/204").status, 204);
    let mut client = nginx.connect();
    client.send("HEAD /large/1000/0 HTTP/1.1\r\nHost: a.example\r\n\r\n");
    assert_eq!(client.response_to_head().status, 200);
}

#[test]
fn serves_behind_uwsgi_pass_over_tcp() {
    for_each_mode(|mode| {
        let all = app("all_by_path");
        let server = Server::start(mode, &["--socket", "127.0.0.1:0", "--wsgi-file", &all]);
        let Some(nginx) = Nginx::start("uwsgi_pass", &[("server", server.address())]) else {
            return;
        };
        exercise(&nginx);
        let total = 3_000_000;
        let mut client = nginx.connect();
        client.send(format!(
            "POST /streamed/ HTTP/1.1\r\nHost: a\r\nContent-Length: {total}\r\n\r\n"
        ));
        client.send(vec![b'x'; total]);
        assert!(client.response().text().starts_with(&format!("{total} ")));
        assert!(!nginx.errors().contains("[error]"), "{}", nginx.errors());
    });
}

#[test]
fn serves_behind_uwsgi_pass_over_a_unix_socket() {
    for_each_mode(|mode| {
        let (all, directory) = (app("all_by_path"), scratch());
        let path = directory.path().join("app.sock").display().to_string();
        let args = ["--socket", &path, "--chmod-socket=660", "--wsgi-file", &all];
        let _server = Server::start(mode, &args);
        let place = format!("unix:{path}");
        let Some(nginx) = Nginx::start("uwsgi_pass", &[("server", &place)]) else { return };
        exercise(&nginx);
        assert!(!nginx.errors().contains("[error]"), "{}", nginx.errors());
    });
}

#[test]
fn serves_behind_proxy_pass_over_kept_connections() {
    for_each_mode(|mode| {
        let all = app("all_by_path");
        let args = ["--http-socket", "127.0.0.1:0", "--wsgi-file", &all, "--stats", "127.0.0.1:0"];
        let server = Server::start(mode, &args);
        let Some(nginx) = Nginx::start("proxy_pass", &[("server", server.address())]) else {
            return;
        };
        exercise(&nginx);
        let mut client = nginx.connect();
        let port = |client: &mut crate::harness::Client| {
            client.get("/describe").json()["environ"]["REMOTE_PORT"].as_str().unwrap().to_owned()
        };
        let first = port(&mut client);
        assert!((0..10).all(|_| port(&mut client) == first), "nginx keeps its connection");
        assert_eq!(client.get("/describe").json()["environ"]["wsgi.url_scheme"], "https");
        assert!(!nginx.errors().contains("[error]"), "{}", nginx.errors());
    });
}

#[test]
fn two_servers_share_one_site_and_one_may_leave() {
    for_each_mode(|mode| {
        let all = app("all_by_path");
        let args = ["--socket", "127.0.0.1:0", "--wsgi-file", &all, "--disable-logging"];
        let (first, second) = (Server::start(mode, &args), Server::start(mode, &args));
        let places = [("first", first.address()), ("second", second.address())];
        let Some(nginx) = Nginx::start("two_servers", &places) else { return };
        let mut pids: Vec<String> = (0..10).map(|_| nginx.get("/pid").text().to_owned()).collect();
        pids.sort();
        pids.dedup();
        assert_eq!(pids.len(), 2, "both serve");
        drop(first);
        for _ in 0..20 {
            assert_eq!(nginx.get("/hello").text(), "hello");
        }
    });
}

#[test]
fn restarting_one_of_two_servers_loses_no_request() {
    for_each_mode(|mode| {
        let all = app("all_by_path");
        let args = ["--socket", "127.0.0.1:0", "--wsgi-file", &all, "--disable-logging"];
        let (first, second) = (Server::start(mode, &args), Server::start(mode, &args));
        let places = [("first", first.address()), ("second", second.address())];
        let Some(nginx) = Nginx::start("two_servers", &places) else { return };
        let (begun, stopping) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let begun = begun;
                let mut client = nginx.connect();
                for number in 0..300 {
                    assert_eq!(client.get("/hello").status, 200, "request {number}");
                    if number == 50 {
                        begun.send(()).unwrap();
                    }
                }
            });
            stopping.recv().unwrap();
            drop(first);
        });
    });
}
