//! What was asked for about the log, beyond the plain switches in `Options`: where lines go, in
//! which form, and how its files are kept.

use std::path::PathBuf;

pub use super::alarm::{Alarm, AlarmDeed, Alarms};
use super::value::{Address, Value, Wrong};

/// Where lines go and how.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Logs {
    /// Log requests answered with 4xx, or with 5xx, though requests are not logged.
    pub status_4xx: bool,
    pub status_5xx: bool,
    /// Log requests that took at least this many milliseconds even so.
    pub slow_ms: Option<u64>,
    /// Log requests answered with no body even so.
    pub zero: bool,
    /// Log requests answered with at least this many bytes even so.
    pub big: Option<u64>,
    /// Log requests answered with a file, or that met an I/O error, even so.
    pub sendfile: bool,
    pub io_error: bool,
    /// `%(ftime)` has the form of `log-date`.
    pub format_strftime: bool,
    /// Before lines of the server.
    pub prefix: Option<String>,
    pub loggers: Vec<Logger>,
    /// For lines of requests alone.
    pub request_loggers: Vec<Logger>,
    pub encoders: Vec<Encoder>,
    pub request_encoders: Vec<Encoder>,
    pub routes: Vec<Route>,
    pub request_routes: Vec<Route>,
    /// Lines that match are dropped.
    pub drains: Vec<String>,
    /// Where there is one, lines that match none are dropped.
    pub filters: Vec<String>,
    /// Bytes after which the file of `logto` is renamed and begun anew.
    pub max_size: Option<u64>,
    /// What it is renamed to; `None` is its name and the time.
    pub backup: Option<PathBuf>,
    /// Reopen the file at a reload.
    pub reopen: bool,
    /// Empty the file at the start.
    pub truncate: bool,
    /// Give files to the user of `uid` and `gid`.
    pub chown: bool,
    pub chmod: Option<u32>,
    pub touch_reopen: Vec<PathBuf>,
    pub touch_rotate: Vec<PathBuf>,
    /// Bytes of a packet of `rsyslog`; uWSGI: 1024.
    pub packet_bytes: Option<usize>,
    /// A longer line becomes several packets instead of losing its end.
    pub split_packets: bool,
    pub alarms: Alarms,
}

/// `[name ]engine[:argument]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logger {
    /// A logger with a name gets lines by routes alone.
    pub name: Option<String>,
    pub engine: Engine,
}

/// What takes lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Engine {
    /// Where the server's output went at the start.
    Stdio,
    Fd(i32),
    File {
        path: PathBuf,
        max_size: Option<u64>,
        backup: Option<PathBuf>,
    },
    /// The system's log, at /dev/log.
    Syslog {
        identity: String,
        facility: u32,
    },
    /// The same over UDP or a unix socket.
    Rsyslog {
        address: Address,
        /// `None` is the host's name and `uwsgi`.
        identity: Option<String>,
        priority: u32,
    },
    Journal,
    /// Lines as datagrams.
    Socket(Address),
    /// The standard input of a command.
    Pipe(String),
}

/// One step that changes lines, for all loggers or for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoder {
    pub kind: Encoding,
    /// The name of the logger that it is for.
    pub logger: Option<String>,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Encoding {
    /// Text with `${msg}` and its like.
    Format(String),
    /// The same, and the line is escaped as in a JSON string.
    Json(String),
    Prefix(String),
    Suffix(String),
    NewLine,
}

/// Lines that match go to the logger of that name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    pub logger: String,
    pub pattern: String,
}

impl Logger {
    /// A logger without a name.
    pub(super) fn plain(engine: Engine) -> Logger {
        Logger { name: None, engine }
    }

    pub(super) fn new(text: &str) -> Result<Logger, Wrong> {
        let text = text.trim();
        // uWSGI: a blank before the first colon ends a name.
        let colon = text.find(':').unwrap_or(text.len());
        let (name, rest) = match text[..colon].split_once(' ') {
            Some((name, _)) => (Some(name.to_owned()), text[name.len()..].trim_start()),
            None => (None, text),
        };
        let (engine, argument) = rest.split_once(':').unwrap_or((rest, ""));
        Ok(Logger { name, engine: self::engine(engine.trim(), argument.trim())? })
    }
}

/// What takes lines, by its name.
pub(super) const ENGINES: [&str; 8] =
    ["file", "stdio", "fd", "syslog", "rsyslog", "systemd", "socket", "pipe"];

fn engine(name: &str, argument: &str) -> Result<Engine, Wrong> {
    let needed = |what: &'static str| match argument {
        "" => Err(Wrong::Expected(what)),
        _ => Ok(()),
    };
    match name {
        "stdio" => Ok(Engine::Stdio),
        "fd" => argument.parse().map(Engine::Fd).map_err(|_| Wrong::Expected("fd:NUMBER")),
        "file" => needed("file:PATH").and_then(|()| file(argument)),
        "syslog" => syslog(argument),
        "rsyslog" => needed("rsyslog:HOST:PORT[,IDENTITY]").and_then(|()| rsyslog(argument)),
        "systemd" | "journald" => Ok(Engine::Journal),
        "socket" => needed("socket:ADDRESS").and_then(|()| address(argument).map(Engine::Socket)),
        "pipe" => needed("pipe:COMMAND").map(|()| Engine::Pipe(argument.to_owned())),
        "redislog" | "mongodblog" | "zeromq" | "zmq" | "graylog2" | "gelf" | "crypto"
        | "speechd" => Err(Wrong::Because(format!(
            "the engine {name} is not supported; lines can reach it by socket:ADDRESS (UDP), \
             syslog, or pipe:COMMAND"
        ))),
        _ => Err(Wrong::Because(format!(
            "the engine {name} is not known; these are: {}",
            ENGINES.join(", ")
        ))),
    }
}

/// A path, or `logfile=..,maxsize=..,backupname=..`.
fn file(text: &str) -> Result<Engine, Wrong> {
    if !text.contains("logfile=") {
        return Ok(Engine::File { path: text.into(), max_size: None, backup: None });
    }
    let (mut path, mut max_size, mut backup) = (PathBuf::new(), None, None);
    for (key, value) in text.split(',').filter_map(|pair| pair.trim().split_once('=')) {
        match key {
            "logfile" => path = value.into(),
            "maxsize" => max_size = Some(Value { text: Some(value) }.bytes()?),
            "backupname" => backup = Some(value.into()),
            _ => return Err(Wrong::Because(format!("the key {key} is not known"))),
        }
    }
    Ok(Engine::File { path, max_size, backup })
}

/// `[identity][,facility]`.
pub(super) fn syslog(text: &str) -> Result<Engine, Wrong> {
    const DAEMON: u32 = 3;
    let (identity, facility) = text.split_once(',').unwrap_or((text, ""));
    let identity = if identity.is_empty() { "uwsgi" } else { identity };
    let names = ["kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron"];
    let local = facility.strip_prefix("local").and_then(|digit| digit.parse::<u32>().ok());
    let facility = match facility {
        "" => DAEMON,
        "authpriv" => 10,
        "ftp" => 11,
        name => match (names.iter().position(|known| *known == name), local) {
            (Some(at), _) => at as u32,
            (None, Some(digit @ 0..8)) => 16 + digit,
            _ => return Err(Wrong::Expected("a facility, like daemon or local0")),
        },
    };
    Ok(Engine::Syslog { identity: identity.to_owned(), facility })
}

/// `address[,identity[,priority]]`.
fn rsyslog(text: &str) -> Result<Engine, Wrong> {
    const DAEMON_NOTICE: u32 = 29;
    let mut parts = text.split(',').map(str::trim);
    let address = address(parts.next().unwrap_or(""))?;
    let identity = parts.next().filter(|text| !text.is_empty()).map(str::to_owned);
    let priority = match parts.next() {
        Some(text) => text.parse().map_err(|_| Wrong::Expected("a priority, like 29"))?,
        None => DAEMON_NOTICE,
    };
    Ok(Engine::Rsyslog { address, identity, priority })
}

/// Where datagrams go; a port alone may be missing for syslog's.
pub(super) fn address(text: &str) -> Result<Address, Wrong> {
    let value = |text: &str| Value { text: Some(text) }.address();
    match value(text)? {
        Address::Tcp { host, port } if host == "0.0.0.0" => {
            Ok(Address::Tcp { host: "127.0.0.1".into(), port })
        }
        Address::Fd(_) => Err(Wrong::Expected("host:port or a path")),
        found => Ok(found),
    }
}

/// Whether `logto` names a UDP address, as uWSGI takes it.
pub(super) fn is_udp(text: &str) -> bool {
    let port = text.rsplit_once(':').map(|(host, port)| (host.contains('/'), port));
    port.is_some_and(|(is_path, port)| !is_path && port.parse::<u16>().is_ok())
}

impl Encoder {
    /// `kind[:logger] argument`.
    pub(super) fn new(text: &str) -> Result<Encoder, Wrong> {
        let (word, argument) = text.split_once(' ').unwrap_or((text, ""));
        let (kind, logger) = match word.split_once(':') {
            Some((kind, logger)) => (kind, Some(logger.to_owned())),
            None => (word, None),
        };
        let argument = argument.to_owned();
        let kind = match kind {
            "format" => Encoding::Format(argument),
            "json" => Encoding::Json(argument),
            "prefix" => Encoding::Prefix(argument),
            "suffix" => Encoding::Suffix(argument),
            "nl" => Encoding::NewLine,
            "gzip" | "compress" | "crypto" | "crypt" | "msgpack" => {
                return Err(Wrong::Because(format!(
                    "the encoder {kind} is not supported; pipe:COMMAND hands lines to a program \
                     that does it (pipe:gzip > app.log.gz)"
                )));
            }
            _ => {
                return Err(Wrong::Because(format!(
                    "the encoder {kind} is not known; these are: format, json, prefix, suffix, nl"
                )));
            }
        };
        Ok(Encoder { kind, logger })
    }
}

impl Route {
    /// `logger pattern`.
    pub(super) fn new(text: &str) -> Result<Route, Wrong> {
        let (logger, pattern) =
            text.trim().split_once(' ').ok_or(Wrong::Expected("a logger's name and a pattern"))?;
        let pattern = Value { text: Some(pattern.trim()) }.regex()?;
        Ok(Route { logger: logger.to_owned(), pattern })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logger_is_name_engine_and_argument() {
        let file = |path: &str| Engine::File { path: path.into(), max_size: None, backup: None };
        let named = |name: &str, engine| Ok(Logger { name: Some(name.into()), engine });
        assert_eq!(Logger::new("stdio"), Ok(Logger::plain(Engine::Stdio)));
        assert_eq!(Logger::new("app stdio"), named("app", Engine::Stdio));
        assert_eq!(Logger::new("file:/a b:c"), Ok(Logger::plain(file("/a b:c"))));
        assert_eq!(Logger::new("one  file:/x"), named("one", file("/x")));
        let keyed = Logger::new("file:logfile=/x,maxsize=9,backupname=/y").unwrap().engine;
        let (max_size, backup) = (Some(9), Some("/y".into()));
        assert_eq!(keyed, Engine::File { path: "/x".into(), max_size, backup });
        assert!(Logger::new("file:").is_err());
        assert!(Logger::new("redislog:127.0.0.1:6379").is_err());
        assert!(Logger::new("nosuch:x").is_err());
    }

    #[test]
    fn syslog_has_identity_and_facility() {
        let syslog = |identity: &str, facility| {
            Ok(Engine::Syslog { identity: identity.to_owned(), facility })
        };
        assert_eq!(super::syslog(""), syslog("uwsgi", 3));
        assert_eq!(super::syslog("app,local7"), syslog("app", 23));
        assert!(super::syslog("app,local8").is_err());
        let far = Logger::new("rsyslog:10.0.0.1:514,app,30").unwrap().engine;
        let address = Address::Tcp { host: "10.0.0.1".into(), port: 514 };
        assert_eq!(far, Engine::Rsyslog { address, identity: Some("app".into()), priority: 30 });
        assert!(is_udp("192.168.0.1:1717") && !is_udp("/var/log/a:1") && !is_udp("app.log"));
    }

    #[test]
    fn an_encoder_may_be_bound_to_a_logger() {
        let encoder = Encoder::new("json:app {\"m\":\"${msg}\"}").unwrap();
        assert_eq!(encoder.logger.as_deref(), Some("app"));
        assert_eq!(encoder.kind, Encoding::Json("{\"m\":\"${msg}\"}".into()));
        assert_eq!(Encoder::new("nl").unwrap().kind, Encoding::NewLine);
        assert!(Encoder::new("gzip").is_err());
    }
}
