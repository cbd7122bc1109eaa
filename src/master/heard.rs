//! What people ask of the master: by signals, and by letters in the MasterFIFO.

use super::Master;
use crate::log;
use crate::shared::link::Order;
use crate::sys::signals;

impl Master {
    /// Acts on a signal, as uWSGI's master does, but for TERM: it stops, gracefully.
    pub(super) fn hear(&mut self, signal: i32) {
        if self.obey_hook(signal) {
            return;
        }
        match signal {
            libc::SIGHUP => {
                log::line(format_args!("...gracefully killing workers..."));
                self.reload();
            }
            libc::SIGTERM | libc::SIGINT | libc::SIGQUIT => {
                let name = signals::name(signal);
                if self.ending.is_some() && signal == libc::SIGINT {
                    log::line(format_args!("second SIGINT: leaving at once"));
                    self.quit();
                } else {
                    log::line(format_args!("{name} received: finishing the requests in flight"));
                    self.stop(0);
                }
            }
            libc::SIGUSR1 | libc::SIGUSR2 => self.order(&Order::Status),
            libc::SIGTSTP => self.order(&Order::Pause),
            _ => {}
        }
    }

    /// Has log files reopened or rotated.
    pub(super) fn change_log(&self, change: log::Change) {
        match &self.made.log {
            Some(log) => log.order(change),
            None => log::line(format_args!("the log is no file: there is nothing to reopen")),
        }
    }

    /// uWSGI's MasterFIFO.
    pub(super) fn command(&mut self, command: u8) {
        match command {
            b'r' | b'c' | b'w' | b'f' => {
                log::line(format_args!("...gracefully killing workers..."));
                self.reload();
            }
            // uWSGI: the brutal ones. What serves is finished all the same.
            b'R' | b'W' => {
                log::line(format_args!("...gracefully killing workers..."));
                self.reload_at_once();
            }
            b'q' => self.stop(0),
            b'Q' => {
                self.stop(0);
                self.quit();
            }
            b's' => self.order(&Order::Status),
            b'p' => self.order(&Order::Pause),
            b'+' => self.order(&Order::More),
            b'-' => self.order(&Order::Less),
            b'C' => self.order(&Order::Cheap),
            b'P' => self.made.pidfile.renew(),
            b'l' => self.change_log(log::Change::Reopen),
            b'L' => self.change_log(log::Change::Rotate),
            b'\n' | b'\r' | b' ' => {}
            b'0'..=b'9' | b'B' | b'E' | b'S' => {
                let why = match command {
                    b'B' => "asks the Emperor for help: there is none here",
                    b'E' => "has the Emperor look for vassals: there is none here",
                    b'S' => "stops and resumes subscriptions: there are none here",
                    _ => "chooses one of several pipes: here all are heard at any time",
                };
                let letter = char::from(command);
                log::line(format_args!("master-fifo: '{letter}' does nothing; in uWSGI it {why}"));
            }
            other => log::line(format_args!(
                "master-fifo: unknown command '{}' (r reload, q stop, Q stop at once, s status, \
                 p pause and resume, + and - a worker more or less, C none until a request comes, \
                 P pidfiles, l reopen the log, L rotate it)",
                other.escape_ascii()
            )),
        }
    }
}
