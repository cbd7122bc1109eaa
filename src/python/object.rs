//! `Py`, `Object`, `Kept`: being attached, a reference while attached, a reference stored across.

use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;

use pyo3::ffi;

use super::exception::{Exception, Kind};

/// Proof that this thread is attached to an interpreter. Not `Send`.
#[derive(Clone, Copy)]
pub struct Py<'py>(PhantomData<(&'py (), *mut ())>);

impl Py<'_> {
    /// # Safety
    /// The calling thread must be attached for as long as the returned value is used.
    pub(super) unsafe fn assume<'py>() -> Py<'py> {
        Py(PhantomData)
    }

    /// Runs `work` with the interpreter's lock released, so that its other threads can go on. It is
    /// `Send` so that it cannot hold an `Object`, which is of no use without the lock.
    pub fn detach<R>(self, work: impl FnOnce() -> R + Send) -> R {
        /// Attaches again also when `work` unwinds.
        struct Back(*mut ffi::PyThreadState);
        impl Drop for Back {
            fn drop(&mut self) {
                // SAFETY: the thread state that SaveThread gave to this very thread.
                unsafe { ffi::PyEval_RestoreThread(self.0) }
            }
        }
        // SAFETY: `self` proves that this thread is attached.
        let back = Back(unsafe { ffi::PyEval_SaveThread() });
        let result = work();
        drop(back);
        result
    }

    /// Whether this interpreter has no other thread state than this thread's.
    pub fn is_alone(self) -> bool {
        // SAFETY: attached; the list is read, not followed beyond one link.
        unsafe {
            let head = ffi::PyInterpreterState_ThreadHead(ffi::PyInterpreterState_Get());
            !head.is_null() && ffi::PyThreadState_Next(head).is_null()
        }
    }

    pub fn none<'py>(self) -> Object<'py>
    where
        Self: 'py,
    {
        // SAFETY: None is immortal or counted; a new reference is taken from the borrowed one.
        unsafe { Object::from_borrowed(ffi::Py_None()) }
    }

    pub fn bool<'py>(self, value: bool) -> Object<'py>
    where
        Self: 'py,
    {
        // SAFETY: True and False always exist; a new reference is taken from the borrowed one.
        unsafe { Object::from_borrowed(if value { ffi::Py_True() } else { ffi::Py_False() }) }
    }

    pub fn int<'py>(self, value: i64) -> Object<'py>
    where
        Self: 'py,
    {
        // SAFETY: attached; returns a new reference, null only without memory.
        unsafe { Object::from_new(ffi::PyLong_FromLongLong(value)) }.expect("memory for an int")
    }

    pub fn float<'py>(self, value: f64) -> Object<'py>
    where
        Self: 'py,
    {
        // SAFETY: attached; returns a new reference, null only without memory.
        unsafe { Object::from_new(ffi::PyFloat_FromDouble(value)) }.expect("memory for a float")
    }

    /// Runs Python signal handlers that are due. Only the main thread of the main interpreter has
    /// any.
    ///
    /// # Errors
    /// What a handler raised.
    pub fn check_signals(self) -> Result<(), Exception> {
        // SAFETY: attached.
        if unsafe { ffi::PyErr_CheckSignals() } == 0 { Ok(()) } else { Err(Exception::fetch(self)) }
    }

    /// Imports a module by its dotted name.
    ///
    /// # Errors
    /// What the import raised.
    pub fn import<'py>(self, name: &str) -> Result<Object<'py>, Exception>
    where
        Self: 'py,
    {
        let name = self.str(name);
        // SAFETY: attached, `name` is a live str; returns a new reference or null.
        unsafe { Object::from_new(ffi::PyImport_Import(name.as_ptr())) }
            .ok_or_else(|| Exception::fetch(self))
    }

    /// Compiles and runs source text as a new module's body and returns the module's namespace.
    ///
    /// # Errors
    /// What the code raised.
    pub fn run_module<'py>(
        self,
        source: &std::ffi::CStr,
        file: &std::ffi::CStr,
        namespace: &super::containers::Dict<'py>,
    ) -> Result<(), Exception>
    where
        Self: 'py,
    {
        // SAFETY: attached, both texts are NUL-terminated; returns a new reference or null.
        let code = unsafe {
            let code = ffi::Py_CompileString(source.as_ptr(), file.as_ptr(), ffi::Py_file_input);
            Object::from_new(code)
        };
        let code = code.ok_or_else(|| Exception::fetch(self))?;
        let globals = namespace.as_object().as_ptr();
        // SAFETY: attached, `code` and the dict are live; returns a new reference or null.
        let result =
            unsafe { Object::from_new(ffi::PyEval_EvalCode(code.as_ptr(), globals, globals)) };
        result.map(drop).ok_or_else(|| Exception::fetch(self))
    }
}

/// A counted reference to a Python object, while this thread is attached.
#[repr(transparent)]
pub struct Object<'py> {
    ptr: NonNull<ffi::PyObject>,
    py: PhantomData<Py<'py>>,
}

impl<'py> Object<'py> {
    /// Takes over a new reference; None if it is null.
    ///
    /// # Safety
    /// `ptr` is null or a new reference of the attached interpreter.
    pub(super) unsafe fn from_new(ptr: *mut ffi::PyObject) -> Option<Object<'py>> {
        NonNull::new(ptr).map(|ptr| Object { ptr, py: PhantomData })
    }

    /// Makes a new reference out of a borrowed one.
    ///
    /// # Safety
    /// `ptr` is a live object of the attached interpreter.
    pub(super) unsafe fn from_borrowed(ptr: *mut ffi::PyObject) -> Object<'py> {
        // SAFETY: the caller says that it is live; a borrowed reference becomes a new one.
        unsafe { ffi::Py_INCREF(ptr) };
        Object { ptr: NonNull::new(ptr).expect("BUG: a live object is not null"), py: PhantomData }
    }

    /// Looks at a borrowed reference as at an `Object` that is not dropped.
    ///
    /// # Safety
    /// `ptr` is non-null and its object outlives `'a`.
    pub(super) unsafe fn from_ref<'a>(ptr: &'a *mut ffi::PyObject) -> &'a Object<'py> {
        // SAFETY: Object is a transparent non-null pointer.
        unsafe { &*std::ptr::from_ref(ptr).cast() }
    }

    pub(super) fn as_ptr(&self) -> *mut ffi::PyObject {
        self.ptr.as_ptr()
    }

    /// Gives the reference away.
    pub(super) fn into_ptr(self) -> *mut ffi::PyObject {
        ManuallyDrop::new(self).ptr.as_ptr()
    }

    pub fn py(&self) -> Py<'py> {
        Py(PhantomData)
    }

    /// Stores the reference across being detached.
    pub fn keep(self) -> Kept {
        // SAFETY: an Object exists, so this thread is attached.
        let interpreter = unsafe { ffi::PyInterpreterState_Get() };
        Kept { ptr: ManuallyDrop::new(self).ptr, interpreter }
    }

    /// Whether both are the same object.
    pub fn is(&self, other: &Object<'_>) -> bool {
        self.ptr == other.ptr
    }

    pub fn is_none(&self) -> bool {
        // SAFETY: comparing with the None singleton of this process.
        self.as_ptr() == unsafe { ffi::Py_None() }
    }

    /// References that exist to this object.
    pub fn references(&self) -> isize {
        // SAFETY: attached and live.
        unsafe { ffi::Py_REFCNT(self.as_ptr()) as isize }
    }

    /// The attribute `name`.
    ///
    /// # Errors
    /// AttributeError, or what the lookup raised.
    pub fn attribute(&self, name: &Object<'py>) -> Result<Object<'py>, Exception> {
        // SAFETY: attached, both live; returns a new reference or null.
        unsafe { Object::from_new(ffi::PyObject_GetAttr(self.as_ptr(), name.as_ptr())) }
            .ok_or_else(|| Exception::fetch(self.py()))
    }

    /// The attribute `name`, None if there is no such.
    ///
    /// # Errors
    /// What the lookup raised, but for AttributeError.
    pub fn attribute_if_any(&self, name: &Object<'py>) -> Result<Option<Object<'py>>, Exception> {
        match self.attribute(name) {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.is(self.py(), Kind::Attribute) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sets the attribute `name`.
    ///
    /// # Errors
    /// What the object raised.
    pub fn set_attribute(&self, name: &str, value: &Object<'py>) -> Result<(), Exception> {
        let name = self.py().str(name);
        // SAFETY: attached, all three live.
        let result = unsafe { ffi::PyObject_SetAttr(self.as_ptr(), name.as_ptr(), value.as_ptr()) };
        if result == 0 { Ok(()) } else { Err(Exception::fetch(self.py())) }
    }

    /// Calls the object with positional arguments.
    ///
    /// # Errors
    /// What the call raised.
    pub fn call<const N: usize>(&self, args: [&Object<'py>; N]) -> Result<Object<'py>, Exception> {
        let args = args.map(Object::as_ptr);
        // SAFETY: attached, the arguments are live borrowed references; a new reference or null
        // comes back.
        let result = unsafe {
            let result =
                ffi::PyObject_Vectorcall(self.as_ptr(), args.as_ptr(), N, std::ptr::null_mut());
            Object::from_new(result)
        };
        result.ok_or_else(|| Exception::fetch(self.py()))
    }

    /// Calls the method `name` with positional arguments.
    ///
    /// # Errors
    /// What the lookup or the call raised.
    pub fn call_method<const N: usize>(
        &self,
        name: &str,
        args: [&Object<'py>; N],
    ) -> Result<Object<'py>, Exception> {
        self.attribute(&self.py().str(name))?.call(args)
    }

    pub fn is_callable(&self) -> bool {
        // SAFETY: attached and live.
        unsafe { ffi::PyCallable_Check(self.as_ptr()) == 1 }
    }

    /// The object's iterator.
    ///
    /// # Errors
    /// TypeError if it has none, or what `__iter__` raised.
    pub fn iterate(&self) -> Result<Object<'py>, Exception> {
        // SAFETY: attached and live; returns a new reference or null.
        unsafe { Object::from_new(ffi::PyObject_GetIter(self.as_ptr())) }
            .ok_or_else(|| Exception::fetch(self.py()))
    }

    /// Whether it is the built-in iterator of a list or a tuple: its items are there already, and
    /// to take them runs no code of the app.
    pub fn iterates_what_is_here(&self) -> bool {
        // SAFETY: attached and live; the types are static and never moved.
        unsafe {
            let kind = ffi::Py_TYPE(self.as_ptr());
            kind == &raw mut ffi::PyListIter_Type || kind == &raw mut ffi::PyTupleIter_Type
        }
    }

    /// The iterator's next item; None at its end.
    ///
    /// # Errors
    /// What `__next__` raised.
    pub fn next_item(&self) -> Result<Option<Object<'py>>, Exception> {
        // SAFETY: attached, an iterator (from `iterate`); returns a new reference or null.
        match unsafe { Object::from_new(ffi::PyIter_Next(self.as_ptr())) } {
            Some(item) => Ok(Some(item)),
            None => Exception::fetch_if_any(self.py()).map_or(Ok(None), Err),
        }
    }

    /// Whether the object counts as true.
    pub fn is_true(&self) -> bool {
        // SAFETY: attached and live.
        let result = unsafe { ffi::PyObject_IsTrue(self.as_ptr()) };
        if result < 0 {
            drop(Exception::fetch(self.py()));
        }
        result == 1
    }

    /// The object as an integer, if it is one that fits.
    pub fn as_int(&self) -> Option<i64> {
        // SAFETY: attached and live.
        let value = unsafe { ffi::PyLong_AsLongLong(self.as_ptr()) };
        if value == -1 && Exception::fetch_if_any(self.py()).is_some() {
            return None;
        }
        Some(value)
    }

    /// The name of the object's type, for messages.
    pub fn type_name(&self) -> String {
        // SAFETY: attached and live; a type's name is NUL-terminated and lives as long as the type.
        unsafe {
            let name = (*ffi::Py_TYPE(self.as_ptr())).tp_name;
            std::ffi::CStr::from_ptr(name).to_string_lossy().into_owned()
        }
    }

    /// The object's address, for messages that uWSGI prints it in.
    pub fn address(&self) -> usize {
        self.as_ptr() as usize
    }
}

impl Clone for Object<'_> {
    fn clone(&self) -> Self {
        // SAFETY: attached and live.
        unsafe { Object::from_borrowed(self.as_ptr()) }
    }
}

impl Drop for Object<'_> {
    fn drop(&mut self) {
        // SAFETY: an Object exists only while this thread is attached; it owns one reference.
        unsafe { ffi::Py_DECREF(self.as_ptr()) }
    }
}

/// A counted reference that is stored while nobody may be attached. It belongs to one interpreter:
/// using it in another is a bug that debug builds find.
pub struct Kept {
    ptr: NonNull<ffi::PyObject>,
    interpreter: *mut ffi::PyInterpreterState,
}

// SAFETY: the object is touched only through `get`, which asks for proof of being attached, and in
// `drop`, which checks for it.
unsafe impl Send for Kept {}
// SAFETY: as above.
unsafe impl Sync for Kept {}

impl Kept {
    /// Looks at the object.
    pub fn get<'a, 'py: 'a>(&'a self, _py: Py<'py>) -> &'a Object<'py> {
        debug_assert!(
            // SAFETY: `_py` proves that this thread is attached.
            self.interpreter == unsafe { ffi::PyInterpreterState_Get() },
            "BUG: an object of one interpreter was used in another"
        );
        // SAFETY: `self` owns a reference for as long as `'a`; the layouts agree.
        unsafe { Object::from_ref(&*(&raw const self.ptr).cast()) }
    }

    /// A further reference to the object.
    pub fn clone_ref(&self, py: Py<'_>) -> Kept {
        self.get(py).clone().keep()
    }
}

/// Whether this thread is attached to any interpreter.
#[cfg(Py_3_12)]
fn is_attached() -> bool {
    // SAFETY: asking for the current thread state is always allowed.
    !unsafe { ffi::compat::PyThreadState_GetUnchecked() }.is_null()
}

/// Whether this thread is attached to any interpreter. Before 3.12 the current thread state is the
/// process's, so another thread's has to be told from this thread's own.
#[cfg(not(Py_3_12))]
fn is_attached() -> bool {
    // SAFETY: asking for both thread states is always allowed once Python is initialised, and
    // nobody has a `Kept` before.
    unsafe {
        let current = ffi::compat::PyThreadState_GetUnchecked();
        !current.is_null() && current == ffi::PyGILState_GetThisThreadState()
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // SAFETY: attached when the second question is asked.
        if is_attached() && unsafe { ffi::PyInterpreterState_Get() } == self.interpreter {
            // SAFETY: attached to the object's own interpreter; `self` owns one reference.
            unsafe { ffi::Py_DECREF(self.ptr.as_ptr()) }
        }
        // Else the reference leaks, which is better than freeing it under another's lock.
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Runtime};

    #[test]
    fn a_reference_that_is_dropped_without_the_lock_leaks() {
        let executable = env!("UWRING_BASE_PYTHON").to_owned();
        let runtime =
            Runtime::start(&Config { executable, ..Config::default() }).expect("a Python");
        runtime.main().attach(|py| {
            let object = py.list(&[]);
            let (here, elsewhere) = (object.clone().keep(), object.clone().keep());
            drop(here);
            std::thread::scope(|scope| scope.spawn(move || drop(elsewhere)).join())
                .expect("the thread ends well");
            assert_eq!(object.references(), 2);
        });
    }
}
