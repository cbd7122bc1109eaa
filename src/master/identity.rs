//! The steps before anything is started, in uWSGI's order: environment, pidfile, directory,
//! privileges.

use std::fmt::Display;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use crate::error::StartError;
use crate::log;
use crate::options::{Options, UWSGI_VERSION};
use crate::sys;

/// Gives this process its title, if titles are wanted. While it has one thread.
pub fn title(options: &Options, role: &str) {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    sys::title::prepare(sys::title::Form {
        auto: options.auto_procname,
        name: options.procname.clone(),
        master: options.procname_master.clone(),
        prefix: text(&options.procname_prefix),
        append: text(&options.procname_append),
    });
    sys::title::become_role(role);
}

/// Limits that the kernel keeps for this process and its children.
///
/// # Errors
/// The kernel's.
pub fn limits(options: &Options) -> Result<(), StartError> {
    if let Some(count) = options.limit_nproc {
        sys::limit_processes(count).map_err(|error| wrong(options, "limit-nproc", &error))?;
    }
    if let Some(count) = options.max_fd
        && let Err(error) = sys::limit_files(count)
    {
        // uWSGI: a limit that is not to be had is no reason not to serve.
        let place = options.place("max-fd");
        let taken = sys::limit_files_at_most().map_err(|error| wrong(options, "max-fd", &error))?;
        log::line(format_args!(
            "uwring: warning: {place}: {count} open files are not allowed ({error}): the limit is \
             {taken}"
        ));
    }
    Ok(())
}

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

/// The way back to the process that somebody started and that waits for our readiness.
#[derive(Default)]
pub struct Daemon(Option<UnixStream>);

impl Daemon {
    /// Lets the waiting process end, with success.
    pub fn ready(&self) {
        if let Some(waits) = &self.0 {
            let _ = { waits }.write_all(b"1");
        }
    }
}

/// Goes into the background, if that is wanted: `daemonize` at once, `daemonize2` as soon as the
/// app is loaded, as far as the one who waits can tell. Returns in the process that goes on.
///
/// # Errors
/// The log cannot be opened, or the kernel refuses a fork.
pub fn daemonize(options: &Options) -> Result<Daemon, StartError> {
    let (path, name, waits) = match (&options.daemonize, &options.daemonize2) {
        (Some(path), _) => (path.clone(), "daemonize", false),
        (None, Some(path)) => (within(options, path), "daemonize2", true),
        (None, None) => return Ok(Daemon::default()),
    };
    let path = &*path;
    let failed = |what: String| wrong(options, name, &format_args!("{}: {what}", shown(path)));
    let mut log_file = log::open_file(path, options).map_err(|error| failed(error.to_string()))?;
    let begin = log_file.seek(SeekFrom::End(0)).unwrap_or(0);
    let (here, there) = UnixStream::pair().map_err(|error| failed(error.to_string()))?;
    match sys::fork().map_err(|error| failed(format!("fork(): {error}")))? {
        sys::Fork::Parent { .. } if !waits => sys::exit_now(0),
        sys::Fork::Parent { .. } => {
            drop(there);
            let mut answer = [0];
            let started = matches!({ &here }.read(&mut answer), Ok(1));
            if !started {
                show_from(path, begin);
            }
            sys::exit_now(i32::from(!started))
        }
        sys::Fork::Child => {
            drop(here);
            sys::new_session();
            redirect(path, name, options)?;
            if let Ok(null) = File::open("/dev/null") {
                sys::replace_input(&null);
            }
            Ok(Daemon(waits.then_some(there)))
        }
    }
}

/// Shows on the terminal what was written to the log in vain.
fn show_from(path: &Path, begin: u64) {
    let Ok(mut file) = File::open(path) else { return };
    let mut text = Vec::new();
    if file.seek(SeekFrom::Start(begin)).is_ok() && file.read_to_end(&mut text).is_ok() {
        let _ = std::io::stderr().write_all(&text);
    }
}

/// Sends a signal to the server whose number stands in a pidfile (uWSGI: `--reload`, `--stop`).
///
/// # Errors
/// No such file, no number in it, no such process, or one that is no server of this kind.
pub fn send_to_pidfile(path: &Path, signal: i32) -> Result<(), StartError> {
    let failed = |what: String| StartError::new(format!("{}: {what}", shown(path)));
    let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    // 1 in a container: the server is the first process there.
    let pid = text.trim().parse::<i32>().ok().filter(|&pid| pid > 0);
    let pid = pid.ok_or_else(|| failed("there is no process number in this file".into()))?;
    // Held open, the number cannot become another process's between the look and the signal.
    let _held = sys::pidfd_open(pid)
        .map_err(|_| failed(format!("process {pid} does not run any more: nothing was sent")))?;
    let name = program(pid);
    if !name.is_empty() && !is_server(&name) {
        return Err(failed(format!(
            "process {pid} is {name} and no server of this kind: nothing was sent"
        )));
    }
    sys::kill(pid, signal);
    Ok(())
}

/// The name of the file that a process executes; empty if it is gone or another user's.
fn program(pid: i32) -> String {
    let exe = std::fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
    exe.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn is_server(name: &str) -> bool {
    name.contains("uwring") || name.contains("uwsgi")
}

/// What a server does to itself before it loads the app, for what looks and serves nothing: what is
/// said belongs to the terminal, so no log file is opened.
///
/// # Errors
/// A directory that cannot be entered; a user that cannot be.
pub fn settle(options: &mut Options) -> Result<(), StartError> {
    (options.logto, options.logto2) = (None, None);
    environment(options)?;
    change_directory(options)?;
    privileges(options)
}

/// Environment variables, umask and the form of the log's lines.
pub fn environment(options: &Options) -> Result<(), StartError> {
    for name in &options.unenv {
        sys::unset_env(name);
    }
    for (name, value) in &options.env {
        sys::set_env(name, value);
    }
    for directory in &options.envdirs {
        from_files(directory).map_err(|error| wrong(options, "envdir", &error))?;
    }
    if let Some(nice) = options.prio
        && let Err(error) = sys::set_nice(nice)
    {
        let place = options.place("prio");
        log::line(format_args!("uwring: warning: {place}: {nice}: {error}"));
    }
    if let Some(mask) = options.umask {
        sys::umask(mask);
    }
    log::set_style(options);
    Ok(())
}

/// Sends the log to its file, if it has one, in a server that runs: in the directory of its start.
///
/// # Errors
/// The file cannot be opened.
pub fn open_log(options: &Options, directory: &Path) -> Result<(), StartError> {
    match (&options.logto2, &options.logto) {
        (Some(path), _) => redirect(&directory.join(path), "logto2", options),
        (None, Some(path)) => redirect(&directory.join(path), "logto", options),
        (None, None) => Ok(()),
    }
}

/// Empties the log files, if that is wanted.
///
/// # Errors
/// A file cannot be opened.
pub fn truncate_log(options: &Options) -> Result<(), StartError> {
    let late = options.daemonize2.as_ref().map(|path| within(options, path));
    let files = [&options.logto, &options.logto2, &options.daemonize, &late];
    for path in files.into_iter().flatten().filter(|_| options.logs.truncate) {
        if path.is_file() {
            File::options().write(true).truncate(true).open(path).map_err(|error| {
                wrong(options, "log-truncate", &format_args!("{}: {error}", shown(path)))
            })?;
        }
    }
    Ok(())
}

/// uWSGI: each file's name is a variable, its first line the value; an empty file takes it away.
fn from_files(directory: &Path) -> Result<(), String> {
    let wrong = |path: &Path, error: std::io::Error| format!("{}: {error}", shown(path));
    let entries = std::fs::read_dir(directory).map_err(|error| wrong(directory, error))?;
    for entry in entries {
        let path = entry.map_err(|error| wrong(directory, error))?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        // A variable's name ends at the `=`.
        if !path.is_file() || name.starts_with('.') || name.contains('=') {
            continue;
        }
        let bytes = std::fs::read(&path).map_err(|error| wrong(&path, error))?;
        let text = String::from_utf8_lossy(&bytes);
        match text.lines().next() {
            // uWSGI: a NUL byte is the value's end.
            Some(line) => {
                let value = line.split('\0').next().unwrap_or("");
                sys::set_env(name, value.trim_end());
            }
            None => sys::unset_env(name),
        }
    }
    Ok(())
}

/// Sends the log to a file from here on; `name` is the option that asks for it.
///
/// # Errors
/// The file cannot be opened.
pub fn redirect(path: &Path, name: &str, options: &Options) -> Result<(), StartError> {
    log::open_file(path, options)
        .and_then(|file| sys::replace_output(&file))
        .map_err(|error| wrong(options, name, &format_args!("{}: {error}", shown(path))))
}

/// Enters `chdir`.
///
/// # Errors
/// The directory cannot be entered.
pub fn change_directory(options: &Options) -> Result<(), StartError> {
    let Some(path) = &options.chdir else { return Ok(()) };
    let shown = shown(path);
    std::env::set_current_dir(path)
        .map_err(|error| wrong(options, "chdir", &format_args!("{shown}: {error}")))?;
    log::line(format_args!("chdir() to {shown}"));
    Ok(())
}

/// Drops root, after the sockets are bound and before any thread exists.
///
/// # Errors
/// An unknown user or group; not root.
pub fn privileges(options: &Options) -> Result<(), StartError> {
    let unknown = |what: &str, option: &str, name: &str| {
        wrong(options, option, &format_args!("there is no {what} \"{name}\" on this machine"))
    };
    let gid = match &options.gid {
        Some(name) => Some(sys::group_id(name).ok_or_else(|| unknown("group", "gid", name))?),
        None => None,
    };
    let uid = match &options.uid {
        Some(name) => Some(sys::user_id(name).ok_or_else(|| unknown("user", "uid", name))?.0),
        None => None,
    };
    let (own_uid, own_gid) = sys::user();
    let uid = uid.filter(|&uid| uid != own_uid);
    let gid = gid.filter(|&gid| gid != own_gid);
    if own_uid != 0 && (uid.is_some() || gid.is_some()) {
        return Err(StartError::new("cannot setuid() as non-root user: --uid and --gid need root"));
    }
    let mut groups = Vec::new();
    for name in &options.privileges.add_gids {
        match sys::group_id(name) {
            Some(group) => groups.push(group),
            // uWSGI: one right less is none that anybody could misuse.
            None => {
                let error = unknown("group", "add-gid", name);
                log::line(format_args!("uwring: warning: {error}"));
            }
        }
    }
    let is_asked = gid.is_some() || !groups.is_empty();
    let groups =
        (is_asked && own_uid == 0 && !options.privileges.no_initgroups).then_some(&groups[..]);
    sys::drop_privileges(uid, gid, groups)
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
    /// Writes the process's number into the file that the option `name` wants, if it does.
    ///
    /// # Errors
    /// The file cannot be written, or names a server that runs, which `safe-pidfile` keeps.
    pub fn want(&mut self, options: &Options, name: &str) -> Result<(), StartError> {
        let (path, is_safe) = match name {
            "pidfile" => (&options.pidfile, false),
            "pidfile2" => (&options.pidfile2, false),
            "safe-pidfile" => (&options.safe_pidfile, true),
            _ => (&options.safe_pidfile2, true),
        };
        let Some(path) = path else { return Ok(()) };
        if is_safe {
            leave_to_others(options, name, path)?;
        }
        self.write(options, name, path)
    }

    fn write(&mut self, options: &Options, name: &str, path: &Path) -> Result<(), StartError> {
        let shown = shown(path);
        log::line(format_args!("writing pidfile to {shown}"));
        std::fs::write(path, format!("{}\n", std::process::id()))
            .map_err(|error| wrong(options, name, &format_args!("{shown}: {error}")))?;
        self.0.push(std::path::absolute(path).unwrap_or_else(|_| path.to_owned()));
        Ok(())
    }

    /// uWSGI: with `daemonize2` a relative `pidfile` is written in `chdir` as well, and that is the
    /// one that names the server. The first is where it is looked for without `daemonize2`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn want_again(&mut self, options: &Options) -> Result<(), StartError> {
        let Some(path) = options.pidfile.as_ref().filter(|path| path.is_relative()) else {
            return Ok(());
        };
        let moves = options.chdir.is_some() && options.daemonize.is_none();
        let is_written = std::path::absolute(path).is_ok_and(|path| self.0.contains(&path));
        match moves && options.daemonize2.is_some() && !is_written {
            true => self.write(options, "pidfile", path),
            false => Ok(()),
        }
    }

    pub fn paths(&self) -> &[PathBuf] {
        &self.0
    }

    /// Those that the binary before has written.
    pub fn resumed(paths: Vec<PathBuf>) -> Pidfiles {
        Pidfiles(paths)
    }

    /// Writes them once more (uWSGI: MasterFIFO's `P`).
    pub fn renew(&self) {
        for path in &self.0 {
            let written = std::fs::write(path, format!("{}\n", std::process::id()));
            if let Err(error) = written {
                log::line(format_args!("pidfile {}: {error}", shown(path)));
            }
        }
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

/// An error where the file names a server that runs (uWSGI: `safe-pidfile`).
fn leave_to_others(options: &Options, name: &str, path: &Path) -> Result<(), StartError> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let before = text.trim().parse::<i32>().ok();
    let before = before.filter(|&pid| pid > 0 && pid as u32 != std::process::id());
    let Some(pid) = before.filter(|&pid| is_server(&program(pid))) else { return Ok(()) };
    let shown = shown(path);
    let why = format_args!("{shown}: the server {pid} that it names still runs");
    Err(wrong(options, name, &why))
}

/// Why an option cannot be done, with the line that asks for it.
fn wrong(options: &Options, name: &str, why: &dyn Display) -> StartError {
    StartError::new(format!("{}: {why}", options.place(name)))
}

/// uWSGI: where `chdir` leads, for files that are opened after it.
fn within(options: &Options, path: &Path) -> PathBuf {
    options.chdir.as_ref().map_or(path.to_owned(), |directory| directory.join(path))
}

/// The file's name for a message.
fn shown(path: &Path) -> String {
    path.display().to_string()
}
