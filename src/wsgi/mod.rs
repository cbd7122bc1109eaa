//! What it does: PEP 3333 in safe Rust: a worker's loop, environ, the response, the input.
//! What it does not: sockets, protocols, unsafe code.
//! Who may call it: server and isolation, to run workers.
//! What it may import: python, api, request, handoff, shared, options, log, sys.

mod app;
mod call;
mod crash;
mod environ;
mod file_wrapper;
mod gzip;
mod headers;
mod input;
mod mount;
mod own_send;
mod refusal;
mod reply;
mod template;
mod worker;

pub use crate::api::{Autoreload, Facts};
pub use app::{Boot, LoadError, Place, Rule, Source as AppSource};
#[doc(hidden)] // For benches/python.rs.
pub use call::Local;
pub use crash::watch as watch_crashes;
#[doc(hidden)] // For benches/python.rs.
pub use environ::Builder;
pub use environ::Fixed;
pub use refusal::refusals;
pub use worker::{
    Loaded, Plan, STACK_BYTES, announce, enter_second_directory, report_load, run_threads,
};
