//! The line of one request: uWSGI's own form byte for byte, or the operator's `log-format`.

use std::ffi::CString;
use std::fmt::Write;
use std::sync::Arc;

use super::escape::{Place, escaped, number};
use super::format::{Format, Part, Var};
use crate::options::Options;
use crate::sys;

/// What one request's line says.
pub struct RequestLine<'a> {
    pub pid: u64,
    /// From 1; 0 if no worker took the request.
    pub worker: u32,
    pub app: i32,
    /// Requests of this worker, -1 where none had it; and of the whole server.
    pub number: i64,
    pub total: u64,
    pub addr: &'a [u8],
    pub user: &'a [u8],
    pub vars: usize,
    pub head_bytes: usize,
    /// Microseconds since the epoch.
    pub start_us: u64,
    pub end_us: u64,
    pub method: &'a [u8],
    pub uri: &'a [u8],
    pub body_bytes: u64,
    pub via_sendfile: bool,
    pub protocol: &'a str,
    pub status: u16,
    pub headers: u32,
    pub header_bytes: usize,
    pub switches: u32,
    pub core: u32,
    /// Bytes of the request's body, as the client said.
    pub content_length: u64,
    pub modifiers: (u8, u8),
    /// 1 if the response could not be sent to its end.
    pub write_errors: u32,
    /// Bytes of resident memory and of address space, where they are asked for.
    pub memory: (u64, u64),
    /// A request variable by its name in environ, empty if there is none.
    pub var: &'a dyn Fn(&[u8]) -> &'a [u8],
    /// A variable that the app has set.
    pub logvar: &'a dyn Fn(&[u8]) -> &'a [u8],
}

/// How requests' lines look.
#[derive(Debug, Default)]
pub struct Form {
    format: Option<Format>,
    in_micros: bool,
    tells_memory: bool,
    /// What `%(ftime)` is.
    ftime: Option<CString>,
}

impl Form {
    pub fn new(options: &Options) -> Arc<Form> {
        let date = options.log_date.clone().filter(|text| !text.is_empty());
        Arc::new(Form {
            format: options.log_format.as_deref().map(Format::compile),
            in_micros: options.log_micros,
            tells_memory: options.memory_report,
            ftime: date
                .filter(|_| options.logs.format_strftime)
                .and_then(|text| CString::new(text).ok()),
        })
    }

    /// Whether a line tells the memory of its worker.
    pub fn tells_memory(&self) -> bool {
        self.tells_memory && self.format.is_none()
            || self.format.as_ref().is_some_and(|format| format.tells_memory)
    }

    /// Whether a line may tell what the app has set.
    pub fn has_logvars(&self) -> bool {
        self.format.as_ref().is_some_and(|format| format.has_logvars)
    }

    /// Appends the line and its line feed.
    pub fn write(&self, line: &RequestLine<'_>, clock: &mut Clock, out: &mut Vec<u8>) {
        match &self.format {
            None => self.write_default(line, clock, out),
            Some(format) => {
                for part in &format.parts {
                    match part {
                        Part::Text(text) => out.extend_from_slice(text),
                        Part::Var(var, place) => self.write_var(var, *place, line, clock, out),
                    }
                }
            }
        }
        out.push(b'\n');
    }

    fn write_default(&self, line: &RequestLine<'_>, clock: &mut Clock, out: &mut Vec<u8>) {
        let mut text = Line(out);
        if self.tells_memory {
            let (resident, space) = line.memory;
            text.add("{address space usage: ").count(space).add(" bytes/").count(space >> 20);
            text.add("MB} {rss usage: ").count(resident).add(" bytes/").count(resident >> 20);
            text.add("MB} ");
        }
        text.add("[pid: ").count(line.pid).add("|app: ");
        text.signed(line.app.into()).add("|req: ").signed(line.number);
        text.add("/").count(line.total).add("] ").peer(line.addr).add(" (").peer(line.user);
        text.add(") {").count(line.vars as u64 * 2).add(" vars in ").count(line.head_bytes as u64);
        text.add(" bytes} [").add(clock.ctime(line.start_s())).add("] ").peer(line.method);
        text.add(" ").peer(line.uri).add(" => generated ").count(line.body_bytes);
        let micros = line.micros();
        text.add(" bytes in ").count(if self.in_micros { micros } else { micros / 1000 });
        text.add(if self.in_micros { " micros" } else { " msecs" });
        text.add(if line.via_sendfile { " via sendfile() (" } else { " (" });
        text.add(line.protocol).add(" ").count(line.status.into()).add(") ");
        text.count(line.headers.into()).add(" headers in ").count(line.header_bytes as u64);
        text.add(" bytes (").count(line.switches.into()).add(" switches on core ");
        text.count(line.core.into()).add(")");
    }

    fn write_var(
        &self,
        var: &Var,
        place: Place,
        line: &RequestLine<'_>,
        clock: &mut Clock,
        out: &mut Vec<u8>,
    ) {
        let count = |value: u64, out: &mut Vec<u8>| number(value, out);
        match var {
            Var::Uri => peer(line.uri, place, out),
            Var::Method => peer(line.method, place, out),
            Var::User => peer(line.user, place, out),
            Var::Addr => peer(line.addr, place, out),
            Var::Proto => peer(line.protocol.as_bytes(), place, out),
            Var::Request(name) => peer((line.var)(name), place, out),
            Var::Logvar(name) => peer((line.logvar)(name), place, out),
            Var::Ctime => peer(clock.ctime(line.start_s()).as_bytes(), place, out),
            Var::Ltime => peer(clock.ltime(line.start_s()).as_bytes(), place, out),
            Var::Ftime => {
                peer(clock.ftime(self.ftime.as_ref(), line.start_s()).as_bytes(), place, out);
            }
            Var::Status => count(line.status.into(), out),
            Var::Micros => count(line.micros(), out),
            Var::Millis => count(line.micros() / 1000, out),
            Var::Seconds => {
                let micros = line.micros();
                count(micros / 1_000_000, out);
                let _ = write!(Line(out), ".{:06}", micros % 1_000_000);
            }
            Var::StartMillis => count(line.start_us / 1000, out),
            Var::StartMicros => count(line.start_us, out),
            Var::StartSeconds => count(line.start_us / 1_000_000, out),
            Var::Now => count(line.end_us / 1_000_000, out),
            Var::Size => count(line.body_bytes + line.header_bytes as u64, out),
            Var::BodyBytes => count(line.body_bytes, out),
            Var::HeadBytes => count(line.header_bytes as u64, out),
            Var::ContentLength => count(line.content_length, out),
            Var::Pid => count(line.pid, out),
            Var::Worker => count(line.worker.into(), out),
            Var::Switches => count(line.switches.into(), out),
            Var::Vars => count(line.vars as u64 * 2, out),
            Var::Headers => count(line.headers.into(), out),
            Var::Core => count(line.core.into(), out),
            Var::PacketBytes => count(line.head_bytes as u64, out),
            Var::Modifier1 => count(line.modifiers.0.into(), out),
            Var::Modifier2 => count(line.modifiers.1.into(), out),
            Var::WriteErrors | Var::Errors => count(line.write_errors.into(), out),
            // A request that could not be read has no line; there are no metrics.
            Var::ReadErrors | Var::Metric => count(0, out),
            Var::Rss(unit) => count(line.memory.0 / unit, out),
            Var::Vsz(unit) => count(line.memory.1 / unit, out),
        }
    }
}

/// A text that may be missing. uWSGI: `-` then.
fn peer(bytes: &[u8], place: Place, out: &mut Vec<u8>) {
    match (bytes, place) {
        (b"", Place::JsonValue) => out.extend_from_slice(b"null"),
        (b"", _) => out.push(b'-'),
        _ => escaped(place, bytes, out),
    }
}

impl RequestLine<'_> {
    fn start_s(&self) -> i64 {
        (self.start_us / 1_000_000) as i64
    }

    fn micros(&self) -> u64 {
        self.end_us.saturating_sub(self.start_us)
    }
}

/// The texts of a whole second, formatted once.
#[derive(Default)]
pub struct Clock {
    ctime: Second,
    ltime: Second,
    ftime: Second,
}

#[derive(Default)]
struct Second {
    second: i64,
    text: String,
}

impl Second {
    fn text(&mut self, second: i64, format: &std::ffi::CStr) -> &str {
        if self.second != second || self.text.is_empty() {
            self.second = second;
            self.text.clear();
            sys::local_time(format, second, &mut self.text);
        }
        &self.text
    }
}

impl Clock {
    fn ctime(&mut self, second: i64) -> &str {
        self.ctime.text(second, c"%a %b %e %H:%M:%S %Y")
    }

    fn ltime(&mut self, second: i64) -> &str {
        self.ltime.text(second, c"%d/%b/%Y:%H:%M:%S %z")
    }

    /// uWSGI: `ltime`, unless both `log-date` and `logformat-strftime` are given.
    fn ftime(&mut self, format: Option<&CString>, second: i64) -> &str {
        match format {
            Some(format) => self.ftime.text(second, format),
            None => self.ltime(second),
        }
    }
}

struct Line<'o>(&'o mut Vec<u8>);

impl Line<'_> {
    fn add(&mut self, text: &str) -> &mut Self {
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    fn count(&mut self, value: u64) -> &mut Self {
        number(value, self.0);
        self
    }

    fn signed(&mut self, value: i64) -> &mut Self {
        self.add(if value < 0 { "-" } else { "" }).count(value.unsigned_abs())
    }

    /// Bytes of a peer: a line feed in a URI must not make a line.
    fn peer(&mut self, bytes: &[u8]) -> &mut Self {
        escaped(Place::Plain, bytes, self.0);
        self
    }
}

impl Write for Line<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.add(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> RequestLine<'static> {
        RequestLine {
            pid: 1346,
            worker: 1,
            app: 0,
            number: 56730,
            total: 281_056,
            addr: b"172.31.16.77",
            user: b"",
            vars: 26,
            head_bytes: 896,
            start_us: 1_000_000,
            end_us: 1_033_210,
            method: b"POST",
            uri: b"/app/api",
            body_bytes: 144,
            via_sendfile: false,
            protocol: "HTTP/1.1",
            status: 200,
            headers: 3,
            header_bytes: 121,
            switches: 2,
            core: 0,
            content_length: 0,
            modifiers: (0, 0),
            write_errors: 0,
            memory: (11_165_696, 58_482_688),
            var: &|name| if name == b"HTTP_HOST" { b"a.example" } else { b"" },
            logvar: &|name| if name == b"mine" { b"v\"\n" } else { b"" },
        }
    }

    fn written(options: &Options, line: &RequestLine<'_>) -> String {
        let mut out = Vec::new();
        Form::new(options).write(line, &mut Clock::default(), &mut out);
        String::from_utf8(out).expect("the line is UTF-8")
    }

    fn formatted(format: &str) -> String {
        let options = Options { log_format: Some(format.into()), ..Options::default() };
        written(&options, &line())
    }

    #[test]
    fn has_uwsgis_form() {
        let text = written(&Options::default(), &line());
        let (before, rest) = text.split_once(" [").map_or(("", ""), |parts| parts);
        assert_eq!(
            before,
            "[pid: 1346|app: 0|req: 56730/281056] 172.31.16.77 () {52 vars in 896 bytes}"
        );
        let (time, after) = rest.split_once("] ").unwrap_or(("", ""));
        assert_eq!(time.len(), 24, "{time}");
        assert_eq!(
            after,
            "POST /app/api => generated 144 bytes in 33 msecs (HTTP/1.1 200) 3 headers in 121 bytes \
             (2 switches on core 0)\n"
        );
    }

    #[test]
    fn tells_memory_and_microseconds_when_asked() {
        let options = Options { log_micros: true, memory_report: true, ..Options::default() };
        let text = written(&options, &RequestLine { app: -1, ..line() });
        let begin = "{address space usage: 58482688 bytes/55MB} {rss usage: 11165696 bytes/10MB} \
                     [pid: 1346|app: -1|";
        assert!(text.starts_with(begin), "{text}");
        assert!(text.contains(" bytes in 33210 micros ("), "{text}");
    }

    #[test]
    fn a_line_feed_in_a_uri_makes_no_line() {
        let text = written(&Options::default(), &RequestLine { uri: b"/a\nb", ..line() });
        assert_eq!(text.matches('\n').count(), 1, "{text}");
    }

    #[test]
    fn a_format_names_what_it_wants() {
        assert_eq!(
            formatted(
                "%(host) %(user) %(size)=%(hsize)+%(rsize) %(micros) %(msecs) %(secs) %(nope)"
            ),
            "a.example - 265=121+144 33210 33 0.033210 -\n"
        );
        assert_eq!(formatted("%(vars) %(pktsize) %(wid) %(metric.x) %(rssM)"), "52 896 1 0 10\n");
        assert_eq!(formatted("%(time) %(tmsecs) %(tmicros) %(epoch)"), "1 1000 1000000 1\n");
    }

    #[test]
    fn json_stays_json() {
        let text = formatted(r#"{"m":"%(mine)","u":%(user),"s":%(status),"d":%(mine)}"#);
        let value: serde_json::Value = serde_json::from_str(&text).expect("the line is JSON");
        assert_eq!(value, serde_json::json!({"m": "v\"\n", "u": null, "s": 200, "d": "v\"\n"}));
    }

    #[test]
    fn ftime_has_the_form_of_log_date() {
        let mut options = Options { log_format: Some("%(ftime)".into()), ..Options::default() };
        options.log_date = Some("year %Y".into());
        assert!(written(&options, &line()).contains("/1970:"));
        options.logs.format_strftime = true;
        assert_eq!(written(&options, &line()), "year 1970\n");
    }
}
