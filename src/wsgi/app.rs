//! Prepares an interpreter and loads the app into it.

use std::ffi::CStr;
use std::path::PathBuf;

use crate::python::{Dict, Exception, Kept, Kind, Object, Py};

const BOOT: &str = concat!(include_str!("boot.py"), "\0");

/// Where the apps are and what their interpreter needs.
#[derive(Debug, Clone, Default)]
pub struct Place {
    /// The one without a mountpoint first, if there is one.
    pub apps: Vec<Source>,
    /// The callable's name where a source does not say it, `application` if not given.
    pub callable: Option<String>,
    /// Put in front of `sys.path`, in this order.
    pub paths: Vec<String>,
    /// Modules and files that are imported before the apps.
    pub imports: Vec<String>,
    /// `(name, module or file)` that `import name` gives.
    pub aliases: Vec<(String, String)>,
    /// Which app a request is for.
    pub rule: Rule,
    /// Entered by a process when its apps are loaded.
    pub chdir2: Option<PathBuf>,
    /// uWSGI: what `sys.executable` says.
    pub executable: Option<String>,
}

/// Where one app is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Source {
    /// As written: `/api`; empty for the app of `module` or `wsgi-file`.
    pub mountpoint: String,
    /// `pkg.mod` or `pkg.mod:callable`.
    pub module: Option<String>,
    /// A file that holds the callable.
    pub file: Option<String>,
    /// Of a file, where it was written behind it.
    pub callable: Option<String>,
    /// What PasteDeploy's `loadapp` takes.
    pub paste: Option<String>,
    /// The Paste file that says how to log.
    pub paste_logger: Option<String>,
    /// Python code that leaves the callable.
    pub code: Option<String>,
}

/// How requests find their app among several.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rule {
    /// The mountpoint is looked for in PATH_INFO, and moves to SCRIPT_NAME.
    pub manage_script_name: bool,
    /// SCRIPT_NAME chooses no app.
    pub ignore_script_name: bool,
    /// What is mounted nowhere gets a 500.
    pub no_default_app: bool,
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
        boot.function(py, "speak_of_exits")?.call([])?;
        if let Some(executable) = &place.executable {
            let executable = py.fs_str(executable.as_bytes());
            py.import("sys")?.set_attribute("executable", &executable)?;
        }
        Ok(boot)
    }

    fn function<'py>(&'py self, py: Py<'py>, name: &str) -> Result<Object<'py>, Exception> {
        Dict::from_object(self.0.get(py).clone())
            .and_then(|namespace| namespace.get(&py.str(name)))
            .ok_or_else(|| Exception::new(Kind::Runtime, format!("BUG: boot.py has no {name}")))
    }

    /// Imports what stands beside the apps: `import` and `pymodule-alias`.
    ///
    /// # Errors
    /// The traceback of an alias for what cannot be imported. An import that fails is written to
    /// the log.
    pub fn import(&self, py: Py<'_>, place: &Place) -> Result<(), LoadError> {
        let text = |text: &String| py.fs_str(text.as_bytes());
        if !place.imports.is_empty() {
            let names: Vec<_> = place.imports.iter().map(text).collect();
            let import = self.function(py, "import_beside");
            import.and_then(|import| import.call([&py.list(&names)])).map_err(|e| told(py, &e))?;
        }
        for (name, target) in &place.aliases {
            let alias = self.function(py, "alias");
            let result = alias.and_then(|alias| alias.call([&text(name), &text(target)]));
            result.map_err(|error| told(py, &error))?;
        }
        Ok(())
    }

    /// Imports an app.
    ///
    /// # Errors
    /// The app's traceback, or what could not be found.
    pub fn load(&self, py: Py<'_>, place: &Place, app: &Source) -> Result<Kept, LoadError> {
        let optional = |text: Option<&String>| match text {
            Some(text) => py.fs_str(text.as_bytes()),
            None => py.none(),
        };
        let callable = optional(app.callable.as_ref().or(place.callable.as_ref()));
        let text = |text: &Option<String>| optional(text.as_ref());
        let app = match app {
            Source { paste: Some(uri), paste_logger, .. } => {
                crate::log::line(format_args!("Loading paste environment: {uri}"));
                let uri = py.fs_str(uri.as_bytes());
                let load = self.function(py, "load_paste");
                load.and_then(|load| load.call([&uri, &text(paste_logger)]).map(Object::keep))
            }
            Source { code: Some(code), .. } => {
                let code = py.fs_str(code.as_bytes());
                let load = self.function(py, "load_code");
                load.and_then(|load| load.call([&code, &callable]).map(Object::keep))
            }
            Source { module, file, .. } => self.function(py, "load").and_then(|load| {
                load.call([&text(module), &text(file), &callable]).map(Object::keep)
            }),
        };
        app.map_err(|error| told(py, &error))
    }

    /// Calls one of boot.py's functions that take nothing; what it raises is dropped.
    fn run(&self, py: Py<'_>, name: &str) {
        let _ = self.function(py, name).and_then(|function| function.call([]).map(drop));
    }

    /// Gives this thread of a worker the name that uWSGI gives it.
    ///
    /// # Errors
    /// What Python raised.
    pub fn name_thread(&self, py: Py<'_>, worker: usize, core: usize) -> Result<(), Exception> {
        let (worker, core) = (py.int(worker as i64), py.int(core as i64));
        self.function(py, "name_thread")?.call([&worker, &core]).map(drop)
    }

    /// Runs atexit functions and flushes; the last that an interpreter does.
    pub fn leave(&self, py: Py<'_>) {
        self.run(py, "leave");
    }

    /// Ends a process that the app forked and that left the app's call, by an exception or not.
    pub fn end_child(&self, py: Py<'_>, error: Option<&Object<'_>>) -> ! {
        let error = error.cloned().unwrap_or_else(|| py.none());
        let code = self.function(py, "end_child").and_then(|end| end.call([&error]));
        let code = code.ok().and_then(|code| code.as_int()).unwrap_or(1);
        crate::sys::exit_now(code as i32)
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

/// A sentence of ours, or the traceback.
fn told(py: Py<'_>, error: &Exception) -> LoadError {
    let own = error.object(py).is_some_and(|object| object.type_name() == "LookupError");
    let text = if own {
        error.object(py).map(Object::to_text).unwrap_or_default()
    } else {
        error.traceback(py).trim_end().to_owned()
    };
    LoadError { text }
}
