//! Static files: what is served without the app, and how. No Python takes part, so one isolation
//! is enough; both I/O drivers and both protocols are asked.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use crate::harness::packet::{packet, vars};
use crate::harness::{
    Broken, Client, Mode, Response, Server, eventually, for_each_process_mode, scratch,
};

/// 2 January 2020, 03:04:05 UTC.
pub const CHANGED: &str = "Thu, 02 Jan 2020 03:04:05 GMT";

/// A directory with a site in it, and something beside it that must not be served.
pub fn site() -> TempDir {
    let directory = scratch();
    let root = directory.path();
    for folder in ["site/css", "site/docs", "site-secrets", "other"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    for (name, content) in [
        ("site/hello.txt", "hello file"),
        ("site/empty.txt", ""),
        ("site/plain", "no ending"),
        ("site/page.php", "<?php"),
        ("site/sp ace.txt", "a blank"),
        ("site/css/app.css", "body {}"),
        ("site/css/app.css.gz", "not really gzip"),
        ("site/css/app.css.br", "nor brotli"),
        ("site/css/only.css", "only"),
        ("site/docs/index.html", "<p>index"),
        ("site-secrets/secret.txt", "secret"),
        ("other/hello.txt", "the other hello"),
        ("other/other.txt", "other"),
    ] {
        fs::write(root.join(name), content).unwrap();
    }
    fs::write(root.join("site/large.bin"), large()).unwrap();
    symlink("hello.txt", root.join("site/inner.txt")).unwrap();
    symlink("../site-secrets/secret.txt", root.join("site/outer.txt")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        root.join("site/fifo"),
        rustix::fs::FileType::Fifo,
        0o600.into(),
        0,
    )
    .unwrap();
    let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(1_577_934_245);
    let file = fs::File::options().write(true).open(root.join("site/hello.txt")).unwrap();
    file.set_modified(changed).unwrap();
    directory
}

/// More than is kept in memory.
pub fn large() -> Vec<u8> {
    (0..700_000u32).map(|n| (n % 251) as u8).collect()
}

/// A server with an HTTP and a uwsgi socket whose app says hello to everything. `{}` in an option
/// is the directory of `site()`.
pub fn start(mode: Mode, directory: &TempDir, options: &[&str]) -> Server {
    let root = directory.path().to_str().unwrap();
    let options: Vec<String> = options.iter().map(|option| option.replace("{}", root)).collect();
    let mut args = vec!["--socket", "127.0.0.1:0"];
    args.extend(options.iter().map(String::as_str));
    Server::http(mode, "hello", &args)
}

/// The request as HTTP, and as nginx would pass it on.
fn both(method: &str, target: &str, fields: &[(&str, &str)]) -> [Vec<u8>; 2] {
    let mut http = format!("{method} {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n");
    let mut more = Vec::new();
    for (name, value) in fields {
        http += &format!("{name}: {value}\r\n");
        more.push((format!("HTTP_{}", name.to_uppercase().replace('-', "_")), *value));
    }
    http += "\r\n";
    let mut more: Vec<_> = more.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let path = target.split('?').next().unwrap().replace("%20", " ");
    more.push(("PATH_INFO", &path));
    [http.into_bytes(), packet(0, &vars(method, target, &more))]
}

/// Sends the request over both protocols; the answers must be the same, but for what HTTP adds.
pub fn ask(server: &Server, method: &str, target: &str, fields: &[(&str, &str)]) -> Response {
    let [http, uwsgi] = both(method, target, fields);
    let one = |address: &str, bytes: &[u8]| {
        let mut client = Client::connect(address);
        client.send(bytes);
        if method == "HEAD" { client.response_to_head() } else { client.response() }
    };
    let mut answer = one(&server.addresses[0], &http);
    let other = one(&server.addresses[1], &uwsgi);
    if answer.status == 206 && answer.field("content-range").is_none() {
        return answer; // Each has a boundary of its own.
    }
    let added = |name: &str| matches!(name, "Date" | "Connection");
    answer.fields.retain(|(name, _)| !added(name));
    // A second may have passed between the two.
    let told = |response: &Response| -> Vec<_> {
        response.fields.iter().filter(|(name, _)| name != "Expires").cloned().collect()
    };
    let is_same = answer.body == b"hello" || told(&answer) == told(&other);
    assert!(is_same, "{target}: {:?}", (&answer, &other));
    assert_eq!((answer.status, &answer.body), (other.status, &other.body), "{target}");
    answer
}

pub fn get(server: &Server, target: &str) -> Response {
    ask(server, "GET", target, &[])
}

#[track_caller]
fn assert_app(response: &Response) {
    assert_eq!((response.status, response.text()), (200, "hello"), "the app answers");
}

#[test]
fn serves_files_below_a_mapped_path() {
    for_each_process_mode(|mode| {
        let site = site();
        let server = start(mode, &site, &["--static-map", "/static={}/site"]);
        let response = get(&server, "/static/hello.txt?v=1");
        assert_eq!((response.status, response.text()), (200, "hello file"));
        assert_eq!(response.field("content-type"), Some("text/plain"));
        assert_eq!(response.field("content-length"), Some("10"));
        assert_eq!(response.field("last-modified"), Some(CHANGED));
        assert!(response.field("etag").unwrap().starts_with('"'));
        assert_eq!(get(&server, "/static/sp%20ace.txt").text(), "a blank");
        assert_eq!(get(&server, "/static//css//app.css").field("content-type"), Some("text/css"));
        assert_eq!(get(&server, "/static/plain").field("content-type"), None);
        assert_eq!(get(&server, "/static/inner.txt").text(), "hello file");
        assert_eq!(get(&server, "/static/empty.txt").body, b"");
        assert!(get(&server, "/static/large.bin").body == large());
        // uWSGI: the prefix is one of text, not of whole steps.
        assert_eq!(get(&server, "/statichello.txt").text(), "hello file");
    });
}

#[test]
fn asks_the_app_for_all_else() {
    for_each_process_mode(|mode| {
        let site = site();
        let options = ["--static-map", "/static={}/site", "--static-map", "/gone={}/nowhere"];
        let server = start(mode, &site, &options);
        for target in [
            "/",
            "/static",
            "/static/",
            "/static/missing",
            "/static/docs",
            "/static/hello.txt/",
            "/static/fifo",
            "/gone/hello.txt",
        ] {
            assert_app(&get(&server, target));
        }
        for method in ["POST", "PUT", "OPTIONS"] {
            assert_app(&ask(&server, method, "/static/hello.txt", &[]));
        }
    });
}

#[test]
fn never_leaves_the_directory() {
    for_each_process_mode(|mode| {
        let site = site();
        let server = start(mode, &site, &["--static-map", "/static={}/site"]);
        for target in [
            "/static/outer.txt",
            "/static/../site-secrets/secret.txt",
            "/static../site-secrets/secret.txt",
            "/static-secrets/secret.txt",
            "/static/css/../../site-secrets/secret.txt",
            "/static//etc/hostname",
        ] {
            assert_app(&get(&server, target));
        }
        for target in [
            "/static/%2e%2e/site-secrets/secret.txt",
            "/static/..%2fsite-secrets%2fsecret.txt",
            "/static%2f..%2f..%2fetc%2fhostname",
            "/static/hello.txt%00.png",
            "/static/%252e%252e/site-secrets/secret.txt",
        ] {
            assert_app(&server.get(target));
        }
        server.log.line("security error: ");
    });
}

#[test]
fn follows_links_into_safe_directories() {
    for_each_process_mode(|mode| {
        let site = site();
        let options = ["--static-map", "/s={}/site", "--static-safe", "{}/site-secrets"];
        let server = start(mode, &site, &options);
        assert_eq!(get(&server, "/s/outer.txt").text(), "secret");
    });
}

#[test]
fn looks_in_uwsgis_order() {
    for_each_process_mode(|mode| {
        let site = site();
        let root = site.path();
        for (name, content) in [
            ("checked/a/1", "check-static"),
            ("mapped/1", "static-map"),
            ("mapped/2", "static-map"),
            ("mapped-next/2", "a second static-map"),
            ("mapped-next/3", "a second static-map"),
            ("whole/a/3", "static-map2"),
            ("whole/a/4", "static-map2"),
            ("docroot/a/4", "docroot"),
            ("docroot/a/5", "docroot"),
        ] {
            fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
            fs::write(root.join(name), content).unwrap();
        }
        let options = [
            "--check-static-docroot",
            "--static-map2=/a={}/whole",
            "--static-map=/a={}/mapped",
            "--static-map=/a={}/mapped-next",
            "--check-static={}/checked",
            "--static-map=/file={}/site/hello.txt",
        ];
        let server = start(mode, &site, &options);
        let docroot = root.join("docroot").display().to_string();
        for (number, from) in [
            (1, "check-static"),
            (2, "static-map"),
            (3, "a second static-map"),
            (4, "static-map2"),
            (5, "docroot"),
        ] {
            let target = format!("/a/{number}");
            let packet = packet(0, &vars("GET", &target, &[("DOCUMENT_ROOT", &docroot)]));
            let response = crate::harness::packet::ask(&server, &packet);
            assert_eq!(response.text(), from, "{target}");
        }
        // A client of HTTP names no directory.
        let request = format!(
            "GET /a/5 HTTP/1.1\r\nHost: a\r\nDocument-Root: {docroot}\r\nDOCUMENT_ROOT: {docroot}\r\n\r\n"
        );
        assert_app(&server.ask(request));
        assert_eq!(get(&server, "/file").text(), "hello file");
        assert_eq!(get(&server, "/file/what/ever").text(), "hello file");
    });
}

#[test]
fn knows_index_files_skipped_endings_and_types() {
    for_each_process_mode(|mode| {
        let site = site();
        fs::write(site.path().join("types"), "text/mine txt\napplication/x-plain css\n").unwrap();
        let options = [
            "--static-map=/s={}/site",
            "--static-index=missing.html",
            "--static-index=index.html",
            "--static-skip-ext=.php",
            "--mime-file={}/types",
        ];
        let server = start(mode, &site, &options);
        for target in ["/s/docs", "/s/docs/", "/s/docs/index.html"] {
            let response = get(&server, target);
            assert_eq!(response.text(), "<p>index", "{target}");
            assert_eq!(response.field("content-type"), Some("text/html"));
        }
        assert_app(&get(&server, "/s/page.php"));
        assert_app(&get(&server, "/s/css"));
        assert_eq!(get(&server, "/s/hello.txt").field("content-type"), Some("text/mine"));
    });
}

#[test]
fn keeps_the_connection() {
    for_each_process_mode(|mode| {
        let site = site();
        let server = start(mode, &site, &["--static-map=/s={}/site"]);
        let mut client = server.connect();
        for _ in 0..2 {
            assert_eq!(client.get("/s/hello.txt").text(), "hello file");
            assert!(client.get("/s/large.bin").body == large());
            client.send("HEAD /s/large.bin HTTP/1.1\r\nHost: a\r\n\r\n");
            assert_eq!(client.response_to_head().field("content-length"), Some("700000"));
            client.assert_open();
        }
        client.send("GET /s/hello.txt HTTP/1.1\r\nHost: a\r\n\r\n".repeat(20));
        for _ in 0..20 {
            assert_eq!(client.response().text(), "hello file");
        }
        // A body that nobody reads is not taken for the next request.
        let body = "GET /s/hello.txt HTTP/1.1\r\nHost: a\r\n\r\n";
        client.send(format!(
            "GET /s/hello.txt HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        let response = client.response();
        assert!(response.closes() && response.text() == "hello file");
        client.assert_closed();
    });
}

#[test]
fn serves_others_while_slow_clients_take_files() {
    for_each_process_mode(|mode| {
        let site = site();
        let path = site.path().join("site/huge");
        let file = fs::File::create(&path).unwrap();
        file.set_len(40_000_000).unwrap();
        let server = start(mode, &site, &["--static-map=/s={}/site"]);
        // More of them than there are helpers.
        let mut slow: Vec<Client> = (0..8).map(|_| server.connect()).collect();
        for (index, client) in slow.iter_mut().enumerate() {
            let range = if index % 2 == 0 { "bytes=0-" } else { "bytes=0-9999999,20000000-" };
            client.send(format!("GET /s/huge HTTP/1.1\r\nHost: a\r\nRange: {range}\r\n\r\n"));
            client.peek().unwrap();
        }
        assert_eq!(get(&server, "/s/hello.txt").text(), "hello file");
        assert!(get(&server, "/s/large.bin").body == large());
        assert_app(&get(&server, "/"));
        for (index, client) in slow.iter_mut().enumerate() {
            let response = client.response();
            let length = response.field("content-length").unwrap().parse::<usize>().unwrap();
            assert_eq!(response.body.len(), length);
            assert!(index % 2 == 1 || length == 40_000_000);
            client.assert_open();
        }
    });
}

#[test]
fn what_was_sent_before_comes_whole_and_in_order_too() {
    for_each_process_mode(|mode| {
        let site = site();
        fs::write(site.path().join("site/middle.bin"), &large()[..100_000]).unwrap();
        let server = start(mode, &site, &["--static-map=/s={}/site"]);
        let mut client = server.connect();
        // 14 MB wait for a client that reads nothing before it has asked for all.
        for _ in 0..20 {
            client.send("GET /s/large.bin HTTP/1.1\r\nHost: a\r\n\r\n");
            client.send("GET /s/middle.bin HTTP/1.1\r\nHost: a\r\n\r\n");
            client.send("GET /s/large.bin HTTP/1.1\r\nHost: a\r\nRange: bytes=9-600008\r\n\r\n");
        }
        for _ in 0..20 {
            assert!(client.response().body == large());
            assert!(client.response().body == large()[..100_000]);
            assert!(client.response().body == large()[9..600_009]);
        }
        client.assert_open();
        let file = fs::File::options().write(true).open(site.path().join("site/large.bin"));
        file.unwrap().set_len(1000).unwrap();
        client.send("GET /s/large.bin HTTP/1.1\r\nHost: a\r\n\r\n");
        // It is looked at again, or it ends early: never bytes that are not the file's.
        match client.try_response() {
            Ok(response) => assert!(response.body == large()[..1000]),
            Err(Broken::Closed(_) | Broken::Reset) => {}
            Err(broken) => panic!("{broken:?}"),
        }
        assert_eq!(get(&server, "/s/hello.txt").text(), "hello file");
    });
}

#[test]
fn a_file_that_shrinks_ends_one_connection() {
    for_each_process_mode(|mode| {
        let site = site();
        let path = site.path().join("site/huge");
        fs::File::create(&path).unwrap().set_len(40_000_000).unwrap();
        let server = start(mode, &site, &["--static-map=/s={}/site"]);
        let mut client = server.connect();
        client.send("GET /s/huge HTTP/1.1\r\nHost: a\r\n\r\n");
        client.peek().unwrap();
        fs::File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
        assert!(matches!(client.try_response(), Err(Broken::Closed(_) | Broken::Reset)));
        assert_eq!(get(&server, "/s/hello.txt").text(), "hello file");
    });
}

#[test]
fn a_client_that_leaves_a_file_has_its_line() {
    for_each_process_mode(|mode| {
        let site = site();
        fs::File::create(site.path().join("site/huge")).unwrap().set_len(40_000_000).unwrap();
        let server = start(mode, &site, &["--static-map=/s={}/site"]);
        let mut client = server.connect();
        client.send("GET /s/huge?gone HTTP/1.1\r\nHost: a\r\n\r\n");
        client.peek().unwrap();
        client.reset();
        let line = server.log.line("GET /s/huge?gone");
        assert!(line.contains("(HTTP/1.1 200)"), "{line}");
        assert_eq!(get(&server, "/s/hello.txt").text(), "hello file");
    });
}

#[test]
fn sees_that_a_file_changes_or_goes() {
    for_each_process_mode(|mode| {
        let site = site();
        for more in ["--static-cache-paths=0", "--static-cache-paths=60"] {
            let server = start(mode, &site, &["--static-map=/s={}/site", more]);
            let path = site.path().join("site/changing.txt");
            let write = |text: &str| {
                let new = site.path().join("new");
                fs::write(&new, text).unwrap();
                fs::rename(&new, Path::new(&path)).unwrap();
            };
            assert_app(&get(&server, "/s/changing.txt"));
            write("first");
            // What was missing is looked for each time.
            assert_eq!(server.get("/s/changing.txt").text(), "first");
            write("again");
            eventually("the new file", || server.get("/s/changing.txt").text() == "again");
            fs::remove_file(&path).unwrap();
            eventually("the app", || server.get("/s/changing.txt").text() == "hello");
        }
    });
}

#[test]
fn logs_files_in_uwsgis_form() {
    for_each_process_mode(|mode| {
        let site = site();
        let server = start(mode, &site, &["--static-map=/s={}/site"]);
        for (request, part) in [
            ("GET /s/hello.txt?1", "generated 10 bytes in"),
            ("GET /s/hello.txt?1", " via sendfile() (HTTP/1.1 200)"),
            ("HEAD /s/hello.txt?2", "generated 0 bytes in"),
            ("GET /s/large.bin?3", "generated 700000 bytes in"),
            ("GET /s/large.bin?3", "app: -1|req: -1/"),
        ] {
            let (method, target) = request.split_once(' ').unwrap();
            ask(&server, method, target, &[]);
            let line = server.log.line(&format!("{request} => "));
            assert!(line.contains(part), "{line}");
        }
        let since = [("If-Modified-Since", CHANGED)];
        ask(&server, "GET", "/s/hello.txt?4", &since);
        let line = server.log.line("/s/hello.txt?4 => generated 0 bytes in");
        assert!(line.contains(" msecs (HTTP/1.1 304)"), "{line}");
    });
}

#[test]
fn the_example_of_the_docs_serves() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let ini = fs::read_to_string(root.join("examples/static_files.ini")).unwrap();
    let page = fs::read_to_string(root.join("docs/static-files.md")).unwrap();
    let shown: String = ini.lines().map(|line| format!("    {line}\n")).collect();
    assert!(page.contains(&shown), "docs/static-files.md shows the example");
    for_each_process_mode(|mode| {
        let directory = scratch();
        let collected = directory.path().join("collected");
        fs::create_dir(&collected).unwrap();
        fs::copy(root.join("examples/foobar.py"), directory.path().join("foobar.py")).unwrap();
        fs::write(collected.join("app.0123456789ab.css"), "body {}").unwrap();
        fs::write(directory.path().join("app.ini"), ini.replace("8080", "0")).unwrap();
        let server = Server::start_in(mode, &["--ini", "app.ini"], directory.path());
        let response = server.get("/static/app.0123456789ab.css");
        assert_eq!(response.text(), "body {}");
        assert!(response.field("expires").is_some() && response.field("vary").is_some());
        assert!(server.get("/").text().contains("Hello There!"));
    });
}
