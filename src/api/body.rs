//! A chunked request body, piece by piece, past `wsgi.input`: `uwsgi.chunked_read()`.

use std::ffi::CStr;
use std::time::{Duration, Instant};

use super::{Api, logvars};
use crate::handoff::{BodyEnd, Call, flag};
use crate::python::{Args, Exception, Function, Kind, Object, Py};

/// More than this at once is not taken out of the window.
const PIECE_BYTES: usize = 64 * 1024;

/// uWSGI: waits for a piece, at most for `timeout` seconds; b"" behind the last one. What has come
/// is one piece, however it was cut into chunks.
pub(super) struct ChunkedRead;

impl Function for ChunkedRead {
    type On = Api;
    const NAME: &'static CStr = c"chunked_read";
    const DOC: &'static CStr =
        c"chunked_read([timeout]): what has come of a chunked body, bytes; b'' at its end";

    fn call<'py>(py: Py<'py>, _: &Api, args: &Args<'_, 'py>) -> Result<Object<'py>, Exception> {
        let [timeout] = args.bind(["timeout"])?;
        let seconds = timeout.and_then(Object::as_int).filter(|&seconds| seconds > 0);
        let limit = seconds.map(|seconds| Duration::from_secs(seconds.unsigned_abs()));
        // One beyond the clock's end is none.
        let until = limit.and_then(|limit| Instant::now().checked_add(limit));
        let call = chunked_call()?;
        loop {
            if let Some(piece) = piece(py, &call)? {
                return Ok(piece);
            }
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return Err(not_received());
            }
            py.detach(|| call.body_wait_for(1, left.unwrap_or(Duration::MAX)));
        }
    }
}

/// uWSGI: the same without waiting; None while nothing is here.
pub(super) struct ChunkedReadNow;

impl Function for ChunkedReadNow {
    type On = Api;
    const NAME: &'static CStr = c"chunked_read_nb";
    const DOC: &'static CStr = c"chunked_read_nb(): as chunked_read(), but None instead of waiting";

    fn call<'py>(py: Py<'py>, _: &Api, _: &Args<'_, 'py>) -> Result<Object<'py>, Exception> {
        Ok(piece(py, &chunked_call()?)?.unwrap_or_else(|| py.none()))
    }
}

/// The request that runs, if its body is in the window.
fn chunked_call() -> Result<Call, Exception> {
    let call = logvars::current().filter(|call| !call.head().has(flag::SPOOLED));
    call.ok_or_else(not_received)
}

/// What is here; empty at the end, None before it.
fn piece<'py>(py: Py<'py>, call: &Call) -> Result<Option<Object<'py>>, Exception> {
    if !call.is_current() {
        return Err(not_received());
    }
    if call.body_len() == Some(0) {
        return Ok(Some(py.bytes(b"", b"")));
    }
    // The end is asked for before the bytes: it is set after the last of them.
    let end = call.body_end();
    let (first, second) = call.body_parts(PIECE_BYTES);
    let len = first.len() + second.len();
    match end {
        _ if len > 0 => {
            let bytes = py.bytes(first, second);
            call.body_consume(len);
            Ok(Some(bytes))
        }
        None => Ok(None),
        Some(BodyEnd::Complete) => Ok(Some(py.bytes(b"", b""))),
        Some(BodyEnd::Aborted | BodyEnd::TimedOut) => Err(not_received()),
    }
}

/// In uWSGI's words.
fn not_received() -> Exception {
    Exception::new(Kind::Os, "unable to receive chunked part")
}
