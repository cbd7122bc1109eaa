//! uwring: a Python application server that takes uWSGI's place.
//!
//! The map of the house, in reading order: a request enters at `shard`, is understood by `proto`,
//! crosses to Python through `handoff`, meets the app in `wsgi`, and goes back the same way.

// What the user asked for; the launcher needs no more than this.
pub mod error;
pub mod options;
pub mod sys;

// The walk of a request.
#[cfg(feature = "server")]
pub mod files;
#[cfg(feature = "server")]
pub mod handoff;
#[cfg(feature = "server")]
pub mod proto;
#[cfg(feature = "server")]
pub mod request;
#[cfg(feature = "server")]
pub mod response;
#[cfg(feature = "server")]
pub mod shard;
#[cfg(feature = "server")]
pub mod wsgi;

// Python.
#[cfg(feature = "server")]
pub mod api;
#[cfg(feature = "server")]
pub mod isolation;
#[cfg(feature = "server")]
pub mod python;

// The server around it.
#[cfg(feature = "server")]
pub mod listen;
#[cfg(feature = "server")]
pub mod log;
#[cfg(feature = "server")]
pub mod master;
#[cfg(feature = "server")]
pub mod notify;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "server")]
pub mod shared;
#[cfg(feature = "server")]
pub mod stats;
