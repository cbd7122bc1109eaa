//! How shards are scheduled, and when as usual.

use std::process::{Child, Command, Stdio};

use crate::harness::server::python_minor;
use crate::harness::traffic::Traffic;
use crate::harness::{Mode, Server, eventually, for_each_mode};

/// sched(7).
const OTHER: i32 = 0;
const BATCH: i32 = 3;

const STATS: [&str; 2] = ["--stats", "127.0.0.1:0"];

/// The server's threads that serve, of all its processes: their folders, names and policies.
fn threads(server: &Server, mode: Mode) -> Vec<(String, String, i32)> {
    let own = |pid: &i32| *pid == server.pid() as i32 || is_below(*pid, server.pid() as i32);
    let numbers = |path: &str| -> Vec<i32> {
        let entries = std::fs::read_dir(path).into_iter().flatten();
        entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
    };
    let worker = server.stats()["workers"][0]["pid"].as_i64().unwrap() as i32;
    let mut found = Vec::new();
    for pid in numbers("/proc").into_iter().filter(own) {
        for tid in numbers(&format!("/proc/{pid}/task")) {
            let path = format!("/proc/{pid}/task/{tid}");
            let read = |name: &str| std::fs::read_to_string(format!("{path}/{name}"));
            let (Ok(name), Ok(stat)) = (read("comm"), read("stat")) else { continue };
            // The policy is the 41st field, the state behind the name the third.
            let policy = stat.rsplit_once(") ").unwrap().1.split(' ').nth(38).unwrap();
            let policy = policy.parse().unwrap();
            let is_worker = tid == worker && mode.is_process();
            if is_worker || name.starts_with("uwring s") || name.starts_with("uwring w") {
                found.push((path, name.trim().to_owned(), policy));
            }
        }
    }
    found
}

fn is_below(mut pid: i32, ancestor: i32) -> bool {
    while pid > 1 && pid != ancestor {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:\t"));
        pid = parent.and_then(|pid| pid.parse().ok()).unwrap_or(0);
    }
    pid == ancestor
}

/// Whether shards have this policy, and workers, with all threads of the app, the usual one.
fn are(server: &Server, mode: Mode, policy: i32) -> bool {
    let all = threads(server, mode);
    let (shards, workers): (Vec<_>, Vec<_>) =
        all.iter().partition(|(_, name, _)| name.starts_with("uwring s"));
    !shards.is_empty()
        && shards.iter().all(|(.., one)| *one == policy)
        && !workers.is_empty()
        && workers.iter().all(|(.., one)| *one == OTHER)
}

fn batch(server: &Server) -> bool {
    server.stats()["shards"][0]["batch_scheduling"].as_bool().unwrap()
}

#[test]
fn shards_wait_their_turn_and_what_the_app_starts_does_not() {
    for_each_mode(|mode| {
        let server = Server::http(mode, "evaluates", &STATS);
        eventually("shards do", || are(&server, mode, BATCH) && batch(&server));
        let policy = "__import__('os').sched_getscheduler(0)";
        assert_eq!(server.get(&format!("/?{policy}")).text(), "0");
        let child = "__import__('subprocess').check_output(['chrt','-p','0'])";
        let told = server.get(&format!("/?{child}"));
        assert!(told.text().contains("SCHED_OTHER"), "{}", told.text());
    });
}

#[test]
fn they_are_as_usual_where_somebody_wants_that() {
    for_each_mode(|mode| {
        for args in [["--scheduling", "none"], ["--prio", "3"]] {
            let args = [args, STATS].concat();
            let server = Server::http(mode, "hello", &args);
            // It would be so from the first half second on.
            let traffic = Traffic::start(&[server.address()], "/");
            eventually("requests come", || traffic.requests() > 200);
            std::thread::sleep(std::time::Duration::from_millis(1200));
            assert!(are(&server, mode, OTHER), "{args:?}: {:?}", threads(&server, mode));
            assert!(!batch(&server));
            traffic.stop();
        }
    });
}

#[test]
fn a_slow_app_has_the_usual_policy() {
    for_each_mode(|mode| {
        let server = Server::http(mode, "computes", &STATS);
        eventually("it is thought to be fast", || are(&server, mode, BATCH));
        let traffic = Traffic::start(&[server.address()], "/?0.001");
        eventually("it is known to be slow", || are(&server, mode, OTHER));
        assert!(!batch(&server));
        traffic.stop();
    });
}

/// A process that computes.
struct Stranger(Child);

impl Stranger {
    fn on(core: &str) -> Stranger {
        let mut command = Command::new("taskset");
        command.args(["-c", core, "sh", "-c", "while :; do :; done"]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Stranger(command.spawn().expect("taskset runs"))
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Who computes on a shard's core would get all of its time in slices of milliseconds.
#[test]
fn somebody_who_computes_on_the_core_ends_it_and_his_end_brings_it_back() {
    let isolation = if python_minor() < 13 { "process" } else { "interpreter" };
    let mode = Mode { isolation, io: "uring" };
    let server = Server::http(mode, "hello", &["--affinity", "shard", STATS[0], STATS[1]]);
    let traffic = Traffic::start(&[server.address()], "/");
    eventually("nobody computes", || batch(&server));
    let core = cores_of_shard(&server, mode);
    let strangers: Vec<_> = (0..2).map(|_| Stranger::on(&core)).collect();
    eventually("the shard goes in front", || !batch(&server));
    drop(strangers);
    eventually("it waits its turn again", || batch(&server));
    traffic.stop();
}

/// The cores that the first shard may use.
fn cores_of_shard(server: &Server, mode: Mode) -> String {
    let all = threads(server, mode);
    let (shard, ..) = all.iter().find(|(_, name, _)| name == "uwring s1").unwrap();
    let status = std::fs::read_to_string(format!("{shard}/status")).unwrap();
    status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:\t")).unwrap().to_owned()
}

#[test]
fn auto_lets_go_of_a_core_that_others_use() {
    for_each_mode(|mode| {
        let args = ["--affinity", "auto", "--processes", "2", STATS[0], STATS[1]];
        let server = Server::http(mode, "hello", &args);
        let core = cores_of_shard(&server, mode);
        assert!(core.parse::<usize>().is_ok(), "one core: {core}");
        let traffic = Traffic::start(&[server.address()], "/");
        let strangers: Vec<_> = (0..2).map(|_| Stranger::on(&core)).collect();
        server.log.line(&format!("core {core} is used by others: shard 1 and worker 1 are let go"));
        assert_ne!(cores_of_shard(&server, mode), core);
        drop(strangers);
        let outcome = traffic.stop();
        assert!(outcome.failures.is_empty(), "{:?}", outcome.failures);
    });
}
