//! Tries the app in two sub-interpreters of a child process, never in the serving one: a refused
//! import can break a later one of the same module, and some modules crash.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use super::Embedding;
use crate::sys::{self, Fork};
use crate::wsgi::Plan;

/// How long the app may take to be imported twice.
const LIMIT: Duration = Duration::from_secs(60);

/// What the probe found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Both interpreters run the app.
    Capable,
    /// Why they do not: one line.
    Refused(String),
}

/// Asks a child process. Only while this process has one thread.
pub fn probe(embedding: &Embedding, plan: &Plan) -> Verdict {
    let Ok((ours, theirs)) = sys::message_pair() else {
        return Verdict::Refused("no descriptors are left to try it".into());
    };
    let parent = std::process::id() as i32;
    match sys::fork() {
        Err(error) => Verdict::Refused(format!("it could not be tried: {error}")),
        Ok(Fork::Child) => {
            drop(ours);
            sys::die_with_parent(parent, libc::SIGKILL);
            silence();
            let answer = try_app(embedding, plan).err().unwrap_or_default();
            let text = if answer.is_empty() { "ok".to_owned() } else { format!("no {answer}") };
            let _ = File::from(theirs).write_all(text.as_bytes());
            sys::exit_now(0)
        }
        Ok(Fork::Parent { child }) => {
            drop(theirs);
            wait(&ours.into(), child)
        }
    }
}

/// What the app prints while it is tried would stand in the log twice.
fn silence() {
    if let Ok(null) = File::options().write(true).open("/dev/null") {
        let _ = sys::replace_output(&null);
    }
}

/// Waits for the answer, ends the child and takes its exit status.
fn wait(answer: &File, child: i32) -> Verdict {
    let deadline = Instant::now() + LIMIT;
    let mut ready = Vec::new();
    loop {
        sys::poll_readable(&[answer.as_fd().as_raw_fd()], 200, &mut ready);
        if ready.first() == Some(&true) {
            break;
        }
        if Instant::now() >= deadline {
            let seconds = LIMIT.as_secs();
            sys::kill(child, libc::SIGKILL);
            let _ = sys::wait_for(child);
            return Verdict::Refused(format!("importing it twice takes more than {seconds} s"));
        }
    }
    let mut text = vec![0; 4096];
    let len = { answer }.read(&mut text).unwrap_or(0);
    let text = String::from_utf8_lossy(&text[..len]).into_owned();
    if !text.is_empty() {
        sys::kill(child, libc::SIGKILL);
    }
    let ended = sys::wait_for(child);
    match text.strip_prefix("no ") {
        Some(reason) => Verdict::Refused(reason.to_owned()),
        None if text == "ok" => Verdict::Capable,
        None => Verdict::Refused(match ended {
            Ok(sys::Ended::Killed(signal)) => format!("it crashes there (signal {signal})"),
            _ => "it ends the process there".into(),
        }),
    }
}

#[cfg(not(Py_3_13))]
fn try_app(_: &Embedding, _: &Plan) -> Result<(), String> {
    Err("interpreters with a GIL of their own need Python 3.13".into())
}

#[cfg(Py_3_13)]
fn try_app(embedding: &Embedding, plan: &Plan) -> Result<(), String> {
    let runtime = embedding.start()?;
    let main = runtime.main().interpreter();
    // Two: some modules complain only at the second. Both stay alive until the process ends.
    main.new_sibling()?.attach(|py| try_import(py, plan))?;
    std::thread::scope(|scope| {
        let again = move || main.new_sibling()?.attach(|py| try_import(py, plan));
        let builder = std::thread::Builder::new().stack_size(crate::wsgi::STACK_BYTES);
        let second = builder.spawn_scoped(scope, again).map_err(|error| error.to_string())?;
        second.join().unwrap_or_else(|_| Err("BUG: the probe panicked".into()))
    })
}

#[cfg(Py_3_13)]
fn try_import(py: crate::python::Py<'_>, plan: &Plan) -> Result<(), String> {
    use crate::wsgi::Loaded;
    let (loaded, error) = Loaded::new(py, plan, 1).map_err(|error| error.summary(py))?;
    let refused = loaded.boot.refused_extensions(py);
    if let Some(module) = refused.first() {
        return Err(format!("{module} refuses sub-interpreters"));
    }
    match error {
        // The last line of a traceback is the exception.
        Some(error) => Err(error.text.lines().last().unwrap_or_default().to_owned()),
        None => Ok(()),
    }
}
