//! What the `uwsgi` module does to the request that runs, to the log and to the server.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::harness::code::Code;
use crate::harness::packet::{connect, packet, vars};
use crate::harness::{Client, Server, eventually, for_each_mode, scratch};

/// The value of a Python expression in a worker.
fn value(client: &mut Client, expression: &str) -> Value {
    let escaped: String = expression.bytes().map(|byte| format!("%{byte:02X}")).collect();
    client.get(&format!("/?{escaped}")).json()
}

#[test]
fn an_app_that_disconnects_goes_on_without_its_client() {
    for_each_mode(|mode| {
        let directory = scratch();
        let go = directory.path().join("go");
        let server = Server::http(mode, "lets_go", &[]);
        let times = |what: &str| server.log.text().matches(what).count();
        let mut client = server.connect();
        // The client has all before the app is through, and its connection lives on.
        for (round, path) in ["piece", "written"].into_iter().enumerate() {
            let response = client.get(&format!("/{path}?{}", go.display()));
            assert_eq!(response.text(), path, "{mode}");
            std::fs::write(&go, "").unwrap();
            eventually("the app is through", || times("closed") == round + 1);
            std::fs::remove_file(&go).unwrap();
        }
        assert!(times("afterwards: write error") == 1 && times("still here") == 2);
        // Fewer bytes than were promised, or nothing at all: the client can tell.
        std::fs::write(&go, "").unwrap();
        for path in ["short", "nothing"] {
            let mut cut = server.connect();
            let target = format!("/{path}?{}", go.display());
            cut.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
            assert!(cut.try_response().is_err(), "{mode}: {path}");
        }
        eventually("all are through", || times("closed") == 4);
        assert_eq!(times("never"), 0);
        assert_eq!(times("Traceback"), 0, "{}", server.log.text());
        assert_eq!(client.get(&format!("/written?{}", go.display())).text(), "written");
    });
}

#[test]
fn a_proxys_connection_ends_where_the_app_disconnects() {
    for_each_mode(|mode| {
        let directory = scratch();
        let go = directory.path().join("go");
        let server = Server::http(mode, "lets_go", &["--socket", "127.0.0.1:0"]);
        let mut client = connect(&server);
        let target = format!("/piece?{}", go.display());
        client.send(packet(0, &vars("GET", &target, &[])));
        assert_eq!(client.response().text(), "piece");
        client.assert_closed();
        std::fs::write(&go, "").unwrap();
        server.log.line("afterwards: closed");
    });
}

#[test]
fn a_variable_that_the_app_adds_is_in_its_log_line() {
    for_each_mode(|mode| {
        let format = "LINE %(var.COLOUR)|%(var.REQUEST_METHOD)|%(method)";
        let server = Server::http(mode, "evaluates", &["--log-format", format]);
        let mut client = server.connect();
        let add = "uwsgi.add_var('COLOUR', 'red'), uwsgi.add_var(b'COLOUR', b'blue'), \
                   uwsgi.add_var('REQUEST_METHOD', 'NEW'), environ.get('COLOUR')";
        assert_eq!(value(&mut client, add), json!([true, true, true, null]));
        server.log.line("LINE blue|NEW|GET");
        assert_eq!(value(&mut client, "1"), json!(1));
        server.log.line("LINE -|GET|GET");
        let long = "uwsgi.add_var('A', 'b' * 70000)";
        let message = "ValueError('unable to add request var, check your buffer size')";
        assert_eq!(value(&mut client, long), json!(message));
        let wrong = value(&mut client, "uwsgi.add_var('A', 3)");
        assert!(wrong.as_str().unwrap().starts_with("TypeError("), "{wrong}");
    });
}

#[test]
fn one_request_may_ask_for_its_line() {
    for_each_mode(|mode| {
        let more = ["--disable-logging", "--log-format", "LINE %(uri)"];
        let server = Server::http(mode, "evaluates", &more);
        let mut client = server.connect();
        assert_eq!(value(&mut client, "1"), json!(1));
        assert_eq!(value(&mut client, "uwsgi.log_this_request()"), json!(null));
        assert_eq!(value(&mut client, "2"), json!(2));
        server.log.line("LINE ");
        assert_eq!(server.log.text().matches("LINE ").count(), 1);
    });
}

#[test]
fn a_warning_answers_pings() {
    for_each_mode(|mode| {
        let more = ["--socket", "127.0.0.1:0"];
        let server = Server::http(mode, "evaluates", &more);
        let ping = || {
            let mut stream = TcpStream::connect(&server.addresses[1]).unwrap();
            stream.write_all(&[100, 0, 0, 0]).unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).unwrap();
            answer
        };
        assert_eq!(ping(), [100, 0, 0, 1]);
        let mut client = server.connect();
        assert_eq!(value(&mut client, "uwsgi.set_warning_message('beware')"), json!(true));
        assert_eq!(ping(), b"d\x06\x00\x01beware");
        assert_eq!(value(&mut client, "uwsgi.set_warning_message('x' * 100)"), json!(true));
        assert_eq!(ping()[4..], [b'x'; 80]);
        server.log.line("- warning message must be max 80 chars, it will be truncated -");
    });
}

#[test]
fn an_app_raises_an_alarm_and_asks_for_the_size_of_the_log() {
    for_each_mode(|mode| {
        let directory = scratch();
        let said = directory.path().join("said").display().to_string();
        let alarm = format!("siren cmd:cat >> {said}");
        let server = Server::http(mode, "evaluates", &["--alarm", &alarm]);
        let mut client = server.connect();
        let raise = "uwsgi.alarm('siren', 'water in the cellar'), uwsgi.alarm('nosuch', 'x')";
        assert_eq!(value(&mut client, raise), json!([null, null]));
        let heard = || std::fs::read_to_string(&said).unwrap_or_default();
        eventually("the alarm", || heard().trim_end() == "water in the cellar");
        // Here the log is a pipe.
        assert_eq!(value(&mut client, "uwsgi.logsize()"), json!(0));
        let as_file = "uwsgi.opt.update(logto=__file__.encode()) or \
                       uwsgi.logsize() == os.path.getsize(__file__)";
        assert_eq!(value(&mut client, as_file), json!(true));
    });
}

#[test]
fn waits_for_a_signal() {
    for_each_mode(|mode| {
        let server = Server::http(mode, "evaluates", &["--threads", "2"]);
        let mut client = server.connect();
        assert_eq!(
            value(&mut client, "uwsgi.signal_received(), uwsgi.suspend()"),
            json!([0, true])
        );
        let wait =
            "print('waits', flush=True), uwsgi.signal_wait(17), uwsgi.signal_received(), HEARD";
        let escaped: String = wait.bytes().map(|byte| format!("%{byte:02X}")).collect();
        client.send(format!("GET /?{escaped} HTTP/1.1\r\nHost: a\r\n\r\n"));
        server.log.line("waits");
        let mut other = server.connect();
        // The first may come before it waits.
        eventually("it is heard", || {
            value(&mut other, "uwsgi.signal(17)");
            client.has_answer()
        });
        let answer = client.response().json();
        assert_eq!((&answer[1], &answer[2]), (&json!(null), &json!(17)));
        assert_eq!(answer[3][0], 17, "its handler has run");
    });
}

#[test]
fn a_reload_that_the_import_of_the_app_asks_for_is_none() {
    for_each_mode(|mode| {
        for more in [&[][..], &["--lazy-apps"]] {
            let code = Code::new();
            code.begins("import uwsgi\nuwsgi.reload()", "one");
            let args: Vec<_> =
                ["--master", "--processes", "2"].iter().chain(more).copied().collect();
            let mut server = code.serve(mode, &args);
            server.log.line("uwsgi.reload() while the app is loaded does nothing");
            // Wishes are looked at twice a second.
            std::thread::sleep(std::time::Duration::from_millis(1200));
            assert_eq!(server.get("/").text(), "one");
            assert_eq!(server.log.text().matches("uwring is ready:").count(), 1);
            assert_eq!(server.stop(libc::SIGTERM), 0);
        }
    });
}

#[test]
fn names_that_are_not_there_say_so() {
    for_each_mode(|mode| {
        let server = Server::http(mode, "evaluates", &[]);
        let mut client = server.connect();
        for name in ["cache_get", "sendfile", "offload", "route", "connection_fd", "spool", "rpc"] {
            let expression = format!("hasattr(uwsgi, '{name}')");
            assert_eq!(value(&mut client, &expression), json!(false), "{name}");
        }
        let message =
            "AttributeError(\"module 'uwsgi' has no attribute 'cache_get' in this version\")";
        assert_eq!(value(&mut client, "uwsgi.cache_get('x')"), json!(message));
    });
}
