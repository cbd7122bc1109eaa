//! Starts workers, watches them, and replaces the ones that die.

use std::os::fd::AsRawFd;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::processes::{self, Death, Processes};
use crate::error::StartError;
use crate::isolation::{Embedding, Event, Spawner};
use crate::log;
use crate::python::{Interpreter, Runtime};
use crate::shared::{Mailbox, worker};
use crate::sys;
use crate::wsgi::{self, Loaded, Plan};

/// All workers of the server.
pub enum Workers {
    /// Own-GIL interpreters on threads of this process.
    Interpreters(Interpreters),
    /// Child processes of the spawner.
    Processes(Processes),
}

/// Worker interpreters.
pub struct Interpreters {
    threads: Vec<JoinHandle<()>>,
    minds: Vec<Mind>,
}

/// A worker's interpreter with the app in it.
#[derive(Clone, Copy)]
pub struct Mind {
    worker: usize,
    pub interpreter: Interpreter,
    pub loaded: &'static Loaded,
}

/// One incarnation of a worker that lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sitter {
    pub worker: usize,
    pub incarnation: u32,
    /// The process that it lives in; 0 before it is known.
    pub pid: i32,
}

impl Sitter {
    /// Whether a thread runs a request that is over for its client.
    fn is_late(&self, plan: &Plan) -> bool {
        let running = |core| plan.handoff.running(self.worker, self.incarnation, core);
        (0..plan.board.threads()).filter_map(running).any(|running| running.is_late())
    }
}

impl Workers {
    /// Starts interpreters, one after the other: creating two at once races in CPython 3.13.
    ///
    /// # Errors
    /// Python's, or exit code 22 when `need_app` finds none.
    pub fn start_interpreters(
        embedding: &Embedding,
        plan: &Plan,
        need_app: bool,
    ) -> Result<Workers, StartError> {
        let runtime = embedding.start().map_err(StartError::new)?;
        if let Err(error) = runtime
            .main()
            .attach(|py| py.dump_stack_at(sys::dump_signal()).map_err(|error| error.summary(py)))
        {
            log::line(format_args!("harakiri-verbose will show no stacks: {error}"));
        }
        let born = Mailbox::default();
        let mut threads = Vec::new();
        for index in 0..plan.board.workers() {
            threads.push(start_interpreter(&runtime, plan, index, &born)?);
            wait_until_ready(plan, index, &threads[index])?;
            if need_app && plan.board.worker(index).get(worker::HAS_APP) == 0 {
                return Err(no_app());
            }
        }
        Ok(Workers::Interpreters(Interpreters { threads, minds: born.take() }))
    }

    /// Starts the first `first` worker processes through a spawner that was forked already.
    ///
    /// # Errors
    /// As above.
    pub fn start_processes(
        spawner: Spawner,
        plan: &Plan,
        first: usize,
        need_app: bool,
    ) -> Result<Workers, StartError> {
        match spawner.event() {
            Event::Ready { has_app: false } if need_app => return Err(no_app()),
            Event::Ready { .. } => {}
            Event::Gone => return Err(ended_early(spawner.pid)),
            // The spawner has said why.
            _ => return Err(StartError::new("the app's process ended before it was ready")),
        }
        let mut processes = Processes::new(spawner, plan);
        for index in 0..first {
            processes.begin(plan, index);
        }
        while !(0..first).all(|w| plan.board.worker(w).get(worker::READY) != 0) {
            processes.wait(plan)?;
            processes.spawn_due(plan);
        }
        let has_app = |w: usize| plan.board.worker(w).get(worker::HAS_APP) == 1;
        if need_app && !(0..first).all(has_app) {
            return Err(no_app());
        }
        Ok(Workers::Processes(processes))
    }

    /// Descriptors that tell of workers.
    pub fn fds(&self) -> Vec<i32> {
        match self {
            Workers::Interpreters(_) => Vec::new(),
            Workers::Processes(processes) => processes.fds(),
        }
    }

    /// The isolation's name, for people.
    pub fn kind(&self) -> &'static str {
        match self {
            Workers::Interpreters(_) => "interpreter",
            Workers::Processes(_) => "process",
        }
    }

    /// Looks at what happened to worker processes. Deaths are to be told to the shards before
    /// `respawn`.
    pub fn deaths(&mut self) -> Vec<Death> {
        match self {
            Workers::Interpreters(_) => Vec::new(),
            Workers::Processes(processes) => processes.deaths(),
        }
    }

    /// Starts the successor of a worker that died, now or a little later.
    pub fn respawn(&mut self, plan: &Plan, death: &Death) {
        if let Workers::Processes(processes) = self {
            processes.respawn(plan, death);
        }
    }

    /// Starts successors whose time has come, and ends what does not leave in its time.
    pub fn spawn_due(&mut self, plan: &Plan) {
        if let Workers::Processes(processes) = self {
            processes.spawn_due(plan);
            processes.show_no_mercy();
        }
    }

    /// The incarnations that live.
    pub fn sitters(&self, plan: &Plan) -> Vec<Sitter> {
        match self {
            Workers::Interpreters(_) => {
                let pid = std::process::id() as i32;
                let sitter = |worker| Sitter { worker, incarnation: worker as u32 + 1, pid };
                (0..plan.board.workers()).map(sitter).collect()
            }
            Workers::Processes(processes) => processes.sitters().collect(),
        }
    }

    /// The interpreter of a worker, if workers are interpreters.
    pub fn mind(&self, worker: usize) -> Option<Mind> {
        match self {
            Workers::Interpreters(own) => own.minds.iter().find(|m| m.worker == worker).copied(),
            Workers::Processes(_) => None,
        }
    }

    /// The worker processes, if workers are processes.
    pub fn processes(&mut self) -> Option<&mut Processes> {
        match self {
            Workers::Interpreters(_) => None,
            Workers::Processes(processes) => Some(processes),
        }
    }

    /// Whether the spawner is gone: no worker can be replaced any more.
    pub fn is_lost(&self) -> bool {
        matches!(self, Workers::Processes(p) if p.is_lost())
    }

    /// Lets all workers finish and leave: `mercy` long, and `late` long those that only run what
    /// was answered with 504.
    pub fn stop(&mut self, plan: &Plan, mercy: Duration, late: Duration) {
        plan.handoff.stop_all();
        let begin = Instant::now();
        while begin.elapsed() < mercy {
            if let Workers::Processes(processes) = self {
                let _ = processes.deaths();
            }
            let mut left = self.sitters(plan);
            if let Workers::Interpreters(own) = self {
                left.retain(|sitter| !own.threads[sitter.worker].is_finished());
            }
            if left.is_empty() {
                break;
            }
            if begin.elapsed() >= late && left.iter().all(|sitter| sitter.is_late(plan)) {
                for Sitter { worker, .. } in left {
                    let number = worker + 1;
                    log::line(format_args!(
                        "worker {number} still runs a request that was answered with 504: leaving \
                         without it"
                    ));
                }
                break;
            }
            let mut fds = self.fds();
            fds.push(plan.handoff.control_bell());
            sys::poll_readable(&fds, 20, &mut Vec::new());
            plan.handoff.silence_control();
        }
        if let Workers::Processes(processes) = self {
            for Sitter { pid, .. } in processes.sitters().filter(|sitter| sitter.pid != 0) {
                log::line(format_args!("worker process {pid} did not leave in time: it is killed"));
                sys::kill(pid, libc::SIGKILL);
            }
        }
    }
}

/// The end of a spawner that was still loading the app.
fn ended_early(pid: i32) -> StartError {
    let what = "the app's process ended before it was ready";
    let mut ready = Vec::new();
    // Its socket may be closed a moment before it is gone.
    if let Ok(watch) = sys::pidfd_open(pid) {
        sys::poll_readable(&[watch.as_raw_fd()], 1000, &mut ready);
    }
    match sys::reap() {
        Some((_, how)) => StartError::new(format!("{what} ({})", processes::describe(Some(how)))),
        None => StartError::new(what),
    }
}

/// uWSGI: `need-app` ends with code 22.
fn no_app() -> StartError {
    StartError::with_code("*** no app loaded. GAME OVER ***", 22)
}

fn start_interpreter(
    runtime: &Runtime,
    plan: &Plan,
    index: usize,
    born: &Mailbox<Mind>,
) -> Result<JoinHandle<()>, StartError> {
    let main = runtime.main().interpreter();
    let (plan, born) = (plan.clone(), Mailbox::clone(born));
    let life = move || {
        // Blocks no signal: the app's children inherit the mask and would ignore `terminate()`. The
        // kernel gives a process's signals to its first thread, which blocks none either.
        if let Err(error) = live(main, &plan, index, &born) {
            log::line(format_args!("worker {}: {error}", index + 1));
            plan.handoff.ring_control();
        }
    };
    let name = format!("uwring w{} c0", index + 1);
    let builder = std::thread::Builder::new().name(name).stack_size(wsgi::STACK_BYTES);
    builder.spawn(life).map_err(|error| StartError::new(format!("worker {}: {error}", index + 1)))
}

#[cfg(Py_3_13)]
fn live(main: Interpreter, plan: &Plan, index: usize, born: &Mailbox<Mind>) -> Result<(), String> {
    let started = Instant::now();
    let thread = main.new_sibling()?;
    let address = thread.interpreter().address();
    let loaded =
        thread.attach(|py| Loaded::new(py, plan, index + 1).map_err(|error| error.traceback(py)));
    let (loaded, error) = loaded?;
    // All workers run the same code: one traceback is enough.
    if error.is_none() || index == 0 {
        wsgi::report_load(plan, &loaded, error.as_ref(), started, address);
    }
    let loaded: &'static Loaded = Box::leak(Box::new(loaded));
    let incarnation = index as u32 + 1;
    born.put(Mind { worker: index, interpreter: thread.interpreter(), loaded });
    plan.board.worker(index).set(worker::INTERPRETER, address as u64);
    wsgi::announce(plan, index, incarnation, loaded);
    thread.attach(|py| {
        loaded.watch_refusals(py, plan);
        loaded.enter_worker(py, index + 1);
    });
    wsgi::run_threads(plan, &thread, index, incarnation, loaded);
    Ok(())
}

#[cfg(not(Py_3_13))]
fn live(_: Interpreter, plan: &Plan, _: usize, _: &Mailbox<Mind>) -> Result<(), String> {
    let _ = (Loaded::new, Loaded::watch_refusals, wsgi::announce, wsgi::run_threads);
    let _ = (wsgi::report_load, plan.strict);
    Err("BUG: interpreters need Python 3.13".into())
}

fn wait_until_ready(plan: &Plan, index: usize, thread: &JoinHandle<()>) -> Result<(), StartError> {
    while plan.board.worker(index).get(worker::READY) == 0 {
        if thread.is_finished() {
            return Err(StartError::new(format!("worker {} ended while it started", index + 1)));
        }
        sys::poll_readable(&[plan.handoff.control_bell()], 100, &mut Vec::new());
        plan.handoff.silence_control();
    }
    Ok(())
}
