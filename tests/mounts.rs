//! Several apps in one server: `mount`, `manage-script-name` and their like.

use crate::harness::packet::{self, packet, vars};
use crate::harness::process::Process;
use crate::harness::server::command;
use crate::harness::{Server, app, for_each_mode, scratch, tools};

/// The apps of `mounted.py` where most tests want them.
const MOUNTS: [&str; 8] = [
    "--mount",
    "/one=mounted:one",
    "--mount",
    "/two=mounted:two",
    "--mount",
    "/one/deep=mounted:deep",
    "--mount",
    "/made=mounted:make()",
];

fn options(more: &[&'static str]) -> Vec<String> {
    let folder = app("mounted").replace("/mounted.py", "");
    let mut all = vec!["--pythonpath".to_owned(), folder];
    all.extend(MOUNTS.iter().chain(more).map(|word| (*word).to_owned()));
    all
}

fn sockets(mut options: Vec<String>) -> Vec<String> {
    for word in ["--http-socket", "127.0.0.1:0", "--socket", "127.0.0.1:0"] {
        options.push(word.to_owned());
    }
    options
}

/// What uWSGI 2.0.31 answers too: the test below holds it against this list.
const MANAGED: [(&str, &str); 12] = [
    ("/", "main||/"),
    ("/one", "one|/one|"),
    ("/one/", "one|/one|/"),
    ("/one/x", "one|/one|/x"),
    ("/onex", "main||/onex"),
    ("/one/deep/y", "deep|/one/deep|/y"),
    ("/one/deeper", "one|/one|/deeper"),
    ("/two/z", "two|/two|/z"),
    ("/two//z", "two|/two|//z"),
    ("/%6fne/q", "one|/one|/q"),
    ("/made/x", "made|/made|/x"),
    ("/other", "main||/other"),
];

#[test]
fn the_path_chooses_the_app() {
    for_each_mode(|mode| {
        let more = ["--module", "mounted", "--manage-script-name", "--master"];
        let stats = ["--stats", "127.0.0.1:0"];
        let mut server = Server::start(mode, &sockets(options(&[&more[..], &stats[..]].concat())));
        for (path, answer) in MANAGED {
            assert_eq!(server.get(path).text(), answer, "{path}");
        }
        // A proxy's own idea of the place does not count then.
        let sent = vars("GET", "/one/x", &[("SCRIPT_NAME", "/two")]);
        assert_eq!(packet::ask(&server, &packet(0, &sent)).text(), "one|/one|/x");

        let prefix = vars("GET", "/y", &[("SCRIPT_NAME", "/prefix")]);
        assert_eq!(packet::ask(&server, &packet(0, &prefix)).text(), "main|/prefix|/y");

        let mut bare = vars("GET", "/one/x", &[]);
        bare.retain(|(name, _)| *name != "PATH_INFO");
        assert_eq!(packet::ask(&server, &packet(0, &bare)).text(), "main||");
        let stats = server.stats();
        let apps = stats["workers"][0]["apps"].as_array().unwrap();
        let shown: Vec<_> = apps
            .iter()
            .map(|app| format!("{}{}={}", app["id"], app["mountpoint"], app["requests"]))
            .collect();
        assert_eq!(shown.join(" "), r#"0""=5 1"/one"=6 2"/two"=2 3"/one/deep"=1 4"/made"=1"#);
        assert_eq!(stats["workers"][0]["requests"], 15);
        let line = server.log.line("GET /made/x ");
        assert!(line.contains("|app: 4|req: 1/"), "{line}");
        assert_eq!(server.stop(libc::SIGTERM), 0);
    });
}

#[test]
fn a_real_uwsgi_chooses_the_same() {
    let Some(uwsgi) = tools::uwsgi() else { return };
    let directory = scratch();
    let socket = directory.path().join("http.sock").display().to_string();
    let mut command = crate::harness::server::clean(&uwsgi);
    command.args(options(&["--module", "mounted", "--manage-script-name", "--master"]));
    command.args(["--die-on-term", "--http-socket", &socket]);
    let mut process = Process::start(command);
    process.log.line("spawned uWSGI worker 1");
    for (path, answer) in MANAGED {
        let mut client = crate::harness::Client::connect(&socket);
        client.send(format!("GET {path} HTTP/1.0\r\n\r\n"));
        assert_eq!(client.response().text(), answer, "{path}");
    }
    process.stop(libc::SIGTERM);
}

#[test]
fn a_proxys_script_name_chooses_the_app() {
    for_each_mode(|mode| {
        let server = Server::start(mode, &sockets(options(&["--module", "mounted"])));
        let ask = |target: &str, more: &[(&str, &str)]| {
            packet::ask(&server, &packet(0, &vars("GET", target, more))).text().to_owned()
        };
        assert_eq!(ask("/one/x", &[]), "main||/one/x");
        assert_eq!(ask("/x", &[("SCRIPT_NAME", "/one")]), "one|/one|/x");
        assert_eq!(ask("/x", &[("SCRIPT_NAME", "/on")]), "main|/on|/x");
        assert_eq!(ask("/x", &[("UWSGI_APPID", "/two")]), "two||/x");
        let both = [("UWSGI_APPID", "/two"), ("SCRIPT_NAME", "/one")];
        assert_eq!(ask("/x", &both), "two|/one|/x");
        // Over HTTP a client cannot say where an app is.
        let sent = "GET /one HTTP/1.1\r\nHost: a\r\nScript-Name: /one\r\nUwsgi-Appid: /one\r\n\r\n";
        assert_eq!(server.ask(sent).text(), "main||/one");
    });
}

#[test]
fn a_proxys_script_name_can_be_ignored() {
    for_each_mode(|mode| {
        let more = ["--module", "mounted", "--ignore-script-name"];
        let server = Server::start(mode, &sockets(options(&more)));
        let sent = vars("GET", "/x", &[("SCRIPT_NAME", "/one")]);
        assert_eq!(packet::ask(&server, &packet(0, &sent)).text(), "main|/one|/x");
    });
}

#[test]
fn without_an_app_of_everything_the_first_is_it_unless_told_otherwise() {
    for_each_mode(|mode| {
        let server = Server::start(mode, &sockets(options(&["--manage-script-name"])));
        assert_eq!(server.get("/other").text(), "one||/other");
        // uWSGI says SCRIPT_NAME=/two/ and PATH_INFO=z of such a mount, which PEP 3333 forbids.
        let more = ["--manage-script-name", "--mount", "/slash/=mounted:two"];
        let server = Server::start(mode, &sockets(options(&more)));
        assert_eq!(server.get("/slash/z").text(), "two|/slash|/z");
        let more = ["--manage-script-name", "--no-default-app"];
        let server = Server::start(mode, &sockets(options(&more)));
        assert_eq!(server.get("/other").status, 500);
        assert_eq!(server.get("/two").text(), "two|/two|");
        server.log.line("no python application found");
        let line = server.log.line("GET /other ");
        assert!(line.contains("|app: -1|"), "{line}");
    });
}

#[test]
fn an_app_that_cannot_be_mounted_ends_the_start() {
    for mount in ["/x=nowhere:app", "/x=/nowhere/app.py", "/x=mounted:nothing"] {
        let mut args = sockets(options(&["--module", "mounted"]));
        args.extend(["--mount".to_owned(), mount.to_owned()]);
        let (code, log) = Process::start(command(&args)).finish();
        assert_eq!(code, 22, "{log}");
        assert!(log.contains("unable to load app 5 (mountpoint='/x')"), "{log}");
    }
}
