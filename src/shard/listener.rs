//! Accepts connections on the shard's listeners.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use monoio::io::Canceller;
use monoio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use super::connection::{Begun, Introduced};
use super::courtesy::Courtesy;
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

/// Connections that are taken in one turn of the ring: every turn costs a wake-up of a worker.
const CROWD: usize = 64;
/// The same where other shards may wait for connections of the same socket.
const CROWD_SHARED: usize = 8;

/// The accept loop of one listener, and the socket for looks at its queue.
struct Loop {
    canceller: Canceller,
    door: Rc<OpenDoor>,
}

/// A listening socket, with a copy for looks at its queue that do not wait.
struct OpenDoor {
    socket: Socket,
    queue: Waiting,
    protocol: Protocol,
    index: u32,
    courtesy: Courtesy,
}

/// What happens to connections that wait to be accepted when accepting ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LastLook {
    Serve,
    Leave,
}

/// The connections that wait to be accepted.
enum Waiting {
    Tcp(std::net::TcpListener),
    Unix(std::os::unix::net::UnixListener),
}

/// The running accept loops.
pub(super) struct Accepting(Vec<Loop>);

impl Accepting {
    /// Ends the loops. An accept that was won just before is still served, and so are connections
    /// that wait in the queue already, unless a successor takes them: their clients have been told
    /// that they are connected.
    pub(super) fn stop(self, shard: &Rc<Shard>, look: LastLook) {
        for Loop { canceller, door } in self.0 {
            canceller.cancel();
            if look == LastLook::Serve {
                door.look(shard, usize::MAX);
            }
        }
    }
}

impl OpenDoor {
    /// Takes the connections that come with one.
    fn take_crowd(&self, shard: &Rc<Shard>) {
        let most = if shard.board.shards() == 1 { CROWD } else { CROWD_SHARED };
        if let Some(waited) = self.courtesy.step_back() {
            self.courtesy.learn(waited, self.look(shard, most));
        } else if shard.watches.len() > 1 && self.courtesy.may_look() {
            self.courtesy.learn_look(self.look(shard, most));
        }
    }

    /// Takes connections that wait in the queue, and returns how many.
    fn look(&self, shard: &Rc<Shard>, most: usize) -> usize {
        let mut taken = 0;
        while taken < most
            && let Ok((stream, peer)) = self.queue.accept(shard.nonblocking)
        {
            begin(shard, stream, peer, self.protocol, self.index);
            taken += 1;
        }
        taken
    }
}

impl Waiting {
    /// Takes a connection out of the queue without waiting for one. It is closed on exec.
    fn accept(&self, nonblocking: bool) -> io::Result<(Stream, Peer)> {
        match self {
            Waiting::Tcp(listener) => {
                let (stream, addr) = listener.accept()?;
                if nonblocking {
                    stream.set_nonblocking(true)?;
                }
                Ok((Stream::Tcp(TcpStream::from_std(stream)?), peer_of(addr)))
            }
            Waiting::Unix(listener) => {
                let (stream, _) = listener.accept()?;
                if nonblocking {
                    stream.set_nonblocking(true)?;
                }
                Ok((Stream::Unix(UnixStream::from_std(stream)?), Peer::default()))
            }
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
                let queue =
                    if is_unix { Waiting::Unix(copy.into()) } else { Waiting::Tcp(copy.into()) };
                let courtesy = Courtesy::default();
                let door = Rc::new(OpenDoor { socket, queue, protocol, index, courtesy });
                let accepting = accept_loop(Rc::clone(shard), Rc::clone(&door), canceller.handle());
                monoio::spawn(accepting);
                loops.push(Loop { canceller, door });
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
            Ok((stream, peer)) => {
                if shard.close_on_exec {
                    sys::close_on_exec(stream.fd());
                }
                // Some may only wait for somebody to close them.
                shard.look_at_sent();
                begin(&shard, stream, peer, door.protocol, door.index);
                if !shard.draining.get() && !shard.paused.get() {
                    door.take_crowd(&shard);
                }
            }
            // The kernel wakes one waiting accept for each connection, of whichever process. If it
            // was this one, and the cancel was quicker, nobody else knows of the connection.
            Err(_) if shard.draining.get() => {
                door.look(&shard, usize::MAX);
                return;
            }
            Err(error) => back_off(&shard, &error).await,
        }
    }
}

fn begin(shard: &Rc<Shard>, stream: Stream, peer: Peer, protocol: Protocol, index: u32) {
    shard.row.bump(place::ACCEPTED, 1);
    // Counted from here on, so that a drain waits for it.
    let watched = shard.watches.add(stream.fd(), shard.nonblocking);
    let introduced = match shard.proxy_protocol && protocol == Protocol::Http {
        true => Introduced::Awaited,
        false => Introduced::No,
    };
    let begun = Begun::new(Vec::new(), introduced, false);
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
