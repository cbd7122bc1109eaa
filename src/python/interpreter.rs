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
    /// A way in for the calling thread. Never PyGILState_Ensure: that would attach a foreign thread
    /// to the main interpreter.
    pub fn enter(self) -> Thread {
        Thread { state: self.new_state(), interpreter: self }
    }

    pub(super) fn new_state(self) -> *mut ffi::PyThreadState {
        // SAFETY: the interpreter lives as long as the process.
        unsafe { ffi::PyThreadState_New(self.0) }
    }

    /// A new interpreter with its own GIL, seen from the calling thread. `self` is the main one.
    ///
    /// # Errors
    /// Python's message.
    #[cfg(Py_3_13)]
    pub fn new_sibling(self) -> Result<Thread, String> {
        let config = ffi::PyInterpreterConfig {
            use_main_obmalloc: 0,
            // A fork in a sub-interpreter kills the child: an exception is better.
            allow_fork: 0,
            allow_exec: 0,
            allow_threads: 1,
            allow_daemon_threads: 1,
            check_multi_interp_extensions: 1,
            gil: ffi::PyInterpreterConfig_OWN_GIL,
        };
        // SAFETY: the main interpreter outlives every thread; a state of it is attached only to be
        // replaced by the new interpreter's, and is detached again when that failed.
        unsafe {
            ffi::PyEval_RestoreThread(ffi::PyThreadState_New(self.0));
            let mut state = std::ptr::null_mut();
            let status = ffi::Py_NewInterpreterFromConfig(&raw mut state, &raw const config);
            if ffi::PyStatus_Exception(status) != 0 {
                ffi::PyEval_SaveThread();
                return Err(super::runtime::message_of(&status));
            }
            Ok(Thread::of_current())
        }
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
