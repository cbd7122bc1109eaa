//! How static files are sent: conditions, ranges, compressed siblings, Expires, and by whom.

use std::fs;
use std::time::SystemTime;

use crate::harness::{Mode, Response, for_each_process_mode};
use crate::static_files::{CHANGED, ask, get, large, site, start};

#[test]
fn answers_conditional_requests() {
    for_each_process_mode(|mode| {
        let site = site();
        let server = start(mode, &site, &["--static-map=/s={}/site"]);
        let first = get(&server, "/s/hello.txt");
        let tag = first.field("etag").unwrap();
        let weak = format!("W/{tag}");
        let status = |name: &str, value: &str| {
            let response = ask(&server, "GET", "/s/hello.txt", &[(name, value)]);
            if response.status == 304 {
                assert_eq!(response.field("etag"), Some(tag));
            }
            response.status
        };
        assert_eq!(status("If-None-Match", tag), 304);
        assert_eq!(status("If-None-Match", &format!("\"x\", {weak}")), 304);
        assert_eq!(status("If-None-Match", "\"x\""), 200);
        assert_eq!(status("If-Modified-Since", CHANGED), 304);
        assert_eq!(status("If-Modified-Since", "Thu, 02 Jan 2020 03:04:04 GMT"), 200);
        assert_eq!(status("If-Modified-Since", "yesterday"), 200);
        assert_eq!(status("If-Match", tag), 200);
        assert_eq!(status("If-Match", &weak), 412);
        assert_eq!(status("If-Unmodified-Since", "Thu, 02 Jan 2020 03:04:04 GMT"), 412);
        let both = [("If-None-Match", "\"x\""), ("If-Modified-Since", CHANGED)];
        assert_eq!(ask(&server, "GET", "/s/hello.txt", &both).status, 200);
        assert_eq!(ask(&server, "HEAD", "/s/hello.txt", &[("If-None-Match", tag)]).status, 304);
    });
}

#[test]
fn answers_ranges() {
    for_each_process_mode(|mode| {
        let site = site();
        let server = start(mode, &site, &["--static-map=/s={}/site"]);
        let ranges = |target: &str, range: &str| ask(&server, "GET", target, &[("Range", range)]);
        for (range, body, content_range) in [
            ("bytes=2-4", "llo", "bytes 2-4/10"),
            ("bytes=-3", "ile", "bytes 7-9/10"),
            ("bytes=3-", "lo file", "bytes 3-9/10"),
            ("bytes=0-100", "hello file", "bytes 0-9/10"),
        ] {
            let response = ranges("/s/hello.txt", range);
            assert_eq!((response.status, response.text()), (206, body), "{range}");
            assert_eq!(response.field("content-range"), Some(content_range));
        }
        let beyond = ranges("/s/hello.txt", "bytes=10-");
        assert_eq!((beyond.status, beyond.field("content-range")), (416, Some("bytes */10")));
        assert_eq!(ranges("/s/hello.txt", "lines=1-2").status, 200);
        assert_eq!(ranges("/s/empty.txt", "bytes=0-1").status, 200);
        let head = ask(&server, "HEAD", "/s/hello.txt", &[("Range", "bytes=0-1")]);
        assert_eq!((head.status, head.field("content-length")), (200, Some("10")));

        let whole = ranges("/s/large.bin", "bytes=100000-599999");
        assert_eq!(whole.status, 206);
        assert!(whole.body == large()[100_000..600_000]);

        let old = [("Range", "bytes=0-1"), ("If-Range", "\"x\"")];
        assert_eq!(ask(&server, "GET", "/s/hello.txt", &old).status, 200);
        let fresh = [("Range", "bytes=0-1"), ("If-Range", CHANGED)];
        assert_eq!(ask(&server, "GET", "/s/hello.txt", &fresh).status, 206);
    });
}

/// The parts of a multipart/byteranges body: their ranges and bytes.
fn parts(response: &Response) -> Vec<(String, Vec<u8>)> {
    let kind = response.field("content-type").unwrap();
    let boundary = kind.strip_prefix("multipart/byteranges; boundary=").unwrap();
    let delimiter = format!("\r\n--{boundary}");
    let mut rest = &response.body[..];
    let mut parts = Vec::new();
    loop {
        rest = rest.strip_prefix(delimiter.as_bytes()).expect("a delimiter");
        if rest == b"--\r\n" {
            return parts;
        }
        let find = |text: &[u8], part: &str| {
            text.windows(part.len()).position(|window| window == part.as_bytes()).unwrap()
        };
        let head_end = find(rest, "\r\n\r\n") + 4;
        let head = String::from_utf8(rest[..head_end].to_vec()).unwrap();
        let range = head.split("Content-Range: ").nth(1).unwrap().split("\r\n").next().unwrap();
        rest = &rest[head_end..];
        let end = find(rest, &delimiter);
        parts.push((range.to_owned(), rest[..end].to_vec()));
        rest = &rest[end..];
    }
}

#[test]
fn answers_several_ranges_with_their_parts() {
    for_each_process_mode(|mode| {
        let site = site();
        let server = start(mode, &site, &["--static-map=/s={}/site"]);
        let ranges = |target: &str, range: &str| ask(&server, "GET", target, &[("Range", range)]);
        let response = ranges("/s/hello.txt", "bytes=0-1, 6-");
        assert_eq!(response.status, 206);
        let expected = [("bytes 0-1/10", "he"), ("bytes 6-9/10", "file")];
        let expected = expected.map(|(range, body)| (range.to_owned(), body.into()));
        assert_eq!(parts(&response), expected);
        let response = ranges("/s/large.bin", "bytes=600000-,0-299999");
        let bodies: Vec<_> = parts(&response).into_iter().map(|(_, body)| body).collect();
        assert!(bodies == [&large()[600_000..], &large()[..300_000]]);
        // What would cost more than the file itself is the file.
        assert_eq!(ranges("/s/hello.txt", "bytes=0-,0-").status, 200);
        let many = format!("bytes={}0-0", "0-0,".repeat(50));
        assert_eq!(ranges("/s/large.bin", &many).status, 200);
    });
}

#[test]
fn serves_whole_files_when_ranges_are_turned_off() {
    let site = site();
    let server = start(Mode::ANY, &site, &["--static-map=/s={}/site", "--honour-range=false"]);
    let response = ask(&server, "GET", "/s/hello.txt", &[("Range", "bytes=0-1")]);
    assert_eq!((response.status, response.field("accept-ranges")), (200, None));
}

#[test]
fn serves_compressed_siblings_to_those_who_take_them() {
    for_each_process_mode(|mode| {
        let site = site();
        for option in [
            "--static-gzip-all",
            "--static-gzip=\\.css$",
            "--static-gzip-ext=css",
            "--static-gzip-suffix=.css",
            "--static-gzip-dir={}/site/css",
            "--static-gzip-prefix={}/site/c",
        ] {
            let server = start(mode, &site, &["--static-map=/s={}/site", option]);
            let accept = |target: &str, codings: &str| {
                let response = ask(&server, "GET", target, &[("Accept-Encoding", codings)]);
                assert_eq!(response.field("content-type"), Some("text/css"));
                assert_eq!(response.field("vary"), Some("Accept-Encoding"), "{option}");
                let coding = response.field("content-encoding").unwrap_or("").to_owned();
                (coding, response.text().to_owned())
            };
            let expect = |coding: &str, text: &str| (coding.to_owned(), text.to_owned());
            let css = "/s/css/app.css";
            assert_eq!(accept(css, "gzip, deflate, br"), expect("br", "nor brotli"));
            assert_eq!(accept(css, "gzip"), expect("gzip", "not really gzip"));
            assert_eq!(accept(css, "gzip;q=0"), expect("", "body {}"));
            assert_eq!(accept("/s/css/only.css", "gzip, br"), expect("", "only"));
            let tags: Vec<_> = ["gzip", "br", ""]
                .iter()
                .map(|codings| ask(&server, "GET", css, &[("Accept-Encoding", codings)]))
                .map(|response| response.field("etag").unwrap().to_owned())
                .collect();
            assert!(tags[0] != tags[1] && tags[1] != tags[2], "{tags:?}");
        }
        let server = start(mode, &site, &["--static-map=/s={}/site", "--static-gzip-ext=.js"]);
        let response = ask(&server, "GET", "/s/css/app.css", &[("Accept-Encoding", "gzip")]);
        assert_eq!((response.field("vary"), response.text()), (None, "body {}"));
    });
}

fn expires(response: &Response) -> Option<u64> {
    let time = httpdate::parse_http_date(response.field("expires")?).unwrap();
    Some(time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs())
}

/// uWSGI's own black-box test asks for this.
#[test]
fn static_expires() {
    for_each_process_mode(|mode| {
        let site = site();
        let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        for (option, seconds) in [
            ("--static-expires-uri=^/foobar/ 315360000", 315_360_000),
            ("--static-expires-path-info=\\.txt$ 60", 60),
            ("--static-expires=/site/hello 3600", 3600),
            ("--static-expires-type=text/plain=7200", 7200),
        ] {
            let server = start(mode, &site, &["--static-map=/foobar={}/site", option]);
            let before = now();
            let at = expires(&get(&server, "/foobar/hello.txt")).expect(option);
            assert!((before + seconds..=now() + seconds).contains(&at), "{option}: {at}");
        }
        for option in [
            "--static-expires-uri-mtime=^/foobar/ 60",
            "--static-expires-path-info-mtime=^/foobar/ 60",
            "--static-expires-mtime=hello 60",
            "--static-expires-type-mtime=text/plain=60",
        ] {
            let server = start(mode, &site, &["--static-map=/foobar={}/site", option]);
            let at = expires(&get(&server, "/foobar/hello.txt"));
            assert_eq!(at, Some(1_577_934_245 + 60), "{option}");
        }
        let options = ["--static-map=/foobar={}/site", "--static-expires-uri=^/barfoo/ 60"];
        let server = start(mode, &site, &options);
        assert_eq!(expires(&get(&server, "/foobar/hello.txt")), None);
    });
}

#[test]
fn lets_the_server_in_front_send_the_file() {
    for_each_process_mode(|mode| {
        let site = site();
        fs::write(site.path().join("site/a%b\nc"), "x").unwrap();
        for (word, field) in [
            ("nginx", "x-accel-redirect"),
            ("x-accel-redirect", "x-accel-redirect"),
            ("x-sendfile", "x-sendfile"),
        ] {
            let mode_option = format!("--file-serve-mode={word}");
            let server = start(mode, &site, &["--static-map=/s={}/site", &mode_option]);
            let response = ask(&server, "GET", "/s/hello.txt", &[("Range", "bytes=0-1")]);
            let path = site.path().join("site/hello.txt").canonicalize().unwrap();
            assert_eq!(response.field(field), path.to_str(), "{word}");
            assert_eq!((response.status, response.text()), (200, ""));
            let odd = server.get("/s/a%25b%0ac");
            assert!(odd.field(field).unwrap().ends_with("/a%25b%0Ac"), "{odd:?}");
        }
    });
}
