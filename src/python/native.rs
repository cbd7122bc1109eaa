//! Python types out of Rust structs, made per interpreter, and the one way that Python calls Rust.
//!
//! A type's methods are zero-sized types that implement `Function`; `trampoline` is compiled once
//! for each. `Err` raises, a panic becomes a raised RuntimeError.

use std::ffi::CStr;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::ffi;

use super::exception::{Exception, Kind};
use super::object::{Kept, Object, Py};

/// A method that Python calls.
pub trait Function {
    /// The Rust struct behind `self`.
    type On: 'static;
    const NAME: &'static CStr;
    const DOC: &'static CStr;

    /// Runs the method.
    ///
    /// # Errors
    /// What is raised in Python.
    fn call<'py>(
        py: Py<'py>,
        this: &Self::On,
        args: &Args<'_, 'py>,
    ) -> Result<Object<'py>, Exception>;
}

/// The arguments of a call, borrowed from the caller.
pub struct Args<'a, 'py> {
    values: &'a [*mut ffi::PyObject],
    positional: usize,
    names: Option<Object<'py>>,
}

impl<'a, 'py> Args<'a, 'py> {
    /// Sorts the arguments by parameter name. Missing ones are None.
    ///
    /// # Errors
    /// TypeError for too many and for unknown ones.
    pub fn bind<const N: usize>(
        &self,
        names: [&str; N],
    ) -> Result<[Option<&Object<'py>>; N], Exception> {
        let mut bound = [None; N];
        if self.positional > N {
            let message = format!("at most {N} arguments expected, got {}", self.positional);
            return Err(Exception::new(Kind::Type, message));
        }
        for (place, value) in bound.iter_mut().zip(&self.values[..self.positional]) {
            // SAFETY: the caller's references live for the whole call.
            *place = Some(unsafe { Object::from_ref(value) });
        }
        for (index, value) in self.values[self.positional..].iter().enumerate() {
            let name = self.names.as_ref().and_then(|names| names.item(index));
            let name = name.as_ref().and_then(|name| name.as_utf8()).unwrap_or("");
            let Some(at) = names.iter().position(|known| *known == name) else {
                let message = format!("unexpected keyword argument '{name}'");
                return Err(Exception::new(Kind::Type, message));
            };
            // SAFETY: as above.
            bound[at] = Some(unsafe { Object::from_ref(value) });
        }
        Ok(bound)
    }

    /// All positional arguments.
    pub fn positional(&self) -> impl Iterator<Item = &Object<'py>> + use<'_, 'a, 'py> {
        // SAFETY: the caller's references live for the whole call.
        self.values[..self.positional].iter().map(|value| unsafe { Object::from_ref(value) })
    }
}

/// A method's row in a type.
pub struct Method<T>(ffi::PyMethodDef, PhantomData<T>);

/// What iterating an instance does.
pub struct Next<T>(ffi::iternextfunc, PhantomData<T>);

/// A Python type whose instances hold a `T`. It belongs to the interpreter that it was made in.
pub struct Type<T> {
    class: Kept,
    marker: PhantomData<fn() -> T>,
}

#[repr(C)]
struct Instance<T> {
    base: ffi::PyObject,
    value: ManuallyDrop<T>,
}

impl<T: 'static> Type<T> {
    /// The row of method `F`.
    pub fn method<F: Function<On = T>>() -> Method<T> {
        let definition = ffi::PyMethodDef {
            ml_name: F::NAME.as_ptr(),
            ml_meth: ffi::PyMethodDefPointer { PyCFunctionFastWithKeywords: trampoline::<F> },
            ml_flags: ffi::METH_FASTCALL | ffi::METH_KEYWORDS,
            ml_doc: F::DOC.as_ptr(),
        };
        Method(definition, PhantomData)
    }

    /// Makes iterating call `F` without arguments; None from Python's side ends the iteration.
    pub fn next<F: Function<On = T>>() -> Next<T> {
        Next(iterate::<F>, PhantomData)
    }

    /// Makes the type. Python code cannot instantiate it.
    ///
    /// # Errors
    /// What Python raised (no memory).
    pub fn new(
        py: Py<'_>,
        name: &'static CStr,
        methods: Vec<Method<T>>,
        next: Option<Next<T>>,
    ) -> Result<Type<T>, Exception> {
        let mut definitions: Vec<_> = methods.into_iter().map(|method| method.0).collect();
        definitions.push(ffi::PyMethodDef::zeroed());
        // The type keeps pointing at its method table, and types live as long as the process.
        let definitions = Box::leak(definitions.into_boxed_slice());
        let mut slots = vec![
            slot(ffi::Py_tp_dealloc, deallocate::<T> as *mut _),
            slot(ffi::Py_tp_methods, definitions.as_mut_ptr().cast()),
        ];
        if let Some(next) = next {
            slots.push(slot(ffi::Py_tp_iter, ffi::PyObject_SelfIter as *mut _));
            slots.push(slot(ffi::Py_tp_iternext, next.0 as *mut _));
        }
        slots.push(slot(0, std::ptr::null_mut()));
        let flags = ffi::Py_TPFLAGS_DEFAULT | ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION;
        let mut spec = ffi::PyType_Spec {
            name: name.as_ptr(),
            basicsize: std::mem::size_of::<Instance<T>>() as i32,
            itemsize: 0,
            flags: flags as u32,
            slots: slots.as_mut_ptr(),
        };
        // SAFETY: attached; the spec and its slots are live for the call, the name is static.
        let class = unsafe { Object::from_new(ffi::PyType_FromSpec(&raw mut spec)) };
        let class = class.ok_or_else(|| Exception::fetch(py))?.keep();
        Ok(Type { class, marker: PhantomData })
    }

    /// A new instance that holds `value`.
    pub fn instance<'py>(&self, py: Py<'py>, value: T) -> Native<'py, T> {
        let class = self.class.get(py).as_ptr().cast::<ffi::PyTypeObject>();
        // SAFETY: attached; the allocation has the type's basicsize, which is Instance<T>'s; its
        // value is written before anybody sees it; null only without memory.
        let object = unsafe {
            let instance = ffi::PyType_GenericAlloc(class, 0);
            let object = Object::from_new(instance).expect("memory for an instance");
            let value = ManuallyDrop::new(value);
            (&raw mut (*instance.cast::<Instance<T>>()).value).write(value);
            object
        };
        Native { object, marker: PhantomData }
    }
}

impl<T: 'static> Type<T> {
    /// The Rust value of `object`, if it is an instance of this type.
    pub fn value_of<'a>(&self, object: &'a Object<'_>) -> Option<&'a T> {
        // SAFETY: attached and live; an object of exactly this type is an Instance<T>, which lives
        // as long as the reference.
        unsafe {
            let class = ffi::Py_TYPE(object.as_ptr()).cast::<ffi::PyObject>();
            if class != self.class.get(object.py()).as_ptr() {
                return None;
            }
            Some(&(*object.as_ptr().cast::<Instance<T>>()).value)
        }
    }

    /// The type as an object.
    pub fn class<'a, 'py: 'a>(&'a self, py: Py<'py>) -> &'a Object<'py> {
        self.class.get(py)
    }
}

fn slot(slot: i32, pfunc: *mut std::ffi::c_void) -> ffi::PyType_Slot {
    ffi::PyType_Slot { slot, pfunc }
}

/// An instance of a `Type<T>`.
pub struct Native<'py, T> {
    object: Object<'py>,
    marker: PhantomData<T>,
}

impl<'py, T: 'static> Native<'py, T> {
    /// The Rust value.
    pub fn value(&self) -> &T {
        // SAFETY: made by `Type::instance`, so it is an Instance<T>, which `object` keeps alive.
        unsafe { &(*self.object.as_ptr().cast::<Instance<T>>()).value }
    }

    pub fn as_object(&self) -> &Object<'py> {
        &self.object
    }

    pub fn into_object(self) -> Object<'py> {
        self.object
    }

    /// Stores the instance across being detached.
    pub fn keep(self) -> KeptNative<T> {
        KeptNative { object: self.object.keep(), marker: PhantomData }
    }
}

/// A stored `Native`.
pub struct KeptNative<T> {
    object: Kept,
    marker: PhantomData<fn() -> T>,
}

impl<T: 'static> KeptNative<T> {
    pub fn object<'a, 'py: 'a>(&'a self, py: Py<'py>) -> &'a Object<'py> {
        self.object.get(py)
    }

    /// The Rust value.
    pub fn value<'a>(&'a self, py: Py<'_>) -> &'a T {
        let object = self.object.get(py).as_ptr().cast::<Instance<T>>();
        // SAFETY: made by `Type::instance`, so it is an Instance<T>, which `self` keeps alive.
        unsafe { &(*object).value }
    }
}

unsafe extern "C" fn deallocate<T>(object: *mut ffi::PyObject) {
    // SAFETY: Python calls this once, when the last reference is gone; the value was written at
    // creation; a heap type's instance holds a reference to its type (Python 3.8 and up).
    unsafe {
        let class = ffi::Py_TYPE(object);
        let value = &raw mut (*object.cast::<Instance<T>>()).value;
        let _ = catch_unwind(AssertUnwindSafe(|| ManuallyDrop::drop(&mut *value)));
        ffi::PyObject_Free(object.cast());
        ffi::Py_DECREF(class.cast());
    }
}

unsafe extern "C" fn trampoline<F: Function>(
    this: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    positional: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: Python calls this attached, with `this` of the type that the method belongs to (the
    // descriptor checks it), and with `positional` values followed by one for each name.
    let (py, this, args) = unsafe {
        let py = Py::assume();
        let names = (!names.is_null()).then(|| Object::from_borrowed(names));
        let positional = positional as usize;
        let named = names.as_ref().and_then(Object::sequence_len).unwrap_or(0);
        let values = match positional + named {
            0 => &[][..],
            count => std::slice::from_raw_parts(args, count),
        };
        let value: &F::On = &(*this.cast::<Instance<F::On>>()).value;
        (py, value, Args { values, positional, names })
    };
    finish(py, catch_unwind(AssertUnwindSafe(|| F::call(py, this, &args).map(Some))))
}

unsafe extern "C" fn iterate<F: Function>(this: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: as in `trampoline`; the slot belongs to the instance's own type.
    let (py, this) = unsafe {
        let value: &F::On = &(*this.cast::<Instance<F::On>>()).value;
        (Py::assume(), value)
    };
    let args = Args { values: &[], positional: 0, names: None };
    let next = || F::call(py, this, &args).map(|item| (!item.is_none()).then_some(item));
    finish(py, catch_unwind(AssertUnwindSafe(next)))
}

fn finish<'py>(
    py: Py<'py>,
    result: std::thread::Result<Result<Option<Object<'py>>, Exception>>,
) -> *mut ffi::PyObject {
    match result {
        Ok(Ok(Some(object))) => object.into_ptr(),
        Ok(Ok(None)) => std::ptr::null_mut(),
        Ok(Err(exception)) => {
            exception.restore(py);
            std::ptr::null_mut()
        }
        Err(panic) => {
            let text = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("of an unknown kind");
            Exception::new(Kind::Runtime, format!("BUG in uwring, panic: {text}")).restore(py);
            std::ptr::null_mut()
        }
    }
}
