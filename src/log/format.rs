//! uWSGI's `log-format`, compiled once: pieces of text and variables.

use super::escape::Place;

/// A compiled format.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Format {
    pub(super) parts: Vec<Part>,
    /// `%(rss)` or its kin is in it.
    pub(super) tells_memory: bool,
    /// A variable that only the app can have set is in it.
    pub(super) has_logvars: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    Text(Vec<u8>),
    Var(Var, Place),
}

/// What stands in `%(..)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Var {
    Uri,
    Method,
    User,
    Addr,
    Proto,
    /// A variable of the request, by its name in environ.
    Request(Vec<u8>),
    Status,
    Micros,
    Millis,
    Seconds,
    StartMillis,
    StartMicros,
    StartSeconds,
    Now,
    Ctime,
    Ltime,
    Ftime,
    Size,
    BodyBytes,
    HeadBytes,
    ContentLength,
    Pid,
    Worker,
    Switches,
    Vars,
    Headers,
    Core,
    PacketBytes,
    Modifier1,
    Modifier2,
    ReadErrors,
    WriteErrors,
    Errors,
    /// Bytes of resident memory or address space, divided by this.
    Rss(u64),
    Vsz(u64),
    Metric,
    /// What the app has set by `uwsgi.set_logvar`.
    Logvar(Vec<u8>),
}

const MIB: u64 = 1 << 20;

fn var(name: &str) -> Var {
    if let Some(name) = name.strip_prefix("var.") {
        return Var::Request(name.as_bytes().to_vec());
    }
    if name.starts_with("metric.") {
        return Var::Metric;
    }
    let request = |name: &str| Var::Request(name.as_bytes().to_vec());
    match name {
        "uri" => Var::Uri,
        "method" => Var::Method,
        "user" => Var::User,
        "addr" => Var::Addr,
        "host" => request("HTTP_HOST"),
        "proto" => Var::Proto,
        "uagent" => request("HTTP_USER_AGENT"),
        "referer" => request("HTTP_REFERER"),
        "status" => Var::Status,
        "micros" => Var::Micros,
        "msecs" => Var::Millis,
        "secs" => Var::Seconds,
        "tmsecs" => Var::StartMillis,
        "tmicros" => Var::StartMicros,
        "time" => Var::StartSeconds,
        "epoch" => Var::Now,
        "ctime" => Var::Ctime,
        "ltime" => Var::Ltime,
        "ftime" => Var::Ftime,
        "size" => Var::Size,
        "rsize" => Var::BodyBytes,
        "hsize" => Var::HeadBytes,
        "cl" => Var::ContentLength,
        "pid" => Var::Pid,
        "wid" => Var::Worker,
        "switches" => Var::Switches,
        "vars" => Var::Vars,
        "headers" => Var::Headers,
        "core" => Var::Core,
        "pktsize" => Var::PacketBytes,
        "modifier1" => Var::Modifier1,
        "modifier2" => Var::Modifier2,
        "rerr" => Var::ReadErrors,
        "werr" => Var::WriteErrors,
        "ioerr" => Var::Errors,
        "rss" => Var::Rss(1),
        "rssM" => Var::Rss(MIB),
        "vsz" => Var::Vsz(1),
        "vszM" => Var::Vsz(MIB),
        _ => Var::Logvar(name.as_bytes().to_vec()),
    }
}

/// Whether the text around the variables is JSON, or a part of an object.
fn is_json(text: &str) -> bool {
    let begin = text.trim_start();
    let is_object = begin.starts_with(['{', '[', '"']);
    is_object && (text.contains("\":") || text.contains("\" :"))
}

impl Format {
    /// Compiles `%(name)` between texts. Every text is a format: what is not closed is text.
    pub fn compile(text: &str) -> Format {
        let is_json = is_json(text);
        let mut format = Format::default();
        let mut is_quoted = false;
        let mut rest = text;
        loop {
            let found = rest.find("%(").and_then(|at| Some((at, at + rest[at..].find(')')?)));
            let (before, name, after) = match found {
                Some((at, end)) => (&rest[..at], Some(&rest[at + 2..end]), &rest[end + 1..]),
                None => (rest, None, ""),
            };
            is_quoted ^= turns(before);
            let Some(name) = name else {
                // The operator's own line feed at the end would make an empty line.
                format.text(before.trim_end_matches(['\n', '\r']));
                return format;
            };
            format.text(before);
            let place = match (is_json, is_quoted) {
                (true, true) => Place::Json,
                (true, false) => Place::JsonValue,
                (false, true) => Place::Quoted,
                (false, false) => Place::Plain,
            };
            let var = var(name);
            format.tells_memory |= matches!(var, Var::Rss(_) | Var::Vsz(_));
            format.has_logvars |= matches!(var, Var::Logvar(_) | Var::Request(_));
            format.parts.push(Part::Var(var, place));
            rest = after;
        }
    }

    fn text(&mut self, text: &str) {
        if !text.is_empty() {
            self.parts.push(Part::Text(text.as_bytes().to_vec()));
        }
    }
}

/// Whether a text opens quotes that it does not close, or the other way round.
fn turns(text: &str) -> bool {
    let mut is_odd = false;
    let mut is_escaped = false;
    for byte in text.bytes() {
        is_odd ^= byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
    }
    is_odd
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(text: &str) -> Vec<Place> {
        let parts = Format::compile(text).parts;
        let place = |part: &Part| match part {
            Part::Var(_, place) => Some(*place),
            Part::Text(_) => None,
        };
        parts.iter().filter_map(place).collect()
    }

    #[test]
    fn text_and_variables_take_turns() {
        let text = |text: &str| Part::Text(text.into());
        let plain = |var| Part::Var(var, Place::Plain);
        assert_eq!(
            Format::compile("%(addr) 100% %(var.X) %(mine)%(open").parts,
            [
                plain(Var::Addr),
                text(" 100% "),
                plain(Var::Request(b"X".to_vec())),
                text(" "),
                plain(Var::Logvar(b"mine".to_vec())),
                text("%(open"),
            ]
        );
        assert!(Format::compile("").parts.is_empty());
        assert!(Format::compile("%(rssM)").tells_memory);
        assert!(Format::compile("%(mine)").has_logvars && !Format::compile("%(uri)").has_logvars);
    }

    #[test]
    fn quotes_decide_about_escapes() {
        use Place::{Json, JsonValue, Plain, Quoted};
        assert_eq!(
            places(r#"%(addr) "%(method) %(uri)" %(status)"#),
            [Plain, Quoted, Quoted, Plain]
        );
        assert_eq!(places(r#"{"uri":"%(uri)","status":%(status)}"#), [Json, JsonValue]);
        // What `log-encoder = format {..${msg}..}` puts braces around.
        assert_eq!(places(r#""address":"%(addr)", "n":%(wid)"#), [Json, JsonValue]);
        assert_eq!(places(r#"{"a\"b":"%(uri)"}"#), [Json]);
        assert_eq!(places("{%(uri)}"), [Plain]);
    }
}
