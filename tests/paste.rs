//! Apps that are no module and no file: of PasteDeploy (Pyramid), and of `eval`.

use std::path::PathBuf;

use serde_json::json;

use crate::compatibility::Uwsgi;
use crate::harness::process::Process;
use crate::harness::server::command;
use crate::harness::{Client, Mode, Server, app, for_each_mode, scratch, tools};

/// A Paste file as Pyramid's templates make them, with a section for the server.
const FILE: &str = "
[uwsgi]
pythonpath = @APPS@
threads = 2

[app:main]
paste.app_factory = pasted:make
greeting = from %(here)s

[app:other]
paste.app_factory = pasted:pyramid
greeting = good day

[loggers]
keys = root
[handlers]
keys = console
[formatters]
keys = generic
[logger_root]
level = INFO
handlers = console
[handler_console]
class = StreamHandler
args = (sys.stderr,)
formatter = generic
[formatter_generic]
format = PASTE %(levelname)s %(message)s
";

struct Pasted {
    directory: tempfile::TempDir,
    file: PathBuf,
    venv: String,
}

/// The file in a directory of its own, and a Python that has PasteDeploy.
fn pasted() -> Pasted {
    let directory = scratch();
    let file = directory.path().join("production.ini");
    std::fs::write(&file, FILE.replace("@APPS@", &apps())).unwrap();
    Pasted { directory, file, venv: tools::venv_of_paste().display().to_string() }
}

fn apps() -> String {
    app("pasted").replace("/pasted.py", "")
}

impl Pasted {
    fn uri(&self) -> String {
        format!("config:{}", self.file.display())
    }

    fn start(&self, mode: Mode, more: &[&str]) -> Server {
        let common = ["--http-socket", "127.0.0.1:0", "--home", &self.venv];
        Server::start_in(mode, &[&common[..], more].concat(), self.directory.path())
    }
}

#[test]
fn serves_the_app_of_a_paste_file_as_uwsgi_does() {
    let pasted = pasted();
    let file = pasted.file.to_str().unwrap();
    let told = json!({
        "global": ["__file__", "here"],
        "settings": {"greeting": format!("from {}", pasted.directory.path().display())},
    });
    for_each_mode(|mode| {
        // Named as it is from where the server starts, too.
        for name in [file, "production.ini"] {
            let server = pasted.start(mode, &["--ini-paste", name]);
            server.log.line(&format!("Loading paste environment: {}", pasted.uri()));
            server.log.line("cores: 2");
            assert_eq!(server.get("/").json(), told, "{mode}: {name}");
            assert!(!server.log.text().contains("PASTE"), "{}", server.log.text());
        }
        let server = pasted.start(mode, &["--ini-paste-logged", file]);
        assert_eq!(server.get("/here").json(), told, "{mode}");
        server.log.line("PASTE WARNING asked for /here");
        let (uri, apps) = (pasted.uri(), apps());
        let more = ["--pythonpath", &apps, "--paste", &uri, "--paste-logger"];
        let server = pasted.start(mode, &more);
        assert_eq!(server.get("/there").json(), told, "{mode}");
        server.log.line("PASTE WARNING asked for /there");
        let mount = format!("/mounted={file}");
        let more = ["--pythonpath", &apps, "--manage-script-name", "--mount", &mount];
        let server = pasted.start(mode, &more);
        assert_eq!(server.get("/mounted/x").json(), told, "{mode}");
    });
    let options = ["--home", &pasted.venv, "--ini-paste-logged", file];
    if let Some(uwsgi) = Uwsgi::serve_what(&options) {
        assert_eq!(Client::connect(&uwsgi.addresses[0]).get("/").json(), told);
        uwsgi.process.log.line(&format!("Loading paste environment: {}", pasted.uri()));
        uwsgi.process.log.line("PASTE WARNING asked for /");
    }
}

#[test]
fn serves_pyramid() {
    let pasted = pasted();
    if !tools::is_installed(pasted.venv.as_ref(), "pyramid") {
        return; // A Python that is younger than its wheels.
    }
    let uri = format!("{}#other", pasted.uri());
    let args = ["--http-socket", "127.0.0.1:0", "--home", &pasted.venv, "--paste", &uri];
    let apps = apps();
    let process = Process::start(command(&[&args[..], &["--pythonpath", &apps]].concat()));
    let line = process.log.line("uwring is ready:");
    let address = line.split_once(", on ").unwrap().1;
    assert_eq!(Client::connect(address).get("/hello/you").text(), "good day you");
    assert_eq!(Client::connect(address).get("/nothing").status, 404);
}

#[test]
fn says_what_paste_cannot_load() {
    let pasted = pasted();
    let nowhere = format!("config:{}", pasted.directory.path().join("nowhere.ini").display());
    let unknown = format!("{}#unknown", pasted.uri());
    for (uri, why) in [
        (nowhere.as_str(), "nowhere.ini"),
        (&unknown, "No section 'unknown'"),
        ("production.ini", "URI has no scheme: 'production.ini'"),
    ] {
        let args = ["--http-socket", "127.0.0.1:0", "--home", &pasted.venv, "--need-app"];
        let apps = apps();
        let more = ["--paste", uri, "--pythonpath", &apps];
        let (code, log) = Process::start(command(&[&args[..], &more].concat())).finish();
        assert!(code == 22 && log.contains(why), "{uri}: {code}\n{log}");
    }
    let args = ["--http-socket", "127.0.0.1:0", "--need-app", "--paste", "egg:any"];
    let bare = pasted.directory.path().join("bare").display().to_string();
    let made = std::process::Command::new(tools::python()).args(["-m", "venv", &bare]).status();
    assert!(made.unwrap().success());
    let (code, log) = Process::start(command(&[&args[..], &["--home", &bare]].concat())).finish();
    assert!(code == 22 && log.contains("this Python has no PasteDeploy"), "{code}\n{log}");
}

#[test]
fn serves_what_eval_makes() {
    let code = "import hello; application = hello.application";
    let apps = apps();
    for_each_mode(|mode| {
        let more = ["--pythonpath", &apps, "--eval", code];
        let server = Server::start(mode, &[&["--http-socket", "127.0.0.1:0"], &more[..]].concat());
        assert_eq!(server.get("/").text(), "hello", "{mode}");
        let (code, callable) = ("import hello\ndef make(): return hello.application", "make()");
        let more = ["--pythonpath", &apps, "--eval", code, "--callable", callable];
        let server = Server::start(mode, &[&["--http-socket", "127.0.0.1:0"], &more[..]].concat());
        assert_eq!(server.get("/").text(), "hello", "{mode}");
    });
    let broken = ["--http-socket", "127.0.0.1:0", "--need-app", "--eval", "application = 1 +"];
    let (code, log) = Process::start(command(&broken)).finish();
    assert!(code == 22 && log.contains("SyntaxError"), "{code}\n{log}");
}
