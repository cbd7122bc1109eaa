//! str and bytes, made and looked at. WSGI's strings are latin-1 (PEP 3333).

use bytes::Bytes;
use pyo3::ffi;

use super::exception::Exception;
use super::object::{Object, Py};
use super::pinned::{Home, Pinned};

impl<'py> Py<'py> {
    /// A str of UTF-8 text.
    pub fn str(self, text: &str) -> Object<'py> {
        let len = text.len() as ffi::Py_ssize_t;
        // SAFETY: attached; valid UTF-8 of the length passed; null only without memory.
        unsafe { Object::from_new(ffi::PyUnicode_FromStringAndSize(text.as_ptr().cast(), len)) }
            .expect("memory for a str")
    }

    /// A str that stands for all equal ones in this interpreter.
    pub fn interned(self, text: &str) -> Object<'py> {
        let mut ptr = self.str(text).into_ptr();
        // SAFETY: attached; the call replaces the owned reference by another.
        unsafe {
            ffi::PyUnicode_InternInPlace(&raw mut ptr);
            Object::from_new(ptr).expect("BUG: interning keeps the object")
        }
    }

    /// As `interned`, for texts that a peer chose: in 3.12 what is interned stays forever, so there
    /// each is a str of its own.
    pub fn interned_unless_forever(self, text: &str) -> Object<'py> {
        if cfg!(all(Py_3_12, not(Py_3_13))) { self.str(text) } else { self.interned(text) }
    }

    /// A str with one character for each byte.
    pub fn latin1(self, bytes: &[u8]) -> Object<'py> {
        let len = bytes.len() as ffi::Py_ssize_t;
        let null = std::ptr::null();
        // SAFETY: attached; any bytes are latin-1; null only without memory.
        unsafe { Object::from_new(ffi::PyUnicode_DecodeLatin1(bytes.as_ptr().cast(), len, null)) }
            .expect("memory for a str")
    }

    /// A str of a path or other system text: undecodable bytes become surrogates (PEP 383).
    pub fn fs_str(self, bytes: &[u8]) -> Object<'py> {
        let len = bytes.len() as ffi::Py_ssize_t;
        // SAFETY: attached; bytes of the length passed; null only without memory.
        unsafe {
            let text = ffi::PyUnicode_DecodeFSDefaultAndSize(bytes.as_ptr().cast(), len);
            Object::from_new(text).expect("memory for a str")
        }
    }

    /// A bytes object with a copy of `first` and `second`, one behind the other.
    pub fn bytes(self, first: &[u8], second: &[u8]) -> Object<'py> {
        let len = (first.len() + second.len()) as ffi::Py_ssize_t;
        // SAFETY: attached; the new object has `len` bytes that nobody has seen yet, and both
        // copies stay inside; null only without memory.
        unsafe {
            let object = Object::from_new(ffi::PyBytes_FromStringAndSize(std::ptr::null(), len))
                .expect("memory for bytes");
            let to = ffi::PyBytes_AsString(object.as_ptr()).cast::<u8>();
            std::ptr::copy_nonoverlapping(first.as_ptr(), to, first.len());
            std::ptr::copy_nonoverlapping(second.as_ptr(), to.add(first.len()), second.len());
            object
        }
    }
}

impl<'py> Object<'py> {
    /// Whether the object is a str.
    pub fn is_str(&self) -> bool {
        // SAFETY: attached and live.
        unsafe { ffi::PyUnicode_Check(self.as_ptr()) != 0 }
    }

    /// The content of a bytes object. It cannot change while the object lives.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        // SAFETY: attached and live; after the check the object has SIZE bytes at AsString, which
        // live and stay as long as `self`.
        unsafe {
            if ffi::PyBytes_Check(self.as_ptr()) == 0 {
                return None;
            }
            let len = ffi::Py_SIZE(self.as_ptr()) as usize;
            let data = ffi::PyBytes_AsString(self.as_ptr()).cast::<u8>();
            Some(std::slice::from_raw_parts(data, len))
        }
    }

    /// A str's characters as bytes, if all are latin-1. None for others and for non-strings.
    pub fn as_latin1(&self) -> Option<&[u8]> {
        if !self.is_str() {
            return None;
        }
        // SAFETY: attached, a str; READY makes old representations canonical; kind 1 stores one
        // byte a character, which live and stay as long as `self`.
        unsafe {
            #[cfg(not(Py_3_12))]
            if ffi::PyUnicode_READY(self.as_ptr()) != 0 {
                return None;
            }
            if ffi::PyUnicode_KIND(self.as_ptr()) != 1 {
                return None;
            }
            let len = ffi::PyUnicode_GET_LENGTH(self.as_ptr()) as usize;
            let data = ffi::PyUnicode_DATA(self.as_ptr()).cast::<u8>();
            Some(std::slice::from_raw_parts(data, len))
        }
    }

    /// A str encoded as UTF-8; None for others and for lone surrogates.
    pub fn as_utf8(&self) -> Option<&str> {
        if !self.is_str() {
            return None;
        }
        let mut len = 0;
        // SAFETY: attached, a str; the UTF-8 form is cached in the object and lives as long.
        unsafe {
            let data = ffi::PyUnicode_AsUTF8AndSize(self.as_ptr(), &raw mut len);
            if data.is_null() {
                drop(Exception::fetch_if_any(self.py()));
                return None;
            }
            let bytes = std::slice::from_raw_parts(data.cast::<u8>(), len as usize);
            std::str::from_utf8(bytes).ok()
        }
    }

    /// `str(object)` as text, for messages.
    pub fn to_text(&self) -> String {
        // SAFETY: attached and live; returns a new reference or null.
        let text = unsafe { Object::from_new(ffi::PyObject_Str(self.as_ptr())) };
        let Some(text) = text else {
            drop(Exception::fetch_if_any(self.py()));
            return format!("<{}>", self.type_name());
        };
        text.as_utf8().map_or_else(|| format!("<{}>", self.type_name()), str::to_owned)
    }

    /// `repr(object)` as text, for messages.
    pub fn to_repr(&self) -> String {
        match self.call_method("__repr__", []) {
            Ok(text) => text.to_text(),
            Err(_) => format!("<{}>", self.type_name()),
        }
    }

    /// The bytes object's content as a buffer that may leave this thread; it goes home to be freed.
    pub fn pin(&self, home: &Home) -> Option<Bytes> {
        // SAFETY: attached and live.
        if unsafe { ffi::PyBytes_CheckExact(self.as_ptr()) } == 0 {
            return None;
        }
        Some(Bytes::from_owner(Pinned::new(self.clone(), home)))
    }
}
