//! What it does: answers with the server's counters, as uWSGI's stats server does.
//! What it does not: count; block anything but the control thread, and that for a moment.
//! Who may call it: server, on the control thread.
//! What it may import: shared, options, log, sys, serde_json; blocking sockets.

mod json;

use std::io::{Read, Write};
use std::net::{TcpListener, ToSocketAddrs};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};

use crate::error::StartError;
use crate::log;
use crate::options::{Address, Options};
use crate::shared::Board;

/// A client that does not take the answer for so long does not get it.
const PATIENCE: Duration = Duration::from_millis(500);

/// A listening socket as the stats name it.
#[derive(Clone)]
pub struct SocketFacts {
    pub name: String,
    pub proto: String,
    pub max_queue: u64,
    pub fds: Vec<i32>,
}

impl SocketFacts {
    /// Connections that wait to be accepted, in all shards.
    pub fn queue(&self) -> u64 {
        self.fds.iter().map(|&fd| u64::from(crate::sys::accept_queue(fd))).sum()
    }
}

/// What the stats tell of.
pub struct Source {
    pub board: &'static Board,
    /// The master's, or this process's own.
    pub pid: i32,
    /// The uWSGI release that is reported.
    pub version: String,
    pub sockets: Vec<SocketFacts>,
    /// Of each app; that of the only one is empty.
    pub mountpoints: Vec<String>,
}

/// The stats server.
pub struct Stats {
    socket: Socket,
    is_http: bool,
    minified: bool,
    cores: bool,
}

impl Stats {
    /// Listens, if stats were asked for.
    ///
    /// # Errors
    /// The address and the kernel's reason.
    pub fn bind(options: &Options) -> Result<Option<Stats>, StartError> {
        let Some(address) = &options.stats else { return Ok(None) };
        let (socket, name) = listen(address)
            .map_err(|(name, error)| StartError::new(format!("--stats {name}: {error}")))?;
        log::line(format_args!(
            "*** Stats server enabled on {name} fd: {} ***",
            socket.as_raw_fd()
        ));
        Ok(Some(Stats {
            socket,
            is_http: options.stats_http,
            minified: options.stats_minified,
            cores: !options.stats_no_cores,
        }))
    }

    /// Goes on with the socket that the binary before left, where the options want what it wanted.
    pub fn resumed(options: &Options, socket: OwnedFd) -> Option<Stats> {
        options.stats.as_ref()?;
        Some(Stats {
            socket: Socket::from(socket),
            is_http: options.stats_http,
            minified: options.stats_minified,
            cores: !options.stats_no_cores,
        })
    }

    /// The same server for another process: it answers with its own counters.
    ///
    /// # Errors
    /// The kernel's (too many files).
    pub fn duplicate(&self) -> std::io::Result<Stats> {
        let Stats { is_http, minified, cores, .. } = *self;
        Ok(Stats { socket: self.socket.try_clone()?, is_http, minified, cores })
    }

    /// Readable when a client waits.
    pub fn fd(&self) -> i32 {
        self.socket.as_raw_fd()
    }

    /// Answers all clients that wait.
    pub fn answer(&mut self, source: &Source) {
        while let Ok((client, _)) = self.socket.accept() {
            // One that breaks its connection gets nothing; the next one is served.
            let _ = self.answer_one(client, source);
        }
    }

    fn answer_one(&self, mut client: Socket, source: &Source) -> std::io::Result<()> {
        client.set_nonblocking(false)?;
        client.set_read_timeout(Some(PATIENCE))?;
        client.set_write_timeout(Some(PATIENCE))?;
        let mut answer = Vec::new();
        if self.is_http {
            let mut request = [0; 4096];
            let _ = client.read(&mut request)?;
            answer.extend_from_slice(
                b"HTTP/1.0 200 OK\r\nConnection: close\r\nAccess-Control-Allow-Origin: *\r\n\
                  Content-Type: application/json\r\n\r\n",
            );
        }
        answer.extend_from_slice(json::text(source, self.minified, self.cores).as_bytes());
        client.write_all(&answer)
    }
}

fn listen(address: &Address) -> Result<(Socket, String), (String, std::io::Error)> {
    match address {
        Address::Tcp { host, port } => {
            let host = if host.is_empty() { "0.0.0.0" } else { host };
            let name = format!("{host}:{port}");
            let addrs = (host, *port).to_socket_addrs();
            let bound =
                addrs.and_then(|addrs| TcpListener::bind(addrs.collect::<Vec<_>>().as_slice()));
            let bound = bound.and_then(|l| l.set_nonblocking(true).map(|()| l));
            match bound {
                Ok(listener) => {
                    let name = listener.local_addr().map_or(name, |addr| addr.to_string());
                    Ok((Socket::from(OwnedFd::from(listener)), name))
                }
                Err(error) => Err((name, error)),
            }
        }
        Address::Unix(path) => {
            let name = path.display().to_string();
            let _ = std::fs::remove_file(path);
            unix(SockAddr::unix(path)).map(|s| (s, name.clone())).map_err(|error| (name, error))
        }
        Address::Abstract(name) => {
            let socket = unix(SockAddr::unix(format!("\0{name}")));
            socket.map(|s| (s, format!("@{name}"))).map_err(|error| (format!("@{name}"), error))
        }
        Address::Fd(fd) => {
            let copy = crate::sys::duplicate(*fd).map(Socket::from);
            copy.map(|s| (s, format!("fd://{fd}"))).map_err(|error| (format!("fd://{fd}"), error))
        }
    }
}

fn unix(addr: std::io::Result<SockAddr>) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&addr?)?;
    socket.listen(64)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}
