//! Configuration files: the tutorial's own, and broken ones.

use std::path::Path;

use crate::harness::process::Process;
use crate::harness::server::{Mode, command};
use crate::harness::{Client, Server, for_each_mode, packet, scratch};

const HELLO: &str = "def application(environ, start_response):\n    start_response('200 OK', [])\n    return [b'from wsgi.py']\n";

/// A folder with `wsgi.py` and the tutorial's ini files, on ports that are free.
fn folder(ini: &str) -> tempfile::TempDir {
    let directory = scratch();
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let text = std::fs::read_to_string(examples.join(ini)).unwrap();
    assert!(text.contains("[uwsgi]"), "{ini}");
    std::fs::write(directory.path().join("wsgi.py"), HELLO).unwrap();
    std::fs::write(directory.path().join("app.ini"), text.replace("0.0.0.0:8080", "127.0.0.1:0"))
        .unwrap();
    directory
}

fn start(mode: Mode, directory: &Path, ini: &str) -> Server {
    Server::start_in(mode, &["--ini", ini], directory)
}

#[test]
fn serves_the_tutorials_ini_with_a_module_beside_it() {
    for_each_mode(|mode| {
        let directory = folder("app.ini");
        let mut server = start(mode, directory.path(), "app.ini");
        assert_eq!(server.get("/").text(), "from wsgi.py");
        server.log.line("spawned uWSGI worker 10");
        assert_eq!(server.stop(libc::SIGTERM), 0, "die-on-term");
    });
}

#[test]
fn finds_the_module_beside_the_ini_from_another_directory() {
    for_each_mode(|mode| {
        let directory = folder("app.ini");
        let ini = directory.path().join("app.ini").display().to_string();
        let server = start(mode, Path::new("/"), &ini);
        assert_eq!(server.get("/").text(), "from wsgi.py");
    });
}

#[test]
fn serves_the_tutorials_ini_with_a_socket_file() {
    use std::os::unix::fs::PermissionsExt;
    for_each_mode(|mode| {
        let directory = folder("app_socket.ini");
        let mut server = start(mode, directory.path(), "app.ini");
        let path = directory.path().join("my_app.sock");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        let mut client = Client::connect(&path.display().to_string());
        client.send(packet::packet(0, &packet::vars("GET", "/", &[])));
        assert_eq!(client.response().text(), "from wsgi.py");
        server.stop(libc::SIGTERM);
        assert!(path.exists(), "#vacuum is a comment");
    });
}

#[test]
fn takes_an_ini_without_the_option() {
    let directory = folder("app.ini");
    let server = Server::start_in(Mode::ANY, &["app.ini"], directory.path());
    assert_eq!(server.get("/").text(), "from wsgi.py");
}

#[test]
fn fills_in_placeholders_and_variables() {
    let directory = folder("app.ini");
    let text = "[uwsgi]\nhere = %d\nset-placeholder = name=wsgi\nchdir = %(here)\nmodule = %(name)\n\
                env = COLOUR=$(SHADE)\nhttp-socket = 127.0.0.1:0 \n; a comment\n# another\nprocesses = 2\n";
    std::fs::write(directory.path().join("app.ini"), text).unwrap();
    let ini = directory.path().join("app.ini").display().to_string();
    let mut command = command(&["--ini", &ini]);
    command.env("SHADE", "dark").current_dir("/");
    let server = Server::await_ready(command, Mode::ANY);
    assert_eq!(server.get("/").text(), "from wsgi.py");
}

#[test]
fn names_the_line_of_what_is_wrong() {
    let directory = scratch();
    for (text, parts) in [
        ("[uwsgi]\nhttp-socket = :0\nprocesses = many\n", &["app.ini:3", "processes", "many"][..]),
        // uWSGI: a name that is no option is a placeholder, unless `strict`.
        ("[uwsgi]\nstrict = true\nno-such-option = 1\n", &["app.ini:3", "no-such-option"]),
        ("[uwsgi]\nhttp-socket = :0\nmaster\n\nset = x\n", &["app.ini:5", "name=value"]),
        ("[uwsgi]\nif-env = A\nif-env = B\nendif\n", &["app.ini:3", "if-env"]),
        ("[uwsgi]\nhttp-socket = :0\nchdir = /no\n", &["app.ini:3: chdir: /no: No such file"]),
        ("[uwsgi]\nhttp-socket = :0\nuid = nosuch\n", &["app.ini:3: uid: there is no user"]),
        ("[uwsgi]\nhttp-socket = :0\npidfile = /no/p\n", &["app.ini:3: pidfile: /no/p: No such"]),
        (
            "[uwsgi]\nhttp-socket = :0\ncheaper = 5\n",
            &["app.ini:3: cheaper: invalid cheaper value: 5"],
        ),
        ("[uwsgi]\nhttp-socket = :0\nlog-drain = (\n", &["app.ini:3: log-drain: \"(\" is no"]),
        (
            "[uwsgi]\nhttp-socket = :0\nlogger = a stdio\nlog-route = a [\n",
            &["app.ini:4: log-route: \"[\" is no regular expression: "],
        ),
        (
            "[uwsgi]\nhttp-socket = :0\nreq-logger = a stdio\nlog-req-route = b x\n",
            &["app.ini:4: log-req-route: there is no logger \"b\""],
        ),
        (
            "[uwsgi]\nhttp-socket = :0\nblacklist = threads master\nmaster = true\n",
            &["app.ini:4: master: it is forbidden by the blacklist of app.ini:3"],
        ),
        (
            "[uwsgi]\nwhitelist = http-socket\nhttp-socket = :0\nend-whitelist =\n",
            &["app.ini:4: end-whitelist: it is forbidden by the whitelist of app.ini:2"],
        ),
        ("[uwsgi]\nenv = A=\0\n", &["app.ini:2: env: expected text, found a NUL byte"]),
    ] {
        std::fs::write(directory.path().join("app.ini"), text).unwrap();
        let mut command = command(&["--ini", "app.ini"]);
        command.current_dir(directory.path());
        let (code, log) = Process::start(command).finish();
        assert_eq!(code, 1, "{text}\n{log}");
        for part in parts {
            assert!(log.contains(part), "{part} is not in\n{log}");
        }
    }
}

#[test]
fn refuses_a_file_that_is_no_configuration() {
    let directory = scratch();
    for bytes in [&b"\x00\xff\xfe binary"[..], b"", b"[other]\nhttp-socket = :0\n"] {
        std::fs::write(directory.path().join("app.ini"), bytes).unwrap();
        let mut command = command(&["--ini", "app.ini"]);
        command.current_dir(directory.path());
        let (code, log) = Process::start(command).finish();
        assert_eq!(code, 1, "{bytes:?}\n{log}");
        assert!(!log.contains("panicked"), "{log}");
    }
}
