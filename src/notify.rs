//! What it does: systemd's notifications (sd_notify(3)): ready, reloading, stopping, alive.
//! What it does not: decide when; without a master the server process tells, else the master.
//! Who may call it: master, server.
//! What it may import: options (the environment), log, sys (the clock).

use std::ffi::OsStr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

use crate::log;
use crate::options::Environment;
use crate::sys;

/// Server processes tell each second that they run; a busy machine delays it.
const PATIENCE_MIN: Duration = Duration::from_secs(3);

/// The service manager's socket, if there is one.
pub struct Notify {
    to: Option<(UnixDatagram, SocketAddr)>,
    /// How often it wants to hear, and when it heard last.
    every: Option<Duration>,
    told: Instant,
    /// It was said that nobody hears.
    is_unheard: bool,
}

impl Notify {
    /// Reads NOTIFY_SOCKET and WATCHDOG_USEC.
    pub fn from_env(env: &Environment) -> Notify {
        let find = |name: &str| env.iter().find(|(key, _)| key == name).map(|(_, value)| value);
        let to = find("NOTIFY_SOCKET").and_then(|path| {
            let socket = UnixDatagram::unbound().ok()?;
            // Without waiting: one whose queue is full must not stop us.
            socket.set_nonblocking(true).ok()?;
            let to = address(path);
            if to.is_none() {
                let path = path.display();
                log::line(format_args!("NOTIFY_SOCKET={path} is no address: nothing is told"));
            }
            Some((socket, to?))
        });
        let number = |name: &str| find(name)?.to_str()?.parse::<u64>().ok();
        // Half the limit, as systemd advises.
        let ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let every = number("WATCHDOG_USEC").filter(|_| ours);
        let every = every.map(|us| Duration::from_micros(us / 2));
        Notify { to, every, told: Instant::now(), is_unheard: false }
    }

    /// A service manager that does not listen ends nothing, but it waits in vain.
    fn tell(&mut self, text: &str) {
        let Some((socket, address)) = &self.to else { return };
        let result = socket.send_to_addr(text.as_bytes(), address);
        if let Err(error) = result
            && !std::mem::replace(&mut self.is_unheard, true)
        {
            log::line(format_args!(
                "NOTIFY_SOCKET cannot be reached ({error}): the service manager does not hear that \
                 the server is ready or well"
            ));
        }
    }

    /// For how long a process may be silent that the service manager is told of as well.
    pub fn patience(&self) -> Duration {
        self.every.map_or(PATIENCE_MIN, |every| every.max(PATIENCE_MIN))
    }

    /// When the next word is due.
    pub fn due_in(&self) -> Option<Duration> {
        Some(self.every?.saturating_sub(self.told.elapsed()))
    }

    /// `workers` serve.
    pub fn ready(&mut self, workers: usize) {
        let workers = workers.max(1);
        self.tell(&format!("STATUS=uwring serves, {workers} worker(s)\nREADY=1\n"));
    }

    pub fn reloading(&mut self) {
        let us = sys::monotonic_us();
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={us}\nSTATUS=uwring reloads\n"));
    }

    pub fn stopping(&mut self) {
        self.tell("STOPPING=1\nSTATUS=uwring finishes its requests\n");
    }

    /// Tells that all is well, as often as it is wanted.
    pub fn alive(&mut self) {
        if self.every.is_some_and(|every| self.told.elapsed() >= every) {
            self.told = Instant::now();
            self.tell("WATCHDOG=1\n");
        }
    }
}

/// `/run/...`, or `@name` in the abstract namespace.
fn address(path: &OsStr) -> Option<SocketAddr> {
    match path.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name).ok(),
        None => SocketAddr::from_pathname(path).ok(),
    }
}
