//! `Pinned`: a `Send` view of a bytes object. Its reference is given back on its own interpreter.

use std::sync::{Arc, Mutex, PoisonError};

use super::object::{Kept, Object, Py};

/// Where an interpreter's pinned objects come back to.
#[derive(Clone, Default)]
pub struct Home(Arc<Mutex<Vec<Kept>>>);

impl Home {
    /// Whether nothing has come back.
    pub fn is_empty(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Frees what has come back. The interpreter's own threads call it between requests.
    pub fn clear(&self, _py: Py<'_>) {
        let returned = {
            let mut returned = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if returned.is_empty() {
                return;
            }
            std::mem::take(&mut *returned)
        };
        drop(returned);
    }
}

/// The content of a bytes object that another thread may read.
pub struct Pinned {
    object: Option<Kept>,
    data: *const u8,
    len: usize,
    home: Home,
}

// SAFETY: the bytes of a bytes object never change, and the reference keeps them alive; the
// reference itself is only moved.
unsafe impl Send for Pinned {}
// SAFETY: as above.
unsafe impl Sync for Pinned {}

impl Pinned {
    pub(super) fn new(object: Object<'_>, home: &Home) -> Pinned {
        let (data, len) =
            object.as_bytes().map_or((std::ptr::null(), 0), |b| (b.as_ptr(), b.len()));
        Pinned { object: Some(object.keep()), data, len, home: home.clone() }
    }
}

impl AsRef<[u8]> for Pinned {
    fn as_ref(&self) -> &[u8] {
        if self.data.is_null() {
            return &[];
        }
        // SAFETY: the object owns `len` bytes at `data` and lives until `self` is dropped.
        unsafe { std::slice::from_raw_parts(self.data, self.len) }
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        if let Some(object) = self.object.take() {
            self.home.0.lock().unwrap_or_else(PoisonError::into_inner).push(object);
        }
    }
}
