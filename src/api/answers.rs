//! The module's functions that tell something, and those that ask the server for something.

use std::ffi::CStr;

use super::Api;
use crate::handoff::limit_own_request;
use crate::python::{Args, Dict, Exception, Function, Kind, Object, Py};
use crate::shared::{Wish, app as app_row, core, now_us, worker};
use crate::sys;

pub(super) struct WorkerId;

impl Function for WorkerId {
    type On = Api;
    const NAME: &'static CStr = c"worker_id";
    const DOC: &'static CStr = c"the number of this worker, from 1";

    fn call<'py>(py: Py<'py>, this: &Api, _: &Args<'_, 'py>) -> Result<Object<'py>, Exception> {
        Ok(py.int(this.worker.get() as i64))
    }
}

pub(super) struct MasterPid;

impl Function for MasterPid {
    type On = Api;
    const NAME: &'static CStr = c"masterpid";
    const DOC: &'static CStr = c"the pid of the master, 0 without one";

    fn call<'py>(py: Py<'py>, this: &Api, _: &Args<'_, 'py>) -> Result<Object<'py>, Exception> {
        Ok(py.int(i64::from(this.master_pid)))
    }
}

pub(super) struct MuleId;

impl Function for MuleId {
    type On = Api;
    const NAME: &'static CStr = c"mule_id";
    const DOC: &'static CStr = c"0: this is no mule";

    fn call<'py>(py: Py<'py>, _: &Api, _: &Args<'_, 'py>) -> Result<Object<'py>, Exception> {
        Ok(py.int(0))
    }
}

pub(super) struct Log;

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

pub(super) struct Reload;

impl Function for Reload {
    type On = Api;
    const NAME: &'static CStr = c"reload";
    const DOC: &'static CStr = c"asks for a reload of the whole server; needs a master";

    fn call<'py>(py: Py<'py>, this: &Api, _: &Args<'_, 'py>) -> Result<Object<'py>, Exception> {
        // uWSGI: it has no effect there. Here each load would ask for the next one.
        if this.incarnation.get() == 0 {
            crate::log::line(format_args!(
                "uwsgi.reload() while the app is loaded does nothing: no newer code can be there"
            ));
        } else {
            this.board.ask(Wish::Reload);
        }
        Ok(py.bool(true))
    }
}

pub(super) struct Stop;

impl Function for Stop {
    type On = Api;
    const NAME: &'static CStr = c"stop";
    const DOC: &'static CStr = c"stops the server, gracefully";

    fn call<'py>(py: Py<'py>, this: &Api, _: &Args<'_, 'py>) -> Result<Object<'py>, Exception> {
        this.board.ask(Wish::Stop);
        Ok(py.bool(true))
    }
}

pub(super) struct TotalRequests;

impl Function for TotalRequests {
    type On = Api;
    const NAME: &'static CStr = c"total_requests";
    const DOC: &'static CStr = c"requests that the whole server has served";

    fn call<'py>(py: Py<'py>, this: &Api, _: &Args<'_, 'py>) -> Result<Object<'py>, Exception> {
        Ok(py.int(this.board.total() as i64))
    }
}

pub(super) struct RequestId;

impl Function for RequestId {
    type On = Api;
    const NAME: &'static CStr = c"request_id";
    const DOC: &'static CStr = c"requests that this worker has served, without those that run";

    fn call<'py>(py: Py<'py>, this: &Api, _: &Args<'_, 'py>) -> Result<Object<'py>, Exception> {
        let board = this.board;
        let count = match this.worker.get() {
            0 => 0,
            number => {
                let is_running =
                    |core: &usize| board.core(number - 1, *core).get(core::IN_REQUEST) > 0;
                let running = (0..board.threads()).filter(is_running).count() as u64;
                board.worker(number - 1).get(worker::REQUESTS).saturating_sub(running)
            }
        };
        Ok(py.int(count as i64))
    }
}

pub(super) struct SetUserHarakiri;

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

pub(super) struct Environ;

impl Function for Environ {
    type On = Api;
    const NAME: &'static CStr = c"_environ";
    const DOC: &'static CStr = c"the environ of the request that runs";

    fn call<'py>(py: Py<'py>, this: &Api, _: &Args<'_, 'py>) -> Result<Object<'py>, Exception> {
        let environ = this.environ.borrow();
        Ok(environ.as_ref().map_or_else(|| py.none(), |environ| environ.get(py).clone()))
    }
}

pub(super) struct CurrentFrames;

impl Function for CurrentFrames {
    type On = Api;
    const NAME: &'static CStr = c"_current_frames";
    const DOC: &'static CStr = c"the frame of each thread of this interpreter, by its ident";

    fn call<'py>(py: Py<'py>, _: &Api, _: &Args<'_, 'py>) -> Result<Object<'py>, Exception> {
        Ok(py.own_frames().into_object())
    }
}

pub(super) struct Workers;

impl Function for Workers {
    type On = Api;
    const NAME: &'static CStr = c"workers";
    const DOC: &'static CStr = c"a tuple with a dict for each worker";

    fn call<'py>(py: Py<'py>, this: &Api, _: &Args<'_, 'py>) -> Result<Object<'py>, Exception> {
        let all: Vec<_> = (0..this.board.workers()).map(|index| row(py, this, index)).collect();
        Ok(py.tuple(&all))
    }
}

/// One worker as uWSGI shows it: the same keys in the same order.
fn row<'py>(py: Py<'py>, this: &Api, index: usize) -> Object<'py> {
    let board = this.board;
    let row = board.worker(index);
    let number = |place: usize| py.int(row.get(place) as i64);
    let is_busy =
        (0..board.threads()).any(|core| board.core(index, core).get(core::IN_REQUEST) > 0);
    let status: &[u8] = match (row.get(worker::READY), is_busy) {
        (0, _) => b"cheap",
        (_, true) => b"busy",
        (_, false) => b"idle",
    };
    // Workers of one process have its memory in common: the sum over all is right.
    let pid = row.get(worker::PID);
    let here = (0..board.workers()).filter(|&w| board.worker(w).get(worker::PID) == pid).count();
    let memory = sys::memory_of(pid as i32).divided(here);
    let entry = Dict::new(py);
    entry.set_text("id", &py.int(index as i64 + 1));
    entry.set_text("pid", &number(worker::PID));
    entry.set_text("requests", &number(worker::REQUESTS));
    entry.set_text("delta_requests", &number(worker::REQUESTS));
    entry.set_text("signals", &py.int(0));
    entry.set_text("exceptions", &number(worker::EXCEPTIONS));
    entry.set_text("status", &py.bytes(status, b""));
    entry.set_text("rss", &py.int(memory.resident as i64));
    entry.set_text("vsz", &py.int(memory.address_space as i64));
    entry.set_text("running_time", &number(worker::RUNNING_US));
    entry.set_text("last_spawn", &number(worker::LAST_SPAWN));
    entry.set_text("respawn_count", &py.int(row.get(worker::SPAWNS).saturating_sub(1) as i64));
    entry.set_text("tx", &number(worker::TX));
    entry.set_text("avg_rt", &number(worker::AVG_RT_US));
    let apps: Vec<_> = match row.get(worker::HAS_APP) {
        1 => (0..this.mountpoints.len()).map(|id| app(py, this, index, id)).collect(),
        _ => Vec::new(),
    };
    entry.set_text("apps", &py.tuple(&apps));
    entry.into_object()
}

fn app<'py>(py: Py<'py>, this: &Api, index: usize, id: usize) -> Object<'py> {
    let row = this.board.worker(index);
    let number = |place: usize| py.int(row.get(place) as i64);
    // The only app has what its worker has.
    let own = this.board.app(index, id);
    let of = |place: usize, only: usize| {
        py.int(own.map_or_else(|| row.get(only), |row| row.get(place)) as i64)
    };
    let app = Dict::new(py);
    app.set_text("id", &py.int(id as i64));
    app.set_text("modifier1", &py.int(0));
    app.set_text("mountpoint", &py.bytes(this.mountpoints[id].as_bytes(), b""));
    app.set_text("startup_time", &number(worker::STARTUP_S));
    app.set_text("interpreter", &number(worker::INTERPRETER));
    // An address in another interpreter means nothing here.
    app.set_text("callable", &py.int(0));
    app.set_text("requests", &of(app_row::REQUESTS, worker::REQUESTS));
    app.set_text("exceptions", &of(app_row::EXCEPTIONS, worker::EXCEPTIONS));
    app.set_text("chdir", &py.bytes(b"", b""));
    app.into_object()
}

pub(super) struct Mem;

impl Function for Mem {
    type On = Api;
    const NAME: &'static CStr = c"mem";
    const DOC: &'static CStr = c"(rss, vsz) of this process, bytes";

    fn call<'py>(py: Py<'py>, _: &Api, _: &Args<'_, 'py>) -> Result<Object<'py>, Exception> {
        let memory = sys::memory_of(std::process::id() as i32);
        Ok(py.tuple(&[py.int(memory.resident as i64), py.int(memory.address_space as i64)]))
    }
}

pub(super) struct Micros;

impl Function for Micros {
    type On = Api;
    const NAME: &'static CStr = c"micros";
    const DOC: &'static CStr = c"microseconds since the epoch";

    fn call<'py>(py: Py<'py>, _: &Api, _: &Args<'_, 'py>) -> Result<Object<'py>, Exception> {
        Ok(py.int(now_us() as i64))
    }
}

pub(super) struct ListenQueue;

impl Function for ListenQueue {
    type On = Api;
    const NAME: &'static CStr = c"listen_queue";
    const DOC: &'static CStr = c"listen_queue([socket]): connections that nobody has accepted";

    fn call<'py>(py: Py<'py>, this: &Api, args: &Args<'_, 'py>) -> Result<Object<'py>, Exception> {
        let [id] = args.bind(["id"])?;
        let queue = |fd: &i32| i64::from(sys::accept_queue(*fd));
        let Some(id) = id else { return Ok(py.int(this.sockets.iter().map(queue).sum())) };
        let fd = id.as_int().and_then(|id| this.sockets.get(usize::try_from(id).ok()?));
        match fd {
            Some(fd) => Ok(py.int(queue(fd))),
            None => Err(Exception::new(Kind::Value, "there is no socket of this number")),
        }
    }
}

pub(super) struct SetProcName;

impl Function for SetProcName {
    type On = Api;
    const NAME: &'static CStr = c"setprocname";
    const DOC: &'static CStr = c"setprocname(name): what ps shows of this process";

    fn call<'py>(py: Py<'py>, _: &Api, args: &Args<'_, 'py>) -> Result<Object<'py>, Exception> {
        let [name] = args.bind(["name"])?;
        let Some(name) = name else {
            return Err(Exception::new(Kind::Type, "setprocname() takes a name"));
        };
        sys::title::set(&name.to_text());
        Ok(py.none())
    }
}
