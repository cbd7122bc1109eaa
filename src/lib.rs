//! uwring: a Python application server that takes uWSGI's place.
//!
//! The map of the house, in reading order: a request enters at `shard`, is understood by `proto`,
//! crosses to Python through `handoff`, meets the app in `wsgi`, and goes back the same way.

pub mod error;
pub mod options;

#[cfg(feature = "server")]
pub mod proto;
#[cfg(feature = "server")]
pub mod request;
#[cfg(feature = "server")]
pub mod server;
