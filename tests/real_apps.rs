//! Real applications out of PyPI's wheels, with a real PostgreSQL: those that interpreters can run
//! must get them, all others must run in processes, and daemon threads must work in both.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};

use crate::harness::postgres::Postgres;
use crate::harness::server::python_minor;
use crate::harness::{Client, DEADLINE, Mode, Response, Server, app, scratch, tools};

const AUTO: Mode = Mode { isolation: "auto", io: "auto" };
const PROCESS: Mode = Mode { isolation: "process", io: "auto" };
const INTERPRETER: Mode = Mode { isolation: "interpreter", io: "auto" };

/// Both isolations and the choice; what the kernel gives moves the bytes, since the driver makes no
/// difference to an app.
fn modes() -> Vec<Mode> {
    let all = [AUTO, PROCESS, INTERPRETER];
    all.into_iter().filter(|mode| *mode != INTERPRETER || python_minor() >= 13).collect()
}

fn serve(mode: Mode, name: &str, more: &[&str]) -> Server {
    let venv = tools::venv_of_real_apps().display().to_string();
    let mut args = vec!["--home", &venv];
    args.extend_from_slice(more);
    Server::http(mode, name, &args)
}

/// What the workers are.
fn kind(server: &Server) -> &'static str {
    let line = server.log.line("uwring is ready");
    if line.contains("(interpreter)") { "interpreter" } else { "process" }
}

fn assert_interpreters_if_possible(server: &Server) {
    let expected = match (server.mode.isolation, python_minor()) {
        ("process", _) | (_, ..13) => "process",
        _ => "interpreter",
    };
    assert_eq!(kind(server), expected, "{}", server.log.text());
}

fn post(client: &mut Client, path: &str, fields: &str, body: &str) -> Response {
    let length = body.len();
    client.send(format!(
        "POST {path} HTTP/1.1\r\nHost: a.example\r\nContent-Length: {length}\r\n{fields}\r\n{body}"
    ));
    client.response()
}

const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";

const NAMES: &str = "CREATE TABLE names (name text)";

/// Writes and reads rows through connections that each worker must have for itself.
fn exercise_names(server: &Server) {
    std::thread::scope(|scope| {
        for index in 0..4 {
            scope.spawn(move || {
                let mut client = server.connect();
                for turn in 0..10 {
                    let body = format!("name=n{index}-{turn}");
                    assert_eq!(post(&mut client, "/names", FORM, &body).status, 201);
                }
            });
        }
    });
    let mut backends = std::collections::BTreeMap::new();
    for _ in 0..40 {
        let found = server.get("/names").json();
        assert_eq!(found["names"].as_array().map(Vec::len), Some(40), "{found}");
        // The hook ran once, in this worker.
        assert_eq!(found["forked"], serde_json::json!([found["worker"]]), "{found}");
        let worker = found["worker"].to_string();
        let before = backends.insert(found["backend"].to_string(), worker.clone());
        assert!(before.is_none_or(|other| other == worker), "two workers share a connection");
    }
}

#[test]
fn flask_sqlalchemy_and_psycopg2_get_processes() {
    let Some(postgres) = Postgres::shared() else { return };
    for mode in [AUTO, PROCESS] {
        for more in [&[][..], &["--lazy-apps"]] {
            let env = format!("DSN={}", postgres.database(NAMES));
            let mut args = vec!["--env", &env, "--processes", "2", "--callable", "app"];
            // The uwsgidecorators of a real uWSGI in the environment asks for it.
            args.push("--master");
            args.extend_from_slice(more);
            let server = serve(mode, "with_psycopg2", &args);
            exercise_names(&server);
            if mode == AUTO && kind(&server) == "process" && python_minor() >= 13 {
                let line = server.log.line("isolation: ");
                assert!(
                    line.contains(" refuses sub-interpreters: serving with 2 processes"),
                    "{line}"
                );
                assert!(line.ends_with(" would lift this"), "{line}");
            }
        }
    }
}

#[test]
fn psycopg_3_gets_interpreters() {
    let Some(postgres) = Postgres::shared() else { return };
    for mode in modes() {
        let env = format!("DSN={}", postgres.database(NAMES));
        let args = ["--env", &env, "--processes", "2", "--callable", "app", "--master"];
        let server = serve(mode, "with_psycopg", &args);
        assert_interpreters_if_possible(&server);
        exercise_names(&server);
        assert_eq!(server.get("/names").json()["driver"], "python");
    }
}

/// Runs with_django_admin.py as a manage.py.
fn manage(dsn: &str, args: &[&str]) {
    let mut command = crate::harness::server::clean(&tools::venv_of_real_apps().join("bin/python"));
    command.arg(app("with_django_admin")).args(args);
    command.env("DSN", dsn).env("DJANGO_SUPERUSER_PASSWORD", "secret");
    let output = Command::output(&mut command).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The values of the cookies that a response sets, as a request's field.
fn cookies(response: &Response) -> String {
    let set = response.fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"));
    let pairs: Vec<_> = set.filter_map(|(_, value)| value.split(';').next()).collect();
    pairs.join("; ")
}

/// The hidden field against forgery.
fn token(page: &Response) -> String {
    let (_, after) = page.text().split_once("name=\"csrfmiddlewaretoken\" value=\"").unwrap();
    after.split('"').next().unwrap().to_owned()
}

/// Logs in, adds a group and finds it in the list.
fn exercise_admin(server: &Server, group: &str) {
    let mut client = server.connect();
    let mut get = |path: &str, cookies: &str| {
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a.example\r\nCookie: {cookies}\r\n\r\n"));
        client.response()
    };
    let response = get("/admin/", "");
    assert_eq!(response.field("location"), Some("/admin/login/?next=/admin/"));
    let page = get("/admin/login/", "");
    let (jar, csrf) = (cookies(&page), token(&page));
    let form = |cookies: &str| format!("{FORM}Cookie: {cookies}\r\n");
    let body = format!("csrfmiddlewaretoken={csrf}&username=boss&password=secret&next=/admin/");
    let response = post(&mut server.connect(), "/admin/login/", &form(&jar), &body);
    assert_eq!((response.status, response.field("location")), (302, Some("/admin/")));
    let jar = cookies(&response);
    assert!(get("/admin/", &jar).text().contains("Site administration"));
    let page = get("/admin/auth/group/add/", &jar);
    let body = format!("csrfmiddlewaretoken={}&name={group}", token(&page));
    let response = post(&mut server.connect(), "/admin/auth/group/add/", &form(&jar), &body);
    assert_eq!(response.field("location"), Some("/admin/auth/group/"), "{}", response.text());
    for _ in 0..6 {
        // By whichever worker: they share the database and nothing else.
        let list = get("/admin/auth/group/", &jar);
        assert!(list.text().contains(&format!(">{group}</a>")), "{}", list.text());
    }
}

fn django_admin(dsn: &str) {
    manage(dsn, &["migrate", "-v", "0"]);
    manage(
        dsn,
        &["createsuperuser", "--noinput", "--username", "boss", "--email", "boss@example.com"],
    );
    let (env, apps) = (format!("DSN={dsn}"), app("with_django_admin"));
    let apps = Path::new(&apps).parent().unwrap().display().to_string();
    for mode in modes() {
        let args = ["--env", &env, "--pythonpath", &apps, "--processes", "2", "--threads", "2"];
        let server = serve(mode, "with_django_admin", &args);
        assert_interpreters_if_possible(&server);
        exercise_admin(&server, &format!("group-{}", mode.isolation));
    }
}

#[test]
fn django_with_its_admin_runs_on_sqlite() {
    let directory = scratch();
    django_admin(&directory.path().join("db.sqlite3").display().to_string());
}

#[test]
fn django_with_its_admin_runs_on_postgresql() {
    let Some(postgres) = Postgres::shared() else { return };
    django_admin(&postgres.database(""));
}

#[test]
fn numpy_pillow_pydantic_cryptography_and_lxml_work() {
    for mode in [AUTO, PROCESS] {
        let server = serve(mode, "with_extensions", &["--processes", "2", "--callable", "app"]);
        for _ in 0..4 {
            let mut client = server.connect();
            assert_eq!(client.get("/numpy").text(), "499500");
            assert_eq!(client.get("/pillow").text(), "8x4");
            let order = "{\"count\": 2, \"names\": [\"lxml\"]}";
            assert_eq!(post(&mut client, "/rest", "", order).text(), "lxmllxml");
        }
    }
}

#[test]
fn what_refuses_is_named_for_each_package() {
    if python_minor() < 13 {
        return;
    }
    for (module, names, lift) in [
        ("numpy", "numpy.", "a release of numpy that allows them"),
        ("PIL.Image", "PIL.", "a release of PIL that allows them"),
        ("pydantic", "pydantic_core.", "a release of pydantic_core that allows them"),
        ("cryptography.fernet", "cryptography.", "a release of cryptography that allows them"),
        ("lxml.etree", "lxml.", "a release of lxml that allows them"),
        ("psycopg2", "psycopg2.", "psycopg 3"),
        ("sqlalchemy", "sqlalchemy.", "SQLAlchemy's pure wheel (py3-none-any)"),
    ] {
        let env = format!("IMPORTS={module}");
        let server = serve(AUTO, "imports", &["--env", &env]);
        assert_eq!(server.get("/").text(), module);
        let line = server.log.line("isolation: ").replace(" (tried before)", "");
        // A later release may have learnt it.
        if kind(&server) == "process" {
            assert!(line.starts_with(&format!("isolation: {names}")), "{line}");
            let end = format!(
                " refuses sub-interpreters: serving with 1 process; {lift} would lift this"
            );
            assert!(line.ends_with(&end), "{line}");
        }
    }
}

#[test]
fn an_accelerator_that_is_replaced_by_pure_python_means_processes() {
    if python_minor() < 13 {
        return;
    }
    if !tools::is_installed(&tools::venv_of_real_apps(), "pyyaml") {
        return;
    }
    let server = serve(AUTO, "imports", &["--env", "IMPORTS=yaml"]);
    assert_eq!(server.get("/").text(), "yaml");
    if kind(&server) == "process" {
        let line = server.log.line("isolation: yaml._yaml refuses sub-interpreters, and the app");
        assert!(line.contains("--isolation interpreter, which accepts that, would lift"), "{line}");
    }
}

/// Takes what Sentry's SDK sends, and answers as the service does.
fn collector() -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (bodies, received) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let bodies = bodies.clone();
            std::thread::spawn(move || collect(stream, &bodies));
        }
    });
    (address, received)
}

fn collect(mut stream: TcpStream, bodies: &std::sync::mpsc::Sender<String>) {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 65_536]);
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_ascii_lowercase();
            let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
            let length: usize = length.and_then(|text| text.trim().parse().ok()).unwrap_or(0);
            if body.len() >= length {
                let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
                if bodies.send(body.to_owned()).is_err()
                    || stream.write_all(answer.as_bytes()).is_err()
                {
                    return;
                }
                bytes.clear();
            }
        }
        match stream.read(&mut buffer) {
            Ok(count) if count > 0 => bytes.extend_from_slice(&buffer[..count]),
            _ => return,
        }
    }
}

#[test]
fn the_thread_of_sentrys_sdk_sends_what_is_raised() {
    for mode in modes() {
        for more in [&[][..], &["--lazy-apps"]] {
            let (address, received) = collector();
            let env = format!("COLLECTOR={address}");
            let mut args = vec!["--env", &env, "--processes", "2", "--callable", "app"];
            args.extend_from_slice(more);
            let mut server = serve(mode, "with_sentry", &args);
            assert_interpreters_if_possible(&server);
            let log = server.log.text();
            assert!(!log.contains("IMPORTANT"), "the SDK complains of uWSGI's options: {log}");
            assert_eq!(server.get("/raises").status, 500);
            let deadline = std::time::Instant::now() + DEADLINE;
            let mut bodies = String::new();
            while !bodies.contains("seen by Sentry") {
                let left = deadline.saturating_duration_since(std::time::Instant::now());
                bodies.push_str(&received.recv_timeout(left).expect("an event from the SDK"));
            }
            assert_eq!(server.stop(libc::SIGTERM), 0);
        }
    }
}

#[test]
fn the_threads_of_opentelemetrys_sdk_export_spans_and_metrics() {
    for mode in modes() {
        for more in [&[][..], &["--lazy-apps"]] {
            let mut args = vec!["--processes", "2"];
            args.extend_from_slice(more);
            let mut server = serve(mode, "with_opentelemetry", &args);
            assert_interpreters_if_possible(&server);
            let threads = server.get("/traced").text().to_owned();
            assert!(threads.contains("OtelBatchSpan"), "{threads}");
            server.log.line("span of /traced");
            server.log.find("the metric", |text| text.contains("counted_requests").then_some(()));
            assert_eq!(server.stop(libc::SIGTERM), 0);
        }
    }
}
