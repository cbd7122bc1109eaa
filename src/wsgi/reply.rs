//! `Reply`: the response of the request that runs, from start_response to the last byte.
//!
//! One `Reply` serves one request after another; it is the Rust side of `start_response` and of the
//! `write` callable that it returns (PEP 3333).

use std::cell::RefCell;
use std::ffi::CStr;
use std::fs::File;
use std::sync::Arc;

use super::gzip::Encoding;
use super::headers::{self, Framing};
use crate::handoff::{App, Call, ResponseHead, flag};
use crate::python::{Args, Exception, Function, Home, Kept, Kind, Object, Py, Type};
use crate::response::{Amendment, Date};
use crate::sys::warm::Warm;

/// Bodies from this size on are handed to the shard as they are, when it shares our memory.
pub(super) const LARGE_BYTES: usize = 16 * 1024;
/// uWSGI: `response-headers-limit`. A head must fit the slot's window with room to spare.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// The state of the response.
#[derive(Default)]
pub(super) struct State {
    pub(super) call: Option<Call>,
    home: Home,
    strict: bool,
    pub(super) amendment: Arc<Amendment>,
    /// Status and header lines, ready to be sent.
    pub(super) head: Vec<u8>,
    pub(super) framing: Framing,
    pub(super) encoding: Encoding,
    started: bool,
    pub(super) sent: bool,
    /// The client asked with HEAD.
    is_head: bool,
    /// The client must not get a body (HEAD, 1xx, 204, 304).
    pub(super) bodiless: bool,
    /// The `write` that start_response returns, a method of this very object.
    write: Option<Kept>,
    /// Body bytes that the app gave.
    pub(super) written: u64,
    pub(super) surplus: bool,
    /// The shard knows that the response is whole.
    pub(super) whole: bool,
    /// Requests take long here (`Call::may_send`).
    pub(super) is_slow: bool,
    /// Bytes of the head in the output window.
    pub(super) head_len: usize,
    /// A response that goes out from here.
    pub(super) out: Vec<u8>,
    pub(super) date: Date,
    /// Files that were sent a short time ago.
    pub(super) warm: Warm,
}

/// The Rust value behind `start_response` and `write`.
pub struct Reply(pub(super) RefCell<State>);

/// What became of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Complete,
    /// Fewer bytes than the app promised.
    Short {
        promised: u64,
        written: u64,
    },
}

impl Reply {
    /// A reply that no request uses yet. `strict` is uWSGI's `wsgi-strict`.
    pub fn new(home: &Home, strict: bool, amendment: &Arc<Amendment>) -> Reply {
        let (home, amendment) = (home.clone(), Arc::clone(amendment));
        Reply(RefCell::new(State { home, strict, amendment, ..State::default() }))
    }

    /// The Python type whose instances hold a `Reply`.
    ///
    /// # Errors
    /// What Python raised.
    pub fn class(py: Py<'_>) -> Result<Type<Reply>, Exception> {
        let methods = vec![Type::method::<StartResponse>(), Type::method::<Write>()];
        Type::new(py, c"uwring.Reply", methods, None)
    }

    /// Sets the `write` that start_response returns; None breaks the cycle that it makes.
    pub fn set_write(&self, write: Option<Kept>) {
        let old = std::mem::replace(&mut self.0.borrow_mut().write, write);
        drop(old);
    }

    /// Whether the app kept the `write` of the last request.
    pub fn is_kept(&self, py: Py<'_>) -> bool {
        self.0.borrow().write.as_ref().is_some_and(|write| write.get(py).references() > 1)
    }

    /// Begins with a new request.
    pub fn begin(&self, call: Call, is_head: bool, is_slow: bool) {
        let mut state = self.0.borrow_mut();
        state.call = Some(call);
        state.head.clear();
        (state.framing, state.encoding) = (Framing::default(), Encoding::Identity);
        (state.started, state.sent, state.surplus) = (false, false, false);
        (state.whole, state.is_slow, state.written) = (false, is_slow, 0);
        (state.is_head, state.bodiless) = (is_head, is_head);
    }

    /// Whether the app has called start_response.
    pub fn is_started(&self) -> bool {
        self.0.borrow().started
    }

    /// Whether the head went out.
    pub fn is_sent(&self) -> bool {
        self.0.borrow().sent
    }

    /// Whether the app gave its own Content-Length.
    pub fn has_length(&self) -> bool {
        self.0.borrow().framing.length.is_some()
    }

    /// Says how long the body will be, when the app did not and its result tells.
    pub fn expect_length(&self, length: u64) {
        let mut state = self.0.borrow_mut();
        if state.framing.length.is_none() && !state.bodiless && !state.sent {
            state.framing.length = Some(length);
            state.framing.flags |= flag::LENGTH_KNOWN;
        }
    }

    /// Sends one piece of the body, the head before it if need be.
    ///
    /// # Errors
    /// OSError when the client is gone.
    pub fn body(&self, py: Py<'_>, piece: &Object<'_>) -> Result<(), Exception> {
        let Some(bytes) = piece.as_bytes() else {
            return Err(Exception::new(Kind::Type, "BUG: a body piece is bytes"));
        };
        let call = self.current()?;
        if call.has_left() {
            return Err(write_error());
        }
        self.send_head(py, &call)?;
        let (bytes, cut) = self.count(bytes);
        if bytes.is_empty() {
            return if call.is_cancelled() { Err(write_error()) } else { Ok(()) };
        }
        if !matches!(self.0.borrow().encoding, Encoding::Identity) {
            return self.compress(py, &call, bytes);
        }
        let sent = if cut { 0 } else { self.send_piece(py, &call, bytes) };
        let bytes = &bytes[sent..];
        if bytes.is_empty() {
            return Ok(());
        }
        if bytes.len() >= LARGE_BYTES && call.shares_memory() && !cut {
            let home = self.0.borrow().home.clone();
            if let Some(large) = piece.pin(&home) {
                let mut large = large.slice(sent..);
                while let Err(back) = call.write_large(large) {
                    large = back;
                    wait(py, &call)?;
                }
                return Ok(());
            }
        }
        write_all(py, &call, bytes)
    }

    /// Counts what the app gave and returns what of it may be sent: not more than was promised.
    fn count<'b>(&self, bytes: &'b [u8]) -> (&'b [u8], bool) {
        let mut state = self.0.borrow_mut();
        let before = state.written;
        state.written += bytes.len() as u64;
        if state.bodiless {
            return (&[], true);
        }
        let Some(length) = state.framing.length else { return (bytes, false) };
        let room = length.saturating_sub(before);
        if bytes.len() as u64 <= room {
            return (bytes, false);
        }
        state.surplus = true;
        (&bytes[..room as usize], true)
    }

    /// Sends the head if it has not gone out.
    fn send_head(&self, py: Py<'_>, call: &Call) -> Result<(), Exception> {
        let mut state = self.0.borrow_mut();
        if state.sent {
            return Ok(());
        }
        if !state.started {
            let message = "the app gave a body before it called start_response";
            return Err(Exception::new(Kind::Assertion, message));
        }
        state.sent = true;
        state.choose_encoding(call);
        let head = ResponseHead {
            head_len: state.head.len() as u32,
            status: state.framing.status,
            headers: state.framing.headers,
            length: state.framing.length,
            flags: state.framing.flags,
        };
        let bytes = std::mem::take(&mut state.head);
        state.head_len = bytes.len();
        drop(state);
        let result = write_all(py, call, &bytes);
        call.set_head(head);
        self.0.borrow_mut().head = bytes;
        result
    }

    /// Leaves a file as the whole body: `len` bytes from `offset`.
    ///
    /// # Errors
    /// As `body`.
    pub fn file(&self, py: Py<'_>, file: File, offset: u64, len: u64) -> Result<(), Exception> {
        let call = self.current()?;
        if call.has_left() {
            return Err(write_error());
        }
        self.expect_length(len);
        self.send_head(py, &call)?;
        let mut state = self.0.borrow_mut();
        let len = state.framing.length.map_or(len, |length| len.min(length));
        state.written = len;
        let range = offset..offset + if state.bodiless { 0 } else { len };
        drop(state);
        self.send_file(py, &call, file, range)
            .map_err(|error| Exception::new(Kind::Os, error.to_string()))
    }

    /// Tells the shard what was written so far. A body that has all its bytes goes out as a whole:
    /// what the app still does in its iterable's end and close() is none of the client's waiting.
    pub fn publish(&self) {
        let mut state = self.0.borrow_mut();
        let Some(call) = state.call.filter(|call| !call.has_left()) else { return };
        let is_whole = state.framing.length.is_some_and(|length| state.written >= length);
        if !is_whole || state.bodiless {
            return call.publish();
        }
        if !std::mem::replace(&mut state.whole, true) && !state.send(&call, App::Runs) {
            call.publish_whole();
        }
    }

    /// Whether more of the body would be thrown away.
    pub fn is_full(&self) -> bool {
        let state = self.0.borrow();
        state.bodiless || state.surplus
    }

    /// Completes a response whose app is done; `finish` then ends the request.
    ///
    /// # Errors
    /// AssertionError if the app never called start_response.
    pub fn complete(&self, py: Py<'_>) -> Result<Outcome, Exception> {
        let call = self.current()?;
        if call.has_left() {
            return Ok(Outcome::Complete);
        }
        if !self.is_sent() {
            let state = self.0.borrow();
            let allowed = state.started && state.framing.length.is_none() && !state.bodiless;
            drop(state);
            if allowed {
                self.expect_length(0);
            }
        }
        self.send_head(py, &call)?;
        self.end_encoding(py)?;
        let state = self.0.borrow();
        let outcome = match state.framing.length {
            Some(promised) if !state.bodiless && state.written < promised => {
                call.set_flags(flag::CUT);
                Outcome::Short { promised, written: state.written }
            }
            _ => Outcome::Complete,
        };
        Ok(outcome)
    }

    /// Ends the request: its head and its slot may not be used any more.
    pub fn finish(&self) {
        let mut state = self.0.borrow_mut();
        let Some(call) = state.call else { return };
        if state.whole || call.has_left() {
            call.finish_quietly();
        // A late request must be given back too.
        } else if !call.is_current() || !state.send(&call, App::Ended) {
            call.finish();
        }
    }

    /// Ends a response whose app raised: a 500 if nothing went out, else the connection is cut.
    pub fn fail(&self, py: Py<'_>, status: &CStr) {
        self.fail_with(py, status, None);
    }

    /// The same, with this body instead of the status's phrase.
    pub fn fail_with(&self, py: Py<'_>, status: &CStr, text: Option<&str>) {
        let Some(call) = self.0.borrow().call else { return };
        if !call.is_current() || call.has_left() {
            return call.finish();
        }
        call.set_flags(flag::RAISED);
        let mut state = self.0.borrow_mut();
        if state.sent {
            call.set_flags(flag::CUT);
        } else {
            let line = status.to_bytes();
            let body = text.map_or(&line[4.min(line.len())..], str::as_bytes);
            state.head.clear();
            state.head.extend_from_slice(line);
            state.head.extend_from_slice(b"\r\nContent-Type: text/plain\r\n");
            let amendment = Arc::clone(&state.amendment);
            state.head.extend_from_slice(&amendment.lines);
            state.sent = true;
            let status = line.iter().take(3).fold(0, |n, b| n * 10 + u16::from(b - b'0'));
            let head = ResponseHead {
                head_len: state.head.len() as u32,
                status,
                headers: 1 + amendment.count,
                length: Some(body.len() as u64),
                flags: flag::LENGTH_KNOWN,
            };
            let bytes = std::mem::take(&mut state.head);
            let bodiless = state.bodiless;
            drop(state);
            let _ = write_all(py, &call, &bytes);
            call.set_head(head);
            if !bodiless {
                let _ = write_all(py, &call, body);
            }
        }
        call.finish();
    }

    /// Lets go of the request.
    pub fn end(&self) {
        self.0.borrow_mut().call = None;
    }

    /// Whether the app gave more than its Content-Length, and bytes that it gave.
    pub fn surplus(&self) -> (bool, u64) {
        let state = self.0.borrow();
        (state.surplus, state.written)
    }

    fn current(&self) -> Result<Call, Exception> {
        let call = self.0.borrow().call.filter(Call::is_current);
        call.ok_or_else(|| Exception::new(Kind::Runtime, "this request is over"))
    }
}

pub(super) fn write_all(py: Py<'_>, call: &Call, bytes: &[u8]) -> Result<(), Exception> {
    let mut rest = bytes;
    loop {
        let put = call.write(rest);
        rest = &rest[put..];
        if rest.is_empty() {
            return Ok(());
        }
        wait(py, call)?;
    }
}

/// uWSGI: what an app sees when it writes to a client that has gone.
fn write_error() -> Exception {
    Exception::new(Kind::Os, "write error")
}

/// Waits for room, without the GIL.
fn wait(py: Py<'_>, call: &Call) -> Result<(), Exception> {
    if call.is_cancelled() || !call.is_current() {
        return Err(write_error());
    }
    call.publish();
    py.detach(|| call.output_wait());
    // Another thread may have ended the request meanwhile, and its slot is another's now.
    if call.is_cancelled() || !call.is_current() {
        return Err(write_error());
    }
    Ok(())
}

/// `start_response(status, headers, exc_info=None)`.
struct StartResponse;

impl Function for StartResponse {
    type On = Reply;
    const NAME: &'static CStr = c"start_response";
    const DOC: &'static CStr = c"start_response(status, response_headers, exc_info=None)";

    fn call<'py>(
        py: Py<'py>,
        this: &Reply,
        args: &Args<'_, 'py>,
    ) -> Result<Object<'py>, Exception> {
        let [status, fields, exc_info] = args.bind(["status", "response_headers", "exc_info"])?;
        let (Some(status), Some(fields)) = (status, fields) else {
            let message = "start_response takes at least 2 arguments: status and headers";
            return Err(Exception::new(Kind::Type, message));
        };
        let raised = exc_info.filter(|exc_info| !exc_info.is_none());
        this.current()?;
        let mut state = this.0.borrow_mut();
        if let Some(raised) = raised {
            if state.sent {
                // PEP 3333: headers are out, so the error goes on its way.
                let error = raised.item(1).and_then(Exception::from_object);
                let sent = || Exception::new(Kind::Os, "headers already sent");
                return Err(error.unwrap_or_else(sent));
            }
        } else if state.sent {
            return Err(Exception::new(Kind::Os, "headers already sent"));
        } else if state.started && state.strict {
            let message = "start_response was called a second time without exc_info";
            return Err(Exception::new(Kind::Assertion, message));
        }
        let strict = state.strict;
        let State { head, amendment, .. } = &mut *state;
        head.clear();
        let framing = match headers::write_head(status, fields, strict, amendment, head) {
            Ok(framing) => framing,
            Err(error) => {
                // Not half of one head with the framing of another.
                state.head.clear();
                state.started = false;
                return Err(error);
            }
        };
        if state.head.len() > HEAD_BYTES_MAX {
            state.head.clear();
            let message = "the response's headers take more than 64 KiB";
            return Err(Exception::new(Kind::Value, message));
        }
        state.bodiless = state.is_head || matches!(framing.status, 100..=199 | 204 | 304);
        state.framing = framing;
        state.started = true;
        Ok(state.write.as_ref().map_or_else(|| py.none(), |write| write.get(py).clone()))
    }
}

/// `write(bytes)`: the imperative way that PEP 3333 keeps for old apps.
struct Write;

impl Function for Write {
    type On = Reply;
    const NAME: &'static CStr = c"write";
    const DOC: &'static CStr = c"write(body_data): sends bytes to the client at once";

    fn call<'py>(
        py: Py<'py>,
        this: &Reply,
        args: &Args<'_, 'py>,
    ) -> Result<Object<'py>, Exception> {
        let [data] = args.bind(["body_data"])?;
        let Some(data) = data.filter(|data| data.as_bytes().is_some()) else {
            return Err(Exception::new(Kind::Type, "write() takes one bytes object"));
        };
        this.body(py, data)?;
        this.flush(py)?;
        this.publish();
        Ok(py.none())
    }
}
