//! What it does: decides what workers are made of, and forks the ones that are processes.
//! What it does not: serve requests.
//! Who may call it: server, before any thread exists.
//! What it may import: python, wsgi, options, shared, log, sys.

mod probe;
mod spawner;

pub use probe::{Verdict, probe};
pub use spawner::{Event, Spawner};

use crate::python::{Config, Runtime};

/// How Python is started, in whichever process.
#[derive(Debug, Clone)]
pub struct Embedding {
    pub config: Config,
}

impl Embedding {
    /// Initialises Python in this process.
    ///
    /// # Errors
    /// Python's message, with the likely cause.
    pub fn start(&self) -> Result<Runtime, String> {
        Runtime::start(&self.config).map_err(|message| {
            format!(
                "Python could not be started with {}: {message}; is that installation complete, and may this user read it?",
                self.config.executable
            )
        })
    }
}
