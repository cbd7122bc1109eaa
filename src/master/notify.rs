//! systemd's notifications (sd_notify(3)): ready, reloading, stopping, alive.

use std::ffi::OsStr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

use crate::options::Environment;

/// The service manager's socket, if there is one.
pub struct Notify {
    to: Option<(UnixDatagram, SocketAddr)>,
    /// How often it wants to hear, and when it heard last.
    every: Option<Duration>,
    told: Instant,
}

impl Notify {
    /// Reads NOTIFY_SOCKET and WATCHDOG_USEC.
    pub fn from_env(env: &Environment) -> Notify {
        let find = |name: &str| env.iter().find(|(key, _)| key == name).map(|(_, value)| value);
        let to = find("NOTIFY_SOCKET").and_then(|path| {
            let socket = UnixDatagram::unbound().ok()?;
            Some((socket, address(path)?))
        });
        let number = |name: &str| find(name)?.to_str()?.parse::<u64>().ok();
        // Half the limit, as systemd advises.
        let ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let every = number("WATCHDOG_USEC").filter(|_| ours);
        let every = every.map(|us| Duration::from_micros(us / 2));
        Notify { to, every, told: Instant::now() }
    }

    fn tell(&self, text: &str) {
        if let Some((socket, address)) = &self.to {
            // A service manager that does not listen is not our trouble.
            let _ = socket.send_to_addr(text.as_bytes(), address);
        }
    }

    pub fn ready(&self, status: &str) {
        self.tell(&format!("STATUS={status}\nREADY=1\n"));
    }

    pub fn reloading(&self) {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let us = now.tv_sec * 1_000_000 + now.tv_nsec / 1000;
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={us}\nSTATUS=uwring reloads\n"));
    }

    pub fn stopping(&self) {
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
