//! What Python and the workers are told.

use std::path::Path;
use std::sync::Arc;

use crate::handoff::Handoff;
use crate::isolation::Embedding;
use crate::listen::Listener;
use crate::log;
use crate::options::{Deed, Options, Setting, UWSGI_VERSION, paste_file};
use crate::python::Config;
use crate::response::Amendment;
use crate::shard::Logging;
use crate::shared::link::Tie;
use crate::shared::{Board, worker};
use crate::stats::{SocketFacts, Source};
use crate::sys;
use crate::wsgi::{AppSource, Autoreload, Facts, Fixed, Place, Plan, Rule};

/// How Python is started.
pub fn embedding(options: &Options) -> Embedding {
    for path in &options.pythonpath {
        log::line(format_args!("added {path}/ to pythonpath."));
    }
    let base = option_env!("UWRING_BASE_PYTHON").unwrap_or("python3").to_owned();
    let executable = match &options.home {
        Some(home) => {
            log::line(format_args!("Set PythonHome to {}", home.display()));
            let python = home.join("bin/python");
            std::path::absolute(&python).unwrap_or(python).display().to_string()
        }
        None => base,
    };
    let mut argv = vec!["uwsgi".to_owned()];
    argv.extend(options.py_argv.iter().cloned());
    Embedding {
        config: Config {
            executable,
            argv,
            program: options.py_programname.clone(),
            optimize: options.optimize,
            site: !options.no_site,
        },
    }
}

/// What the workers are made from.
pub fn plan(
    options: &Options,
    handoff: &'static Handoff,
    board: &'static Board,
    listeners: &[Listener],
    tie: Option<&Tie>,
) -> Plan {
    let hostname = sys::hostname();
    let (major, minor, patch) = UWSGI_VERSION;
    let written = |setting: &Setting| (setting.name.clone(), setting.value.clone());
    // Agents ask for them and complain when they are not there; threads always work here, and a
    // fork always runs Python's hooks.
    let mut opt: Vec<_> = options.settings.iter().map(written).collect();
    for name in ["enable-threads", "py-call-uwsgi-fork-hooks"] {
        opt.push((name.to_owned(), None));
    }
    Plan {
        handoff,
        board,
        place: place(options),
        fixed: Fixed {
            multithread: options.threads > 1,
            multiprocess: options.processes > 1,
            core: None,
            ports: listeners.iter().map(|listener| listener.port.clone()).collect(),
            http_vars: options.http.vars.clone(),
            hostname: hostname.clone(),
            version: format!("{major}.{minor}.{patch}"),
        },
        facts: Facts {
            opt,
            workers: options.processes,
            threads: options.threads,
            hostname,
            mountpoints: sources(options).into_iter().map(|app| app.mountpoint).collect(),
            started_on: (crate::shared::now_us() / 1_000_000) as i64,
            buffer_size: i64::from(options.buffer_size),
            master_pid: tie.map_or(0, |tie| tie.master_pid),
            sockets: listeners.iter().flat_map(Listener::fds).collect(),
            locks: options.locks,
            pidfile: options.pidfile.as_ref().map(|path| path.display().to_string()),
            is_a_reload: tie.is_some_and(|tie| tie.needs_app),
            tracebacker: options.py_tracebacker.clone(),
            touch_signals: options
                .touch_deeds
                .iter()
                .filter_map(|(path, deed)| match deed {
                    Deed::Signal(signal) => Some((path.clone(), *signal)),
                    _ => None,
                })
                .collect(),
            autoreload: options.py_autoreload.map(|seconds| Autoreload {
                seconds,
                ignored: options.py_autoreload_ignore.clone(),
                file: options.wsgi_file.as_ref().map(|file| file.display().to_string()),
            }),
        },
        strict: options.wsgi_strict,
        catch_exceptions: options.catch_exceptions,
        amendment: Arc::new(Amendment::new(
            &options.http.added,
            &options.http.removed,
            options.http.auto_gzip,
        )),
        on_exception: options.recycling.on_exception.clone(),
        limit_as: options.recycling.limit_as.filter(|&mib| mib > 0).map(|mib| mib << 20),
        file_wrapper: !options.wsgi_disable_file_wrapper,
        gc: options.gc,
    }
}

/// Which requests get a line, and of which form.
pub fn logging(options: &Options) -> Logging {
    let mut logging = Logging {
        all: !options.disable_logging,
        some: false,
        status_4xx: options.logs.status_4xx,
        status_5xx: options.logs.status_5xx,
        slow_us: options.logs.slow_ms.filter(|&ms| ms > 0).map(|ms| ms.saturating_mul(1000)),
        zero: options.logs.zero,
        big: options.logs.big.filter(|&bytes| bytes > 0),
        sendfile: options.logs.sendfile,
        broken: options.logs.io_error,
        forwarded_for: options.log_x_forwarded_for,
        form: log::Form::new(options),
    };
    logging.some = logging.status_4xx
        || logging.status_5xx
        || logging.slow_us.is_some()
        || logging.zero
        || logging.big.is_some()
        || logging.sendfile
        || logging.broken;
    logging
}

/// What the stats tell of.
pub fn stats_source(plan: &Plan, listeners: &[Listener]) -> Source {
    let own = std::process::id() as i32;
    let master = Some(plan.facts.master_pid).filter(|&pid| pid != 0);
    let facts = |listener: &Listener| SocketFacts {
        name: listener.name.clone(),
        proto: listener.protocol.name().to_owned(),
        max_queue: listener.backlog(),
        fds: listener.fds(),
    };
    Source {
        board: plan.board,
        pid: master.unwrap_or(own),
        version: plan.fixed.version.clone(),
        sockets: listeners.iter().map(facts).collect(),
        mountpoints: plan.facts.mountpoints.clone(),
    }
}

/// Where the app is, and `sys.path`: `pythonpath` in front, then the working directory (uWSGI's
/// "."), then the ini's own directory, where a module beside it lies.
fn place(options: &Options) -> Place {
    let mut paths: Vec<String> = options.pythonpath.iter().rev().cloned().collect();
    paths.push(".".to_owned());
    let beside = options.config_dir.as_ref().map(|dir| dir.display().to_string());
    paths.extend(beside.filter(|dir| !dir.is_empty()));
    let mut apps = sources(options);
    if options.chdir2.is_some()
        && let Ok(here) = std::env::current_dir()
    {
        // A worker that is made later finds its app from there too.
        let absolute = |path: &mut String| *path = here.join(&*path).display().to_string();
        paths.iter_mut().for_each(absolute);
        apps.iter_mut().filter_map(|app| app.file.as_mut()).for_each(absolute);
    }
    Place {
        apps,
        callable: options.callable.clone(),
        paths,
        imports: options.import.clone(),
        aliases: options.module_aliases.clone(),
        rule: Rule {
            manage_script_name: options.manage_script_name,
            ignore_script_name: options.ignore_script_name,
            no_default_app: options.no_default_app,
        },
        chdir2: options.chdir2.clone(),
        executable: options.py_sys_executable.clone(),
    }
}

/// The apps: the one of `module` or `wsgi-file` first, then each mount.
pub fn sources(options: &Options) -> Vec<AppSource> {
    let other = &options.other_app;
    let main = if options.module.is_some() || options.wsgi_file.is_some() {
        Some(AppSource {
            module: options.module.clone(),
            // uWSGI: the module is loaded where both are given.
            file: options.wsgi_file.as_ref().map(|file| file.display().to_string()),
            ..AppSource::default()
        })
    } else {
        let code =
            other.code.clone().map(|code| AppSource { code: Some(code), ..AppSource::default() });
        other.paste.as_ref().map(|uri| pasted("", uri, options)).or(code)
    };
    let mounts = options.mount.iter().map(|(mountpoint, app)| mounted(mountpoint, app, options));
    main.into_iter().chain(mounts).collect()
}

/// An app that PasteDeploy makes.
fn pasted(mountpoint: &str, uri: &str, options: &Options) -> AppSource {
    let own = || paste_file(uri).map(Path::to_owned);
    let logger = options.other_app.paste_logger.clone().and_then(|given| given.or_else(own));
    AppSource {
        mountpoint: mountpoint.to_owned(),
        paste: Some(uri.to_owned()),
        paste_logger: logger.map(|path| path.display().to_string()),
        ..AppSource::default()
    }
}

/// uWSGI: what ends in `.py` or `.wsgi` is a file, in `.ini` one of Paste, all else a module.
fn mounted(mountpoint: &str, app: &str, options: &Options) -> AppSource {
    if app.ends_with(".ini") {
        let file = std::path::absolute(app).unwrap_or_else(|_| app.into());
        return pasted(mountpoint, &format!("config:{}", file.display()), options);
    }
    let (path, callable) = match app.rsplit_once(':') {
        Some((path, callable)) => (path, Some(callable.to_owned())),
        None => (app, None),
    };
    let mountpoint = mountpoint.to_owned();
    if [".py", ".wsgi"].iter().any(|end| path.ends_with(end)) {
        let file = Some(path.to_owned());
        return AppSource { mountpoint, file, callable, ..AppSource::default() };
    }
    AppSource { mountpoint, module: Some(app.to_owned()), ..AppSource::default() }
}

/// uWSGI goes on without an app and answers 500 to everything. True if it is so.
pub fn warn_without_app(plan: &Plan) -> bool {
    let rows = (0..plan.board.workers()).map(|index| plan.board.worker(index));
    // Workers that come later are not there to have one.
    let mut there = rows.filter(|row| row.get(worker::READY) != 0);
    let is_missing = there.any(|row| row.get(worker::HAS_APP) == 0);
    if is_missing {
        log::line(format_args!("*** no app loaded: every request gets a 500 ***"));
    }
    is_missing
}
