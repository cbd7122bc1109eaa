//! Connections that move between shards, to where their packets arrive.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use core_affinity::CoreId;

use crate::harness::{Client, Mode, Server, eventually, for_each_mode, full};

/// A shard, and a worker beside it, on each of two cores. Others may use them: that does not count.
const PINNED: [&str; 6] = ["--affinity", "shard", "--processes", "2", "--stats", "127.0.0.1:0"];

fn server(mode: Mode, more: &[&str]) -> Server {
    Server::http(mode, "evaluates", &[&PINNED, more].concat())
}

fn moved(server: &Server) -> u64 {
    let stats = server.stats();
    let shards = stats["shards"].as_array().unwrap();
    assert_eq!(shards.len(), 2);
    shards.iter().map(|shard| shard["moved"].as_u64().unwrap()).sum()
}

/// An odd number of clients: one shard always has more than the other, and gives, however slow the
/// app is.
const CLIENTS: usize = 7;

/// Runs `test` on a thread of its own, whose cores may then be changed: what the test's own thread
/// starts would inherit them.
fn apart<T: Send>(test: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| scope.spawn(test).join()).unwrap_or_else(|panic| {
        std::panic::resume_unwind(panic);
    })
}

/// Has the calling thread send from one of two cores.
fn send_from(round: usize) -> CoreId {
    assert!(all_cores().len() > 1, "these tests need two cores");
    let core = all_cores()[round % 2];
    assert!(core_affinity::set_for_current(core));
    core
}

/// The cores of the tests' process, whatever the calling thread may use.
fn all_cores() -> &'static [CoreId] {
    static ALL: std::sync::OnceLock<Vec<CoreId>> = std::sync::OnceLock::new();
    ALL.get_or_init(|| core_affinity::get_core_ids().expect("the system tells"))
}

#[test]
fn a_connection_follows_its_client_from_core_to_core() {
    all_cores();
    for_each_mode(|mode| {
        let server = server(mode, &[]);
        apart(|| {
            let mut client = server.connect();
            for round in 0..6 {
                let core = send_from(round);
                let wanted = format!("\"{{{}}}\"", core.id);
                // Several in a row: an idle worker of another shard may help out with one.
                eventually("the worker of that core answers", || {
                    (0..40).all(|_| client.get("/?os.sched_getaffinity(0)").text() == wanted)
                });
            }
        });
        assert!(moved(&server) >= 5, "{}", moved(&server));
    });
}

#[test]
fn what_was_sent_already_moves_along() {
    all_cores();
    for_each_mode(|mode| {
        let server = Server::http(mode, "all_by_path", &PINNED);
        apart(|| {
            let mut client = server.connect();
            let mut round = 0;
            eventually("it has moved often", || {
                send_from(round);
                round += 1;
                let paths = ["/hello", "/describe?a=1", "/hello", "/describe?b=2", "/hello"];
                let get = |path| format!("GET {path} HTTP/1.1\r\nHost: a.example\r\n\r\n");
                client.send(paths.map(get).concat());
                for (path, response) in paths.map(|path| (path, client.response())) {
                    match path.split_once('?') {
                        Some((_, query)) => {
                            assert_eq!(response.json()["environ"]["QUERY_STRING"], query);
                        }
                        None => assert_eq!(response.text(), "hello"),
                    }
                }
                // A body of which the rest comes later, and a head that does.
                client.send("POST /reads/read HTTP/1.1\r\nHost: a.ex");
                client.send("ample\r\nContent-Length: 70000\r\n\r\nbegins");
                client.send("x".repeat(70_000 - 6));
                assert!(client.response().text().starts_with("70000 "));
                moved(&server) >= 4
            });
        });
    });
}

/// Set at its end, however that comes.
struct Stop<'s>(&'s AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

#[test]
fn connections_that_move_outlive_reloads() {
    all_cores();
    for_each_mode(|mode| {
        let server = server(mode, &["--master", "--disable-logging"]);
        let stop = AtomicBool::new(false);
        let go_round = |first: usize| {
            let mut client = server.connect();
            for round in first.. {
                send_from(round);
                for _ in 0..50 {
                    let response = client.get("/?1");
                    assert_eq!(response.text(), "1", "{mode}");
                    assert!(!response.closes(), "{mode}");
                }
                if stop.load(Relaxed) {
                    break;
                }
            }
        };
        std::thread::scope(|scope| {
            (0..CLIENTS).for_each(|first| drop(scope.spawn(move || go_round(first))));
            let _stop = Stop(&stop);
            for reload in 1..=if full() { 100 } else { 4 } {
                let before = moved(&server);
                eventually("they move", || moved(&server) >= before + 4);
                server.signal(libc::SIGHUP);
                server.await_starts(reload + 1);
            }
        });
    });
}

#[test]
fn they_stay_where_shards_are_on_no_core_of_their_own() {
    all_cores();
    for_each_mode(|mode| {
        let server = server(mode, &["--affinity", "none"]);
        apart(|| {
            let mut client = server.connect();
            let begun = std::time::Instant::now();
            for round in 0.. {
                send_from(round);
                (0..20).for_each(|_| assert_eq!(client.get("/?1").text(), "1"));
                if begun.elapsed().as_secs() >= 1 {
                    break;
                }
            }
        });
        assert_eq!(moved(&server), 0);
    });
}

#[test]
fn a_connection_that_has_moved_ends_with_its_client() {
    all_cores();
    for_each_mode(|mode| {
        let server = server(mode, &[]);
        let open = || {
            let stats = server.stats();
            let shards = stats["shards"].as_array().unwrap();
            shards.iter().map(|shard| shard["connections"].as_u64().unwrap()).sum::<u64>()
        };
        apart(|| {
            let mut clients: Vec<Client> = (0..CLIENTS).map(|_| server.connect()).collect();
            let mut round = 0;
            eventually("most have moved", || {
                send_from(round);
                round += 1;
                for client in &mut clients {
                    (0..10).for_each(|_| assert_eq!(client.get("/?1").text(), "1"));
                }
                moved(&server) > 8
            });
            eventually("all are open, each once", || open() == CLIENTS as u64);
        });
        eventually("all have ended", || open() == 0);
    });
}
