//! Tries the app in two sub-interpreters of a child process, never in the serving one: a refused
//! import can break a later one of the same module, and some modules crash.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::Embedding;
use super::cache::Sources;
use super::verdict::Verdict;
use crate::python::{Dict, Exception, Object, Py};
use crate::sys::{self, Ended, Fork};
use crate::wsgi::{Loaded, Plan};

const WATCH: &str = concat!(include_str!("watch.py"), "\0");
/// The report's first bytes are the module that is being imported (watch.py: PLACE).
const PLACE: usize = 256;
/// What the extension loader says when a module has no support for more than one interpreter.
const REFUSAL: &str = "does not support loading in subinterpreters";

/// A verdict, and what it rests on.
pub struct Tried {
    pub verdict: Verdict,
    pub sources: Sources,
}

/// Where a child process loads the app.
#[derive(Clone, Copy)]
enum Site {
    /// In two sub-interpreters.
    Interpreters,
    /// In the main interpreter, as worker processes do.
    Process,
}

/// What a child process tells.
#[derive(Default, Serialize, Deserialize)]
struct Report {
    /// Python did not start.
    trouble: Option<String>,
    /// The last line of the app's traceback.
    error: Option<String>,
    traceback: String,
    /// The traceback shows that a module refused.
    shows_refusal: bool,
    /// Extension modules that failed to load, with what they said.
    failed: Vec<(String, String)>,
    sources: Sources,
}

/// How a child process ended.
enum Outcome {
    Told(Report),
    Ended { how: Option<Ended>, importing: String },
    Hung { limit_s: u64, importing: String },
    NotForked(String),
}

/// Asks child processes. Only while this process has one thread.
pub fn probe(embedding: &Embedding, plan: &Plan, limit: Duration) -> Tried {
    let unknown = |verdict| Tried { verdict, sources: Sources::default() };
    let report = match attempt(embedding, plan, limit, Site::Interpreters) {
        Outcome::Told(report) => report,
        Outcome::NotForked(reason) => return unknown(Verdict::Untried { reason }),
        Outcome::Hung { limit_s, importing } => {
            return unknown(Verdict::Hung { limit_s, importing });
        }
        Outcome::Ended { how, importing } => {
            let signal = match how {
                Some(Ended::Killed(signal)) => Some(signal),
                _ => None,
            };
            let crashed = Verdict::Crashed { signal, importing };
            return match in_process(attempt(embedding, plan, limit, Site::Process)) {
                Ok(main) => Tried { verdict: crashed, sources: main.sources },
                Err(verdict) => unknown(verdict),
            };
        }
    };
    if let Some(reason) = report.trouble {
        return unknown(Verdict::Untried { reason });
    }
    judge(report, || attempt(embedding, plan, limit, Site::Process))
}

/// Whether a process can load the app, where interpreters are out of the question.
///
/// # Errors
/// The verdict, if not.
pub fn in_process_alone(
    embedding: &Embedding,
    plan: &Plan,
    limit: Duration,
) -> Result<(), Verdict> {
    in_process(attempt(embedding, plan, limit, Site::Process)).map(drop)
}

/// The report of an app that a process can load, or the verdict.
fn in_process(outcome: Outcome) -> Result<Report, Verdict> {
    match outcome {
        Outcome::Told(Report { trouble: Some(reason), .. }) => Err(Verdict::Untried { reason }),
        Outcome::Told(report) if report.error.is_none() => Ok(report),
        Outcome::Told(Report { traceback, .. }) => Err(Verdict::Broken { error: traceback }),
        Outcome::Ended { how, importing } => {
            let how = match how {
                Some(Ended::Killed(signal)) => format!("dies of signal {signal}"),
                Some(Ended::Exited(code)) => format!("ends with code {code}"),
                None => "ends".to_owned(),
            };
            let error = format!("the process {how} while it imports {importing}");
            Err(Verdict::Broken { error })
        }
        Outcome::Hung { limit_s, importing } => Err(Verdict::Hung { limit_s, importing }),
        Outcome::NotForked(reason) => Err(Verdict::Untried { reason }),
    }
}

/// The verdict on an app that was tried to the end. `again` tries it as a worker process would
/// have it: what fails there too is no matter of interpreters.
fn judge(report: Report, again: impl FnOnce() -> Outcome) -> Tried {
    let Report { error, shows_refusal, mut failed, mut sources, .. } = report;
    let is_sure = failed.iter().all(|(_, text)| text.contains(REFUSAL));
    if !is_sure || (error.is_some() && !shows_refusal) {
        match in_process(again()) {
            Ok(main) => {
                failed.retain(|(name, _)| !main.failed.iter().any(|(other, _)| other == name));
                sources.add(main.sources);
            }
            Err(verdict) => return Tried { verdict, sources: Sources::default() },
        }
    }
    let mut refused: Vec<String> = Vec::new();
    for (name, _) in &failed {
        if !refused.contains(name) {
            refused.push(name.clone());
        }
    }
    let verdict = match error {
        None if refused.is_empty() => Verdict::Capable,
        None => Verdict::Degraded { refused },
        Some(error) => {
            // The one that the error names, else the last that was tried: those before were
            // swallowed.
            refused.reverse();
            if let Some(name) = named_by(&error) {
                // An extension module may have been built without its package's name.
                let is_named =
                    |module: &str| module == name || module.ends_with(&format!(".{name}"));
                refused.sort_by_key(|module| !is_named(module));
                if !refused.first().is_some_and(|module| is_named(module)) {
                    refused.insert(0, name.to_owned());
                }
            }
            if refused.is_empty() { Verdict::Fails { error } } else { Verdict::Refused { refused } }
        }
    };
    Tried { verdict, sources }
}

/// The module that an error of the extension loader names.
fn named_by(error: &str) -> Option<&str> {
    let (before, _) = error.split_once(&format!(" {REFUSAL}"))?;
    before.rsplit_once("module ").map(|(_, name)| name)
}

fn attempt(embedding: &Embedding, plan: &Plan, limit: Duration, site: Site) -> Outcome {
    let made = sys::message_pair().and_then(|pair| Ok((pair, sys::memory_file(c"uwring probe")?)));
    let ((ours, theirs), report) = match made {
        Ok(made) => made,
        Err(error) => return Outcome::NotForked(error.to_string()),
    };
    let parent = std::process::id() as i32;
    match sys::fork() {
        Err(error) => Outcome::NotForked(format!("fork(): {error}")),
        Ok(Fork::Child) => {
            drop(ours);
            sys::die_with_parent(parent, libc::SIGKILL);
            // What the app starts at import ends with the trial.
            sys::lead_group();
            silence();
            let told = load(embedding, plan, site, report.as_raw_fd());
            let text = serde_json::to_vec(&told).unwrap_or_default();
            let written = report.write_all_at(&text, PLACE as u64);
            let _ = written.and_then(|()| File::from(theirs).write_all(b"done"));
            sys::exit_now(0)
        }
        Ok(Fork::Parent { child }) => {
            drop(theirs);
            let outcome = wait(&ours, &report, child, limit);
            let file = plan.place.apps.iter().find_map(|app| app.file.as_deref());
            match outcome {
                Outcome::Ended { how, importing } => {
                    Outcome::Ended { how, importing: name_of(importing, file) }
                }
                Outcome::Hung { limit_s, importing } => {
                    Outcome::Hung { limit_s, importing: name_of(importing, file) }
                }
                other => other,
            }
        }
    }
}

/// The app's file has a made-up module name: the file says more.
fn name_of(importing: String, file: Option<&str>) -> String {
    match file {
        Some(file) if importing.starts_with("uwsgi_file_") => match file.contains('/') {
            true => file.to_owned(),
            false => format!("./{file}"),
        },
        _ => importing,
    }
}

/// What the app prints while it is tried would stand in the log twice.
fn silence() {
    if let Ok(null) = File::options().write(true).open("/dev/null") {
        let _ = sys::replace_output(&null);
    }
}

/// Waits for the report, ends the child and takes its exit status.
fn wait(answer: &OwnedFd, report: &File, child: i32, limit: Duration) -> Outcome {
    let deadline = Instant::now() + limit;
    // A process that the app forked keeps the socket open after the child's end.
    let watch = sys::pidfd_open(child).ok();
    let mut fds = vec![answer.as_raw_fd()];
    fds.extend(watch.iter().map(AsRawFd::as_raw_fd));
    let mut ready = Vec::new();
    let mut late = false;
    while !ready.contains(&true) && !late {
        sys::poll_readable(&fds, 200, &mut ready);
        late = Instant::now() >= deadline;
    }
    let has_told = ready.first() == Some(&true)
        && matches!(
            sys::receive_with_fd(std::os::fd::AsFd::as_fd(answer), &mut [0; 8]),
            Ok((4, _))
        );
    let importing = read(report, 0, PLACE);
    let importing = String::from_utf8_lossy(&importing).trim_end_matches('\0').to_owned();
    if has_told || !ready.contains(&true) {
        sys::kill(-child, libc::SIGKILL);
        sys::kill(child, libc::SIGKILL);
    }
    let how = sys::wait_for(child).ok();
    sys::kill(-child, libc::SIGKILL);
    if !has_told {
        return match ready.contains(&true) {
            true => Outcome::Ended { how, importing },
            false => Outcome::Hung { limit_s: limit.as_secs(), importing },
        };
    }
    let len = report.metadata().map_or(0, |found| found.len() as usize);
    let text = read(report, PLACE as u64, len.saturating_sub(PLACE));
    match serde_json::from_slice(&text) {
        Ok(report) => Outcome::Told(report),
        Err(error) => Outcome::NotForked(format!("BUG: its report: {error}")),
    }
}

fn read(file: &File, at: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    let count = file.read_at(&mut bytes, at).unwrap_or(0);
    bytes.truncate(count);
    bytes
}

fn load(embedding: &Embedding, plan: &Plan, site: Site, report: i32) -> Report {
    let mut told = Report::default();
    if let Err(trouble) = try_to_load(embedding, plan, site, report, &mut told) {
        told.trouble = Some(trouble);
    }
    told
}

fn try_to_load(
    embedding: &Embedding,
    plan: &Plan,
    site: Site,
    report: i32,
    told: &mut Report,
) -> Result<(), String> {
    let runtime = embedding.start()?;
    match site {
        Site::Process => runtime.main().attach(|py| import(py, plan, report, told)),
        Site::Interpreters => in_interpreters(&runtime, plan, report, told),
    }
}

#[cfg(not(Py_3_13))]
fn in_interpreters(
    _: &crate::python::Runtime,
    _: &Plan,
    _: i32,
    _: &mut Report,
) -> Result<(), String> {
    Err("BUG: interpreters with a GIL of their own need Python 3.13".into())
}

/// Two: some modules complain only at the second. Both stay alive until the process ends.
#[cfg(Py_3_13)]
fn in_interpreters(
    runtime: &crate::python::Runtime,
    plan: &Plan,
    report: i32,
    told: &mut Report,
) -> Result<(), String> {
    let main = runtime.main().interpreter();
    main.new_sibling()?.attach(|py| import(py, plan, report, told))?;
    if told.error.is_some() {
        return Ok(());
    }
    std::thread::scope(|scope| {
        let again = move || main.new_sibling()?.attach(|py| import(py, plan, report, told));
        let builder = std::thread::Builder::new().stack_size(crate::wsgi::STACK_BYTES);
        let second = builder.spawn_scoped(scope, again).map_err(|error| error.to_string())?;
        second.join().unwrap_or_else(|_| Err("BUG: the probe panicked".into()))
    })
}

/// Loads the app into one interpreter and adds what came of it to the report.
fn import(py: Py<'_>, plan: &Plan, report: i32, told: &mut Report) -> Result<(), String> {
    let summary = |error: Exception| error.summary(py);
    let watch = watch(py, report).map_err(summary)?;
    let (loaded, error) = Loaded::new(py, plan, 1).map_err(summary)?;
    told.failed.extend(loaded.boot.refused_extensions(py));
    if let Some(error) = error {
        told.shows_refusal = error.text.contains(REFUSAL);
        // The last line of a traceback is the exception.
        told.error = Some(error.text.lines().last().unwrap_or_default().to_owned());
        told.traceback = error.text;
    }
    let evidence = function(py, &watch, "evidence").and_then(|evidence| evidence.call([]));
    let Ok(evidence) = evidence else { return Ok(()) };
    let paths =
        |index| evidence.item(index).and_then(|object| object.as_bytes().map(<[u8]>::to_vec));
    if let (Some(files), Some(folders)) = (paths(0), paths(1)) {
        told.sources.note(&files, &folders);
    }
    Ok(())
}

/// Installs watch.py.
fn watch<'py>(py: Py<'py>, report: i32) -> Result<Dict<'py>, Exception> {
    let source = std::ffi::CStr::from_bytes_with_nul(WATCH.as_bytes()).expect("no NUL in watch.py");
    let namespace = Dict::new(py);
    namespace.set_text("__name__", &py.str("uwring_watch"));
    namespace.set_text("__builtins__", &py.import("builtins")?);
    py.run_module(source, c"uwring/watch.py", &namespace)?;
    function(py, &namespace, "watch")?.call([&py.int(i64::from(report))])?;
    Ok(namespace)
}

fn function<'py>(py: Py<'py>, module: &Dict<'py>, name: &str) -> Result<Object<'py>, Exception> {
    let found = module.get(&py.str(name));
    found.ok_or_else(|| Exception::new(crate::python::Kind::Runtime, format!("BUG: no {name}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(error: Option<&str>, failed: &[(&str, &str)]) -> Report {
        let failed = failed.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        let error = error.map(str::to_owned);
        let shows_refusal = error.as_deref().is_some_and(|error| error.contains(REFUSAL));
        Report { error, shows_refusal, failed: failed.collect(), ..Report::default() }
    }

    fn verdict(report: Report, main: Option<Report>) -> Verdict {
        judge(report, || Outcome::Told(main.expect("a process is not asked"))).verdict
    }

    const NO: &str = "module a does not support loading in subinterpreters";

    #[test]
    fn only_what_a_process_can_have_is_a_matter_of_interpreters() {
        let refused = |modules: &[&str]| Verdict::Refused {
            refused: modules.iter().map(|module| (*module).to_owned()).collect(),
        };
        assert_eq!(verdict(told(None, &[]), None), Verdict::Capable);
        let degraded = Verdict::Degraded { refused: vec!["a".into()] };
        assert_eq!(verdict(told(None, &[("a", NO), ("a", NO)]), None), degraded);
        let error = format!("ImportError: {NO}");
        assert_eq!(
            verdict(told(Some(&error), &[("b", NO), ("a", NO)]), None),
            refused(&["a", "b"])
        );
        let short = "ImportError: module _c does not support loading in subinterpreters";
        assert_eq!(verdict(told(Some(short), &[("p._c", short)]), None), refused(&["p._c"]));
        // Wrapped in words of the package's own: the last that refused.
        let wrapped = told(Some("ImportError: no driver"), &[("b", NO), ("a", NO)]);
        assert_eq!(verdict(wrapped, Some(told(None, &[]))), refused(&["a", "b"]));
        // An extension module that fails in a process too does not count.
        let optional = [("c", "ModuleNotFoundError: No module named 'd'")];
        let same = Some(told(None, &optional));
        assert_eq!(verdict(told(None, &optional), same), Verdict::Capable);
        let fails = Verdict::Fails { error: "ValueError: signal".into() };
        let signal = told(Some("ValueError: signal"), &[]);
        assert_eq!(verdict(signal, Some(told(None, &[]))), fails);
        let broken = told(Some("SyntaxError: x"), &[("a", NO)]);
        let main = Report { traceback: "all".into(), ..told(Some("SyntaxError: x"), &[]) };
        assert_eq!(verdict(broken, Some(main)), Verdict::Broken { error: "all".into() });
    }
}
