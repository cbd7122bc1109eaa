//! dict, list and tuple.

use pyo3::ffi;

use super::exception::Exception;
use super::object::{Object, Py};

/// A dict.
pub struct Dict<'py>(Object<'py>);

impl<'py> Dict<'py> {
    /// A new, empty dict.
    pub fn new(_py: Py<'py>) -> Dict<'py> {
        // SAFETY: attached; null only without memory.
        Dict(unsafe { Object::from_new(ffi::PyDict_New()) }.expect("memory for a dict"))
    }

    /// The object as a dict, if it is one.
    pub fn from_object(object: Object<'py>) -> Option<Dict<'py>> {
        // SAFETY: attached and live.
        (unsafe { ffi::PyDict_Check(object.as_ptr()) } != 0).then_some(Dict(object))
    }

    pub fn as_object(&self) -> &Object<'py> {
        &self.0
    }

    pub fn into_object(self) -> Object<'py> {
        self.0
    }

    /// A shallow copy of `object`, which must be a dict.
    pub fn copy_of(object: &Object<'py>) -> Dict<'py> {
        // SAFETY: attached and live; PyDict_Copy itself refuses what is no dict.
        let copy = unsafe { Object::from_new(ffi::PyDict_Copy(object.as_ptr())) };
        Dict(copy.expect("memory for a dict"))
    }

    /// Sets an item. The keys used here are str, whose hash cannot fail.
    pub fn set(&self, key: &Object<'py>, value: &Object<'py>) {
        // SAFETY: attached, all live; the dict takes references of its own.
        let result = unsafe { ffi::PyDict_SetItem(self.0.as_ptr(), key.as_ptr(), value.as_ptr()) };
        if result != 0 {
            drop(Exception::fetch(self.0.py()));
        }
    }

    /// Takes an item out, if it is there.
    pub fn remove(&self, key: &Object<'py>) {
        // SAFETY: attached, both live.
        let result = unsafe { ffi::PyDict_DelItem(self.0.as_ptr(), key.as_ptr()) };
        if result != 0 {
            drop(Exception::fetch(self.0.py()));
        }
    }

    /// Sets the item of a key that is given as text.
    pub fn set_text(&self, key: &str, value: &Object<'py>) {
        self.set(&self.0.py().interned(key), value);
    }

    /// The value of a key, if there is one.
    pub fn get(&self, key: &Object<'py>) -> Option<Object<'py>> {
        // SAFETY: attached, both live; a borrowed reference or null comes back, and null with an
        // exception is possible only for unhashable keys.
        let value = unsafe { ffi::PyDict_GetItemWithError(self.0.as_ptr(), key.as_ptr()) };
        if value.is_null() {
            drop(Exception::fetch_if_any(self.0.py()));
            return None;
        }
        // SAFETY: borrowed from the dict, which is live.
        Some(unsafe { Object::from_borrowed(value) })
    }

    /// All items, as they are now.
    pub fn items(&self) -> Vec<(Object<'py>, Object<'py>)> {
        let mut position = 0;
        let (mut key, mut value) = (std::ptr::null_mut(), std::ptr::null_mut());
        let mut items = Vec::new();
        // SAFETY: attached; the dict is not changed in the loop; key and value are borrowed.
        unsafe {
            while ffi::PyDict_Next(self.0.as_ptr(), &raw mut position, &raw mut key, &raw mut value)
                != 0
            {
                items.push((Object::from_borrowed(key), Object::from_borrowed(value)));
            }
        }
        items
    }
}

impl<'py> Py<'py> {
    /// A list of `items`.
    pub fn list(self, items: &[Object<'py>]) -> Object<'py> {
        // SAFETY: attached; each place of the new list is filled once, with a reference of its own
        // that PyList_SetItem takes over.
        unsafe {
            let list = Object::from_new(ffi::PyList_New(items.len() as ffi::Py_ssize_t))
                .expect("memory for a list");
            for (index, item) in items.iter().enumerate() {
                let item = item.clone().into_ptr();
                ffi::PyList_SetItem(list.as_ptr(), index as ffi::Py_ssize_t, item);
            }
            list
        }
    }

    /// A tuple of `items`.
    pub fn tuple(self, items: &[Object<'py>]) -> Object<'py> {
        // SAFETY: as in `list`.
        unsafe {
            let tuple = Object::from_new(ffi::PyTuple_New(items.len() as ffi::Py_ssize_t))
                .expect("memory for a tuple");
            for (index, item) in items.iter().enumerate() {
                let item = item.clone().into_ptr();
                ffi::PyTuple_SetItem(tuple.as_ptr(), index as ffi::Py_ssize_t, item);
            }
            tuple
        }
    }
}

impl<'py> Object<'py> {
    pub fn is_list(&self) -> bool {
        // SAFETY: attached and live.
        unsafe { ffi::PyList_Check(self.as_ptr()) != 0 }
    }

    pub fn is_tuple(&self) -> bool {
        // SAFETY: attached and live.
        unsafe { ffi::PyTuple_Check(self.as_ptr()) != 0 }
    }

    /// Items of a list or tuple (of no subclass, which may count otherwise); None for others.
    pub fn sequence_len(&self) -> Option<usize> {
        // SAFETY: attached and live; SIZE is asked only of a list or tuple.
        unsafe {
            let exact = ffi::PyList_CheckExact(self.as_ptr()) != 0
                || ffi::PyTuple_CheckExact(self.as_ptr()) != 0;
            exact.then(|| ffi::Py_SIZE(self.as_ptr()) as usize)
        }
    }

    /// The item at `index` of a list or tuple; None beyond its end.
    pub fn item(&self, index: usize) -> Option<Object<'py>> {
        let at = index as ffi::Py_ssize_t;
        // SAFETY: attached and live; the index is checked against the size of this very moment, and
        // a borrowed reference comes back.
        unsafe {
            if ffi::PyTuple_Check(self.as_ptr()) != 0 {
                (at < ffi::Py_SIZE(self.as_ptr()))
                    .then(|| Object::from_borrowed(ffi::PyTuple_GetItem(self.as_ptr(), at)))
            } else if ffi::PyList_Check(self.as_ptr()) != 0 {
                (at < ffi::Py_SIZE(self.as_ptr()))
                    .then(|| Object::from_borrowed(ffi::PyList_GetItem(self.as_ptr(), at)))
            } else {
                None
            }
        }
    }
}
