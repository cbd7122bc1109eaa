//! Responses that workers may send by themselves, and requests that outlive their responses.

use std::cell::Cell;
use std::rc::Rc;

use super::Shard;
use super::connection::Connection;
use super::stream::Received;
use crate::handoff::{Queue, SLOW_APP_US, Ticket};
use crate::request::Request;
use crate::shared::worker;

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

/// The time that the app takes for a request in the own workers, over the last ones.
#[derive(Default)]
pub(super) struct Pace {
    /// Requests and microseconds of all times.
    totals: Cell<(u64, u64)>,
    /// Of the last ones.
    window: Cell<(u64, u64)>,
}

/// Requests of which fewer say nothing, and of which more count half.
const SAID_BY: u64 = 64;
const FORGOTTEN_FROM: u64 = 2048;

impl Pace {
    /// Takes the totals of now in. Microseconds of a request; None if too few are known.
    fn look(&self, requests: u64, running_us: u64) -> Option<u64> {
        let before = self.totals.replace((requests, running_us));
        let window = self.window.get();
        // A worker's counters may begin anew.
        let mut window = (
            window.0 + requests.saturating_sub(before.0),
            window.1 + running_us.saturating_sub(before.1),
        );
        if window.0 > FORGOTTEN_FROM {
            window = (window.0 / 2, window.1 / 2);
        }
        self.window.set(window);
        (window.0 >= SAID_BY).then(|| window.1 / window.0)
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

    /// Looks whether each request takes so long here that answers come one by one.
    pub(super) fn look_at_pace(&self) {
        let pace = |index: &usize| self.board.worker(*index).get(worker::AVG_RT_US);
        // A worker that had no request says nothing of the app.
        let fastest = self.workers.iter().map(pace).filter(|&pace| pace > 0).min().unwrap_or(0);
        self.app_is_slow.set(fastest >= SLOW_APP_US);
        self.holds_answers.set(self.may_hold(fastest));
        let sum = |word| self.workers.iter().map(|&w| self.board.worker(w).get(word)).sum();
        let mean = self.pace.look(sum(worker::REQUESTS), sum(worker::RUNNING_US));
        let mut queue = self.queue.borrow_mut();
        queue.set_fast(mean.filter(|&mean| mean < SLOW_APP_US));
        self.workers_send.set(queue.workers_send());
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

#[cfg(test)]
mod tests {
    use super::Pace;

    #[test]
    fn the_pace_is_that_of_all_requests_and_not_of_the_last() {
        let pace = Pace::default();
        assert_eq!(pace.look(10, 50), None, "too few");
        assert_eq!(pace.look(1000, 5000), Some(5));
        assert_eq!(pace.look(1001, 105_000), Some(104), "one was long");
        let later = (2..200).map(|n| pace.look(n * 1000, 105_000 + n * 5000));
        assert_eq!(later.last(), Some(Some(5)), "long ago");
        assert_eq!(pace.look(3, 15), Some(5), "the counters begin anew");
    }
}
