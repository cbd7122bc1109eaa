//! What an app, an agent or an operator sees of the threads: names, frames, `py-tracebacker`.

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::{Value, json};

use crate::compatibility::Uwsgi;
use crate::harness::{Client, Server, for_each_mode, scratch};

const NAMES: &str = "/?sorted({threading.current_thread().name%20for%20_%20in%20range(9)})";

#[test]
fn threads_have_uwsgis_names() {
    for_each_mode(|mode| {
        let server = Server::http(mode, "evaluates", &["--master"]);
        assert_eq!(server.get(NAMES).json(), json!(["uWSGIWorker1Core0"]), "{mode}");
        let two = ["--master", "--processes", "2", "--threads", "2"];
        let server = Server::http(mode, "evaluates", &two);
        let name = server.get(NAMES).json()[0].as_str().unwrap().to_owned();
        let known = ["1Core0", "1Core1", "2Core0", "2Core1"];
        assert!(known.iter().any(|end| name == format!("uWSGIWorker{end}")), "{mode}: {name}");
    });
    let Some(uwsgi) = Uwsgi::serve("evaluates", &["--threads", "2"]) else { return };
    let name = Client::connect(&uwsgi.addresses[0]).get(NAMES).json()[0].clone();
    assert!(name.as_str().unwrap().starts_with("uWSGIWorker1Core"), "{name}");
}

/// With CPython's own `sys._current_frames` two interpreters die of it within a second.
#[test]
fn profilers_may_look_at_the_frames_of_all_threads() {
    let all = "[[len(sys._current_frames()),len(sys._current_exceptions())]for(i)in(range(3000))]";
    let path = format!("/?{all}[-1]").replace("sys.", "os.sys.");
    for_each_mode(|mode| {
        let more = ["--master", "--processes", "3", "--disable-logging"];
        let server = Server::http(mode, "evaluates", &more);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let mut client = server.connect();
                    for _ in 0..8 {
                        let counts = client.get(&path).json();
                        // The signals' thread, and this one.
                        let counts: Vec<_> = counts.as_array().unwrap().iter().collect();
                        let at_least = |n: &&Value| n.as_u64().is_some_and(|n| (1..6).contains(&n));
                        assert!(counts.iter().all(at_least), "{mode}: {counts:?}");
                    }
                });
            }
        });
        let own = "os.sys._current_frames()[threading.get_ident()].f_code.co_name";
        assert_eq!(server.get(&format!("/?{own}")).json(), json!("<module>"), "{mode}");
        let log = server.log.text();
        assert!(!log.contains("died") && !log.contains("BUG"), "{mode}:\n{log}");
    });
}

/// What a worker's socket says.
fn stacks(path: &Path) -> String {
    let mut text = String::new();
    UnixStream::connect(path).unwrap().read_to_string(&mut text).unwrap();
    text
}

#[test]
fn py_tracebacker_shows_what_a_worker_does() {
    for_each_mode(|mode| {
        let directory = scratch();
        let (socket, go) = (directory.path().join("tb"), directory.path().join("go"));
        let two = ["--master", "--processes", "2", "--py-tracebacker", socket.to_str().unwrap()];
        let server = Server::http(mode, "waits", &two);
        let first = format!("python tracebacker for worker 1 available on {}1", socket.display());
        server.log.line(&first);
        let places = [1, 2].map(|number| directory.path().join(format!("tb{number}")));
        let idle = stacks(&places[0]);
        assert!(idle.starts_with("*** uWSGI Python tracebacker output ***\n\n"), "{mode}: {idle}");
        let mut client = server.connect();
        client.send(format!("GET /?{} HTTP/1.1\r\nHost: a\r\n\r\n", go.display()));
        server.log.line("waiting for");
        let busy = places.each_ref().map(|place| stacks(place)).concat();
        let line = busy.lines().find(|line| line.contains("function = application")).unwrap();
        let (thread, place) = line.split_once(" filename = ").unwrap();
        assert!(thread.starts_with("thread_id = "), "{mode}: {line}");
        let (file, code) = place.split_once(" lineno = ").unwrap();
        let (_, code) = code.split_once(" line = ").unwrap();
        assert!(file.ends_with("waits.py") && !code.is_empty(), "{mode}: {line}");
        assert!(!busy.contains("tracebacker.py"), "its own thread is of no interest: {busy}");
        std::fs::write(&go, "").unwrap();
        assert_eq!(client.response().text(), "waited");
        // The successor's workers take the names over.
        server.signal(libc::SIGHUP);
        server.log.line("a successor serves");
        assert!(stacks(&places[1]).starts_with("*** uWSGI"), "{mode}");
    });
}

#[test]
fn a_tracebacker_without_a_place_costs_no_worker() {
    for_each_mode(|mode| {
        let server = Server::http(mode, "hello", &["--py-tracebacker", "/nowhere/at/all"]);
        server.log.line("python tracebacker: /nowhere/at/all1: [Errno 2]");
        assert_eq!(server.get("/").text(), "hello", "{mode}");
        // What is no socket is somebody's file.
        let directory = scratch();
        let prefix = directory.path().join("notes");
        std::fs::write(directory.path().join("notes1"), "kept").unwrap();
        let args = ["--py-tracebacker", prefix.to_str().unwrap()];
        let server = Server::http(mode, "hello", &args);
        server.log.line("notes1: [Errno 98]");
        assert_eq!(std::fs::read_to_string(directory.path().join("notes1")).unwrap(), "kept");
    });
}
