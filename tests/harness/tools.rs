//! Programs and Python packages that tests need beside the server.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

/// The interpreter that the server under test embeds.
pub fn python() -> &'static str {
    env!("UWRING_BASE_PYTHON")
}

/// A program in PATH or /usr/sbin; without it the run fails unless it is waived.
pub fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = std::env::split_paths(&path).collect();
    places.push("/usr/sbin".into());
    let found = places.iter().map(|place| place.join(name)).find(|file| file.is_file());
    if found.is_none() && !super::waived(name) {
        panic!(
            "{name} is not installed: `make test` installs it, UWRING_TEST_WAIVE={name} does without"
        );
    }
    found
}

/// The virtual environment with Flask, Django, uWSGI and uwsgitop for the server's Python, made
/// once and kept in `.cache/`.
pub fn venv() -> PathBuf {
    made("venv", &["flask", "django", "uwsgitop"])
}

/// One with Pyramid, which brings PasteDeploy. It is apart, since agents look for what is there and
/// load it.
pub fn venv_of_paste() -> PathBuf {
    made("venv-paste", &["pyramid"])
}

/// A virtual environment of its own in `.cache/`.
fn made(name: &str, packages: &[&str]) -> PathBuf {
    static LOCK: Mutex<()> = Mutex::new(());
    let _guard = LOCK.lock().unwrap_or_else(|p| p.into_inner());
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache");
    let venv = root.join(format!("{name}-3.{}", super::server::python_minor()));
    let complete = venv.join("complete");
    if !complete.exists() {
        run(Command::new(python()).args(["-m", "venv", "--clear"]).arg(&venv));
        run(Command::new(venv.join("bin/python"))
            .args(["-m", "pip", "install", "-q"])
            .args(packages));
        std::fs::write(&complete, "").unwrap();
    }
    venv
}

/// The same environment with what real applications need, from wheels alone.
pub fn venv_of_real_apps() -> PathBuf {
    venv_with(
        "complete-real-apps",
        &[
            "sqlalchemy",
            "psycopg2-binary",
            "psycopg",
            "numpy",
            "pillow",
            "pydantic",
            "cryptography",
            "lxml",
            "pyyaml",
            "sentry-sdk",
            "opentelemetry-sdk",
        ],
    )
}

/// The same environment with monitoring agents that ask for uWSGI.
pub fn venv_of_agents() -> PathBuf {
    venv_with("complete-agents", &["newrelic", "ddtrace", "sentry-sdk", "prometheus-client"])
}

fn venv_with(stamp: &str, packages: &[&str]) -> PathBuf {
    let venv = venv();
    static LOCK: Mutex<()> = Mutex::new(());
    let _guard = LOCK.lock().unwrap_or_else(|p| p.into_inner());
    // An environment of an earlier list gets what is missing.
    let (complete, wanted) = (venv.join(stamp), packages.join(" "));
    if std::fs::read_to_string(&complete).ok().as_ref() != Some(&wanted) {
        let minor = super::server::python_minor();
        let (late, present): (Vec<_>, Vec<_>) =
            packages.iter().partition(|package| NO_WHEEL_YET.contains(&(minor, package)));
        let pip = |packages: &[&&str]| {
            let mut pip = Command::new(venv.join("bin/python"));
            pip.args(["-m", "pip", "install", "-q", "--only-binary", ":all:"]).args(packages);
            pip
        };
        run(&mut pip(&present));
        for package in late {
            // It may have come.
            let output = pip(&[package]).output().unwrap();
            let text = String::from_utf8_lossy(&output.stderr);
            let is_missing = text.contains("No matching distribution found");
            assert!(output.status.success() || is_missing, "{package}: {text}");
        }
        std::fs::write(&complete, wanted).unwrap();
    }
    venv
}

/// Packages that publish no wheel for a Python yet. There, and there alone, tests go without them.
const NO_WHEEL_YET: [(u8, &str); 3] = [(15, "pyyaml"), (15, "newrelic"), (15, "ddtrace")];

/// Whether a package of `venv_with` is installed: not if there is no wheel for this Python yet.
pub fn is_installed(venv: &Path, package: &str) -> bool {
    let code = "import importlib.metadata, sys; importlib.metadata.version(sys.argv[1])";
    let mut python = Command::new(venv.join("bin/python"));
    let found = python.args(["-c", code, package]).output().unwrap().status.success();
    let minor = super::server::python_minor();
    assert!(found || NO_WHEEL_YET.contains(&(minor, package)), "{package} is not installed");
    if !found {
        eprintln!("{package} has no wheel for Python 3.{minor}");
    }
    found
}

/// The real uWSGI, built by pip for the server's Python; None if it is waived.
pub fn uwsgi() -> Option<PathBuf> {
    let venv = venv();
    let binary = venv.join("bin/uwsgi");
    static LOCK: Mutex<()> = Mutex::new(());
    let _guard = LOCK.lock().unwrap_or_else(|p| p.into_inner());
    if !binary.exists() && !super::waived("uwsgi") {
        run(Command::new(venv.join("bin/python")).args(["-m", "pip", "install", "-q", "uwsgi"]));
    }
    binary.exists().then_some(binary)
}

fn run(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PYTHON") {
            command.env_remove(name);
        }
    }
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {text}");
}
