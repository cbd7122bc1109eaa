//! The steps before anything is started, in uWSGI's order: environment, pidfile, directory,
//! privileges; and what Python and the workers are told.

use std::path::{Path, PathBuf};

use super::listeners::Listener;
use crate::error::StartError;
use crate::handoff::Handoff;
use crate::isolation::Embedding;
use crate::log;
use crate::options::{Options, Setting};
use crate::python::Config;
use crate::shared::{Board, worker};
use crate::stats::{SocketFacts, Source};
use crate::sys;
use crate::wsgi::{Facts, Fixed, Place, Plan, UWSGI_VERSION};

/// The first lines of the log.
pub fn banner() {
    log::line(format_args!(
        "*** Starting uwring {} (uWSGI {}.{}.{} compatible), Python 3.{} ***",
        env!("CARGO_PKG_VERSION"),
        UWSGI_VERSION.0,
        UWSGI_VERSION.1,
        UWSGI_VERSION.2,
        env!("UWRING_PYTHON_MINOR"),
    ));
}

/// Environment variables, umask and the log file.
///
/// # Errors
/// A log file that cannot be opened.
pub fn environment(options: &Options) -> Result<(), StartError> {
    for name in &options.unenv {
        sys::unset_env(name);
    }
    for (name, value) in &options.env {
        sys::set_env(name, value);
    }
    if let Some(mask) = options.umask {
        sys::umask(mask);
    }
    if let Some(path) = &options.logto {
        redirect(path)?;
    }
    Ok(())
}

/// Sends the log to a file from here on.
///
/// # Errors
/// The file cannot be opened.
pub fn redirect(path: &Path) -> Result<(), StartError> {
    log::redirect_to(path)
        .map_err(|error| StartError::new(format!("logto {}: {error}", super::shown(path))))
}

/// Enters `chdir`.
///
/// # Errors
/// The directory cannot be entered.
pub fn change_directory(options: &Options) -> Result<(), StartError> {
    let Some(path) = &options.chdir else { return Ok(()) };
    let shown = super::shown(path);
    std::env::set_current_dir(path)
        .map_err(|error| StartError::new(format!("chdir {shown}: {error}")))?;
    log::line(format_args!("chdir() to {shown}"));
    Ok(())
}

/// Drops root, after the sockets are bound and before any thread exists.
///
/// # Errors
/// An unknown user or group; not root.
pub fn privileges(options: &Options) -> Result<(), StartError> {
    let unknown =
        |what: &str, name: &str| StartError::new(format!("there is no {what} \"{name}\""));
    let gid = match &options.gid {
        Some(name) => Some(sys::group_id(name).ok_or_else(|| unknown("group", name))?),
        None => None,
    };
    let uid = match &options.uid {
        Some(name) => Some(sys::user_id(name).ok_or_else(|| unknown("user", name))?.0),
        None => None,
    };
    let (own_uid, own_gid) = sys::user();
    let uid = uid.filter(|&uid| uid != own_uid);
    let gid = gid.filter(|&gid| gid != own_gid);
    if own_uid != 0 && (uid.is_some() || gid.is_some()) {
        return Err(StartError::new("cannot setuid() as non-root user: --uid and --gid need root"));
    }
    sys::drop_privileges(uid, gid)
        .map_err(|error| StartError::new(format!("changing user and group: {error}")))?;
    if let Some(gid) = gid {
        log::line(format_args!("setgid() to {gid}"));
    }
    if let Some(uid) = uid {
        log::line(format_args!("setuid() to {uid}"));
    } else if own_uid == 0 {
        log::line(format_args!(
            "*** WARNING: you are running uWSGI as root !!! (use the --uid flag) ***"
        ));
    }
    Ok(())
}

/// The pidfiles that were written.
#[derive(Default)]
pub struct Pidfiles(Vec<PathBuf>);

impl Pidfiles {
    /// Writes the process's number, if a file is wanted.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&mut self, path: Option<&Path>) -> Result<(), StartError> {
        let Some(path) = path else { return Ok(()) };
        let shown = super::shown(path);
        log::line(format_args!("writing pidfile to {shown}"));
        std::fs::write(path, format!("{}\n", std::process::id()))
            .map_err(|error| StartError::new(format!("pidfile {shown}: {error}")))?;
        self.0.push(std::path::absolute(path).unwrap_or_else(|_| path.to_owned()));
        Ok(())
    }

    /// uWSGI: `vacuum` removes them at the end.
    pub fn remove(&self) {
        for path in &self.0 {
            if std::fs::remove_file(path).is_ok() {
                log::line(format_args!("VACUUM: pidfile removed."));
            }
        }
    }
}

/// How Python is started.
pub fn embedding(options: &Options) -> Embedding {
    for path in &options.pythonpath {
        log::line(format_args!("added {path}/ to pythonpath."));
    }
    let base = option_env!("UWRING_BASE_PYTHON").unwrap_or("python3").to_owned();
    let executable = match &options.home {
        Some(home) => {
            log::line(format_args!("Set PythonHome to {}", super::shown(home)));
            let python = home.join("bin/python");
            std::path::absolute(&python).unwrap_or(python).display().to_string()
        }
        None => base,
    };
    let mut argv = vec!["uwsgi".to_owned()];
    argv.extend(options.py_argv.iter().cloned());
    Embedding { config: Config { executable, argv } }
}

/// What the workers are made from.
pub fn plan(
    options: &Options,
    handoff: &'static Handoff,
    board: &'static Board,
    listeners: &[Listener],
) -> Plan {
    let hostname = sys::hostname();
    let (major, minor, patch) = UWSGI_VERSION;
    let written = |setting: &Setting| match (setting.name.as_str(), &setting.value) {
        // uWSGI: a variable of the user's own is an option like the others.
        ("set" | "set-placeholder" | "set-ph", Some(pair)) => match pair.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (pair.clone(), None),
        },
        (name, value) => (name.to_owned(), value.clone()),
    };
    // Agents ask for it and complain when it is not there; threads always work here.
    let mut opt: Vec<_> = options.settings.iter().map(written).collect();
    opt.push(("enable-threads".to_owned(), None));
    Plan {
        handoff,
        board,
        place: place(options),
        fixed: Fixed {
            multithread: options.threads > 1,
            multiprocess: options.processes > 1,
            core: None,
            ports: listeners.iter().map(|listener| listener.port.clone()).collect(),
            hostname: hostname.clone(),
            version: format!("{major}.{minor}.{patch}"),
        },
        facts: Facts {
            opt,
            workers: options.processes,
            threads: options.threads,
            hostname,
            started_on: (crate::shared::now_us() / 1_000_000) as i64,
            buffer_size: i64::from(options.buffer_size),
            master_pid: if options.master { std::process::id() as i32 } else { 0 },
            sockets: listeners.iter().flat_map(Listener::fds).collect(),
        },
        strict: options.wsgi_strict,
        file_wrapper: !options.wsgi_disable_file_wrapper,
    }
}

/// What the stats tell of.
pub fn stats_source(plan: &Plan, listeners: &[Listener]) -> Source {
    let facts = |listener: &Listener| SocketFacts {
        name: listener.name.clone(),
        proto: listener.proto().to_owned(),
        max_queue: listener.backlog(),
        fds: listener.fds(),
    };
    Source {
        board: plan.board,
        version: plan.fixed.version.clone(),
        sockets: listeners.iter().map(facts).collect(),
    }
}

/// Where the app is, and `sys.path`: `pythonpath` in front, then the working directory (uWSGI's
/// "."), then the ini's own directory, where a module beside it lies.
fn place(options: &Options) -> Place {
    let mut paths: Vec<String> = options.pythonpath.iter().rev().cloned().collect();
    paths.push(".".to_owned());
    let beside = options.config_dir.as_ref().map(|dir| dir.display().to_string());
    paths.extend(beside.filter(|dir| !dir.is_empty()));
    Place {
        module: options.module.clone(),
        file: options.wsgi_file.as_ref().map(|file| file.display().to_string()),
        callable: options.callable.clone(),
        paths,
    }
}

/// uWSGI goes on without an app and answers 500 to everything.
pub fn warn_without_app(plan: &Plan) {
    if (0..plan.board.workers()).any(|index| plan.board.worker(index).get(worker::HAS_APP) == 0) {
        log::line(format_args!("*** no app loaded: every request gets a 500 ***"));
    }
}
