//! One connection from accept to close: the only place where socket, protocol and hand-off meet.

use std::future::Future;
use std::os::fd::RawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::exchange::{self, Next};
use super::heritage::Given;
use super::listener::{Peer, Protocol};
use super::moving::Looks;
use super::reader::{HTTP_BUFFER_BYTES, PACKET_BUFFER_BYTES, Reader, reader};
use super::stream::{Received, Stream, WriteHalf, join};
use super::watch::Watch;
use super::{Shard, refusal};
use crate::proto::proxy::{self, Client, Introduction};
use crate::proto::uwsgi::Packet;
use crate::proto::{Parsed, Reject, http, uwsgi};
use crate::request::Request;
use crate::response::Connection::Unsaid;
use crate::shared::shard as place;
use crate::sys::{self, Half};

/// Bytes that are read and dropped before a close, so that the peer sees our answer and not a reset
/// (RFC 9112, 9.6).
const LINGER_BYTES_MAX: usize = 1024 * 1024;
const LINGER_S: u64 = 3;

/// What a connection owns.
pub(super) struct Connection<F> {
    pub(super) shard: Rc<Shard>,
    pub(super) reader: Reader<F>,
    pub(super) writer: WriteHalf,
    pub(super) fd: RawFd,
    pub(super) watch: Rc<Watch>,
    pub(super) peer: Peer,
    pub(super) protocol: Protocol,
    pub(super) listener: u32,
    /// The bytes that are sent next.
    pub(super) out: Vec<u8>,
    pub(super) introduced: Introduced,
    /// A worker process has had a copy of the socket.
    pub(super) was_copied: bool,
    /// A successor could not take it.
    pub(super) stays: bool,
    /// When it is looked where its packets arrive.
    pub(super) looks: Looks,
}

/// Whether a balancer has said who the client is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Introduced {
    /// Nobody asks, or nobody said.
    No,
    /// The first bytes may say it.
    Awaited,
    By(Client),
}

/// What is known of a connection before it is served.
pub(super) struct Begun {
    /// They were received from it already.
    pub(super) bytes: Vec<u8>,
    pub(super) introduced: Introduced,
    /// A worker process has had a copy of the socket.
    pub(super) was_copied: bool,
    /// When it is looked where its packets arrive.
    pub(super) looks: Looks,
    /// Who is at the other end, if that is known; else the kernel is asked.
    pub(super) peer: Option<Peer>,
}

impl Begun {
    pub(super) fn new(bytes: Vec<u8>, introduced: Introduced, was_copied: bool) -> Begun {
        Begun { bytes, introduced, was_copied, looks: Looks::default(), peer: None }
    }
}

/// Runs one connection to its end. A panic in it ends this
/// connection and nothing else.
pub(super) async fn run(
    shard: Rc<Shard>,
    stream: Stream,
    peer: Peer,
    protocol: Protocol,
    listener: u32,
    begun: Begun,
    (key, watch): (usize, Rc<Watch>),
) {
    let fd = stream.fd();
    shard.count_open(1);
    let (read, writer) = stream.split();
    let buffer_bytes = match protocol {
        Protocol::Http => HTTP_BUFFER_BYTES,
        Protocol::Uwsgi => PACKET_BUFFER_BYTES,
    };
    let Begun { mut bytes, introduced, was_copied, looks, .. } = begun;
    bytes.reserve(buffer_bytes.saturating_sub(bytes.len()));
    if bytes.is_empty() {
        // Mostly the request came with the connection: to arm a read would cost a turn of the ring.
        sys::receive_now(fd, bytes.capacity(), &mut bytes);
    }
    let mut connection = Connection {
        shard: Rc::clone(&shard),
        reader: reader(read, bytes, Rc::clone(&watch)),
        writer,
        fd,
        watch,
        peer,
        protocol,
        listener,
        out: Vec::new(),
        introduced,
        was_copied,
        stays: false,
        looks,
    };
    let life = async move {
        let end = serve(&mut connection).await;
        if end == Next::Linger {
            linger(&mut connection, fd).await;
        }
        connection.close(end).await;
    };
    if CatchPanic(Box::pin(life)).await.is_err() {
        shard.row.bump(place::PANICS, 1);
        crate::log::line(format_args!("BUG: a connection panicked and was closed"));
    }
    shard.count_open(-1);
    shard.watches.remove(key);
    if shard.draining.get() && shard.is_empty() {
        shard.ended.raise();
    }
}

/// What `next_head` found.
enum Head {
    Request,
    Rejected(Reject),
    /// The peer closed between two requests.
    Closed,
    /// The connection lives on in a successor.
    Given,
    /// Its descriptor is parked.
    Parked,
    /// It lives on in another shard.
    Moved,
}

/// Serves one request after another until the peer, a limit or a drain ends it.
async fn serve<F: Future<Output = Received>>(connection: &mut Connection<F>) -> Next {
    let mut is_first = true;
    loop {
        let mut request = connection.shard.take_request();
        let head = connection.next_head(&mut request, is_first).await;
        if matches!(head, Head::Request) && connection.shard.paused.get() {
            Rc::clone(&connection.shard).unpaused().await;
        }
        let next = match head {
            Head::Closed | Head::Given | Head::Parked | Head::Moved => Next::Close,
            Head::Rejected(reject) => {
                connection.refuse(reject).await;
                Next::Linger
            }
            Head::Request if connection.is_http() => exchange::serve(connection, &request).await,
            Head::Request => connection.serve_packet(&request).await,
        };
        connection.shard.give_request(request);
        match next {
            Next::Keep => is_first = false,
            Next::Again => {}
            _ => return next,
        }
    }
}

impl<F: Future<Output = Received>> Connection<F> {
    pub(super) fn is_http(&self) -> bool {
        self.protocol == Protocol::Http
    }

    fn parse(&mut self, request: &mut Request) -> Result<Parsed, Reject> {
        let limits = &self.shard.limits;
        match self.protocol {
            Protocol::Http => http::parse(self.reader.bytes(), limits, request),
            Protocol::Uwsgi => uwsgi::parse(self.reader.bytes(), limits, request),
        }
    }

    /// Takes who the client is off the first bytes; false while more of them are needed.
    fn introduce(&mut self) -> Result<bool, Reject> {
        if self.introduced != Introduced::Awaited {
            return Ok(true);
        }
        match proxy::parse(self.reader.bytes())? {
            Introduction::Partial => return Ok(false),
            Introduction::Absent => self.introduced = Introduced::No,
            Introduction::Complete { len, client } => {
                self.reader.consume(len);
                self.introduced = Introduced::No;
                if let Some(client) = client {
                    self.peer = Peer { addr: client.addr.clone(), port: client.port.clone() };
                    self.introduced = Introduced::By(client);
                }
            }
        }
        Ok(true)
    }

    /// Waits for a whole head.
    async fn next_head(&mut self, request: &mut Request, is_first: bool) -> Head {
        let mut is_begun = false;
        loop {
            if self.shard.has_heir() {
                if self.reader.is_armed() {
                    self.shard.disarm(&self.watch);
                } else if self.give_away().await == Given::Away {
                    // It is not to be shut at our close.
                    self.was_copied = false;
                    return Head::Given;
                }
            }
            // The read that was armed during the last response may have got it already.
            if !self.reader.is_armed() && !self.reader.bytes().is_empty() {
                let parsed = match self.introduce() {
                    Ok(true) => self.parse(request),
                    Ok(false) => Ok(Parsed::Partial),
                    Err(reject) => Err(reject),
                };
                match parsed {
                    Ok(Parsed::Complete) => {
                        self.watch.clear_read();
                        return if self.moves() { Head::Moved } else { Head::Request };
                    }
                    Ok(Parsed::Partial) => {}
                    Err(reject) => return Head::Rejected(reject),
                }
                // Empty lines are no beginning of a request (RFC 9112, 2.2).
                let blank = |&byte: &u8| byte == b'\r' || byte == b'\n';
                if !is_begun && !self.reader.bytes().iter().all(blank) {
                    is_begun = true;
                    self.watch.set_read(self.now_s() + self.shard.timeouts.head_s);
                }
            }
            if !is_begun && !self.wait_begin(is_first) {
                return Head::Closed;
            }
            let more = self.reader.more(false).await;
            self.watch.end_idle();
            if self.watch.has_expired() && is_begun {
                return Head::Rejected(Reject::RequestTimeout);
            }
            if !more {
                return Head::Closed;
            }
            let parks = self.watch.take_park();
            if let Some(deadline_s) = parks.filter(|_| !self.reader.is_armed())
                && self.reader.bytes().is_empty()
                && !self.shard.draining.get()
                && self.park(deadline_s)
            {
                return Head::Parked;
            }
        }
    }

    /// Prepares for the wait between two requests; false if there is nothing to wait for.
    fn wait_begin(&mut self, is_first: bool) -> bool {
        if self.shard.draining.get() && !self.shard.has_heir() && !is_first {
            return false;
        }
        self.reader.shrink();
        let timeouts = &self.shard.timeouts;
        let seconds = if is_first { timeouts.head_s } else { timeouts.idle_s };
        self.watch.set_read(self.now_s() + seconds);
        self.watch.begin_idle(self.now_s());
        true
    }

    /// Closes the socket and nothing else: to drop a half or an armed read would cost a call each.
    async fn close(self, end: Next) {
        if self.reader.is_armed() {
            let half = if end == Next::Reset { Half::Read } else { Half::Both };
            sys::shut(self.fd, half);
        } else if self.was_copied && end != Next::Reset {
            // A process that the app forked in that moment may still have it open.
            sys::shut(self.fd, Half::Both);
        }
        let Some(read) = self.reader.into_half().await else { return };
        let stream = join(read, self.writer);
        if end == Next::Reset {
            // An orderly end would look like the end of the body.
            sys::reset_at_close(self.fd);
        }
        drop(stream);
    }

    fn now_s(&self) -> u64 {
        self.shard.watches.now_s()
    }

    /// A uwsgi packet: a request, a ping, or something that is not for us.
    async fn serve_packet(&mut self, request: &Request) -> Next {
        match Packet::of(request.modifier1) {
            Packet::Request => exchange::serve(self, request).await,
            Packet::Ping => {
                crate::log::line(format_args!("PING"));
                let _ = self.writer.send(uwsgi::pong(&self.shard.board.warning())).await;
                Next::Close
            }
            Packet::Other(modifier1) => {
                crate::log::line(format_args!("-- unavailable modifier requested: {modifier1} --"));
                let mut out = Vec::new();
                let detail = format!(
                    "this socket speaks the uwsgi protocol, and modifier1 {modifier1} is not served \
                     (an HTTP client needs --http-socket)"
                );
                refusal::write(400, "Bad Request", &detail, Unsaid, &mut out);
                let _ = self.writer.send(out).await;
                Next::Linger
            }
        }
    }
}

/// Says that we send no more, and reads what the peer still sends for a while.
async fn linger<F: Future<Output = Received>>(connection: &mut Connection<F>, fd: i32) {
    sys::shut(fd, Half::Write);
    connection.watch.set_write(connection.now_s() + LINGER_S);
    let mut dropped = 0;
    while dropped < LINGER_BYTES_MAX && connection.reader.more(true).await {
        dropped += connection.reader.bytes().len();
        connection.reader.bytes().clear();
        if connection.watch.has_expired() {
            return;
        }
    }
}

/// A future whose panic is its result: monoio does not catch one, and it would end the shard.
struct CatchPanic<F>(Pin<Box<F>>);

impl<F: Future> Future for CatchPanic<F> {
    type Output = Result<F::Output, ()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let life = &mut self.0;
        match catch_unwind(AssertUnwindSafe(|| life.as_mut().poll(cx))) {
            Ok(poll) => poll.map(Ok),
            Err(_) => Poll::Ready(Err(())),
        }
    }
}
