//! Variables that the app gives to its request's log line: `uwsgi.set_logvar()`.
//!
//! A thread serves one request at a time, so they lie in the thread and end with the request.

use std::cell::{Cell, RefCell};
use std::ffi::CStr;

use super::Api;
use crate::handoff::{Call, LOGVARS_BYTES_MAX, added_var_name};
use crate::python::{Args, Exception, Function, Kind, Object, Py};

/// More names than these of one request are not kept.
const COUNT_MAX: usize = 64;

type Pair = (Vec<u8>, Vec<u8>);

thread_local! {
    static CALL: Cell<Option<Call>> = const { Cell::new(None) };
    static LOGVARS: RefCell<Vec<Pair>> = const { RefCell::new(Vec::new()) };
}

/// Begins a new request on this thread.
pub fn begin(call: Call) {
    CALL.set(Some(call));
    LOGVARS.with_borrow_mut(|all| {
        if !all.is_empty() {
            all.clear();
        }
    });
}

/// The request that runs on this thread.
pub(super) fn current() -> Option<Call> {
    CALL.get().filter(Call::is_current)
}

/// The bytes of a str or bytes.
pub(super) fn text(value: Option<&Object<'_>>) -> Result<Vec<u8>, Exception> {
    let bytes = value.and_then(|value| match value.as_bytes() {
        Some(bytes) => Some(bytes.to_vec()),
        None => value.as_utf8().map(|text| text.as_bytes().to_vec()),
    });
    bytes.ok_or_else(|| Exception::new(Kind::Type, "names and values are str or bytes"))
}

pub(super) struct SetLogvar;

impl Function for SetLogvar {
    type On = Api;
    const NAME: &'static CStr = c"set_logvar";
    const DOC: &'static CStr = c"set_logvar(name, value): keeps it for this request's log line";

    fn call<'py>(py: Py<'py>, _: &Api, args: &Args<'_, 'py>) -> Result<Object<'py>, Exception> {
        let [name, value] = args.bind(["name", "value"])?;
        let (name, value) = (text(name)?, text(value)?);
        keep(name, value);
        Ok(py.none())
    }
}

/// Keeps a pair for the line of the request. False if there is no room.
fn keep(name: Vec<u8>, value: Vec<u8>) -> bool {
    let is_kept = LOGVARS.with_borrow_mut(|all| {
        let others = all.iter().filter(|(known, _)| *known != name);
        let bytes: usize = others.map(|(name, value)| 4 + name.len() + value.len()).sum();
        let fits = bytes + 4 + name.len() + value.len() <= LOGVARS_BYTES_MAX;
        match all.iter().position(|(known, _)| *known == name) {
            Some(at) => all[at].1 = value,
            None if all.len() < COUNT_MAX => all.push((name, value)),
            None => return false,
        }
        fits
    });
    if let Some(call) = CALL.get() {
        LOGVARS.with_borrow(|all| {
            call.set_logvars(all.iter().map(|(name, value)| (&name[..], &value[..])));
        });
    }
    is_kept
}

pub(super) struct AddVar;

impl Function for AddVar {
    type On = Api;
    const NAME: &'static CStr = c"add_var";
    const DOC: &'static CStr =
        c"add_var(name, value): a variable of the request, for `%(var.NAME)` of its log line";

    fn call<'py>(py: Py<'py>, _: &Api, args: &Args<'_, 'py>) -> Result<Object<'py>, Exception> {
        let [name, value] = args.bind(["name", "value"])?;
        if !keep(added_var_name(&text(name)?), text(value)?) {
            let message = "unable to add request var, check your buffer size";
            return Err(Exception::new(Kind::Value, message));
        }
        Ok(py.bool(true))
    }
}

pub(super) struct GetLogvar;

impl Function for GetLogvar {
    type On = Api;
    const NAME: &'static CStr = c"get_logvar";
    const DOC: &'static CStr = c"get_logvar(name): what was set in this request, bytes, or None";

    fn call<'py>(py: Py<'py>, _: &Api, args: &Args<'_, 'py>) -> Result<Object<'py>, Exception> {
        let [name] = args.bind(["name"])?;
        let name = text(name)?;
        Ok(LOGVARS.with_borrow(|all| match all.iter().find(|(known, _)| *known == name) {
            Some((_, value)) => py.bytes(value, b""),
            None => py.none(),
        }))
    }
}
