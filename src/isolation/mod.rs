//! What it does: decides what workers are made of, and forks the ones that are processes.
//! What it does not: serve requests.
//! Who may call it: server, before any thread exists.
//! What it may import: python, wsgi, options, shared, log, sys.

mod cache;
mod probe;
mod spawner;
mod verdict;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

pub use spawner::{Event, Spawner, WithoutApp};
pub use verdict::Verdict;

use crate::log;
use crate::options::{Options, paste_file};
use crate::python::{self, Config, Runtime};
use crate::sys;
use crate::wsgi::Plan;

/// Variables that differ from start to start and decide nothing.
const NOISE: &[&str] = &[
    "COLUMNS",
    "INVOCATION_ID",
    "JOURNAL_STREAM",
    "LINES",
    "LS_COLORS",
    "MEMORY_PRESSURE_WATCH",
    "MEMORY_PRESSURE_WRITE",
    "NOTIFY_SOCKET",
    "OLDPWD",
    "PWD",
    "SHLVL",
    "SSH_CLIENT",
    "SSH_CONNECTION",
    "SSH_TTY",
    "SYSTEMD_EXEC_PID",
    "TERM",
    "UWRING_EXECUTED",
    "WINDOWID",
    "XDG_SESSION_ID",
    "_",
];

/// Whether a kept verdict will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    Use,
    /// Try the app in any case.
    Renew,
}

/// A verdict and where it comes from.
#[derive(Debug)]
pub struct Found {
    pub verdict: Verdict,
    /// It was kept from an earlier start.
    pub is_remembered: bool,
    /// The folder that keeps it now, or why nothing does.
    pub kept: Result<PathBuf, String>,
}

/// Where the verdict is kept that this process serves by, once it has one that is.
static KEPT: OnceLock<(PathBuf, String)> = OnceLock::new();

/// Keeps for the next start that modules refused while the app was served, which the trial could
/// not see. Returns whether it will be known.
pub fn remember_refusals() -> bool {
    let Some((folder, key)) = KEPT.get() else { return false };
    let refused = crate::wsgi::refusals();
    match cache::overrule(folder, key, Verdict::Refused { refused }) {
        Ok(()) => true,
        Err(error) => {
            log::line(format_args!("isolation: the next start tries the app again: {error}"));
            false
        }
    }
}

/// Finds out whether the app can have interpreters. Only while this process has one thread, after
/// chdir, environment and user are what they will be.
pub fn decide(options: &Options, embedding: &Embedding, plan: &Plan, memory: Memory) -> Found {
    let minor: u8 = env!("UWRING_PYTHON_MINOR").parse().expect("build.rs writes a number");
    let untried =
        |verdict| Found { verdict, is_remembered: false, kept: Err("nothing was tried".into()) };
    let limit = Duration::from_secs(options.isolation_timeout.max(1));
    if minor < 13 {
        return untried(match memory {
            Memory::Use => Verdict::OldPython { minor },
            Memory::Renew => probe::in_process_alone(embedding, plan, limit)
                .err()
                .unwrap_or(Verdict::OldPython { minor }),
        });
    }
    if plan.place.apps.is_empty() {
        return untried(Verdict::Capable);
    }
    let key = key(options, embedding, plan);
    let folder = cache::folder();
    if let (Memory::Use, Ok(folder)) = (memory, &folder)
        && let Some(verdict) = cache::recall(folder, &key)
    {
        let _ = KEPT.set((folder.clone(), key));
        return Found { verdict, is_remembered: true, kept: Ok(folder.clone()) };
    }
    let began = SystemTime::now();
    let probe::Tried { verdict, sources } = probe::probe(embedding, plan, limit);
    let kept = match (verdict.is_lasting(), folder) {
        (true, Ok(folder)) => {
            cache::keep(&folder, &key, &verdict, &sources, began).map(|()| folder)
        }
        (true, Err(error)) => Err(error),
        (false, _) => Err("it may be otherwise next time".into()),
    };
    if let Ok(folder) = &kept {
        let _ = KEPT.set((folder.clone(), key));
    }
    Found { verdict, is_remembered: false, kept }
}

/// Python, the app's place, and all that an app may ask about its start.
fn key(options: &Options, embedding: &Embedding, plan: &Plan) -> String {
    let own = std::env::current_exe().unwrap_or_default();
    let executable = Path::new(&embedding.config.executable);
    let settings = options.settings.iter().filter(|setting| setting.name != "doctor");
    let settings: Vec<_> = settings.map(|setting| (&setting.name, &setting.value)).collect();
    let mut environment: Vec<_> =
        std::env::vars_os().filter(|(name, _)| !NOISE.iter().any(|noise| name == noise)).collect();
    environment.sort();
    let pastes = plan.place.apps.iter().filter_map(|app| app.paste.as_deref());
    let pastes: Vec<_> = pastes.filter_map(paste_file).map(cache::stamp).collect();
    cache::key(&[
        &env!("CARGO_PKG_VERSION"),
        &(&own, cache::stamp(&own)),
        &python::version(),
        &(executable, cache::stamp(executable)),
        &embedding.config.argv,
        &(&plan.place, pastes),
        &std::env::current_dir().ok(),
        &sys::user(),
        &settings,
        &environment,
    ])
}

/// How Python is started, in whichever process.
#[derive(Debug, Clone)]
pub struct Embedding {
    pub config: Config,
}

impl Embedding {
    /// Initialises Python in this process.
    ///
    /// # Errors
    /// Python's message, with the likely cause.
    pub fn start(&self) -> Result<Runtime, String> {
        Runtime::start(&self.config).map_err(|message| {
            format!(
                "Python could not be started with {}: {message}; is that installation complete, and may this user read it?",
                self.config.executable
            )
        })
    }
}
