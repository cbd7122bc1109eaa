//! What the tests stand on: a real server, a client that sends any bytes, uwsgi packets, nginx,
//! PostgreSQL.

pub mod client;
pub mod code;
pub mod nginx;
pub mod packet;
pub mod postgres;
pub mod process;
pub mod server;
pub mod tools;
pub mod traffic;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use client::{Broken, Client, Response};
pub use server::{Mode, Server, for_each_mode, for_each_process_mode};

/// Nothing that a test waits for takes longer, unless the test says so.
pub const DEADLINE: Duration = Duration::from_secs(15);

/// A file or folder of `tests/`.
pub fn tests_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

/// The path of a fixture app.
pub fn app(name: &str) -> String {
    tests_path("apps").join(name).with_extension("py").display().to_string()
}

/// A temporary directory that is removed with its last user.
pub fn scratch() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("uwring-test-").tempdir().unwrap()
}

/// Whether the long forms of the long tests run.
pub fn full() -> bool {
    std::env::var_os("UWRING_TEST_FULL").is_some_and(|value| value == "1")
}

/// Whether a missing tool was waived by name in UWRING_TEST_WAIVE (separated by commas).
pub fn waived(tool: &str) -> bool {
    let waived = std::env::var("UWRING_TEST_WAIVE").unwrap_or_default();
    let is_waived = waived.split(',').any(|name| name.trim() == tool);
    if is_waived {
        eprintln!("waived: {tool}");
    }
    is_waived
}

/// KiB of a process that no file stands behind, shared pages divided. Pages of the program are left
/// out: they are its own or shared as other servers come and go.
pub fn memory_kib(pid: i32) -> u64 {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let field = |name: &str| {
        let line = rollup.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_ascii_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    field("Pss_Anon:") + field("Pss_Shmem:")
}

/// Asks `done` again and again until it says yes.
///
/// For what no event announces: a file of another program, a counter. Waiting for the server's log
/// or for an answer needs no polling.
pub fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + DEADLINE;
    while !done() {
        assert!(std::time::Instant::now() < deadline, "{what}: not within {DEADLINE:?}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}
