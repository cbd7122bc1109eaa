//! What this room does: turns argv, environment and ini files into one frozen `Options`.
//! What it does not: it opens no socket, starts no process, changes no directory, knows no Python.
//! Who may call it: `main`; every other room reads the `Options` that `main` hands on.
//! What it may import: `crate::error` alone.

mod addresses;
mod alarm;
mod apply;
mod argv;
mod awaited;
pub mod check;
mod contents;
mod declared;
mod environment;
mod expand;
mod files;
mod foreign;
pub mod help;
mod hint;
mod http;
mod include;
mod ini;
mod json;
mod life;
mod lists;
mod logging;
mod logic;
mod magic;
mod other_app;
mod pages;
mod pattern;
pub mod python;
mod recycling;
mod routing;
mod setting;
mod suspicion;
pub mod table;
mod value;
mod whole;
mod xml;
mod yaml;

use std::ffi::OsString;
use std::path::PathBuf;

pub use awaited::{Awaited, Thing};
pub use files::{By, Compressed, Expires, Files, ServeMode, Since};
pub use http::{Buffers, Http};
pub use life::{Act, Cron, Daemon, Deed, Failure, Hook, Moment, Privileges};
pub use logging::{Alarm, AlarmDeed, Alarms, Encoder, Encoding, Engine, Logger, Logs, Route};
pub use other_app::{OtherApp, paste_file};
pub use pattern::Pattern;
pub use recycling::{Algorithm, Cheaper, OnException, Recycling};
pub use setting::{Origin, Setting};
pub use value::{Address, Affinity, Cores, Gc, Io, Isolation, Protocol, SocketSpec};

use crate::error::StartError;
use setting::World;
pub use whole::Machine;

/// The uWSGI release whose options and behaviour are meant: agents compare `version_info` with it.
pub const UWSGI_VERSION: (i64, i64, i64) = (2, 0, 31);

/// What one environment holds: names and values, as `std::env::vars_os` gives them.
pub type Environment = Vec<(OsString, OsString)>;

/// The environment variable that is set while a configuration is read anew: `if-reload`.
pub const RELOADS: &str = "UWSGI_RELOADS";

/// Reads all sources in uWSGI's order: the environment's `UWSGI_*`, then the arguments from left to
/// right, each ini file in the place of the argument that names it.
///
/// `args` is a whole argv, the program's name first. Nothing is printed: see `Options::warnings`.
/// Errors are one line: origin, option, what was expected, what was found.
pub fn from_process(args: Vec<OsString>, env: &Environment) -> Result<Options, StartError> {
    let mut read = environment::settings(env, World::Open)?;
    argv::settings(args, &mut read)?;
    let expanded = expand::expand(read.settings, env, World::Open)?;
    let settings = expanded.settings;
    let mut options = Options { config_dir: read.config_dir, settings, ..Options::default() };
    options.warnings = expanded.warnings;
    options.warnings.append(&mut read.warnings);
    apply::apply(&mut options, &expanded.asked)?;
    Ok(options)
}

/// Numbers of signals that options name.
pub(crate) mod signal {
    pub const HUP: i32 = 1;
    pub const INT: i32 = 2;
    pub const TERM: i32 = 15;
}

/// All that was asked for, with uWSGI's defaults where nothing was said. Frozen after
/// `from_process` (but for `home`, which `main` fills in from `python::choose`).
/// Paths are as written: relative ones count from the working directory at the time of use.
#[derive(Debug, Clone)]
pub struct Options {
    // Sockets and protocols
    /// In the order written; plain `--socket` already carries the protocol of `--protocol`.
    pub sockets: Vec<SocketSpec>,
    /// What plain `--socket` speaks.
    pub protocol: Protocol,
    /// The listen backlog; `None` asks for the system's limit.
    pub listen: Option<u32>,
    /// The mode of unix sockets; `None` leaves it to the umask.
    pub chmod_socket: Option<u32>,
    /// `user` or `user:group` of unix sockets, names or numbers.
    pub chown_socket: Option<String>,
    pub umask: Option<u32>,
    /// Remove unix sockets and pidfiles at exit.
    pub vacuum: bool,
    /// Seconds without progress on one read or write of a socket.
    pub socket_timeout: u64,
    /// TCP keep-alive probes on accepted connections.
    pub so_keepalive: bool,
    /// Seconds that an idle HTTP connection is kept open; 0 closes after each response.
    pub http_keepalive: u64,
    /// Seconds without progress while a request's body or response moves over HTTP.
    pub http_timeout: u64,
    /// Seconds for a whole HTTP request head; `None` means `http_timeout`.
    pub http_headers_timeout: Option<u64>,
    pub http: Http,
    pub buffers: Buffers,
    /// Bytes of a request head, at most 65,535.
    pub buffer_size: u32,
    /// Bodies of at least this many bytes go to a temporary file before the app runs.
    pub post_buffering: Option<u64>,
    /// Bytes of a request body; beyond it the answer is 413.
    pub limit_post: Option<u64>,

    // Workers
    pub master: bool,
    /// Workers, at least 1.
    pub processes: usize,
    /// Python threads of each worker, at least 1.
    pub threads: usize,
    pub isolation: Isolation,
    pub gc: Gc,
    /// Seconds that `auto` gives the app to be imported twice.
    pub isolation_timeout: u64,
    pub io: Io,
    /// At least 1; `None` leaves it to `shard_count`.
    pub shards: Option<usize>,
    pub cores: Cores,
    pub coalesce_answers: bool,
    pub enable_threads: bool,
    pub single_interpreter: bool,
    /// Each worker loads the app for itself.
    pub lazy_apps: bool,
    pub thunder_lock: bool,
    pub offload_threads: usize,
    /// Seconds without a request after which `die_on_idle` ends the server; 0 is never.
    pub idle: u64,
    pub die_on_idle: bool,
    pub prio: Option<i32>,
    /// Workers that stay when there is little to do.
    pub cheaper: Option<usize>,

    // The app
    /// `package.module`, `package.module:callable` or `package.module:factory()`.
    pub module: Option<String>,
    /// A Python file, `:callable` already taken off.
    pub wsgi_file: Option<PathBuf>,
    /// Where the app is if neither says it.
    pub other_app: OtherApp,
    /// The callable's name; `None` means `application`.
    pub callable: Option<String>,
    /// `(where, app)` as written: `/api` and `api.wsgi:app` or a file.
    pub mount: Vec<(String, String)>,
    pub manage_script_name: bool,
    /// SCRIPT_NAME of a proxy chooses no app.
    pub ignore_script_name: bool,
    /// Requests for what is mounted nowhere get a 500.
    pub no_default_app: bool,
    /// End with code 22 when no app could be loaded.
    pub need_app: bool,
    /// Entered before the app is loaded.
    pub chdir: Option<PathBuf>,
    /// Entered after the app was loaded.
    pub chdir2: Option<PathBuf>,
    /// In the order written; each goes to the front of `sys.path`.
    pub pythonpath: Vec<String>,
    /// The virtual environment (or another prefix) whose Python and packages the app wants.
    pub home: Option<PathBuf>,
    pub env: Vec<(String, String)>,
    pub unenv: Vec<String>,
    /// Each file of these directories is a variable.
    pub envdirs: Vec<PathBuf>,
    /// `sys.argv` after its first element.
    pub py_argv: Vec<String>,
    /// Modules imported beside the app, in the order written.
    pub import: Vec<String>,
    /// `(name, module or file)`: what `import name` gives.
    pub module_aliases: Vec<(String, String)>,
    /// Where workers show the stacks of their threads: the beginning of a socket's path.
    pub py_tracebacker: Option<String>,
    pub py_programname: Option<String>,
    pub py_sys_executable: Option<String>,
    /// Python's optimisation level, from 0 to 2.
    pub optimize: u8,
    pub no_site: bool,
    /// Refuse what PEP 3333 forbids (a str in the body) instead of mending it.
    pub wsgi_strict: bool,
    pub wsgi_disable_file_wrapper: bool,
    /// Send the traceback to the client (never in production).
    pub catch_exceptions: bool,
    /// Seconds between looks at the modules' files.
    pub py_autoreload: Option<u64>,
    /// Modules whose files are not looked at.
    pub py_autoreload_ignore: Vec<String>,
    /// Locks of `uwsgi.lock()` beside the first.
    pub locks: usize,

    // Limits and recycling
    /// Seconds that one request may take.
    pub harakiri: Option<u64>,
    pub harakiri_verbose: bool,
    /// Requests after which a worker is replaced.
    pub max_requests: Option<u64>,
    pub max_requests_delta: u64,
    /// Seconds after which a worker is replaced.
    pub max_worker_lifetime: Option<u64>,
    /// Seconds that a worker lives before it may be replaced.
    pub min_worker_lifetime: u64,
    /// MiB of resident memory beyond which a worker is replaced.
    pub reload_on_rss: Option<u64>,
    /// MiB of address space beyond which a worker is replaced.
    pub reload_on_as: Option<u64>,
    /// More of that kind.
    pub recycling: Recycling,
    /// How workers come and go.
    pub cheap: Cheaper,
    /// Seconds that a worker gets to end its requests at reload or stop.
    pub worker_reload_mercy: u64,
    /// Seconds that the whole server gets to end its requests at reload or stop.
    pub reload_mercy: u64,

    // Identity and life
    pub uid: Option<String>,
    pub gid: Option<String>,
    pub privileges: Privileges,
    /// What must be there before the server starts.
    pub awaited: Awaited,
    pub auto_procname: bool,
    pub procname: Option<String>,
    pub procname_prefix: Option<String>,
    pub procname_append: Option<String>,
    pub procname_master: Option<String>,
    /// Written before privileges are dropped.
    pub pidfile: Option<PathBuf>,
    /// Written after privileges are dropped.
    pub pidfile2: Option<PathBuf>,
    /// The same, but a server that runs keeps its file.
    pub safe_pidfile: Option<PathBuf>,
    pub safe_pidfile2: Option<PathBuf>,
    /// Processes and threads of the user.
    pub limit_nproc: Option<u64>,
    /// Open files of each process.
    pub max_fd: Option<u64>,
    /// The log file of a server in the background.
    pub daemonize: Option<PathBuf>,
    /// The same, and whoever started it waits until the app is loaded.
    pub daemonize2: Option<PathBuf>,
    /// uWSGI reloads at SIGTERM without this; uwring stops gracefully in both cases.
    pub die_on_term: bool,
    pub touch_reload: Vec<PathBuf>,
    /// `(file, what to do)` when the file is touched.
    pub touch_deeds: Vec<(PathBuf, Deed)>,
    /// In the order written.
    pub hooks: Vec<Hook>,
    pub daemons: Vec<Daemon>,
    pub crons: Vec<Cron>,
    /// Seconds that a command of `crons` may take, where it has no limit of its own.
    pub cron_harakiri: Option<u64>,
    pub exit_on_reload: bool,
    pub master_fifo: Vec<PathBuf>,
    /// Unknown keys of ini files are errors.
    pub strict: bool,

    // Logging
    /// No line for each request.
    pub disable_logging: bool,
    /// Opened before privileges are dropped.
    pub logto: Option<PathBuf>,
    /// Opened after privileges are dropped.
    pub logto2: Option<PathBuf>,
    /// uWSGI's format of request lines; `None` is its default line.
    pub log_format: Option<String>,
    /// strftime's format of dates before lines of the server; an empty one is uWSGI's default.
    pub log_date: Option<String>,
    pub log_x_forwarded_for: bool,
    pub log_micros: bool,
    /// Add rss and vsz to each request line.
    pub memory_report: bool,
    /// Where lines go and how.
    pub logs: Logs,

    // Files and stats
    pub files: Files,
    pub stats: Option<Address>,
    /// Put an HTTP response head before the JSON.
    pub stats_http: bool,
    pub stats_minified: bool,
    pub stats_no_cores: bool,

    // What to do instead of serving
    /// Send this signal to the server of this pidfile.
    pub signal_pidfile: Option<(i32, PathBuf)>,
    /// What `--help` is asked for; empty for all.
    pub help: Option<String>,
    pub version: bool,
    pub python_version: bool,
    /// Print what would be served and how, then end.
    pub doctor: bool,
    /// Print the configuration that was read, then go on (uWSGI: it goes on).
    pub show_config: bool,
    /// Print the value of this option or variable, then end.
    pub get: Option<String>,
    /// Print the names of all options, then end.
    pub dump_options: bool,
    /// End when the configuration was read.
    pub no_server: bool,
    /// Lines for the log at the start.
    pub prints: Vec<String>,
    /// Say what would become of each setting, then end.
    pub check_config: bool,
    /// Print this page of docs/, then end.
    pub dump_page: Option<String>,

    // What was read
    /// The directory of the first ini file: a module beside it can be imported.
    pub config_dir: Option<PathBuf>,
    /// All settings as written, expanded, in order: `uwsgi.opt` and `--show-config`.
    pub settings: Vec<Setting>,
    /// One line each, for the operator, at the start.
    pub warnings: Vec<String>,
}

impl Options {
    fn hook(&mut self, moment: Moment, deed: Deed) {
        self.hooks.push(Hook { moment, deed });
    }

    /// A command at a moment; its failure ends a start.
    fn exec(&mut self, moment: Moment, command: &str) {
        self.hook(moment, Deed::Exec(command.trim().to_owned(), Failure::Ends));
    }
}

impl Default for Options {
    fn default() -> Options {
        Options {
            sockets: Vec::new(),
            protocol: Protocol::Uwsgi,
            listen: None,
            chmod_socket: None,
            chown_socket: None,
            umask: None,
            vacuum: false,
            socket_timeout: 4,
            so_keepalive: false,
            http_keepalive: 75,
            http_timeout: 60,
            http_headers_timeout: None,
            http: Http::default(),
            buffers: Buffers::default(),
            buffer_size: 65_535,
            post_buffering: None,
            limit_post: None,
            master: false,
            processes: 1,
            threads: 1,
            isolation: Isolation::Auto,
            gc: Gc::Frozen,
            isolation_timeout: 60,
            io: Io::Auto,
            shards: None,
            cores: Cores::default(),
            coalesce_answers: false,
            enable_threads: true,
            single_interpreter: false,
            lazy_apps: false,
            thunder_lock: false,
            offload_threads: 0,
            idle: 0,
            die_on_idle: false,
            prio: None,
            cheaper: None,
            module: None,
            wsgi_file: None,
            other_app: OtherApp::default(),
            callable: None,
            mount: Vec::new(),
            manage_script_name: false,
            ignore_script_name: false,
            no_default_app: false,
            need_app: false,
            chdir: None,
            chdir2: None,
            pythonpath: Vec::new(),
            home: None,
            env: Vec::new(),
            unenv: Vec::new(),
            envdirs: Vec::new(),
            py_argv: Vec::new(),
            import: Vec::new(),
            module_aliases: Vec::new(),
            py_tracebacker: None,
            py_programname: None,
            py_sys_executable: None,
            optimize: 0,
            no_site: false,
            wsgi_strict: false,
            wsgi_disable_file_wrapper: false,
            catch_exceptions: false,
            py_autoreload: None,
            py_autoreload_ignore: Vec::new(),
            locks: 0,
            harakiri: None,
            harakiri_verbose: false,
            max_requests: None,
            max_requests_delta: 0,
            max_worker_lifetime: None,
            min_worker_lifetime: 10,
            reload_on_rss: None,
            reload_on_as: None,
            recycling: Recycling::default(),
            cheap: Cheaper::default(),
            worker_reload_mercy: 60,
            reload_mercy: 60,
            uid: None,
            gid: None,
            privileges: Privileges::default(),
            awaited: Awaited::default(),
            auto_procname: false,
            procname: None,
            procname_prefix: None,
            procname_append: None,
            procname_master: None,
            pidfile: None,
            pidfile2: None,
            safe_pidfile: None,
            safe_pidfile2: None,
            limit_nproc: None,
            max_fd: None,
            daemonize: None,
            daemonize2: None,
            die_on_term: false,
            touch_reload: Vec::new(),
            touch_deeds: Vec::new(),
            hooks: Vec::new(),
            daemons: Vec::new(),
            crons: Vec::new(),
            cron_harakiri: None,
            exit_on_reload: false,
            master_fifo: Vec::new(),
            strict: false,
            disable_logging: false,
            logto: None,
            logto2: None,
            log_format: None,
            log_date: None,
            log_x_forwarded_for: false,
            log_micros: false,
            memory_report: false,
            files: Files::default(),
            logs: Logs::default(),
            stats: None,
            stats_http: false,
            stats_minified: false,
            stats_no_cores: false,
            signal_pidfile: None,
            help: None,
            version: false,
            python_version: false,
            doctor: false,
            show_config: false,
            get: None,
            dump_options: false,
            no_server: false,
            prints: Vec::new(),
            check_config: false,
            dump_page: None,
            config_dir: None,
            settings: Vec::new(),
            warnings: Vec::new(),
        }
    }
}

/// `from_process` without an environment, and with the whole argv in front of the tests.
#[cfg(test)]
fn parse(args: &[&str]) -> Result<Options, String> {
    let words = std::iter::once(&"uwring").chain(args).map(OsString::from).collect();
    from_process(words, &Environment::new()).map_err(|error| error.to_string())
}
