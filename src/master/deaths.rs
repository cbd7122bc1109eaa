//! Server processes that ended.

use std::time::{Duration, Instant};

use super::children::{Child, Phase};
use super::{Master, SHORT_LIFE, WAIT_MAX};
use crate::error::StartError;
use crate::log;
use crate::sys;
use crate::sys::signals;

impl Master {
    /// Looks after server processes that ended. The exit code, when the last one did at the end.
    pub(super) fn bury(&mut self) -> Result<Option<i32>, StartError> {
        // All children of ours, and as PID 1 those that others left behind.
        while let Some((pid, how)) = sys::reap() {
            if let Some(log) = &mut self.made.log {
                log.bury(pid);
            }
            let Some(index) = self.children.iter().position(|child| child.pid == pid) else {
                if self.daemons.bury(pid, how) == Some(true) {
                    self.stop(0);
                }
                self.crontab.bury(pid);
                continue;
            };
            self.save_connections();
            let child = self.children.remove(index);
            child.disinherit();
            if let Some(code) = self.mourn(&child, how)? {
                return Ok(Some(code));
            }
        }
        match &self.ending {
            // Requests that run to their end may need them.
            Some(ending) if self.children.is_empty() && self.daemons.end() => Ok(Some(ending.code)),
            _ => Ok(None),
        }
    }

    /// A server process ended. The exit code of the master, if this is its end too.
    fn mourn(&mut self, child: &Child, how: sys::Ended) -> Result<Option<i32>, StartError> {
        if self.ending.is_some() || child.phase == Phase::Retiring {
            return Ok(None);
        }
        let pid = child.pid;
        if child.is_given_up {
            self.reload_again = false;
            self.reload();
            return Ok(None);
        }
        let serves = self.children.iter().any(|child| child.phase == Phase::Serving);
        if child.phase == Phase::Starting {
            if serves {
                log::line(format_args!(
                    "the new server process (pid: {pid}) did not start ({}): the old one goes on",
                    describe(how)
                ));
                self.tell_ready();
                if std::mem::take(&mut self.reload_again) {
                    self.reload();
                }
                return Ok(None);
            }
            if !self.has_served {
                log::line(format_args!(
                    "the server process (pid: {pid}) ended while it started ({})",
                    describe(how)
                ));
                return Ok(Some(match how {
                    // The app's own word, os._exit(0), is no success of the start.
                    sys::Ended::Exited(0) | sys::Ended::Killed(_) => 1,
                    // uWSGI's exit codes are its own.
                    sys::Ended::Exited(code) => code,
                }));
            }
        }
        let starts = self.children.iter().any(|child| child.phase == Phase::Starting);
        if serves || starts {
            return Ok(None); // A successor is there, or on its way.
        }
        let (lived, served) = (child.since.elapsed(), child.served());
        let wait = if served < SHORT_LIFE {
            let wait = self.wait;
            self.wait = (self.wait * 2).min(WAIT_MAX);
            wait
        } else {
            self.wait = SHORT_LIFE;
            Duration::ZERO
        };
        let when = match wait.as_secs() {
            0 => "now".to_owned(),
            seconds if served.is_zero() => {
                format!("in {seconds} s, since it lived {:.1} s", lived.as_secs_f32())
            }
            seconds => format!("in {seconds} s, since it served {:.1} s", served.as_secs_f32()),
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
