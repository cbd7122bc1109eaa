//! Accepts connections on the shard's listeners.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use monoio::io::Canceller;
use monoio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use super::connection::{Begun, Introduced};
use super::stream::Stream;
use super::{Shard, connection, timer};
use crate::shared::shard as place;
use crate::sys;

/// What the peers of a listener speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Http,
    Uwsgi,
}

/// A bound and listening socket for one shard. Always non-blocking: epoll needs it, the ring does
/// not mind, and the flag is shared with whoever inherits the socket.
pub struct Listening {
    pub fd: OwnedFd,
    pub is_unix: bool,
    pub protocol: Protocol,
    /// The listener's number, the same in all shards.
    pub index: u32,
}

/// Accepts in flight on each listener. One would take one connection a turn of the ring, and every
/// turn costs a wake-up of a worker.
const ACCEPTS: usize = 8;

/// The running accept loops of one listener, and the socket for a last look at its queue.
struct Loops {
    canceller: Canceller,
    door: Rc<OpenDoor>,
}

/// A listening socket, with a copy for looks at its queue that do not wait.
struct OpenDoor {
    socket: Socket,
    last: Last,
    protocol: Protocol,
    index: u32,
}

/// What happens to connections that wait to be accepted when accepting ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LastLook {
    Serve,
    Leave,
}

enum Last {
    Tcp(std::net::TcpListener),
    Unix(std::os::unix::net::UnixListener),
}

/// The running accept loops.
pub(super) struct Accepting(Vec<Loops>);

impl Accepting {
    /// Ends the loops. An accept that was won just before is still served, and so are connections
    /// that wait in the queue already, unless a successor takes them: their clients have been told
    /// that they are connected.
    pub(super) fn stop(self, shard: &Rc<Shard>, look: LastLook) {
        for Loops { canceller, door } in self.0 {
            canceller.cancel();
            if look == LastLook::Serve {
                door.look(shard);
            }
        }
    }
}

impl OpenDoor {
    /// Takes all connections that wait in the queue.
    fn look(&self, shard: &Rc<Shard>) {
        while let Ok((stream, peer)) = accept_now(&self.last, shard.nonblocking) {
            begin(shard, stream, peer, self.protocol, self.index);
        }
    }
}

/// Takes a connection out of the queue without waiting for one.
fn accept_now(last: &Last, nonblocking: bool) -> io::Result<(Stream, Peer)> {
    match last {
        Last::Tcp(listener) => {
            let (stream, addr) = listener.accept()?;
            stream.set_nonblocking(nonblocking)?;
            Ok((Stream::Tcp(TcpStream::from_std(stream)?), peer_of(addr)))
        }
        Last::Unix(listener) => {
            let (stream, _) = listener.accept()?;
            stream.set_nonblocking(nonblocking)?;
            Ok((Stream::Unix(UnixStream::from_std(stream)?), Peer::default()))
        }
    }
}

enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Who is at the other end: REMOTE_ADDR and REMOTE_PORT, empty for unix sockets.
#[derive(Debug, Clone, Default)]
pub(super) struct Peer {
    pub(super) addr: String,
    pub(super) port: String,
}

/// Starts an accept loop for each listener.
pub(super) fn accept_on(shard: &Rc<Shard>, listeners: Vec<Listening>) -> Accepting {
    let mut loops = Vec::new();
    for Listening { fd, is_unix, protocol, index } in listeners {
        let copy = fd.try_clone();
        let socket = if is_unix {
            UnixListener::from_std(fd.into()).map(Socket::Unix)
        } else {
            TcpListener::from_std(fd.into()).map(Socket::Tcp)
        };
        match socket.and_then(|socket| Ok((socket, copy?))) {
            Ok((socket, copy)) => {
                let canceller = Canceller::new();
                let last = if is_unix { Last::Unix(copy.into()) } else { Last::Tcp(copy.into()) };
                let door = Rc::new(OpenDoor { socket, last, protocol, index });
                for _ in 0..ACCEPTS {
                    let (shard, door) = (Rc::clone(shard), Rc::clone(&door));
                    monoio::spawn(accept_loop(shard, door, canceller.handle()));
                }
                loops.push(Loops { canceller, door });
            }
            Err(error) => log_and_end(shard, &format!("a listener cannot be watched: {error}")),
        }
    }
    Accepting(loops)
}

async fn accept_loop(shard: Rc<Shard>, door: Rc<OpenDoor>, cancel: monoio::io::CancelHandle) {
    loop {
        if shard.paused.get() {
            shard.unpaused().await;
        }
        // Cancelable: dropping a pending accept would leak the connection that it wins.
        let accepted = match &door.socket {
            Socket::Tcp(listener) => listener
                .cancelable_accept(cancel.clone())
                .await
                .map(|(stream, addr)| (Stream::Tcp(stream), peer_of(addr))),
            Socket::Unix(listener) => listener
                .cancelable_accept(cancel.clone())
                .await
                .map(|(stream, _)| (Stream::Unix(stream), Peer::default())),
        };
        match accepted {
            Ok((stream, peer)) => begin(&shard, stream, peer, door.protocol, door.index),
            // The kernel wakes one waiting accept for each connection, of whichever process. If it
            // was this one, and the cancel was quicker, nobody else knows of the connection.
            Err(_) if shard.draining.get() => return door.look(&shard),
            Err(error) => back_off(&shard, &error).await,
        }
    }
}

fn begin(shard: &Rc<Shard>, stream: Stream, peer: Peer, protocol: Protocol, index: u32) {
    if shard.close_on_exec {
        sys::close_on_exec(stream.fd());
    }
    shard.row.bump(place::ACCEPTED, 1);
    // Counted from here on, so that a drain waits for it.
    let watched = shard.watches.add(stream.fd());
    let introduced = match shard.proxy_protocol && protocol == Protocol::Http {
        true => Introduced::Awaited,
        false => Introduced::No,
    };
    let begun = Begun { bytes: Vec::new(), introduced };
    monoio::spawn(connection::run(Rc::clone(shard), stream, peer, protocol, index, begun, watched));
}

/// Without descriptors accept fails at once and for ever: waiting is better than spinning.
async fn back_off(shard: &Shard, error: &io::Error) {
    let exhausted = matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE));
    if exhausted {
        crate::log::line(format_args!(
            "accept(): {error} (shard {}, {} connections): raise the limit of open files",
            shard.index,
            shard.watches.len()
        ));
        timer::pause(Duration::from_millis(100)).await;
    } else if error.kind() != io::ErrorKind::ConnectionAborted {
        timer::pause(Duration::from_millis(1)).await;
    }
}

pub(super) fn peer_of(addr: SocketAddr) -> Peer {
    // An IPv4 client of an IPv6 socket is shown as what it is.
    let ip = addr.ip().to_canonical();
    Peer { addr: ip.to_string(), port: addr.port().to_string() }
}

pub(super) fn log_and_end(shard: &Shard, what: &str) {
    crate::log::line(format_args!("shard {}: {what}", shard.index));
    shard.draining.set(true);
    shard.ended.raise();
}
