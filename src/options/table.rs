//! The option table: one row for each option, and all that is known about it.
//!
//! argv, environment, ini files, `--help` and docs/options.md read it. It is the one long file.

// A setter is one assignment, and `Ok` around it keeps a row's last line short.
#![allow(clippy::unit_arg)]
// Every row ends alike, also one that says everything.
#![allow(clippy::needless_update)]

use std::collections::HashMap;
use std::sync::OnceLock;

use super::Options;
use super::alarm::{self, Alarm};
use super::awaited::{self, Thing};
use super::files::{self, By, Compressed, Since};
use super::foreign::FOREIGN;
use super::life::{self, Cron, Daemon, Deed, Failure, Moment};
use super::logging::{self, Encoder, Engine, Logger, Route};
use super::recycling::Algorithm;
use super::signal;
use super::value::{Address, Affinity, Gc, Io, Isolation, Protocol, SocketSpec, Value, Wrong};
use super::{http, routing};

/// One option.
pub struct Opt {
    /// The first is the one that help and docs show; the others mean the same.
    pub names: &'static [&'static str],
    pub short: Option<char>,
    pub takes: Takes,
    pub section: Section,
    pub status: Status,
    /// As in uWSGI it brings a master, without which it does nothing.
    pub with_master: bool,
    /// A sentence in the imperative.
    pub help: &'static str,
    pub(super) set: fn(&mut Options, Value<'_>) -> Result<(), Wrong>,
}

/// What stands after an option's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// Nothing, or a word for yes or no.
    Flag,
    Count,
    Bytes,
    Megabytes,
    Seconds,
    /// A bare one is 1.
    MaybeSeconds,
    Milliseconds,
    Octal,
    /// A bare one is 666.
    SocketMode,
    Address,
    /// An address, or a port alone.
    HttpAddress,
    Path,
    Pair,
    /// Text without blanks.
    Word,
    Text,
    /// Text, or an empty one.
    AnyText,
    MaybeText,
    /// Nothing, or a word.
    MaybeWord,
}

/// A chapter of `--help` and docs/options.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    Sockets,
    Workers,
    App,
    Limits,
    Identity,
    Life,
    Logging,
    Files,
    Stats,
    Background,
    Routing,
    Configuration,
}

/// How an option compares with uWSGI's of that name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It does what it does in uWSGI.
    Same,
    /// It is honoured with this difference.
    Adapted(&'static str),
    /// uWSGI has no such option.
    Own,
    /// Like `Own`, and for the makers of uwring: shown nowhere.
    Hidden,
    /// It changes nothing, and that does no harm because of this.
    Ignored(&'static str),
    /// What it asks for is not here, serving goes on without it, and a warning says so.
    Absent(&'static str),
    /// It stops the start with this reason.
    Refused(&'static str),
}

/// Of the rules of uWSGI's internal routing.
const ROUTES: Status = Status::Absent("Let nginx do it: donotlog, log, last, continue do no harm.");

impl Takes {
    /// What help shows for the value; empty for a flag.
    pub fn metavar(self) -> &'static str {
        match self {
            Takes::Flag => "",
            Takes::Count => "N",
            Takes::Bytes => "BYTES",
            Takes::Megabytes => "MIB",
            Takes::Seconds => "SECONDS",
            Takes::MaybeSeconds => "[SECONDS]",
            Takes::Milliseconds => "MS",
            Takes::Octal => "MODE",
            Takes::SocketMode => "[MODE]",
            Takes::Address | Takes::HttpAddress => "ADDRESS",
            Takes::Path => "PATH",
            Takes::Pair => "KEY=VALUE",
            Takes::Word => "NAME",
            Takes::Text | Takes::AnyText => "TEXT",
            Takes::MaybeText => "[TEXT]",
            Takes::MaybeWord => "[WORD]",
        }
    }

    /// Whether the command line may end after the option's name.
    pub(super) fn may_be_bare(self) -> bool {
        matches!(
            self,
            Takes::Flag
                | Takes::SocketMode
                | Takes::MaybeSeconds
                | Takes::MaybeText
                | Takes::MaybeWord
        )
    }

    /// Whether leading digits are all that counts.
    pub(super) fn is_number(self) -> bool {
        matches!(
            self,
            Takes::Count
                | Takes::Bytes
                | Takes::Megabytes
                | Takes::Seconds
                | Takes::MaybeSeconds
                | Takes::Milliseconds
        )
    }

    /// Refuses a value of the wrong kind, also for options that nothing reads yet.
    pub(super) fn check(self, value: Value<'_>) -> Result<(), Wrong> {
        match self {
            Takes::Count => value.count().map(drop),
            Takes::Bytes => value.bytes().map(drop),
            Takes::Megabytes => value.megabytes().map(drop),
            Takes::Seconds | Takes::MaybeSeconds => value.seconds().map(drop),
            Takes::Milliseconds => value.milliseconds().map(drop),
            Takes::Octal => value.octal().map(drop),
            Takes::SocketMode => value.socket_mode().map(drop),
            Takes::Pair => value.pair().map(drop),
            Takes::Flag | Takes::AnyText | Takes::MaybeText | Takes::MaybeWord => Ok(()),
            Takes::Address | Takes::HttpAddress => Ok(()),
            Takes::Path | Takes::Word | Takes::Text => value.text().map(drop),
        }
    }
}

impl Section {
    pub const ALL: [Section; 12] = [
        Section::Sockets,
        Section::Workers,
        Section::App,
        Section::Limits,
        Section::Identity,
        Section::Life,
        Section::Logging,
        Section::Files,
        Section::Stats,
        Section::Background,
        Section::Routing,
        Section::Configuration,
    ];

    pub fn title(self) -> &'static str {
        match self {
            Section::Sockets => "Sockets and HTTP",
            Section::Workers => "Workers and threads",
            Section::App => "The app and its Python",
            Section::Limits => "Limits and recycling",
            Section::Identity => "Identity of the process",
            Section::Life => "Reload, stop and hooks",
            Section::Logging => "Logging",
            Section::Files => "Static files",
            Section::Stats => "Statistics",
            Section::Background => "Background work and shared memory",
            Section::Routing => "Routing and other servers",
            Section::Configuration => "Configuration",
        }
    }
}

/// The row of `name`, and the name as the table has it.
pub(super) fn find(name: &str) -> Option<(&'static str, &'static Opt)> {
    static BY_NAME: OnceLock<HashMap<&'static str, &'static Opt>> = OnceLock::new();
    let foreign = || FOREIGN.iter().flat_map(named);
    let by_name = BY_NAME.get_or_init(|| names().chain(foreign()).collect());
    by_name.get_key_value(name).map(|(name, opt)| (*name, *opt))
}

pub(super) fn find_short(letter: char) -> Option<&'static Opt> {
    TABLE.iter().find(|opt| opt.short == Some(letter))
}

/// All names of a usual uWSGI and of uwring with their rows.
pub(super) fn names() -> impl Iterator<Item = (&'static str, &'static Opt)> {
    TABLE.iter().flat_map(named)
}

fn named(opt: &'static Opt) -> impl Iterator<Item = (&'static str, &'static Opt)> {
    opt.names.iter().map(move |name| (*name, opt))
}

impl Options {
    fn socket(&mut self, option: &str, protocol: Protocol, address: Address) {
        self.sockets.push(SocketSpec { address, protocol, option: option.to_owned() });
    }
}

/// From -20 to 19, as nice(1) takes it.
fn nice(value: Value<'_>) -> Result<i32, Wrong> {
    let number = value.text()?.trim().parse::<i32>().map_err(|_| Wrong::Expected("-20 to 19"))?;
    Ok(number.clamp(-20, 19)) // As the kernel takes it.
}

/// uWSGI users write `Connection: close` to have no keep-alive, and the other to have it.
fn add_header(options: &mut Options, value: Value<'_>) -> Result<(), Wrong> {
    let (name, value) = http::field(value)?;
    if !name.eq_ignore_ascii_case("connection") {
        options.http.added.push((name, value));
    } else if value.eq_ignore_ascii_case("close") {
        options.http_keepalive = 0;
    }
    Ok(())
}

fn protocol(value: Value<'_>) -> Result<Protocol, Wrong> {
    let words = [("uwsgi", Protocol::Uwsgi), ("http", Protocol::Http), ("http11", Protocol::Http)];
    value.choice("uwsgi or http", &words)
}

fn isolation(value: Value<'_>) -> Result<Isolation, Wrong> {
    let words = [
        ("auto", Isolation::Auto),
        ("interpreter", Isolation::Interpreter),
        ("process", Isolation::Process),
    ];
    value.choice("auto, interpreter or process", &words)
}

fn gc(value: Value<'_>) -> Result<Gc, Wrong> {
    let words = [("frozen", Gc::Frozen), ("managed", Gc::Managed), ("python", Gc::Python)];
    value.choice("frozen, managed or python", &words)
}

/// `--loggers-list` and its like.
fn list(options: &mut Options, value: Value<'_>, kind: &str) {
    if value.flag() {
        options.dump_page = Some(kind.to_owned());
    }
}

fn algorithm(value: Value<'_>) -> Result<Algorithm, Wrong> {
    value.choice("", &Algorithm::NAMES).map_err(|_| {
        let names = Algorithm::NAMES.map(|(name, _)| name).join(", ");
        Wrong::Harmless(format!("expected one of {names}: spare it is"))
    })
}

fn io(value: Value<'_>) -> Result<Io, Wrong> {
    let words = [("auto", Io::Auto), ("uring", Io::Uring), ("epoll", Io::Epoll)];
    value.choice("auto, uring or epoll", &words)
}

fn affinity(value: Value<'_>) -> Result<Affinity, Wrong> {
    let words = [("auto", Affinity::Auto), ("shard", Affinity::Shard), ("none", Affinity::None)];
    value.choice("auto, shard or none", &words)
}

fn scheduling(value: Value<'_>) -> Result<bool, Wrong> {
    value.choice("auto or none", &[("auto", true), ("none", false)])
}

/// uWSGI: 1 is on, more is the idle time. `true` is off there by accident, and on here.
fn keepalive(value: Value<'_>) -> Result<u64, Wrong> {
    match value.seconds()? {
        1 => Ok(Options::default().http_keepalive),
        seconds => Ok(seconds),
    }
}

const NO_VARIABLE: &str = "this names no variable: it is left out";

/// uWSGI: what is no NAME=value sets nothing.
fn variable(value: Value<'_>) -> Result<(String, String), Wrong> {
    value.text()?;
    value.pair().map_err(|_| Wrong::Harmless(NO_VARIABLE.to_owned()))
}

/// `file.py` or `file.py:callable`.
fn wsgi_file(options: &mut Options, value: Value<'_>) -> Result<(), Wrong> {
    let text = value.text()?;
    let (file, callable) = match text.rsplit_once(':') {
        Some((file, callable)) if !callable.is_empty() && !callable.contains('/') => {
            (file, Some(callable.to_owned()))
        }
        _ => (text, None),
    };
    options.wsgi_file = Some(file.into());
    if callable.is_some() {
        options.callable = callable;
    }
    Ok(())
}

/// uWSGI: a file, or the address that datagrams go to.
fn logto(options: &mut Options, value: Value<'_>) -> Result<(), Wrong> {
    if logging::is_udp(value.text()?) {
        return log_socket(options, value);
    }
    Ok(options.logto = Some(value.path()?))
}

fn log_socket(options: &mut Options, value: Value<'_>) -> Result<(), Wrong> {
    let engine = Engine::Socket(logging::address(value.text()?)?);
    Ok(options.logs.loggers.push(Logger::plain(engine)))
}

fn log_syslog(options: &mut Options, value: Value<'_>) -> Result<(), Wrong> {
    let identity = value.text.filter(|text| *text != "true").unwrap_or("");
    Ok(options.logs.loggers.push(Logger::plain(logging::syslog(identity)?)))
}

fn log_date(value: Value<'_>) -> String {
    match value.text {
        None | Some("true") => String::new(),
        Some(format) => format.to_owned(),
    }
}

const SERVE_MODES: &str = "x-accel-redirect, nginx or x-sendfile";

fn expires(options: &mut Options, value: Value<'_>, by: By, since: Since) -> Result<(), Wrong> {
    Ok(options.files.expires.push(files::Expires::read(value, by, since)?))
}

fn compressed(options: &mut Options, which: Compressed) -> Result<(), Wrong> {
    Ok(options.files.compressed.push(which))
}

/// What a row need not say.
pub(super) const ROW: Opt = Opt {
    names: &[],
    short: None,
    takes: Takes::Flag,
    section: Section::Configuration,
    status: Status::Same,
    with_master: false,
    help: "",
    set: |_, _| Ok(()),
};

pub static TABLE: &[Opt] = &[
    Opt {
        names: &["socket"],
        short: Some('s'),
        takes: Takes::Address,
        section: Section::Sockets,
        help: "Listen on this address and speak what --protocol says.",
        set: |options, value| Ok(options.socket("socket", Protocol::Uwsgi, value.address()?)),
        ..ROW
    },
    Opt {
        names: &["uwsgi-socket"],
        takes: Takes::Address,
        section: Section::Sockets,
        help: "Listen on this address and speak the uwsgi protocol.",
        set: |options, value| Ok(options.socket("uwsgi-socket", Protocol::Uwsgi, value.address()?)),
        ..ROW
    },
    Opt {
        names: &["http-socket"],
        takes: Takes::Address,
        section: Section::Sockets,
        status: Status::Adapted("Keep-alive is on."),
        help: "Listen on this address and speak HTTP.",
        set: |options, value| Ok(options.socket("http-socket", Protocol::Http, value.address()?)),
        ..ROW
    },
    Opt {
        names: &["http11-socket"],
        takes: Takes::Address,
        section: Section::Sockets,
        help: "Listen on this address and speak HTTP with keep-alive.",
        set: |options, value| Ok(options.socket("http11-socket", Protocol::Http, value.address()?)),
        ..ROW
    },
    Opt {
        names: &["http", "httprouter"],
        takes: Takes::HttpAddress,
        section: Section::Sockets,
        status: Status::Adapted("There is no router process: the server itself listens."),
        help: "Listen on this address (or port) and speak HTTP.",
        set: |options, value| Ok(options.socket("http", Protocol::Http, value.http_address()?)),
        ..ROW
    },
    Opt {
        names: &["protocol", "socket-protocol"],
        takes: Takes::Text,
        section: Section::Sockets,
        help: "Let plain --socket speak uwsgi or http.",
        set: |options, value| Ok(options.protocol = protocol(value)?),
        ..ROW
    },
    Opt {
        names: &[
            "https",
            "https-socket",
            "https2",
            "https-session-context",
            "https-export-cert",
            "sni",
            "sni-dir",
            "sni-dir-ciphers",
            "sni-regexp",
            "ssl-enable3",
            "ssl-enable-sslv3",
            "ssl-enable-tlsv1",
            "ssl-option",
            "ssl-tmp-dir",
            "ssl-verbose",
            "ssl-verify-depth",
            "https-socket-modifier1",
            "https-socket-modifier2",
        ],
        takes: Takes::Text,
        section: Section::Sockets,
        status: Status::Refused(
            "TLS is not built in yet: let nginx end it and listen with --socket or --http.",
        ),
        help: "Listen on this address and speak HTTP over TLS.",
        ..ROW
    },
    Opt {
        names: &["http-to-https"],
        takes: Takes::Address,
        section: Section::Sockets,
        status: Status::Refused("TLS is not built in yet: let nginx redirect."),
        help: "Redirect plain HTTP on this address to HTTPS.",
        ..ROW
    },
    Opt {
        names: &[
            "fastcgi-socket",
            "scgi-socket",
            "raw-socket",
            "puwsgi-socket",
            "suwsgi-socket",
            "ssl-socket",
            "fastcgi-nph-socket",
            "scgi-nph-socket",
            "undeferred-shared-socket",
        ],
        takes: Takes::Address,
        section: Section::Sockets,
        status: Status::Refused("Only the uwsgi protocol and HTTP are spoken."),
        help: "Listen on this address and speak another protocol.",
        ..ROW
    },
    Opt {
        names: &["shared-socket"],
        takes: Takes::Text,
        section: Section::Sockets,
        help: "Name an address that sockets use as =0, =1 ...",
        ..ROW
    },
    Opt {
        names: &["map-socket"],
        takes: Takes::Text,
        section: Section::Sockets,
        status: Status::Absent("Each worker serves all sockets."),
        help: "Give a socket to some workers alone.",
        ..ROW
    },
    Opt {
        names: &["zerg", "zerg-server", "zerg-pool", "zergpool", "zerg-fallback"],
        takes: Takes::Text,
        section: Section::Sockets,
        status: Status::Refused(
            "Reload replaces workers behind the running listeners; no zerg is needed.",
        ),
        help: "Take sockets from, or give them to, another instance.",
        ..ROW
    },
    Opt {
        names: &["listen"],
        short: Some('l'),
        takes: Takes::Count,
        section: Section::Sockets,
        status: Status::Adapted(
            "The default is the system's limit, and a larger number is cut to it.",
        ),
        help: "Let this many connections wait to be accepted.",
        set: |options, value| Ok(options.listen = Some(value.fitting()?)),
        ..ROW
    },
    Opt {
        names: &["chmod-socket", "chmod"],
        short: Some('C'),
        takes: Takes::SocketMode,
        section: Section::Sockets,
        help: "Give unix sockets this mode; 666 when no mode is given.",
        set: |options, value| Ok(options.chmod_socket = Some(value.socket_mode()?)),
        ..ROW
    },
    Opt {
        names: &["chown-socket"],
        takes: Takes::Word,
        section: Section::Sockets,
        help: "Give unix sockets to this user, or user:group.",
        set: |options, value| Ok(options.chown_socket = Some(value.string()?)),
        ..ROW
    },
    Opt {
        names: &["umask"],
        takes: Takes::Octal,
        section: Section::Sockets,
        help: "Set this umask at start.",
        set: |options, value| match value.octal() {
            Ok(mask) => Ok(options.umask = Some(mask)),
            Err(_) => Err(Wrong::Harmless("expected octal digits: the mask stays".to_owned())),
        },
        ..ROW
    },
    Opt {
        names: &["vacuum"],
        section: Section::Sockets,
        help: "Remove unix sockets and pidfiles at exit.",
        set: |options, value| Ok(options.vacuum = value.flag()),
        ..ROW
    },
    Opt {
        names: &["socket-timeout"],
        short: Some('z'),
        takes: Takes::Seconds,
        section: Section::Sockets,
        help: "Give up on a socket that moves nothing for this long.",
        set: |options, value| Ok(options.socket_timeout = value.seconds()?),
        ..ROW
    },
    Opt {
        names: &["so-keepalive"],
        section: Section::Sockets,
        help: "Ask for TCP keep-alive probes on connections.",
        set: |options, value| Ok(options.so_keepalive = value.flag()),
        ..ROW
    },
    Opt {
        names: &["tcp-nodelay"],
        section: Section::Sockets,
        status: Status::Ignored("It is always on."),
        help: "Send small packets at once.",
        ..ROW
    },
    Opt {
        names: &["reuse-port", "abstract-socket", "close-on-exec", "close-on-exec2"],
        short: Some('a'),
        section: Section::Sockets,
        status: Status::Ignored("The server does so by itself where it is of use."),
        help: "Set this option on sockets.",
        ..ROW
    },
    Opt {
        names: &["no-defer-accept"],
        section: Section::Sockets,
        help: "Accept TCP connections at once, not with their first bytes or after socket-timeout.",
        set: |options, value| Ok(options.buffers.accept_at_once = value.flag()),
        ..ROW
    },
    Opt {
        names: &["freebind"],
        section: Section::Sockets,
        help: "Bind to an address that this machine does not have.",
        set: |options, value| Ok(options.buffers.freebind = value.flag()),
        ..ROW
    },
    Opt {
        names: &["shutdown-sockets"],
        section: Section::Sockets,
        status: Status::Ignored("Sockets are closed at the end."),
        help: "Shut sockets down at the end.",
        ..ROW
    },
    Opt {
        names: &[
            "so-send-timeout",
            "socket-send-timeout",
            "so-write-timeout",
            "socket-write-timeout",
        ],
        takes: Takes::Seconds,
        section: Section::Sockets,
        status: Status::Ignored("socket-timeout says how long a peer may take."),
        help: "Set the sending timeout of sockets.",
        ..ROW
    },
    Opt {
        names: &["socket-sndbuf"],
        takes: Takes::Bytes,
        section: Section::Sockets,
        help: "Set the size of the send buffer of connections.",
        set: |options, value| Ok(options.buffers.send = Some(value.fitting()?)),
        ..ROW
    },
    Opt {
        names: &["socket-rcvbuf"],
        takes: Takes::Bytes,
        section: Section::Sockets,
        help: "Set the size of the receive buffer of connections.",
        set: |options, value| Ok(options.buffers.receive = Some(value.fitting()?)),
        ..ROW
    },
    Opt {
        names: &["tcp-fast-open", "tcp-fastopen"],
        takes: Takes::Count,
        section: Section::Sockets,
        help: "Let this many connections use TCP fast open.",
        set: |options, value| Ok(options.buffers.fast_open = Some(value.fitting()?)),
        ..ROW
    },
    Opt {
        names: &["tcp-fast-open-client", "tcp-fastopen-client"],
        section: Section::Sockets,
        status: Status::Ignored("Nothing connects to others."),
        help: "Use TCP fast open for outgoing connections.",
        ..ROW
    },
    Opt {
        names: &["thunder-lock"],
        section: Section::Sockets,
        status: Status::Ignored("Each shard has listeners of its own, so no herd is woken."),
        help: "Serialise accept.",
        set: |options, value| Ok(options.thunder_lock = value.flag()),
        ..ROW
    },
    Opt {
        names: &["buffer-size"],
        short: Some('b'),
        takes: Takes::Bytes,
        section: Section::Sockets,
        status: Status::Adapted("The default is the greatest size, 65279, and not 4096."),
        help: "Take request heads of up to this many bytes.",
        set: |options, value| Ok(options.buffer_size = value.fitting::<u32>()?.min(65_535)),
        ..ROW
    },
    Opt {
        names: &["limit-post"],
        takes: Takes::Bytes,
        section: Section::Sockets,
        status: Status::Adapted("The answer is 413, not a closed connection."),
        help: "Take request bodies of up to this many bytes.",
        set: |options, value| Ok(options.limit_post = Some(value.bytes()?)),
        ..ROW
    },
    Opt {
        names: &["post-buffering"],
        takes: Takes::Bytes,
        section: Section::Sockets,
        help: "Put bodies of at least this many bytes into a file before the app runs.",
        set: |options, value| Ok(options.post_buffering = Some(value.bytes()?)),
        ..ROW
    },
    Opt {
        names: &["post-buffering-bufsize"],
        takes: Takes::Bytes,
        section: Section::Sockets,
        status: Status::Ignored("The server sizes its reads itself."),
        help: "Read bodies in pieces of this many bytes.",
        ..ROW
    },
    Opt {
        names: &["body-read-warning"],
        takes: Takes::Bytes,
        section: Section::Sockets,
        status: Status::Ignored("Bodies never take memory without bound."),
        help: "Warn about bodies of this many bytes read at once.",
        ..ROW
    },
    Opt {
        names: &["chunked-input-limit"],
        takes: Takes::Bytes,
        section: Section::Sockets,
        status: Status::Ignored("Chunks are passed on as they come; limit-post limits the body."),
        help: "Take chunks of up to this many bytes.",
        ..ROW
    },
    Opt {
        names: &["chunked-input-timeout"],
        takes: Takes::Seconds,
        section: Section::Sockets,
        status: Status::Ignored("socket-timeout says how long a peer may take."),
        help: "Give a chunk this long.",
        ..ROW
    },
    Opt {
        names: &["upload-progress"],
        takes: Takes::Path,
        section: Section::Sockets,
        status: Status::Absent("Let nginx or the app tell of progress."),
        help: "Write the progress of uploads into this directory.",
        ..ROW
    },
    Opt {
        names: &["max-vars"],
        short: Some('v'),
        takes: Takes::Count,
        section: Section::Sockets,
        status: Status::Ignored("buffer-size alone limits a head."),
        help: "Take this many variables in a request.",
        ..ROW
    },
    Opt {
        names: &["max-fd"],
        takes: Takes::Count,
        section: Section::Sockets,
        help: "Set the limit of open files.",
        set: |options, value| Ok(options.max_fd = Some(value.number("a number")?)),
        ..ROW
    },
    Opt {
        names: &["response-headers-limit"],
        takes: Takes::Count,
        section: Section::Sockets,
        status: Status::Ignored("Response headers have no limit."),
        help: "Send this many response headers at most.",
        ..ROW
    },
    Opt {
        names: &["http-timeout"],
        takes: Takes::Seconds,
        section: Section::Sockets,
        help: "Give up on an HTTP peer that moves nothing for this long.",
        set: |options, value| Ok(options.http_timeout = value.seconds()?),
        ..ROW
    },
    Opt {
        names: &["http-headers-timeout"],
        takes: Takes::Seconds,
        section: Section::Sockets,
        help: "Give an HTTP peer this long for a request head.",
        set: |options, value| Ok(options.http_headers_timeout = Some(value.seconds()?)),
        ..ROW
    },
    Opt {
        names: &["http-connect-timeout"],
        takes: Takes::Seconds,
        section: Section::Sockets,
        status: Status::Ignored("No router connects to workers."),
        help: "Give a worker this long to accept.",
        ..ROW
    },
    Opt {
        names: &["http-keepalive"],
        takes: Takes::MaybeSeconds,
        section: Section::Sockets,
        status: Status::Adapted("It is on, with 75 seconds, unless 0 is given; true means on."),
        help: "Keep idle HTTP connections open for this long; 0 closes them.",
        set: |options, value| Ok(options.http_keepalive = keepalive(value)?),
        ..ROW
    },
    Opt {
        names: &["http-manage-expect"],
        takes: Takes::MaybeText,
        section: Section::Sockets,
        status: Status::Adapted("It is always on, 0 too; http-socket has it as well."),
        help: "Answer Expect: 100-continue, with 413 for bodies over this many bytes.",
        // uWSGI: a number that is no number is 0; a bare option and 1 set no limit.
        set: |options, value| {
            let bytes = value.number("a number of bytes").unwrap_or(0);
            options.http.expected_bytes_max = Some(bytes).filter(|&bytes| bytes > 1);
            Ok(())
        },
        ..ROW
    },
    Opt {
        names: &["http-auto-chunked", "http-chunked-input", "http-raw-body"],
        section: Section::Sockets,
        status: Status::Ignored("HTTP/1.1 is spoken in full without it."),
        help: "Speak this part of HTTP/1.1.",
        ..ROW
    },
    Opt {
        names: &["http-websockets"],
        section: Section::Sockets,
        status: Status::Absent("WSGI has no websockets: serve them with an ASGI server."),
        help: "Pass upgraded connections on.",
        ..ROW
    },
    Opt {
        names: &["http-auto-gzip"],
        section: Section::Sockets,
        status: Status::Adapted("http-socket has it too; the field that asks is not sent."),
        help: "Compress responses with uWSGI-Encoding: gzip and no Content-Length.",
        set: |options, value| Ok(options.http.auto_gzip = value.flag()),
        ..ROW
    },
    Opt {
        names: &["http-processes", "http-workers"],
        takes: Takes::Count,
        section: Section::Sockets,
        status: Status::Ignored("There is no router process."),
        help: "Run this many router processes.",
        ..ROW
    },
    Opt {
        names: &["http-to"],
        takes: Takes::Address,
        section: Section::Sockets,
        status: Status::Refused("There is no router process: let nginx send requests on."),
        help: "Send requests on to this address.",
        ..ROW
    },
    Opt {
        names: &[
            "http-ss",
            "http-subscription-server",
            "http-use-base",
            "http-use-cache",
            "http-use-pattern",
            "http-use-socket",
            "http-zerg",
            "http-resubscribe",
            "http-subscription-fallback-key",
            "http-stud-prefix",
            "http-manage-rtsp",
        ],
        takes: Takes::Text,
        section: Section::Sockets,
        status: Status::Refused("There is no router process: let nginx balance servers."),
        help: "Let the router find servers.",
        ..ROW
    },
    Opt {
        names: &["http-buffer-size"],
        takes: Takes::Bytes,
        section: Section::Sockets,
        status: Status::Ignored("buffer-size counts for HTTP too."),
        help: "Set the router's buffer size.",
        ..ROW
    },
    Opt {
        names: &[
            "http-events",
            "http-uid",
            "http-gid",
            "http-modifier1",
            "http-modifier2",
            "http-stats",
            "http-stats-server",
            "http-use-code-string",
            "http-socket-modifier1",
            "http-fallback",
            "http-gracetime",
            "http-harakiri",
            "http-quiet",
            "http-server-name-as-http-host",
            "http-socket-modifier2",
            "fastcgi-modifier1",
            "fastcgi-modifier2",
            "scgi-modifier1",
            "scgi-modifier2",
            "raw-modifier1",
            "raw-modifier2",
            "remap-modifier",
            "allowed-modifiers",
        ],
        takes: Takes::Text,
        section: Section::Sockets,
        status: Status::Ignored("There is no router process."),
        help: "Set this of the router.",
        ..ROW
    },
    Opt {
        names: &["http-cheap", "http-manage-source"],
        section: Section::Sockets,
        status: Status::Ignored("There is no router process."),
        help: "Set this of the router.",
        ..ROW
    },
    Opt {
        names: &["http-var"],
        takes: Takes::Pair,
        section: Section::Sockets,
        help: "Add this variable to requests that come over HTTP.",
        set: |options, value| Ok(options.http.vars.push(value.pair()?)),
        ..ROW
    },
    Opt {
        names: &["enable-proxy-protocol", "http-enable-proxy-protocol"],
        section: Section::Sockets,
        status: Status::Adapted("Version 2 is read too; SERVER_PORT stays the listener's."),
        help: "Read the PROXY protocol's first line of a connection.",
        set: |options, value| Ok(options.http.proxy_protocol = value.flag()),
        ..ROW
    },
    Opt {
        names: &["add-header"],
        takes: Takes::Text,
        section: Section::Sockets,
        help: "Add this header to every response.",
        set: |options, value| add_header(options, value),
        ..ROW
    },
    Opt {
        names: &["rem-header", "del-header"],
        takes: Takes::Word,
        section: Section::Sockets,
        help: "Take this header out of the app's responses.",
        set: |options, value| Ok(options.http.removed.push(http::name(value)?)),
        ..ROW
    },
    Opt {
        names: &["collect-header", "pull-header", "response-header-collect"],
        takes: Takes::Text,
        section: Section::Sockets,
        status: Status::Absent("Use rem-header, and uwsgi.set_logvar for the log."),
        help: "Keep a response's header for the log or the routing.",
        ..ROW
    },
    Opt {
        names: &["master"],
        short: Some('M'),
        section: Section::Workers,
        help: "Run a parent process that owns the sockets and restarts what dies.",
        set: |options, value| Ok(options.master = value.flag()),
        ..ROW
    },
    Opt {
        names: &["processes", "workers"],
        short: Some('p'),
        takes: Takes::Count,
        section: Section::Workers,
        status: Status::Adapted(
            "A worker is a sub-interpreter, or a process where the app needs one.",
        ),
        help: "Run this many workers.",
        set: |options, value| Ok(options.processes = value.at_least_one()?),
        ..ROW
    },
    Opt {
        names: &["threads"],
        takes: Takes::Count,
        section: Section::Workers,
        help: "Run this many Python threads in each worker.",
        set: |options, value| match value.count()? {
            // uWSGI: a worker without threads has the one that it is.
            0 => Err(Wrong::Harmless("0 is no number of threads: there is 1".to_owned())),
            count => Ok(options.threads = count),
        },
        ..ROW
    },
    Opt {
        names: &["isolation"],
        takes: Takes::Text,
        section: Section::Workers,
        status: Status::Own,
        help: "Make workers of interpreters or of processes: auto, interpreter or process.",
        set: |options, value| Ok(options.isolation = isolation(value)?),
        ..ROW
    },
    Opt {
        names: &["gc"],
        takes: Takes::Word,
        section: Section::Workers,
        status: Status::Own,
        help: "Collect cycles: frozen (spare what the import made), managed (when idle) or python.",
        set: |options, value| Ok(options.gc = gc(value)?),
        ..ROW
    },
    Opt {
        names: &["isolation-timeout"],
        takes: Takes::Seconds,
        section: Section::Workers,
        status: Status::Own,
        help: "Let isolation auto try the app for this long, 60 seconds if not given.",
        set: |options, value| Ok(options.isolation_timeout = value.seconds()?),
        ..ROW
    },
    Opt {
        names: &["io"],
        takes: Takes::Text,
        section: Section::Workers,
        status: Status::Own,
        help: "Move bytes with io_uring or epoll: auto, uring or epoll.",
        set: |options, value| Ok(options.io = io(value)?),
        ..ROW
    },
    Opt {
        names: &["shards"],
        takes: Takes::Count,
        section: Section::Workers,
        status: Status::Own,
        help: "Run this many I/O threads.",
        set: |options, value| Ok(options.shards = Some(value.at_least_one()?)),
        ..ROW
    },
    Opt {
        names: &["affinity"],
        takes: Takes::Text,
        section: Section::Workers,
        status: Status::Own,
        help: "Pin shards and their workers to cores: auto, shard or none.",
        set: |options, value| Ok(options.cores.affinity = affinity(value)?),
        ..ROW
    },
    Opt {
        names: &["scheduling"],
        takes: Takes::Text,
        section: Section::Workers,
        status: Status::Own,
        help: "Schedule shards behind who wakes them while that saves work: auto or none.",
        set: |options, value| Ok(options.cores.scheduling = scheduling(value)?),
        ..ROW
    },
    Opt {
        names: &["coalesce-answers"],
        section: Section::Workers,
        status: Status::Own,
        help: "Send answers together that are ready within a millisecond while all workers compute.",
        set: |options, value| Ok(options.coalesce_answers = value.flag()),
        ..ROW
    },
    Opt {
        names: &["enable-threads"],
        short: Some('T'),
        section: Section::Workers,
        status: Status::Adapted("Threads always work."),
        help: "Let the app start threads.",
        set: |options, value| Ok(options.enable_threads = value.flag()),
        ..ROW
    },
    Opt {
        names: &["no-threads"],
        section: Section::Workers,
        status: Status::Ignored("Threads always work."),
        help: "Keep the app from starting threads.",
        ..ROW
    },
    Opt {
        names: &["single-interpreter"],
        short: Some('i'),
        section: Section::Workers,
        status: Status::Adapted("Mounts share the worker's interpreter in any case."),
        help: "Load all apps into one interpreter.",
        set: |options, value| Ok(options.single_interpreter = value.flag()),
        ..ROW
    },
    Opt {
        names: &["lazy-apps"],
        section: Section::Workers,
        help: "Let each worker load the app for itself.",
        set: |options, value| Ok(options.lazy_apps = value.flag()),
        ..ROW
    },
    Opt {
        names: &["lazy"],
        section: Section::Workers,
        status: Status::Adapted("It means lazy-apps."),
        help: "Let each worker load the app for itself.",
        set: |options, value| Ok(options.lazy_apps = value.flag()),
        ..ROW
    },
    Opt {
        names: &["cheaper"],
        takes: Takes::Count,
        section: Section::Workers,
        status: Status::Adapted(
            "In workers that are processes; interpreters cost no process and all stay.",
        ),
        with_master: true,
        help: "Keep this many workers when there is little to do.",
        set: |options, value| Ok(options.cheaper = Some(value.count()?)),
        ..ROW
    },
    Opt {
        names: &["cheaper-initial"],
        takes: Takes::Count,
        section: Section::Workers,
        help: "Start with this many workers.",
        set: |options, value| Ok(options.cheap.initial = Some(value.count()?)),
        ..ROW
    },
    Opt {
        names: &["cheaper-step"],
        takes: Takes::Count,
        section: Section::Workers,
        help: "Start this many workers at a time.",
        set: |options, value| Ok(options.cheap.step = value.at_least_one()?),
        ..ROW
    },
    Opt {
        names: &["cheaper-overload"],
        takes: Takes::Seconds,
        section: Section::Workers,
        help: "Start workers when all were busy this long.",
        set: |options, value| Ok(options.cheap.overload = value.seconds()?),
        ..ROW
    },
    Opt {
        names: &["cheaper-idle"],
        takes: Takes::Seconds,
        section: Section::Workers,
        help: "End a worker after this time with too many idle (spare2).",
        set: |options, value| Ok(options.cheap.idle = value.seconds()?),
        ..ROW
    },
    Opt {
        names: &["cheaper-algo"],
        takes: Takes::Word,
        section: Section::Workers,
        status: Status::Adapted("spare2 is uWSGI 2.1's; a name that is not known is spare."),
        help: "Count workers so: spare, spare2, backlog, busyness or manual.",
        set: |options, value| Ok(options.cheap.algorithm = algorithm(value)?),
        ..ROW
    },
    Opt {
        names: &["cheaper-busyness-min"],
        takes: Takes::Count,
        section: Section::Workers,
        help: "End workers when they are busy for less of the time (per cent).",
        set: |options, value| Ok(options.cheap.busyness_min = value.number("a number")?),
        ..ROW
    },
    Opt {
        names: &["cheaper-busyness-max"],
        takes: Takes::Count,
        section: Section::Workers,
        help: "Start workers when they are busy for more of the time (per cent).",
        set: |options, value| Ok(options.cheap.busyness_max = value.number("a number")?),
        ..ROW
    },
    Opt {
        names: &["cheaper-busyness-multiplier"],
        takes: Takes::Count,
        section: Section::Workers,
        help: "End a worker after this many idle cycles.",
        set: |options, value| Ok(options.cheap.busyness_multiplier = value.number("a number")?),
        ..ROW
    },
    Opt {
        names: &["cheaper-busyness-backlog-alert"],
        takes: Takes::Count,
        section: Section::Workers,
        help: "Start workers at once when this many requests wait.",
        set: |options, value| Ok(options.cheap.backlog_alert = value.number("a number")?),
        ..ROW
    },
    Opt {
        names: &["cheaper-busyness-backlog-step"],
        takes: Takes::Count,
        section: Section::Workers,
        help: "Start this many workers then.",
        set: |options, value| Ok(options.cheap.backlog_step = value.at_least_one()?),
        ..ROW
    },
    Opt {
        names: &[
            "cheaper-busyness-penalty",
            "cheaper-busyness-backlog-multiplier",
            "cheaper-busyness-backlog-nonzero",
        ],
        takes: Takes::Count,
        section: Section::Workers,
        status: Status::Ignored("The algorithm has no such step."),
        help: "Tune the busyness algorithm.",
        ..ROW
    },
    Opt {
        names: &["cheaper-busyness-verbose"],
        section: Section::Workers,
        help: "Log what the busyness algorithm does.",
        set: |options, value| Ok(options.cheap.verbose = value.flag()),
        ..ROW
    },
    Opt {
        names: &["cheaper-rss-limit-soft"],
        takes: Takes::Bytes,
        section: Section::Workers,
        status: Status::Adapted("Without memory shared with the server."),
        help: "Add no worker while all of them together take this much memory.",
        set: |options, value| Ok(options.cheap.rss_soft = Some(value.bytes()?)),
        ..ROW
    },
    Opt {
        names: &["cheaper-rss-limit-hard"],
        takes: Takes::Bytes,
        section: Section::Workers,
        status: Status::Adapted("A worker ends between two requests, never within one."),
        help: "End a worker while all of them together take this much memory.",
        set: |options, value| Ok(options.cheap.rss_hard = Some(value.bytes()?)),
        ..ROW
    },
    Opt {
        names: &["cheap"],
        section: Section::Workers,
        status: Status::Adapted("In workers that are processes; interpreters start at once."),
        help: "Start workers at the first request.",
        set: |options, value| Ok(options.cheap.at_first = value.flag()),
        ..ROW
    },
    Opt {
        names: &["idle"],
        takes: Takes::Seconds,
        section: Section::Workers,
        status: Status::Adapted("Of worker processes; interpreters cost no process and stay."),
        help: "Let all workers go when no request came for this long.",
        set: |options, value| Ok(options.idle = value.seconds()?),
        ..ROW
    },
    Opt {
        names: &["die-on-idle"],
        section: Section::Workers,
        help: "End when no request came for the seconds of idle.",
        set: |options, value| Ok(options.die_on_idle = value.flag()),
        ..ROW
    },
    Opt {
        names: &["offload-threads", "offload-thread"],
        takes: Takes::Count,
        section: Section::Workers,
        status: Status::Ignored("Files and large bodies never hold a worker."),
        help: "Run this many offload threads.",
        set: |options, value| Ok(options.offload_threads = value.count()?),
        ..ROW
    },
    Opt {
        names: &[
            "thread-stacksize",
            "threads-stacksize",
            "thread-stack-size",
            "threads-stack-size",
        ],
        takes: Takes::Count,
        section: Section::Workers,
        status: Status::Ignored(
            "Threads have stacks of 8 MiB, of which only what is used is memory.",
        ),
        help: "Give Python threads stacks of this many KiB.",
        ..ROW
    },
    Opt {
        names: &["cpu-affinity"],
        takes: Takes::Count,
        section: Section::Workers,
        help: "Pin each worker to this many cores.",
        set: |options, value| Ok(options.cores.each = Some(value.at_least_one()?)),
        ..ROW
    },
    Opt {
        names: &["prio"],
        takes: Takes::Word,
        section: Section::Workers,
        help: "Set the nice value.",
        set: |options, value| Ok(options.prio = Some(nice(value)?)),
        ..ROW
    },
    Opt {
        names: &["reaper", "no-orphans"],
        short: Some('r'),
        section: Section::Workers,
        status: Status::Ignored("Workers never outlive the server."),
        help: "Clean up children.",
        ..ROW
    },
    Opt {
        names: &["threads-wait"],
        takes: Takes::MaybeText,
        section: Section::Workers,
        status: Status::Ignored("Requests are always drained."),
        help: "Wait for threads at the end.",
        ..ROW
    },
    Opt {
        names: &["no-threads-wait"],
        section: Section::Workers,
        status: Status::Ignored("Requests are always drained."),
        help: "Wait for threads at the end.",
        ..ROW
    },
    Opt {
        names: &["async"],
        takes: Takes::Count,
        section: Section::Workers,
        status: Status::Refused("There is no async mode: give each worker threads instead."),
        help: "Run this many async cores.",
        ..ROW
    },
    Opt {
        names: &[
            "gevent",
            "asyncio",
            "greenlet",
            "gevent-monkey-patch",
            "gevent-early-monkey-patch",
            "gevent-wait-for-hub",
            "tornado",
            "ugreen",
            "fiber",
            "stackless",
            "loop",
        ],
        takes: Takes::MaybeText,
        section: Section::Workers,
        status: Status::Refused(
            "Loop engines are not supported yet: give each worker threads instead.",
        ),
        help: "Serve with this loop engine.",
        ..ROW
    },
    Opt {
        names: &["ugreen-stacksize"],
        takes: Takes::Count,
        section: Section::Workers,
        status: Status::Ignored("There is no uGreen."),
        help: "Give uGreen stacks of this many KiB.",
        ..ROW
    },
    Opt {
        names: &["python-worker-override", "worker-exec", "worker-exec2"],
        takes: Takes::Path,
        section: Section::Workers,
        status: Status::Refused("Workers are part of the server and cannot be other programs."),
        help: "Let this program take the worker's place.",
        ..ROW
    },
    Opt {
        names: &["module", "wsgi"],
        short: Some('w'),
        takes: Takes::Word,
        section: Section::App,
        help: "Serve this app: package.module, package.module:app or package.module:make().",
        set: |options, value| Ok(options.module = Some(value.string()?)),
        ..ROW
    },
    Opt {
        names: &["wsgi-file", "file"],
        takes: Takes::Path,
        section: Section::App,
        help: "Serve the app of this Python file.",
        set: wsgi_file,
        ..ROW
    },
    Opt {
        names: &["callable"],
        takes: Takes::Word,
        section: Section::App,
        help: "Call this name of the module; application when nothing is said.",
        set: |options, value| Ok(options.callable = Some(value.string()?)),
        ..ROW
    },
    Opt {
        names: &["mount"],
        takes: Takes::Pair,
        section: Section::App,
        status: Status::Adapted("The apps of a worker share its interpreter."),
        help: "Serve an app below a path: /path=app.",
        set: |options, value| Ok(options.mount.push(value.pair()?)),
        ..ROW
    },
    Opt {
        names: &["worker-mount"],
        takes: Takes::Pair,
        section: Section::App,
        status: Status::Adapted("It is the same as mount."),
        help: "Serve an app below a path, loaded in each worker: /path=app.",
        set: |options, value| Ok(options.mount.push(value.pair()?)),
        ..ROW
    },
    Opt {
        names: &["manage-script-name"],
        section: Section::App,
        help: "Set SCRIPT_NAME and PATH_INFO by the mounts.",
        set: |options, value| Ok(options.manage_script_name = value.flag()),
        ..ROW
    },
    Opt {
        names: &["ignore-script-name"],
        section: Section::App,
        help: "Do not take the app from SCRIPT_NAME.",
        set: |options, value| Ok(options.ignore_script_name = value.flag()),
        ..ROW
    },
    Opt {
        names: &["no-default-app"],
        section: Section::App,
        help: "Answer 500 where no mount matches.",
        set: |options, value| Ok(options.no_default_app = value.flag()),
        ..ROW
    },
    Opt {
        names: &["need-app"],
        section: Section::App,
        help: "End with code 22 when the app cannot be loaded.",
        set: |options, value| Ok(options.need_app = value.flag()),
        ..ROW
    },
    Opt {
        names: &["chdir"],
        takes: Takes::Path,
        section: Section::App,
        help: "Enter this directory before the app is loaded.",
        set: |options, value| Ok(options.chdir = Some(value.path()?)),
        ..ROW
    },
    Opt {
        names: &["chdir2"],
        takes: Takes::Path,
        section: Section::App,
        help: "Enter this directory after the app was loaded.",
        set: |options, value| Ok(options.chdir2 = Some(value.path()?)),
        ..ROW
    },
    Opt {
        names: &["force-cwd"],
        takes: Takes::Path,
        section: Section::App,
        status: Status::Ignored("A reload reads the configuration in the directory of the start."),
        help: "Take this for the directory at the start.",
        ..ROW
    },
    Opt {
        names: &["pythonpath", "python-path", "pp"],
        takes: Takes::Text,
        section: Section::App,
        help: "Put this directory at the front of sys.path.",
        set: |options, value| Ok(options.pythonpath.push(value.string()?)),
        ..ROW
    },
    Opt {
        names: &["virtualenv", "home", "venv", "pyhome"],
        short: Some('H'),
        takes: Takes::Path,
        section: Section::App,
        status: Status::Adapted("It also chooses the CPython that the server runs."),
        help: "Use the Python and the packages of this virtual environment.",
        set: |options, value| Ok(options.home = Some(value.path()?)),
        ..ROW
    },
    Opt {
        names: &["env"],
        takes: Takes::Pair,
        section: Section::App,
        help: "Set this environment variable: NAME=value.",
        set: |options, value| Ok(options.env.push(variable(value)?)),
        ..ROW
    },
    Opt {
        names: &["unenv"],
        takes: Takes::Text,
        section: Section::App,
        help: "Take this variable out of the environment.",
        set: |options, value| match value.text()? {
            name if name.contains('=') => Err(Wrong::Harmless(NO_VARIABLE.to_owned())),
            name => Ok(options.unenv.push(name.to_owned())),
        },
        ..ROW
    },
    Opt {
        names: &["envdir"],
        takes: Takes::Path,
        section: Section::App,
        help: "Set the environment from the files of this directory.",
        set: |options, value| Ok(options.envdirs.push(value.path()?)),
        ..ROW
    },
    Opt {
        names: &["plugin", "plugins", "need-plugin", "need-plugins"],
        takes: Takes::Text,
        section: Section::App,
        status: Status::Ignored("All that is supported is built in."),
        help: "Load these plugins.",
        ..ROW
    },
    Opt {
        names: &["plugins-dir", "plugin-dir"],
        takes: Takes::Path,
        section: Section::App,
        status: Status::Ignored("All that is supported is built in."),
        help: "Look for plugins in this directory.",
        ..ROW
    },
    Opt {
        names: &["import", "py-import", "pyimport", "python-import"],
        takes: Takes::Text,
        section: Section::App,
        status: Status::Adapted(
            "It comes before the app, as in uWSGI; each interpreter imports it.",
        ),
        help: "Import this module or file before the app.",
        set: |options, value| Ok(options.import.push(value.string()?)),
        ..ROW
    },
    Opt {
        names: &[
            "shared-import",
            "shared-py-import",
            "shared-pyimport",
            "shared-python-import",
            "spooler-import",
        ],
        takes: Takes::Text,
        section: Section::App,
        status: Status::Adapted("Each interpreter imports it."),
        help: "Import this module or file before the app.",
        set: |options, value| Ok(options.import.push(value.string()?)),
        ..ROW
    },
    Opt {
        names: &["spooler-py-import", "spooler-pyimport", "spooler-python-import"],
        takes: Takes::Text,
        section: Section::App,
        status: Status::Ignored("There is no spooler."),
        help: "Import this module in the spooler.",
        ..ROW
    },
    Opt {
        names: &["pymodule-alias", "post-pymodule-alias"],
        takes: Takes::Pair,
        section: Section::App,
        help: "Let one module be imported under another name.",
        set: |options, value| Ok(options.module_aliases.push(value.pair()?)),
        ..ROW
    },
    Opt {
        names: &["pyargv"],
        takes: Takes::Text,
        section: Section::App,
        help: "Give the app these words as sys.argv, split at blanks.",
        set: |options, value| {
            Ok(options.py_argv = value.text()?.split_whitespace().map(str::to_owned).collect())
        },
        ..ROW
    },
    Opt {
        names: &["py-programname", "py-program-name"],
        takes: Takes::Text,
        section: Section::App,
        help: "Set the program's name.",
        set: |options, value| Ok(options.py_programname = Some(value.string()?)),
        ..ROW
    },
    Opt {
        names: &["py-sys-executable", "py-executable"],
        takes: Takes::Path,
        section: Section::App,
        help: "Set sys.executable.",
        set: |options, value| Ok(options.py_sys_executable = Some(value.string()?)),
        ..ROW
    },
    Opt {
        names: &["optimize"],
        short: Some('O'),
        takes: Takes::Count,
        section: Section::App,
        help: "Set Python's optimisation level.",
        set: |options, value| Ok(options.optimize = value.count()?.min(2) as u8),
        ..ROW
    },
    Opt {
        names: &["no-site"],
        section: Section::App,
        help: "Do not import site.",
        set: |options, value| Ok(options.no_site = value.flag()),
        ..ROW
    },
    Opt {
        names: &["eval"],
        takes: Takes::Text,
        section: Section::App,
        help: "Serve the app that this Python code makes.",
        set: |options, value| Ok(options.other_app.code = Some(value.string()?)),
        ..ROW
    },
    Opt {
        names: &["exception-handler"],
        takes: Takes::Text,
        section: Section::App,
        status: Status::Absent("Tracebacks are in the log, and nowhere else."),
        help: "Call this handler for exceptions.",
        ..ROW
    },
    Opt {
        names: &["after-request-hook", "after-request-call"],
        takes: Takes::Text,
        section: Section::App,
        status: Status::Absent("A C function cannot be called: wrap the app."),
        help: "Call this after each request.",
        ..ROW
    },
    Opt {
        names: &["config-py"],
        takes: Takes::Text,
        section: Section::App,
        status: Status::Refused("Not supported yet: write an ini file."),
        help: "Configure the server by a Python module.",
        ..ROW
    },
    Opt {
        names: &["command-mode"],
        section: Section::App,
        status: Status::Refused("Run python itself."),
        help: "Run commands.",
        ..ROW
    },
    Opt {
        names: &["early-envdir"],
        takes: Takes::Path,
        section: Section::App,
        status: Status::Adapted("It is read with envdir, after the configuration."),
        help: "Set the environment from the files of this directory.",
        set: |options, value| Ok(options.envdirs.push(value.path()?)),
        ..ROW
    },
    Opt {
        names: &["auto-weight"],
        section: Section::App,
        status: Status::Ignored("There is no router to tell it to."),
        help: "Tell a router how many workers there are.",
        ..ROW
    },
    Opt {
        names: &["autoload", "force-gateway"],
        section: Section::App,
        status: Status::Ignored("All that is supported is built in."),
        help: "Find what is needed.",
        ..ROW
    },
    Opt {
        names: &["mode"],
        takes: Takes::Text,
        section: Section::App,
        help: "Give the app this mode.",
        ..ROW
    },
    Opt {
        names: &["paste"],
        takes: Takes::Text,
        section: Section::App,
        help: "Serve the app that PasteDeploy finds here: config:/path/to/file.ini#name.",
        set: |options, value| Ok(options.other_app.paste = Some(value.string()?)),
        ..ROW
    },
    Opt {
        names: &["ini-paste"],
        takes: Takes::Path,
        section: Section::App,
        help: "Read the [uwsgi] section of this Paste file here, and serve its app.",
        set: |options, value| options.other_app.read_paste(&value.path()?),
        ..ROW
    },
    Opt {
        names: &["ini-paste-logged"],
        takes: Takes::Path,
        section: Section::App,
        help: "The same, and set up logging as the file says.",
        set: |options, value| {
            options.other_app.paste_logger = Some(None);
            options.other_app.read_paste(&value.path()?)
        },
        ..ROW
    },
    Opt {
        names: &["paste-logger"],
        takes: Takes::MaybeText,
        section: Section::App,
        help: "Set up logging as this Paste file says; the app's own if none is given.",
        set: |options, value| Ok(options.other_app.paste_logger = Some(value.text.map(Into::into))),
        ..ROW
    },
    Opt {
        names: &["pecan", "web3", "pump", "wsgi-lite", "psgi", "rack", "php-app"],
        takes: Takes::Text,
        section: Section::App,
        status: Status::Refused("Only WSGI apps are served."),
        help: "Serve another kind of app.",
        ..ROW
    },
    Opt {
        names: &["py-autoreload", "py-auto-reload", "python-autoreload", "python-auto-reload"],
        takes: Takes::Seconds,
        section: Section::App,
        status: Status::Adapted(
            "New files beside the app's modules count too; the old code serves until the new one loads.",
        ),
        with_master: true,
        help: "Look for changed modules this often and reload.",
        set: |options, value| Ok(options.py_autoreload = Some(value.seconds()?)),
        ..ROW
    },
    Opt {
        names: &["py-auto-reload-ignore"],
        takes: Takes::Text,
        section: Section::App,
        help: "Do not look at this module.",
        set: |options, value| Ok(options.py_autoreload_ignore.push(value.string()?)),
        ..ROW
    },
    Opt {
        names: &[
            "py-call-osafterfork",
            "py-call-uwsgi-fork-hooks",
            "skip-atexit",
            "skip-atexit-teardown",
            "reload-os-env",
        ],
        section: Section::App,
        status: Status::Ignored("Python is started and ended as its documentation asks."),
        help: "Change how Python lives through a fork.",
        ..ROW
    },
    Opt {
        names: &["wsgi-env-behaviour", "wsgi-env-behavior"],
        takes: Takes::Text,
        section: Section::App,
        status: Status::Ignored("Each request has an environ of its own."),
        help: "Choose how environ is allocated.",
        ..ROW
    },
    Opt {
        names: &["wsgi-accept-buffer", "wsgi-accept-buffers"],
        section: Section::App,
        status: Status::Ignored("Objects with a buffer are accepted in any case."),
        help: "Accept objects with a buffer in responses.",
        ..ROW
    },
    Opt {
        names: &["wsgi-manage-chunked-input"],
        section: Section::App,
        status: Status::Ignored("Chunked input is read in any case."),
        help: "Read chunked input.",
        ..ROW
    },
    Opt {
        names: &["wsgi-strict"],
        section: Section::App,
        help: "Answer 500 where an app breaks PEP 3333 instead of mending it.",
        set: |options, value| Ok(options.wsgi_strict = value.flag()),
        ..ROW
    },
    Opt {
        names: &["wsgi-disable-file-wrapper"],
        section: Section::App,
        help: "Do not offer wsgi.file_wrapper.",
        set: |options, value| Ok(options.wsgi_disable_file_wrapper = value.flag()),
        ..ROW
    },
    Opt {
        names: &["start_response-nodelay", "start-response-nodelay"],
        section: Section::App,
        status: Status::Ignored("PEP 3333: the head goes out with the first bytes of the body."),
        help: "Send the response's head at start_response.",
        ..ROW
    },
    Opt {
        names: &["catch-exceptions"],
        section: Section::App,
        help: "Send tracebacks to the client.",
        set: |options, value| Ok(options.catch_exceptions = value.flag()),
        ..ROW
    },
    Opt {
        names: &["py-tracebacker"],
        takes: Takes::Text,
        section: Section::App,
        help: "Show the stacks of a worker's Python threads at this unix socket, its number behind it.",
        set: |options, value| Ok(options.py_tracebacker = Some(value.string()?)),
        ..ROW
    },
    Opt {
        names: &["pyshell", "pyshell-oneshot", "pyrun", "python-raw", "py", "python"],
        takes: Takes::MaybeText,
        section: Section::App,
        status: Status::Refused("Run python itself."),
        help: "Run Python instead of serving.",
        ..ROW
    },
    Opt {
        names: &["max-apps"],
        takes: Takes::Count,
        section: Section::App,
        status: Status::Ignored("There is no limit."),
        help: "Load this many apps at most.",
        ..ROW
    },
    Opt {
        names: &["ignore-sigpipe"],
        section: Section::App,
        status: Status::Ignored("SIGPIPE never ends the server."),
        help: "Ignore SIGPIPE.",
        ..ROW
    },
    Opt {
        names: &["ignore-write-errors", "disable-write-exception", "write-errors-exception-only"],
        section: Section::App,
        status: Status::Ignored("A client that left is no error."),
        help: "Keep quiet when a client is gone.",
        ..ROW
    },
    Opt {
        names: &["write-errors-tolerance"],
        takes: Takes::Count,
        section: Section::App,
        status: Status::Ignored("A client that left is no error."),
        help: "Take this many write errors.",
        ..ROW
    },
    Opt {
        names: &["harakiri"],
        short: Some('t'),
        takes: Takes::Seconds,
        section: Section::Limits,
        status: Status::Adapted(
            "Of each request, not of a worker; 504, and an interpreter's thread gets an exception.",
        ),
        help: "End a request that takes longer than this.",
        set: |options, value| Ok(options.harakiri = Some(value.seconds()?)),
        ..ROW
    },
    Opt {
        names: &["harakiri-verbose"],
        section: Section::Limits,
        status: Status::Adapted("The Python stack, where uWSGI shows the system call."),
        help: "Log the Python stack of a request that took too long.",
        set: |options, value| Ok(options.harakiri_verbose = value.flag()),
        ..ROW
    },
    Opt {
        names: &["harakiri-graceful-timeout"],
        takes: Takes::Seconds,
        section: Section::Limits,
        status: Status::Adapted("For worker processes whose app has a handler for the signal."),
        help: "Give the app this long after a signal, then kill its worker.",
        set: |options, value| {
            Ok(options.recycling.harakiri_graceful_timeout = Some(value.seconds()?))
        },
        ..ROW
    },
    Opt {
        names: &["harakiri-graceful-signal"],
        takes: Takes::Count,
        section: Section::Limits,
        help: "Ask with this signal.",
        set: |options, value| {
            Ok(options.recycling.harakiri_graceful_signal = Some(value.fitting()?))
        },
        ..ROW
    },
    Opt {
        names: &["harakiri-queue-threshold"],
        takes: Takes::Count,
        section: Section::Limits,
        status: Status::Adapted("Counts the requests that wait for a worker."),
        help: "Act only when more than this many requests wait.",
        set: |options, value| {
            Ok(options.recycling.harakiri_queue_threshold = Some(value.number("a number")?))
        },
        ..ROW
    },
    Opt {
        names: &["harakiri-no-arh", "no-harakiri-arh", "no-harakiri-after-req-hook"],
        section: Section::Limits,
        status: Status::Ignored("There are no such hooks."),
        help: "Leave after-request hooks out of the time.",
        ..ROW
    },
    Opt {
        names: &["mule-harakiri", "spooler-harakiri"],
        takes: Takes::Seconds,
        section: Section::Limits,
        status: Status::Ignored("There are no mules and no spooler."),
        help: "End a background task that takes longer than this.",
        ..ROW
    },
    Opt {
        names: &["max-requests"],
        short: Some('R'),
        takes: Takes::Count,
        section: Section::Limits,
        status: Status::Adapted(
            "The successor is ready first. With interpreters the server process is replaced.",
        ),
        help: "Replace a worker after this many requests.",
        set: |options, value| Ok(options.max_requests = Some(value.number("a number")?)),
        ..ROW
    },
    Opt {
        names: &["max-requests-delta"],
        takes: Takes::Count,
        section: Section::Limits,
        help: "Add this much for each worker, so that they are not replaced together.",
        set: |options, value| Ok(options.max_requests_delta = value.number("a number")?),
        ..ROW
    },
    Opt {
        names: &["max-worker-lifetime"],
        takes: Takes::Seconds,
        section: Section::Limits,
        status: Status::Adapted("With interpreters the server process is replaced."),
        help: "Replace a worker after this time.",
        set: |options, value| Ok(options.max_worker_lifetime = Some(value.seconds()?)),
        ..ROW
    },
    Opt {
        names: &["max-worker-lifetime-delta"],
        takes: Takes::Seconds,
        section: Section::Limits,
        help: "Add this much for each worker.",
        set: |options, value| Ok(options.recycling.max_worker_lifetime_delta = value.seconds()?),
        ..ROW
    },
    Opt {
        names: &["min-worker-lifetime"],
        takes: Takes::Seconds,
        section: Section::Limits,
        help: "Keep a worker for at least this long.",
        set: |options, value| Ok(options.min_worker_lifetime = value.seconds()?),
        ..ROW
    },
    Opt {
        names: &["reload-on-rss"],
        takes: Takes::Megabytes,
        section: Section::Limits,
        status: Status::Adapted(
            "Without memory shared with the server. Interpreters: the server process is replaced.",
        ),
        with_master: true,
        help: "Replace a worker whose resident memory is above this.",
        set: |options, value| Ok(options.reload_on_rss = Some(value.megabytes()?)),
        ..ROW
    },
    Opt {
        names: &["reload-on-as"],
        takes: Takes::Megabytes,
        section: Section::Limits,
        status: Status::Adapted(
            "Without memory shared with the server. Interpreters: the server process is replaced.",
        ),
        with_master: true,
        help: "Replace a worker whose address space is above this.",
        set: |options, value| Ok(options.reload_on_as = Some(value.megabytes()?)),
        ..ROW
    },
    Opt {
        names: &["evil-reload-on-rss"],
        takes: Takes::Megabytes,
        section: Section::Limits,
        status: Status::Adapted("In workers that are processes."),
        with_master: true,
        help: "Kill a worker whose resident memory is above this.",
        set: |options, value| Ok(options.recycling.evil_reload_on_rss = Some(value.megabytes()?)),
        ..ROW
    },
    Opt {
        names: &["evil-reload-on-as"],
        takes: Takes::Megabytes,
        section: Section::Limits,
        status: Status::Adapted("In workers that are processes."),
        with_master: true,
        help: "Kill a worker whose address space is above this.",
        set: |options, value| Ok(options.recycling.evil_reload_on_as = Some(value.megabytes()?)),
        ..ROW
    },
    Opt {
        names: &["reload-on-exception"],
        section: Section::Limits,
        status: Status::Adapted("With interpreters the server process is replaced."),
        help: "Replace a worker after an exception.",
        set: |options, value| Ok(options.recycling.on_exception.any = value.flag()),
        ..ROW
    },
    Opt {
        names: &["reload-on-exception-type"],
        takes: Takes::Text,
        section: Section::Limits,
        help: "Replace a worker after an exception of this class.",
        set: |options, value| Ok(options.recycling.on_exception.types.push(value.string()?)),
        ..ROW
    },
    Opt {
        names: &["reload-on-exception-value"],
        takes: Takes::Text,
        section: Section::Limits,
        help: "Replace a worker after an exception with this message.",
        set: |options, value| Ok(options.recycling.on_exception.values.push(value.string()?)),
        ..ROW
    },
    Opt {
        names: &["reload-on-exception-repr"],
        takes: Takes::Text,
        section: Section::Limits,
        help: "Replace a worker after an exception with this representation.",
        set: |options, value| Ok(options.recycling.on_exception.reprs.push(value.string()?)),
        ..ROW
    },
    Opt {
        names: &["mem-collector-freq"],
        takes: Takes::Seconds,
        section: Section::Limits,
        status: Status::Ignored("Memory is measured each second where a limit asks for it."),
        help: "Measure memory this often.",
        ..ROW
    },
    Opt {
        names: &["limit-as"],
        takes: Takes::Megabytes,
        section: Section::Limits,
        status: Status::Adapted(
            "Of worker processes, without the memory that they share with the server.",
        ),
        help: "Limit the address space.",
        set: |options, value| Ok(options.recycling.limit_as = Some(value.megabytes()?)),
        ..ROW
    },
    Opt {
        names: &["limit-nproc"],
        takes: Takes::Count,
        section: Section::Limits,
        help: "Limit the number of processes.",
        set: |options, value| Ok(options.limit_nproc = Some(value.number("a number")?)),
        ..ROW
    },
    Opt {
        names: &["never-swap"],
        section: Section::Limits,
        status: Status::Absent("The unit's MemorySwapMax=0 does that."),
        help: "Lock memory.",
        ..ROW
    },
    Opt {
        names: &["ksm"],
        takes: Takes::MaybeText,
        section: Section::Limits,
        status: Status::Ignored("Interpreters share what can be shared."),
        help: "Let the kernel merge equal pages.",
        ..ROW
    },
    Opt {
        names: &["clock", "lock-engine", "ftok"],
        takes: Takes::Text,
        section: Section::Limits,
        status: Status::Ignored("The server chooses by itself."),
        help: "Choose this part of the system.",
        ..ROW
    },
    Opt {
        names: &["use-abort", "persistent-ipcsem", "no-fd-passing"],
        section: Section::Limits,
        status: Status::Ignored("The server chooses by itself."),
        help: "Choose this behaviour.",
        ..ROW
    },
    Opt {
        names: &["fd-safe", "safe-fd"],
        takes: Takes::Text,
        section: Section::Limits,
        status: Status::Ignored("The server chooses by itself."),
        help: "Choose this behaviour.",
        ..ROW
    },
    Opt {
        names: &["uid"],
        takes: Takes::Word,
        section: Section::Identity,
        help: "Run as this user, a name or a number.",
        set: |options, value| Ok(options.uid = Some(value.string()?)),
        ..ROW
    },
    Opt {
        names: &["gid"],
        takes: Takes::Word,
        section: Section::Identity,
        help: "Run as this group, a name or a number.",
        set: |options, value| Ok(options.gid = Some(value.string()?)),
        ..ROW
    },
    Opt {
        names: &["add-gid"],
        takes: Takes::Text,
        section: Section::Identity,
        help: "Add this group.",
        set: |options, value| Ok(options.privileges.add_gids.push(value.string()?)),
        ..ROW
    },
    Opt {
        names: &["immediate-uid"],
        takes: Takes::Text,
        section: Section::Identity,
        status: Status::Adapted("It means uid."),
        help: "Become this user at once.",
        set: |options, value| Ok(options.uid = Some(value.string()?)),
        ..ROW
    },
    Opt {
        names: &["immediate-gid"],
        takes: Takes::Text,
        section: Section::Identity,
        status: Status::Adapted("It means gid."),
        help: "Become this group at once.",
        set: |options, value| Ok(options.gid = Some(value.string()?)),
        ..ROW
    },
    Opt {
        names: &["no-initgroups"],
        section: Section::Identity,
        help: "Keep the supplementary groups.",
        set: |options, value| Ok(options.privileges.no_initgroups = value.flag()),
        ..ROW
    },
    Opt {
        names: &["master-as-root"],
        section: Section::Identity,
        status: Status::Adapted("Hooks, daemons and crons of the master keep them too."),
        help: "Leave the master its privileges.",
        set: |options, value| Ok(options.privileges.master_as_root = value.flag()),
        ..ROW
    },
    Opt {
        names: &["drop-after-init", "drop-after-apps"],
        section: Section::Identity,
        status: Status::Absent("Privileges are dropped before the app is loaded."),
        help: "Drop privileges later.",
        ..ROW
    },
    Opt {
        names: &["auto-procname"],
        section: Section::Identity,
        status: Status::Adapted(
            "The names are master, server, spawner and worker N; threads have names always.",
        ),
        help: "Name processes by their role.",
        set: |options, value| Ok(options.auto_procname = value.flag()),
        ..ROW
    },
    Opt {
        names: &["procname"],
        takes: Takes::Text,
        section: Section::Identity,
        help: "Name processes so.",
        set: |options, value| Ok(options.procname = Some(value.string()?)),
        ..ROW
    },
    Opt {
        names: &["procname-prefix"],
        takes: Takes::Text,
        section: Section::Identity,
        help: "Put this before the names of processes.",
        set: |options, value| Ok(options.procname_prefix = Some(value.string()?)),
        ..ROW
    },
    Opt {
        names: &["procname-prefix-spaced"],
        takes: Takes::Text,
        section: Section::Identity,
        help: "Put this and a blank before the names of processes.",
        set: |options, value| Ok(options.procname_prefix = Some(format!("{} ", value.text()?))),
        ..ROW
    },
    Opt {
        names: &["procname-append"],
        takes: Takes::Text,
        section: Section::Identity,
        help: "Put this behind the names of processes.",
        set: |options, value| Ok(options.procname_append = Some(value.string()?)),
        ..ROW
    },
    Opt {
        names: &["procname-master"],
        takes: Takes::Text,
        section: Section::Identity,
        help: "Name the master so.",
        set: |options, value| Ok(options.procname_master = Some(value.string()?)),
        ..ROW
    },
    Opt {
        names: &["daemonize"],
        short: Some('d'),
        takes: Takes::Path,
        section: Section::Identity,
        help: "Go to the background and log to this file.",
        set: |options, value| Ok(options.daemonize = Some(value.path()?)),
        ..ROW
    },
    Opt {
        names: &["daemonize2"],
        takes: Takes::Path,
        section: Section::Identity,
        status: Status::Adapted("All is logged to the file; whoever starts it waits for the app."),
        with_master: true,
        help: "Go to the background once the app is loaded, and log to this file.",
        set: |options, value| Ok(options.daemonize2 = Some(value.path()?)),
        ..ROW
    },
    Opt {
        names: &["pidfile"],
        takes: Takes::Path,
        section: Section::Identity,
        help: "Write the pid here before privileges are dropped.",
        set: |options, value| Ok(options.pidfile = Some(value.path()?)),
        ..ROW
    },
    Opt {
        names: &["safe-pidfile"],
        takes: Takes::Path,
        section: Section::Identity,
        status: Status::Adapted("It does not start while the file names a server that runs."),
        help: "Write the pid here, unless a server that runs did.",
        set: |options, value| Ok(options.safe_pidfile = Some(value.path()?)),
        ..ROW
    },
    Opt {
        names: &["pidfile2"],
        takes: Takes::Path,
        section: Section::Identity,
        help: "Write the pid here after privileges are dropped.",
        set: |options, value| Ok(options.pidfile2 = Some(value.path()?)),
        ..ROW
    },
    Opt {
        names: &["safe-pidfile2"],
        takes: Takes::Path,
        section: Section::Identity,
        status: Status::Adapted("It does not start while the file names a server that runs."),
        help: "Write the pid here, unless a server that runs did.",
        set: |options, value| Ok(options.safe_pidfile2 = Some(value.path()?)),
        ..ROW
    },
    Opt {
        names: &[
            "chroot",
            "cap",
            "unshare",
            "setns",
            "cgroup",
            "namespace",
            "pivot_root",
            "jail",
            "jail2",
            "refork",
            "jailed",
            "ns",
            "ns-net",
            "namespace-net",
            "namespace-keep-mount",
            "pivot-root",
            "unshare2",
            "setns-socket",
            "setns-socket-skip",
            "setns-skip",
            "setns-preopen",
            "re-fork",
            "re-fork-as-root",
            "re-fork-post-jail",
            "refork-as-root",
            "refork-post-jail",
            "cgroup-opt",
            "cgroup-dir-mode",
            "privileged-binary-patch",
            "unprivileged-binary-patch",
            "privileged-binary-patch-arg",
            "unprivileged-binary-patch-arg",
        ],
        takes: Takes::Text,
        section: Section::Identity,
        status: Status::Refused("Leave this to systemd or a container."),
        help: "Confine the server.",
        ..ROW
    },
    Opt {
        names: &["honour-stdin"],
        section: Section::Identity,
        status: Status::Ignored("Standard input is left alone."),
        help: "Keep standard input open.",
        ..ROW
    },
    Opt {
        names: &["binary-path"],
        takes: Takes::Path,
        section: Section::Identity,
        status: Status::Ignored("The server knows its own path."),
        help: "Find the server's binary here.",
        ..ROW
    },
    Opt {
        names: &["flock", "flock-wait", "flock2", "flock-wait2"],
        takes: Takes::Path,
        section: Section::Identity,
        status: Status::Absent("safe-pidfile keeps a second server from starting."),
        help: "Lock this file.",
        ..ROW
    },
    Opt {
        names: &["wait-for-interface", "wait-interface", "wait-for-iface", "wait-iface"],
        takes: Takes::Text,
        section: Section::Identity,
        help: "Wait for this network interface before anything is bound.",
        set: |options, value| {
            Ok(options.awaited.things.push(Thing::Interface(value.text()?.to_owned())))
        },
        ..ROW
    },
    Opt {
        names: &[
            "wait-for-interface-timeout",
            "wait-interface-timeout",
            "wait-for-iface-timeout",
            "wait-iface-timeout",
        ],
        takes: Takes::Seconds,
        section: Section::Identity,
        help: "Wait no longer for an interface; 60 unless told.",
        set: |options, value| Ok(options.awaited.interface_s = value.seconds()?),
        ..ROW
    },
    Opt {
        names: &["wait-for-fs", "wait-for-file", "wait-for-dir"],
        takes: Takes::Text,
        section: Section::Identity,
        help: "Wait for this file, of any kind, before anything is bound.",
        set: |options, value| Ok(options.awaited.things.push(Thing::File(value.text()?.into()))),
        ..ROW
    },
    Opt {
        names: &["wait-for-mountpoint"],
        takes: Takes::Text,
        section: Section::Identity,
        help: "Wait until something is mounted here, before anything is bound.",
        set: |options, value| {
            Ok(options.awaited.things.push(Thing::Mountpoint(value.text()?.into())))
        },
        ..ROW
    },
    Opt {
        names: &["wait-for-fs-timeout"],
        takes: Takes::Seconds,
        section: Section::Identity,
        help: "Wait no longer for files and mounts; 60 unless told.",
        set: |options, value| Ok(options.awaited.file_s = value.seconds()?),
        ..ROW
    },
    Opt {
        names: &["wait-for-socket"],
        takes: Takes::Text,
        section: Section::Identity,
        help: "Wait until somebody listens at this address, before the app is loaded.",
        set: |options, value| Ok(options.awaited.things.push(awaited::socket(value)?)),
        ..ROW
    },
    Opt {
        names: &["wait-for-socket-timeout"],
        takes: Takes::Seconds,
        section: Section::Identity,
        help: "Wait no longer for a socket; 60 unless told.",
        set: |options, value| Ok(options.awaited.socket_s = value.seconds()?),
        ..ROW
    },
    Opt {
        names: &["die-on-term"],
        section: Section::Life,
        status: Status::Adapted("SIGTERM always stops the server, gracefully."),
        help: "Stop at SIGTERM instead of reloading.",
        set: |options, value| Ok(options.die_on_term = value.flag()),
        ..ROW
    },
    Opt {
        names: &["exit-on-reload"],
        section: Section::Life,
        help: "Stop where a reload is asked for.",
        set: |options, value| Ok(options.exit_on_reload = value.flag()),
        ..ROW
    },
    Opt {
        names: &["touch-reload"],
        takes: Takes::Path,
        section: Section::Life,
        with_master: true,
        help: "Reload when this file is touched.",
        set: |options, value| Ok(options.touch_reload.push(value.path()?)),
        ..ROW
    },
    Opt {
        names: &["touch-chain-reload", "touch-workers-reload", "fs-reload", "fs-brutal-reload"],
        takes: Takes::Path,
        section: Section::Life,
        status: Status::Adapted("A reload of all: the new workers are ready before the old end."),
        with_master: true,
        help: "Reload workers when this file is touched.",
        set: |options, value| Ok(options.touch_reload.push(value.path()?)),
        ..ROW
    },
    Opt {
        names: &["touch-logreopen"],
        takes: Takes::Path,
        section: Section::Life,
        with_master: true,
        help: "Reopen log files when this file is touched.",
        set: |options, value| Ok(options.logs.touch_reopen.push(value.path()?)),
        ..ROW
    },
    Opt {
        names: &["touch-logrotate"],
        takes: Takes::Path,
        section: Section::Life,
        with_master: true,
        help: "Rename log files and begin new ones when this file is touched.",
        set: |options, value| Ok(options.logs.touch_rotate.push(value.path()?)),
        ..ROW
    },
    Opt {
        names: &["touch-exec"],
        takes: Takes::Text,
        section: Section::Life,
        with_master: true,
        help: "Run a command when a file is touched: FILE COMMAND.",
        set: |options, value| {
            let (path, command) = life::touch(value.text()?)?;
            let deed = Deed::Exec(command.to_owned(), Failure::Passes);
            Ok(options.touch_deeds.push((path, deed)))
        },
        ..ROW
    },
    Opt {
        names: &["touch-signal", "fs-signal"],
        takes: Takes::Text,
        section: Section::Life,
        status: Status::Adapted("Worker 1 looks, not the master, and from its start on."),
        with_master: true,
        help: "Raise a signal of the app when a file is touched: FILE NUMBER.",
        set: |options, value| {
            let (path, number) = life::touch(value.text()?)?;
            let number = number.split(' ').next().unwrap_or("");
            let signal = number
                .parse()
                .map_err(|_| Wrong::Expected("a file and the number of a signal, from 0 to 255"))?;
            Ok(options.touch_deeds.push((path, Deed::Signal(signal))))
        },
        ..ROW
    },
    Opt {
        names: &["signal"],
        takes: Takes::Text,
        section: Section::Life,
        status: Status::Refused("Send it from the app."),
        with_master: true,
        help: "Send a signal of the app to another server.",
        ..ROW
    },
    Opt {
        names: &["ping", "ping-timeout"],
        takes: Takes::Text,
        section: Section::Life,
        status: Status::Absent("Ask with curl, or read the stats."),
        with_master: true,
        help: "Ask another server whether it lives.",
        ..ROW
    },
    Opt {
        names: &["heartbeat"],
        takes: Takes::Text,
        section: Section::Life,
        status: Status::Ignored("There is no emperor."),
        with_master: true,
        help: "Tell an emperor that this lives.",
        ..ROW
    },
    Opt {
        names: &["propagate-touch"],
        section: Section::Life,
        status: Status::Ignored("There are no routers to tell."),
        help: "Do this when a file is touched.",
        ..ROW
    },
    Opt {
        names: &["touch-mules-reload", "touch-spoolers-reload"],
        takes: Takes::Path,
        section: Section::Life,
        status: Status::Ignored("There are no mules and no spooler."),
        help: "Reload background workers when this file is touched.",
        ..ROW
    },
    Opt {
        names: &["master-fifo"],
        takes: Takes::Path,
        section: Section::Life,
        with_master: true,
        help: "Take commands from this named pipe.",
        set: |options, value| Ok(options.master_fifo.push(value.path()?)),
        ..ROW
    },
    Opt {
        names: &["worker-reload-mercy"],
        takes: Takes::Seconds,
        section: Section::Life,
        help: "Give a worker this long to end its requests.",
        set: |options, value| Ok(options.worker_reload_mercy = value.seconds()?),
        ..ROW
    },
    Opt {
        names: &["reload-mercy"],
        takes: Takes::Seconds,
        section: Section::Life,
        help: "Give the server this long to end its requests.",
        set: |options, value| Ok(options.reload_mercy = value.seconds()?),
        ..ROW
    },
    Opt {
        names: &["start-timeout"],
        takes: Takes::Seconds,
        section: Section::Life,
        status: Status::Own,
        help: "End a start that takes longer if a reload waits for it: it hangs.",
        set: |options, value| Ok(options.recycling.start_timeout = Some(value.seconds()?)),
        ..ROW
    },
    Opt {
        names: &["mule-reload-mercy"],
        takes: Takes::Seconds,
        section: Section::Life,
        status: Status::Ignored("There are no mules."),
        help: "Give a mule this long to end its task.",
        ..ROW
    },
    Opt {
        names: &["reload-on-fd", "brutal-reload-on-fd"],
        takes: Takes::Text,
        section: Section::Life,
        status: Status::Absent("touch-reload reloads."),
        help: "Reload when a descriptor is ready.",
        ..ROW
    },
    Opt {
        names: &["check-interval"],
        takes: Takes::Text,
        section: Section::Life,
        status: Status::Ignored("The master hears of what happens."),
        help: "Look around this often.",
        ..ROW
    },
    Opt {
        names: &["forkbomb-delay"],
        takes: Takes::Text,
        section: Section::Life,
        status: Status::Ignored("Restarts wait longer each time by themselves."),
        help: "Wait this long before a restart.",
        ..ROW
    },
    Opt {
        names: &["reload"],
        takes: Takes::Path,
        section: Section::Life,
        help: "Reload the server of this pidfile.",
        set: |options, value| Ok(options.signal_pidfile = Some((signal::HUP, value.path()?))),
        ..ROW
    },
    Opt {
        names: &["stop"],
        takes: Takes::Path,
        section: Section::Life,
        help: "Stop the server of this pidfile.",
        set: |options, value| Ok(options.signal_pidfile = Some((signal::INT, value.path()?))),
        ..ROW
    },
    Opt {
        names: &["pause", "suspend", "resume"],
        takes: Takes::Path,
        section: Section::Life,
        status: Status::Refused("Not supported: stop the server and start it again."),
        help: "Suspend or resume the server of this pidfile.",
        ..ROW
    },
    Opt {
        names: &["connect-and-read"],
        takes: Takes::Address,
        section: Section::Life,
        status: Status::Refused("Use curl or nc."),
        help: "Read from this address.",
        ..ROW
    },
    Opt {
        names: &["hook-master-start"],
        takes: Takes::Text,
        section: Section::Life,
        status: Status::Adapted("Without uWSGI's handlers for C code and file systems."),
        help: "Do this when the master starts, like unix_signal:15 gracefully_kill_them_all.",
        set: |options, value| Ok(options.hook(Moment::MasterStart, life::deed(value.text()?)?)),
        ..ROW
    },
    Opt {
        names: &["hook-asap"],
        takes: Takes::Text,
        section: Section::Life,
        help: "Do this before anything else.",
        set: |options, value| Ok(options.hook(Moment::Asap, life::deed(value.text()?)?)),
        ..ROW
    },
    Opt {
        names: &["hook-pre-jail"],
        takes: Takes::Text,
        section: Section::Life,
        help: "Do this before the sockets are bound.",
        set: |options, value| Ok(options.hook(Moment::PreJail, life::deed(value.text()?)?)),
        ..ROW
    },
    Opt {
        names: &["hook-in-jail"],
        takes: Takes::Text,
        section: Section::Life,
        help: "Do this before the sockets are bound.",
        set: |options, value| Ok(options.hook(Moment::InJail, life::deed(value.text()?)?)),
        ..ROW
    },
    Opt {
        names: &["hook-as-root"],
        takes: Takes::Text,
        section: Section::Life,
        status: Status::Adapted("Once, after the sockets are bound."),
        help: "Do this before privileges are dropped.",
        set: |options, value| Ok(options.hook(Moment::AsRoot, life::deed(value.text()?)?)),
        ..ROW
    },
    Opt {
        names: &["hook-as-user"],
        takes: Takes::Text,
        section: Section::Life,
        status: Status::Adapted("Once."),
        help: "Do this after privileges are dropped.",
        set: |options, value| Ok(options.hook(Moment::AsUser, life::deed(value.text()?)?)),
        ..ROW
    },
    Opt {
        names: &["hook-pre-app"],
        takes: Takes::Text,
        section: Section::Life,
        status: Status::Adapted("By the master, at the start and at each reload."),
        help: "Do this before the app is loaded.",
        set: |options, value| Ok(options.hook(Moment::PreApp, life::deed(value.text()?)?)),
        ..ROW
    },
    Opt {
        names: &["hook-post-app"],
        takes: Takes::Text,
        section: Section::Life,
        status: Status::Adapted("By the master, once the app is served."),
        help: "Do this after the app was loaded.",
        set: |options, value| Ok(options.hook(Moment::PostApp, life::deed(value.text()?)?)),
        ..ROW
    },
    Opt {
        names: &["hook-post-fork"],
        takes: Takes::Text,
        section: Section::Life,
        status: Status::Adapted("Once in each server process, before the app is loaded."),
        help: "Do this after the fork.",
        set: |options, value| Ok(options.hook(Moment::PostFork, life::deed(value.text()?)?)),
        ..ROW
    },
    Opt {
        names: &["hook-as-user-atexit"],
        takes: Takes::Text,
        section: Section::Life,
        help: "Do this at the end.",
        set: |options, value| Ok(options.hook(Moment::AtExit, life::deed(value.text()?)?)),
        ..ROW
    },
    Opt {
        names: &[
            "hook-accepting",
            "hook-accepting-once",
            "hook-accepting1",
            "hook-accepting1-once",
        ],
        takes: Takes::Text,
        section: Section::Life,
        status: Status::Adapted("By the master, once for all workers."),
        help: "Do this once requests are served.",
        set: |options, value| Ok(options.hook(Moment::Accepting, life::deed(value.text()?)?)),
        ..ROW
    },
    Opt {
        names: &["hook-touch"],
        takes: Takes::Text,
        section: Section::Life,
        with_master: true,
        help: "Do this when a file is touched: FILE handler:argument.",
        set: |options, value| {
            let (path, deed) = life::touch(value.text()?)?;
            Ok(options.touch_deeds.push((path, life::deed(deed)?)))
        },
        ..ROW
    },
    Opt {
        names: &["hook-post-jail", "exec-post-jail"],
        takes: Takes::Text,
        section: Section::Life,
        status: Status::Ignored("There is no jail, and without one uWSGI does not do it either."),
        help: "Do this after entering a jail.",
        ..ROW
    },
    Opt {
        names: &["hook-as-gateway"],
        takes: Takes::Text,
        section: Section::Life,
        status: Status::Ignored("There are no gateways."),
        help: "Do this in each gateway.",
        ..ROW
    },
    Opt {
        names: &[
            "call-asap",
            "call-as-root",
            "call-as-user",
            "call-as-user-atexit",
            "call-pre-app",
            "call-post-app",
            "call-pre-jail",
            "call-in-jail",
            "call-post-jail",
            "symcall",
            "symcall-post-fork",
            "symcall-register-rpc",
            "dlopen",
            "print-sym",
            "print-symbol",
        ],
        takes: Takes::Text,
        section: Section::Life,
        status: Status::Refused("Symbols of C libraries are not called."),
        help: "Call this C function at that moment.",
        ..ROW
    },
    Opt {
        names: &["symcall-use-next"],
        section: Section::Life,
        status: Status::Ignored("Symbols of C libraries are not called."),
        help: "Look in the next libraries.",
        ..ROW
    },
    Opt {
        names: &[
            "mount-asap",
            "mount-as-root",
            "mount-pre-jail",
            "mount-in-jail",
            "mount-post-jail",
            "umount-asap",
            "umount-as-root",
            "umount-pre-jail",
            "umount-in-jail",
            "umount-post-jail",
            "mount-check",
            "check-mount",
            "mountpoint-check",
            "check-mountpoint",
        ],
        takes: Takes::Text,
        section: Section::Life,
        status: Status::Refused("Leave mounts to systemd or a container."),
        help: "Mount this file system.",
        ..ROW
    },
    Opt {
        names: &["hook-as-mule"],
        takes: Takes::Text,
        section: Section::Life,
        status: Status::Ignored("There are no mules."),
        help: "Do this in each mule.",
        ..ROW
    },
    Opt {
        names: &["exec-asap"],
        takes: Takes::Text,
        section: Section::Life,
        help: "Run this command before anything else.",
        set: |options, value| Ok(options.exec(Moment::Asap, value.text()?)),
        ..ROW
    },
    Opt {
        names: &["exec-pre-jail"],
        takes: Takes::Text,
        section: Section::Life,
        help: "Run this command before the sockets are bound.",
        set: |options, value| Ok(options.exec(Moment::PreJail, value.text()?)),
        ..ROW
    },
    Opt {
        names: &["exec-in-jail"],
        takes: Takes::Text,
        section: Section::Life,
        help: "Run this command before the sockets are bound.",
        set: |options, value| Ok(options.exec(Moment::InJail, value.text()?)),
        ..ROW
    },
    Opt {
        names: &["exec-as-root"],
        takes: Takes::Text,
        section: Section::Life,
        status: Status::Adapted("Once, after the sockets are bound."),
        help: "Run this command before privileges are dropped.",
        set: |options, value| Ok(options.exec(Moment::AsRoot, value.text()?)),
        ..ROW
    },
    Opt {
        names: &["exec-as-user"],
        takes: Takes::Text,
        section: Section::Life,
        status: Status::Adapted("Once."),
        help: "Run this command after privileges are dropped.",
        set: |options, value| Ok(options.exec(Moment::AsUser, value.text()?)),
        ..ROW
    },
    Opt {
        names: &["exec-pre-app"],
        takes: Takes::Text,
        section: Section::Life,
        status: Status::Adapted("At the start and at each reload."),
        help: "Run this command before the app is loaded; if it fails, nothing starts.",
        set: |options, value| Ok(options.exec(Moment::PreApp, value.text()?)),
        ..ROW
    },
    Opt {
        names: &["exec-post-app"],
        takes: Takes::Text,
        section: Section::Life,
        status: Status::Adapted("Once the app is served."),
        help: "Run this command after the app was loaded.",
        set: |options, value| Ok(options.exec(Moment::PostApp, value.text()?)),
        ..ROW
    },
    Opt {
        names: &["exec-as-user-atexit"],
        takes: Takes::Text,
        section: Section::Life,
        help: "Run this command at the end.",
        set: |options, value| Ok(options.exec(Moment::AtExit, value.text()?)),
        ..ROW
    },
    Opt {
        names: &["notify-socket"],
        takes: Takes::Path,
        section: Section::Life,
        status: Status::Absent("systemd is told, by NOTIFY_SOCKET."),
        help: "Take notifications at this socket.",
        ..ROW
    },
    Opt {
        names: &["disable-logging"],
        short: Some('L'),
        section: Section::Logging,
        help: "Write no line for each request.",
        set: |options, value| Ok(options.disable_logging = value.flag()),
        ..ROW
    },
    Opt {
        names: &["log-4xx"],
        section: Section::Logging,
        help: "Log requests answered with 4xx even so.",
        set: |options, value| Ok(options.logs.status_4xx = value.flag()),
        ..ROW
    },
    Opt {
        names: &["log-5xx"],
        section: Section::Logging,
        help: "Log requests answered with 5xx even so.",
        set: |options, value| Ok(options.logs.status_5xx = value.flag()),
        ..ROW
    },
    Opt {
        names: &["log-slow"],
        takes: Takes::Milliseconds,
        section: Section::Logging,
        help: "Log requests that took this many milliseconds even so.",
        set: |options, value| Ok(options.logs.slow_ms = Some(value.milliseconds()?)),
        ..ROW
    },
    Opt {
        names: &["log-zero"],
        section: Section::Logging,
        help: "Log requests answered with no body even so.",
        set: |options, value| Ok(options.logs.zero = value.flag()),
        ..ROW
    },
    Opt {
        names: &["log-big"],
        takes: Takes::Bytes,
        section: Section::Logging,
        help: "Log requests answered with this many bytes even so.",
        set: |options, value| Ok(options.logs.big = Some(value.bytes()?)),
        ..ROW
    },
    Opt {
        names: &["log-sendfile"],
        section: Section::Logging,
        help: "Log requests answered by sendfile even so.",
        set: |options, value| Ok(options.logs.sendfile = value.flag()),
        ..ROW
    },
    Opt {
        names: &["log-ioerror"],
        section: Section::Logging,
        help: "Log requests that met an I/O error even so.",
        set: |options, value| Ok(options.logs.io_error = value.flag()),
        ..ROW
    },
    Opt {
        names: &["memory-report"],
        short: Some('m'),
        section: Section::Logging,
        status: Status::Adapted("The figures are at most a second old."),
        help: "Add the memory in use to each request's line.",
        set: |options, value| Ok(options.memory_report = value.flag()),
        ..ROW
    },
    Opt {
        names: &["logto"],
        takes: Takes::Path,
        section: Section::Logging,
        help: "Log to this file, or UDP address.",
        set: |options, value| logto(options, value),
        ..ROW
    },
    Opt {
        names: &["logto2"],
        takes: Takes::Path,
        section: Section::Logging,
        help: "Log to this file, opened after privileges are dropped.",
        set: |options, value| Ok(options.logto2 = Some(value.path()?)),
        ..ROW
    },
    Opt {
        names: &["log-format", "logformat"],
        takes: Takes::Text,
        section: Section::Logging,
        status: Status::Adapted(
            "Values are escaped, as in JSON where the format is JSON; see docs/logging.md.",
        ),
        help: "Write requests' lines in this format.",
        set: |options, value| Ok(options.log_format = Some(value.string()?)),
        ..ROW
    },
    Opt {
        names: &["log-date", "logdate"],
        takes: Takes::MaybeText,
        section: Section::Logging,
        help: "Put the date, by this strftime format, before lines of the server.",
        set: |options, value| Ok(options.log_date = Some(log_date(value))),
        ..ROW
    },
    Opt {
        names: &["log-x-forwarded-for"],
        section: Section::Logging,
        help: "Log X-Forwarded-For instead of the peer's address.",
        set: |options, value| Ok(options.log_x_forwarded_for = value.flag()),
        ..ROW
    },
    Opt {
        names: &["log-micros"],
        section: Section::Logging,
        help: "Log times in microseconds.",
        set: |options, value| Ok(options.log_micros = value.flag()),
        ..ROW
    },
    Opt {
        names: &["logformat-strftime", "log-format-strftime"],
        section: Section::Logging,
        help: "Write %(ftime) in the form of log-date.",
        set: |options, value| Ok(options.logs.format_strftime = value.flag()),
        ..ROW
    },
    Opt {
        names: &["logger"],
        takes: Takes::Text,
        section: Section::Logging,
        status: Status::Adapted(
            "file, stdio, fd, syslog, rsyslog, systemd, socket, pipe; a message is one line.",
        ),
        with_master: true,
        help: "Log to this target: [name ]engine:argument.",
        set: |options, value| Ok(options.logs.loggers.push(Logger::new(value.text()?)?)),
        ..ROW
    },
    Opt {
        names: &["req-logger", "logger-req"],
        takes: Takes::Text,
        section: Section::Logging,
        status: Status::Adapted(
            "file, stdio, fd, syslog, rsyslog, systemd, socket, pipe; a message is one line.",
        ),
        with_master: true,
        help: "Log requests to this target: [name ]engine:argument.",
        set: |options, value| Ok(options.logs.request_loggers.push(Logger::new(value.text()?)?)),
        ..ROW
    },
    Opt {
        names: &[
            "log-master",
            "threaded-logger",
            "threaded-log",
            "log-master-stream",
            "log-master-req-stream",
        ],
        section: Section::Logging,
        status: Status::Ignored("A thread of the server writes the log."),
        with_master: true,
        help: "Write the log elsewhere.",
        ..ROW
    },
    Opt {
        names: &["log-master-bufsize", "log-master-req-bufsize"],
        takes: Takes::Bytes,
        section: Section::Logging,
        status: Status::Ignored("A line is cut after 64 KiB."),
        help: "Write lines of up to this many bytes.",
        ..ROW
    },
    Opt {
        names: &["log-encoder"],
        takes: Takes::Text,
        section: Section::Logging,
        status: Status::Adapted(
            "format, json, prefix, suffix, nl; lines of files always end with a line feed.",
        ),
        with_master: true,
        help: "Change lines: encoder[:logger] argument.",
        set: |options, value| Ok(options.logs.encoders.push(Encoder::new(value.text()?)?)),
        ..ROW
    },
    Opt {
        names: &["log-req-encoder"],
        takes: Takes::Text,
        section: Section::Logging,
        status: Status::Adapted(
            "format, json, prefix, suffix, nl; lines of files always end with a line feed.",
        ),
        with_master: true,
        help: "Change requests' lines: encoder[:logger] argument.",
        set: |options, value| Ok(options.logs.request_encoders.push(Encoder::new(value.text()?)?)),
        ..ROW
    },
    Opt {
        names: &["log-route"],
        takes: Takes::Text,
        section: Section::Logging,
        with_master: true,
        help: "Send lines that match to the logger of this name.",
        set: |options, value| Ok(options.logs.routes.push(Route::new(value.text()?)?)),
        ..ROW
    },
    Opt {
        names: &["log-req-route"],
        takes: Takes::Text,
        section: Section::Logging,
        with_master: true,
        help: "Send requests' lines that match to the request logger of this name.",
        set: |options, value| Ok(options.logs.request_routes.push(Route::new(value.text()?)?)),
        ..ROW
    },
    Opt {
        names: &["log-drain"],
        takes: Takes::Text,
        section: Section::Logging,
        with_master: true,
        help: "Drop lines that match.",
        set: |options, value| Ok(options.logs.drains.push(value.regex()?)),
        ..ROW
    },
    Opt {
        names: &["log-filter"],
        takes: Takes::Text,
        section: Section::Logging,
        with_master: true,
        help: "Drop lines that match none of these.",
        set: |options, value| Ok(options.logs.filters.push(value.regex()?)),
        ..ROW
    },
    Opt {
        names: &["alarm"],
        takes: Takes::Text,
        section: Section::Logging,
        status: Status::Adapted("cmd, log and udp; cmd can do what the others do."),
        help: "Define an alarm: name kind:argument.",
        set: |options, value| Ok(options.logs.alarms.alarms.push(Alarm::new(value.text()?)?)),
        ..ROW
    },
    Opt {
        names: &["log-alarm", "alarm-log"],
        takes: Takes::Text,
        section: Section::Logging,
        with_master: true,
        help: "Raise alarms when a line matches: name[,name..] pattern.",
        set: |options, value| Ok(options.logs.alarms.lines.push(alarm::rule(value.text()?)?)),
        ..ROW
    },
    Opt {
        names: &["pcre-jit"],
        section: Section::Logging,
        status: Status::Ignored("Patterns are prepared once, without a compiler."),
        help: "Compile patterns to machine code.",
        ..ROW
    },
    Opt {
        names: &["not-log-alarm", "not-alarm-log"],
        takes: Takes::Text,
        section: Section::Logging,
        with_master: true,
        help: "Raise these alarms not by lines that match.",
        set: |options, value| Ok(options.logs.alarms.except.push(alarm::rule(value.text()?)?)),
        ..ROW
    },
    Opt {
        names: &["alarm-segfault", "segfault-alarm"],
        takes: Takes::Text,
        section: Section::Logging,
        status: Status::Adapted("The text is the line about the crash."),
        with_master: true,
        help: "Raise this alarm when a process crashes.",
        set: |options, value| Ok(options.logs.alarms.segfault.push(value.string()?)),
        ..ROW
    },
    Opt {
        names: &["alarm-freq"],
        takes: Takes::Seconds,
        section: Section::Logging,
        help: "Raise an alarm once in so many seconds by the same line (3).",
        set: |options, value| Ok(options.logs.alarms.freq_s = value.seconds()?),
        ..ROW
    },
    Opt {
        names: &["alarm-msg-size"],
        takes: Takes::Bytes,
        section: Section::Logging,
        help: "Cut the text of alarms to so many bytes (8192).",
        set: |options, value| Ok(options.logs.alarms.text_bytes_max = value.at_least_one()?),
        ..ROW
    },
    Opt {
        names: &["log-maxsize"],
        takes: Takes::Bytes,
        section: Section::Logging,
        with_master: true,
        help: "Rename the log file at this size and begin a new one.",
        set: |options, value| Ok(options.logs.max_size = Some(value.bytes()?)),
        ..ROW
    },
    Opt {
        names: &["log-backupname"],
        takes: Takes::Path,
        section: Section::Logging,
        help: "Rename the log file to this name.",
        set: |options, value| Ok(options.logs.backup = Some(value.path()?)),
        ..ROW
    },
    Opt {
        names: &["log-reopen"],
        section: Section::Logging,
        with_master: true,
        help: "Reopen the log file at a reload.",
        set: |options, value| Ok(options.logs.reopen = value.flag()),
        ..ROW
    },
    Opt {
        names: &["log-truncate"],
        section: Section::Logging,
        help: "Empty the log file at the start.",
        set: |options, value| Ok(options.logs.truncate = value.flag()),
        ..ROW
    },
    Opt {
        names: &["logfile-chown"],
        section: Section::Logging,
        help: "Give log files to the server's user.",
        set: |options, value| Ok(options.logs.chown = value.flag()),
        ..ROW
    },
    Opt {
        names: &["logfile-chmod"],
        takes: Takes::Octal,
        section: Section::Logging,
        help: "Give log files this mode.",
        set: |options, value| Ok(options.logs.chmod = Some(value.octal()?)),
        ..ROW
    },
    Opt {
        names: &["log-syslog"],
        takes: Takes::MaybeText,
        section: Section::Logging,
        with_master: true,
        help: "Log to syslog, with this identity.",
        set: |options, value| log_syslog(options, value),
        ..ROW
    },
    Opt {
        names: &["log-socket", "rsyslog"],
        takes: Takes::Text,
        section: Section::Logging,
        with_master: true,
        help: "Send lines to this address as datagrams.",
        set: |options, value| log_socket(options, value),
        ..ROW
    },
    Opt {
        names: &["log-prefix"],
        takes: Takes::MaybeText,
        section: Section::Logging,
        help: "Put this text before lines of the server.",
        set: |options, value| {
            Ok(options.logs.prefix = Some(value.text.unwrap_or("uWSGI").to_owned()))
        },
        ..ROW
    },
    Opt {
        names: &["skip-zero"],
        section: Section::Logging,
        status: Status::Ignored("Descriptor 0 is a socket only where a service manager says so."),
        help: "Do not look whether descriptor 0 is a socket.",
        ..ROW
    },
    Opt {
        names: &["rsyslog-packet-size"],
        takes: Takes::Bytes,
        section: Section::Logging,
        help: "Send packets of at most this many bytes to rsyslog.",
        set: |options, value| Ok(options.logs.packet_bytes = Some(value.at_least_one()?)),
        ..ROW
    },
    Opt {
        names: &["rsyslog-split-messages"],
        section: Section::Logging,
        help: "Send a long line to rsyslog as several packets.",
        set: |options, value| Ok(options.logs.split_packets = value.flag()),
        ..ROW
    },
    Opt {
        names: &["backtrace-depth"],
        takes: Takes::Count,
        section: Section::Logging,
        status: Status::Ignored("Stacks are shown whole."),
        help: "Show this many frames of a crash.",
        ..ROW
    },
    Opt {
        names: &["static-map"],
        takes: Takes::Pair,
        section: Section::Files,
        help: "Serve files of a directory below a path: /path=directory.",
        set: |options, value| Ok(options.files.map.push(value.pair_path()?)),
        ..ROW
    },
    Opt {
        names: &["static-map2"],
        takes: Takes::Pair,
        section: Section::Files,
        help: "Serve files of a directory below a path, the path kept.",
        set: |options, value| Ok(options.files.map_whole.push(value.pair_path()?)),
        ..ROW
    },
    Opt {
        names: &["check-static", "static-check"],
        takes: Takes::Path,
        section: Section::Files,
        help: "Look for a file in this directory before the app is called.",
        set: |options, value| Ok(options.files.check.push(value.path()?)),
        ..ROW
    },
    Opt {
        names: &["check-static-docroot"],
        section: Section::Files,
        help: "Look for a file in the request's document root.",
        set: |options, value| Ok(options.files.check_docroot = value.flag()),
        ..ROW
    },
    Opt {
        names: &["static-index"],
        takes: Takes::Text,
        section: Section::Files,
        status: Status::Adapted(
            "The app that is called because of static-skip-ext sees the path as it was sent.",
        ),
        help: "Serve this file of a directory.",
        set: |options, value| Ok(options.files.index.push(value.string()?)),
        ..ROW
    },
    Opt {
        names: &["static-safe"],
        takes: Takes::Path,
        section: Section::Files,
        help: "Allow links that lead into this directory.",
        set: |options, value| Ok(options.files.safe.push(value.path()?)),
        ..ROW
    },
    Opt {
        names: &["static-skip-ext"],
        takes: Takes::Text,
        section: Section::Files,
        help: "Leave files of this extension to the app.",
        set: |options, value| Ok(options.files.skip_ext.push(value.string()?)),
        ..ROW
    },
    Opt {
        names: &["mime-file", "mimefile"],
        takes: Takes::Path,
        section: Section::Files,
        status: Status::Adapted(
            "What it does not name is told by /etc/mime.types, then by a list of our own.",
        ),
        help: "Read MIME types from this file.",
        set: |options, value| Ok(options.files.mime_files.push(value.path()?)),
        ..ROW
    },
    Opt {
        names: &["static-cache-paths"],
        takes: Takes::Seconds,
        section: Section::Files,
        status: Status::Adapted(
            "Files are looked at again each second in any case; their places after this time.",
        ),
        help: "Remember the places of files this long.",
        set: |options, value| Ok(options.files.places_s = value.seconds()?),
        ..ROW
    },
    Opt {
        names: &["static-cache-paths-name"],
        takes: Takes::Text,
        section: Section::Files,
        status: Status::Ignored(
            "The places of files have a cache of their own, which needs no name.",
        ),
        help: "Remember the places of files in this cache.",
        ..ROW
    },
    Opt {
        names: &["static-expires"],
        takes: Takes::Text,
        section: Section::Files,
        help: "Set Expires for files whose path matches: REGEX SECONDS.",
        set: |options, value| expires(options, value, By::File, Since::Now),
        ..ROW
    },
    Opt {
        names: &["static-expires-mtime"],
        takes: Takes::Text,
        section: Section::Files,
        help: "As static-expires, counted from the file's change: REGEX SECONDS.",
        set: |options, value| expires(options, value, By::File, Since::Change),
        ..ROW
    },
    Opt {
        names: &["static-expires-uri"],
        takes: Takes::Text,
        section: Section::Files,
        help: "Set Expires for requests whose target matches: REGEX SECONDS.",
        set: |options, value| expires(options, value, By::Uri, Since::Now),
        ..ROW
    },
    Opt {
        names: &["static-expires-uri-mtime"],
        takes: Takes::Text,
        section: Section::Files,
        help: "As static-expires-uri, counted from the file's change: REGEX SECONDS.",
        set: |options, value| expires(options, value, By::Uri, Since::Change),
        ..ROW
    },
    Opt {
        names: &["static-expires-path-info"],
        takes: Takes::Text,
        section: Section::Files,
        help: "Set Expires for requests whose path matches: REGEX SECONDS.",
        set: |options, value| expires(options, value, By::PathInfo, Since::Now),
        ..ROW
    },
    Opt {
        names: &["static-expires-path-info-mtime"],
        takes: Takes::Text,
        section: Section::Files,
        help: "As static-expires-path-info, counted from the file's change: REGEX SECONDS.",
        set: |options, value| expires(options, value, By::PathInfo, Since::Change),
        ..ROW
    },
    Opt {
        names: &["static-expires-type"],
        takes: Takes::Text,
        section: Section::Files,
        help: "Set Expires for files of this type: TYPE=SECONDS.",
        set: |options, value| expires(options, value, By::Type, Since::Now),
        ..ROW
    },
    Opt {
        names: &["static-expires-type-mtime"],
        takes: Takes::Text,
        section: Section::Files,
        help: "As static-expires-type, counted from the file's change: TYPE=SECONDS.",
        set: |options, value| expires(options, value, By::Type, Since::Change),
        ..ROW
    },
    Opt {
        names: &["static-gzip"],
        takes: Takes::Text,
        section: Section::Files,
        status: Status::Adapted(
            "Weights in Accept-Encoding count, Vary is sent; the syntax is Rust's.",
        ),
        help: "Serve compressed siblings (.br, .gz) of files whose path matches.",
        set: |options, value| compressed(options, Compressed::Matching(value.regex()?)),
        ..ROW
    },
    Opt {
        names: &["static-gzip-dir", "static-gzip-prefix"],
        takes: Takes::Path,
        section: Section::Files,
        status: Status::Adapted(
            "A relative directory counts from the working directory; Vary is sent.",
        ),
        help: "Serve compressed siblings of files whose path begins so.",
        set: |options, value| compressed(options, Compressed::Below(value.path()?)),
        ..ROW
    },
    Opt {
        names: &["static-gzip-ext", "static-gzip-suffix"],
        takes: Takes::Text,
        section: Section::Files,
        status: Status::Adapted("Accept-Encoding is read with its weights, and Vary is sent."),
        help: "Serve compressed siblings of files whose name ends so.",
        set: |options, value| compressed(options, Compressed::Ending(value.string()?)),
        ..ROW
    },
    Opt {
        names: &["static-gzip-all"],
        section: Section::Files,
        status: Status::Adapted("Accept-Encoding is read with its weights, and Vary is sent."),
        help: "Serve compressed siblings of all files.",
        set: |options, value| {
            let all = value.flag().then_some(Compressed::All);
            Ok(options.files.compressed.extend(all))
        },
        ..ROW
    },
    Opt {
        names: &["honour-range"],
        section: Section::Files,
        status: Status::Adapted(
            "Range requests are answered without it too; false turns that off.",
        ),
        help: "Answer Range requests.",
        set: |options, value| Ok(options.files.ranges = value.flag()),
        ..ROW
    },
    Opt {
        names: &["file-serve-mode", "fileserve-mode"],
        takes: Takes::Text,
        section: Section::Files,
        status: Status::Adapted("The path is percent-encoded."),
        help: "Let nginx (x-accel-redirect) or Apache (x-sendfile) send files.",
        set: |options, value| {
            Ok(options.files.serve_mode = value.choice(SERVE_MODES, &files::SERVE_MODES)?)
        },
        ..ROW
    },
    Opt {
        names: &["disable-sendfile"],
        section: Section::Files,
        status: Status::Ignored("How files are sent is the server's matter."),
        help: "Do not use sendfile.",
        ..ROW
    },
    Opt {
        names: &["stats", "stats-server"],
        takes: Takes::Address,
        section: Section::Stats,
        with_master: true,
        help: "Serve statistics as JSON at this address.",
        set: |options, value| Ok(options.stats = Some(value.address()?)),
        ..ROW
    },
    Opt {
        names: &["stats-http"],
        section: Section::Stats,
        help: "Put an HTTP response head before the statistics.",
        set: |options, value| Ok(options.stats_http = value.flag()),
        ..ROW
    },
    Opt {
        names: &["stats-minified", "stats-min"],
        section: Section::Stats,
        help: "Serve statistics without blanks.",
        set: |options, value| Ok(options.stats_minified = value.flag()),
        ..ROW
    },
    Opt {
        names: &["stats-no-cores"],
        section: Section::Stats,
        help: "Leave cores out of the statistics.",
        set: |options, value| Ok(options.stats_no_cores = value.flag()),
        ..ROW
    },
    Opt {
        names: &["stats-no-metrics", "metrics-no-cores"],
        section: Section::Stats,
        status: Status::Ignored("There are no metrics yet."),
        help: "Leave metrics out of the statistics.",
        ..ROW
    },
    Opt {
        names: &[
            "stats-push",
            "stats-pusher",
            "metric",
            "metric-dir",
            "carbon",
            "statsd-push",
            "snmp-community",
            "alarm-fd",
            "rrdtool",
            "rrdtool-lib",
            "carbon-id",
            "carbon-root",
            "carbon-idle-avg",
            "metric-alarm",
            "metric-threshold",
            "alarm-metric",
            "metrics-dir",
        ],
        takes: Takes::Text,
        section: Section::Stats,
        status: Status::Absent("Read the stats: uwsgi_exporter and telegraf do."),
        help: "Report elsewhere.",
        ..ROW
    },
    Opt {
        names: &["snmp"],
        takes: Takes::MaybeText,
        section: Section::Stats,
        status: Status::Absent("Read the stats: uwsgi_exporter and telegraf do."),
        help: "Report elsewhere.",
        ..ROW
    },
    Opt {
        names: &["metric-dir-restore", "metrics-dir-restore"],
        section: Section::Stats,
        status: Status::Ignored("No metrics are collected."),
        help: "Report elsewhere.",
        ..ROW
    },
    Opt {
        names: &[
            "carbon-timeout",
            "carbon-freq",
            "carbon-max-retry",
            "carbon-retry-delay",
            "rrdtool-freq",
            "alarm-backlog",
            "backlog-alarm",
            "lq-alarm",
            "alarm-lq",
            "listen-queue-alarm",
            "alarm-listen-queue",
        ],
        takes: Takes::Text,
        section: Section::Stats,
        status: Status::Ignored("Nothing is reported there."),
        help: "Tune such reports.",
        ..ROW
    },
    Opt {
        names: &[
            "carbon-no-workers",
            "carbon-use-metrics",
            "carbon-name-resolve",
            "carbon-resolve-names",
        ],
        section: Section::Stats,
        status: Status::Ignored("Nothing is reported there."),
        help: "Tune such reports.",
        ..ROW
    },
    Opt {
        names: &["carbon-hostname-dots", "alarm-cheap"],
        takes: Takes::Text,
        section: Section::Stats,
        status: Status::Ignored("Nothing is reported there."),
        help: "Tune such reports.",
        ..ROW
    },
    Opt {
        names: &["enable-metrics"],
        section: Section::Stats,
        status: Status::Absent("Read the stats: uwsgi_exporter and telegraf do."),
        help: "Collect metrics.",
        ..ROW
    },
    Opt {
        names: &["stats-pusher-default-freq", "stats-pushers-default-freq"],
        takes: Takes::Seconds,
        section: Section::Stats,
        status: Status::Ignored("Nothing is reported there."),
        help: "Report this often.",
        ..ROW
    },
    Opt {
        names: &["nagios"],
        section: Section::Stats,
        status: Status::Refused("Read the statistics instead."),
        help: "Report to nagios.",
        ..ROW
    },
    Opt {
        names: &["profiler"],
        takes: Takes::Text,
        section: Section::Stats,
        status: Status::Absent("docs/profiling.md shows how."),
        help: "Profile the app.",
        ..ROW
    },
    Opt {
        names: &["attach-daemon", "legacy-attach-daemon"],
        takes: Takes::Text,
        section: Section::Background,
        status: Status::Adapted("At the end it is stopped after the last request."),
        with_master: true,
        help: "Run this command beside the server, and again when it ends.",
        set: |options, value| Ok(options.daemons.push(Daemon::new(value.text()?))),
        ..ROW
    },
    Opt {
        names: &["attach-control-daemon"],
        takes: Takes::Text,
        section: Section::Background,
        with_master: true,
        help: "Run this command beside the server, which ends with it.",
        set: |options, value| {
            Ok(options.daemons.push(Daemon { control: true, ..Daemon::new(value.text()?) }))
        },
        ..ROW
    },
    Opt {
        names: &["attach-daemon2"],
        takes: Takes::Text,
        section: Section::Background,
        status: Status::Adapted("The key freq has no effect: the wait between two tries grows."),
        with_master: true,
        help: "Run a command beside the server: cmd=..,pidfile=..,stopsignal=..",
        set: |options, value| Ok(options.daemons.push(Daemon::keyed(value.text()?)?)),
        ..ROW
    },
    Opt {
        names: &["smart-attach-daemon"],
        takes: Takes::Text,
        section: Section::Background,
        with_master: true,
        help: "Start a command that goes to the background, unless its pidfile's process lives.",
        set: |options, value| Ok(options.daemons.push(Daemon::smart(value.text()?, true)?)),
        ..ROW
    },
    Opt {
        names: &["smart-attach-daemon2"],
        takes: Takes::Text,
        section: Section::Background,
        with_master: true,
        help: "Start a command that stays in the foreground, unless its pidfile's process lives.",
        set: |options, value| Ok(options.daemons.push(Daemon::smart(value.text()?, false)?)),
        ..ROW
    },
    Opt {
        names: &["daemons-honour-stdin"],
        section: Section::Background,
        status: Status::Ignored("Daemons read /dev/null."),
        help: "Leave standard input to daemons.",
        ..ROW
    },
    Opt {
        names: &["cron"],
        takes: Takes::Text,
        section: Section::Background,
        with_master: true,
        help: "Run a command at times: minute hour day month weekday command.",
        set: |options, value| Ok(options.crons.push(Cron::five(value.text()?, false)?)),
        ..ROW
    },
    Opt {
        names: &["unique-cron"],
        takes: Takes::Text,
        section: Section::Background,
        with_master: true,
        help: "The same, but not while the last one still runs.",
        set: |options, value| Ok(options.crons.push(Cron::five(value.text()?, true)?)),
        ..ROW
    },
    Opt {
        names: &["cron2"],
        takes: Takes::Text,
        section: Section::Background,
        with_master: true,
        help: "Run a command at times: minute=..,hour=..,unique=1,harakiri=.. command.",
        set: |options, value| Ok(options.crons.push(Cron::keyed(value.text()?)?)),
        ..ROW
    },
    Opt {
        names: &["cron-harakiri"],
        takes: Takes::Seconds,
        section: Section::Background,
        help: "End a command that takes longer than this.",
        set: |options, value| Ok(options.cron_harakiri = Some(value.seconds()?)),
        ..ROW
    },
    Opt {
        names: &["spooler", "spooler-external"],
        short: Some('Q'),
        takes: Takes::Path,
        section: Section::Background,
        status: Status::Absent("There is no spooler: a task queue of its own does that."),
        with_master: true,
        help: "Take tasks from this directory.",
        ..ROW
    },
    Opt {
        names: &["spooler-chdir"],
        takes: Takes::Path,
        section: Section::Background,
        status: Status::Absent("There is no spooler: a task queue of its own does that."),
        help: "Run the spooler in this directory.",
        ..ROW
    },
    Opt {
        names: &["spooler-processes", "spooler-frequency", "spooler-max-tasks", "spooler-freq"],
        takes: Takes::Count,
        section: Section::Background,
        status: Status::Absent("There is no spooler: a task queue of its own does that."),
        help: "Tune the spooler.",
        ..ROW
    },
    Opt {
        names: &["spooler-ordered", "spooler-quiet"],
        section: Section::Background,
        status: Status::Absent("There is no spooler: a task queue of its own does that."),
        help: "Tune the spooler.",
        ..ROW
    },
    Opt {
        names: &["mule"],
        takes: Takes::MaybeText,
        section: Section::Background,
        status: Status::Absent(
            "There are no mules: attach-daemon runs a script beside the server.",
        ),
        with_master: true,
        help: "Run a background worker.",
        ..ROW
    },
    Opt {
        names: &["mules"],
        takes: Takes::Count,
        section: Section::Background,
        status: Status::Absent(
            "There are no mules: attach-daemon runs a script beside the server.",
        ),
        with_master: true,
        help: "Run this many background workers.",
        ..ROW
    },
    Opt {
        names: &["farm"],
        takes: Takes::Text,
        section: Section::Background,
        status: Status::Absent(
            "There are no mules: attach-daemon runs a script beside the server.",
        ),
        help: "Make a farm of mules.",
        ..ROW
    },
    Opt {
        names: &["mule-msg-size"],
        takes: Takes::Bytes,
        section: Section::Background,
        status: Status::Absent(
            "There are no mules: attach-daemon runs a script beside the server.",
        ),
        help: "Take messages of up to this many bytes.",
        ..ROW
    },
    Opt {
        names: &["timer", "signal-timer"],
        takes: Takes::Text,
        section: Section::Background,
        status: Status::Absent(
            "Timers are set by the app: uwsgi.add_timer, uwsgidecorators.timer.",
        ),
        help: "Send a signal at intervals.",
        ..ROW
    },
    Opt {
        names: &["rbtimer", "signal-rbtimer"],
        takes: Takes::Text,
        section: Section::Background,
        status: Status::Absent(
            "Timers are set by the app: uwsgi.add_timer, uwsgidecorators.timer.",
        ),
        help: "Send a signal at intervals.",
        ..ROW
    },
    Opt {
        names: &["cache2"],
        takes: Takes::Text,
        section: Section::Background,
        status: Status::Absent("There is no cache for apps: use one beside the server, as Redis."),
        help: "Make a shared cache: key=value pairs.",
        ..ROW
    },
    Opt {
        names: &["cache"],
        takes: Takes::Count,
        section: Section::Background,
        status: Status::Absent("There is no cache for apps: use one beside the server, as Redis."),
        help: "Make a shared cache of this many items.",
        ..ROW
    },
    Opt {
        names: &[
            "add-cache-item",
            "load-file-in-cache",
            "load-file-in-cache-gzip",
            "cache-sync",
            "cache-udp-server",
            "cache-udp-node",
        ],
        takes: Takes::Text,
        section: Section::Background,
        status: Status::Absent("There is no cache for apps: use one beside the server, as Redis."),
        help: "Fill the cache, or share it.",
        ..ROW
    },
    Opt {
        names: &["check-cache"],
        takes: Takes::MaybeText,
        section: Section::Background,
        status: Status::Absent("There is no cache for apps: use one beside the server, as Redis."),
        help: "Fill the cache, or share it.",
        ..ROW
    },
    Opt {
        names: &["cache-expire-freq"],
        takes: Takes::Seconds,
        section: Section::Background,
        status: Status::Absent("There is no cache for apps: use one beside the server, as Redis."),
        help: "Look for expired items this often.",
        ..ROW
    },
    Opt {
        names: &["cache-no-expire", "cache-report-freed-items", "cache-use-last-modified"],
        section: Section::Background,
        status: Status::Absent("There is no cache for apps: use one beside the server, as Redis."),
        help: "Tune the cache.",
        ..ROW
    },
    Opt {
        names: &["cache-blocksize", "cache-store-sync"],
        takes: Takes::Bytes,
        section: Section::Background,
        status: Status::Absent("There is no cache for apps: use one beside the server, as Redis."),
        help: "Tune the cache.",
        ..ROW
    },
    Opt {
        names: &["cache-store"],
        takes: Takes::Path,
        section: Section::Background,
        status: Status::Absent("There is no cache for apps: use one beside the server, as Redis."),
        help: "Keep the cache in this file.",
        ..ROW
    },
    Opt {
        names: &["queue", "queue-blocksize", "queue-store-sync"],
        takes: Takes::Count,
        section: Section::Background,
        status: Status::Absent(
            "There is no memory that apps share: use a store beside the server.",
        ),
        help: "Make a shared queue.",
        ..ROW
    },
    Opt {
        names: &["queue-store"],
        takes: Takes::Path,
        section: Section::Background,
        status: Status::Absent(
            "There is no memory that apps share: use a store beside the server.",
        ),
        help: "Keep the queue in this file.",
        ..ROW
    },
    Opt {
        names: &["locks"],
        takes: Takes::Count,
        section: Section::Background,
        status: Status::Adapted("At most 63; a worker that dies frees its locks."),
        help: "Make this many locks for uwsgi.lock(), beside the one that is always there.",
        set: |options, value| Ok(options.locks = value.count()?),
        ..ROW
    },
    Opt {
        names: &["sharedarea", "py-sharedarea"],
        short: Some('A'),
        takes: Takes::Text,
        section: Section::Background,
        status: Status::Absent(
            "There is no memory that apps share: use a store beside the server.",
        ),
        help: "Make a shared area.",
        ..ROW
    },
    Opt {
        names: &["rpc-max", "signal-bufsize", "signals-bufsize"],
        takes: Takes::Count,
        section: Section::Background,
        status: Status::Ignored("Nothing here has that limit."),
        help: "Tune signals and remote calls.",
        ..ROW
    },
    Opt {
        names: &[
            "route",
            "route-host",
            "route-uri",
            "route-qs",
            "route-remote-addr",
            "route-remote-user",
            "route-referer",
            "route-user-agent",
            "route-status",
            "route-if",
            "route-if-not",
        ],
        takes: Takes::Text,
        section: Section::Routing,
        status: ROUTES,
        help: "Act on requests that match.",
        set: |_, value| routing::harmless_rule(value.text()?),
        ..ROW
    },
    Opt {
        names: &["route-run", "final-route-run", "error-route-run", "response-route-run"],
        takes: Takes::Text,
        section: Section::Routing,
        status: ROUTES,
        help: "Act on all requests.",
        set: |_, value| routing::harmless_action(value.text()?),
        ..ROW
    },
    Opt {
        names: &["route-label"],
        takes: Takes::Text,
        section: Section::Routing,
        status: Status::Ignored("No rule jumps to it."),
        help: "Name a place among the rules.",
        ..ROW
    },
    Opt {
        names: &["error-page-403", "error-page-404", "error-page-500"],
        takes: Takes::Path,
        section: Section::Routing,
        status: Status::Absent("Errors have a line of text: let nginx show a page."),
        help: "Show this page for an error.",
        ..ROW
    },
    Opt {
        names: &[
            "final-route",
            "final-route-status",
            "final-route-host",
            "final-route-uri",
            "final-route-if",
            "final-route-if-not",
            "final-route-label",
            "final-route-qs",
            "final-route-referer",
            "final-route-remote-addr",
            "final-route-remote-user",
            "final-route-user-agent",
        ],
        takes: Takes::Text,
        section: Section::Routing,
        status: ROUTES,
        help: "Act after the request.",
        set: |_, value| routing::harmless_rule(value.text()?),
        ..ROW
    },
    Opt {
        names: &[
            "error-route",
            "error-route-status",
            "error-route-host",
            "error-route-uri",
            "error-route-if",
            "error-route-if-not",
            "error-route-label",
            "error-route-qs",
            "error-route-referer",
            "error-route-remote-addr",
            "error-route-remote-user",
            "error-route-user-agent",
        ],
        takes: Takes::Text,
        section: Section::Routing,
        status: ROUTES,
        help: "Act on errors.",
        set: |_, value| routing::harmless_rule(value.text()?),
        ..ROW
    },
    Opt {
        names: &[
            "response-route",
            "response-route-status",
            "response-route-host",
            "response-route-uri",
            "response-route-if",
            "response-route-if-not",
            "response-route-label",
            "response-route-qs",
            "response-route-referer",
            "response-route-remote-addr",
            "response-route-remote-user",
            "response-route-user-agent",
        ],
        takes: Takes::Text,
        section: Section::Routing,
        status: ROUTES,
        help: "Act on responses.",
        set: |_, value| routing::harmless_rule(value.text()?),
        ..ROW
    },
    Opt {
        names: &["vhost", "vhost-host"],
        section: Section::Routing,
        status: Status::Absent("Let nginx choose the app by its host; one app serves all."),
        help: "Choose apps by host.",
        ..ROW
    },
    Opt {
        names: &[
            "emperor",
            "vassals-start-hook",
            "vassals-stop-hook",
            "vassal-sos-backlog",
            "vassals-include",
            "vassals-inherit",
            "vassal-set",
            "vassals-set",
        ],
        takes: Takes::Text,
        section: Section::Routing,
        status: Status::Refused("One service for each app is systemd's matter."),
        help: "Run one server for each file of a directory.",
        ..ROW
    },
    Opt {
        names: &[
            "emperor-stats",
            "emperor-pidfile",
            "emperor-tyrant",
            "emperor-on-demand-extension",
            "call-as-emperor",
            "call-as-emperor1",
            "call-as-emperor2",
            "call-as-emperor4",
            "call-as-vassal",
            "call-as-vassal1",
            "call-as-vassal3",
            "early-emperor",
            "emperor-broodlord",
            "emperor-curse-tolerance",
            "emperor-extra-ext",
            "emperor-extra-extension",
            "emperor-freq",
            "emperor-graceful-shutdown",
            "emperor-magic-exec",
            "emperor-max-throttle",
            "emperor-no-blacklist",
            "emperor-nofollow",
            "emperor-on-demand-dir",
            "emperor-on-demand-directory",
            "emperor-on-demand-exec",
            "emperor-on-demand-ext",
            "emperor-procname",
            "emperor-proxy-socket",
            "emperor-required-heartbeat",
            "emperor-stats-server",
            "emperor-throttle",
            "emperor-tyrant-nofollow",
            "emperor-use-clone",
            "emperor-wrapper",
            "emperor-wrapper-fallback",
            "emperor-wrapper-override",
            "exec-as-emperor",
            "exec-as-vassal",
            "hook-as-emperor",
            "hook-as-vassal",
            "hook-emperor-lost",
            "hook-emperor-reload",
            "hook-emperor-start",
            "hook-emperor-stop",
            "mount-as-emperor",
            "mount-as-vassal",
            "umount-as-emperor",
            "umount-as-vassal",
            "vassal-sos",
            "vassals-include-before",
            "vassals-inherit-before",
        ],
        takes: Takes::MaybeText,
        section: Section::Routing,
        status: Status::Refused("One service for each app is systemd's matter."),
        help: "Tune the emperor.",
        ..ROW
    },
    Opt {
        names: &[
            "fastrouter",
            "rawrouter",
            "sslrouter",
            "forkptyrouter",
            "tuntap-router",
            "fastrouter-buffer-size",
            "fastrouter-cheap",
            "fastrouter-events",
            "fastrouter-fallback",
            "fastrouter-fallback-on-no-key",
            "fastrouter-gid",
            "fastrouter-gracetime",
            "fastrouter-harakiri",
            "fastrouter-post-buffering",
            "fastrouter-post-buffering-dir",
            "fastrouter-processes",
            "fastrouter-quiet",
            "fastrouter-resubscribe",
            "fastrouter-resubscribe-bind",
            "fastrouter-ss",
            "fastrouter-stats",
            "fastrouter-stats-server",
            "fastrouter-subscription-fallback-key",
            "fastrouter-subscription-server",
            "fastrouter-subscription-slot",
            "fastrouter-timeout",
            "fastrouter-to",
            "fastrouter-uid",
            "fastrouter-use-base",
            "fastrouter-use-cache",
            "fastrouter-use-code-string",
            "fastrouter-use-pattern",
            "fastrouter-use-socket",
            "fastrouter-workers",
            "fastrouter-zerg",
            "rawrouter-buffer-size",
            "rawrouter-cheap",
            "rawrouter-events",
            "rawrouter-fallback",
            "rawrouter-gracetime",
            "rawrouter-harakiri",
            "rawrouter-max-retries",
            "rawrouter-processes",
            "rawrouter-quiet",
            "rawrouter-ss",
            "rawrouter-stats",
            "rawrouter-stats-server",
            "rawrouter-subscription-server",
            "rawrouter-subscription-slot",
            "rawrouter-timeout",
            "rawrouter-to",
            "rawrouter-use-base",
            "rawrouter-use-cache",
            "rawrouter-use-code-string",
            "rawrouter-use-pattern",
            "rawrouter-use-socket",
            "rawrouter-workers",
            "rawrouter-xclient",
            "rawrouter-zerg",
            "sslrouter-buffer-size",
            "sslrouter-cheap",
            "sslrouter-events",
            "sslrouter-fallback",
            "sslrouter-gracetime",
            "sslrouter-harakiri",
            "sslrouter-max-retries",
            "sslrouter-processes",
            "sslrouter-quiet",
            "sslrouter-session-context",
            "sslrouter-sni",
            "sslrouter-ss",
            "sslrouter-stats",
            "sslrouter-stats-server",
            "sslrouter-subscription-server",
            "sslrouter-timeout",
            "sslrouter-to",
            "sslrouter-use-base",
            "sslrouter-use-cache",
            "sslrouter-use-code-string",
            "sslrouter-use-pattern",
            "sslrouter-use-socket",
            "sslrouter-workers",
            "sslrouter-zerg",
            "sslrouter2",
        ],
        takes: Takes::Address,
        section: Section::Routing,
        status: Status::Refused("Let nginx balance servers."),
        help: "Route to other servers.",
        ..ROW
    },
    Opt {
        names: &[
            "subscribe-to",
            "st",
            "weight",
            "subscribe",
            "subscribe2",
            "subscribe-freq",
            "subscribe-with-modifier1",
            "subscription-algo",
            "subscription-notify-socket",
            "subscription-tolerance",
            "subscriptions-credentials-check",
            "subscriptions-sign-check",
            "subscriptions-sign-check-tolerance",
            "subscriptions-sign-skip-uid",
        ],
        takes: Takes::Text,
        section: Section::Routing,
        status: Status::Absent("There is no uWSGI router: name this server in the front server."),
        help: "Announce this server to a router.",
        ..ROW
    },
    Opt {
        names: &[
            "start-unsubscribed",
            "subscription-dotsplit",
            "subscriptions-use-credentials",
            "unsubscribe-on-graceful-reload",
        ],
        section: Section::Routing,
        status: Status::Absent("There is no uWSGI router: name this server in the front server."),
        with_master: true,
        help: "Announce this server to a router.",
        ..ROW
    },
    Opt {
        names: &[
            "legion",
            "legion-mcast",
            "cluster",
            "broodlord",
            "cron-legion",
            "legion-attach-daemon",
            "legion-cron",
            "legion-death",
            "legion-death-on-lord-error",
            "legion-freq",
            "legion-join",
            "legion-lord",
            "legion-node",
            "legion-node-joined",
            "legion-node-left",
            "legion-quorum",
            "legion-scroll",
            "legion-scroll-list-max-size",
            "legion-scroll-max-size",
            "legion-setup",
            "legion-skew-tolerance",
            "legion-smart-attach-daemon",
            "legion-smart-attach-daemon2",
            "legion-tolerance",
            "legion-unlord",
            "multicast",
            "multicast-loop",
            "multicast-ttl",
            "udp",
            "unique-cron-legion",
            "unique-legion-cron",
        ],
        takes: Takes::Text,
        section: Section::Routing,
        status: Status::Refused("Leave clusters to an orchestrator."),
        with_master: true,
        help: "Join a cluster.",
        ..ROW
    },
    Opt {
        names: &[
            "websocket-max-size",
            "websockets-max-size",
            "websocket-ping-freq",
            "websockets-ping-freq",
            "websocket-pong-tolerance",
            "websockets-pong-tolerance",
        ],
        takes: Takes::Count,
        section: Section::Routing,
        status: Status::Ignored("There are no websockets."),
        help: "Limit websocket messages.",
        ..ROW
    },
    Opt {
        names: &["cflags", "dot-h", "build-plugin", "extract", "binary-append-data", "binsh"],
        takes: Takes::MaybeText,
        section: Section::Routing,
        status: Status::Refused("There are no plugins to build."),
        help: "Help to build plugins.",
        ..ROW
    },
    Opt {
        names: &["ini"],
        takes: Takes::Path,
        section: Section::Configuration,
        help: "Read this ini file here: file, file:section or :section.",
        ..ROW
    },
    Opt {
        names: &["config"],
        takes: Takes::Path,
        section: Section::Configuration,
        help: "Read this configuration file here.",
        ..ROW
    },
    Opt {
        names: &["include"],
        takes: Takes::Path,
        section: Section::Configuration,
        help: "Read this configuration file here.",
        ..ROW
    },
    Opt {
        names: &["inherit"],
        takes: Takes::Path,
        section: Section::Configuration,
        help: "Read this file after all others.",
        ..ROW
    },
    Opt {
        names: &["xml", "xmlconfig"],
        short: Some('x'),
        takes: Takes::Path,
        section: Section::Configuration,
        help: "Read this XML file.",
        ..ROW
    },
    Opt {
        names: &["yaml", "yml"],
        short: Some('y'),
        takes: Takes::Path,
        section: Section::Configuration,
        status: Status::Adapted("Quotes are YAML's; what is no YAML is read by line."),
        help: "Read this YAML file.",
        ..ROW
    },
    Opt {
        names: &["json", "js"],
        short: Some('j'),
        takes: Takes::Path,
        section: Section::Configuration,
        help: "Read this JSON file.",
        ..ROW
    },
    Opt {
        names: &["strict"],
        section: Section::Configuration,
        help: "Refuse unknown keys in ini files.",
        set: |options, value| Ok(options.strict = value.flag()),
        ..ROW
    },
    Opt {
        names: &["set", "set-placeholder", "set-ph"],
        short: Some('S'),
        takes: Takes::Pair,
        section: Section::Configuration,
        help: "Set a variable for %(name).",
        ..ROW
    },
    Opt {
        names: &[
            "if-env",
            "if-not-env",
            "if-opt",
            "if-not-opt",
            "if-exists",
            "if-not-exists",
            "if-file",
            "if-not-file",
            "if-dir",
            "if-not-dir",
            "if-reload",
            "if-not-reload",
            "if-plugin",
            "if-not-plugin",
            "if-hostname",
            "if-not-hostname",
            "if-hostname-match",
            "if-not-hostname-match",
            "if-directory",
            "ifdir",
            "ifenv",
            "ifexists",
            "ifplugin",
        ],
        takes: Takes::AnyText,
        section: Section::Configuration,
        help: "Read what follows under a condition.",
        ..ROW
    },
    Opt {
        names: &["for", "foreach", "for-glob", "for-times", "for-readline"],
        takes: Takes::AnyText,
        section: Section::Configuration,
        help: "Read what follows several times.",
        ..ROW
    },
    Opt {
        names: &["endif", "endfor", "end-if", "end-for", "end"],
        takes: Takes::MaybeText,
        section: Section::Configuration,
        help: "End a condition or a loop.",
        ..ROW
    },
    Opt {
        names: &["check-config"],
        section: Section::Configuration,
        status: Status::Own,
        help: "Say what would become of each setting, by line (--check-config --json too).",
        set: |options, value| Ok(options.check_config = value.flag()),
        ..ROW
    },
    Opt {
        names: &["show-config"],
        section: Section::Configuration,
        help: "Print the configuration that was read.",
        set: |options, value| Ok(options.show_config = value.flag()),
        ..ROW
    },
    Opt {
        names: &["no-server"],
        section: Section::Configuration,
        status: Status::Adapted("The end comes before the app is loaded."),
        help: "Read the configuration, then end.",
        set: |options, value| Ok(options.no_server = value.flag()),
        ..ROW
    },
    Opt {
        names: &["exit"],
        section: Section::Configuration,
        status: Status::Refused("It asks for the end."),
        help: "End at once.",
        ..ROW
    },
    Opt {
        names: &["print", "iprint"],
        takes: Takes::AnyText,
        section: Section::Configuration,
        help: "Print this at the start.",
        set: |options, value| Ok(options.prints.push(value.text.unwrap_or("").to_owned())),
        ..ROW
    },
    Opt {
        names: &["declare-option", "declare-option2"],
        takes: Takes::Text,
        section: Section::Configuration,
        help: "Make an option: name=option=value;option=value, with $1, $2 .. for its words.",
        ..ROW
    },
    Opt {
        names: &["fallback-config", "inject-before", "inject-after", "resolve", "file-write"],
        takes: Takes::Text,
        section: Section::Configuration,
        status: Status::Refused("Write what it stands for."),
        help: "Change how the configuration is read.",
        ..ROW
    },
    Opt {
        names: &["blacklist", "whitelist"],
        takes: Takes::Text,
        section: Section::Configuration,
        status: Status::Adapted("Conditions and loops stay allowed."),
        help: "Forbid these options from here on, or all others.",
        ..ROW
    },
    Opt {
        names: &["end-blacklist", "end-whitelist"],
        section: Section::Configuration,
        help: "Allow options again from here on.",
        ..ROW
    },
    Opt {
        names: &["test"],
        short: Some('J'),
        takes: Takes::Text,
        section: Section::Configuration,
        status: Status::Refused("Not supported yet: import the module with python."),
        help: "Try to load the app, then end.",
        ..ROW
    },
    Opt {
        names: &["cgi-mode"],
        short: Some('c'),
        section: Section::Configuration,
        status: Status::Ignored("A file after -c is read in any case."),
        help: "Run as a CGI script.",
        ..ROW
    },
    Opt {
        names: &["get"],
        takes: Takes::Text,
        section: Section::Configuration,
        help: "Print the value of an option or a variable, then end.",
        set: |options, value| Ok(options.get = Some(value.string()?)),
        ..ROW
    },
    Opt {
        names: &["dump-options"],
        section: Section::Configuration,
        help: "Print the names of all options, then end.",
        set: |options, value| Ok(options.dump_options = value.flag()),
        ..ROW
    },
    Opt {
        names: &["plugins-list", "plugin-list"],
        section: Section::Configuration,
        status: Status::Adapted("It goes to standard output, and nothing is started."),
        help: "Print the request plugins that there are, then end.",
        set: |options, value| Ok(list(options, value, "request plugins")),
        ..ROW
    },
    Opt {
        names: &["cheaper-algo-list", "cheaper-algos-list", "cheaper-list"],
        section: Section::Configuration,
        status: Status::Adapted("It goes to standard output, and nothing is started."),
        help: "Print the cheaper algorithms that there are, then end.",
        set: |options, value| Ok(list(options, value, "cheaper algorithms")),
        ..ROW
    },
    Opt {
        names: &["alarm-list", "alarms-list"],
        section: Section::Configuration,
        status: Status::Adapted("It goes to standard output, and nothing is started."),
        help: "Print the alarms that there are, then end.",
        set: |options, value| Ok(list(options, value, "alarms")),
        ..ROW
    },
    Opt {
        names: &["logger-list", "loggers-list"],
        section: Section::Configuration,
        status: Status::Adapted("It goes to standard output, and nothing is started."),
        help: "Print the loggers that there are, then end.",
        set: |options, value| Ok(list(options, value, "loggers")),
        ..ROW
    },
    Opt {
        names: &["loop-list", "loops-list"],
        section: Section::Configuration,
        status: Status::Adapted("It goes to standard output, and nothing is started."),
        help: "Print the loop engines that there are, then end.",
        set: |options, value| Ok(list(options, value, "loop engines")),
        ..ROW
    },
    Opt {
        names: &["clock-list", "clocks-list"],
        section: Section::Configuration,
        status: Status::Adapted("It goes to standard output, and nothing is started."),
        help: "Print the clocks that there are, then end.",
        set: |options, value| Ok(list(options, value, "clocks")),
        ..ROW
    },
    Opt {
        names: &["imperial-monitor-list", "imperial-monitors-list"],
        section: Section::Configuration,
        status: Status::Adapted("It goes to standard output, and nothing is started."),
        help: "Print the imperial monitors that there are, then end.",
        set: |options, value| Ok(list(options, value, "imperial monitors")),
        ..ROW
    },
    Opt {
        names: &["router-list", "routers-list"],
        section: Section::Configuration,
        status: Status::Adapted("It goes to standard output, and nothing is started."),
        help: "Print the routers that there are, then end.",
        set: |options, value| Ok(list(options, value, "routers")),
        ..ROW
    },
    Opt {
        names: &["signal-list"],
        section: Section::Configuration,
        status: Status::Refused("Not supported yet: see --help."),
        help: "Print what there is.",
        ..ROW
    },
    Opt {
        names: &["help", "usage"],
        short: Some('h'),
        takes: Takes::MaybeWord,
        section: Section::Configuration,
        status: Status::Adapted("A word behind it chooses what is shown."),
        help: "Print this text, or what has to do with a word.",
        set: |options, value| Ok(options.help = Some(value.text.unwrap_or("").to_owned())),
        ..ROW
    },
    Opt {
        names: &["version"],
        section: Section::Configuration,
        help: "Print the version.",
        set: |options, value| Ok(options.version = value.flag()),
        ..ROW
    },
    Opt {
        names: &["python-version"],
        section: Section::Configuration,
        help: "Print the version of the Python that would serve.",
        set: |options, value| Ok(options.python_version = value.flag()),
        ..ROW
    },
    Opt {
        names: &["doctor"],
        section: Section::Configuration,
        status: Status::Own,
        help: "Say what would be served and how: `uwring doctor app.ini`.",
        set: |options, value| Ok(options.doctor = value.flag()),
        ..ROW
    },
    Opt {
        names: &["completions"],
        takes: Takes::Word,
        section: Section::Configuration,
        status: Status::Own,
        help: "Print the completions for bash, zsh or fish, then end.",
        set: |options, value| {
            let shells = [("bash", "bash"), ("zsh", "zsh"), ("fish", "fish")];
            Ok(options.dump_page = Some(value.choice("bash, zsh or fish", &shells)?.to_owned()))
        },
        ..ROW
    },
    Opt {
        names: &["dump-page"],
        takes: Takes::Word,
        section: Section::Configuration,
        status: Status::Hidden,
        help: "Print a page of docs/.",
        set: |options, value| Ok(options.dump_page = Some(value.string()?)),
        ..ROW
    },
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_name_and_no_letter_is_used_twice() {
        let mut seen = HashSet::new();
        for (name, _) in names() {
            assert!(seen.insert(name), "--{name} is there twice");
        }
        let mut seen = HashSet::new();
        for letter in TABLE.iter().filter_map(|opt| opt.short) {
            assert!(seen.insert(letter), "-{letter} is there twice");
        }
    }

    #[test]
    fn names_are_lower_case_words() {
        for (name, _) in names() {
            let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
            assert!(name.bytes().all(|byte| legal(byte) || b"-_".contains(&byte)), "{name}");
            assert!(!name.starts_with('-') && !name.ends_with('-'), "{name}");
        }
    }

    #[test]
    fn help_and_reasons_are_short_sentences() {
        for opt in TABLE {
            let name = opt.names[0];
            assert!(opt.help.ends_with('.'), "{name}: {}", opt.help);
            assert!(opt.help.starts_with(|first: char| first.is_ascii_uppercase()), "{name}");
            assert!(opt.help.len() <= 90, "{name}: {}", opt.help);
            if let Status::Adapted(why) | Status::Ignored(why) | Status::Refused(why) = opt.status {
                assert!(why.ends_with('.') && why.len() <= 90, "{name}: {why}");
            }
        }
    }

    #[test]
    fn rows_stand_in_the_order_of_their_sections() {
        let places: Vec<_> = TABLE
            .iter()
            .map(|opt| Section::ALL.iter().position(|section| *section == opt.section))
            .collect();
        assert!(places.is_sorted());
    }
}
