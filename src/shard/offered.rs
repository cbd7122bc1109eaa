//! Responses that workers may send by themselves, and requests that outlive their responses.

use std::cell::Cell;
use std::rc::Rc;

use super::Shard;
use super::connection::Connection;
use super::stream::Received;
use crate::handoff::{Queue, Ticket};
use crate::request::Request;

/// More offers than this are looked at without news of their peers.
const OFFERED_MAX: usize = 128;

/// A set of slots.
pub(super) struct Offered {
    words: Vec<Cell<u64>>,
    len: Cell<usize>,
    /// The region's first slot of this shard.
    slots: usize,
}

impl Offered {
    pub(super) fn new(slots: usize) -> Offered {
        let words = vec![Cell::new(0); slots.div_ceil(64)];
        Offered { words, len: Cell::new(0), slots }
    }

    fn place(&self, slot: usize) -> (&Cell<u64>, u64) {
        let local = slot % self.slots;
        (&self.words[local / 64], 1 << (local % 64))
    }

    fn put(&self, slot: usize) {
        let (word, bit) = self.place(slot);
        self.len.set(self.len.get() + usize::from(word.get() & bit == 0));
        word.set(word.get() | bit);
    }

    pub(super) fn remove(&self, slot: usize) {
        let (word, bit) = self.place(slot);
        self.len.set(self.len.get() - usize::from(word.get() & bit != 0));
        word.set(word.get() & !bit);
    }

    pub(super) fn len(&self) -> usize {
        self.len.get()
    }

    /// The places of the slots among the shard's own.
    fn each(&self) -> impl Iterator<Item = usize> + '_ {
        self.words.iter().enumerate().flat_map(|(index, word)| {
            let mut bits = word.get();
            std::iter::from_fn(move || {
                let bit = bits.trailing_zeros() as usize;
                (bits != 0).then(|| {
                    bits &= bits - 1;
                    index * 64 + bit
                })
            })
        })
    }
}

impl Shard {
    /// Lets the connections that workers may have answered look, though nobody was heard of.
    pub(super) fn look_at_offered(&self) {
        self.offered.each().for_each(|place| self.news_of(place).raise());
    }

    /// Lets those connections look whose answers workers have sent.
    pub(super) fn look_at_sent(&self) {
        if self.offered.len.get() > 0 {
            self.sent(&self.queue.borrow()).for_each(|place| self.news_of(place).raise());
        }
    }

    /// The same, where there are so many that slots are held for nothing.
    pub(super) fn look_at_many_sent(&self) {
        if self.offered.len.get() > OFFERED_MAX {
            self.look_at_sent();
        }
    }

    /// The places of the slots whose answers workers have sent.
    fn sent(&self, queue: &Queue) -> impl Iterator<Item = usize> {
        let first = self.index * self.news.len();
        self.offered.each().filter(move |place| queue.was_sent(first + place))
    }

    /// Keeps the slot of a request whose response is sent, until its app has ended.
    pub(super) fn linger(&self, ticket: Ticket) {
        ticket.end_input();
        self.lingering.borrow_mut().push(ticket);
    }

    /// Gives the slots of lingering requests back whose apps have ended.
    pub(super) fn end_lingering(&self) {
        if self.lingering.borrow().is_empty() {
            return;
        }
        let is_over = |ticket: &mut Ticket| ticket.progress().stage.is_over();
        let over: Vec<_> = self.lingering.borrow_mut().extract_if(.., is_over).collect();
        over.into_iter().for_each(|ticket| self.release(ticket));
    }
}

/// Lets the worker send the answer by itself, if the shard would have to be woken for it alone: it
/// is the only request now, or requests take long here. And only if the answer will be the
/// connection's only business: the read that tells us of the end is armed before it. False if the
/// shard sends.
pub(super) fn offer<F: Future<Output = Received>>(
    connection: &Connection<F>,
    request: &Request,
    ticket: &Ticket,
    body_is_here: bool,
) -> bool {
    let shard: &Rc<Shard> = &connection.shard;
    // With more bytes here no read is armed that could wake us.
    let lends = body_is_here
        && shard.workers_send.get()
        && connection.reader.buffered() == request.head_len
        && (shard.app_is_slow.get() || shard.is_alone())
        && ticket.offer(connection.fd);
    if lends {
        shard.offered.put(ticket.slot());
    }
    lends
}

impl Shard {
    /// Whether the request that is dispatched now is the only one that runs.
    fn is_alone(&self) -> bool {
        let others = self.queue.borrow().in_use() - 1;
        if others == 0 || others > self.offered.len.get() {
            return others == 0;
        }
        let sent = self.sent(&self.queue.borrow()).count();
        if sent == others {
            // Their tasks run in this turn, and the requests are counted in their order.
            self.look_at_offered();
        }
        sent == others
    }
}
