//! A worker: the interpreter's side of it (`Loaded`), and the loop of each of its threads
//! (`serve`).

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::app::{Boot, LoadError, Pace, Place};
use super::call::Local;
use super::environ::Fixed;
use super::file_wrapper::{FileWrapper, Maker};
use super::input::Input;
use super::mount::Mounts;
use super::reply::Reply;
use crate::api::{Facts, Module};
use crate::handoff::{Handoff, Seat, Taken};
use crate::options::Gc;
use crate::options::OnException;
use crate::python::{Exception, Home, Kept, Py, Thread, Type};
use crate::response::Amendment;
use crate::shared::{Board, core, now_us, worker};

/// Requests of a thread after which a managed collector is asked: with nothing to do, and while
/// more wait.
const IDLE_REQUESTS: u64 = 16;
const BUSY_REQUESTS: u64 = 256;
/// How long a thread runs requests while others of its interpreter may wait for the GIL: to hand it
/// over costs as much as a small request. Whoever waits on another core may not be fast enough to
/// get it then, and gets it after Python's own 5 ms.
const TURN: Duration = Duration::from_millis(1);
/// How long an idle thread sleeps before it looks around by itself.
const IDLE: Duration = Duration::from_secs(5);

/// What all workers are made from.
#[derive(Clone)]
pub struct Plan {
    pub handoff: &'static Handoff,
    pub board: &'static Board,
    pub place: Place,
    pub fixed: Fixed,
    pub facts: Facts,
    /// uWSGI: `wsgi-strict`.
    pub strict: bool,
    /// uWSGI: `wsgi-disable-file-wrapper` makes it false.
    pub file_wrapper: bool,
    pub gc: Gc,
    /// Bytes of address space of a worker process, beside what it shares with the server.
    pub limit_as: Option<u64>,
    /// After which exceptions the worker is replaced.
    pub on_exception: OnException,
    /// The client gets the traceback. uWSGI: `catch-exceptions`.
    pub catch_exceptions: bool,
    /// What is done to the fields of all responses.
    pub amendment: Arc<Amendment>,
}

/// An interpreter with the app in it, shared by the threads of its worker.
pub struct Loaded {
    pub boot: Boot,
    pub module: Module,
    /// In the order of `Place::apps`; fewer where one could not be loaded.
    pub apps: Vec<Kept>,
    pub mounts: Option<Mounts>,
    pub home: Home,
    pub classes: Classes,
}

/// The interpreter's own types.
pub struct Classes {
    pub input: Type<Input>,
    pub reply: Type<Reply>,
    pub file_wrapper: Arc<Type<FileWrapper>>,
    pub maker: Option<Kept>,
}

impl Loaded {
    /// Prepares an interpreter and loads the app. `worker` is its number from 1, 0 in the spawner.
    ///
    /// # Errors
    /// What Python raised while being prepared. A missing app is no error here: `Loaded::app`.
    pub fn new(
        py: Py<'_>,
        plan: &Plan,
        worker: usize,
    ) -> Result<(Loaded, Option<LoadError>), Exception> {
        let boot = Boot::prepare(py, &plan.place)?;
        let module = Module::install(py, &plan.facts, plan.board)?;
        module.set_worker(py, worker);
        let file_wrapper = Arc::new(FileWrapper::class(py)?);
        let maker = match plan.file_wrapper {
            true => Some(Maker::callable(py, Arc::clone(&file_wrapper))?.keep()),
            false => None,
        };
        let classes =
            Classes { input: Input::class(py)?, reply: Reply::class(py)?, file_wrapper, maker };
        let mounts = Mounts::new(py, &plan.place.apps, plan.place.rule);
        let home = Home::default();
        let mut loaded = Loaded { boot, module, apps: Vec::new(), mounts, home, classes };
        let error = loaded.load(py, plan).err();
        if plan.gc != Gc::Python {
            loaded.boot.freeze(py);
        }
        if plan.gc == Gc::Managed {
            loaded.boot.manage_collector(py);
        }
        Ok((loaded, error))
    }

    fn load(&mut self, py: Py<'_>, plan: &Plan) -> Result<(), LoadError> {
        self.boot.import(py, &plan.place)?;
        for app in &plan.place.apps {
            self.apps.push(self.boot.load(py, &plan.place, app)?);
        }
        Ok(())
    }

    /// Whether all apps are here, and there is one.
    pub fn is_whole(&self, plan: &Plan) -> bool {
        !self.apps.is_empty() && self.apps.len() == plan.place.apps.len()
    }

    /// Tells of the extension modules that refuse this interpreter, now and later.
    pub fn watch_refusals(&self, py: Py<'_>, plan: &Plan) {
        if let Err(error) = super::refusal::watch(py, plan, &self.boot) {
            crate::log::line(format_args!("{}", error.traceback(py).trim_end()));
        }
    }

    /// Raises an exception in the thread that runs `running`, if that is late and not over.
    pub fn interrupt(&self, py: Py<'_>, running: &Taken) {
        self.module.interrupt(py, running);
    }

    /// Tells the app that it is in worker `number` (from 1) now: `post_fork_hook`.
    pub fn enter_worker(&self, py: Py<'_>, number: usize) {
        if let Err(error) = self.module.after_fork(py, number) {
            crate::log::line(format_args!("{}", error.traceback(py).trim_end()));
        }
    }
}

/// Fills a worker's row when it begins.
pub fn announce(plan: &Plan, index: usize, incarnation: u32, loaded: &Loaded) {
    let row = plan.board.worker(index);
    row.set(worker::INCARNATION, u64::from(incarnation));
    row.set(worker::LAST_SPAWN, now_us() / 1_000_000);
    row.set(worker::HAS_APP, u64::from(loaded.is_whole(plan)));
    row.add(worker::SPAWNS, 1);
}

/// Serves requests on this thread until the worker is asked to leave.
///
/// # Errors
/// What Python raised while the thread's own objects were made.
fn serve(plan: &Plan, thread: &Thread, seat: &Seat, loaded: &Loaded) -> Result<(), String> {
    let _end = EndOnPanic;
    let local = thread.attach(|py| {
        let named = loaded.boot.name_thread(py, seat.worker() + 1, seat.thread());
        let local = named.and_then(|()| Local::new(py, plan, seat, loaded));
        local.map_err(|error| error.traceback(py))
    });
    let mut local = local?;
    seat.sit(thread.ident());
    plan.board
        .core(seat.worker(), seat.thread())
        .set(core::THREAD_ID, crate::sys::thread_id() as u64);
    if seat.thread() == 0 {
        // Not before: a predecessor may still serve.
        plan.board.worker(seat.worker()).set(worker::PID, u64::from(std::process::id()));
        plan.board.worker(seat.worker()).set(worker::READY, u64::from(seat.incarnation()));
        plan.handoff.ring_control();
    }
    let several = plan.board.threads() > 1;
    let is_managed = plan.gc == Gc::Managed;
    let mut tidied = local.requests();
    while !seat.stopping() {
        if !seat.has_work() {
            if is_managed && local.requests() >= tidied + IDLE_REQUESTS {
                tidied = local.requests();
                thread.attach(|py| loaded.boot.tidy(py, Pace::Idle));
                continue;
            }
            if seat.sleep(IDLE) {
                // A signal ended the sleep: the app's handler for it runs here, if it has one.
                thread.attach(|py| {
                    if let Err(error) = py.check_signals() {
                        crate::log::line(format_args!("{}", error.traceback(py).trim_end()));
                    }
                });
            }
            if !loaded.home.is_empty() {
                thread.attach(|py| loaded.home.clear(py));
            }
            continue;
        }
        if is_managed && local.requests() >= tidied + BUSY_REQUESTS {
            tidied = local.requests();
            thread.attach(|py| loaded.boot.tidy(py, Pace::Busy));
        }
        seat.begin_waking();
        let alone = thread.attach(|py| {
            seat.end_waking();
            run_batch(py, seat, loaded, several, &mut local)
        });
        if !alone {
            // Others of this interpreter wait for the GIL: without this they would wait for long.
            crate::sys::yield_now();
        }
    }
    seat.leave();
    thread.attach(|_py| drop(local));
    Ok(())
}

/// A panic in a worker's own code, outside of what Python called, has left a request and perhaps an
/// interpreter in an unknown state: the process ends, and whoever watches it starts another.
struct EndOnPanic;

impl Drop for EndOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            crate::log::line(format_args!("BUG: a worker panicked, its process ends"));
            crate::sys::exit_now(101);
        }
    }
}

/// Runs requests while there are any, for a turn's time if the interpreter has other threads.
/// Returns whether this thread is its only one.
fn run_batch(
    py: Py<'_>,
    seat: &Seat,
    loaded: &Loaded,
    several: bool,
    local: &mut Local<'_>,
) -> bool {
    let mut served = 0;
    let mut began = None;
    let mut shares = false;
    while !seat.stopping()
        && let Some(call) = seat.claim()
    {
        if several && seat.more_waiting() {
            seat.wake_sibling();
        }
        let start = Instant::now();
        let began = *began.get_or_insert(start);
        local.run(py, call, start);
        if seat.take_interrupt() {
            // It was meant for the request that is over now.
            py.forget_interrupt();
        }
        served += 1;
        shares = several || !py.is_alone();
        if (shares && began.elapsed() >= TURN) || served == BUSY_REQUESTS {
            loaded.home.clear(py);
            return false;
        }
    }
    loaded.home.clear(py);
    !shares
}

/// Says what became of loading the apps, in uWSGI's words.
pub fn report_load(
    plan: &Plan,
    loaded: &Loaded,
    error: Option<&LoadError>,
    started: Instant,
    interpreter: usize,
) {
    let seconds = started.elapsed().as_secs();
    let apps = &plan.place.apps;
    for (index, app) in apps.iter().enumerate().take(loaded.apps.len()) {
        let mark = if index == 0 { " (default app)" } else { "" };
        crate::log::line(format_args!(
            "WSGI app {index} (mountpoint='{}') ready in {seconds} seconds on interpreter \
             {interpreter:#x} pid: {}{mark}",
            app.mountpoint,
            std::process::id()
        ));
    }
    if let Some(error) = error {
        let index = loaded.apps.len();
        let mountpoint = apps.get(index).map_or("", |app| &app.mountpoint);
        crate::log::line(format_args!("{}", error.text));
        crate::log::line(format_args!(
            "unable to load app {index} (mountpoint='{mountpoint}') (callable not found or import \
             error)"
        ));
    }
}

/// uWSGI: `chdir2` is entered when the apps are loaded.
pub fn enter_second_directory(place: &Place) {
    let Some(path) = &place.chdir2 else { return };
    let shown = path.display();
    match std::env::set_current_dir(path) {
        Ok(()) => crate::log::line(format_args!("chdir() to {shown}")),
        Err(error) => crate::log::line(format_args!("chdir2: {shown}: {error}")),
    }
}

/// Runs all threads of a worker, the first on the calling thread, until the worker is to leave;
/// then the app's atexit functions.
pub fn run_threads(
    plan: &Plan,
    thread: &Thread,
    index: usize,
    incarnation: u32,
    loaded: &'static Loaded,
) {
    super::crash::watch(plan.handoff, plan.board);
    let interpreter = thread.interpreter();
    let others: Vec<_> = (1..plan.board.threads())
        .filter_map(|core| {
            let plan = plan.clone();
            let name = format!("uwring w{} c{core}", index + 1);
            let run = move || {
                let seat = Seat::new(plan.handoff, index, core, incarnation);
                report_end(serve(&plan, &interpreter.enter(), &seat, loaded));
            };
            let builder = std::thread::Builder::new().name(name).stack_size(STACK_BYTES);
            builder.spawn(run).map_err(|error| report_end(Err(error.to_string()))).ok()
        })
        .collect();
    let seat = Seat::new(plan.handoff, index, 0, incarnation);
    report_end(serve(plan, thread, &seat, loaded));
    for other in others {
        let _ = other.join();
    }
    thread.attach(|py| loaded.boot.leave(py));
    let row = plan.board.worker(index);
    // A successor may be ready already.
    if row.get(worker::READY) == u64::from(incarnation) {
        row.set(worker::READY, 0);
    }
    plan.handoff.ring_control();
}

/// Deep recursion in C code needs a main thread's stack; untouched pages cost nothing.
pub const STACK_BYTES: usize = 8 << 20;

fn report_end(result: Result<(), String>) {
    if let Err(error) = result {
        crate::log::line(format_args!("{}", error.trim_end()));
    }
}
