//! Commands that run at times.

use std::time::{Duration, Instant};

use super::hooks;
use crate::log;
use crate::options::Cron;
use crate::shared::now_us;
use crate::sys;

/// All of them, and what of them runs.
#[derive(Default)]
pub struct Crontab {
    /// The last minute that was looked at, since the epoch.
    minute: u64,
    running: Vec<Running>,
}

struct Running {
    pid: i32,
    cron: Cron,
    since: Instant,
}

impl Crontab {
    /// Starts what this minute asks for. As in uWSGI the minute of the start counts.
    pub fn tick(&mut self, crons: &[Cron]) {
        self.end_late();
        let minute = now_us() / 60_000_000;
        if crons.is_empty() || minute == self.minute {
            return;
        }
        self.minute = minute;
        let now = sys::child::local_minute((minute * 60) as i64);
        for cron in crons.iter().filter(|cron| cron.fits(now)) {
            if cron.unique && self.running.iter().any(|running| running.cron == *cron) {
                continue;
            }
            match hooks::start(&cron.command) {
                Ok(pid) => {
                    let command = &cron.command;
                    log::line(format_args!("[uwsgi-cron] running \"{command}\" (pid {pid})"));
                    let since = Instant::now();
                    self.running.push(Running { pid, cron: cron.clone(), since });
                }
                Err(error) => log::line(format_args!("[uwsgi-cron] {error}")),
            }
        }
    }

    fn end_late(&mut self) {
        for running in &mut self.running {
            let Some(limit) = running.cron.harakiri else { continue };
            if running.since.elapsed() >= Duration::from_secs(limit) {
                log::line(format_args!(
                    "*** HARAKIRI: the cron command \"{}\" (pid {}) is killed after {limit} s ***",
                    running.cron.command, running.pid
                ));
                // Its whole session.
                sys::kill(-running.pid, libc::SIGKILL);
                running.cron.harakiri = None;
            }
        }
    }

    /// Whether the process that ended was one of these.
    pub fn bury(&mut self, pid: i32) -> bool {
        let Some(at) = self.running.iter().position(|running| running.pid == pid) else {
            return false;
        };
        let Running { cron, since, .. } = self.running.swap_remove(at);
        log::line(format_args!(
            "[uwsgi-cron] command \"{}\" running with pid {pid} exited after {} second(s)",
            cron.command,
            since.elapsed().as_secs()
        ));
        true
    }
}
