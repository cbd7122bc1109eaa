//! What changes a running server: a reload, a successor that was asked for.

use std::time::{Duration, Instant};

use super::children::{Child, Phase};
use super::{GRACE, Master, fixed, hooks, identity};
use crate::error::StartError;
use crate::listen;
use crate::log;
use crate::options::{Moment, Options};
use crate::shared::link::Order;
use crate::stats::Stats;
use crate::sys;

/// A start that takes longer hangs, unless the option says another time.
const START_LIMIT: Duration = Duration::from_secs(60);

/// A start may take as many times as long as the longest before it, before it counts as hung.
const START_SLACK: u32 = 3;

/// A successor that a server process asks for again and again is spoken of from this age on.
const LONG_START_S: u64 = 5;

impl Master {
    /// Starts a successor with the configuration as it is now.
    pub(super) fn reload(&mut self) {
        if self.ending.is_some() {
            return;
        }
        if self.made.options.exit_on_reload {
            log::line(format_args!("exit-on-reload: stopping instead"));
            return self.stop(0);
        }
        if self.reload_later() {
            return;
        }
        self.notify.reloading();
        if let Some(path) = self.new_binary() {
            let error = self.become_binary(&path);
            log::line(format_args!("uwring: {error}: going on with the binary that runs"));
        }
        if let Err(error) = self.renew() {
            log::line(format_args!("uwring: {error}"));
            log::line(format_args!("reload: nothing was changed, the old server goes on"));
            return self.go_on();
        }
        if let Err(error) = self.spawn() {
            log::line(format_args!("reload: {error}: the old server goes on"));
            self.go_on();
        }
    }

    /// A reload came to nothing.
    fn go_on(&mut self) {
        if self.children.iter().any(|child| child.phase == Phase::Serving) {
            self.tell_ready();
        }
        // The one that was given up for it may have been the only one.
        if self.children.is_empty() && self.restart.is_none() {
            self.restart = Some(Instant::now() + self.wait);
        }
    }

    /// Whether a reload has to wait for the end of the start that is under way.
    fn reload_later(&mut self) -> bool {
        let Some(child) = self.children.iter().find(|child| child.phase == Phase::Starting) else {
            return false;
        };
        log::line(format_args!(
            "reload: a server process (pid: {}) is still starting, since {} s: the reload follows",
            child.pid,
            child.since.elapsed().as_secs()
        ));
        // However many are asked for meanwhile: one reload takes the code as it is then.
        self.reload_again = true;
        true
    }

    /// A reload that waits for no start: one that is under way is ended.
    pub(super) fn reload_at_once(&mut self) {
        self.reload();
        self.end_start(Duration::ZERO);
    }

    /// Ends a start that a reload waits for, if it hangs. One that is slow goes on: where reloads
    /// are asked for faster than the app loads, none would ever be done.
    pub(super) fn end_hung_start(&mut self) {
        let limit =
            self.made.options.recycling.start_timeout.map_or(START_LIMIT, Duration::from_secs);
        self.end_start(limit.max(self.longest_start * START_SLACK));
    }

    /// Ends a start that a reload waits for, if it has taken as long as `limit`.
    fn end_start(&mut self, limit: Duration) {
        let is_slow = |child: &&mut Child| {
            child.phase == Phase::Starting
                && !child.is_given_up
                && child.since.elapsed() >= limit
                && child.serves_nobody()
        };
        if self.reload_again
            && let Some(child) = self.children.iter_mut().find(is_slow)
        {
            log::line(format_args!(
                "reload: the server process that is starting (pid: {}) is killed, and another one \
                 starts",
                child.pid
            ));
            child.is_given_up = true;
            sys::kill(child.pid, libc::SIGKILL);
        }
    }

    /// Reads the configuration again and makes the sockets that it asks for.
    fn renew(&mut self) -> Result<(), StartError> {
        let options = self.origin.read_again(&self.made.options)?;
        for warning in &options.warnings {
            log::line(format_args!("uwring: warning: {warning}"));
        }
        for text in &options.prints {
            log::line(format_args!("{text}"));
        }
        let files = |options: &Options| (options.logto.clone(), options.logto2.clone());
        let is_moved = files(&options) != files(&self.made.options);
        let had_owner = self.made.log.is_some();
        log::Process::renew(&mut self.made.log, &options, self.origin.path())
            .map_err(StartError::new)?;
        if self.made.log.is_none() && (had_owner || is_moved || options.logs.reopen) {
            identity::open_log(&options, self.origin.path())?;
        }
        identity::environment(&options)?;
        identity::title(&options, "master");
        identity::change_directory(&options)?;
        hooks::run(&options, Moment::PreApp)?;
        let mut old = std::mem::take(&mut self.made.listeners);
        let shards = (self.role.shards)(&options);
        let result = listen::bind(&options, shards, &mut old);
        match result {
            Ok(listeners) => {
                // What nobody wants any more closes with the last process that serves it.
                listen::vacuum(&old);
                self.made.listeners = listeners;
            }
            Err(error) => {
                self.made.listeners = old;
                return Err(error);
            }
        }
        if options.stats != self.made.options.stats {
            self.stats = Stats::bind(&options)?;
        }
        fixed::warn(&self.made.options, &options);
        self.touches = self.touches.renewed(&options);
        self.made.options = options;
        self.is_renewed = true;
        Ok(())
    }

    /// A server process asks for its successor, with nothing read again.
    pub(super) fn replace(&mut self, index: usize) {
        if self.children[index].phase != Phase::Serving || self.ending.is_some() {
            return;
        }
        if let Some(child) = self.children.iter().find(|child| child.phase == Phase::Starting) {
            let (pid, seconds) = (child.pid, child.since.elapsed().as_secs());
            if seconds >= LONG_START_S {
                log::line(format_args!(
                    "the new server process (pid: {pid}) is still starting, since {seconds} s"
                ));
            }
        } else if let Err(error) = self.spawn() {
            log::line(format_args!("no successor: {error}"));
        }
    }

    /// A successor serves: the others retire.
    pub(super) fn crown(&mut self, index: usize) {
        let now = Instant::now();
        self.children[index].phase = Phase::Serving;
        self.children[index].crowned = Some(now);
        self.longest_start = self.longest_start.max(self.children[index].since.elapsed());
        let mercy = Duration::from_secs(self.made.options.reload_mercy.max(1)) + GRACE;
        for other in 0..self.children.len() {
            if other == index {
                continue;
            }
            let Ok(heir) = self.children[index].heir.try_clone() else { continue };
            let child = &mut self.children[other];
            child.leash.order(&Order::Retire(heir));
            if child.phase != Phase::Retiring {
                child.phase = Phase::Retiring;
                child.kill_at = Some(now + mercy);
            }
        }
        if self.ending.is_some() {
            self.children[index].leash.order(&Order::Stop);
        }
        if self.has_served && std::mem::take(&mut self.is_renewed) {
            self.daemons.renew(&self.made.options.daemons);
        }
        self.has_served = true;
        self.celebrate();
        self.daemon.ready();
        self.tell_ready();
        if std::mem::take(&mut self.reload_again) {
            self.reload();
        }
    }
}
