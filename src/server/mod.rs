//! What this room does: runs the server process: shards, workers, readiness, drain.
//! What it does not: it parses no options and touches no Python object.
//! Who may call it: `main`.
//! What it may import: shard, wsgi, isolation, handoff, options, files (rules), shared, stats, log,
//! notify, sys, python (to start interpreters; no object); no pyo3.

mod affinity;
mod backoff;
mod cgroup;
mod cheaper;
mod control;
mod doctor;
mod idle;
mod prepare;
mod processes;
mod recycle;
mod succession;
mod watchdog;
mod workers;

use std::sync::Arc;
use std::time::Duration;

pub use doctor::examine;

use affinity::Pins;
use cheaper::Cheaper;
use control::{Control, ShardThread};
use idle::Idle;
use recycle::Recycler;
use succession::Ties;
use watchdog::Watchdog;
use workers::Workers;

use crate::error::StartError;
use crate::files::Rules;
use crate::handoff::{Geometry, Handoff};
use crate::isolation::{Embedding, Memory, Spawner, decide};
use crate::listen::Listener;
use crate::log::{self, Writer};
use crate::options::{Io, Isolation, Options, Protocol};
use crate::shard::{self, Door, Driver, Limits, Listening, Setup, Timeouts};
use crate::shared::link::{News, Tie};
use crate::shared::{Board, Inbox, Mailbox, rescue};
use crate::stats::Stats;
use crate::sys::signals::{Signals, Starting};
use crate::sys::{self, Sharing};
use crate::wsgi::Plan;

/// Requests of one shard that wait or run at the same time; more wait in their connections.
const SLOTS_PER_SHARD: usize = 512;
/// Workers of a shard whose connections are a server's in front of it.
const WORKERS_BEHIND_SERVER: usize = 4;
/// Threads of all workers of such a shard, which has slots for twice as many requests.
const THREADS_BEHIND_SERVER: usize = SLOTS_PER_SHARD / 2;
/// A head and what the shard appends to it must fit a slot, whose positions are 16-bit.
const HEAD_BYTES_MAX: u32 = 65_535 - 256;

/// Serves until it is told to stop; returns the exit code. `tie` leads to the master, if there is
/// one, which made `listeners` and `stats` and removes them.
///
/// # Errors
/// Why the server does not start; nothing half-started is left behind.
pub fn run(
    options: &Options,
    listeners: &[Listener],
    stats: Option<Stats>,
    tie: Option<Tie>,
) -> Result<i32, StartError> {
    let workers = options.processes.max(1);
    let first = cheaper::initial(options)?;
    let shards = shard_count(options);
    if options.threads > 64 {
        return Err(StartError::new("--threads: at most 64 threads for a worker; use --processes"));
    }
    let embedding = prepare::embedding(options);
    let geometry =
        Geometry { shards, workers, threads: options.threads, slots_per_shard: SLOTS_PER_SHARD };
    let board = Board::new(workers, options.threads, shards, prepare::sources(options).len())
        .map_err(out_of_memory)?;
    // The crossing of the probe is its own: it serves nothing.
    let tied = tie.as_ref();
    let (isolation, doubt) =
        choose_isolation(options, &embedding, geometry, board, listeners, tied)?;
    let sharing = match isolation {
        Isolation::Process => Sharing::Processes,
        _ => Sharing::Threads,
    };
    let handoff = Handoff::new(geometry, sharing).map_err(out_of_memory)?;
    let plan = prepare::plan(options, handoff, board, listeners, tied);
    // What a process of the app's must not hold open: the other end would wait for it.
    let private = tied.map_or(Vec::new(), Tie::fds);
    // The spawner first: it must be forked before any thread exists.
    let spawner = match isolation {
        Isolation::Process => Some(
            Spawner::start(&embedding, &plan, options.lazy_apps, &private)
                .map_err(|error| StartError::new(format!("the spawner: {error}")))?,
        ),
        _ => None,
    };
    // uWSGI: an app that cannot be mounted ends the start.
    let need_app = options.need_app
        || !options.mount.is_empty()
        || tie.as_ref().is_some_and(|tie| tie.needs_app);
    // Without a master a signal ends the start where it is: nothing is served yet, and whoever
    // loads the app hears nothing. To listen only later would lose one that comes just then.
    let starting = Starting::default();
    let ends = if tied.is_none() { &control::STOPPING[..] } else { &[] };
    let signals =
        starting.ends_at(ends).and_then(|()| Signals::listen(&control::heard(tied.is_some())));
    let signals = signals.map_err(|e| StartError::new(format!("signals: {e}")))?;
    let workers = match spawner {
        Some(spawner) => {
            crate::wsgi::watch_crashes(plan.handoff, plan.board);
            let first = if options.cheap.at_first { 0 } else { first };
            Workers::start_processes(spawner, &plan, first, need_app)?
        }
        None => {
            if first < plan.board.workers() {
                log::line(format_args!(
                    "cheaper: the workers are interpreters, which cost no process: all {} stay",
                    plan.board.workers()
                ));
            }
            let workers = Workers::start_interpreters(&embedding, &plan, need_app)?;
            // Their directory is this process's.
            crate::wsgi::enter_second_directory(&plan.place);
            workers
        }
    };
    starting.finish();
    if !prepare::warn_without_app(&plan)
        && let Some(doubt) = doubt
    {
        log::line(format_args!("isolation: {doubt}"));
    }

    let pins = Pins::plan(options.cores.affinity, options.cores.each, shards, plan.board.workers());
    (0..plan.board.workers()).for_each(|index| pins.pin_worker(plan.board, index));
    let driver = choose_driver(options.io)?;
    let (writer, lines) = Writer::start().map_err(|e| StartError::new(format!("log: {e}")))?;
    if let Some(tie) = &tie {
        rescue::prepare(&tie.rescue).map_err(|e| StartError::new(format!("socket: {e}")))?;
        tie.tell(News::Opens);
    }
    let shards = start_shards(options, &plan, listeners, driver, &pins, &lines, &workers)?;
    let tail = lines.tail();
    drop(lines);
    if let Some(tie) = &tie {
        tie.tell(News::Ready);
    }
    announce(&plan, listeners, driver, &workers);

    let mercy = Duration::from_secs(options.reload_mercy.max(1));
    let source = prepare::stats_source(&plan, listeners);
    let rules = watchdog::Rules::new(options, isolation == Isolation::Process);
    let may_change = options.isolation == Isolation::Auto && isolation == Isolation::Interpreter;
    let mut control = Control {
        plan,
        workers,
        shards,
        signals,
        stats,
        source,
        pins,
        mercy,
        watchdog: Watchdog::new(rules),
        recycler: Recycler::new(recycle::Rules::new(options)),
        cheaper: Cheaper::new(options),
        idle: Idle::new(options, first),
        is_paused: false,
        ties: Ties::new(tie, options.processes),
        may_change,
        lost_since: None,
    };
    if options.cheap.at_first && control.workers.processes().is_some() {
        control.idle.begin_cheap(&control.plan);
    }
    let code = control.run();
    // Shards that were left behind still hold their ends of the log.
    match control.shards.iter().all(|shard| shard.thread.is_finished()) {
        true => {
            drop(tail);
            writer.finish();
        }
        false => tail.settle(),
    }
    // Interpreters are never finalised: nothing is dropped while their threads exist.
    std::mem::forget(control);
    Ok(code)
}

fn out_of_memory(error: std::io::Error) -> StartError {
    StartError::new(format!("memory for the slots: {error}; is there a limit on address space?"))
}

/// What was asked for, or one for each usable CPU; no shard without a worker.
///
/// Where all listeners speak uwsgi, each request is a connection, and the server that makes them
/// mostly runs on the same cores: fewer shards take them as crowds.
pub fn shard_count(options: &Options) -> usize {
    let workers = options.processes.max(1);
    let cores = affinity::usable_cores().len().max(1);
    let usable = affinity::quota().map_or(cores, |quota| quota.min(cores));
    // Each shard has a worker that stays.
    let comes_and_goes = options.isolation != Isolation::Interpreter;
    let stay = options.cheaper.filter(|&stay| stay > 0 && comes_and_goes).unwrap_or(workers);
    let for_each_core = usable.min(stay);
    let is_behind = !options.sockets.is_empty()
        && options.sockets.iter().all(|spec| spec.protocol == Protocol::Uwsgi);
    let by_default = if is_behind {
        let by_threads = (workers * options.threads).div_ceil(THREADS_BEHIND_SERVER);
        for_each_core.div_ceil(WORKERS_BEHIND_SERVER).max(by_threads).min(for_each_core)
    } else {
        for_each_core
    };
    let wanted = options.shards.unwrap_or(by_default);
    if options.shards.is_some_and(|shards| shards > workers) {
        log::line(format_args!("--shards {wanted}: no shard without a worker, {workers} are used"));
    }
    wanted.clamp(1, workers)
}

fn too_old(minor: u8) -> String {
    format!("--isolation interpreter needs Python 3.13 or later, this is 3.{minor}")
}

/// What workers are made of, and what to say if an app that was found broken loads after all.
fn choose_isolation(
    options: &Options,
    embedding: &Embedding,
    geometry: Geometry,
    board: &'static Board,
    listeners: &[Listener],
    tie: Option<&Tie>,
) -> Result<(Isolation, Option<String>), StartError> {
    let minor: u8 = env!("UWRING_PYTHON_MINOR").parse().expect("build.rs writes a number");
    match options.isolation {
        Isolation::Interpreter if minor < 13 => Err(StartError::new(format!(
            "{}: leave it out or use --isolation process",
            too_old(minor)
        ))),
        Isolation::Auto => {
            let tiny = Geometry { slots_per_shard: 1, ..geometry };
            let handoff = Handoff::new(tiny, Sharing::Threads).map_err(out_of_memory)?;
            let plan = prepare::plan(options, handoff, board, listeners, tie);
            let found = decide(options, embedding, &plan, Memory::Use);
            board.forget_trial();
            let line = found.verdict.line(geometry.workers);
            if let Some(line) = &line {
                let before = if found.is_remembered { " (tried before)" } else { "" };
                log::line(format_args!("isolation: {line}{before}"));
            }
            let doubt = line.is_none().then(|| {
                let count = geometry.workers;
                format!("the app failed while it was tried: serving with {count} process(es)")
            });
            Ok((found.verdict.isolation(), doubt))
        }
        pinned => Ok((pinned, None)),
    }
}

fn choose_driver(io: Io) -> Result<Driver, StartError> {
    if io == Io::Epoll {
        log::line(format_args!("io: epoll, as asked for"));
        return Ok(Driver::Epoll);
    }
    match crate::shard::probe_uring() {
        Ok(driver) => {
            log::line(format_args!("io: io_uring ({driver:?})"));
            Ok(driver)
        }
        Err(error) => {
            let why = why_refused(&error);
            if io == Io::Uring {
                return Err(StartError::new(format!("--io uring: {error}: {why}")));
            }
            log::line(format_args!("io: epoll, because io_uring was refused ({error}: {why})"));
            Ok(Driver::Epoll)
        }
    }
}

/// The likely reason why a ring was refused.
fn why_refused(error: &std::io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EPERM) => {
            "refused by the seccomp profile (containers) or kernel.io_uring_disabled"
        }
        Some(libc::ENOSYS) => "this kernel has none",
        Some(libc::EINVAL) => "this kernel is older than 5.19",
        Some(libc::ENOMEM) => "the memory limit (ulimit -l) is too low",
        _ => "the kernel refused it",
    }
}

fn limits(options: &Options) -> Limits {
    let head = options.buffer_size.min(HEAD_BYTES_MAX) as usize;
    Limits {
        head_bytes_max: head,
        // A target that alone fills the head gets the 414 that says so, not a 431.
        target_bytes_max: head.saturating_sub(64).min(32 * 1024),
        fields_max: crate::handoff::FIELDS_MAX,
        body_bytes_max: options.limit_post.filter(|&limit| limit > 0).unwrap_or(u64::MAX),
        expected_bytes_max: options.http.expected_bytes_max.unwrap_or(u64::MAX),
    }
}

fn timeouts(options: &Options) -> Timeouts {
    Timeouts {
        idle_s: options.http_keepalive,
        head_s: options.http_headers_timeout.unwrap_or(options.http_timeout).max(1),
        body_s: options.http_timeout.clamp(1, 10),
        write_s: options.http_timeout.max(1),
    }
}

/// One shard's sockets.
fn listen_on(
    listeners: &[Listener],
    shard: usize,
    shards: usize,
) -> std::io::Result<Vec<Listening>> {
    let mut own = Vec::new();
    for (index, listener) in listeners.iter().enumerate() {
        for fd in listener.for_shard(shard, shards)? {
            let (is_unix, protocol) = (listener.is_unix, spoken(listener));
            own.push(Listening { fd, is_unix, protocol, index: index as u32 });
        }
    }
    Ok(own)
}

fn doors(listeners: &[Listener]) -> Vec<Door> {
    let door = |listener: &Listener| Door {
        name: listener.name.clone(),
        protocol: spoken(listener),
        is_unix: listener.is_unix,
    };
    listeners.iter().map(door).collect()
}

fn spoken(listener: &Listener) -> shard::Protocol {
    match listener.protocol {
        Protocol::Http => shard::Protocol::Http,
        Protocol::Uwsgi => shard::Protocol::Uwsgi,
    }
}

fn start_shards(
    options: &Options,
    plan: &Plan,
    listeners: &[Listener],
    driver: Driver,
    pins: &Pins,
    lines: &log::Lines,
    workers: &Workers,
) -> Result<Vec<ShardThread>, StartError> {
    let count = plan.board.shards();
    let files = Rules::new(options).map(Arc::new);
    Rules::mappings(options).for_each(|line| log::line(format_args!("{line}")));
    let logging = prepare::logging(options);
    let inboxes: Arc<[_]> = (0..count).map(|_| Inbox::default()).collect();
    let mut shards = Vec::with_capacity(count);
    for index in 0..count {
        let (mailbox, done) = (Mailbox::default(), Mailbox::default());
        let legacies = Mailbox::default();
        let own = listen_on(listeners, index, count).map_err(|e| StartError::new(e.to_string()))?;
        let setup = Setup {
            index,
            handoff: plan.handoff,
            board: plan.board,
            workers: (index..plan.board.workers()).step_by(count).collect(),
            listeners: own,
            doors: doors(listeners),
            limits: limits(options),
            timeouts: timeouts(options),
            proxy_protocol: options.http.proxy_protocol,
            coalesces_answers: options.coalesce_answers,
            may_batch: options.cores.scheduling,
            amendment: Arc::clone(&plan.amendment),
            post_buffering: options.post_buffering.filter(|&limit| limit > 0),
            files: files.clone(),
            logging: logging.clone(),
            lines: lines.clone(),
            mailbox: Mailbox::clone(&mailbox),
            legacies: Mailbox::clone(&legacies),
            inboxes: Arc::clone(&inboxes),
            done: Mailbox::clone(&done),
            close_on_exec: matches!(workers, Workers::Interpreters(_)),
            driver,
        };
        let core = pins.core_of_shard(index);
        let life = move || {
            sys::block_signals();
            setup.lines.lead_away();
            if let Some(id) = core {
                core_affinity::set_for_current(core_affinity::CoreId { id });
            }
            if let Err(error) = crate::shard::run(setup) {
                log::line(format_args!("shard {index}: {error}"));
            }
        };
        let builder = std::thread::Builder::new().name(format!("uwring s{}", index + 1));
        let thread = builder.spawn(life).map_err(|e| StartError::new(format!("shard: {e}")))?;
        shards.push(ShardThread { thread, mailbox, legacies, done });
    }
    Ok(shards)
}

/// uWSGI's last lines of a start, and one that says that requests are served now.
fn announce(plan: &Plan, listeners: &[Listener], driver: Driver, workers: &Workers) {
    use crate::shared::worker;
    let threads = plan.board.threads();
    let pids: Vec<_> = (0..plan.board.workers())
        .map(|index| plan.board.worker(index).get(worker::PID))
        .take_while(|&pid| pid != 0)
        .collect();
    let count = pids.len();
    for (index, pid) in pids.into_iter().enumerate() {
        let only = if count == 1 { " (and the only)" } else { "" };
        log::line(format_args!(
            "spawned uWSGI worker {}{only} (pid: {pid}, cores: {threads})",
            index + 1
        ));
    }
    let names: Vec<_> = listeners.iter().map(|listener| listener.name.as_str()).collect();
    let driver = if driver == Driver::Epoll { "epoll" } else { "io_uring" };
    log::line(format_args!(
        "uwring is ready: {} worker(s) ({}), {} shard(s) ({driver}), on {}",
        count,
        workers.kind(),
        plan.board.shards(),
        names.join(" ")
    ));
}
