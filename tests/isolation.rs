//! Workers: several at once, slow ones, dead ones, stopped ones.

use std::time::Instant;

use crate::harness::{Client, Mode, Server, for_each_mode, for_each_process_mode, scratch};

fn wait_request(path: &std::path::Path) -> String {
    format!("GET /waits?{} HTTP/1.1\r\nHost: a\r\n\r\n", path.display())
}

#[test]
fn says_what_its_workers_are() {
    for_each_mode(|mode| {
        let server = Server::http(mode, "hello", &["--processes", "2"]);
        let line = server.log.line("uwring is ready");
        assert!(line.contains(&format!("2 worker(s) ({})", mode.isolation)), "{line}");
        let driver = if mode.io == "uring" { "(io_uring)" } else { "(epoll)" };
        assert!(line.contains(driver), "{line}");
    });
}

#[test]
fn runs_as_many_requests_at_once_as_there_are_workers_and_threads() {
    for_each_mode(|mode| {
        let server =
            Server::http(mode, "all_by_path", &["--master", "--processes", "4", "--threads", "2"]);
        let directory = scratch();
        let path = directory.path().join("go");
        let mut clients: Vec<Client> = (0..8).map(|_| server.connect()).collect();
        for client in &mut clients {
            client.send(wait_request(&path));
        }
        let begun = |text: &str| text.matches("waiting for").count();
        server.log.find("eight running requests", |text| (begun(text) == 8).then_some(()));
        std::fs::write(&path, "").unwrap();
        for client in &mut clients {
            assert_eq!(client.response().text(), "waited");
        }
    });
}

#[test]
fn a_slow_request_holds_up_no_other_while_a_worker_is_free() {
    for_each_mode(|mode| {
        let server = Server::http(mode, "all_by_path", &["--processes", "2", "--shards", "2"]);
        let directory = scratch();
        let path = directory.path().join("go");
        let mut slow = server.connect();
        slow.send(wait_request(&path));
        server.log.line("waiting for");
        // New connections and kept ones, on both shards.
        for _ in 0..20 {
            let mut client = server.connect();
            for _ in 0..5 {
                let begin = Instant::now();
                client.assert_open();
                // The slow one would hold it up for ever; the rest is the machine's load.
                assert!(begin.elapsed().as_secs() < 5, "{:?}", begin.elapsed());
            }
        }
        std::fs::write(&path, "").unwrap();
        assert_eq!(slow.response().text(), "waited");
    });
}

#[test]
fn a_slow_request_does_not_delay_the_connection_before_it() {
    for_each_mode(|mode| {
        let server = Server::http(mode, "all_by_path", &["--processes", "2", "--shards", "2"]);
        let directory = scratch();
        let path = directory.path().join("go");
        // Both shards have connections before a worker gets busy.
        let mut kept: Vec<Client> = (0..8).map(|_| server.connect()).collect();
        kept.iter_mut().for_each(Client::assert_open);
        kept[0].send(wait_request(&path));
        server.log.line("waiting for");
        for client in &mut kept[1..] {
            client.assert_open();
        }
        std::fs::write(&path, "").unwrap();
        assert_eq!(kept[0].response().text(), "waited");
    });
}

/// The modes whose workers are processes of their own.
#[test]
fn a_killed_worker_costs_its_request_a_502_and_is_replaced() {
    // An interpreter cannot be killed alone: only processes.
    for_each_process_mode(|mode| {
        let server = Server::http(mode, "all_by_path", &["--processes", "2"]);
        let mut other = server.connect();
        other.assert_open();
        for _ in 0..3 {
            let mut client = server.connect();
            client.send("GET /kills_itself HTTP/1.1\r\nHost: a\r\n\r\n");
            let response = client.response();
            assert_eq!(response.status, 502, "{response:?}");
            assert!(!response.closes(), "{response:?}");
            // The connection lives on, and a successor answers on it.
            assert_eq!(client.get("/hello").text(), "hello");
            other.assert_open();
            assert_eq!(server.get("/hello").text(), "hello");
        }
        server.log.line("died");
        let respawned = |text: &str| text.matches("Respawned uWSGI worker").count();
        server.log.find("three successors", |text| (respawned(text) == 3).then_some(()));
        let ready = |_: &str| Some(());
        server.log.find("the log", ready);
        assert_eq!(server.get("/hello").text(), "hello");
    });
}

#[test]
fn a_worker_killed_from_outside_is_replaced() {
    for_each_process_mode(|mode| {
        let server = Server::http(mode, "all_by_path", &[]);
        let directory = scratch();
        let pid = server.worker_pid();
        let mut client = server.connect();
        client.send(wait_request(&directory.path().join("never")));
        server.log.line("waiting for");
        uwring::sys::kill(pid, libc::SIGKILL);
        assert_eq!(client.response().status, 502);
        // A request that comes while there is no worker waits for the successor.
        assert_eq!(server.get("/hello").text(), "hello");
        assert_ne!(server.worker_pid(), pid);
    });
}

#[test]
fn a_worker_that_dies_in_the_middle_of_its_response_cuts_it() {
    for_each_process_mode(|mode| {
        let server = Server::http(mode, "all_by_path", &[]);
        let mut client = server.connect();
        client.send("GET /kills_itself?later HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(client.try_response().is_err(), "the client sees that it is not whole");
        assert_eq!(server.get("/hello").text(), "hello");
    });
}

#[test]
fn a_worker_that_exits_is_replaced_too() {
    for_each_process_mode(|mode| {
        let server = Server::http(mode, "all_by_path", &[]);
        let mut client = server.connect();
        client.send("GET /kills_itself?exit HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.response().status, 502);
        assert_eq!(server.get("/hello").text(), "hello");
    });
}

#[test]
fn a_worker_that_dies_while_the_body_still_comes_costs_its_request_alone() {
    for_each_process_mode(|mode| {
        let server = Server::http(mode, "all_by_path", &[]);
        let mut client = server.connect();
        client.send("POST /kills_itself HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n");
        let _ = client.try_send(&vec![b'x'; 500_000]);
        assert_eq!(client.response().status, 502);
        assert_eq!(server.get("/hello").text(), "hello");
    });
}

#[test]
fn many_deaths_under_load_lose_no_other_request() {
    for_each_process_mode(|mode| {
        let server = Server::http(mode, "all_by_path", &["--processes", "2"]);
        let deaths = if crate::harness::full() { 100 } else { 6 };
        std::thread::scope(|scope| {
            let busy: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        let mut client = server.connect();
                        (0..100 * deaths / 6).for_each(|_| client.assert_open());
                    })
                })
                .collect();
            for _ in 0..deaths {
                let status = server.get("/kills_itself").status;
                assert_eq!(status, 502);
            }
            busy.into_iter().for_each(|thread| thread.join().unwrap());
        });
    });
}

#[test]
fn a_stopped_worker_holds_up_its_own_request_and_nothing_else() {
    for_each_process_mode(|mode| {
        let server = Server::http(mode, "all_by_path", &["--processes", "2"]);
        let directory = scratch();
        let path = directory.path().join("go");
        let mut held = server.connect();
        held.send(format!("GET /waits_with_pid?{} HTTP/1.1\r\nHost: a\r\n\r\n", path.display()));
        let pid: i32 = server.log.find("its pid", |text| {
            text.lines().find_map(|line| line.strip_prefix("pid that waits: ")?.parse().ok())
        });
        uwring::sys::kill(pid, libc::SIGSTOP);
        for _ in 0..50 {
            assert_eq!(server.get("/hello").text(), "hello");
        }
        uwring::sys::kill(pid, libc::SIGCONT);
        std::fs::write(&path, "").unwrap();
        assert_eq!(held.response().text(), "waited");
    });
}

#[test]
fn loads_the_app_once_or_in_each_worker() {
    for_each_process_mode(|mode| {
        let loads = |server: &Server| server.log.text().matches("loaded by").count();
        let server = Server::http(mode, "says_loading", &["--processes", "3"]);
        assert_eq!(loads(&server), 1, "in the spawner, shared copy-on-write");
        let server = Server::http(mode, "says_loading", &["--processes", "3", "--lazy-apps"]);
        assert_eq!(loads(&server), 3);
    });
}

#[test]
fn gives_each_interpreter_its_own_modules() {
    for_each_mode(|mode| {
        let server = Server::http(mode, "counts", &["--processes", "2"]);
        let mut counts: Vec<u64> = Vec::new();
        for _ in 0..10 {
            counts.push(server.get("/").text().parse().unwrap());
        }
        // One count for both workers together would reach ten only without isolation and in order.
        assert!(counts.iter().all(|&count| (1..=10).contains(&count)), "{counts:?}");
    });
}

#[test]
fn other_threads_of_the_app_get_their_turn() {
    for_each_mode(|mode| {
        let server = Server::http(mode, "all_by_path", &["--enable-threads"]);
        let first: u64 = server.get("/has_thread").text().parse().unwrap();
        let mut client = server.connect();
        crate::harness::eventually("the thread runs", || {
            client.get("/has_thread").text().parse::<u64>().unwrap() > first + 3
        });
    });
}

#[test]
fn chooses_an_isolation_by_itself() {
    for io in ["uring", "epoll"] {
        let mode = Mode { isolation: "auto", io };
        let server = Server::http(mode, "hello", &[]);
        assert_eq!(server.get("/").text(), "hello");
    }
}

#[test]
fn serves_from_processes_what_refuses_interpreters() {
    let mode = Mode { isolation: "auto", io: "epoll" };
    let server = Server::http(mode, "needs_main_interpreter", &[]);
    assert_eq!(server.get("/").text(), "hello");
    let line = server.log.line("uwring is ready");
    assert!(line.contains("(process)"), "{line}");
}

#[test]
fn calls_the_hooks_of_the_module_in_each_worker() {
    for_each_mode(|mode| {
        for more in [&[][..], &["--lazy-apps"]] {
            let mut args = vec!["--processes", "2"];
            args.extend_from_slice(more);
            let mut server = Server::http(mode, "hooks", &args);
            for _ in 0..6 {
                let text = server.get("/").text().to_owned();
                assert_eq!(text.matches("postfork").count(), 1, "once per worker: {text}");
                let second = text.contains("for worker 2");
                assert!(second || text.contains("for worker 1"), "{text}");
                assert_eq!(text.matches("second").count(), usize::from(second), "{text}");
            }
            server.log.line("said by uwsgi.log");
            server.stop(libc::SIGTERM);
            let log = server.log.text();
            assert!(log.contains("uwsgi.atexit called"), "{log}");
        }
    });
}

#[test]
fn calls_a_post_fork_hook_of_the_apps_own() {
    for_each_mode(|mode| {
        for more in [&["--processes", "2"][..], &["--processes", "2", "--lazy-apps"]] {
            let server = Server::http(mode, "post_fork_hook", more);
            for _ in 0..6 {
                let text = server.get("/").text().to_owned();
                assert!(["[1] in 1", "[2] in 2"].contains(&text.as_str()), "{text}");
            }
        }
    });
}
