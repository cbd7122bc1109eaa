//! The same files and requests to a real uWSGI and to uwring. What differs stands in
//! docs/static-files.md.

use crate::compatibility::{Uwsgi, ask, line_form};
use crate::harness::packet::{packet, vars};
use crate::harness::{Response, Server, app, for_each_process_mode};
use crate::static_files::{CHANGED, site, start};

/// What uWSGI never sends, and what differs from one connection or second to the next.
const NOT_COMPARED: [&str; 6] = ["ETag", "Accept-Ranges", "Vary", "Date", "Connection", "Expires"];

/// uWSGI's fields, in its order.
fn fields(response: &Response) -> Vec<(String, String)> {
    let fields = response.fields.iter();
    fields.filter(|(name, _)| !NOT_COMPARED.contains(&name.as_str())).cloned().collect()
}

#[track_caller]
fn compare(asked: &str, theirs: &Response, ours: &Response) {
    assert_eq!((ours.status, &ours.reason), (theirs.status, &theirs.reason), "{asked}");
    assert_eq!(ours.body, theirs.body, "{asked}");
    if theirs.body == b"hello" || theirs.status != 200 && theirs.status != 206 {
        return; // The app's fields are compared elsewhere; errors say more here.
    }
    assert_eq!(ours.field("expires"), theirs.field("expires"), "{asked}");
    // Only uWSGI leaves the length away where the server in front sends the file, and the type
    // where the system's list does not know it.
    let own = |(name, _): &(String, String)| {
        ["Content-Length", "Content-Type"].contains(&name.as_str()) && theirs.field(name).is_none()
    };
    let ours: Vec<_> = fields(ours).into_iter().filter(|field| !own(field)).collect();
    assert_eq!(ours, fields(theirs), "{asked}");
}

/// Compares the answers to `requests` (target, field) over both protocols.
fn compare_all(options: &[&str], requests: &[(&str, &str)]) {
    let site = site();
    let root = site.path().to_str().unwrap();
    let given: Vec<String> = options.iter().map(|option| option.replace("{}", root)).collect();
    let given: Vec<&str> = given.iter().map(String::as_str).collect();
    let Some(uwsgi) = Uwsgi::serve("hello", &given) else { return };
    for_each_process_mode(|mode| {
        let server: Server = start(mode, &site, options);
        for (target, field) in requests {
            let request = format!(
                "GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{field}{}\r\n",
                if field.is_empty() { "" } else { "\r\n" }
            );
            let asked = format!("{target} {field} {options:?}");
            let theirs = ask(&uwsgi.addresses[0], request.as_bytes());
            compare(&asked, &theirs, &ask(server.address(), request.as_bytes()));

            let docroot = format!("{root}/other");
            let variable = field.split_once(": ").map(|(name, value)| {
                (format!("HTTP_{}", name.to_uppercase().replace('-', "_")), value)
            });
            let mut more = vec![("DOCUMENT_ROOT", docroot.as_str())];
            more.extend(variable.iter().map(|(name, value)| (name.as_str(), *value)));
            let bytes = packet(0, &vars("GET", target, &more));
            let theirs = ask(&uwsgi.addresses[1], &bytes);
            compare(&asked, &theirs, &ask(&server.addresses[1], &bytes));
        }
    });
}

#[test]
fn finds_the_same_files() {
    let targets = [
        "/s/hello.txt",
        "/s/hello.txt?x=1",
        "/shello.txt",
        "/s",
        "/s/",
        "/s/docs",
        "/s/docs/",
        "/s//css//app.css",
        "/s/plain",
        "/s/empty.txt",
        "/s/inner.txt",
        "/s/hello.txt/",
        "/s/missing",
        "/s/fifo",
        "/s/page.php",
        "/s/large.bin",
        "/s/sp%20ace.txt",
        "/other/other.txt",
        "/css/app.css",
        "/hello.txt",
        "/other.txt",
        "/file",
        "/file/what/ever",
    ];
    let requests: Vec<_> = targets.iter().map(|target| (*target, "")).collect();
    let maps = ["--static-map", "/s={}/site", "--static-map", "/file={}/site/hello.txt"];
    compare_all(&maps, &requests);
    for more in [
        &["--static-index", "index.html", "--static-skip-ext", ".php"][..],
        &["--static-map2", "/other={}", "--check-static", "{}/site"],
        &["--check-static-docroot"],
        &["--static-map", "/s={}/other", "--static-safe", "{}/site-secrets"],
        &["--static-map", "/={}/other"],
    ] {
        compare_all(&[&maps, more].concat(), &requests);
    }
}

#[test]
fn finds_the_same_files_below_a_mountpoint() {
    let targets = [
        "/m/s/hello.txt",
        "/m/s/docs/",
        "/m/s",
        "/m",
        "/m/",
        "/m/file",
        "/mm/s/hello.txt",
        "/s/hello.txt",
        "/m/other/other.txt",
        "/deep/er/s/hello.txt",
        "/deep/s/hello.txt",
        "/m%2Fs/hello.txt",
    ];
    let requests: Vec<_> = targets.iter().map(|target| (*target, "")).collect();
    let app = app("hello");
    let (m, deeper) = (format!("/m={app}"), format!("/deep/er={app}"));
    let mounts = ["--mount", &m, "--mount", &deeper, "--static-map", "/s={}/site"];
    for more in [
        &["--static-map", "/file={}/site/hello.txt"][..],
        &["--manage-script-name", "--static-map", "/m/file={}/site/hello.txt"],
        &["--manage-script-name", "--check-static", "{}", "--static-index", "index.html"],
        &["--manage-script-name", "--check-static-docroot"],
    ] {
        compare_all(&[&mounts, more].concat(), &requests);
    }
}

#[test]
fn answers_the_same() {
    let file = "/s/hello.txt";
    let requests = [
        (file, ""),
        (file, "If-Modified-Since: Thu, 02 Jan 2020 03:04:05 GMT"),
        (file, "If-Modified-Since: Thu, 02 Jan 2020 03:04:04 GMT"),
        (file, "If-Modified-Since: rubbish"),
        (file, "Range: bytes=2-4"),
        (file, "Range: bytes=-3"),
        (file, "Range: bytes=3-"),
        (file, "Range: bytes=30-"),
        (file, "Range: bytes=5-2"),
        ("/s/empty.txt", "Range: bytes=0-1"),
        ("/s/css/app.css", "Accept-Encoding: gzip"),
        ("/s/css/app.css", "Accept-Encoding: gzip, deflate, br"),
        ("/s/css/app.css", "Accept-Encoding: identity"),
        ("/s/css/only.css", "Accept-Encoding: gzip"),
    ];
    for more in [
        &["--honour-range"][..],
        &["--honour-range", "--static-gzip-all"],
        &["--honour-range", "--static-gzip-ext", "css"],
        &["--honour-range", "--static-gzip-dir", "{}/site/c"],
        // Counted from the file's change, since the two are not asked in the same second.
        &["--honour-range", "--static-expires-type-mtime", "text/plain=60"],
    ] {
        compare_all(&[&["--static-map", "/s={}/site"], more].concat(), &requests);
    }
    for word in ["nginx", "x-accel-redirect", "x-sendfile"] {
        let options = ["--static-map", "/s={}/site", "--file-serve-mode", word];
        compare_all(&options, &requests[..3]);
    }
}

#[test]
fn writes_the_same_line() {
    let site = site();
    let map = format!("/s={}/site", site.path().display());
    let Some(uwsgi) = Uwsgi::serve("hello", &["--static-map", &map]) else { return };
    for_each_process_mode(|mode| {
        let server = start(mode, &site, &["--static-map=/s={}/site"]);
        for (target, more) in [
            ("/s/hello.txt?plain", &[][..]),
            ("/s/empty.txt?empty", &[]),
            ("/s/hello.txt?unchanged", &[("HTTP_IF_MODIFIED_SINCE", CHANGED)]),
        ] {
            let bytes = packet(0, &vars("GET", target, more));
            ask(&uwsgi.addresses[1], &bytes);
            ask(&server.addresses[1], &bytes);
            let part = format!("GET {target} =>");
            let (theirs, ours) = (uwsgi.process.log.line(&part), server.log.line(&part));
            assert_eq!(line_form(&ours), line_form(&theirs), "\n{ours}\n{theirs}");
            // uWSGI's core has no number of its own for it.
            assert!(ours.contains("|app: -1|req: -1/") && theirs.contains("|app: -1|req: -1/"));
        }
    });
}
