//! Looking into a thread that runs too long: an exception at its next bytecode, its stack in the
//! log.

use pyo3::ffi;

use super::exception::Exception;
use super::interpreter::{Interpreter, Thread};
use super::object::{Object, Py};

impl Interpreter {
    /// Runs `work` attached to the interpreter with a thread state that ends with it. Waits for the
    /// GIL as long as it takes.
    pub fn visit<R>(self, work: impl FnOnce(Py<'_>) -> R) -> R {
        /// Ends the thread state also when `work` unwinds.
        struct Leave(*mut ffi::PyThreadState);
        impl Drop for Leave {
            fn drop(&mut self) {
                // SAFETY: attached with this state since RestoreThread below.
                unsafe {
                    ffi::PyThreadState_Clear(self.0);
                    ffi::PyThreadState_DeleteCurrent();
                }
            }
        }
        let state = self.new_state();
        // SAFETY: a new state of this thread's, which is attached to nothing.
        unsafe { ffi::PyEval_RestoreThread(state) };
        let _leave = Leave(state);
        // SAFETY: attached until `_leave` is dropped.
        work(unsafe { Py::assume() })
    }
}

impl Thread {
    /// Python's name for the calling thread, which `interrupt` takes.
    pub fn ident(&self) -> u64 {
        own_ident()
    }
}

fn own_ident() -> u64 {
    // SAFETY: needs nothing; the id of the calling thread.
    unsafe { ffi::PyThread_get_thread_ident() as u64 }
}

impl Py<'_> {
    /// Leaves an exception of `class` in the thread `ident` of this interpreter, which raises it at
    /// its next bytecode. False if the interpreter has no such thread.
    pub fn interrupt(self, ident: u64, class: &Object<'_>) -> bool {
        // SAFETY: attached; the thread takes a reference of its own to the live class.
        unsafe { ffi::PyThreadState_SetAsyncExc(ident as libc::c_long, class.as_ptr()) == 1 }
    }

    /// Takes back what `interrupt` left in the calling thread, if it was not raised yet.
    pub fn forget_interrupt(self) {
        let ident = own_ident() as libc::c_long;
        // SAFETY: attached; null takes the exception back.
        unsafe { ffi::PyThreadState_SetAsyncExc(ident, std::ptr::null_mut()) };
    }

    /// Makes `signal` write the Python stack of the thread that it comes to on descriptor 2, by C
    /// code alone. Only in the main interpreter.
    ///
    /// # Errors
    /// What faulthandler raised.
    pub fn dump_stack_at(self, signal: i32) -> Result<(), Exception> {
        let faulthandler = self.import("faulthandler")?;
        let (signal, stderr) = (self.int(i64::from(signal)), self.int(2));
        let no = self.bool(false);
        faulthandler.call_method("register", [&signal, &stderr, &no, &no]).map(drop)
    }
}
