//! What a start makes outside of memory, and how it goes away again.

use super::{hooks, identity};
use crate::listen::{self, Listener};
use crate::log;
use crate::options::{Moment, Options};
use crate::sys;

/// What the process has made in the file system, removed if it does not start.
pub struct Made {
    pub options: Options,
    pub listeners: Vec<Listener>,
    pub pidfile: identity::Pidfiles,
    pub log: Option<log::Process>,
}

impl Made {
    /// Ends the process.
    pub fn end(&mut self, code: i32) -> ! {
        if let Err(error) = hooks::run(&self.options, Moment::AtExit) {
            log::line(format_args!("{error}"));
        }
        if self.options.vacuum {
            listen::vacuum(&self.listeners);
            self.pidfile.remove();
        }
        log::line(format_args!("goodbye to uwring."));
        if let Some(log) = self.log.take() {
            log.finish();
        }
        // No destructor may run while threads of interpreters exist.
        sys::exit_now(code)
    }
}

impl Drop for Made {
    /// Removes the sockets of a server that did not start, whose last words belong to whoever
    /// started it.
    fn drop(&mut self) {
        listen::vacuum(&self.listeners);
        if let Some(log) = self.log.take() {
            log.finish();
        }
    }
}
