//! One request and its response: body in, slot, worker, response out.

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{SystemTime, UNIX_EPOCH};

use super::body::{Lost, Receiving, Rest};
use super::connection::Connection;
use super::respond::{self, Sent};
use super::signal::Signal;
use super::stream::Received;
use super::{Shard, refusal, request_log};
use crate::handoff::{Dispatch, DispatchBody, Stage, Ticket, WINDOW_BYTES};
use crate::proto::Reject;
use crate::request::Request;
use crate::shared::shard as place;
use crate::sys;

/// Bytes of an unread body that are read and dropped to keep a connection.
pub(super) const DRAIN_BYTES_MAX: u64 = 256 * 1024;

/// What becomes of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Keep,
    /// Close, after reading what the peer still sends so that it can read our answer.
    Linger,
    Close,
}

/// News of one slot, for all that the connection's task waits for at once.
pub(super) struct News<'s> {
    signal: &'s Signal,
    count: Cell<u64>,
}

impl News<'_> {
    /// What `changed` compares with. Asked before the state is looked at.
    pub(super) fn seen(&self) -> u64 {
        self.count.get()
    }

    /// Waits for news that came after `seen`. Woken by `together`, which polls the signal.
    pub(super) async fn changed(&self, seen: u64) {
        std::future::poll_fn(|_| match self.count.get() == seen {
            true => Poll::Pending,
            false => Poll::Ready(()),
        })
        .await;
    }
}

/// Polls the receiving and the sending side until the sending side is done. Both see the news.
async fn together<T>(
    news: &News<'_>,
    receiving: impl Future<Output = ()>,
    sending: impl Future<Output = T>,
) -> T {
    let mut receiving = pin!(receiving);
    let mut sending = pin!(sending);
    let mut receiving_done = false;
    std::future::poll_fn(|cx| {
        while news.signal.poll(cx).is_ready() {
            news.count.set(news.count.get() + 1);
        }
        if !receiving_done {
            receiving_done = receiving.as_mut().poll(cx).is_ready();
        }
        sending.as_mut().poll(cx)
    })
    .await
}

/// A slot in use. Dropped early (the connection broke, or a bug unwinds), it is given back when the
/// worker is done with it.
pub(super) struct Held {
    shard: Rc<Shard>,
    ticket: Option<Ticket>,
}

impl Held {
    pub(super) fn ticket(&self) -> &Ticket {
        self.ticket.as_ref().expect("BUG: the ticket is held until it is dropped")
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket.take() else { return };
        let over = |ticket: &Ticket| {
            matches!(ticket.progress().stage, Stage::Done | Stage::Failed) || ticket.withdraw()
        };
        if over(&ticket) {
            return self.shard.release(ticket);
        }
        ticket.cancel();
        let shard = Rc::clone(&self.shard);
        monoio::spawn(async move {
            while !matches!(ticket.progress().stage, Stage::Done | Stage::Failed) {
                shard.news_of(ticket.slot()).wait().await;
            }
            shard.release(ticket);
        });
    }
}

impl Shard {
    fn release(&self, ticket: Ticket) {
        self.queue.borrow_mut().release(&ticket);
        let waiting = self.slotless.borrow_mut().pop_front();
        if let Some(waker) = waiting {
            waker.wake();
        }
    }
}

/// Waits for a free slot: as many requests as there are slots run or queue already.
async fn reserve(shard: &Rc<Shard>) -> Held {
    let ticket = std::future::poll_fn(|cx| match shard.queue.borrow_mut().reserve() {
        Some(ticket) => Poll::Ready(ticket),
        None => {
            shard.slotless.borrow_mut().push_back(cx.waker().clone());
            Poll::Pending
        }
    })
    .await;
    // News of the slot's last request are none of ours.
    shard.news_of(ticket.slot()).take();
    Held { shard: Rc::clone(shard), ticket: Some(ticket) }
}

/// Microseconds since the epoch.
pub(super) fn now_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}

/// Serves the request whose head is at the start of the reader.
pub(super) async fn serve<F: Future<Output = Received>>(
    connection: &mut Connection<F>,
    request: &Request,
) -> Next {
    let arrived_us = now_us();
    let shard = Rc::clone(&connection.shard);
    shard.row.bump(place::REQUESTS, 1);
    let mut rest = Rest::of(request);
    let mut body = Vec::new();
    let mut spool = None;
    if !rest.is_done() {
        body = shard.take_buffer();
        match super::spool::gather(connection, request, &mut rest, &mut body).await {
            Ok(file) => spool = file,
            Err(lost) => return refuse_body(connection, lost).await,
        }
    }
    let held = reserve(&shard).await;
    dispatch(connection, request, arrived_us, &held, &rest, &body, spool.as_ref());
    shard.give_buffer(body);

    let left = Cell::new(rest.left());
    let news = News { signal: shard.news_of(held.ticket().slot()), count: Cell::new(0) };
    let is_http = connection.is_http();
    let mut receiving = Receiving {
        shard: &shard,
        reader: &mut connection.reader,
        watch: &connection.watch,
        keeps: request.keep_alive && is_http,
    };
    let sent = {
        let sending = respond::Sending {
            shard: &shard,
            writer: &mut connection.writer,
            fd: connection.fd,
            watch: &connection.watch,
            out: &mut connection.out,
            request,
            ticket: held.ticket(),
            news: &news,
            body_left: &left,
            is_http,
            arrived_us,
        };
        let receive = receiving.stream(&mut rest, &left, held.ticket(), &news);
        together(&news, receive, sending.respond()).await
    };
    let Ok(sent) = sent else { return Next::Close };
    shard.row.bump(place::TX, sent.head_bytes + sent.body_bytes);
    request_log::write(&shard, request, &connection.peer, held.ticket(), &sent, arrived_us);
    drop(held);
    after(connection, &mut rest, left.get(), &sent).await
}

/// What follows the response: the rest of the body, or the end.
async fn after<F: Future<Output = Received>>(
    connection: &mut Connection<F>,
    rest: &mut Rest,
    left: u64,
    sent: &Sent,
) -> Next {
    if !sent.keep_alive {
        // A close with bytes unread resets the connection and loses what of our answer is on its
        // way.
        let more_came = connection.reader.has_more().await || sys::unread(connection.fd) > 0;
        return if left > 0 || more_came { Next::Linger } else { Next::Close };
    }
    if left == 0 {
        return Next::Keep;
    }
    let shard = Rc::clone(&connection.shard);
    let mut receiving = Receiving {
        shard: &shard,
        reader: &mut connection.reader,
        watch: &connection.watch,
        keeps: true,
    };
    match receiving.drain(rest).await {
        Ok(()) => Next::Keep,
        Err(_) => Next::Close,
    }
}

fn dispatch<F: Future<Output = Received>>(
    connection: &mut Connection<F>,
    request: &Request,
    arrived_us: u64,
    held: &Held,
    rest: &Rest,
    body: &[u8],
    spool: Option<&super::spool::Spool>,
) {
    use std::os::unix::ffi::OsStrExt;
    let shard = &connection.shard;
    let body = match spool {
        Some(spool) => {
            DispatchBody::Spooled { path: spool.path().as_os_str().as_bytes(), len: spool.len() }
        }
        None if rest.is_done() => DispatchBody::Whole(body),
        None => DispatchBody::Begun {
            first: body,
            len: match rest {
                Rest::Length(left) => Some(left + body.len() as u64),
                _ => None,
            },
        },
    };
    shard.queue.borrow_mut().submit(
        held.ticket(),
        &Dispatch {
            request,
            head: connection.reader.bytes(),
            remote_addr: connection.peer.addr.as_bytes(),
            remote_port: connection.peer.port.as_bytes(),
            listener: connection.listener,
            body,
            arrived_us,
        },
    );
    connection.reader.consume(request.head_len);
    connection.shard.turn.raise();
}

/// The body is refused or did not come.
async fn refuse_body<F: Future<Output = Received>>(
    connection: &mut Connection<F>,
    lost: Lost,
) -> Next {
    match lost {
        Lost::Gone => Next::Close,
        Lost::Refused(reject) => {
            connection.refuse(reject).await;
            Next::Linger
        }
    }
}

/// More than this of a body never waits in private memory.
pub(super) const GATHER_BYTES_MAX: usize = WINDOW_BYTES;

impl<F: Future<Output = Received>> Connection<F> {
    /// Answers bytes that were refused.
    pub(super) async fn refuse(&mut self, reject: Reject) {
        self.shard.row.bump(place::REJECTED, 1);
        let mut out = std::mem::take(&mut self.out);
        out.clear();
        refusal::write_reject(reject, self.is_http(), &mut out);
        let deadline = self.shard.watches.now_s() + self.shard.timeouts.write_s;
        self.watch.set_write(deadline);
        (_, self.out) = self.writer.send(out).await;
        self.watch.clear_write();
    }
}
