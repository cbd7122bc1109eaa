//! Answers that a worker sends by itself: the same bytes, in the same order, and nothing lost.

use crate::harness::{Broken, Mode, Server, eventually, for_each_mode, packet, scratch};

const HELLO: &str = "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n";

fn server(mode: Mode, more: &[&str]) -> Server {
    let mut args = vec!["--stats", "127.0.0.1:0"];
    args.extend_from_slice(more);
    Server::http(mode, "all_by_path", &args)
}

/// The sum of a counter over all shards.
fn counter(server: &Server, name: &str) -> u64 {
    let stats = server.stats();
    let shards = stats["shards"].as_array().unwrap();
    shards.iter().map(|shard| shard[name].as_u64().unwrap()).sum()
}

#[test]
fn a_lone_request_is_answered_by_the_worker_itself() {
    for_each_mode(|mode| {
        let server = server(mode, &[]);
        let mut client = server.connect();
        for _ in 0..100 {
            client.send(HELLO);
            assert_eq!(client.response().text(), "hello");
        }
        let sends = counter(&server, "worker_sends");
        assert!((50..=100).contains(&sends), "{mode}: {sends} of 100");
    });
}

#[test]
fn a_worker_ends_the_connection_with_its_answer() {
    for_each_mode(|mode| {
        let server = server(mode, &["--socket", "127.0.0.1:0"]);
        let close = "GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        for _ in 0..30 {
            let mut client = server.connect();
            client.send(close);
            let response = client.response();
            assert_eq!((response.text(), response.closes()), ("hello", true), "{mode}");
            client.assert_closed();
            // Nothing but the end tells this client where the body ends.
            let mut client = server.connect();
            client.send("GET /closes/whole HTTP/1.0\r\n\r\n");
            let answer = String::from_utf8(client.rest().unwrap()).unwrap();
            assert!(answer.ends_with("\r\n\r\npart1part2"), "{mode}: {answer}");
            assert!(!answer.contains("Content-Length"), "{mode}: {answer}");
            let response = packet::get(&server, "/hello");
            assert_eq!((response.status, response.text()), (200, "hello"), "{mode}");
            assert_eq!(response.field("connection"), None, "{mode}");
        }
        let sends = counter(&server, "worker_sends");
        assert!(sends >= 30, "{mode}: {sends} of 60 that a worker may send");
        // Clients that do not close are not waited for.
        let mut open: Vec<_> = (0..5).map(|_| server.connect()).collect();
        for client in &mut open {
            client.send(close);
            assert_eq!(client.response().text(), "hello");
        }
        eventually("the server has closed", || counter(&server, "connections") == 0);
    });
}

#[test]
fn what_comes_behind_the_last_request_loses_no_answer() {
    for_each_mode(|mode| {
        let server = server(mode, &[]);
        for _ in 0..20 {
            let mut client = server.connect();
            client.send("GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            let _ = client.try_send(&[b'x'; 5000]);
            assert_eq!(client.response().text(), "hello", "{mode}");
        }
    });
}

#[test]
fn the_last_request_of_a_silent_client_is_logged() {
    for_each_mode(|mode| {
        let server = Server::http(mode, "all_by_path", &[]);
        let mut client = server.connect();
        client.get("/hello?1");
        client.get("/hello?2");
        let line = server.log.line("GET /hello?2");
        assert!(line.contains("req: 2/2]") && line.contains("generated 5 bytes"), "{line}");
        let millis = line.split(" in ").nth(2).unwrap().split(' ').next().unwrap();
        assert!(millis.parse::<u32>().unwrap() < 400, "the client's silence counts: {line}");
        client.assert_open();
    });
}

#[test]
fn what_the_socket_does_not_take_at_once_follows_in_order() {
    for_each_mode(|mode| {
        let server = server(mode, &[]);
        let mut client = server.connect();
        let requests = 60;
        // 12 MB wait for a client that reads nothing before it has sent all its requests.
        for number in 0..requests {
            client.send(format!("GET /many_pieces/20/10000?{number} HTTP/1.1\r\nHost: a\r\n\r\n"));
        }
        let sent = || counter(&server, "requests");
        eventually("the socket is full", || {
            let before = sent();
            std::thread::sleep(std::time::Duration::from_millis(50));
            before > 2 && sent() == before
        });
        for number in 0..requests {
            let response = client.response();
            assert_eq!(response.field("content-length"), Some("200000"));
            for (piece, bytes) in response.body.chunks(10_000).enumerate() {
                let mark = format!("{number}.{piece}.-");
                assert!(bytes.starts_with(mark.as_bytes()), "{mark} is missing");
            }
        }
        client.assert_open();
    });
}

#[test]
fn a_large_piece_that_the_socket_takes_in_parts_is_whole_and_counted() {
    for_each_mode(|mode| {
        let logged = ["--socket", "127.0.0.1:0", "--log-format", "%(uri) %(hsize) %(rsize)"];
        let server = server(mode, &logged);
        let sizes = [4_096, 70_000, 700_000, 20_000_000];
        for size in sizes {
            let path = format!("/many_pieces/1/{size}?{size}");
            let whole = |body: &[u8], more: &str| {
                let mark = format!("{size}{more}.0.");
                body.len() == size
                    && body.starts_with(mark.as_bytes())
                    && body[mark.len()..].iter().all(|&byte| byte == b'-')
            };
            let mut client = server.connect();
            client.send(format!("GET {path}&slow HTTP/1.1\r\nHost: a\r\n\r\n"));
            // Nothing is read meanwhile: the socket fills, and the worker must do without.
            std::thread::sleep(std::time::Duration::from_millis(50));
            assert!(whole(&client.response().body, "&slow"), "{mode}: {size}");
            assert_eq!(client.get("/hello").text(), "hello", "{mode}: {size}");
            client.send(format!("GET {path}&last HTTP/1.0\r\n\r\n"));
            let answer = client.rest().unwrap();
            let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
            assert!(whole(&answer[end..], "&last"), "{mode}: {size}");
            let line = server.log.line(&format!("{size}&last"));
            assert!(line.ends_with(&format!(" {end} {size}")), "{mode}: {line}");
            assert!(whole(&packet::get(&server, &path).body, ""), "{mode}: {size}");
        }
        let sends = counter(&server, "worker_sends");
        assert!(sends >= 12, "{mode}: {sends} of {}", 4 * sizes.len());
    });
}

#[test]
fn a_file_that_the_socket_takes_in_parts_is_whole_and_counted() {
    for_each_mode(|mode| {
        let logged = ["--socket", "127.0.0.1:0", "--log-format", "%(uri) %(hsize) %(rsize)"];
        let server = server(mode, &logged);
        let directory = scratch();
        let sizes = [5, 70_000, 700_000, 20_000_000];
        for size in sizes {
            let file = directory.path().join(format!("{size}"));
            let content: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
            std::fs::write(&file, &content).unwrap();
            let path = format!("/wraps/real?{}", file.display());
            let mut client = server.connect();
            client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
            // Nothing is read meanwhile: the socket fills, and the worker must do without.
            std::thread::sleep(std::time::Duration::from_millis(50));
            assert!(client.response().body == content, "{mode}: {size}");
            assert_eq!(client.get("/hello").text(), "hello", "{mode}: {size}");
            client.send(format!("GET {path} HTTP/1.0\r\n\r\n"));
            let answer = client.rest().unwrap();
            let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
            assert!(answer[end..] == content, "{mode}: {size}");
            let found = |text: &str| text.contains(&format!("{path} {end} {size}\n")).then_some(());
            server.log.find("the line of the last", found);
            assert!(packet::get(&server, &path).body == content, "{mode}: {size}");
            let part = path.replace("real", "position");
            assert!(server.get(&part).body == content[5..], "{mode}: {size} from its position");
        }
        let before = counter(&server, "worker_sends");
        let path = format!("/wraps/real?{}/70000", directory.path().display());
        let mut client = server.connect();
        for _ in 0..40 {
            assert_eq!(client.get(&path).body.len(), 70_000, "{mode}");
        }
        let sends = counter(&server, "worker_sends") - before;
        assert!((15..=40).contains(&sends), "{mode}: {sends} of 40");
    });
}

#[test]
fn a_file_that_a_worker_has_sent_counts_as_sendfile() {
    for_each_mode(|mode| {
        let server = server(mode, &["--disable-logging", "--log-sendfile"]);
        let directory = scratch();
        let file = directory.path().join("file");
        std::fs::write(&file, "content").unwrap();
        let mut client = server.connect();
        for number in 1..=20 {
            let path = format!("/wraps/real?{}", file.display());
            assert_eq!(client.get(&path).text(), "content");
            assert_eq!(client.get("/hello").text(), "hello");
            let lines = |text: &str| text.matches(" via sendfile() (HTTP/1.1 200)").count();
            server.log.find("a line", |text| (lines(text) >= number).then_some(()));
        }
        assert!(counter(&server, "worker_sends") > 5, "{mode}");
        assert!(!server.log.text().contains("/hello"), "{mode}");
    });
}

#[test]
fn clients_that_break_off_cost_nobody_else() {
    for_each_mode(|mode| {
        let server = server(mode, &["--disable-logging"]);
        let mut other = server.connect();
        for round in 0..500 {
            let mut client = server.connect();
            client.send(HELLO);
            match round % 4 {
                0 => client.reset(),
                1 => drop(client),
                2 => assert_eq!(client.response().text(), "hello"),
                _ => {
                    client.send(HELLO);
                    assert_eq!(client.response().text(), "hello");
                    client.reset();
                }
            }
            if round % 50 == 0 {
                other.send(HELLO);
                assert_eq!(other.response().text(), "hello");
            }
        }
        other.assert_open();
    });
}

#[test]
fn a_pipeline_of_mixed_requests_keeps_its_order() {
    for_each_mode(|mode| {
        let server = Server::shared_with(mode, &["--disable-logging", "--threads", "2"]);
        let mut client = server.connect();
        for round in 0..50 {
            let mut pipeline = String::new();
            for part in 0..round % 7 + 1 {
                let path = match part % 3 {
                    0 => format!("/many_pieces/1/20?{round}.{part}"),
                    1 => format!("/many_pieces/3/9000?{round}.{part}"),
                    _ => format!("/many_pieces/1/40000?{round}.{part}"),
                };
                pipeline.push_str(&format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
            }
            client.send(pipeline);
            for part in 0..round % 7 + 1 {
                let response = client.response();
                let mark = format!("{round}.{part}.0.-");
                assert!(response.body.starts_with(mark.as_bytes()), "{mark} is missing");
            }
        }
    });
}

#[test]
fn a_whole_body_does_not_wait_for_the_end_of_its_app() {
    for_each_mode(|mode| {
        let server = server(mode, &["--processes", "2"]);
        let directory = crate::harness::scratch();
        let path = directory.path().join("go");
        // More requests than there are slots: those of apps that have ended come back.
        let mut clients = [server.connect(), server.connect()];
        for client in &mut clients {
            client.send(format!("GET /ends_late?{} HTTP/1.1\r\nHost: a\r\n\r\n", path.display()));
            assert_eq!(client.response().text(), "whole");
            server.log.line("closing");
        }
        let served = || server.log.text().matches("GET /ends_late").count();
        eventually("both are in the log before they have ended", || served() == 2);
        assert!(!server.log.text().contains("closed"), "{}", server.log.text());
        // The connection goes on; both workers are busy.
        clients[0].send(HELLO);
        std::fs::write(&path, "").unwrap();
        assert_eq!(clients[0].response().text(), "hello");
        for _ in 0..1200 {
            let again = format!("/ends_late?{}", path.display());
            assert_eq!(clients[1].get(&again).text(), "whole");
        }
        clients[0].assert_open();
        assert!(counter(&server, "requests") > 1200);
    });
}

#[test]
fn a_file_does_not_wait_for_the_end_of_its_app() {
    for_each_mode(|mode| {
        let server = server(mode, &["--socket-sndbuf", "131072"]);
        let directory = scratch();
        let (file, go) = (directory.path().join("file"), directory.path().join("file.go"));
        let content = vec![b'x'; 700_000];
        std::fs::write(&file, &content).unwrap();
        let path = format!("/files_end_late?{}", file.display());
        let mut client = server.connect();
        for number in 1..=5 {
            client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
            assert!(client.response().body == content, "{mode}: {number}");
            let count = |text: &str, word: &str| text.lines().filter(|line| *line == word).count();
            let closes = |text: &str| (count(text, "closing") == number).then_some(());
            server.log.find("the app is closing", closes);
            assert_eq!(count(&server.log.text(), "closed"), number - 1, "{mode}");
            std::fs::write(&go, "").unwrap();
            assert_eq!(client.get("/hello").text(), "hello", "{mode}");
            std::fs::remove_file(&go).unwrap();
        }
        std::fs::write(&go, "").unwrap();
    });
}

#[test]
fn a_file_that_is_cut_short_under_way_ends_its_connection_only() {
    for_each_mode(|mode| {
        let server = server(mode, &["--socket-sndbuf", "16384"]);
        let directory = scratch();
        let file = directory.path().join("file");
        std::fs::write(&file, vec![b'x'; 1_000_000]).unwrap();
        let path = format!("/wraps/real?{}", file.display());
        // The worker begins what it has met.
        assert_eq!(server.get(&path).body.len(), 1_000_000, "{mode}");
        let mut client = server.connect();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        eventually("the first part", || client.has_answer());
        std::fs::File::options().write(true).open(&file).unwrap().set_len(10).unwrap();
        let broken = client.try_response().expect_err("there is no more of it");
        assert!(matches!(broken, Broken::Closed(_) | Broken::Reset), "{mode}: {broken:?}");
        assert_eq!(server.get("/hello").text(), "hello", "{mode}");
        assert_eq!(server.get(&path).body.len(), 10, "{mode}");
    });
}

#[test]
fn threads_send_files_beside_each_other() {
    for_each_mode(|mode| {
        let server = server(mode, &["--threads", "3", "--socket-sndbuf", "131072"]);
        let directory = scratch();
        let sizes = [100, 50_000, 300_000, 900_000];
        for size in sizes {
            std::fs::write(directory.path().join(format!("{size}")), vec![b'x'; size]).unwrap();
        }
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut client = server.connect();
                    for round in 0..40 {
                        let size = sizes[round % sizes.len()];
                        let path = format!("/wraps/real?{}/{size}", directory.path().display());
                        assert_eq!(client.get(&path).body.len(), size, "{mode}");
                        assert_eq!(client.get("/computes?0.001").text(), "computed", "{mode}");
                    }
                });
            }
        });
    });
}

#[test]
fn a_client_that_leaves_a_file_ends_no_worker_whose_app_wants_sigpipe() {
    for_each_mode(|mode| {
        if !mode.is_process() {
            return; // Only a process's main interpreter sets signals.
        }
        let server = server(mode, &["--socket-sndbuf", "131072"]);
        let directory = scratch();
        let file = directory.path().join("file");
        std::fs::write(&file, vec![b'x'; 700_000]).unwrap();
        let path = format!("/wants_sigpipe?{}", file.display());
        assert_eq!(server.get(&path).body.len(), 700_000);
        let pid = server.worker_pid();
        for _ in 0..30 {
            let mut client = server.connect();
            client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
            client.reset();
        }
        assert_eq!(server.get(&path).body.len(), 700_000);
        assert_eq!(server.worker_pid(), pid, "{mode}");
    });
}

#[test]
fn a_reload_keeps_connections_that_workers_have_answered() {
    for_each_mode(|mode| {
        let server = server(mode, &["--master"]);
        let mut client = server.connect();
        for _ in 0..20 {
            assert_eq!(client.get("/hello").text(), "hello");
        }
        assert!(counter(&server, "worker_sends") > 0);
        server.signal(libc::SIGHUP);
        server.log.line("a successor serves");
        assert_eq!(client.get("/hello").text(), "hello");
        client.assert_open();
    });
}
