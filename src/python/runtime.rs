//! `Runtime`: Python itself, initialised once in a process, on its first thread.

use std::ffi::CString;

use pyo3::ffi;

use super::config::Config;
use super::interpreter::Thread;
use super::object::Py;

/// The initialised Python of this process. It is never finalised: processes end by `_exit`.
pub struct Runtime {
    main: Thread,
}

impl Runtime {
    /// Initialises Python on the calling thread, which must be the process's first.
    ///
    /// # Errors
    /// Python's own message (a broken installation, a venv whose Python is gone).
    pub fn start(config: &Config) -> Result<Runtime, String> {
        initialise(config)?;
        // SAFETY: initialisation left this thread attached to the main interpreter.
        let main = unsafe { Thread::of_current() };
        // Without it, two own-GIL interpreters of 3.13 crash on `import datetime`
        // (facts: subinterpreters, the crash list).
        let _ = main.attach(|py| py.import("datetime").map(drop).map_err(|e| e.summary(py)));
        // A crash in native code shows the Python stacks of its process.
        let _ = main.attach(|py| {
            let faulthandler = py.import("faulthandler");
            let enabled = faulthandler.and_then(|f| f.call_method("enable", []).map(drop));
            enabled.map_err(|error| error.summary(py))
        });
        Ok(Runtime { main })
    }

    /// The main interpreter, seen from the thread that started the runtime.
    pub fn main(&self) -> &Thread {
        &self.main
    }
}

/// The version and the build of this Python, as `sys.version` has them; before it is initialised
/// too.
pub fn version() -> String {
    // SAFETY: needs no initialised Python and returns a static NUL-terminated text.
    unsafe { std::ffi::CStr::from_ptr(ffi::Py_GetVersion()) }.to_string_lossy().into_owned()
}

/// The message of a failed status.
pub(super) fn message_of(status: &ffi::PyStatus) -> String {
    if status.err_msg.is_null() {
        return "no message".to_owned();
    }
    // SAFETY: a status's message is a NUL-terminated static text.
    unsafe { std::ffi::CStr::from_ptr(status.err_msg) }.to_string_lossy().into_owned()
}

fn initialise(config: &Config) -> Result<(), String> {
    let executable = CString::new(config.executable.as_str()).map_err(|e| e.to_string())?;
    let program = config.program.as_ref().unwrap_or(&config.executable);
    let program = CString::new(program.as_str()).map_err(|e| e.to_string())?;
    let argv = config.argv.iter().map(|arg| CString::new(arg.as_str()));
    let argv = argv.collect::<Result<Vec<_>, _>>().map_err(|e| e.to_string())?;
    // SAFETY: an all-zero PyConfig is what InitPythonConfig expects to fill; it is cleared on every
    // way out, and all texts are NUL-terminated and live for the calls.
    unsafe {
        let mut python: ffi::PyConfig = std::mem::zeroed();
        ffi::PyConfig_InitPythonConfig(&raw mut python);
        python.parse_argv = 0;
        python.install_signal_handlers = 0;
        python.site_import = config.site.into();
        if config.optimize > 0 {
            // Else PYTHONOPTIMIZE has its say.
            python.optimization_level = config.optimize.into();
        }
        let mut status = set(&mut python, |c| &raw mut c.executable, &executable);
        if ffi::PyStatus_Exception(status) == 0 {
            status = set(&mut python, |c| &raw mut c.program_name, &program);
        }
        if ffi::PyStatus_Exception(status) == 0 {
            let mut args: Vec<_> = argv.iter().map(|arg| arg.as_ptr()).collect();
            status = ffi::PyConfig_SetBytesArgv(
                &raw mut python,
                args.len() as ffi::Py_ssize_t,
                args.as_mut_ptr(),
            );
        }
        if ffi::PyStatus_Exception(status) == 0 {
            status = ffi::Py_InitializeFromConfig(&raw const python);
        }
        ffi::PyConfig_Clear(&raw mut python);
        if ffi::PyStatus_Exception(status) != 0 { Err(message_of(&status)) } else { Ok(()) }
    }
}

/// Sets one text of the configuration.
///
/// # Safety
/// `config` is initialised.
unsafe fn set(
    config: &mut ffi::PyConfig,
    place: impl Fn(&mut ffi::PyConfig) -> *mut *mut libc::wchar_t,
    value: &CString,
) -> ffi::PyStatus {
    let place = place(config);
    // SAFETY: the place lies in the config, the text is NUL-terminated.
    unsafe { ffi::PyConfig_SetBytesString(config, place, value.as_ptr()) }
}

/// Which side of a fork this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forked {
    Child,
    Parent { child: i32 },
}

/// Forks with Python's consent, as `os.fork` does. Only while attached to the main interpreter, on
/// the only thread of the process.
///
/// # Errors
/// The kernel's (process limit, memory).
pub fn fork(_py: Py<'_>) -> std::io::Result<Forked> {
    // SAFETY: attached to the main interpreter; the hooks frame the fork as the C API asks.
    unsafe {
        ffi::PyOS_BeforeFork();
        let child = libc::fork();
        if child == 0 {
            ffi::PyOS_AfterFork_Child();
            return Ok(Forked::Child);
        }
        let error = std::io::Error::last_os_error();
        ffi::PyOS_AfterFork_Parent();
        if child < 0 { Err(error) } else { Ok(Forked::Parent { child }) }
    }
}
