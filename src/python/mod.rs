//! What it does: THE FENCE. All unsafe code about CPython, behind a safe surface of about ten
//! names.
//! What it does not: know of WSGI, requests or options; hold a Python object in a `static`.
//! Who may call it: wsgi, api, isolation, and server to start the runtime.
//! What it may import: pyo3::ffi, std, bytes; no other room.
//!
//! `Py<'py>` proves that this thread is attached to an interpreter; everything that touches a
//! Python object asks for it or carries it. PyO3's safe layer keeps process-wide state and crashes
//! with two interpreters (docs/decisions.md), so only its `ffi` is used, and only here.
#![allow(unsafe_code)]

mod config;
mod containers;
mod exception;
mod frames;
mod interpreter;
mod interrupt;
mod native;
mod object;
mod pinned;
mod runtime;
mod text;

pub use config::Config;
pub use containers::Dict;
pub use exception::{Exception, Kind};
pub use interpreter::{Interpreter, Thread};
pub use native::{Args, Function, KeptNative, Native, Type};
pub use object::{Kept, Object, Py};
pub use pinned::{Home, Pinned};
pub use runtime::{Forked, Runtime, fork, version};
