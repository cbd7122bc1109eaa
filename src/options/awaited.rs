//! What must be there before the server starts: `wait-for-fs` and its kin.

use std::path::PathBuf;

use super::value::{Address, Value, Wrong};

/// All that is waited for, in the order written, and for how many seconds each at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Awaited {
    pub things: Vec<Thing>,
    pub interface_s: u64,
    pub file_s: u64,
    pub socket_s: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Thing {
    /// A network interface, by its name.
    Interface(String),
    /// Anything in the file system.
    File(PathBuf),
    /// A directory that something is mounted on.
    Mountpoint(PathBuf),
    /// An address that somebody listens at, and how it was written.
    Socket(Address, String),
}

impl Default for Awaited {
    fn default() -> Awaited {
        // uWSGI's.
        Awaited { things: Vec::new(), interface_s: 60, file_s: 60, socket_s: 60 }
    }
}

/// A socket that is waited for.
pub(super) fn socket(value: Value<'_>) -> Result<Thing, Wrong> {
    Ok(Thing::Socket(value.address()?, value.text()?.to_owned()))
}
