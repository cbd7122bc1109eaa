//! Runs the app for one request: environ, the call, the body, close().

use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::environ::{Builder, Fixed};
use super::input::Input;
use super::reply::{Outcome, Reply};
use super::worker::{Loaded, Plan};
use crate::handoff::{Call, Head, SLOW_APP_US, Seat, close_to_interrupts, flag};
use crate::log;
use crate::options::OnException;
use crate::python::{Exception, Kept, KeptNative, Kind, Object, Py};
use crate::response::Amendment;
use crate::shared::{Board, Row, app as app_row, core, worker};

/// What one worker thread keeps from request to request.
pub struct Local<'l> {
    loaded: &'l Loaded,
    worker: Row,
    core: Row,
    board: &'static Board,
    index: usize,
    /// The running request's, where there are several.
    app: Option<usize>,
    thread: usize,
    strict: bool,
    lone: bool,
    builder: Builder,
    reply: Responder,
    amendment: Arc<Amendment>,
    no_body: Kept,
    close: Kept,
    on_exception: OnException,
    catch_exceptions: bool,
    incarnation: u32,
}

/// A `Reply` and the bound `start_response` of it.
struct Responder {
    reply: KeptNative<Reply>,
    start: Kept,
}

impl Responder {
    fn new(
        py: Py<'_>,
        loaded: &Loaded,
        strict: bool,
        amendment: &Arc<Amendment>,
    ) -> Result<Responder, Exception> {
        let reply = loaded.classes.reply.instance(py, Reply::new(&loaded.home, strict, amendment));
        let start = reply.as_object().attribute(&py.interned("start_response"))?.keep();
        let write = reply.as_object().attribute(&py.interned("write"))?.keep();
        reply.value().set_write(Some(write));
        Ok(Responder { reply: reply.keep(), start })
    }
}

impl<'l> Local<'l> {
    /// Makes the thread's own objects.
    ///
    /// # Errors
    /// What Python raised.
    pub fn new(
        py: Py<'_>,
        plan: &Plan,
        seat: &Seat,
        loaded: &'l Loaded,
    ) -> Result<Local<'l>, Exception> {
        let errors = py.import("sys")?.attribute(&py.interned("stderr"))?;
        let threads = plan.board.threads();
        let fixed = Fixed { core: (threads > 1).then(|| seat.thread()), ..plan.fixed.clone() };
        let no_body = loaded.classes.input.instance(py, Input::empty()).into_object();
        let maker = loaded.classes.maker.as_ref().map(|maker| maker.get(py));
        Ok(Local {
            loaded,
            worker: plan.board.worker(seat.worker()),
            core: plan.board.core(seat.worker(), seat.thread()),
            board: plan.board,
            index: seat.worker(),
            app: None,
            thread: seat.thread(),
            strict: plan.strict,
            lone: threads == 1,
            builder: Builder::new(py, &fixed, &errors, &no_body, maker),
            reply: Responder::new(py, loaded, plan.strict, &plan.amendment)?,
            amendment: Arc::clone(&plan.amendment),
            no_body: no_body.keep(),
            close: py.interned("close").keep(),
            on_exception: plan.on_exception.clone(),
            catch_exceptions: plan.catch_exceptions,
            incarnation: seat.incarnation(),
        })
    }

    /// Requests that this thread has served.
    pub fn requests(&self) -> u64 {
        self.core.get(core::REQUESTS)
    }

    /// Serves one request from its head to its last byte.
    pub fn run(&mut self, py: Py<'_>, call: Call, start: Instant) {
        crate::api::begin_logvars(call);
        self.app = None;
        self.core.set(core::IN_REQUEST, 1);
        self.core.set(core::REQUEST_START, call.arrived_us() / 1_000_000);
        self.core.bump(core::REQUESTS, 1);
        let number = self.worker.bump(worker::REQUESTS, 1);
        if number == self.worker.get(worker::RING_AT) {
            call.ring_control();
        }
        call.sign(self.index, self.thread, number);
        let head = call.head();
        let is_slow = self.worker.get(worker::AVG_RT_US) >= SLOW_APP_US;
        self.reply.reply.value(py).begin(call, head.method() == b"HEAD", is_slow);
        if let Err(error) = self.answer(py, &call, &head) {
            self.fail(py, &call, &error);
        }
        self.reply.reply.value(py).end();
        self.renew(py);
        self.core.set(core::IN_REQUEST, 0);
        let micros = start.elapsed().as_micros() as u64;
        self.worker.bump(worker::RUNNING_US, micros);
        let average = self.worker.get(worker::AVG_RT_US);
        self.worker.set(worker::AVG_RT_US, (average + micros) / 2);
    }

    fn answer(&mut self, py: Py<'_>, call: &Call, head: &Head<'_>) -> Result<(), Exception> {
        let loaded = self.loaded;
        let input = self.input(py, call, head)?;
        let environ = self.builder.build(py, call, head, &input);
        let chosen = match &loaded.mounts {
            None => Some(0),
            Some(mounts) => mounts.choose(py, &environ),
        };
        let Some(app) = chosen.and_then(|app| loaded.apps.get(app)) else {
            call.sign_app(None);
            log::line(format_args!(
                "--- no python application found, check your startup logs for errors ---"
            ));
            self.reply.reply.value(py).fail(py, c"500 Internal Server Error");
            return Ok(());
        };
        if loaded.mounts.is_some() {
            self.count_app(call, chosen);
        }
        let environ = environ.into_object();
        if self.lone {
            self.loaded.module.set_environ(py, Some(environ.clone().keep()));
        }
        let reply = self.reply.reply.value(py);
        let result = app.get(py).call([&environ, self.reply.start.get(py)]);
        self.end_child(py, result.as_ref().err());
        let result = result?;
        let sent = self.send(py, reply, &result);
        // PEP 3333: close() is called whatever happened, before the request counts as over.
        let closed = self.close(py, &result);
        sent?;
        let outcome = match closed {
            Ok(()) => reply.complete(py)?,
            Err(error) if !reply.is_sent() => return Err(error),
            Err(error) => {
                shut_out_harakiri(py);
                log::line(format_args!("{}", error.traceback(py).trim_end()));
                reply.complete(py)?
            }
        };
        self.tell_dishonest_lengths(reply, outcome, head);
        reply.finish();
        Ok(())
    }

    /// A process that the app forked comes back like the worker itself. It ends here, before it
    /// touches what only the worker has: the answer is its parent's.
    fn end_child(&self, py: Py<'_>, error: Option<&Exception>) {
        if crate::sys::harmless::is_apps_child() {
            self.loaded.boot.end_child(py, error.and_then(|error| error.object(py)));
        }
    }

    /// Counts the request for its app, one of several.
    fn count_app(&mut self, call: &Call, app: Option<usize>) {
        self.app = app;
        if let Some(row) = app.and_then(|app| self.board.app(self.index, app)) {
            let number = row.bump(app_row::REQUESTS, 1);
            call.sign_app(app.map(|app| (app, number)));
        }
    }

    /// The request's `wsgi.input`.
    fn input<'py>(
        &self,
        py: Py<'py>,
        call: &Call,
        head: &Head<'_>,
    ) -> Result<Object<'py>, Exception> {
        if call.body_len() == Some(0) {
            return Ok(self.no_body.get(py).clone());
        }
        let input = if head.has(flag::SPOOLED) {
            let (path, _) = call.body_parts(4096);
            let path = std::ffi::OsStr::from_bytes(path);
            let file = File::open(path).map_err(|error| {
                Exception::new(Kind::Os, format!("the buffered request body: {error}"))
            })?;
            Input::file(file)
        } else {
            Input::window(*call)
        };
        Ok(self.loaded.classes.input.instance(py, input).into_object())
    }

    /// Sends the app's result.
    fn send(&self, py: Py<'_>, reply: &Reply, result: &Object<'_>) -> Result<(), Exception> {
        let wrapper = self.loaded.classes.file_wrapper.value_of(result);
        // After write() the head is out, and the file is one piece of the body among others.
        let file = wrapper
            .filter(|_| !reply.is_sent() && !reply.will_compress())
            .and_then(|wrapper| wrapper.real_file(py));
        if let Some(file) = file {
            let copy = crate::sys::duplicate(file.fd)
                .map_err(|error| Exception::new(Kind::Os, error.to_string()))?;
            // The shard owns the copy from here on, and the worker is free.
            return reply.file(py, copy.into(), file.offset, file.len);
        }
        if result.as_bytes().is_some() && !self.strict {
            return self.send_items(py, reply, std::slice::from_ref(result));
        }
        if let Some(count) = result.sequence_len() {
            if count == 1
                && let Some(only) = result.item(0)
            {
                return self.send_items(py, reply, std::slice::from_ref(&only));
            }
            let items: Vec<_> = (0..count).filter_map(|index| result.item(index)).collect();
            return self.send_items(py, reply, &items);
        }
        let iterator = result.iterate()?;
        if iterator.iterates_what_is_here() {
            // As Django's responses do. Nothing is delayed by taking all of it at once.
            let mut items = Vec::new();
            while let Some(item) = iterator.next_item()? {
                items.push(item);
            }
            self.send_items(py, reply, &items)?;
            reply.publish();
            return Ok(());
        }
        loop {
            let item = iterator.next_item();
            self.end_child(py, item.as_ref().err());
            let Some(item) = item? else { break };
            let Some(piece) = self.piece(item)? else { continue };
            reply.body(py, &piece)?;
            reply.flush(py)?;
            reply.publish();
            if reply.is_full() {
                break; // A HEAD of an endless generator must not hold the worker.
            }
        }
        Ok(())
    }

    /// Sends a body that is all here: its length is known.
    fn send_items<'py>(
        &self,
        py: Py<'py>,
        reply: &Reply,
        items: &[Object<'py>],
    ) -> Result<(), Exception> {
        if let [only] = items
            && let Some(bytes) = only.as_bytes()
        {
            if bytes.is_empty() {
                return Ok(());
            }
            reply.expect_length(bytes.len() as u64);
            return reply.body(py, only);
        }
        let mut pieces = Vec::with_capacity(items.len());
        for item in items {
            pieces.extend(self.piece(item.clone())?);
        }
        let total = pieces.iter().filter_map(Object::as_bytes).map(|b| b.len() as u64).sum();
        if total > 0 {
            reply.expect_length(total);
        }
        pieces.iter().try_for_each(|piece| reply.body(py, piece))
    }

    /// One item of the app's result as bytes; None for what is skipped.
    fn piece<'py>(&self, item: Object<'py>) -> Result<Option<Object<'py>>, Exception> {
        if let Some(bytes) = item.as_bytes() {
            let is_empty = bytes.is_empty();
            return Ok((!is_empty).then_some(item));
        }
        if item.is_none() && !self.strict {
            return Ok(None); // uWSGI: None is skipped silently.
        }
        if item.is_str() && !self.strict {
            warn_of_str();
            let encoded = item.call_method("encode", [])?;
            let is_empty = encoded.as_bytes().is_none_or(<[u8]>::is_empty);
            return Ok((!is_empty).then_some(encoded));
        }
        let message = format!("the app's iterable gave {}, not bytes", item.type_name());
        Err(Exception::new(Kind::Type, message))
    }

    fn close(&self, py: Py<'_>, result: &Object<'_>) -> Result<(), Exception> {
        if result.sequence_len().is_some() || result.as_bytes().is_some() {
            return Ok(());
        }
        match result.attribute_if_any(self.close.get(py))? {
            Some(close) => close.call([]).map(drop),
            None => Ok(()),
        }
    }

    /// Answers for an app that raised, and writes its traceback once.
    fn fail(&self, py: Py<'_>, call: &Call, error: &Exception) {
        shut_out_harakiri(py);
        let mut shown = None;
        self.worker.bump(worker::EXCEPTIONS, 1);
        if let Some(row) = self.app.and_then(|app| self.board.app(self.index, app)) {
            row.bump(app_row::EXCEPTIONS, 1);
        }
        if (call.is_cancelled() || call.has_left()) && error.is(py, Kind::Os) {
            // The client left; what the app saw of it is no error of the app.
            self.core.bump(core::WRITE_ERRORS, 1);
        } else {
            let traceback = error.traceback(py);
            log::line(format_args!("{}", traceback.trim_end()));
            self.renounce(py, call, error);
            shown = self.catch_exceptions.then_some(traceback);
        }
        let reply = self.reply.reply.value(py);
        reply.fail_with(py, c"500 Internal Server Error", shown.as_deref());
    }

    /// uWSGI: `reload-on-exception` and its like replace the worker.
    fn renounce(&self, py: Py<'_>, call: &Call, error: &Exception) {
        let on = &self.on_exception;
        if *on == OnException::default() || !call.is_current() {
            return;
        }
        let object = error.object(py);
        let is_one = |wanted: &[String], text: fn(&Object<'_>) -> String| {
            !wanted.is_empty() && object.is_some_and(|object| wanted.contains(&text(object)))
        };
        if on.any
            || is_one(&on.types, |object| object.type_name())
            || is_one(&on.values, |object| object.to_text())
            || is_one(&on.reprs, |object| object.to_repr())
        {
            log::line(format_args!(
                "... monitored exception detected, respawning worker {} (pid: {})...",
                self.index + 1,
                std::process::id()
            ));
            self.worker.set(worker::UNWANTED, u64::from(self.incarnation));
            call.ring_control();
        }
    }

    fn tell_dishonest_lengths(&self, reply: &Reply, outcome: Outcome, head: &Head<'_>) {
        let target = || log::shown(head.target());
        if let Outcome::Short { promised, written } = outcome {
            log::line(format_args!(
                "the app promised {promised} bytes and gave {written} for {}: the connection is \
                 closed so that the client can tell",
                target()
            ));
        }
        if let (true, written) = reply.surplus() {
            log::line(format_args!(
                "the app gave {written} bytes for {}, more than its Content-Length: the surplus \
                 is dropped",
                target()
            ));
        }
    }

    /// Makes a new responder if the app kept the old one beyond its request.
    fn renew(&mut self, py: Py<'_>) {
        let is_kept = self.reply.reply.value(py).is_kept(py);
        if self.reply.start.get(py).references() == 1 && !is_kept {
            return;
        }
        self.reply.reply.value(py).set_write(None);
        if let Ok(reply) = Responder::new(py, self.loaded, self.strict, &self.amendment) {
            self.reply = reply;
        }
    }
}

/// The app is through: an exception for it would only meet what tells of the last one.
fn shut_out_harakiri(py: Py<'_>) {
    if close_to_interrupts() {
        py.forget_interrupt();
    }
}

fn warn_of_str() {
    static WARNED: AtomicBool = AtomicBool::new(false);
    if !WARNED.swap(true, Ordering::Relaxed) {
        log::line(format_args!(
            "the app returned str where PEP 3333 wants bytes: it is sent as UTF-8; write b\"...\" or \
             .encode() to mend it (said once)"
        ));
    }
}
