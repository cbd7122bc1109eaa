//! Prepares an interpreter and loads the app into it.

use std::ffi::CStr;

use crate::python::{Dict, Exception, Kept, Kind, Object, Py};

const BOOT: &str = concat!(include_str!("boot.py"), "\0");

/// Where the app is and what its interpreter needs.
#[derive(Debug, Clone, Default)]
pub struct Place {
    /// `pkg.mod` or `pkg.mod:callable`.
    pub module: Option<String>,
    /// A file that holds the callable.
    pub file: Option<String>,
    /// The callable's name, `application` if not given.
    pub callable: Option<String>,
    /// Put in front of `sys.path`, in this order.
    pub paths: Vec<String>,
}

/// The boot module of one interpreter.
pub struct Boot(Kept);

/// Whether a worker has anything else to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    Idle,
    Busy,
}

/// Why there is no app.
pub struct LoadError {
    /// The traceback, or the sentence that says what was not found.
    pub text: String,
}

impl Boot {
    /// Opens the streams and sets `sys.path`.
    ///
    /// # Errors
    /// What Python raised: a broken standard library.
    pub fn prepare(py: Py<'_>, place: &Place) -> Result<Boot, Exception> {
        let source = CStr::from_bytes_with_nul(BOOT.as_bytes()).expect("boot.py has no NUL");
        let namespace = Dict::new(py);
        namespace.set_text("__name__", &py.str("uwring_boot"));
        namespace.set_text("__builtins__", &py.import("builtins")?);
        py.run_module(source, c"uwring/boot.py", &namespace)?;
        let boot = Boot(namespace.into_object().keep());
        let paths: Vec<_> = place.paths.iter().map(|path| py.fs_str(path.as_bytes())).collect();
        boot.function(py, "prepare")?.call([&py.list(&paths)])?;
        boot.function(py, "watch_extensions")?.call([])?;
        Ok(boot)
    }

    fn function<'py>(&'py self, py: Py<'py>, name: &str) -> Result<Object<'py>, Exception> {
        Dict::from_object(self.0.get(py).clone())
            .and_then(|namespace| namespace.get(&py.str(name)))
            .ok_or_else(|| Exception::new(Kind::Runtime, format!("BUG: boot.py has no {name}")))
    }

    /// Imports the app.
    ///
    /// # Errors
    /// The app's traceback, or what could not be found.
    pub fn load(&self, py: Py<'_>, place: &Place) -> Result<Kept, LoadError> {
        let optional = |text: &Option<String>| match text {
            Some(text) => py.fs_str(text.as_bytes()),
            None => py.none(),
        };
        let load = self.function(py, "load").and_then(|load| {
            let (module, file) = (optional(&place.module), optional(&place.file));
            load.call([&module, &file, &optional(&place.callable)]).map(Object::keep)
        });
        load.map_err(|error| {
            let own = error.object(py).is_some_and(|object| object.type_name() == "LookupError");
            let text = if own {
                error.object(py).map(Object::to_text).unwrap_or_default()
            } else {
                error.traceback(py).trim_end().to_owned()
            };
            LoadError { text }
        })
    }

    /// Calls one of boot.py's functions that take nothing; what it raises is dropped.
    fn run(&self, py: Py<'_>, name: &str) {
        let _ = self.function(py, name).and_then(|function| function.call([]).map(drop));
    }

    /// Runs atexit functions and flushes; the last that an interpreter does.
    pub fn leave(&self, py: Py<'_>) {
        self.run(py, "leave");
    }

    /// Writes out what print() left in the buffers.
    pub fn flush(&self, py: Py<'_>) {
        self.run(py, "flush");
    }

    /// The extension modules that failed to load in this interpreter, with what they said.
    pub fn refused_extensions(&self, py: Py<'_>) -> Vec<(String, String)> {
        let Ok(refused) = self.function(py, "refused") else { return Vec::new() };
        let count = refused.sequence_len().unwrap_or(0);
        let items = (0..count).filter_map(|index| refused.item(index));
        let text = |item: &Object<'_>, at| item.item(at).map(|text| text.to_text());
        items.filter_map(|item| Some((text(&item, 0)?, text(&item, 1)?))).collect()
    }

    /// Has `function` called for each extension module that fails to load from now on.
    ///
    /// # Errors
    /// What Python raised.
    pub fn report_refusals(&self, py: Py<'_>, function: &Object<'_>) -> Result<(), Exception> {
        self.function(py, "report_refusals")?.call([function]).map(drop)
    }

    /// Leaves the time of collections to `tidy`.
    pub fn manage_collector(&self, py: Py<'_>) {
        self.run(py, "manage");
    }

    /// Collects cycles, if enough was allocated for it.
    pub fn tidy(&self, py: Py<'_>, pace: Pace) {
        self.run(py, if pace == Pace::Idle { "tidy" } else { "tidy_at_work" });
    }

    /// Takes what the app's import made out of the collector's sight, also for forks to share.
    pub fn freeze(&self, py: Py<'_>) {
        self.run(py, "freeze");
    }
}
