//! Signals, turned into readable descriptors.

use std::io::{self, Read};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use signal_hook::SigId;

/// The signals that a process listens to.
pub struct Signals(Vec<Heard>);

/// Whether this process is still starting, which gives some signals another meaning.
pub struct Starting(Arc<AtomicBool>);

impl Default for Starting {
    fn default() -> Starting {
        Starting(Arc::new(AtomicBool::new(true)))
    }
}

impl Starting {
    /// While the start goes on, each of these signals ends this process, whoever else listens.
    ///
    /// # Errors
    /// The kernel's.
    pub fn ends_at(&self, signals: &[i32]) -> io::Result<()> {
        for &signal in signals {
            signal_hook::flag::register_conditional_default(signal, Arc::clone(&self.0))?;
        }
        Ok(())
    }

    /// From here on the process serves.
    pub fn finish(&self) {
        self.0.store(false, SeqCst);
    }
}

struct Heard {
    signal: i32,
    stream: UnixStream,
    id: SigId,
}

impl Signals {
    /// Begins to listen. Handlers, not a signalfd: blocked signals would pass to children, which
    /// then ignore `terminate()`.
    ///
    /// # Errors
    /// The kernel's.
    pub fn listen(signals: &[i32]) -> io::Result<Signals> {
        let mut heard = Vec::new();
        for &signal in signals {
            let (stream, write) = UnixStream::pair()?;
            stream.set_nonblocking(true)?;
            let id = signal_hook::low_level::pipe::register(signal, write)?;
            heard.push(Heard { signal, stream, id });
        }
        Ok(Signals(heard))
    }

    /// Readable when a signal came.
    pub fn fds(&self) -> impl Iterator<Item = RawFd> + '_ {
        self.0.iter().map(|heard| heard.stream.as_raw_fd())
    }

    /// The signals that came since the last call.
    pub fn take(&mut self) -> Vec<i32> {
        let mut came = Vec::new();
        for heard in &mut self.0 {
            let mut bytes = [0; 64];
            if matches!(heard.stream.read(&mut bytes), Ok(count) if count > 0) {
                came.push(heard.signal);
            }
        }
        came
    }

    /// For a forked child: its signals are none of the parent's.
    pub fn forget(self) {
        for heard in self.0 {
            signal_hook::low_level::unregister(heard.id);
        }
    }
}

/// The signal's name.
pub fn name(signal: i32) -> String {
    let known = [
        (libc::SIGTERM, "SIGTERM"),
        (libc::SIGINT, "SIGINT"),
        (libc::SIGQUIT, "SIGQUIT"),
        (libc::SIGHUP, "SIGHUP"),
        (libc::SIGUSR1, "SIGUSR1"),
        (libc::SIGUSR2, "SIGUSR2"),
        (libc::SIGSEGV, "SIGSEGV"),
        (libc::SIGBUS, "SIGBUS"),
        (libc::SIGABRT, "SIGABRT"),
        (libc::SIGKILL, "SIGKILL"),
        (libc::SIGILL, "SIGILL"),
        (libc::SIGFPE, "SIGFPE"),
        (libc::SIGTSTP, "SIGTSTP"),
    ];
    let name = known.iter().find(|(number, _)| *number == signal);
    name.map_or_else(|| format!("signal {signal}"), |(_, name)| (*name).to_owned())
}
