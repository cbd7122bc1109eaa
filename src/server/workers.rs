//! Starts workers, watches them, and replaces the ones that die.

use std::collections::HashMap;
use std::os::fd::{AsRawFd, OwnedFd};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::error::StartError;
use crate::isolation::{Embedding, Event, Spawner};
use crate::log;
use crate::python::Runtime;
use crate::shared::worker;
use crate::sys::{self, Ended};
use crate::wsgi::{self, Loaded, Plan};

/// All workers of the server.
pub enum Workers {
    /// Own-GIL interpreters on threads of this process.
    Interpreters(Vec<JoinHandle<()>>),
    /// Child processes of the spawner.
    Processes(Processes),
}

/// Worker processes.
pub struct Processes {
    spawner: Spawner,
    living: HashMap<usize, Living>,
    next_incarnation: u32,
    /// Respawns that wait for their time: a worker that dies at once must not make us spin.
    due: Vec<(Instant, usize)>,
    ended: Vec<(i32, Ended)>,
    /// Requests that a worker had served when it died last.
    served: HashMap<usize, u64>,
}

struct Living {
    pid: i32,
    incarnation: u32,
    watch: Option<OwnedFd>,
    since: Instant,
}

/// A worker that died.
#[derive(Debug)]
pub struct Death {
    pub worker: usize,
    pub pid: i32,
    pub incarnation: u32,
    pub how: Option<Ended>,
    lived: Duration,
}

/// A process that died before it served a request and before this time died of starting: its
/// successor waits as long, so that a broken start does not spin.
const SHORT_LIFE: Duration = Duration::from_secs(2);

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
        let mut threads = Vec::new();
        for index in 0..plan.board.workers() {
            threads.push(start_interpreter(&runtime, plan, index)?);
            wait_until_ready(plan, index, &threads[index])?;
            if need_app && plan.board.worker(index).get(worker::HAS_APP) == 0 {
                return Err(no_app());
            }
        }
        Ok(Workers::Interpreters(threads))
    }

    /// Starts worker processes through a spawner that was forked already.
    ///
    /// # Errors
    /// As above.
    pub fn start_processes(
        spawner: Spawner,
        plan: &Plan,
        need_app: bool,
    ) -> Result<Workers, StartError> {
        match spawner.event() {
            Event::Ready { has_app: false } if need_app => return Err(no_app()),
            Event::Ready { .. } => {}
            // The spawner has said why.
            _ => return Err(StartError::new("the app's process ended before it was ready")),
        }
        let mut processes = Processes {
            spawner,
            living: HashMap::new(),
            next_incarnation: 1,
            due: Vec::new(),
            ended: Vec::new(),
            served: HashMap::new(),
        };
        for index in 0..plan.board.workers() {
            processes.spawn(index);
        }
        while !(0..plan.board.workers()).all(|w| plan.board.worker(w).get(worker::READY) == 1) {
            processes.wait(plan)?;
            processes.spawn_due();
        }
        let has_app = |w: usize| plan.board.worker(w).get(worker::HAS_APP) == 1;
        if need_app && !(0..plan.board.workers()).all(has_app) {
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

    /// Starts successors whose time has come.
    pub fn spawn_due(&mut self) {
        if let Workers::Processes(processes) = self {
            processes.spawn_due();
        }
    }

    /// Whether the spawner is gone: no worker can be replaced any more.
    pub fn is_lost(&self) -> bool {
        matches!(self, Workers::Processes(p) if p.spawner.pid == 0)
    }

    /// Lets all workers finish and leave, until `deadline`.
    pub fn stop(&mut self, plan: &Plan, deadline: Instant) {
        for index in 0..plan.board.workers() {
            plan.handoff.stop_worker(index);
        }
        while Instant::now() < deadline {
            let over = match self {
                Workers::Interpreters(threads) => threads.iter().all(JoinHandle::is_finished),
                Workers::Processes(processes) => {
                    let _ = processes.deaths();
                    processes.living.is_empty()
                }
            };
            if over {
                break;
            }
            let mut fds = self.fds();
            fds.push(plan.handoff.control_bell());
            sys::poll_readable(&fds, 20, &mut Vec::new());
            plan.handoff.silence_control();
        }
        if let Workers::Processes(processes) = self {
            for living in processes.living.values() {
                log::line(format_args!(
                    "worker process {} did not leave in time: it is killed",
                    living.pid
                ));
                sys::kill(living.pid, libc::SIGKILL);
            }
        }
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
) -> Result<JoinHandle<()>, StartError> {
    let main = runtime.main().interpreter();
    let plan = plan.clone();
    let life = move || {
        sys::block_signals();
        if let Err(error) = live(main, &plan, index) {
            log::line(format_args!("worker {}: {error}", index + 1));
            plan.handoff.ring_control();
        }
    };
    let name = format!("uwring w{} c0", index + 1);
    let builder = std::thread::Builder::new().name(name).stack_size(wsgi::STACK_BYTES);
    builder.spawn(life).map_err(|error| StartError::new(format!("worker {}: {error}", index + 1)))
}

#[cfg(Py_3_13)]
fn live(main: crate::python::Interpreter, plan: &Plan, index: usize) -> Result<(), String> {
    let started = Instant::now();
    let thread = main.new_sibling()?;
    let address = thread.interpreter().address();
    let loaded =
        thread.attach(|py| Loaded::new(py, plan, index + 1).map_err(|error| error.traceback(py)));
    let (loaded, error) = loaded?;
    // All workers run the same code: one traceback is enough.
    if error.is_none() || index == 0 {
        wsgi::report_load(plan, error.as_ref(), started, address);
    }
    let loaded: &'static Loaded = Box::leak(Box::new(loaded));
    let incarnation = index as u32 + 1;
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
fn live(_: crate::python::Interpreter, plan: &Plan, _: usize) -> Result<(), String> {
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

impl Processes {
    fn fds(&self) -> Vec<i32> {
        let watches = self.living.values().filter_map(|living| living.watch.as_ref());
        let mut fds: Vec<i32> = watches.map(AsRawFd::as_raw_fd).collect();
        if self.spawner.pid != 0 {
            fds.push(self.spawner.fd());
        }
        fds
    }

    fn spawn(&mut self, index: usize) {
        let incarnation = self.next_incarnation;
        // 24 bits of a slot's word; a server that spawns that many workers starts again at 1.
        self.next_incarnation = if incarnation == 0xff_ffff { 1 } else { incarnation + 1 };
        if self.spawner.spawn(index, incarnation).is_ok() {
            let living = Living { pid: 0, incarnation, watch: None, since: Instant::now() };
            self.living.insert(index, living);
        } else {
            self.spawner.pid = 0;
        }
    }

    /// Waits for the next event of the start.
    fn wait(&mut self, plan: &Plan) -> Result<(), StartError> {
        let mut fds = self.fds();
        fds.push(plan.handoff.control_bell());
        sys::poll_readable(&fds, 200, &mut Vec::new());
        plan.handoff.silence_control();
        if let Some(death) = self.deaths().first() {
            return Err(StartError::new(format!(
                "worker {} (pid: {}) died while it started ({})",
                death.worker + 1,
                death.pid,
                describe(death.how)
            )));
        }
        if self.spawner.pid == 0 {
            return Err(StartError::new("the spawner died while workers started"));
        }
        Ok(())
    }

    /// Takes the spawner's messages.
    fn listen(&mut self, wait_ms: i32) {
        let mut ready = Vec::new();
        while self.spawner.pid != 0 {
            sys::poll_readable(&[self.spawner.fd()], wait_ms, &mut ready);
            if ready != [true] {
                return;
            }
            match self.spawner.event() {
                Event::Spawned { worker, pid, watch } => {
                    if let Some(living) = self.living.get_mut(&worker) {
                        (living.pid, living.watch) = (pid, Some(watch));
                        if self.served.contains_key(&worker) {
                            log::line(format_args!(
                                "Respawned uWSGI worker {} (new pid: {pid})",
                                worker + 1
                            ));
                        }
                    }
                }
                Event::NotSpawned { worker } => {
                    self.living.remove(&worker);
                    self.due.push((Instant::now() + SHORT_LIFE, worker));
                }
                Event::Ended { pid, how } => self.ended.push((pid, how)),
                Event::Gone | Event::Failed => self.spawner.pid = 0,
                Event::Ready { .. } => {}
            }
            if wait_ms > 0 {
                return;
            }
        }
    }

    fn deaths(&mut self) -> Vec<Death> {
        self.listen(0);
        let mut deaths = Vec::new();
        let mut ready = Vec::new();
        let indices: Vec<usize> = self.living.keys().copied().collect();
        for index in indices {
            let Some(watch) = self.living.get(&index).and_then(|living| living.watch.as_ref())
            else {
                continue;
            };
            // A pidfd is readable when the last thread of the process is gone.
            sys::poll_readable(&[watch.as_raw_fd()], 0, &mut ready);
            if ready != [true] {
                continue;
            }
            let Some(living) = self.living.remove(&index) else { continue };
            // The spawner reaps it and tells how it ended.
            for _ in 0..20 {
                if self.ended.iter().any(|(pid, _)| *pid == living.pid) {
                    break;
                }
                self.listen(50);
            }
            let at = self.ended.iter().position(|(pid, _)| *pid == living.pid);
            let how = at.map(|at| self.ended.swap_remove(at).1);
            let Living { pid, incarnation, since, .. } = living;
            deaths.push(Death { worker: index, pid, incarnation, how, lived: since.elapsed() });
        }
        deaths
    }

    fn respawn(&mut self, plan: &Plan, death: &Death) {
        plan.handoff.reset_worker(death.worker);
        let row = plan.board.worker(death.worker);
        row.set(worker::READY, 0);
        let served = row.get(worker::REQUESTS);
        let before = self.served.insert(death.worker, served).unwrap_or(0);
        let failed_start = served == before && death.lived < SHORT_LIFE;
        let wait = if failed_start { SHORT_LIFE } else { Duration::ZERO };
        self.due.push((Instant::now() + wait, death.worker));
        let how = match death.how {
            Some(Ended::Killed(signal)) => format!(", killed by signal {signal}"),
            _ => String::new(),
        };
        log::line(format_args!(
            "DAMN ! worker {} (pid: {}) died{how} :( trying respawn ...",
            death.worker + 1,
            death.pid
        ));
        self.spawn_due();
    }

    fn spawn_due(&mut self) {
        let now = Instant::now();
        let (due, later) = self.due.drain(..).partition(|(when, _)| *when <= now);
        self.due = later;
        let due: Vec<(Instant, usize)> = due;
        for (_, index) in due {
            self.spawn(index);
        }
    }
}

fn describe(how: Option<Ended>) -> String {
    match how {
        Some(Ended::Exited(code)) => format!("exit code {code}"),
        Some(Ended::Killed(signal)) => format!("killed by signal {signal}"),
        None => "for an unknown reason".into(),
    }
}
