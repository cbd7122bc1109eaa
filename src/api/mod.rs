//! What it does: the `uwsgi` Python module and uwsgidecorators, as apps know them from uWSGI.
//! What it does not: run requests.
//! Who may call it: wsgi.
//! What it may import: python, shared, handoff, options, log (`uwsgi.log`), sys.

mod answers;
mod body;
mod logvars;
mod request;
mod signals;

use std::cell::{Cell, RefCell};
use std::ffi::CStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use answers::{
    CurrentFrames, Environ, ListenQueue, Log, MasterPid, Mem, Micros, MuleId, Reload, RequestId,
    SetProcName, SetUserHarakiri, Stop, TotalRequests, WorkerId, Workers,
};
use body::{ChunkedRead, ChunkedReadNow};
use logvars::{AddVar, GetLogvar, SetLogvar};
use request::{Alarm, Disconnect, LogThisRequest, SetWarningMessage};
use signals::{Hear, IsLocked, Lock, Raise, Unlock};

pub use logvars::begin as begin_logvars;

use crate::handoff::Taken;
use crate::options::UWSGI_VERSION;
use crate::python::{Dict, Exception, Kept, Kind, Native, Object, Py, Type};
use crate::shared::{Board, LOCKS_MAX, worker};

const SOURCE: &str = concat!(include_str!("uwsgi.py"), "\0");
const SIGNALS: &str = concat!(include_str!("signals.py"), "\0");
const AUTORELOAD: &str = concat!(include_str!("autoreload.py"), "\0");
const TRACEBACKER: &str = concat!(include_str!("tracebacker.py"), "\0");
const DECORATORS: &str = include_str!("uwsgidecorators.py");

/// What the module says of the server.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// uWSGI: options as they were written, bytes, or True for bare ones.
    pub opt: Vec<(String, Option<String>)>,
    pub workers: usize,
    pub threads: usize,
    pub hostname: String,
    /// Of each app; one is empty.
    pub mountpoints: Vec<String>,
    pub started_on: i64,
    pub buffer_size: i64,
    pub master_pid: i32,
    pub sockets: Vec<i32>,
    /// uWSGI: `locks` adds to the one that is always there.
    pub locks: usize,
    pub pidfile: Option<String>,
    /// Another server process served when this one began.
    pub is_a_reload: bool,
    pub autoreload: Option<Autoreload>,
    /// uWSGI: `py-tracebacker`, the beginning of the sockets' paths.
    pub tracebacker: Option<String>,
    /// uWSGI: `touch-signal`, files and signals.
    pub touch_signals: Vec<(PathBuf, u8)>,
}

/// uWSGI: `py-autoreload`.
#[derive(Debug, Clone, Default)]
pub struct Autoreload {
    pub seconds: u64,
    /// Names of modules that are not looked at.
    pub ignored: Vec<String>,
    /// The file that holds the app, if it was named by one.
    pub file: Option<String>,
}

/// The Rust side of the module's functions, one for each interpreter.
pub struct Api {
    board: &'static Board,
    /// The worker's number, from 1; 0 before the fork.
    worker: Cell<usize>,
    incarnation: Cell<u32>,
    master_pid: i32,
    locks: usize,
    sockets: Vec<i32>,
    mountpoints: Vec<String>,
    environ: RefCell<Option<Kept>>,
}

/// An installed `uwsgi` module.
pub struct Module {
    namespace: Kept,
    harakiri: Kept,
    autoreload: Option<Autoreload>,
    tracebacker: Option<String>,
    touch_signals: Vec<(PathBuf, u8)>,
    api: crate::python::KeptNative<Api>,
}

impl Module {
    /// Puts the module into `sys.modules`.
    ///
    /// # Errors
    /// What Python raised.
    pub fn install(py: Py<'_>, facts: &Facts, board: &'static Board) -> Result<Module, Exception> {
        let namespace = Dict::new(py);
        namespace.set_text("__name__", &py.str("uwring_api"));
        namespace.set_text("__builtins__", &py.import("builtins")?);
        let source = CStr::from_bytes_with_nul(SOURCE.as_bytes()).expect("uwsgi.py has no NUL");
        py.run_module(source, c"uwring/uwsgi.py", &namespace)?;
        let source = CStr::from_bytes_with_nul(SIGNALS.as_bytes()).expect("it has no NUL");
        py.run_module(source, c"uwring/signals.py", &namespace)?;
        let autoreload = facts.autoreload.clone().filter(|autoreload| autoreload.seconds > 0);
        if autoreload.is_some() {
            let source = CStr::from_bytes_with_nul(AUTORELOAD.as_bytes()).expect("it has no NUL");
            py.run_module(source, c"uwring/autoreload.py", &namespace)?;
        }
        if facts.tracebacker.is_some() {
            let source = CStr::from_bytes_with_nul(TRACEBACKER.as_bytes()).expect("it has no NUL");
            py.run_module(source, c"uwring/tracebacker.py", &namespace)?;
        }
        let methods = vec![
            Type::method::<WorkerId>(),
            Type::method::<MasterPid>(),
            Type::method::<MuleId>(),
            Type::method::<Log>(),
            Type::method::<TotalRequests>(),
            Type::method::<RequestId>(),
            Type::method::<SetUserHarakiri>(),
            Type::method::<Environ>(),
            Type::method::<Reload>(),
            Type::method::<Stop>(),
            Type::method::<Workers>(),
            Type::method::<Mem>(),
            Type::method::<Micros>(),
            Type::method::<ListenQueue>(),
            Type::method::<SetProcName>(),
            Type::method::<SetLogvar>(),
            Type::method::<GetLogvar>(),
            Type::method::<AddVar>(),
            Type::method::<Disconnect>(),
            Type::method::<LogThisRequest>(),
            Type::method::<SetWarningMessage>(),
            Type::method::<Alarm>(),
            Type::method::<ChunkedRead>(),
            Type::method::<ChunkedReadNow>(),
            Type::method::<CurrentFrames>(),
            Type::method::<Lock>(),
            Type::method::<Unlock>(),
            Type::method::<IsLocked>(),
            Type::method::<Raise>(),
            Type::method::<Hear>(),
        ];
        let class: Type<Api> = Type::new(py, c"uwring.Api", methods, None)?;
        let api: Native<'_, Api> = class.instance(
            py,
            Api {
                board,
                worker: Cell::new(0),
                incarnation: Cell::new(0),
                master_pid: facts.master_pid,
                locks: (facts.locks + 1).min(LOCKS_MAX),
                sockets: facts.sockets.clone(),
                mountpoints: facts.mountpoints.clone(),
                environ: RefCell::new(None),
            },
        );
        let harakiri = namespace.get(&py.str("Harakiri"));
        let harakiri = harakiri.expect("uwsgi.py defines Harakiri").keep();
        let module = Module {
            namespace: namespace.into_object().keep(),
            harakiri,
            autoreload,
            tracebacker: facts.tracebacker.clone(),
            touch_signals: facts.touch_signals.clone(),
            api: api.keep(),
        };
        let values = values(py, facts);
        let decorators = py.str(DECORATORS);
        module.call(py, "install", [values.as_object(), module.api.object(py), &decorators])?;
        if !py.is_in_first_interpreter() {
            module.call(py, "stay_at_home", [])?;
        }
        Ok(module)
    }

    fn call<const N: usize>(
        &self,
        py: Py<'_>,
        name: &str,
        args: [&Object<'_>; N],
    ) -> Result<(), Exception> {
        let function = Dict::from_object(self.namespace.get(py).clone())
            .and_then(|namespace| namespace.get(&py.str(name)))
            .ok_or_else(|| Exception::new(Kind::Runtime, format!("BUG: uwsgi.py has no {name}")))?;
        let args = args.map(Clone::clone);
        function.call(std::array::from_fn::<_, N, _>(|index| &args[index])).map(drop)
    }

    /// Tells the module which worker it is in (from 1), and runs `post_fork_hook`.
    ///
    /// # Errors
    /// What the hook raised.
    pub fn after_fork(&self, py: Py<'_>, worker: usize) -> Result<(), Exception> {
        let api = self.api.value(py);
        api.worker.set(worker);
        let row = api.board.worker(worker - 1);
        api.incarnation.set(row.get(worker::INCARNATION) as u32);
        if let Some(Autoreload { seconds, ignored, file }) = &self.autoreload
            && worker == 1
        {
            let seconds = py.int(i64::try_from(*seconds).unwrap_or(i64::MAX));
            let ignored: Vec<_> = ignored.iter().map(|name| py.str(name)).collect();
            let file = file.as_ref().map_or_else(|| py.none(), |file| py.fs_str(file.as_bytes()));
            self.call(py, "start_autoreload", [&seconds, &py.list(&ignored), &file])?;
        }
        if let Some(prefix) = &self.tracebacker {
            self.call(py, "start_tracebacker", [&py.fs_str(prefix.as_bytes())])?;
        }
        for (path, signal) in self.touch_signals.iter().filter(|_| worker == 1) {
            let path = py.fs_str(path.as_os_str().as_bytes());
            self.call(py, "add_file_monitor", [&py.int(i64::from(*signal)), &path])?;
        }
        self.call(py, "after_fork", [])
    }

    /// Says which worker the app is loaded in (from 1).
    pub fn set_worker(&self, py: Py<'_>, worker: usize) {
        self.api.value(py).worker.set(worker);
    }

    /// Raises `uwsgi.Harakiri` in the thread that runs `running`, if that is late and not over. The
    /// thread takes it back when the request ends first.
    pub fn interrupt(&self, py: Py<'_>, running: &Taken) {
        // With the GIL here, that thread cannot end the request and begin with another unnoticed.
        if running.is_late() && running.mark_interrupted() {
            py.interrupt(running.ident(), self.harakiri.get(py));
        }
    }

    /// uWSGI: `uwsgi.env` is the environ of the request that runs, with one thread.
    pub fn set_environ(&self, py: Py<'_>, environ: Option<Kept>) {
        let old = std::mem::replace(&mut *self.api.value(py).environ.borrow_mut(), environ);
        drop(old);
    }
}

fn values<'py>(py: Py<'py>, facts: &Facts) -> Dict<'py> {
    let values = Dict::new(py);
    let (major, minor, patch) = UWSGI_VERSION;
    let version = format!("{major}.{minor}.{patch}");
    // uWSGI: bytes, in Python 3 too.
    values.set_text("version", &py.bytes(version.as_bytes(), b""));
    let info = [py.int(major), py.int(minor), py.int(patch), py.int(0), py.bytes(b"", b"")];
    values.set_text("version_info", &py.tuple(&info));
    let opt = Dict::new(py);
    for (name, value) in &facts.opt {
        let value = match value {
            Some(value) => py.bytes(value.as_bytes(), b""),
            None => py.bool(true),
        };
        opt.set_text(name, &value);
    }
    values.set_text("opt", opt.as_object());
    values.set_text("numproc", &py.int(facts.workers as i64));
    values.set_text("cores", &py.int(facts.threads as i64));
    values.set_text("has_threads", &py.int(1));
    values.set_text("hostname", &py.bytes(facts.hostname.as_bytes(), b""));
    values.set_text("started_on", &py.int(facts.started_on));
    values.set_text("buffer_size", &py.int(facts.buffer_size));
    // uWSGI: None where there is no asynchronous loop, and outside of the place of that name.
    values.set_text("loop", &py.none());
    values.set_text("unbit", &py.none());
    values.set_text("is_a_reload", &py.bool(facts.is_a_reload));
    for (name, number) in [("SPOOL_OK", -2), ("SPOOL_RETRY", -1), ("SPOOL_IGNORE", 0)] {
        values.set_text(name, &py.int(number));
    }
    let optional = [("pidfile", facts.pidfile.as_ref()), ("mode", last(&facts.opt, "mode"))];
    for (name, value) in optional {
        if let Some(value) = value {
            values.set_text(name, &py.bytes(value.as_bytes(), b""));
        }
    }
    let sockets: Vec<_> = facts.sockets.iter().map(|&fd| py.int(i64::from(fd))).collect();
    values.set_text("sockets", &py.list(&sockets));
    // What uwring is, for code that wants to know.
    values.set_text("uwring", &py.str(env!("CARGO_PKG_VERSION")));
    values
}

fn last<'f>(opt: &'f [(String, Option<String>)], name: &str) -> Option<&'f String> {
    opt.iter().rev().find(|(known, _)| known == name)?.1.as_ref()
}
