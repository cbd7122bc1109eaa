//! The `uwring` command. Without the feature `server` it is the launcher: it finds the Python that
//! the app wants and executes the `uwring-3.N` that was built for it.

use std::ffi::OsString;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use uwring::error::StartError;
#[cfg(feature = "server")]
use uwring::master::Role;
use uwring::options::python::{self, Built, Choice};
use uwring::options::{self, Environment, Machine, Options, check, help};
#[cfg(feature = "server")]
use uwring::server;
use uwring::sys;

/// Says `pid:minor` to the executed binary: the same pair twice is a loop, and children of the
/// server, which inherit it, have another pid.
const GUARD: &str = "UWRING_EXECUTED";

fn main() -> ExitCode {
    let code = match run() {
        Ok(code) => code,
        Err(error) => {
            say(&error.to_string());
            error.code()
        }
    };
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

fn run() -> Result<i32, StartError> {
    let args: Vec<OsString> = std::env::args_os().collect();
    let env: Environment = std::env::vars_os().collect();
    if let Some((args, as_json)) = check::asked(&args) {
        let machine = Machine {
            has_user: |name| sys::user_id(name).is_some(),
            has_group: |name| sys::group_id(name).is_some(),
        };
        let report = check::check(args, &env, machine);
        print(&if as_json { report.json() } else { report.text() });
        return Ok(i32::from(!report.would_start));
    }
    let mut options = options::from_process(args.clone(), &env)?;
    if let Some(text) = help::answer(&options) {
        print(&text);
        return Ok(0);
    }
    #[cfg(feature = "server")]
    if let Some((signal, path)) = &options.signal_pidfile {
        uwring::master::send_to_pidfile(path, *signal)?;
        return Ok(0);
    }
    let program = args.first().cloned().unwrap_or_default();
    let choice = python::choose(&options, &program, &env)?;
    if !is_for_this_binary(&choice) {
        return Err(execute_match(&choice, &args, &env));
    }
    options.home = choice.home;
    serve(options, args, env)
}

#[cfg(feature = "server")]
fn is_for_this_binary(choice: &Choice) -> bool {
    let own: u8 = env!("UWRING_PYTHON_MINOR").parse().expect("build.rs writes a number");
    choice.minor.is_none_or(|minor: u8| minor == own)
}

#[cfg(not(feature = "server"))]
fn is_for_this_binary(_: &Choice) -> bool {
    false
}

#[cfg(feature = "server")]
fn serve(options: Options, args: Vec<OsString>, env: Environment) -> Result<i32, StartError> {
    if options.python_version {
        let version = uwring::python::version();
        print(&format!("{}\n", version.split_ascii_whitespace().next().unwrap_or_default()));
        return Ok(0);
    }
    for warning in &options.warnings {
        say(&format!("warning: {warning}"));
    }
    for line in &options.prints {
        say(line);
    }
    if options.show_config {
        print(&help::show_config(&options));
    }
    if options.no_server {
        say("no-server mode requested. Goodbye.");
        return Ok(0);
    }
    if options.doctor {
        let mut options = options;
        uwring::master::settle(&mut options)?;
        let (text, code) = server::examine(&options)?;
        print(&text);
        return Ok(code);
    }
    let role = Role { shards: server::shard_count, serve: server::run };
    uwring::master::run(options, args, env, role)
}

#[cfg(not(feature = "server"))]
fn serve(_: Options, _: Vec<OsString>, _: Environment) -> Result<i32, StartError> {
    Err(StartError::new("BUG: the launcher does not serve"))
}

/// Becomes the `uwring-3.N` that fits; returns only the reason why not.
fn execute_match(choice: &Choice, args: &[OsString], env: &Environment) -> StartError {
    // uWSGI's name may be a symlink: the kernel's link leads to the file itself.
    let own = match std::env::current_exe() {
        Ok(own) => own,
        Err(error) => return StartError::new(format!("cannot find the own executable: {error}")),
    };
    let built = python::built_beside(&own);
    match python::pick(choice, &built) {
        Ok(fitting) => execute(fitting, args, env),
        Err(error) => error,
    }
}

fn execute(built: &Built, args: &[OsString], env: &Environment) -> StartError {
    let Built { minor, path } = built;
    let shown = path.display();
    let guard = format!("{}:{minor}", std::process::id());
    if env.iter().any(|(name, value)| name == GUARD && *value == *guard) {
        return StartError::new(format!(
            "{shown} is not built for Python 3.{minor}, as its name says; run `make build` again"
        ));
    }
    let mut command = Command::new(path);
    if let Some((name, rest)) = args.split_first() {
        command.arg0(name).args(rest);
    }
    // `Command::env` would sort the environment: of two `UWSGI_*` the later one counts.
    sys::set_env(GUARD, &guard);
    let error = command.exec();
    StartError::new(format!("cannot execute {shown}: {error}"))
}

fn say(line: &str) {
    // A closed stderr is no reason to end otherwise.
    let _ = writeln!(std::io::stderr(), "uwring: {line}");
}

fn print(text: &str) {
    // `uwring --help | head` closes the pipe early.
    let _ = std::io::stdout().write_all(text.as_bytes());
}
