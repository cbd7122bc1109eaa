//! A real PostgreSQL, with a cluster of its own that goes with its last user.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};

use super::process::Process;

pub struct Postgres {
    process: Process,
    directory: tempfile::TempDir,
}

impl Postgres {
    /// The server that the tests which run at the same time share. None if PostgreSQL is waived.
    pub fn shared() -> Option<Arc<Postgres>> {
        static RUNNING: OnceLock<Mutex<Weak<Postgres>>> = OnceLock::new();
        let mut running =
            RUNNING.get_or_init(Mutex::default).lock().unwrap_or_else(|p| p.into_inner());
        if let Some(postgres) = running.upgrade() {
            return Some(postgres);
        }
        let postgres = Arc::new(Postgres::start()?);
        *running = Arc::downgrade(&postgres);
        Some(postgres)
    }

    fn start() -> Option<Postgres> {
        let Some(programs) = programs() else {
            assert!(
                super::waived("postgresql"),
                "PostgreSQL is not installed: `make test` installs it, \
                 UWRING_TEST_WAIVE=postgresql does without"
            );
            return None;
        };
        let directory = super::scratch();
        if rustix::process::getuid().is_root() {
            // It refuses to run as root.
            let (user, group) = uwring::sys::user_id("postgres").expect("Debian makes it");
            std::os::unix::fs::chown(directory.path(), Some(user), Some(group)).unwrap();
        }
        let run = |program: &str| {
            let mut command = Command::new("setpriv");
            if rustix::process::getuid().is_root() {
                command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
            }
            // Here too: a change of the user clears it.
            command.args(["--pdeathsig", "KILL", "--"]).arg(programs.join(program));
            command.current_dir(directory.path());
            command
        };
        let data = directory.path().join("data");
        let mut initdb = run("initdb");
        initdb.args(["--no-sync", "--auth=trust", "--username=uwring", "--encoding=UTF8"]);
        let output = initdb.arg("-D").arg(&data).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mut server = run("postgres");
        server.arg("-D").arg(&data).arg("-k").arg(directory.path());
        server.args(["-c", "listen_addresses=", "-c", "fsync=off", "-c", "shared_buffers=8MB"]);
        let process = Process::start(server);
        process.log.line("database system is ready to accept connections");
        Some(Postgres { process, directory })
    }

    /// Makes a database, runs `sql` in it and returns what a client needs to connect to it.
    pub fn database(&self, sql: &str) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test{}", COUNT.fetch_add(1, Ordering::Relaxed));
        self.run("postgres", &format!("CREATE DATABASE {name}"));
        self.run(&name, sql);
        self.dsn(&name)
    }

    fn dsn(&self, database: &str) -> String {
        format!("host={} user=uwring dbname={database}", self.directory.path().display())
    }

    fn run(&self, database: &str, sql: &str) {
        let mut psql = Command::new(programs().expect("it runs").join("psql"));
        psql.args(["-X", "-q", "-d", &self.dsn(database), "-c", sql]);
        let output = psql.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // SIGINT: without waiting for clients.
        self.process.stop(libc::SIGINT);
    }
}

/// Where Debian puts the programs of the newest version.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let versions = versions.flatten().map(|entry| entry.path().join("bin"));
    versions.filter(|bin| bin.join("initdb").is_file() && bin.join("postgres").is_file()).max()
}
