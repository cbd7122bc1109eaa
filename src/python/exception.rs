//! `Exception`: what Python code raised, or what ours wants to raise.

use pyo3::ffi;

use super::object::{Kept, Object, Py};

/// The built-in exceptions that our code raises or asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Assertion,
    Attribute,
    Os,
    Runtime,
    SystemExit,
    Type,
    Value,
}

impl Kind {
    /// The exception class, a borrowed reference that lives as long as its interpreter.
    fn class(self) -> *mut ffi::PyObject {
        // SAFETY: the built-in exceptions exist from initialisation to the end.
        unsafe {
            match self {
                Kind::Assertion => ffi::PyExc_AssertionError,
                Kind::Attribute => ffi::PyExc_AttributeError,
                Kind::Os => ffi::PyExc_OSError,
                Kind::Runtime => ffi::PyExc_RuntimeError,
                Kind::SystemExit => ffi::PyExc_SystemExit,
                Kind::Type => ffi::PyExc_TypeError,
                Kind::Value => ffi::PyExc_ValueError,
            }
        }
    }
}

/// An exception on its way through Rust.
pub struct Exception(Inner);

enum Inner {
    /// Raised by Python code: the exception object.
    Raised(Kept),
    /// To be raised by ours.
    New(Kind, String),
}

impl Exception {
    /// An exception that a Rust function raises.
    pub fn new(kind: Kind, message: impl Into<String>) -> Exception {
        Exception(Inner::New(kind, message.into()))
    }

    /// Takes over an exception object, to raise it again; None if it is something else.
    pub fn from_object(object: Object<'_>) -> Option<Exception> {
        // SAFETY: attached and live.
        let is_exception = unsafe { ffi::PyExceptionInstance_Check(object.as_ptr()) } != 0;
        is_exception.then(|| Exception(Inner::Raised(object.keep())))
    }

    /// Takes the exception that a failed call has left.
    pub(super) fn fetch(py: Py<'_>) -> Exception {
        Exception::fetch_if_any(py).unwrap_or_else(|| {
            Exception::new(Kind::Runtime, "a Python call failed without an exception")
        })
    }

    /// Takes the exception that a call has left, if it has.
    pub(super) fn fetch_if_any(_py: Py<'_>) -> Option<Exception> {
        #[cfg(Py_3_12)]
        // SAFETY: attached; a new reference or null comes back.
        let raised = unsafe { Object::from_new(ffi::PyErr_GetRaisedException()) };
        #[cfg(not(Py_3_12))]
        // SAFETY: attached; the three are new references or null; after normalising, the value is
        // an exception instance, and the traceback is stored in it.
        let raised = unsafe {
            let (mut kind, mut value, mut traceback) =
                (std::ptr::null_mut(), std::ptr::null_mut(), std::ptr::null_mut());
            ffi::PyErr_Fetch(&raw mut kind, &raw mut value, &raw mut traceback);
            if kind.is_null() {
                return None;
            }
            ffi::PyErr_NormalizeException(&raw mut kind, &raw mut value, &raw mut traceback);
            let traceback = Object::from_new(traceback);
            if let (Some(traceback), false) = (&traceback, value.is_null()) {
                ffi::PyException_SetTraceback(value, traceback.as_ptr());
            }
            drop(Object::from_new(kind));
            Object::from_new(value)
        };
        // CPython normalises what it raises: this is an exception instance.
        raised.map(|object| Exception(Inner::Raised(object.keep())))
    }

    /// Leaves the exception for the Python code that called us.
    pub(super) fn restore(self, py: Py<'_>) {
        match self.0 {
            Inner::New(kind, message) => {
                let message = py.str(&message);
                // SAFETY: attached, both live.
                unsafe { ffi::PyErr_SetObject(kind.class(), message.as_ptr()) }
            }
            Inner::Raised(object) => {
                let object = object.get(py);
                // SAFETY: attached, an exception instance; its class is borrowed from it.
                unsafe {
                    let class = ffi::Py_TYPE(object.as_ptr()).cast();
                    ffi::PyErr_SetObject(class, object.as_ptr());
                }
            }
        }
    }

    /// Whether the exception is of this kind or of a subclass.
    pub fn is(&self, py: Py<'_>, kind: Kind) -> bool {
        match &self.0 {
            Inner::New(own, _) => *own == kind,
            Inner::Raised(object) => {
                // SAFETY: attached, both live.
                unsafe {
                    ffi::PyErr_GivenExceptionMatches(object.get(py).as_ptr(), kind.class()) != 0
                }
            }
        }
    }

    /// The exception object, if Python code raised it.
    pub fn object<'a>(&'a self, py: Py<'a>) -> Option<&'a Object<'a>> {
        match &self.0 {
            Inner::New(..) => None,
            Inner::Raised(object) => Some(object.get(py)),
        }
    }

    /// One line: the class's name and the message.
    pub fn summary(&self, py: Py<'_>) -> String {
        match &self.0 {
            Inner::New(kind, message) => format!("{kind:?}Error: {message}"),
            Inner::Raised(object) => {
                let object = object.get(py);
                format!("{}: {}", object.type_name(), object.to_text())
            }
        }
    }

    /// The text that Python prints for an uncaught exception, with its traceback.
    pub fn traceback(&self, py: Py<'_>) -> String {
        self.format(py).unwrap_or_else(|| self.summary(py) + "\n")
    }

    fn format(&self, py: Py<'_>) -> Option<String> {
        let object = self.object(py)?;
        let module = py.import("traceback").ok()?;
        // format_exception(value) with one argument exists from 3.10.
        let lines = module.call_method("format_exception", [object]).ok()?;
        let text = py.str("").call_method("join", [&lines]).ok()?;
        text.as_utf8().map(str::to_owned)
    }
}
