//! The request line, in uWSGI's form byte for byte (facts: uwsgi, section 6).

use std::fmt::Write;

use crate::sys;

/// What one request's line says.
pub struct RequestLine<'a> {
    pub pid: u64,
    pub app: i32,
    /// Requests of this worker, -1 where none had it; and of the whole server.
    pub number: i64,
    pub total: u64,
    pub addr: &'a [u8],
    pub user: &'a [u8],
    pub vars: usize,
    pub head_bytes: usize,
    /// Seconds since the epoch.
    pub start_s: i64,
    pub method: &'a [u8],
    pub uri: &'a [u8],
    pub body_bytes: u64,
    pub millis: u64,
    pub via_sendfile: bool,
    pub protocol: &'a str,
    pub status: u16,
    pub headers: u32,
    pub header_bytes: usize,
    pub switches: u32,
    pub core: u32,
}

/// The text of a whole second, formatted once.
#[derive(Default)]
pub struct Clock {
    second: i64,
    text: String,
}

impl Clock {
    fn text(&mut self, second: i64) -> &str {
        if self.second != second || self.text.is_empty() {
            self.second = second;
            self.text.clear();
            sys::ctime(second, &mut self.text);
        }
        &self.text
    }
}

/// Appends the line and its line feed.
pub fn write(line: &RequestLine<'_>, clock: &mut Clock, out: &mut Vec<u8>) {
    let mut text = Text(out);
    let _ = write!(text, "[pid: {}|app: ", line.pid);
    let _ = write!(text, "{}|req: {}/{}] ", line.app, line.number, line.total);
    text.escaped(line.addr);
    text.0.extend_from_slice(b" (");
    text.escaped(line.user);
    let _ = write!(text, ") {{{} vars in {} bytes}} ", line.vars * 2, line.head_bytes);
    text.0.push(b'[');
    text.0.extend_from_slice(clock.text(line.start_s).as_bytes());
    text.0.extend_from_slice(b"] ");
    text.escaped(line.method);
    text.0.push(b' ');
    text.escaped(line.uri);
    let via = if line.via_sendfile { " via sendfile() " } else { " " };
    let _ = write!(
        text,
        " => generated {} bytes in {} msecs{}({} {}) {} headers in {} bytes ({} switches on core {})",
        line.body_bytes,
        line.millis,
        via,
        line.protocol,
        line.status,
        line.headers,
        line.header_bytes,
        line.switches,
        line.core
    );
    text.0.push(b'\n');
}

struct Text<'o>(&'o mut Vec<u8>);

impl Text<'_> {
    /// Bytes of a peer, with controls made visible: a line feed in a URI must not make a line.
    fn escaped(&mut self, bytes: &[u8]) {
        if bytes.iter().all(|&byte| byte >= b' ' && byte != 0x7f) {
            self.0.extend_from_slice(bytes);
            return;
        }
        for &byte in bytes {
            if byte >= b' ' && byte != 0x7f {
                self.0.push(byte);
            } else {
                let _ = write!(self, "\\x{byte:02x}");
            }
        }
    }
}

impl Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> RequestLine<'static> {
        RequestLine {
            pid: 1346,
            app: 0,
            number: 56730,
            total: 281_056,
            addr: b"172.31.16.77",
            user: b"",
            vars: 26,
            head_bytes: 896,
            start_s: 0,
            method: b"POST",
            uri: b"/app/api",
            body_bytes: 144,
            millis: 33,
            via_sendfile: false,
            protocol: "HTTP/1.1",
            status: 200,
            headers: 3,
            header_bytes: 121,
            switches: 2,
            core: 0,
        }
    }

    #[test]
    fn has_uwsgis_form() {
        let mut out = Vec::new();
        write(&line(), &mut Clock::default(), &mut out);
        let text = String::from_utf8(out).expect("the line is UTF-8");
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
    fn a_line_feed_in_a_uri_makes_no_line() {
        let mut out = Vec::new();
        write(&RequestLine { uri: b"/a\nb", ..line() }, &mut Clock::default(), &mut out);
        assert_eq!(out.iter().filter(|&&byte| byte == b'\n').count(), 1);
    }
}
