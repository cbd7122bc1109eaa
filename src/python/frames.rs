//! The frames of an interpreter's own threads.
//!
//! `sys._current_frames()` walks through the threads of all interpreters, and makes frame objects
//! of what runs under another GIL at that moment: the process dies of a broken heap (3.13.0, two
//! interpreters, `free(): invalid pointer`). This walks through those of one, under their GIL.

use std::os::raw::c_ulong;
use std::sync::OnceLock;

use pyo3::ffi;

use super::{Dict, Object, Py};

unsafe extern "C" {
    /// Which ffi has not. Since 3.8.
    fn PyThread_get_thread_native_id() -> c_ulong;
}

/// A thread state's first words, among which its thread's ident is looked for. It has more of them.
const WORDS: usize = 32;

impl<'py> Py<'py> {
    /// Whether this is the interpreter that Python began with.
    pub fn is_in_first_interpreter(self) -> bool {
        // SAFETY: attached; both are read only.
        unsafe { ffi::PyInterpreterState_Get() == ffi::PyInterpreterState_Main() }
    }

    /// The frame that each of this interpreter's threads is in, by the thread's ident, as
    /// `sys._current_frames()` gives them. A thread that runs no Python code has none.
    pub fn own_frames(self) -> Dict<'py> {
        let at = ident_at();
        let mut found = Vec::new();
        // SAFETY: attached. Threads of this interpreter come and go under its GIL, which is not let
        // go of before the walk ends: nothing of the app's runs in it. A frame is a new reference,
        // or null. `at` is within each thread state, where the ident is (`find_ident`).
        unsafe {
            let mut state = ffi::PyInterpreterState_ThreadHead(ffi::PyInterpreterState_Get());
            while !state.is_null() {
                let frame = Object::from_new(ffi::PyThreadState_GetFrame(state).cast());
                if let (Some(frame), Some(at)) = (frame, at) {
                    let ident = state.cast::<c_ulong>().add(at).read_volatile();
                    found.push((ident, frame));
                }
                state = ffi::PyThreadState_Next(state);
            }
        }
        let frames = Dict::new(self);
        for (ident, frame) in found {
            frames.set(&self.int(ident as i64), &frame);
        }
        frames
    }
}

/// Which word of a thread state is its thread's ident. The type is opaque, and each minor has its
/// own.
fn ident_at() -> Option<usize> {
    static AT: OnceLock<usize> = OnceLock::new();
    AT.get().copied().or_else(|| find_ident().map(|at| *AT.get_or_init(|| at)))
}

/// Looks through this thread's own state: there, the ident and behind it the kernel's number of the
/// thread stand together, and no other two words are these.
fn find_ident() -> Option<usize> {
    // SAFETY: whoever asks is attached.
    let (state, ident) = unsafe { (ffi::PyThreadState_Get(), ffi::PyThread_get_thread_ident()) };
    // SAFETY: no pointer is passed.
    let native = unsafe { PyThread_get_thread_native_id() };
    let words = state.cast::<c_ulong>();
    // SAFETY: the state is this thread's own, and longer than so many words (3.12: 36, 3.13: 38).
    let word = |index: usize| unsafe { words.add(index).read_volatile() };
    (0..WORDS - 1).find(|&index| word(index) == ident && word(index + 1) == native)
}
