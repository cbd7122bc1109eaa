//! What an app starts: programs, `multiprocessing` by each of its methods, interpreters of its own.

use crate::harness::server::python_minor;
use crate::harness::{Mode, Server, for_each_mode, for_each_process_mode, tests_path};

/// The app by its module's name, which `multiprocessing` imports in its processes.
fn server(mode: Mode) -> Server {
    let apps = tests_path("apps").display().to_string();
    let http = ["--http-socket", "127.0.0.1:0"];
    let app = ["--pythonpath", &apps, "--module", "has_children"];
    Server::start(mode, &[&http[..], &app[..]].concat())
}

#[test]
fn a_child_can_be_terminated() {
    for_each_mode(|mode| {
        assert_eq!(server(mode).get("/terminates()").text(), "-15", "{mode}");
    });
}

#[test]
fn a_forked_child_can_be_terminated() {
    for_each_process_mode(|mode| {
        assert_eq!(server(mode).get("/ends_forked()").text(), "15", "{mode}");
    });
}

#[test]
fn a_forked_child_that_leaves_the_app_ends_and_its_parent_answers() {
    for_each_process_mode(|mode| {
        let server = Server::http(mode, "forks", &[]);
        let mut client = server.connect();
        assert_eq!(client.get("/leaves_forked(7)").text(), "7", "{mode}");
        server.log.line("atexit of the child");
        assert_eq!(client.get("/leaves_forked('because')").text(), "1", "{mode}");
        server.log.line("because");
        assert_eq!(client.get("/returns_forked()").text(), "0", "{mode}");
        assert_eq!(client.get("/1+1").text(), "2", "{mode}");
        assert!(!server.log.text().contains("Segmentation"), "{}", server.log.text());
    });
}

#[test]
fn multiprocessing_works_by_the_default_method_where_python_allows_it() {
    let forks = python_minor() < 14;
    for_each_mode(|mode| {
        let expected = match (forks, mode.is_process()) {
            (true, true) => "('fork', [1, 4, 9])",
            (true, false) => "RuntimeError('fork not supported for isolated subinterpreters')",
            (false, _) => "('forkserver', [1, 4, 9])",
        };
        assert_eq!(server(mode).get("/pool()").text(), expected, "{mode}");
    });
}

#[test]
fn multiprocessing_spawns_in_both_isolations() {
    for_each_mode(|mode| {
        let answer = server(mode).get("/pool('spawn')").text().to_owned();
        assert_eq!(answer, "('spawn', [1, 4, 9])", "{mode}");
    });
}

#[test]
fn an_app_can_have_interpreters_of_its_own_from_3_14() {
    for_each_mode(|mode| {
        let path = "/list(futures.InterpreterPoolExecutor(2).map(abs,[-1,-4,-9]))";
        let answer = server(mode).get(path).text().to_owned();
        if python_minor() >= 14 {
            assert_eq!(answer, "[1, 4, 9]", "{mode}");
        } else {
            assert!(answer.contains("InterpreterPoolExecutor"), "{mode}: {answer}");
        }
    });
}
