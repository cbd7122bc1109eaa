//! What the operator wants done at moments of the server's life.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};

use super::Master;
use crate::error::StartError;
use crate::log;
use crate::options::{Act, Deed, Failure, Moment, Options};
use crate::sys::{self, Ended, child::Shell};

/// Does all that is to be done at this moment, in the order written, and waits for commands.
///
/// # Errors
/// What failed. A server that starts ends with it, as uWSGI does.
pub fn run(options: &Options, moment: Moment) -> Result<(), StartError> {
    for hook in options.hooks.iter().filter(|hook| hook.moment == moment) {
        perform(&hook.deed, moment)?;
    }
    Ok(())
}

/// The same in a server that serves: what fails is told and changes nothing, and nobody waits for
/// commands.
pub fn run_beside(options: &Options, moment: Moment) {
    for hook in options.hooks.iter().filter(|hook| hook.moment == moment) {
        perform_beside(&hook.deed, moment);
    }
}

/// One deed, as `run_beside` does it.
pub fn perform_beside(deed: &Deed, moment: Moment) {
    let result = match deed {
        Deed::Exec(command, _) => {
            log::line(format_args!("running \"{command}\" ({})...", name(moment)));
            start(command).map(drop)
        }
        // Opening it would wait for a reader.
        Deed::WriteFifo(..) => write_fifo(deed, libc::O_NONBLOCK),
        _ => perform(deed, moment),
    };
    if let Err(error) = result {
        log::line(format_args!("{} hook: {error}", name(moment)));
    }
}

/// Starts a command of the operator's; its number.
///
/// # Errors
/// The kernel's, with the command.
pub fn start(command: &str) -> Result<i32, StartError> {
    let shell = Shell { command, ..Shell::default() };
    sys::child::start(&shell).map_err(|error| StartError::new(format!("\"{command}\": {error}")))
}

fn perform(deed: &Deed, moment: Moment) -> Result<(), StartError> {
    let failed = |what: String| {
        move |error: std::io::Error| StartError::new(format!("{}: {what}: {error}", name(moment)))
    };
    match deed {
        Deed::Exec(command, failure) => return execute(command, *failure, moment),
        Deed::Print(text) => log::line(format_args!("{text}")),
        Deed::Write(path, text) => {
            std::fs::write(path, text).map_err(failed(format!("write {}", path.display())))?;
        }
        Deed::WriteFifo(..) => write_fifo(deed, 0)?,
        Deed::Chdir(path) => {
            std::env::set_current_dir(path).map_err(failed(format!("chdir {}", path.display())))?
        }
        Deed::Umask(mask) => sys::umask(*mask),
        Deed::Unlink(path) => {
            std::fs::remove_file(path).map_err(failed(format!("unlink {}", path.display())))?;
        }
        Deed::Mkdir(path) => {
            std::fs::create_dir(path).map_err(failed(format!("mkdir {}", path.display())))?;
        }
        Deed::Touch(path) => {
            let file = File::options().create(true).append(true).open(path);
            let file = file.map_err(failed(format!("touch {}", path.display())))?;
            file.set_modified(std::time::SystemTime::now())
                .map_err(failed(format!("touch {}", path.display())))?;
        }
        Deed::Rename(from, to) => {
            std::fs::rename(from, to).map_err(failed(format!("rename {}", from.display())))?;
        }
        Deed::Symlink(from, to) => std::os::unix::fs::symlink(from, to)
            .map_err(failed(format!("symlink {}", to.display())))?,
        Deed::Chmod(path, mode) => {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(*mode))
                .map_err(failed(format!("chmod {}", path.display())))?;
        }
        // The master asks for these by itself, and workers for those.
        Deed::UnixSignal(..) | Deed::Signal(_) => {}
    }
    Ok(())
}

fn write_fifo(deed: &Deed, flags: i32) -> Result<(), StartError> {
    let Deed::WriteFifo(path, text) = deed else { return Ok(()) };
    let file = File::options().write(true).custom_flags(flags).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| StartError::new(format!("writefifo {}: {error}", path.display())))
}

/// Runs a command and waits for its end.
fn execute(command: &str, failure: Failure, moment: Moment) -> Result<(), StartError> {
    log::line(format_args!("running \"{command}\" ({})...", name(moment)));
    let what = match start(command).map(sys::wait_for) {
        Ok(Ok(Ended::Exited(0))) => return Ok(()),
        Ok(Ok(Ended::Exited(code))) => format!("exited with code {code}"),
        Ok(Ok(Ended::Killed(signal))) => {
            format!("was killed by {}", sys::signals::name(signal))
        }
        Ok(Err(error)) => error.to_string(),
        Err(error) => return Err(error),
    };
    let error = format!("\"{command}\" ({}) {what}", name(moment));
    if failure == Failure::Passes {
        log::line(format_args!("{error}"));
        return Ok(());
    }
    Err(StartError::new(error))
}

/// The moment's name in uWSGI's log.
fn name(moment: Moment) -> &'static str {
    match moment {
        Moment::Asap => "asap",
        Moment::PreJail => "pre-jail",
        Moment::InJail => "in-jail",
        Moment::AsRoot => "as root",
        Moment::AsUser => "as user",
        Moment::MasterStart => "master-start",
        Moment::PreApp => "pre app",
        Moment::PostFork => "post-fork",
        Moment::PostApp => "post app",
        Moment::Accepting => "accepting",
        Moment::Touched => "touch",
        Moment::AtExit => "atexit",
    }
}

/// The signals that hooks name, with what they do.
pub fn signals(options: &Options) -> impl Iterator<Item = (i32, Act)> + '_ {
    options.hooks.iter().filter_map(|hook| match hook.deed {
        Deed::UnixSignal(signal, act) => Some((signal, act)),
        _ => None,
    })
}

impl Master {
    /// What is to be done once a server process serves.
    pub(super) fn celebrate(&self) {
        run_beside(&self.made.options, Moment::PostApp);
        run_beside(&self.made.options, Moment::Accepting);
    }

    /// Acts as a hook says, if one names this signal.
    pub(super) fn obey_hook(&mut self, signal: i32) -> bool {
        if self.ending.is_some() {
            return false; // A second SIGINT ends at once.
        }
        let act = signals(&self.made.options).find(|(number, _)| *number == signal);
        match act {
            Some((_, Act::Stop)) => {
                let name = sys::signals::name(signal);
                log::line(format_args!("{name} received: finishing the requests in flight"));
                self.stop(0);
            }
            Some((_, Act::Reload)) => self.reload(),
            Some((_, Act::Status)) => self.order(&crate::shared::link::Order::Status),
            None => return false,
        }
        true
    }
}
