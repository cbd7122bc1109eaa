//! `py-autoreload`: what is saved is served.

use std::path::Path;

use crate::harness::{Server, eventually, for_each_mode, scratch};

/// Writes a file as an editor does that renames.
fn save(path: &Path, text: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(&new, path).unwrap();
}

const APP: &str =
    "import part\ndef application(e, s):\n    s('200 OK', [])\n    return [part.TEXT]\n";

#[test]
fn a_saved_module_is_served_and_a_broken_one_waits_for_the_next_save() {
    for_each_mode(|mode| {
        let directory = scratch();
        let path = |name: &str| directory.path().join(name);
        save(&path("app.py"), APP);
        save(&path("part.py"), "TEXT = b'one'\n");
        let args = ["--http-socket", "127.0.0.1:0", "--module", "app", "--py-autoreload", "1"];
        let server = Server::start_in(mode, &args, directory.path());
        let mut client = server.connect();
        assert_eq!(client.get("/").text(), "one");
        save(&path("part.py"), "TEXT = b'two'\n");
        server.log.line("part.py has been modified, reloading");
        eventually("the new module is served", || client.get("/").text() == "two");

        // An error stands in the log with its traceback, and the old code serves.
        save(&path("part.py"), "import later\nTEXT = later.TEXT\n");
        save(&path("later.py"), "TEXT = (\n");
        server.log.line("SyntaxError: '(' was never closed");
        server.log.line("the old one goes on");
        assert_eq!(client.get("/").text(), "two");
        // The module that nobody has imported yet is mended.
        save(&path("later.py"), "TEXT = b'three'\n");
        eventually("the next save mends it", || client.get("/").text() == "three");
    });
}

#[test]
fn an_app_that_is_broken_from_the_start_is_mended_by_a_save() {
    for_each_mode(|mode| {
        let directory = scratch();
        let app = directory.path().join("app.py");
        save(&app, "raise RuntimeError('half done')\n");
        let args =
            ["--http-socket", "127.0.0.1:0", "--wsgi-file", "app.py", "--py-auto-reload", "1"];
        let server = Server::start_in(mode, &args, directory.path());
        assert_eq!(server.get("/").status, 500);
        server.log.line("RuntimeError: half done");
        save(&app, "def application(e, s):\n    s('200 OK', [])\n    return [b'done']\n");
        eventually("the save mends it", || server.get("/").text() == "done");
    });
}

#[test]
fn ignored_modules_may_change() {
    let directory = scratch();
    let path = |name: &str| directory.path().join(name);
    save(&path("app.py"), APP);
    save(&path("part.py"), "TEXT = b'one'\n");
    let args = [
        "--http-socket",
        "127.0.0.1:0",
        "--module",
        "app",
        "--py-autoreload",
        "1",
        "--py-auto-reload-ignore",
        "part",
    ];
    let server = Server::start_in(crate::harness::Mode::ANY, &args, directory.path());
    assert_eq!(server.get("/").text(), "one");
    save(&path("part.py"), "TEXT = b'two'\n");
    save(&path("app.py"), &APP.replace("part.TEXT", "b'new'"));
    eventually("the other one is seen", || server.get("/").text() == "new");
    assert!(!server.log.text().contains("part.py has been modified"));
}
