//! `Interpreter` and `Thread`: one interpreter, and one OS thread's way into it.

use pyo3::ffi;

use super::object::Py;

/// One interpreter, shared by its threads. It lives as long as the process: ending an own-GIL
/// interpreter leaks below 3.14, so it is left to `_exit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interpreter(*mut ffi::PyInterpreterState);

// SAFETY: the pointer is only used to make thread states, which takes the interpreter's own lock.
unsafe impl Send for Interpreter {}
// SAFETY: as above.
unsafe impl Sync for Interpreter {}

impl Interpreter {
    pub(super) fn raw(self) -> *mut ffi::PyInterpreterState {
        self.0
    }

    /// A way in for the calling thread. Never PyGILState_Ensure: that would attach a foreign thread to
    /// the main interpreter.
    pub fn enter(self) -> Thread {
        // SAFETY: the interpreter lives as long as the process.
        let state = unsafe { ffi::PyThreadState_New(self.0) };
        Thread { state, interpreter: self }
    }

    /// A number that differs between the interpreters of a process.
    pub fn id(self) -> i64 {
        // SAFETY: the interpreter lives as long as the process.
        unsafe { ffi::PyInterpreterState_GetID(self.0) }
    }

    /// The interpreter's address, for the start-up line that uWSGI prints it in.
    pub fn address(self) -> usize {
        self.0 as usize
    }
}

/// One OS thread's state in one interpreter. Stays on the thread that made it.
pub struct Thread {
    state: *mut ffi::PyThreadState,
    interpreter: Interpreter,
}

impl Thread {
    /// The state that this thread is attached with now; detaches it.
    ///
    /// # Safety
    /// The calling thread is attached.
    pub(super) unsafe fn of_current() -> Thread {
        // SAFETY: attached, as the caller says.
        unsafe {
            let interpreter = Interpreter(ffi::PyInterpreterState_Get());
            Thread { state: ffi::PyEval_SaveThread(), interpreter }
        }
    }

    pub fn interpreter(&self) -> Interpreter {
        self.interpreter
    }

    /// Runs `work` attached to the interpreter, after waiting for its GIL.
    pub fn attach<R>(&self, work: impl FnOnce(Py<'_>) -> R) -> R {
        /// Detaches also when `work` unwinds.
        struct Leave;
        impl Drop for Leave {
            fn drop(&mut self) {
                // SAFETY: attached since RestoreThread below.
                unsafe { ffi::PyEval_SaveThread() };
            }
        }
        // SAFETY: the state belongs to this thread (`Thread` is not Send) and is detached: `attach`
        // is not called inside itself, which would deadlock at once.
        unsafe { ffi::PyEval_RestoreThread(self.state) };
        let _leave = Leave;
        // SAFETY: attached until `_leave` is dropped.
        work(unsafe { Py::assume() })
    }
}
