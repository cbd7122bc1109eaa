//! wsgi.file_wrapper: files as bodies.

use crate::harness::{Broken, Server, for_each_mode};

#[test]
fn sends_a_real_file_and_closes_it() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        let directory = crate::harness::scratch();
        for (length, name) in [(0, "empty"), (5, "small"), (1_000_000, "large")] {
            let path = directory.path().join(name);
            let content: Vec<u8> = (0..length).map(|n| (n % 251) as u8).collect();
            std::fs::write(&path, &content).unwrap();
            let mut client = server.connect();
            let response = client.get(&format!("/wraps/real?{}", path.display()));
            assert!(response.body == content, "{name}: {} bytes", response.body.len());
            server.log.line(&format!("closed {}", path.display()));
            client.assert_open();
        }
    });
}

#[test]
fn sends_a_file_from_its_position() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        let directory = crate::harness::scratch();
        let path = directory.path().join("digits");
        std::fs::write(&path, "0123456789".repeat(10_000)).unwrap();
        let response = server.get(&format!("/wraps/position?{}", path.display()));
        assert_eq!(response.body.len(), 100_000 - 5);
        assert!(response.text().starts_with("56789012"));
    });
}

#[test]
fn keeps_to_the_length_that_the_app_gave() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        let directory = crate::harness::scratch();
        let path = directory.path().join("digits");
        std::fs::write(&path, "0123456789".repeat(100)).unwrap();
        let mut client = server.connect();
        assert_eq!(
            client.get(&format!("/wraps/length/15?{}", path.display())).text(),
            "012345678901234"
        );
        client
            .send(format!("GET /wraps/length/5000?{} HTTP/1.1\r\nHost: a\r\n\r\n", path.display()));
        assert!(matches!(client.try_response(), Err(Broken::Closed(_))));
    });
}

#[test]
fn reads_what_is_no_real_file() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        for kind in ["bytesio", "text_only_read", "gzip"] {
            let response = server.get(&format!("/wraps/{kind}"));
            assert_eq!(response.body.len(), 300_000, "{kind}");
            server.log.line(&format!("closed {kind}"));
        }
    });
}

#[test]
fn sends_no_file_to_head_but_its_length() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        let directory = crate::harness::scratch();
        let path = directory.path().join("file");
        std::fs::write(&path, "content").unwrap();
        let mut client = server.connect();
        client.send(format!("HEAD /wraps/real?{} HTTP/1.1\r\nHost: a\r\n\r\n", path.display()));
        let response = client.response_to_head();
        assert!(response.field("content-length").is_none_or(|length| length == "7"));
        client.assert_open();
    });
}

#[test]
fn iterates_a_wrapper_that_is_not_returned_itself() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        let response = server.get("/wraps/iterated");
        assert_eq!(response.body.len(), 300_000);
    });
}

#[test]
fn goes_on_when_a_client_leaves_a_file_download() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        let directory = crate::harness::scratch();
        let path = directory.path().join("large");
        std::fs::write(&path, vec![b'x'; 30_000_000]).unwrap();
        for _ in 0..3 {
            let mut client = server.connect();
            client.send(format!("GET /wraps/real?{} HTTP/1.1\r\nHost: a\r\n\r\n", path.display()));
            client.peek().unwrap();
            client.reset();
        }
        assert_eq!(server.get("/hello").text(), "hello");
    });
}

#[test]
fn frees_the_worker_while_a_slow_client_takes_a_file() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        let directory = crate::harness::scratch();
        let path = directory.path().join("large");
        std::fs::write(&path, vec![b'x'; 30_000_000]).unwrap();
        let mut client = server.connect();
        client.send(format!("GET /wraps/real?{} HTTP/1.1\r\nHost: a\r\n\r\n", path.display()));
        client.peek().unwrap();
        // One worker, and the file is not sent yet.
        assert_eq!(server.get("/hello").text(), "hello");
        assert_eq!(client.response().body.len(), 30_000_000);
    });
}

#[test]
fn leaves_the_wrapper_out_when_told_to() {
    for_each_mode(|mode| {
        let server = Server::shared_with(mode, &["--wsgi-disable-file-wrapper"]);
        let environ = server.get("/describe").json()["environ"].take();
        assert!(environ["wsgi.file_wrapper"].is_null());
    });
}

#[test]
fn keeps_no_descriptor_of_the_files_it_sent() {
    for_each_mode(|mode| {
        let server = Server::shared(mode);
        let directory = crate::harness::scratch();
        let path = directory.path().join("file");
        std::fs::write(&path, "content").unwrap();
        for _ in 0..20 {
            server.get(&format!("/wraps/real?{}", path.display()));
        }
        let held = |pid: i32| {
            let links = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
            links
                .filter_map(|link| std::fs::read_link(link.ok()?.path()).ok())
                .filter(|link| *link == path)
                .count()
        };
        let pids = [server.pid() as i32, server.worker_pid()];
        crate::harness::eventually("the files are closed", || {
            pids.iter().all(|&pid| held(pid) == 0)
        });
    });
}
