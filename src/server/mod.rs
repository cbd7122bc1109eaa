//! What this room does: runs the server process: shards, workers, readiness, drain.
//! What it does not: it parses no options and touches no Python object.
//! Who may call it: `main`.
//! What it may import: shard, wsgi, isolation, handoff, options, shared, stats, log, sys; no pyo3.

use crate::error::StartError;
use crate::options::Options;

/// Serves until it is told to stop; returns the exit code.
pub fn run(options: Options) -> Result<i32, StartError> {
    drop(options);
    Err(StartError::new("this build cannot serve yet"))
}
