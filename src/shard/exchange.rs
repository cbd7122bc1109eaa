//! One request and its response: body in, slot, worker, response out.

use std::cell::Cell;
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Poll, Waker};

use super::body::{Lost, Receiving, Rest};
use super::connection::Connection;
use super::respond::{self, Sent};
use super::signal::Signal;
use super::stream::Received;
use super::{Shard, offered, refusal, request_log, static_file};
use crate::handoff::{Dispatch, DispatchBody, OwnSend, Ticket, WINDOW_BYTES};
use crate::proto::Reject;
use crate::request::Request;
use crate::shared::{now_us, shard as place};
use crate::sys::{self, Sharing};

/// Bytes of an unread body that are read and dropped to keep a connection.
pub(super) const DRAIN_BYTES_MAX: u64 = 256 * 1024;

/// What becomes of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Keep,
    /// The request is in front of the reader again: a successor is to have it.
    Again,
    /// Close, after reading what the peer still sends so that it can read our answer.
    Linger,
    Close,
    /// Close so that the peer knows that the response is not whole.
    Reset,
}

/// News of one slot, for all that the connection's task waits for at once.
pub(super) struct News<'s> {
    signal: &'s Signal,
    ticket: &'s Ticket,
    count: Cell<u64>,
}

impl News<'_> {
    /// What `changed` compares with. Asked before the state is looked at.
    pub(super) fn seen(&self) -> u64 {
        self.count.get()
    }

    /// Lets both sides look again.
    pub(super) fn raise(&self) {
        self.count.set(self.count.get() + 1);
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
/// They are pinned where they were made: they are large, and moving them would cost a copy each.
async fn together<T>(
    news: &News<'_>,
    mut receiving: Pin<&mut impl Future<Output = ()>>,
    mut sending: Pin<&mut impl Future<Output = T>>,
) -> T {
    let mut receiving_done = false;
    std::future::poll_fn(|cx| {
        while news.signal.poll(cx).is_ready() {
            news.raise();
        }
        // A worker that has sent by itself tells nobody: this is woken by what the peer does then.
        if matches!(news.ticket.own_send(), OwnSend::Sent(_) | OwnSend::Broken) {
            news.raise();
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
    /// The whole response is sent: the app may end in its own time.
    is_sent: bool,
    /// The request was taken back before a worker had it.
    is_withdrawn: bool,
}

impl Held {
    pub(super) fn ticket(&self) -> &Ticket {
        self.ticket.as_ref().expect("BUG: the ticket is held until it is dropped")
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket.take() else { return };
        // Before the connection can be closed.
        let nobody_sends = ticket.end_offer();
        self.shard.offered.remove(ticket.slot());
        if !nobody_sends {
            ticket.cancel();
            let shard = Rc::clone(&self.shard);
            monoio::spawn(async move {
                while ticket.watch_send() {
                    shard.news_of(ticket.slot()).wait().await;
                }
                while !ticket.progress().stage.is_over() {
                    shard.news_of(ticket.slot()).wait().await;
                }
                shard.release(ticket);
            });
            return;
        }
        let is_withdrawn = self.is_withdrawn || ticket.withdraw();
        if is_withdrawn || ticket.progress().stage.is_over() {
            return self.shard.release(ticket);
        }
        if self.is_sent {
            return self.shard.linger(ticket);
        }
        ticket.cancel();
        let shard = Rc::clone(&self.shard);
        monoio::spawn(async move {
            while !ticket.progress().stage.is_over() {
                shard.news_of(ticket.slot()).wait().await;
            }
            shard.release(ticket);
        });
    }
}

impl Shard {
    pub(super) fn release(&self, ticket: Ticket) {
        self.queue.borrow_mut().release(&ticket);
        // Whoever waits longest gets it, and not one that comes just now.
        if let Some(waiter) = self.slotless.borrow_mut().pop_front() {
            waiter.given.set(self.queue.borrow_mut().reserve());
            waiter.waker.wake();
        }
    }
}

/// A connection that waits for a slot.
pub(super) struct Waiter {
    given: Rc<Cell<Option<Ticket>>>,
    waker: Waker,
}

/// Queues up for a slot.
async fn wait_for_slot(shard: &Rc<Shard>) -> Ticket {
    let given = Rc::new(Cell::new(None));
    let mut waits = false;
    std::future::poll_fn(|cx| {
        if let Some(ticket) = given.take() {
            return Poll::Ready(ticket);
        }
        if !std::mem::replace(&mut waits, true) {
            let waiter = Waiter { given: Rc::clone(&given), waker: cx.waker().clone() };
            shard.slotless.borrow_mut().push_back(waiter);
        }
        Poll::Pending
    })
    .await
}

/// Waits for a free slot: as many requests as there are slots run or queue already.
async fn reserve(shard: &Rc<Shard>) -> Held {
    shard.end_lingering();
    let nobody_waits = shard.slotless.borrow().is_empty();
    let free = if nobody_waits { shard.queue.borrow_mut().reserve() } else { None };
    let ticket = match free {
        Some(ticket) => ticket,
        None => {
            // Slots of answers that workers have sent come back when somebody looks.
            shard.look_at_offered();
            wait_for_slot(shard).await
        }
    };
    // News of the slot's last request are none of ours.
    shard.news_of(ticket.slot()).take();
    Held { shard: Rc::clone(shard), ticket: Some(ticket), is_sent: false, is_withdrawn: false }
}

/// Serves the request whose head is at the start of the reader.
pub(super) async fn serve<F: Future<Output = Received>>(
    connection: &mut Connection<F>,
    request: &Request,
) -> Next {
    let arrived_us = now_us();
    let shard = Rc::clone(&connection.shard);
    shard.row.bump(place::REQUESTS, 1);
    if let Some(wanted) = static_file::wanted(connection, request) {
        // Boxed: other requests need not carry the room for it.
        let serving = Box::pin(static_file::serve(connection, request, wanted, arrived_us));
        if let Some(next) = serving.await {
            return next;
        }
    }
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
    let mut held = reserve(&shard).await;
    let is_http = connection.is_http();
    let ends = !shard.keeps(request, is_http);
    let lends = offered::offer(connection, request, held.ticket(), rest.is_done());
    let way = Way { arrived_us, ends };
    dispatch(connection, request, &way, &held, &rest, &body, spool.as_ref());
    let is_whole = rest.is_done() && spool.is_none();
    let take_back = connection.take_back(request, &body, is_whole);
    shard.give_buffer(body);

    let left = Cell::new(rest.left());
    let ticket = held.ticket();
    let news = News { signal: shard.news_of(ticket.slot()), ticket, count: Cell::new(0) };
    let mut receiving = Receiving {
        shard: &shard,
        reader: &mut connection.reader,
        fd: connection.fd,
        watch: &connection.watch,
        // Where the connection ends, whoever accepts the next one closes it, or the next sweep.
        watches: !ends && (lends || (request.keep_alive && is_http)),
    };
    let sent = {
        let mut sending = respond::Sending {
            shard: &shard,
            writer: &mut connection.writer,
            fd: connection.fd,
            watch: &connection.watch,
            out: &mut connection.out,
            request,
            ticket: held.ticket(),
            news: &news,
            take_back: &take_back,
            body_left: &left,
            is_http,
            ends,
            arrived_us,
        };
        let receive = pin!(receiving.stream(&mut rest, &left, held.ticket(), &news, &take_back));
        let respond = pin!(sending.respond());
        together(&news, receive, respond).await
    };
    let Ok(sent) = sent else {
        request_log::write_broken(&shard, request, &connection.peer, held.ticket(), arrived_us);
        return Next::Close;
    };
    if sent.is_withdrawn {
        // Whoever serves it counts it.
        shard.row.bump(place::REQUESTS, 1_u64.wrapping_neg());
        connection.put_back(request, held.ticket());
        held.is_withdrawn = true;
        return Next::Again;
    }
    shard.row.bump(place::TX, sent.head_bytes + sent.body_bytes);
    request_log::write(&shard, request, &connection.peer, held.ticket(), &sent, arrived_us);
    held.is_sent = !sent.is_cut;
    let sharing = shard.handoff.region.sharing();
    // Where the worker ended the connection itself, nothing is to be shut any more.
    let is_shut = ends && sent.ended_us.is_some();
    connection.was_copied |= sent.was_lent && sharing == Sharing::Processes && !is_shut;
    drop(held);
    after(connection, &mut rest, left.get(), &sent).await
}

/// What follows the response: the rest of the body, or the end.
pub(super) async fn after<F: Future<Output = Received>>(
    connection: &mut Connection<F>,
    rest: &mut Rest,
    left: u64,
    sent: &Sent,
) -> Next {
    if sent.is_cut {
        return Next::Reset;
    }
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
        fd: connection.fd,
        watch: &connection.watch,
        watches: true,
    };
    match receiving.drain(rest).await {
        Ok(()) => Next::Keep,
        Err(_) => Next::Close,
    }
}

/// What a worker is told of a request's way, besides the request.
struct Way {
    arrived_us: u64,
    /// The connection ends with the response.
    ends: bool,
}

fn dispatch<F: Future<Output = Received>>(
    connection: &mut Connection<F>,
    request: &Request,
    way: &Way,
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
            ends: way.ends,
            body,
            arrived_us: way.arrived_us,
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
