//! What changes a running server: a reload, a successor that was asked for, a death.

use std::time::{Duration, Instant};

use super::children::{Child, Phase};
use super::touch::Touches;
use super::{Master, SHORT_LIFE, WAIT_MAX, hooks, identity};
use crate::error::StartError;
use crate::listen;
use crate::log;
use crate::options::{Moment, Options};
use crate::stats::Stats;
use crate::sys;
use crate::sys::signals;

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
        if self.children.iter().any(|child| child.phase == Phase::Starting) {
            self.reload_again = true;
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
            self.notify.ready(&self.status());
            return;
        }
        if let Err(error) = self.spawn() {
            log::line(format_args!("reload: {error}: the old server goes on"));
            self.notify.ready(&self.status());
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
        self.touches = Touches::new(&options);
        self.made.options = options;
        self.is_renewed = true;
        Ok(())
    }

    /// A server process ended. The exit code of the master, if this is its end too.
    pub(super) fn mourn(
        &mut self,
        child: &Child,
        how: sys::Ended,
    ) -> Result<Option<i32>, StartError> {
        if self.ending.is_some() || child.phase == Phase::Retiring {
            return Ok(None);
        }
        let pid = child.pid;
        let serves = self.children.iter().any(|child| child.phase == Phase::Serving);
        if child.phase == Phase::Starting {
            if serves {
                log::line(format_args!(
                    "the new server process (pid: {pid}) did not start ({}): the old one goes on",
                    describe(how)
                ));
                self.notify.ready(&self.status());
                if std::mem::take(&mut self.reload_again) {
                    self.reload();
                }
                return Ok(None);
            }
            if !self.has_served {
                // It has said why; uWSGI's exit codes are its own.
                return Ok(Some(match how {
                    sys::Ended::Exited(code) => code,
                    sys::Ended::Killed(signal) => {
                        log::line(format_args!(
                            "the server process (pid: {pid}) died while it started ({})",
                            signals::name(signal)
                        ));
                        1
                    }
                }));
            }
        }
        let starts = self.children.iter().any(|child| child.phase == Phase::Starting);
        if serves || starts {
            return Ok(None); // A successor is there, or on its way.
        }
        let lived = child.since.elapsed();
        let wait = if lived < SHORT_LIFE || child.phase == Phase::Starting {
            let wait = self.wait;
            self.wait = (self.wait * 2).min(WAIT_MAX);
            wait
        } else {
            self.wait = SHORT_LIFE;
            Duration::ZERO
        };
        let when = match wait.as_secs() {
            0 => "now".to_owned(),
            seconds => format!("in {seconds} s, since it lived {:.1} s", lived.as_secs_f32()),
        };
        let how_text = describe(how);
        let text = format!(
            "DAMN ! server process (pid: {pid}) died, {how_text} :( trying respawn {when} ..."
        );
        if how.is_crash() {
            log::crash(&text);
        } else {
            log::line(format_args!("{text}"));
        }
        self.restart = Some(Instant::now() + wait);
        Ok(None)
    }
}

fn describe(how: sys::Ended) -> String {
    match how {
        sys::Ended::Exited(code) => format!("exit code {code}"),
        sys::Ended::Killed(signal) => format!("killed by {}", signals::name(signal)),
    }
}
