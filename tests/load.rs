//! Many clients at once: everyone gets the answer to the own question, nothing is lost or kept.

use std::process::Command;

use crate::harness::server::command;
use crate::harness::{Client, Mode, Server, app, eventually, for_each_mode, full, scratch};

/// One client's mixed traffic: sizes, framings and routes differ, each answer is checked.
fn mixed(server: &Server, seed: usize, rounds: usize) {
    let mut client = server.connect();
    for round in 0..rounds {
        let number = seed * 7919 + round * 104_729;
        let size = [0, 1, 100, 5_000, 70_000, 300_000][number % 6];
        let mark = format!("{seed}-{round}");
        match number % 5 {
            0 => {
                let body = mark.repeat(size / mark.len() + 1);
                let length = body.len();
                client.send(format!(
                    "POST /describe?{mark} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}"
                ));
                let seen = client.response().json();
                assert_eq!(seen["environ"]["QUERY_STRING"], mark);
                assert_eq!(seen["body"], body);
            }
            1 => {
                let body = mark.repeat(size / mark.len() + 1);
                client.send(
                    "POST /describe HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
                );
                for piece in body.as_bytes().chunks(size / 3 + 1) {
                    client.send(format!("{:x}\r\n", piece.len()));
                    client.send([piece, b"\r\n"].concat());
                }
                client.send("0\r\n\r\n");
                assert_eq!(client.response().json()["body"], body);
            }
            2 => assert_eq!(client.get(&format!("/large/{size}/1000")).body.len(), size),
            3 => assert_eq!(client.get(&format!("/large/{size}/0")).body.len(), size),
            _ => {
                let hellos = "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n".repeat(3);
                client.send(format!("{hellos}GET /describe?{mark} HTTP/1.1\r\nHost: a\r\n\r\n"));
                (0..3).for_each(|_| assert_eq!(client.response().text(), "hello"));
                assert_eq!(client.response().json()["environ"]["QUERY_STRING"], mark);
            }
        }
    }
}

#[test]
fn gives_each_of_many_clients_its_own_answers() {
    let rounds = if full() { 500 } else { 25 };
    for_each_mode(|mode| {
        let more = ["--processes", "2", "--threads", "2", "--shards", "2", "--disable-logging"];
        let server = Server::shared_with(mode, &more);
        std::thread::scope(|scope| {
            let server = &server;
            for seed in 0..12 {
                scope.spawn(move || mixed(server, seed, rounds));
            }
        });
    });
}

#[test]
fn answers_more_requests_at_once_than_it_has_slots() {
    for_each_mode(|mode| {
        let server = Server::shared_with(mode, &["--disable-logging", "--shards", "1"]);
        let directory = scratch();
        let path = directory.path().join("go");
        let mut first = server.connect();
        first.send(format!("GET /waits?{} HTTP/1.1\r\nHost: a\r\n\r\n", path.display()));
        server.log.line(&format!("waiting for {}", path.display()));
        // One worker, which is busy; 512 slots in a shard.
        let mut waiting: Vec<Client> = (0..700).map(|_| server.connect()).collect();
        for client in &mut waiting {
            client.send("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
        }
        std::fs::write(&path, "").unwrap();
        assert_eq!(first.response().text(), "waited");
        for client in &mut waiting {
            assert_eq!(client.response().text(), "hello");
        }
    });
}

#[test]
fn runs_no_request_whose_client_left_before_its_turn_twice() {
    for_each_mode(|mode| {
        let server = Server::shared_with(mode, &["--disable-logging", "--shards", "1"]);
        let directory = scratch();
        let path = directory.path().join("go");
        let mut first = server.connect();
        first.send(format!("GET /waits?{} HTTP/1.1\r\nHost: a\r\n\r\n", path.display()));
        server.log.line(&format!("waiting for {}", path.display()));
        for _ in 0..600 {
            let mut client = server.connect();
            client.send("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
            client.reset();
        }
        std::fs::write(&path, "").unwrap();
        assert_eq!(first.response().text(), "waited");
        first.assert_open();
    });
}

/// How many descriptors a process holds.
fn descriptors(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

#[test]
fn keeps_nothing_of_clients_that_have_gone() {
    for_each_mode(|mode| {
        let server = Server::shared_with(mode, &["--disable-logging"]);
        server.get("/hello");
        let before = descriptors(server.pid());
        for round in 0..100 {
            let mut client = server.connect();
            match round % 5 {
                0 => client.send("GET /hel"),
                1 => client.send("POST /sink HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nab"),
                2 => client.send("GET /large/3000000/10000 HTTP/1.1\r\nHost: a\r\n\r\n"),
                3 => client.send("BAD\r\n\r\n"),
                _ => {}
            }
            if round % 2 == 0 { client.reset() } else { drop(client) }
        }
        eventually("the descriptors are back", || descriptors(server.pid()) <= before + 1);
        assert_eq!(server.get("/hello").text(), "hello");
    });
}

#[test]
fn stays_at_the_same_memory_over_many_requests() {
    let count = if full() { 40_000 } else { 3_000 };
    for_each_mode(|mode| {
        let server = Server::shared_with(mode, &["--disable-logging"]);
        let mut client = server.connect();
        let mut ask = |count: usize| {
            for number in 0..count {
                // Names and values that no cache has seen.
                client.send(format!(
                    "GET /hello?{number} HTTP/1.1\r\nHost: a\r\nX-{number}: {number}\r\n\r\n"
                ));
                assert_eq!(client.response().status, 200);
            }
        };
        ask(count);
        let before = resident(server.pid());
        ask(count);
        let grown = resident(server.pid()).saturating_sub(before);
        assert!(grown < 3 << 20, "{mode}: {grown} bytes more after {count} requests");
    });
}

#[test]
fn forgets_the_names_that_clients_invent() {
    for_each_mode(|mode| {
        let server = Server::shared_with(mode, &["--disable-logging"]);
        let mut client = server.connect();
        let mut blocks_after = |round: usize| {
            for request in 0..50 {
                let names = (0..100).map(|name| format!("X-{round}-{request}-{name}: a\r\n"));
                let names = names.collect::<String>();
                client.send(format!("GET /hello HTTP/1.1\r\nHost: a\r\n{names}\r\n"));
                assert_eq!(client.response().status, 200);
            }
            client.get("/counts_blocks").text().parse::<i64>().unwrap()
        };
        blocks_after(0);
        let before = blocks_after(1);
        let grown = blocks_after(2) - before;
        assert!(grown < 1_000, "{mode}: {grown} blocks after 5000 names");
    });
}

fn resident(pid: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

#[test]
fn a_thread_that_computes_does_not_stop_the_io_of_others() {
    for_each_mode(|mode| {
        let server = Server::http(mode, "all_by_path", &["--threads", "4", "--disable-logging"]);
        std::thread::scope(|scope| {
            let busy = scope.spawn(|| server.get("/computes?0.5").text().to_owned());
            server.log.line("computing");
            let begin = std::time::Instant::now();
            let mut client = server.connect();
            (0..10).for_each(|_| client.assert_open());
            assert!(begin.elapsed().as_millis() < 2_000, "{:?}", begin.elapsed());
            assert_eq!(busy.join().unwrap(), "computed");
        });
    });
}

/// Worker processes that kill themselves at the named points of the crossing: every request is
/// answered, by the app or with a 502, or its connection ends.
#[cfg(feature = "faults")]
#[test]
fn loses_no_request_to_a_death_at_a_dangerous_point() {
    let points = [
        "answered",
        "claimed",
        "done, no news set",
        "flag cleared, not rung",
        "news set, not told",
        "own send, fetched",
        "own send, part",
        "own send, sent",
        "own send, taken",
        "running",
        "woken",
    ];
    for_each_mode(|mode| {
        if !mode.is_process() {
            return; // An interpreter does not die alone.
        }
        let directory = scratch();
        // What a socket takes at once, and more.
        let [small, large] = [50_000, 700_000].map(|size| {
            let file = directory.path().join(size.to_string());
            std::fs::write(&file, vec![b'x'; size]).unwrap();
            format!("/wraps/real?{}", file.display())
        });
        let bodies = points.map(|point| match point {
            // A tiny answer is the worker's to send when it is the only one, and each of a slow
            // app; one without a length is the shard's. The first is more than a socket takes.
            "own send, part" => (point, 1, "/many_pieces/1/8000000"),
            _ if point.starts_with("own send") => (point, 1, "/hello"),
            _ => (point, 4, "/large/100/10"),
        });
        let files = points.into_iter().filter(|point| point.starts_with("own send"));
        let files = files.map(|point| match point {
            "own send, part" => (point, 1, large.as_str()),
            _ => (point, 1, small.as_str()),
        });
        for (point, clients, path) in bodies.into_iter().chain(files) {
            let server = Server::await_ready(faulty(mode, point), mode);
            std::thread::scope(|scope| {
                for _ in 0..clients {
                    scope.spawn(|| {
                        let mut client = server.connect();
                        for _ in 0..if full() { 3_000 } else { 150 } {
                            client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
                            match client.try_response() {
                                Ok(response) if response.status == 200 && !response.closes() => {}
                                Ok(response) => {
                                    assert!(
                                        [200, 502].contains(&response.status),
                                        "{point}: {response:?}"
                                    );
                                    client = server.connect();
                                }
                                Err(crate::harness::Broken::Closed(_)) => client = server.connect(),
                                Err(broken) => panic!("{point}: {broken:?}"),
                            }
                        }
                    });
                }
            });
            // Without a death nothing was tried.
            let deaths = server.log.text().matches("died, killed by signal 9").count();
            eprintln!("{point}, {path}: {deaths} deaths");
            assert!(deaths > 0, "no worker died at {point:?} with {path}");
        }
    });
}

#[cfg_attr(not(feature = "faults"), expect(dead_code))]
fn faulty(mode: Mode, point: &str) -> Command {
    let mut command = command(&[
        "--http-socket",
        "127.0.0.1:0",
        "--wsgi-file",
        &app("all_by_path"),
        "--processes",
        "2",
        "--shards",
        "2",
        "--disable-logging",
        "--socket-sndbuf",
        "131072",
        "--isolation",
        mode.isolation,
        "--io",
        mode.io,
    ]);
    let passes = if point == "own send, part" { 10 } else { 40 };
    command.env("UWRING_FAULT", format!("{point}:{passes}"));
    command
}

#[test]
fn a_file_is_a_module_of_uwsgis_name() {
    let directory = scratch();
    std::fs::create_dir(directory.path().join("d.ir")).unwrap();
    let text = "def application(environ, start_response):\n    start_response('200 OK', [])\n    \
                return [__name__.encode()]\n";
    for (file, name) in [
        ("probe.py", "uwsgi_file_probe"),
        ("file-x.wsgi", "uwsgi_file_file-x_wsgi"),
        ("a.b.py", "uwsgi_file_a_b"),
        ("./d.ir/q.py", "uwsgi_file___d_ir_q"),
    ] {
        std::fs::write(directory.path().join(file), text).unwrap();
        let args = ["--http-socket", "127.0.0.1:0", "--wsgi-file", file];
        let server = Server::start_in(Mode::ANY, &args, directory.path());
        assert_eq!(server.get("/").text(), name);
    }
}
