//! Harakiri: the end of requests that take longer than they may.
//!
//! It looks twice a second at what each worker's threads run. A request that it finds again after
//! its limit is declared late, which its shard answers with 504; then a worker process is replaced,
//! and in an interpreter the thread gets an exception. Nothing of it costs a request anything.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use super::workers::{Mind, Sitter, Workers};
use crate::handoff::Taken;
use crate::log;
use crate::options::Options;
use crate::shared::{now_us, worker};
use crate::sys;
use crate::wsgi::Plan;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(500);
/// A thread that has not written its stack by then will not.
const DUMP: Duration = Duration::from_millis(300);
/// Between two exceptions in the same request: an app may swallow one.
const AGAIN: Duration = Duration::from_secs(1);
/// A thread that has not come back by then is given up: what waits behind it waits for a successor.
const PATIENCE: Duration = Duration::from_secs(2);
/// At the end of the server.
const LAST_WAIT: Duration = Duration::from_millis(300);

/// What the options say of it.
#[derive(Debug, Clone)]
pub struct Rules {
    limit: Option<Duration>,
    verbose: bool,
    /// Time between a signal to the worker and its end, and which signal.
    graceful: Option<(Duration, i32)>,
    /// Requests that must wait before anything is ended.
    queue: usize,
    /// For the other requests of a worker process that is ended.
    mercy: Duration,
    processes: bool,
}

impl Rules {
    pub fn new(options: &Options, processes: bool) -> Rules {
        let signal = options.recycling.harakiri_graceful_signal.unwrap_or(libc::SIGTERM);
        let graceful = options.recycling.harakiri_graceful_timeout.filter(|&seconds| seconds > 0);
        Rules {
            limit: options.harakiri.filter(|&limit| limit > 0).map(Duration::from_secs),
            verbose: options.harakiri_verbose,
            graceful: graceful.map(|seconds| (Duration::from_secs(seconds), signal)),
            queue: options.recycling.harakiri_queue_threshold.unwrap_or(0) as usize,
            mercy: Duration::from_secs(options.worker_reload_mercy.max(1)),
            processes,
        }
    }
}

/// Watches all workers.
pub struct Watchdog {
    rules: Rules,
    looked: Instant,
    seen: Vec<Seen>,
    sentences: Vec<Sentence>,
}

/// A request that runs.
struct Seen {
    sitter: Sitter,
    thread: usize,
    running: Taken,
    since: Instant,
    late: Option<Late>,
}

/// What is done about a late request of an interpreter.
struct Late {
    since: Instant,
    visit: Option<Visit>,
    is_given_up: bool,
}

/// A thread of ours on its way into an interpreter whose GIL may be held for long.
struct Visit {
    since: Instant,
    is_over: Arc<AtomicBool>,
    /// Whether the stack was written or is about to be.
    is_dumped: Arc<AtomicBool>,
}

/// A worker process that is to end for a late request.
struct Sentence {
    sitter: Sitter,
    not_before: Instant,
    tries: u32,
}

impl Watchdog {
    pub fn new(rules: Rules) -> Watchdog {
        Watchdog { rules, looked: Instant::now(), seen: Vec::new(), sentences: Vec::new() }
    }

    /// Looks around, if it is time. Returns why this server process should be replaced, if it
    /// should.
    pub fn look(&mut self, workers: &mut Workers, plan: &Plan) -> Option<String> {
        let now = Instant::now();
        if now.duration_since(self.looked) < LOOK {
            self.execute(workers, plan, now);
            return None;
        }
        self.looked = now;
        self.notice(&workers.sitters(plan), plan, now);
        for index in 0..self.seen.len() {
            if let Some(limit) = self.missed(index, plan, now)
                && self.seen[index].running.expire()
            {
                self.condemn(index, limit, workers, plan, now);
            }
        }
        self.execute(workers, plan, now);
        if self.rules.processes { None } else { self.interrupt(workers, now) }
    }

    /// How long the end of the server waits for a thread whose request has been answered with 504:
    /// the exception that it got may still bring it back.
    pub fn last_wait(&self) -> Duration {
        let graceful = self.rules.graceful.filter(|_| self.rules.processes);
        graceful.map_or(LAST_WAIT, |(grace, _)| grace)
    }

    /// Brings `seen` up to date.
    fn notice(&mut self, sitters: &[Sitter], plan: &Plan, now: Instant) {
        let before = std::mem::take(&mut self.seen);
        for &sitter in sitters {
            for thread in 0..plan.board.threads() {
                let running = plan.handoff.running(sitter.worker, sitter.incarnation, thread);
                let Some(running) = running else { continue };
                self.seen.push(Seen { sitter, thread, running, since: now, late: None });
            }
        }
        for old in before {
            let same = |new: &&mut Seen| {
                new.sitter.incarnation == old.sitter.incarnation
                    && new.thread == old.thread
                    && new.running.key() == old.running.key()
            };
            match self.seen.iter_mut().find(same) {
                Some(new) => (new.since, new.late) = (old.since, old.late),
                None => old.say_if_back(),
            }
        }
    }

    /// The limit that a request has missed just now, in words.
    fn missed(&self, index: usize, plan: &Plan, now: Instant) -> Option<String> {
        let seen = &self.seen[index];
        if seen.running.is_late() {
            return None;
        }
        let waiting = || (0..plan.board.shards()).map(|s| plan.handoff.waiting(s)).sum::<usize>();
        let age = now.duration_since(seen.since);
        if let Some(limit) = self.rules.limit.filter(|&limit| age >= limit)
            && (self.rules.queue == 0 || waiting() > self.rules.queue)
        {
            return Some(format!("harakiri is {} seconds", limit.as_secs()));
        }
        let own = seen.running.own_limit_s()?;
        (now_us() / 1_000_000 >= own).then(|| "as the app asked by set_user_harakiri".to_owned())
    }

    /// Tells of a request that has become late, and begins what is to follow.
    fn condemn(
        &mut self,
        index: usize,
        limit: String,
        workers: &mut Workers,
        plan: &Plan,
        now: Instant,
    ) {
        let Seen { sitter, thread, running, since, .. } = &self.seen[index];
        let (number, pid, thread, running) = (sitter.worker + 1, sitter.pid, *thread, *running);
        let (sitter, seconds) = (*sitter, now.duration_since(*since).as_secs());
        plan.board.worker(sitter.worker).add(worker::HARAKIRIS, 1);
        let asked = running.describe();
        let shown = |text: &String| log::shown(text.as_bytes());
        let graceful = if self.rules.processes { self.rules.graceful } else { None };
        announce(sitter, 1, true);
        log::dated(format_args!("HARAKIRI !!! worker {number} status !!!"));
        log::dated(format_args!(
            "HARAKIRI [core {thread}] {} - {} {} since {}",
            shown(&asked.remote_addr),
            shown(&asked.method),
            shown(&asked.target),
            asked.arrived_s
        ));
        log::dated(format_args!("HARAKIRI !!! end of worker {number} status !!!"));
        log::dated(format_args!(
            "HARAKIRI triggered by worker {number} core {thread} !!! it runs for {seconds} seconds, \
             {limit}"
        ));
        let Some(processes) = workers.processes() else {
            self.seen[index].late = Some(Late { since: now, visit: None, is_given_up: false });
            return;
        };
        let mut not_before = now;
        if self.rules.verbose {
            show_stack(pid, running);
            not_before += DUMP;
        }
        if let Some((grace, signal)) = graceful
            && sys::catches(pid, signal)
        {
            let next = now_us() / 1_000_000 + grace.as_secs();
            log::dated(format_args!(
                "HARAKIRI: graceful termination attempt on worker {number} with signal {signal}. \
                 Next harakiri: {next}"
            ));
            sys::kill(pid, signal);
            not_before = now + grace;
        }
        // It takes no more requests from here on, so nobody else's dies with it.
        processes.dismiss(plan, sitter.incarnation, self.rules.mercy, false);
        if not_before > now || plan.board.threads() > 1 {
            processes.succeed(plan, sitter.worker);
        }
        let is_same = |s: &&mut Sentence| s.sitter.incarnation == sitter.incarnation;
        match self.sentences.iter_mut().find(is_same) {
            Some(sentence) => sentence.not_before = sentence.not_before.max(not_before),
            None => self.sentences.push(Sentence { sitter, not_before, tries: 1 }),
        }
    }

    /// Kills condemned processes as soon as nothing else runs in them. What is not over by the
    /// mercy that `dismiss` gave is killed there.
    fn execute(&mut self, workers: &mut Workers, plan: &Plan, now: Instant) {
        let Some(processes) = workers.processes() else { return };
        let threads = plan.board.threads();
        self.sentences.retain_mut(|sentence| {
            if now < sentence.not_before {
                return true;
            }
            let Sitter { worker, incarnation, .. } = sentence.sitter;
            let running = |thread| plan.handoff.running(worker, incarnation, thread);
            let states: Vec<Taken> = (0..threads).filter_map(running).collect();
            if states.is_empty() {
                return false; // It came back, and leaves by itself; or it is dead.
            }
            if !states.iter().all(Taken::is_late) {
                return true;
            }
            if sentence.tries > 1 || self.rules.graceful.is_some() {
                announce(sentence.sitter, sentence.tries + 1, false);
            }
            processes.kill(incarnation);
            false
        });
    }

    /// Goes on with the late requests of interpreters.
    fn interrupt(&mut self, workers: &Workers, now: Instant) -> Option<String> {
        let mut reason = None;
        for seen in &mut self.seen {
            let (Some(late), Some(mind)) = (&mut seen.late, workers.mind(seen.sitter.worker))
            else {
                continue;
            };
            let verbose = self.rules.verbose;
            match &late.visit {
                None => late.visit = visit(mind, seen.running, verbose, seen.sitter.pid),
                Some(visit) if !visit.is_over.load(SeqCst) => {
                    // The GIL is not to be had: whoever has it is deep in C code, and so are the
                    // frames that the thread itself can look at.
                    let is_stuck = now.duration_since(visit.since) >= DUMP;
                    if verbose && is_stuck && !visit.is_dumped.swap(true, SeqCst) {
                        show_stack(seen.sitter.pid, seen.running);
                    }
                }
                Some(last) if now.duration_since(last.since) >= AGAIN => {
                    late.visit = visit(mind, seen.running, false, seen.sitter.pid);
                }
                Some(_) => {}
            }
            if now.duration_since(late.since) >= PATIENCE && !late.is_given_up {
                late.is_given_up = true;
                let (number, thread) = (seen.sitter.worker + 1, seen.thread);
                log::dated(format_args!(
                    "HARAKIRI: core {thread} of worker {number} does not come back to Python: it \
                     is given up"
                ));
                reason = Some(format!("core {thread} of worker {number} is stuck"));
            }
        }
        reason
    }
}

impl Seen {
    fn say_if_back(&self) {
        if let Some(late) = &self.late {
            log::dated(format_args!(
                "HARAKIRI: core {} of worker {} is back after {} seconds",
                self.thread,
                self.sitter.worker + 1,
                late.since.elapsed().as_secs()
            ));
        }
    }
}

/// uWSGI's first line of a harakiri.
fn announce(sitter: Sitter, tries: u32, graceful: bool) {
    let graceful = if graceful { "yes" } else { "no" };
    log::dated(format_args!(
        "*** HARAKIRI ON WORKER {} (pid: {}, try: {tries}, graceful: {graceful}) ***",
        sitter.worker + 1,
        sitter.pid
    ));
}

/// Lets a thread write its Python stack to the log. Without a handler the signal would end its
/// process.
fn show_stack(pid: i32, running: Taken) {
    if sys::catches(pid, sys::dump_signal()) {
        sys::kill_thread(pid, running.tid(), sys::dump_signal());
    }
}

/// Sends a thread into the interpreter, which may have to wait there for as long as the app holds
/// the GIL.
fn visit(mind: Mind, running: Taken, verbose: bool, pid: i32) -> Option<Visit> {
    let (is_over, is_dumped) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (over, dumped) = (Arc::clone(&is_over), Arc::clone(&is_dumped));
    let go = move || {
        sys::block_signals();
        mind.interpreter.visit(|py| {
            if verbose && !dumped.swap(true, SeqCst) && running.is_late() {
                show_stack(pid, running);
                // With the GIL here, the other thread's frames stay as they are meanwhile.
                std::thread::sleep(Duration::from_millis(20));
            }
            mind.loaded.interrupt(py, &running);
        });
        over.store(true, SeqCst);
    };
    let thread = std::thread::Builder::new().name("uwring harakiri".into()).spawn(go);
    if let Err(error) = thread {
        log::line(format_args!("HARAKIRI: no thread to interrupt the app with: {error}"));
        return None;
    }
    Some(Visit { since: Instant::now(), is_over, is_dumped })
}
