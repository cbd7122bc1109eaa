//! Flask and Django, really installed, in a virtual environment of the server's Python.

use std::path::Path;

use crate::harness::server::Mode;
use crate::harness::{Client, Response, Server, app, for_each_mode, tools};

fn flask(mode: Mode, more: &[&str]) -> Server {
    let venv = tools::venv().display().to_string();
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut args = vec!["--http-socket", "127.0.0.1:0", "--home", &venv];
    args.extend_from_slice(more);
    Server::start_in(mode, &args, &examples)
}

#[test]
fn serves_the_tutorials_flask_app() {
    for_each_mode(|mode| {
        for more in [
            &["-w", "wsgi:application"][..],
            &["--wsgi-file", "wsgi.py"],
            &["--module", "flask_app:app", "--processes", "2", "--threads", "2"],
        ] {
            let server = flask(mode, more);
            let mut client = server.connect();
            let response = client.get("/");
            assert!(response.text().contains("Welcome to my website!"), "{}", response.text());
            assert!(response.field("content-type").unwrap().starts_with("text/html"));
            assert!(client.get("/hello").text().contains("Hello World!"));
            assert_eq!(client.get("/nowhere").status, 404);
        }
    });
}

fn post(client: &mut Client, path: &str, kind: &str, body: &str) -> Response {
    let length = body.len();
    client.send(format!(
        "POST {path} HTTP/1.1\r\nHost: a.example\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}"
    ));
    client.response()
}

const FORM: &str = "application/x-www-form-urlencoded";

fn exercise(server: &Server) {
    let mut client = server.connect();
    assert_eq!(client.get("/text").text(), "plain");
    assert_eq!(post(&mut client, "/form", FORM, "name=J%C3%BCrgen").text(), "J\u{fc}rgen");
    assert_eq!(post(&mut client, "/json", "application/json", "{\"a\": [1, 2]}").json()["a"][1], 2);
    let file = "x".repeat(700_000);
    let body = format!(
        "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\n{file}\r\n--b--\r\n"
    );
    assert_eq!(
        post(&mut client, "/upload", "multipart/form-data; boundary=b", &body).text(),
        "700000"
    );
    assert_eq!(client.get("/streamed").text(), "0 1 2 3 4 ");
    assert_eq!(client.get("/file").text(), std::fs::read_to_string(app("hello")).unwrap());
    let response = client.get("/cookies");
    let cookies =
        response.fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"));
    assert_eq!(cookies.count(), 2);
    let response = client.get("/redirect");
    assert_eq!((response.status, response.field("location")), (302, Some("/text")));
    assert_eq!(client.get("/raises").status, 500);
    server.log.line("ZeroDivisionError");
    client.send("HEAD /text HTTP/1.1\r\nHost: a.example\r\n\r\n");
    assert!(client.response_to_head().field("content-length").is_none_or(|length| length == "5"));
    assert_eq!(client.get("/text").text(), "plain");
}

#[test]
fn serves_what_flask_apps_do() {
    for_each_mode(|mode| exercise(&flask(mode, &["--wsgi-file", &app("with_flask")])));
}

#[test]
fn serves_what_django_apps_do() {
    for_each_mode(|mode| exercise(&flask(mode, &["--wsgi-file", &app("with_django")])));
}

#[test]
fn takes_the_virtual_environment_from_the_environment() {
    let venv = tools::venv();
    for_each_mode(|mode| {
        let mut command = crate::harness::server::command(&[
            "--http-socket",
            "127.0.0.1:0",
            "--wsgi-file",
            &app("with_flask"),
            "--isolation",
            mode.isolation,
            "--io",
            mode.io,
        ]);
        command.env("VIRTUAL_ENV", &venv);
        let server = Server::await_ready(command, mode);
        assert_eq!(server.get("/text").text(), "plain");
    });
}

#[test]
fn isolates_flask_and_django_by_itself() {
    for name in ["with_flask", "with_django"] {
        let mode = Mode { isolation: "auto", io: "auto" };
        let server = flask(mode, &["--wsgi-file", &app(name)]);
        assert_eq!(server.get("/text").text(), "plain", "{name}");
    }
}
