//! What it does: the `uwsgi` Python module and uwsgidecorators, as apps know them from uWSGI.
//! What it does not: run requests.
//! Who may call it: wsgi.
//! What it may import: python, shared, handoff, options, log (`uwsgi.log`).

use std::cell::RefCell;
use std::ffi::CStr;

use crate::handoff::{Taken, limit_own_request};
use crate::options::UWSGI_VERSION;
use crate::python::{Args, Dict, Exception, Function, Kept, Kind, Native, Object, Py, Type};
use crate::shared::{Board, Wish, now_us, worker};

const SOURCE: &str = concat!(include_str!("uwsgi.py"), "\0");
const DECORATORS: &str = include_str!("uwsgidecorators.py");

/// What the module says of the server.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// uWSGI: options as they were written, bytes, or True for bare ones.
    pub opt: Vec<(String, Option<String>)>,
    pub workers: usize,
    pub threads: usize,
    pub hostname: String,
    pub started_on: i64,
    pub buffer_size: i64,
    pub master_pid: i32,
    pub sockets: Vec<i32>,
}

/// The Rust side of the module's functions, one for each interpreter.
pub struct Api {
    board: &'static Board,
    /// The worker's number, from 1; 0 before the fork.
    worker: std::cell::Cell<usize>,
    master_pid: i32,
    environ: RefCell<Option<Kept>>,
}

/// An installed `uwsgi` module.
pub struct Module {
    namespace: Kept,
    harakiri: Kept,
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
        ];
        let class: Type<Api> = Type::new(py, c"uwring.Api", methods, None)?;
        let api: Native<'_, Api> = class.instance(
            py,
            Api {
                board,
                worker: std::cell::Cell::new(0),
                master_pid: facts.master_pid,
                environ: RefCell::new(None),
            },
        );
        let harakiri = namespace.get(&py.str("Harakiri"));
        let harakiri = harakiri.expect("uwsgi.py defines Harakiri").keep();
        let module =
            Module { namespace: namespace.into_object().keep(), harakiri, api: api.keep() };
        let values = values(py, facts);
        let decorators = py.str(DECORATORS);
        module.call(py, "install", [values.as_object(), module.api.object(py), &decorators])?;
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
        self.api.value(py).worker.set(worker);
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
        if running.is_late() {
            running.mark_interrupted();
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
    values.set_text("unbit", &py.bool(false));
    let sockets: Vec<_> = facts.sockets.iter().map(|&fd| py.int(i64::from(fd))).collect();
    values.set_text("sockets", &py.list(&sockets));
    // What uwring is, for code that wants to know.
    values.set_text("uwring", &py.str(env!("CARGO_PKG_VERSION")));
    values
}

struct WorkerId;

impl Function for WorkerId {
    type On = Api;
    const NAME: &'static CStr = c"worker_id";
    const DOC: &'static CStr = c"the number of this worker, from 1";

    fn call<'py>(py: Py<'py>, this: &Api, _: &Args<'_, 'py>) -> Result<Object<'py>, Exception> {
        Ok(py.int(this.worker.get() as i64))
    }
}

struct MasterPid;

impl Function for MasterPid {
    type On = Api;
    const NAME: &'static CStr = c"masterpid";
    const DOC: &'static CStr = c"the pid of the master, 0 without one";

    fn call<'py>(py: Py<'py>, this: &Api, _: &Args<'_, 'py>) -> Result<Object<'py>, Exception> {
        Ok(py.int(i64::from(this.master_pid)))
    }
}

struct MuleId;

impl Function for MuleId {
    type On = Api;
    const NAME: &'static CStr = c"mule_id";
    const DOC: &'static CStr = c"0: this is no mule";

    fn call<'py>(py: Py<'py>, _: &Api, _: &Args<'_, 'py>) -> Result<Object<'py>, Exception> {
        Ok(py.int(0))
    }
}

struct Log;

impl Function for Log {
    type On = Api;
    const NAME: &'static CStr = c"log";
    const DOC: &'static CStr = c"log(message): writes a line to the server's log";

    fn call<'py>(py: Py<'py>, _: &Api, args: &Args<'_, 'py>) -> Result<Object<'py>, Exception> {
        let [message] = args.bind(["message"])?;
        let Some(message) = message else {
            return Err(Exception::new(Kind::Type, "log() takes a message"));
        };
        let text = match message.as_bytes() {
            Some(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            None => message.to_text(),
        };
        crate::log::line(format_args!("{}", text.trim_end_matches('\n')));
        Ok(py.bool(true))
    }
}

struct Reload;

impl Function for Reload {
    type On = Api;
    const NAME: &'static CStr = c"reload";
    const DOC: &'static CStr = c"asks for a reload of the whole server; needs a master";

    fn call<'py>(py: Py<'py>, this: &Api, _: &Args<'_, 'py>) -> Result<Object<'py>, Exception> {
        this.board.ask(Wish::Reload);
        Ok(py.bool(true))
    }
}

struct Stop;

impl Function for Stop {
    type On = Api;
    const NAME: &'static CStr = c"stop";
    const DOC: &'static CStr = c"stops the server, gracefully";

    fn call<'py>(py: Py<'py>, this: &Api, _: &Args<'_, 'py>) -> Result<Object<'py>, Exception> {
        this.board.ask(Wish::Stop);
        Ok(py.bool(true))
    }
}

struct TotalRequests;

impl Function for TotalRequests {
    type On = Api;
    const NAME: &'static CStr = c"total_requests";
    const DOC: &'static CStr = c"requests that the whole server has served";

    fn call<'py>(py: Py<'py>, this: &Api, _: &Args<'_, 'py>) -> Result<Object<'py>, Exception> {
        Ok(py.int(this.board.total() as i64))
    }
}

struct RequestId;

impl Function for RequestId {
    type On = Api;
    const NAME: &'static CStr = c"request_id";
    const DOC: &'static CStr = c"requests that this worker has served";

    fn call<'py>(py: Py<'py>, this: &Api, _: &Args<'_, 'py>) -> Result<Object<'py>, Exception> {
        let count = match this.worker.get() {
            0 => 0,
            number => this.board.worker(number - 1).get(worker::REQUESTS),
        };
        Ok(py.int(count as i64))
    }
}

struct SetUserHarakiri;

impl Function for SetUserHarakiri {
    type On = Api;
    const NAME: &'static CStr = c"set_user_harakiri";
    const DOC: &'static CStr =
        c"set_user_harakiri(seconds): ends the request that runs if it takes longer; 0: no limit";

    fn call<'py>(py: Py<'py>, _: &Api, args: &Args<'_, 'py>) -> Result<Object<'py>, Exception> {
        let [seconds] = args.bind(["seconds"])?;
        let Some(seconds) = seconds.and_then(Object::as_int) else {
            return Err(Exception::new(
                Kind::Type,
                "set_user_harakiri() takes a number of seconds",
            ));
        };
        let limit_s = match u64::try_from(seconds) {
            // Rather late than early: whole seconds are compared.
            Ok(seconds) if seconds > 0 => now_us().div_ceil(1_000_000) + seconds,
            _ => 0,
        };
        // Outside of a request there is nothing to end.
        limit_own_request(limit_s);
        Ok(py.none())
    }
}

struct Environ;

impl Function for Environ {
    type On = Api;
    const NAME: &'static CStr = c"_environ";
    const DOC: &'static CStr = c"the environ of the request that runs";

    fn call<'py>(py: Py<'py>, this: &Api, _: &Args<'_, 'py>) -> Result<Object<'py>, Exception> {
        let environ = this.environ.borrow();
        Ok(environ.as_ref().map_or_else(|| py.none(), |environ| environ.get(py).clone()))
    }
}
