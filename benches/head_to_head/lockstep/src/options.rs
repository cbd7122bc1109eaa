use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub const USAGE: &str = "usage: lockstep --addr 127.0.0.1:PORT|unix:PATH [--connections K] \
    [--seconds S] [--core C] [--headers 1|13] [--close] [--path /] [--body FILE] [--pipeline N] \
    [--rate N] [--expect FILE] [--warmup S] [--paced] [--show]";

pub enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

pub struct Options {
    pub address: Address,
    pub connections: usize,
    pub measured: Duration,
    /// Unmeasured load before, on the same connections.
    pub warmup: Duration,
    /// Print `warm` after the warm-up and wait for a line; wait for another after the result.
    pub paced: bool,
    pub core: usize,
    pub headers: Headers,
    /// A new connection for each request.
    pub close: bool,
    pub path: String,
    /// The request's body: with one the request is a POST.
    pub body: Option<Vec<u8>>,
    /// Requests that are sent together on a connection, in one write.
    pub pipeline: usize,
    /// Requests in a second, at random moments, instead of lockstep.
    pub rate: Option<usize>,
    /// Only print the bytes of the request.
    pub show: bool,
    /// The body that each answer must have, byte for byte; none is checked without it.
    pub expected: Option<Vec<u8>>,
    /// Give up beyond this many: the run is worth nothing.
    pub errors_max: u64,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Headers {
    One,
    Thirteen,
}

impl Options {
    pub fn from_args(args: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut args = args;
        let mut address = None;
        let mut options = Self {
            address: Address::Unix(PathBuf::new()),
            connections: 1,
            measured: Duration::from_secs(1),
            warmup: Duration::ZERO,
            paced: false,
            core: 0,
            headers: Headers::One,
            close: false,
            path: "/".into(),
            body: None,
            pipeline: 1,
            rate: None,
            show: false,
            expected: None,
            errors_max: 1000,
        };
        while let Some(name) = args.next() {
            let mut value = || args.next().ok_or(format!("{name} needs a value"));
            match name.as_str() {
                "--addr" => address = Some(parse_address(&value()?)?),
                "--connections" => options.connections = number(&name, &value()?)?,
                "--seconds" => options.measured = seconds(&name, &value()?)?,
                "--warmup" => options.warmup = seconds(&name, &value()?)?,
                "--core" => options.core = number(&name, &value()?)?,
                "--path" => options.path = value()?,
                "--close" => options.close = true,
                "--paced" => options.paced = true,
                "--headers" => {
                    options.headers = match value()?.as_str() {
                        "1" => Headers::One,
                        "13" => Headers::Thirteen,
                        other => return Err(format!("--headers: expected 1 or 13, got {other}")),
                    }
                }
                "--show" => options.show = true,
                "--pipeline" => options.pipeline = number(&name, &value()?)?,
                "--rate" => options.rate = Some(number(&name, &value()?)?),
                "--body" => options.body = Some(read_file(value()?)?),
                "--expect" => options.expected = Some(read_file(value()?)?),
                other => return Err(format!("unknown option {other}")),
            }
        }
        options.address = address.ok_or("--addr is missing")?;
        if options.connections == 0 || options.pipeline == 0 {
            return Err("--connections, --pipeline: expected at least 1".into());
        }
        if options.rate == Some(0) || (options.rate.is_some() && options.pipeline > 1) {
            return Err("--rate: expected at least 1, and no --pipeline".into());
        }
        if options.pipeline > 1 && options.close {
            return Err("--pipeline: with --close nobody would answer the second request".into());
        }
        Ok(options)
    }
}

fn parse_address(text: &str) -> Result<Address, String> {
    match text.strip_prefix("unix:") {
        Some(path) => Ok(Address::Unix(path.into())),
        None => text
            .parse()
            .map(Address::Tcp)
            .map_err(|_| format!("--addr: expected 127.0.0.1:PORT or unix:PATH, got {text}")),
    }
}

fn read_file(path: String) -> Result<Vec<u8>, String> {
    std::fs::read(&path).map_err(|error| format!("{path}: {error}"))
}

fn number(name: &str, text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| format!("{name}: expected a number, got {text}"))
}

fn seconds(name: &str, text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("{name}: expected seconds, got {text}"))?;
    Duration::try_from_secs_f64(seconds)
        .map_err(|_| format!("{name}: expected seconds, got {text}"))
}
