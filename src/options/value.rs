//! What a written value means: words, numbers, modes, addresses.
//!
//! uWSGI's leniency is kept where files in the wild lean on it; the room `suspicion` says so.

use std::path::PathBuf;

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// `host` is a name or a number, an IPv6 one without brackets; `172.*` is the machine's first
    /// address that begins so.
    Tcp {
        host: String,
        port: u16,
    },
    Unix(PathBuf),
    /// A name in Linux's abstract namespace, without the `@`.
    Abstract(String),
    /// A descriptor that is open and bound already.
    Fd(i32),
}

/// What a socket speaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Protocol {
    #[default]
    Uwsgi,
    Http,
}

impl Protocol {
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Http => "http",
            Protocol::Uwsgi => "uwsgi",
        }
    }
}

/// One socket to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketSpec {
    pub address: Address,
    pub protocol: Protocol,
    /// The option that asked for it: `socket`, `http`, `http-socket` ...
    pub option: String,
}

/// What a worker is made of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Isolation {
    #[default]
    Auto,
    Interpreter,
    Process,
}

/// When Python's collector of cycles runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Gc {
    /// As Python does, over what was made after the app was loaded.
    #[default]
    Frozen,
    /// The same, and rather while a worker has nothing to do.
    Managed,
    /// As Python does.
    Python,
}

/// What moves the bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Io {
    #[default]
    Auto,
    Uring,
    Epoll,
}

/// How shards and workers are pinned to cores.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Affinity {
    #[default]
    Auto,
    Shard,
    None,
}

/// On which cores shards and workers run, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cores {
    pub affinity: Affinity,
    /// Cores of each worker.
    pub each: Option<usize>,
    /// Shards may be scheduled behind who wakes them.
    pub scheduling: bool,
}

impl Default for Cores {
    fn default() -> Cores {
        Cores { affinity: Affinity::Auto, each: None, scheduling: true }
    }
}

/// Why a value cannot be taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// Completes "expected ..., found ...".
    Expected(&'static str),
    /// A sentence of its own.
    Because(String),
    /// It is left out, as in uWSGI, and this sentence says so.
    Harmless(String),
}

/// The value of one setting; nothing was written after a bare key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Value<'a> {
    pub(super) text: Option<&'a str>,
}

const MODE: &str = "three octal digits, like 660";
pub(super) const FALSE_WORDS: [&str; 4] = ["false", "off", "no", "0"];
pub(super) const TRUE_WORDS: [&str; 4] = ["true", "on", "yes", "1"];

pub(super) fn is_one_of(text: &str, words: &[&str]) -> bool {
    words.iter().any(|word| text.eq_ignore_ascii_case(word))
}

impl<'a> Value<'a> {
    /// uWSGI: everything is true but `false`, `off`, `no` and `0`.
    pub(super) fn flag(self) -> bool {
        !is_one_of(self.text.unwrap_or("true"), &FALSE_WORDS)
    }

    pub(super) fn text(self) -> Result<&'a str, Wrong> {
        match self.text {
            Some(text) if !text.is_empty() => Ok(text),
            _ => Err(Wrong::Expected("a value")),
        }
    }

    pub(super) fn string(self) -> Result<String, Wrong> {
        Ok(self.text()?.to_owned())
    }

    pub(super) fn path(self) -> Result<PathBuf, Wrong> {
        Ok(PathBuf::from(self.text()?))
    }

    /// `key=value`, split at the first `=`.
    pub(super) fn pair(self) -> Result<(String, String), Wrong> {
        match self.text()?.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
            _ => Err(Wrong::Expected("KEY=VALUE")),
        }
    }

    /// uWSGI: a bare number option is 1, and digits count up to the first other character.
    pub(super) fn number(self, expectation: &'static str) -> Result<u64, Wrong> {
        let text = self.text.unwrap_or("1").trim();
        if is_one_of(text, &TRUE_WORDS) {
            return Ok(1);
        }
        if is_one_of(text, &FALSE_WORDS) {
            return Ok(0);
        }
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        text[..digits].parse().map_err(|_| Wrong::Expected(expectation))
    }

    pub(super) fn count(self) -> Result<usize, Wrong> {
        usize::try_from(self.number("a number")?).map_err(|_| Wrong::Expected("a smaller number"))
    }

    /// A count that 0 makes no sense for.
    pub(super) fn at_least_one(self) -> Result<usize, Wrong> {
        const EXPECTATION: &str = "a number of at least 1";
        match usize::try_from(self.number(EXPECTATION)?) {
            Ok(0) | Err(_) => Err(Wrong::Expected(EXPECTATION)),
            Ok(count) => Ok(count),
        }
    }

    /// A number that fits a smaller type.
    pub(super) fn fitting<T: TryFrom<u64>>(self) -> Result<T, Wrong> {
        T::try_from(self.number("a number")?).map_err(|_| Wrong::Expected("a smaller number"))
    }

    /// `/prefix=path`.
    pub(super) fn pair_path(self) -> Result<(String, PathBuf), Wrong> {
        let (key, path) = self.pair()?;
        Ok((key, path.into()))
    }

    /// A regular expression that can be compiled.
    pub(super) fn regex(self) -> Result<String, Wrong> {
        let text = self.text()?;
        super::Pattern::new(text).map_err(Wrong::Because)?;
        Ok(text.to_owned())
    }

    pub(super) fn seconds(self) -> Result<u64, Wrong> {
        self.number("a number of seconds")
    }

    pub(super) fn bytes(self) -> Result<u64, Wrong> {
        self.number("a number of bytes")
    }

    pub(super) fn megabytes(self) -> Result<u64, Wrong> {
        self.number("a number of MiB")
    }

    pub(super) fn milliseconds(self) -> Result<u64, Wrong> {
        self.number("a number of milliseconds")
    }

    /// Octal digits, as chmod and umask write them.
    pub(super) fn octal(self) -> Result<u32, Wrong> {
        let text = self.text()?.trim();
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        if !(1..=4).contains(&digits) {
            return Err(Wrong::Expected(MODE));
        }
        match u32::from_str_radix(&text[..digits], 8) {
            Ok(mode) if mode <= 0o777 => Ok(mode),
            _ => Err(Wrong::Expected(MODE)),
        }
    }

    /// The mode of a unix socket. uWSGI: bare or `1` lets everyone read and write.
    pub(super) fn socket_mode(self) -> Result<u32, Wrong> {
        match self.text.map(str::trim) {
            None | Some("1" | "true") => Ok(0o666),
            // uWSGI: `66` would be the group's and the others' mode, and is an error.
            Some(text) if text.bytes().take_while(u8::is_ascii_digit).count() < 3 => {
                Err(Wrong::Expected(MODE))
            }
            Some(_) => self.octal(),
        }
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(
        self,
        expectation: &'static str,
        words: &[(&str, T)],
    ) -> Result<T, Wrong> {
        let text = self.text.unwrap_or("");
        let found = words.iter().find(|(word, _)| *word == text);
        found.map(|(_, meaning)| *meaning).ok_or(Wrong::Expected(expectation))
    }

    pub(super) fn address(self) -> Result<Address, Wrong> {
        address(self.text()?)
    }

    /// uWSGI: `--http 8000` is a port, though `--socket 8000` is a file.
    pub(super) fn http_address(self) -> Result<Address, Wrong> {
        let text = self.text()?;
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            return address(&format!(":{text}"));
        }
        address(text)
    }
}

/// `host:port`, `:port` (all of IPv4), `[v6]:port`, a path, `@name` or `fd://N`.
fn address(text: &str) -> Result<Address, Wrong> {
    const EXPECTATION: &str = "an address, like 127.0.0.1:8000, :8000 or /run/app.sock";
    if let Some(number) = text.strip_prefix("fd://") {
        return number.parse().map(Address::Fd).map_err(|_| Wrong::Expected("fd://NUMBER"));
    }
    if let Some(name) = text.strip_prefix('@') {
        return Ok(Address::Abstract(name.to_owned()));
    }
    if text.starts_with('=') {
        return Err(Wrong::Because(
            "no shared-socket has that number: they count from =0".to_owned(),
        ));
    }
    if let Some(path) = text.strip_prefix("unix:") {
        return Err(Wrong::Because(format!(
            "a unix socket is written as its path alone: {}",
            path.trim_start_matches("//")
        )));
    }
    // uWSGI: a colon makes it TCP, wherever it stands.
    let Some((host, port)) = text.rsplit_once(':') else {
        return Ok(Address::Unix(PathBuf::from(text)));
    };
    // uWSGI: what follows the digits is ignored; a comment after the address is common.
    let (port, rest) = port.split_at(port.bytes().take_while(u8::is_ascii_digit).count());
    if !rest.is_empty() && !rest.starts_with(|c: char| c.is_whitespace() || c == ',') {
        return Err(Wrong::Expected(EXPECTATION));
    }
    if port.contains(',') || rest.starts_with(',') || host.contains(',') {
        return Err(Wrong::Expected("one address; each gets a setting of its own"));
    }
    // uWSGI: without a number the system chooses one.
    let port = match port {
        "" => 0,
        digits => digits.parse().map_err(|_| Wrong::Expected("a port from 0 to 65535"))?,
    };
    let host = match host.strip_prefix('[') {
        Some(inner) => inner.strip_suffix(']').ok_or(Wrong::Expected("[IPv6 address]:port"))?,
        None if host.contains(':') => {
            return Err(Wrong::Expected("an IPv6 address in brackets, like [::1]:8000"));
        }
        None if host.is_empty() || host == "*" => "0.0.0.0",
        None => host,
    };
    Ok(Address::Tcp { host: host.to_owned(), port })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Value<'_> {
        Value { text: Some(text) }
    }

    #[test]
    fn addresses_are_tcp_where_there_is_a_colon() {
        let tcp = |host: &str, port| Ok(Address::Tcp { host: host.to_owned(), port });
        assert_eq!(address("127.0.0.1:8000"), tcp("127.0.0.1", 8000));
        assert_eq!(address(":0"), tcp("0.0.0.0", 0));
        assert_eq!(address("127.0.0.1:"), tcp("127.0.0.1", 0));
        assert_eq!(address("*:80"), tcp("0.0.0.0", 80));
        assert_eq!(address("localhost:80"), tcp("localhost", 80));
        assert_eq!(address("[::1]:80"), tcp("::1", 80));
        assert_eq!(address("172.*:80"), tcp("172.*", 80));
        assert_eq!(address("127.0.0.1:8200  # x"), tcp("127.0.0.1", 8200));
        assert_eq!(address("/run/a.sock"), Ok(Address::Unix("/run/a.sock".into())));
        assert_eq!(address("@name"), Ok(Address::Abstract("name".to_owned())));
        assert_eq!(address("fd://3"), Ok(Address::Fd(3)));
        assert_eq!(value("8000").http_address(), tcp("0.0.0.0", 8000));
        for text in ["::1:80", "a:1,b:2", "host:99999", "host:80x", "unix:/x", "=0", "[::1:8"] {
            assert!(address(text).is_err(), "{text}");
        }
    }

    #[test]
    fn everything_is_true_but_four_words() {
        for text in ["false", "OFF", "No", "0"] {
            assert!(!value(text).flag(), "{text}");
        }
        for text in ["true", "", "nonsense", "false # c", "'false'"] {
            assert!(value(text).flag(), "{text}");
        }
        assert!(Value { text: None }.flag());
    }

    #[test]
    fn leading_digits_are_the_number() {
        for (text, number) in [("7", 7), ("1000   ; x", 1000), ("2.5", 2), ("true", 1), ("off", 0)]
        {
            assert_eq!(value(text).number("a number"), Ok(number), "{text}");
        }
        assert_eq!(Value { text: None }.number("a number"), Ok(1));
        for text in ["", "-1", "soon", "\"2\"", "99999999999999999999999"] {
            assert_eq!(value(text).number("a number"), Err(Wrong::Expected("a number")), "{text}");
        }
    }

    #[test]
    fn modes_are_three_octal_digits() {
        assert_eq!(value("664").socket_mode(), Ok(0o664));
        assert_eq!(value("0660").socket_mode(), Ok(0o660));
        assert_eq!(value("1").socket_mode(), Ok(0o666));
        assert_eq!(Value { text: None }.socket_mode(), Ok(0o666));
        assert_eq!(value("22").octal(), Ok(0o22));
        for text in ["66", "", "6"] {
            assert_eq!(value(text).socket_mode(), Err(Wrong::Expected(MODE)), "{text}");
        }
        for text in ["688", "1777", "rw", "66666", ""] {
            assert!(value(text).octal().is_err(), "{text}");
        }
    }
}
