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

/// A shard for each four workers takes the connections of a server in front.
#[test]
fn few_shards_serve_where_all_speak_uwsgi() {
    let cores = std::thread::available_parallelism().unwrap().get();
    for (sockets, processes, threads, expected) in [
        (&["--socket"][..], 2, 1, 1),
        (&["--socket"], 8, 1, 8_usize.min(cores).div_ceil(4)),
        (&["--socket"], 6, 60, 2.min(cores)),
        (&["--socket", "--http-socket"], 2, 1, 2.min(cores)),
        (&["--http-socket"], 2, 1, 2.min(cores)),
    ] {
        let mut command = command::<&str>(&[]);
        for socket in sockets {
            command.args([socket, "127.0.0.1:0"]);
        }
        command.args(["--wsgi-file", &app("hello"), "--isolation", "process"]);
        command.args(["--processes", &processes.to_string(), "--threads", &threads.to_string()]);
        let mut process = Process::start(command);
        let line = process.log.line("uwring is ready");
        let expected = format!(", {expected} shard(s)");
        assert!(line.contains(&expected), "{sockets:?} {processes} {threads}: {line}");
        assert_eq!(process.stop(libc::SIGTERM), 0);
    }
}

#[test]
fn each_worker_of_a_shard_has_a_core_of_its_own() {
    let args = ["--processes", "2", "--shards", "1", "--affinity", "auto"];
    let mode = Mode { isolation: "interpreter", io: "epoll" };
    if python_minor() < 13 || std::thread::available_parallelism().unwrap().get() < 2 {
        return;
    }
    let server = Server::http(mode, "hello", &args);
    let cores = |name: &str| {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap();
        let status = |path: std::path::PathBuf| std::fs::read_to_string(path.join("status")).ok();
        let name = format!("Name:\t{name}\n");
        let own = tasks.filter_map(|task| status(task.unwrap().path()));
        let found = own.filter(|status| status.starts_with(&name)).map(|status| {
            let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:\t"));
            line.unwrap().to_owned()
        });
        found.last()
    };
    eventually("the first is where its shard is", || {
        let [shard, first, second] = ["uwring s1", "uwring w1 c0", "uwring w2 c0"].map(cores);
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
