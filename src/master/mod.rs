//! What this room does: prepares the process, owns the listeners, and with `master` keeps a server
//! process running: restarts it, replaces it at a reload, ends it.
//! What it does not: serve; it holds no Python and no ring, and has one thread.
//! Who may call it: `main`, which hands it the server's functions.
//! What it may import: options, listen, notify, shared, stats, log, sys, error.
//!
//! A reload starts a successor beside the old server process. Both accept on the same sockets; once
//! the successor serves, the old one hands it its connections, ends its requests and leaves. A
//! successor that does not start changes nothing.

mod children;
mod cron;
mod daemons;
mod deaths;
mod fifo;
mod fixed;
mod heard;
mod hooks;
mod identity;
mod made;
mod origin;
mod reload;
mod rescue;
mod touch;
mod upgrade;
mod wait;

use std::ffi::OsString;
use std::time::{Duration, Instant};

use children::{Child, Phase};
use cron::Crontab;
use daemons::Daemons;
use fifo::Fifo;
use made::Made;
use origin::Origin;
use rescue::{GIVE_AGAIN, Saved};
use touch::Touches;
use upgrade::Binary;

pub use identity::{send_to_pidfile, settle};

use crate::error::StartError;
use crate::listen::{self, Listener};
use crate::log;
use crate::notify::Notify;
use crate::options::{Environment, Isolation, Moment, Options};
use crate::shared::link::{News, Order, Tie};
use crate::stats::Stats;
use crate::sys;
use crate::sys::signals::Signals;

/// What the master starts, handed in since it knows no shard.
#[derive(Clone, Copy)]
pub struct Role {
    /// How many sockets an address needs.
    pub shards: fn(&Options) -> usize,
    /// Serves until told to stop; returns the exit code.
    pub serve: Serve,
}

type Serve = fn(&Options, &[Listener], Option<Stats>, Option<Tie>) -> Result<i32, StartError>;

const HEARD: [i32; 8] = [
    libc::SIGTERM,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGHUP,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGTSTP,
    libc::SIGCHLD,
];

/// A server process that lived shorter died of starting: its successor waits, longer each time.
const SHORT_LIFE: Duration = Duration::from_secs(2);
const WAIT_MAX: Duration = Duration::from_secs(30);
/// How much later than its own deadline a server process is killed.
const GRACE: Duration = Duration::from_secs(5);

/// Runs the server, with or without a master. Returns the exit code, if it returns.
///
/// # Errors
/// Why the server does not start; nothing half-started is left behind.
pub fn run(
    mut options: Options,
    args: Vec<OsString>,
    mut env: Environment,
    role: Role,
) -> Result<i32, StartError> {
    if env.iter().any(|(name, _)| name == upgrade::CHECK) {
        return Ok(0);
    }
    let before = upgrade::resume(&mut env);
    let configured = options.sockets.len();
    let mut old = listen::activated(&mut options, &env)?;
    // As sd_listen_fds(3) does it: they are no child's. `Origin` keeps them for the next binary.
    ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"].into_iter().for_each(sys::unset_env);
    let origin = Origin::new(args, env, options.sockets[configured..].to_vec());
    if let Some(before) = before {
        return Master::resume(options, origin, role, before);
    }
    hooks::run(&options, Moment::Asap)?;
    identity::truncate_log(&options)?;
    let daemon = identity::daemonize(&options)?;
    identity::environment(&options)?;
    if let Some(path) = &options.logto {
        identity::redirect(path, "logto", &options)?;
    }
    let has_master = options.master || std::process::id() == 1;
    identity::title(&options, if has_master { "master" } else { "server" });
    let log = log::Process::start(&options, origin.path()).map_err(StartError::new)?;
    let pidfile = identity::Pidfiles::default();
    let mut made = Made { listeners: Vec::new(), pidfile, options, log };
    identity::banner();
    made.pidfile.want(&made.options, "pidfile")?;
    identity::change_directory(&made.options)?;
    made.pidfile.want_again(&made.options)?;
    made.pidfile.want(&made.options, "safe-pidfile")?;
    wait::before_hooks(&made.options)?;
    hooks::run(&made.options, Moment::PreJail)?;
    hooks::run(&made.options, Moment::InJail)?;
    made.listeners = listen::bind(&made.options, (role.shards)(&made.options), &mut old)?;
    hooks::run(&made.options, Moment::AsRoot)?;
    identity::limits(&made.options)?;
    if !has_master || !made.options.privileges.master_as_root {
        identity::privileges(&made.options)?;
    }
    hooks::run(&made.options, Moment::AsUser)?;
    made.pidfile.want(&made.options, "pidfile2")?;
    made.pidfile.want(&made.options, "safe-pidfile2")?;
    if let Some(path) = made.options.logto2.as_ref().filter(|_| made.log.is_none()) {
        identity::redirect(&origin.path().join(path), "logto2", &made.options)?;
    }
    wait::before_app(&made.options)?;
    let stats = Stats::bind(&made.options)?;
    if !has_master {
        log::line(format_args!(
            "*** WARNING: you are running uWSGI without its master process manager ***"
        ));
        daemon.ready();
        let code = (role.serve)(&made.options, &made.listeners, stats, None);
        return code.map(|code| made.end(code));
    }
    let notify = Notify::from_env(&origin.env);
    let mut master = Master::new(made, origin, role, stats, notify, daemon)?;
    hooks::run(&master.made.options, Moment::MasterStart)?;
    hooks::run(&master.made.options, Moment::PreApp)?;
    master.spawn()?;
    let code = master.life()?;
    master.made.end(code)
}

/// The master's state.
struct Master {
    made: Made,
    origin: Origin,
    role: Role,
    stats: Option<Stats>,
    signals: Signals,
    fifos: Vec<Fifo>,
    touches: Touches,
    notify: Notify,
    daemon: identity::Daemon,
    children: Vec<Child>,
    daemons: Daemons,
    crontab: Crontab,
    saved: Saved,
    /// When a server process that died gets its successor, and how long the next one would wait.
    restart: Option<Instant>,
    wait: Duration,
    /// A reload was asked for while one was under way.
    reload_again: bool,
    /// Of the starts that succeeded.
    longest_start: Duration,
    ending: Option<Ending>,
    has_served: bool,
    /// The configuration was read again and nobody serves by it yet.
    is_renewed: bool,
    binary: Binary,
    /// A module has refused an interpreter while it served: workers are processes from then on.
    isolate: bool,
}

/// A stop under way.
struct Ending {
    code: i32,
    kill_at: Instant,
}

impl Master {
    fn new(
        made: Made,
        origin: Origin,
        role: Role,
        stats: Option<Stats>,
        notify: Notify,
        daemon: identity::Daemon,
    ) -> Result<Master, StartError> {
        let mut heard = HEARD.to_vec();
        heard.extend(hooks::signals(&made.options).map(|(signal, _)| signal));
        heard.sort_unstable();
        heard.dedup();
        let signals =
            Signals::listen(&heard).map_err(|e| StartError::new(format!("signals: {e}")))?;
        let fifos = Fifo::open_all(&made.options.master_fifo)?;
        let touches = Touches::new(&made.options);
        Ok(Master {
            origin,
            role,
            stats,
            signals,
            fifos,
            touches,
            notify,
            daemon,
            binary: Binary::own(),
            children: Vec::new(),
            daemons: Daemons::default(),
            crontab: Crontab::default(),
            saved: Saved::default(),
            restart: None,
            wait: SHORT_LIFE,
            reload_again: false,
            longest_start: Duration::ZERO,
            ending: None,
            has_served: false,
            is_renewed: false,
            isolate: false,
            made,
        })
    }

    /// Keeps a server process running until the end; returns the exit code.
    fn life(&mut self) -> Result<i32, StartError> {
        self.daemons.renew(&self.made.options.daemons);
        loop {
            self.wait_for_something();
            // Before anything is asked of those that start: one of them may serve by now.
            self.listen_to_children();
            for signal in self.signals.take() {
                self.hear(signal);
            }
            for command in fifo::commands(&mut self.fifos) {
                self.command(command);
            }
            for change in self.touches.log_changes() {
                self.change_log(change);
            }
            if let Some(path) = self.touches.touched() {
                log::line(format_args!("*** {} has been touched... reload ***", path.display()));
                self.reload();
            }
            self.save_connections();
            if let Some(code) = self.bury()? {
                return Ok(code);
            }
            self.tend();
            self.watchdog();
        }
    }

    fn wait_for_something(&self) {
        let mut fds: Vec<i32> = self.signals.fds().collect();
        fds.extend(self.fifos.iter().map(Fifo::fd));
        for child in &self.children {
            fds.extend(child.fds());
        }
        let mut limit = Duration::from_secs(1);
        if self.could_give_saved() {
            limit = GIVE_AGAIN;
        }
        limit = limit.min(self.notify.due_in().unwrap_or(limit));
        if let Some(at) = self.restart {
            limit = limit.min(at.saturating_duration_since(Instant::now()));
        }
        sys::poll_readable(&fds, limit.as_millis() as i32 + 1, &mut Vec::new());
    }

    fn order(&self, order: &Order) {
        for child in self.children.iter().filter(|child| child.phase != Phase::Retiring) {
            child.leash.order(order);
        }
    }

    /// Forks a server process.
    fn spawn(&mut self) -> Result<(), StartError> {
        let failed =
            |what: &str, error: std::io::Error| StartError::new(format!("{what}: {error}"));
        self.restart = None;
        let stats = match &self.stats {
            Some(stats) => Some(stats.duplicate().map_err(|e| failed("stats", e))?),
            None => None,
        };
        let (child, mut tie) = Child::prepare().map_err(|e| failed("socket", e))?;
        tie.needs_app = self.children.iter().any(|child| child.phase == Phase::Serving);
        let before = sys::hold_signals();
        let forked = sys::fork();
        if matches!(forked, Ok(sys::Fork::Child)) {
            drop(child);
            self.serve(tie, stats, &before);
        }
        sys::restore_signals(&before);
        let sys::Fork::Parent { child: pid } = forked.map_err(|e| failed("fork()", e))? else {
            unreachable!("BUG: the child has its own life")
        };
        drop(tie);
        self.children.push(child.born(pid));
        Ok(())
    }

    /// The life of a server process, in the child of a fork.
    fn serve(&mut self, tie: Tie, stats: Option<Stats>, before: &libc::sigset_t) -> ! {
        // What leads to siblings or stands for the master is none of this process's.
        self.children.clear();
        self.fifos.clear();
        self.saved.clear();
        self.stats = None;
        let nobody = Signals::listen(&[]).expect("BUG: listening to nothing asks for nothing");
        std::mem::replace(&mut self.signals, nobody).forget();
        sys::restore_signals(before);
        sys::title::become_role("server");
        hooks::run_beside(&self.made.options, Moment::PostFork);
        let Made { options, listeners, .. } = &mut self.made;
        if self.isolate && options.isolation == Isolation::Auto {
            options.isolation = Isolation::Process;
        }
        let identity = match options.privileges.master_as_root {
            true => identity::privileges(options),
            false => Ok(()),
        };
        let serve = |()| (self.role.serve)(options, listeners, stats, Some(tie));
        let code = match identity.and_then(serve) {
            Ok(code) => code,
            Err(error) => {
                log::line(format_args!("uwring: {error}"));
                error.code()
            }
        };
        sys::exit_now(code)
    }

    fn listen_to_children(&mut self) {
        for index in 0..self.children.len() {
            for news in self.children[index].take_news() {
                match news {
                    // It is being killed.
                    News::Ready if self.children[index].is_given_up => {}
                    News::Opens => {}
                    News::Ready => self.crown(index),
                    News::Alive => self.children[index].heard = Instant::now(),
                    News::Reload => self.reload(),
                    News::Replace => self.replace(index),
                    News::Isolate => {
                        self.isolate = true;
                        self.replace(index);
                    }
                    News::Stop => self.stop(0),
                }
            }
        }
    }

    fn tell_ready(&mut self) {
        self.notify.ready(self.made.options.processes);
    }

    /// Starts and kills what is due.
    fn tend(&mut self) {
        let now = Instant::now();
        if let Some(log) = &mut self.made.log {
            log.tend();
        }
        self.daemons.tend();
        self.end_hung_start();
        if self.ending.is_none() {
            self.crontab.tick(&self.made.options.crons);
        }
        if self.ending.is_none() && self.restart.is_some_and(|at| at <= now) {
            self.restart = None;
            if let Err(error) = self.spawn() {
                log::line(format_args!("no successor yet: {error}"));
                self.restart = Some(now + self.wait);
                self.wait = (self.wait * 2).min(WAIT_MAX);
            }
        }
        let at_the_end = self.ending.as_ref().map(|ending| ending.kill_at);
        for child in &mut self.children {
            let due = [child.kill_at, at_the_end].into_iter().flatten().min();
            if due.is_some_and(|at| at <= now) {
                log::line(format_args!(
                    "server process {} did not leave in time: it is killed",
                    child.pid
                ));
                sys::kill(child.pid, libc::SIGKILL);
                child.kill_at = None;
            }
        }
    }

    /// Tells systemd that all is well, as long as it is.
    fn watchdog(&mut self) {
        let limit = self.notify.patience();
        let is_well = |child: &Child| child.heard.elapsed() < limit;
        if self.children.iter().filter(|child| child.phase == Phase::Serving).all(is_well) {
            self.notify.alive();
        }
    }

    /// Lets every server process finish what runs, then ends.
    fn stop(&mut self, code: i32) {
        if self.ending.is_some() {
            return;
        }
        self.notify.stopping();
        self.restart = None;
        let mercy = Duration::from_secs(self.made.options.reload_mercy.max(1)) + GRACE;
        self.ending = Some(Ending { code, kill_at: Instant::now() + mercy });
        for child in &self.children {
            if child.phase == Phase::Starting && child.serves_nobody() {
                // It hears no order yet.
                sys::kill(child.pid, libc::SIGKILL);
            }
            child.leash.order(&Order::Stop);
        }
    }

    /// Ends every server process at once.
    fn quit(&mut self) {
        for child in &self.children {
            child.leash.order(&Order::Quit);
        }
        self.daemons.hurry();
        if let Some(ending) = &mut self.ending {
            ending.kill_at = Instant::now() + Duration::from_secs(1);
        }
    }
}
