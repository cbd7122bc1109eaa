//! What an app does to the request that it runs, beyond its answer.

use std::ffi::CStr;

use super::Api;
use super::logvars::{self, text};
use crate::handoff::flag;
use crate::log;
use crate::python::{Args, Exception, Function, Kind, Object, Py};
use crate::shared::WARNING_BYTES_MAX;

pub(super) struct Disconnect;

impl Function for Disconnect {
    type On = Api;
    const NAME: &'static CStr = c"disconnect";
    const DOC: &'static CStr =
        c"disconnect(): what was written is the whole response; the app goes on without its client";

    fn call<'py>(py: Py<'py>, _: &Api, _: &Args<'_, 'py>) -> Result<Object<'py>, Exception> {
        if let Some(call) = logvars::current() {
            call.disconnect();
        }
        Ok(py.none())
    }
}

pub(super) struct LogThisRequest;

impl Function for LogThisRequest {
    type On = Api;
    const NAME: &'static CStr = c"log_this_request";
    const DOC: &'static CStr = c"log_this_request(): a line for it, also with disable-logging";

    fn call<'py>(py: Py<'py>, _: &Api, _: &Args<'_, 'py>) -> Result<Object<'py>, Exception> {
        if let Some(call) = logvars::current() {
            call.set_flags(flag::LOGGED);
        }
        Ok(py.none())
    }
}

pub(super) struct SetWarningMessage;

impl Function for SetWarningMessage {
    type On = Api;
    const NAME: &'static CStr = c"set_warning_message";
    const DOC: &'static CStr =
        c"set_warning_message(text): what answers a ping of the uwsgi protocol";

    fn call<'py>(py: Py<'py>, this: &Api, args: &Args<'_, 'py>) -> Result<Object<'py>, Exception> {
        let [message] = args.bind(["message"])?;
        let Some(message) = message.and_then(Object::as_utf8) else {
            return Err(Exception::new(Kind::Type, "set_warning_message() takes a str"));
        };
        if message.len() > WARNING_BYTES_MAX {
            log::line(format_args!(
                "- warning message must be max {WARNING_BYTES_MAX} chars, it will be truncated -"
            ));
        }
        this.board.set_warning(message.as_bytes());
        Ok(py.bool(true))
    }
}

pub(super) struct Alarm;

impl Function for Alarm {
    type On = Api;
    const NAME: &'static CStr = c"alarm";
    const DOC: &'static CStr = c"alarm(name, text): raises an alarm of the configuration";

    fn call<'py>(py: Py<'py>, _: &Api, args: &Args<'_, 'py>) -> Result<Object<'py>, Exception> {
        let [name, message] = args.bind(["name", "text"])?;
        log::alarm(&text(name)?, &text(message)?);
        Ok(py.none())
    }
}
