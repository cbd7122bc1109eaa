//! A raw-socket HTTP client: sends any bytes, reads responses strictly.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;

use super::DEADLINE;

/// A whole response.
#[derive(Debug, Clone)]
pub struct Response {
    pub version: String,
    pub status: u16,
    pub reason: String,
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// The sizes of the chunks of a chunked body.
    pub chunks: Vec<usize>,
}

impl Response {
    /// The value of the one field of this name; a second one is a failure.
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut values = self.fields.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "two fields {name}: {:?}", self.fields);
        value
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn closes(&self) -> bool {
        self.field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        let body = String::from_utf8_lossy(&self.body);
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{} {body}: {e}", self.status))
    }
}

/// Why no whole response came.
#[derive(Debug)]
pub enum Broken {
    /// The connection ended after these bytes of the response.
    Closed(Vec<u8>),
    Reset,
    TimedOut,
    /// Why it is no HTTP; shown when a test fails.
    Malformed(#[expect(dead_code, reason = "read by Debug")] String),
}

enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// One connection.
pub struct Client {
    socket: Socket,
    buffer: Vec<u8>,
}

impl Client {
    /// Connects to `host:port` or to the path of a unix socket.
    pub fn connect(address: &str) -> Client {
        let socket = if address.starts_with('/') {
            let stream = UnixStream::connect(address).unwrap_or_else(|e| panic!("{address}: {e}"));
            stream.set_read_timeout(Some(DEADLINE)).unwrap();
            stream.set_write_timeout(Some(DEADLINE)).unwrap();
            Socket::Unix(stream)
        } else {
            let stream = TcpStream::connect(address).unwrap_or_else(|e| panic!("{address}: {e}"));
            stream.set_read_timeout(Some(DEADLINE)).unwrap();
            stream.set_write_timeout(Some(DEADLINE)).unwrap();
            stream.set_nodelay(true).unwrap();
            Socket::Tcp(stream)
        };
        Client { socket, buffer: Vec::new() }
    }

    /// Sends bytes; a connection that breaks meanwhile is a failure.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes.as_ref()).unwrap();
    }

    pub fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match &mut self.socket {
            Socket::Tcp(stream) => stream.write_all(bytes),
            Socket::Unix(stream) => stream.write_all(bytes),
        }
    }

    /// Says that nothing more will be sent.
    pub fn half_close(&mut self) {
        match &self.socket {
            Socket::Tcp(stream) => stream.shutdown(Shutdown::Write).unwrap(),
            Socket::Unix(stream) => stream.shutdown(Shutdown::Write).unwrap(),
        }
    }

    /// Breaks the connection with a reset instead of an orderly end.
    pub fn reset(self) {
        if let Socket::Tcp(stream) = &self.socket {
            socket2::SockRef::from(stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
        }
    }

    /// Sends a GET and reads its response.
    pub fn get(&mut self, path: &str) -> Response {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: a.example\r\n\r\n"));
        self.response()
    }

    /// The next response to a request other than HEAD.
    pub fn response(&mut self) -> Response {
        self.try_response().unwrap_or_else(|broken| panic!("no response: {broken:?}"))
    }

    /// The next response to a HEAD.
    pub fn response_to_head(&mut self) -> Response {
        self.read_response(true).unwrap_or_else(|broken| panic!("no response: {broken:?}"))
    }

    pub fn try_response(&mut self) -> Result<Response, Broken> {
        self.read_response(false)
    }

    /// Reads up to the end of the connection.
    pub fn rest(&mut self) -> Result<Vec<u8>, Broken> {
        while self.more()? {}
        Ok(std::mem::take(&mut self.buffer))
    }

    /// Asserts that the server closes in order and has sent nothing more.
    pub fn assert_closed(&mut self) {
        match self.rest() {
            Ok(rest) => {
                assert!(rest.is_empty(), "unexpected: {:?}", String::from_utf8_lossy(&rest))
            }
            Err(broken) => panic!("not closed in order: {broken:?}"),
        }
    }

    /// Asserts that the connection is open: another request on it is answered.
    pub fn assert_open(&mut self) {
        assert_eq!(self.get("/hello").text(), "hello", "the connection goes on");
    }

    /// Waits until the first bytes of an answer are there, and returns how many.
    pub fn peek(&mut self) -> Result<usize, Broken> {
        if self.buffer.is_empty() && !self.more()? {
            return Err(Broken::Closed(Vec::new()));
        }
        Ok(self.buffer.len())
    }

    /// Whether something to read has come already.
    pub fn has_answer(&mut self) -> bool {
        let Socket::Tcp(stream) = &self.socket else { panic!("only asked of TCP") };
        stream.set_nonblocking(true).unwrap();
        let answer = stream.peek(&mut [0]);
        stream.set_nonblocking(false).unwrap();
        !self.buffer.is_empty() || answer.is_ok()
    }

    /// Reads what comes next, whatever it is.
    pub fn read_some(&mut self) -> Vec<u8> {
        if self.buffer.is_empty() {
            assert!(self.more().unwrap(), "the connection ended");
        }
        std::mem::take(&mut self.buffer)
    }

    /// Reads exactly `count` raw bytes.
    pub fn read_exact(&mut self, count: usize) -> Vec<u8> {
        while self.buffer.len() < count {
            assert!(self.more().unwrap(), "closed after {:?}", self.buffer);
        }
        self.buffer.drain(..count).collect()
    }

    /// False at the end.
    fn more(&mut self) -> Result<bool, Broken> {
        let mut bytes = [0; 64 * 1024];
        let result = match &mut self.socket {
            Socket::Tcp(stream) => stream.read(&mut bytes),
            Socket::Unix(stream) => stream.read(&mut bytes),
        };
        match result {
            Ok(count) => {
                self.buffer.extend_from_slice(&bytes[..count]);
                Ok(count > 0)
            }
            // A read with a time limit is not restarted when the machine suspends the process.
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(true),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Err(Broken::Reset),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Err(Broken::TimedOut),
            Err(error) => Err(Broken::Malformed(error.to_string())),
        }
    }

    fn fill(&mut self, seen: &[u8]) -> Result<(), Broken> {
        match self.more()? {
            true => Ok(()),
            false => Err(Broken::Closed([seen, &self.buffer].concat())),
        }
    }

    fn line(&mut self, seen: &[u8]) -> Result<String, Broken> {
        loop {
            if let Some(end) = self.buffer.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                let Some(line) = line.strip_suffix(b"\r\n") else {
                    return Err(malformed("a line ends without CR LF", &line));
                };
                if line.contains(&b'\r') || line.contains(&0) {
                    return Err(malformed("CR or NUL in a line", line));
                }
                return Ok(line.iter().map(|&byte| char::from(byte)).collect()); // latin-1
            }
            self.fill(seen)?;
        }
    }

    /// Reads a status line and fields: also those of an interim response.
    pub fn head(&mut self) -> Result<Response, Broken> {
        let line = self.line(b"")?;
        let mut parts = line.splitn(3, ' ');
        let (version, status) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
        let valid = ["HTTP/1.0", "HTTP/1.1"].contains(&version) && status.len() == 3;
        let (true, Ok(status), Some(reason)) = (valid, status.parse(), parts.next()) else {
            return Err(malformed("status line", line.as_bytes()));
        };
        let (version, reason) = (version.to_owned(), reason.to_owned());
        let mut seen = line.into_bytes();
        let mut fields = Vec::new();
        loop {
            let line = self.line(&seen)?;
            seen.extend_from_slice(line.as_bytes());
            if line.is_empty() {
                break;
            }
            let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
            match line.split_once(':') {
                Some((name, value)) if !name.is_empty() && name.chars().all(token) => {
                    fields.push((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()));
                }
                _ => return Err(malformed("field", line.as_bytes())),
            }
        }
        Ok(Response { version, status, reason, fields, body: Vec::new(), chunks: Vec::new() })
    }

    fn read_response(&mut self, is_head: bool) -> Result<Response, Broken> {
        let mut response = self.head()?;
        let length = response.field("content-length").map(|value| value.parse::<usize>());
        let coding = response.field("transfer-encoding").map(str::to_ascii_lowercase);
        if length.is_some() && coding.is_some() {
            return Err(malformed("length beside coding", b""));
        }
        let bodiless = matches!(response.status, 100..=199 | 204 | 304);
        if coding.is_some()
            && (bodiless || response.status == 204 || response.version == "HTTP/1.0")
        {
            return Err(malformed("a transfer coding where none may be", b""));
        }
        if response.status == 204 && length.is_some() {
            return Err(malformed("a length in a 204", b""));
        }
        if is_head || bodiless {
            return Ok(response);
        }
        match (length, coding.as_deref()) {
            (Some(Ok(length)), _) => {
                while self.buffer.len() < length {
                    self.fill(b"")?;
                }
                response.body = self.buffer.drain(..length).collect();
            }
            (Some(Err(_)), _) => return Err(malformed("content-length", b"")),
            (None, Some("chunked")) => self.read_chunks(&mut response)?,
            (None, Some(_)) => return Err(malformed("transfer coding", b"")),
            (None, None) => response.body = self.rest()?,
        }
        Ok(response)
    }

    fn read_chunks(&mut self, response: &mut Response) -> Result<(), Broken> {
        loop {
            let line = self.line(&response.body)?;
            let size = usize::from_str_radix(&line, 16)
                .map_err(|_| malformed("chunk", line.as_bytes()))?;
            if size == 0 {
                let end = self.line(&response.body)?;
                return if end.is_empty() {
                    Ok(())
                } else {
                    Err(malformed("trailer", end.as_bytes()))
                };
            }
            while self.buffer.len() < size + 2 {
                self.fill(&response.body.clone())?;
            }
            response.body.extend(self.buffer.drain(..size));
            response.chunks.push(size);
            let end: Vec<u8> = self.buffer.drain(..2).collect();
            if end != b"\r\n" {
                return Err(malformed("chunk end", &end));
            }
        }
    }
}

fn malformed(what: &str, bytes: &[u8]) -> Broken {
    Broken::Malformed(format!("{what}: {:?}", String::from_utf8_lossy(bytes)))
}
