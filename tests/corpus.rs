//! Configurations as people write them (tests/configs/), read by a real uWSGI and by uwring: the
//! settings must come out the same, and an app must find the same world.
//!
//! The configurations were written for this test, after the shapes found in public repositories.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::process::Process;
use crate::harness::server::{clean, command};
use crate::harness::{Client, full, scratch, tests_path, tools};

/// What the configurations expect to find in the environment.
const ENVIRONMENT: [(&str, &str); 7] = [
    ("HOME", "/root"),
    ("PORT", "0"),
    ("WORKERS", "3"),
    ("HARAKIRI", "20"),
    ("RUN_AS", "root"),
    ("CFG_MODE", "production"),
    ("CFG_UNSET_ME", "1"),
];

/// What uwring does not start, and the option that says why.
const REFUSED: [(&str, &str); 3] =
    [("life-early.ini", "cap"), ("life-gevent.ini", "gevent"), ("life-route-if.ini", "route-if")];

/// What uWSGI itself does not show, and why.
const NOT_SHOWN: [(&str, &str); 2] = [
    ("project-oncall.ini", "its encoder rewrites the lines of --show-config"),
    ("socket-unix-mode-bare.ini", "a bare chmod-socket is an error in a file"),
];

/// What is not compared in action, and why.
const NOT_SERVED: [(&str, &str); 9] = [
    ("socket-unix-mode-bare.ini", "uWSGI refuses it"),
    ("number-true.ini", "uWSGI reads 0 processes and serves nothing"),
    ("number-math-nested.ini", "the number depends on the machine"),
    ("life-identity.ini", "that account need not be able to read this Python"),
    ("life-identity-numbers.ini", "uWSGI knows no group 0"),
    ("life-identity-twice.ini", "uWSGI takes 0 for none"),
    ("life-as-root.ini", "that account need not be able to read this Python"),
    ("life-mules.ini", "uwring has no mules"),
    ("app-no-site.ini", "without site the packages of uWSGI's own venv are gone"),
];

/// A copy of the configurations, with what they need beside them.
struct Site {
    _scratch: tempfile::TempDir,
    path: PathBuf,
}

impl Site {
    fn path(&self) -> &Path {
        &self.path
    }
}

fn site() -> Site {
    let scratch = scratch();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(scratch.path(), open).unwrap();
    // Its name is one of the things that a configuration can show.
    let directory = Site { path: scratch.path().join("site"), _scratch: scratch };
    std::fs::create_dir(directory.path()).unwrap();
    let copied = Command::new("cp")
        .arg("-r")
        .arg(format!("{}/.", tests_path("configs").display()))
        .arg(directory.path())
        .status();
    assert!(copied.unwrap().success());
    for made in ["run", "run/spool"] {
        std::fs::create_dir(directory.path().join(made)).unwrap();
    }
    for touched in ["run/other", "run/reopen", "run/touch"] {
        std::fs::write(directory.path().join(touched), "").unwrap();
    }
    directory
}

/// All configurations, by name.
fn names() -> Vec<String> {
    let entries = std::fs::read_dir(tests_path("configs")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let is_config = |name: &String| option(name).is_some();
    let mut names: Vec<_> = names.filter(is_config).collect();
    names.sort();
    assert!(names.len() >= 150, "{} configurations", names.len());
    names
}

fn option(name: &str) -> Option<&'static str> {
    Some(match name.rsplit_once('.')?.1 {
        "ini" => "--ini",
        "yaml" | "yml" => "--yaml",
        "xml" => "--xml",
        _ => return None,
    })
}

fn prepared(mut command: Command, directory: &Path) -> Command {
    command.envs(ENVIRONMENT).env("CFG_ROOT", directory).current_dir(directory);
    command.stdin(Stdio::null());
    command
}

/// Each name with `test`, several at once.
fn for_each(names: &[String], test: impl Fn(&str) -> Result<(), String> + Sync) {
    let next = Mutex::new(names.iter());
    let wrong = Mutex::new(BTreeMap::new());
    let step = || next.lock().unwrap().next();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while let Some(name) = step() {
                    if let Err(why) = test(name) {
                        wrong.lock().unwrap().insert(name, why);
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    let shown: Vec<_> = wrong.iter().map(|(name, why)| format!("{name}: {why}")).collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), names.len(), shown.join("\n"));
}

/// The lines of `--show-config` between `begin` and `end`.
fn shown_by(mut command: Command, directory: &Path, begin: &str, end: &str) -> Vec<String> {
    let output = command.output().unwrap();
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text += &String::from_utf8_lossy(&output.stderr);
    // A log option may have led it elsewhere.
    for file in std::fs::read_dir(directory.join("run")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "log") {
            text += &String::from_utf8_lossy(&std::fs::read(path).unwrap());
        }
    }
    // Each has a directory of its own.
    let text = text.replace(&format!("{}/", directory.display()), "");
    let Some((_, rest)) = text.split_once(begin) else { return vec![text] };
    let block = rest.split_once(end).map_or(rest, |(block, _)| block);
    let lines = block.lines().skip(1).map(|line| line.trim_end().to_owned());
    lines.filter(|line| line.contains('=')).collect()
}

/// uWSGI writes nothing for a bare key, we write `true`, XML's `<master/>` is 1 to uWSGI.
fn same(theirs: &str, ours: &str) -> bool {
    let plain = |line: &str| {
        let line = line.trim_start_matches("; ").trim_end();
        match line.split_once(" =") {
            Some((key, value)) if matches!(value.trim(), "" | "true" | "1") => key.to_owned(),
            _ => line.to_owned(),
        }
    };
    let (theirs, ours) = (plain(theirs), plain(ours));
    theirs == ours || theirs.ends_with(&ours) // A date of `log-date` stands before it.
}

#[test]
fn settings_come_out_as_in_uwsgi() {
    let Some(uwsgi) = tools::uwsgi() else { return };
    let mut names = names();
    names.retain(|name| !NOT_SHOWN.iter().any(|(other, _)| other == name));
    names.retain(|name| !REFUSED.iter().any(|(other, _)| other == name));
    for_each(&names, |name| {
        let args = [option(name).unwrap(), name, "--show-config", "--no-server"];
        let directory = site();
        let mut theirs = prepared(clean(&uwsgi), directory.path());
        theirs.args(args);
        let mark = (";uWSGI instance configuration", ";end of configuration");
        let theirs = shown_by(theirs, directory.path(), mark.0, mark.1);
        let directory = site();
        let ours = prepared(command(&args), directory.path());
        let mark = ("; uwring: the configuration", "; end of the configuration");
        let ours = shown_by(ours, directory.path(), mark.0, mark.1);
        if theirs.len() == ours.len() && theirs.iter().zip(&ours).all(|(t, o)| same(t, o)) {
            return Ok(());
        }
        Err(format!("uWSGI:\n{}\nuwring:\n{}", theirs.join("\n"), ours.join("\n")))
    });
}

/// uWSGI out of pip reads no JSON; the ini file of the same content it does.
#[test]
fn json_comes_out_as_ini_does() {
    let shown = |args: [&str; 2]| {
        let directory = site();
        let all = [args[0], args[1], "--show-config", "--no-server"];
        let ours = prepared(command(&all), directory.path());
        let mark = ("; uwring: the configuration", "; end of the configuration");
        let mut lines = shown_by(ours, directory.path(), mark.0, mark.1);
        lines.remove(0); // The file itself.
        lines
    };
    let json = shown(["--json", "json-many.json"]);
    assert_eq!(json, shown(["--ini", "json-many.ini"]));
    assert_eq!(json.len(), 15, "{json:?}");
}

/// Names that only a uWSGI with PCRE (and TLS) has; the one that is built here has none.
const WITH_PCRE: [&str; 24] = [
    "alarm-log",
    "error-route-label",
    "error-route-qs",
    "error-route-referer",
    "error-route-remote-addr",
    "error-route-remote-user",
    "error-route-user-agent",
    "final-route-label",
    "final-route-qs",
    "final-route-referer",
    "final-route-remote-addr",
    "final-route-remote-user",
    "final-route-user-agent",
    "not-alarm-log",
    "not-log-alarm",
    "pcre-jit",
    "response-route-label",
    "response-route-qs",
    "response-route-referer",
    "response-route-remote-addr",
    "response-route-remote-user",
    "response-route-user-agent",
    "router-list",
    "sni-regexp",
];

#[test]
fn every_option_of_uwsgi_is_known() {
    let Some(uwsgi) = tools::uwsgi() else { return };
    let names = |mut command: Command| -> Vec<String> {
        let output = command.arg("--dump-options").output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| line.trim().to_owned()).filter(|name| !name.is_empty()).collect()
    };
    let (theirs, ours) = (names(clean(&uwsgi)), names(command::<&str>(&[])));
    assert!(theirs.len() > 900, "{}", theirs.len());
    let with_pcre = WITH_PCRE.map(str::to_owned);
    let all = theirs.iter().chain(&with_pcre);
    let unknown: Vec<_> = all.filter(|name| !ours.contains(name)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn what_starts_is_said_before() {
    let directory = site();
    let mut starts = 0;
    let names = names();
    for name in &names {
        let args = ["--check-config", "--json", option(name).unwrap(), name];
        let output = prepared(command(&args), directory.path()).output().unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let refused = REFUSED.iter().find(|(other, _)| other == name);
        let verdicts = report["findings"].as_array().unwrap().iter();
        let stops: Vec<_> = verdicts
            .filter(|finding| finding["verdict"] == "refused" || finding["verdict"] == "error")
            .map(|finding| finding["name"].as_str().unwrap().to_owned())
            .collect();
        // The socket is given on the command line, to some of them.
        let has_socket = report["errors"].as_array().unwrap().is_empty();
        match refused {
            None => assert!(stops.is_empty(), "{name}: {stops:?}"),
            Some((_, option)) => {
                assert!(stops.iter().any(|stop| stop == option), "{name}: {stops:?}")
            }
        }
        assert_eq!(report["would_start"] == true, has_socket && stops.is_empty(), "{name}");
        starts += usize::from(refused.is_none());
    }
    println!("{starts} of {} start", names.len());
}

#[test]
fn an_app_finds_the_same_world_as_under_uwsgi() {
    let Some(uwsgi) = tools::uwsgi() else { return };
    let mut names = names();
    names.retain(|name| !NOT_SERVED.iter().any(|(other, _)| other == name));
    names.retain(|name| !REFUSED.iter().any(|(other, _)| other == name));
    let always = ["app-", "project-", "language-if", "sections-", "yaml-", "xml-"];
    names.retain(|name| full() || always.iter().any(|start| name.starts_with(start)));
    for_each(&names, |name| {
        let theirs = answer(clean(&uwsgi), name)?;
        let ours = answer(command::<&str>(&[]), name)?;
        if theirs == ours {
            return Ok(());
        }
        Err(format!("uWSGI:\n{theirs:#}\nuwring:\n{ours:#}"))
    });
}

/// What the app says under a server with this configuration.
fn answer(command: Command, name: &str) -> Result<Value, String> {
    let directory = site();
    let socket = directory.path().join("probe.sock");
    let mut command = prepared(command, directory.path());
    command.args([option(name).unwrap(), name, "--http-socket"]).arg(&socket);
    let mut process = Process::start(command);
    let deadline = Instant::now() + Duration::from_secs(30);
    let answer = loop {
        if process.has_ended() || Instant::now() > deadline {
            break Err(format!("it does not serve:\n{}", process.log.text()));
        }
        if let Some(answer) = ask(&socket) {
            break Ok(answer);
        }
        std::thread::park_timeout(Duration::from_millis(20));
    };
    process.signal(libc::SIGINT);
    answer
}

fn ask(socket: &PathBuf) -> Option<Value> {
    std::os::unix::net::UnixStream::connect(socket).ok()?;
    let mut client = Client::connect(&socket.display().to_string());
    client.try_send(b"GET /sub/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").ok()?;
    let response = client.try_response().ok()?;
    Some(match serde_json::from_str::<Value>(response.text()) {
        Ok(mut json) => {
            // Each server has a directory of its own.
            json["env"].as_object_mut()?.remove("CFG_ROOT");
            let own = socket.parent()?.display().to_string();
            let text = json.to_string().replace(&format!("{own}/"), "");
            serde_json::from_str(&text).ok()?
        }
        Err(_) => Value::from(format!("{}: {}", response.status, response.text())),
    })
}
