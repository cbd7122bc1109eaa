//! Locks across all workers, and the Rust half of uWSGI's signals (`signals.py` is the other).

use std::ffi::CStr;
use std::time::Duration;

use super::Api;
use crate::python::{Args, Exception, Function, Kind, Object, Py};
use crate::shared::Owner;

/// The lock that a call names; the first, if it names none.
fn lock_number(this: &Api, args: &Args<'_, '_>) -> Result<usize, Exception> {
    let [number] = args.bind(["number"])?;
    let number = number.map_or(Some(0), |number| usize::try_from(number.as_int()?).ok());
    number
        .filter(|&number| number < this.locks)
        .ok_or_else(|| Exception::new(Kind::Value, "Invalid lock number"))
}

pub(super) struct Lock;

impl Function for Lock {
    type On = Api;
    const NAME: &'static CStr = c"lock";
    const DOC: &'static CStr = c"lock([number]): waits until no thread of any worker has the lock";

    fn call<'py>(py: Py<'py>, this: &Api, args: &Args<'_, 'py>) -> Result<Object<'py>, Exception> {
        let number = lock_number(this, args)?;
        let owner = Owner::new(this.worker.get(), this.incarnation.get());
        let locks = this.board.locks();
        py.detach(|| locks.acquire(number, owner));
        Ok(py.none())
    }
}

pub(super) struct Unlock;

impl Function for Unlock {
    type On = Api;
    const NAME: &'static CStr = c"unlock";
    const DOC: &'static CStr = c"unlock([number]): frees the lock, whoever has it";

    fn call<'py>(py: Py<'py>, this: &Api, args: &Args<'_, 'py>) -> Result<Object<'py>, Exception> {
        this.board.locks().release(lock_number(this, args)?);
        Ok(py.none())
    }
}

pub(super) struct IsLocked;

impl Function for IsLocked {
    type On = Api;
    const NAME: &'static CStr = c"is_locked";
    const DOC: &'static CStr = c"is_locked([number]): whether somebody has the lock";

    fn call<'py>(py: Py<'py>, this: &Api, args: &Args<'_, 'py>) -> Result<Object<'py>, Exception> {
        Ok(py.bool(this.board.locks().is_held(lock_number(this, args)?)))
    }
}

pub(super) struct Raise;

impl Function for Raise {
    type On = Api;
    const NAME: &'static CStr = c"_raise";
    const DOC: &'static CStr = c"_raise(worker, signal): tells the worker (from 1) of a signal";

    fn call<'py>(py: Py<'py>, this: &Api, args: &Args<'_, 'py>) -> Result<Object<'py>, Exception> {
        let [worker, signal] = args.bind(["worker", "signal"])?;
        let worker = worker.and_then(Object::as_int).and_then(|w| usize::try_from(w).ok());
        let worker = worker.filter(|worker| (1..=this.board.workers()).contains(worker));
        let signal = signal.and_then(Object::as_int).and_then(|signal| u8::try_from(signal).ok());
        let (Some(worker), Some(signal)) = (worker, signal) else {
            return Err(Exception::new(Kind::Value, "there is no such worker or signal"));
        };
        this.board.signals().raise(worker - 1, signal);
        Ok(py.none())
    }
}

pub(super) struct Hear;

impl Function for Hear {
    type On = Api;
    const NAME: &'static CStr = c"_hear";
    const DOC: &'static CStr =
        c"_hear(milliseconds): the signals that came, after that time at most";

    fn call<'py>(py: Py<'py>, this: &Api, args: &Args<'_, 'py>) -> Result<Object<'py>, Exception> {
        let [limit] = args.bind(["limit"])?;
        let limit = limit.and_then(Object::as_int).and_then(|ms| u64::try_from(ms).ok());
        let limit = Duration::from_millis(limit.unwrap_or(0));
        let Some(index) = this.worker.get().checked_sub(1) else { return Ok(py.tuple(&[])) };
        let signals = this.board.signals();
        let heard = py.detach(|| signals.hear(index, limit));
        let heard: Vec<_> = heard.into_iter().map(|signal| py.int(i64::from(signal))).collect();
        Ok(py.tuple(&heard))
    }
}
