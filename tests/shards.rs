//! How many shards there are, and where they and their workers run.

use crate::harness::process::Process;
use crate::harness::server::{Mode, command, python_minor};
use crate::harness::{Server, app, eventually, for_each_mode};

#[test]
fn keeps_shards_and_workers_as_asked() {
    for_each_mode(|mode| {
        for (processes, shards, expected) in
            [("4", "1", "1 shard(s)"), ("4", "2", "2 shard(s)"), ("1", "2", "1 shard(s)")]
        {
            let server =
                Server::http(mode, "hello", &["--processes", processes, "--shards", shards]);
            let line = server.log.line("uwring is ready");
            assert!(line.contains(expected), "{line}");
            for _ in 0..20 {
                assert_eq!(server.get("/").text(), "hello");
            }
        }
    });
}

/// How many shards there are with these sockets, workers and threads.
fn shards(sockets: &[&str], processes: usize, threads: usize) -> usize {
    let mut command = command::<&str>(&[]);
    for socket in sockets {
        command.args([socket, "127.0.0.1:0"]);
    }
    command.args(["--wsgi-file", &app("hello"), "--isolation", "process"]);
    command.args(["--processes", &processes.to_string(), "--threads", &threads.to_string()]);
    let mut process = Process::start(command);
    let line = process.log.line("uwring is ready");
    assert_eq!(process.stop(libc::SIGTERM), 0);
    let words: Vec<_> = line.split(' ').collect();
    let at = words.iter().position(|word| *word == "shard(s)").expect("the line tells");
    words[at - 1].parse().unwrap()
}

/// A shard for each four workers takes the connections of a server in front.
#[test]
fn few_shards_serve_where_all_speak_uwsgi() {
    // As many as there are cores to use.
    let most = shards(&["--http-socket"], 6, 1);
    assert_eq!(shards(&["--socket"], 6, 1), most.div_ceil(4));
    assert_eq!(shards(&["--socket"], 6, 60), most.min(2), "one for each 256 threads");
    assert_eq!(shards(&["--socket"], 2, 1), 1);
    assert_eq!(shards(&["--socket", "--http-socket"], 6, 1), most);
}

/// The cores that a thread may run on.
fn cores(status: &str) -> String {
    let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:\t"));
    line.unwrap().to_owned()
}

#[test]
fn each_worker_of_a_shard_has_a_core_of_its_own() {
    let args = ["--processes", "2", "--shards", "1", "--affinity", "auto"];
    let mode = Mode { isolation: "interpreter", io: "epoll" };
    let mask = std::fs::read_to_string("/proc/self/status").unwrap();
    let mask = mask.lines().find_map(|line| line.strip_prefix("Cpus_allowed:\t")).unwrap();
    let all: u32 = mask.chars().filter_map(|char| char.to_digit(16)).map(u32::count_ones).sum();
    // With a quota nothing is pinned.
    let usable = std::thread::available_parallelism().unwrap().get();
    if python_minor() < 13 || usable < 2 || usable < all as usize {
        return;
    }
    let server = Server::http(mode, "hello", &args);
    let of = |name: &str| {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap();
        let status = |path: std::path::PathBuf| std::fs::read_to_string(path.join("status")).ok();
        let name = format!("Name:\t{name}\n");
        let all = tasks.filter_map(|task| status(task.ok()?.path()));
        all.filter(|status| status.starts_with(&name)).map(|status| cores(&status)).last()
    };
    eventually("the first is where its shard is", || {
        let [shard, first, second] = ["uwring s1", "uwring w1 c0", "uwring w2 c0"].map(of);
        shard.is_some() && shard == first && second.is_some() && second != first
    });
}

#[test]
fn affinity_changes_no_answer() {
    for_each_mode(|mode| {
        for affinity in ["auto", "shard", "none"] {
            let server = Server::http(mode, "hello", &["--processes", "2", "--affinity", affinity]);
            assert_eq!(server.get("/").text(), "hello", "{affinity}");
        }
    });
}
