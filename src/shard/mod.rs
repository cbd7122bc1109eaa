//! What it does: one core's I/O: accepts, receives, parses, hands over, sends.
//! What it does not: Python; anything that blocks.
//! Who may call it: server.
//! What it may import: monoio, proto, files, handoff, shared, log.
//!
//! A turn: the ring's completions wake connection tasks; they parse and `submit`; then the turn
//! task runs once, wakes workers for the whole batch and gathers answers; then the shard parks, and
//! the sends of the turn go out in one system call.

mod body;
mod coalesce;
mod connection;
mod courtesy;
mod errand;
mod exchange;
mod heritage;
mod listener;
mod moving;
mod offered;
mod pace;
mod parking;
mod reader;
mod refusal;
mod request_log;
mod respond;
mod ring;
mod scheduling;
mod sendfile;
mod signal;
mod spool;
mod static_file;
mod stream;
mod timer;
mod turn;
mod watch;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use slab::Slab;

use coalesce::Brink;
use errand::{Desk, Errand};
use offered::Offered;
use pace::Pace;
use parking::Parking;
use scheduling::Scheduling;
use signal::Signal;
use watch::Watches;

pub use heritage::Door;
pub use listener::{Listening, Protocol};
pub use moving::Moved;
pub use ring::{Driver, Flags, probe_rungs, probe_uring};

pub use crate::proto::Limits;

use crate::files::{Files, Rules};
use crate::handoff::{Handoff, Queue, Ticket};
use crate::log::{Clock, Form, Lines};
use crate::request::Request;
use crate::response::Amendment;
use crate::response::Date;
use crate::shared::link::Legacy;
use crate::shared::{Board, Inbox, Mailbox, Row, shard as place};
use crate::sys::warm::Warm;

/// Seconds after which something must have happened.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// Between two requests; 0 closes after each response.
    pub idle_s: u64,
    /// For a whole request head.
    pub head_s: u64,
    /// For a part of the body at the minimum rate.
    pub body_s: u64,
    /// For progress on a response.
    pub write_s: u64,
}

/// Which requests get a line, and of which form.
#[derive(Debug, Clone, Default)]
pub struct Logging {
    pub all: bool,
    /// Some requests get a line though not all do.
    pub some: bool,
    pub status_4xx: bool,
    pub status_5xx: bool,
    /// Those that took at least so many microseconds.
    pub slow_us: Option<u64>,
    /// Those without a body.
    pub zero: bool,
    /// Those with a body of at least so many bytes.
    pub big: Option<u64>,
    pub sendfile: bool,
    /// Those that could not be sent to their end.
    pub broken: bool,
    /// Tell X-Forwarded-For as the peer's address.
    pub forwarded_for: bool,
    pub form: Arc<Form>,
}

/// What the control thread tells a shard.
#[derive(Debug, Clone, Copy)]
pub enum Message {
    /// A worker incarnation has died.
    WorkerDied { worker: usize, incarnation: u32 },
    /// Accept no more, finish what runs, then end.
    Drain,
    /// The same, but what is open goes to a successor: the socket that leads to it.
    Retire { heir: RawFd },
    /// Hold requests back and accept no more, or no longer.
    Pause(bool),
    /// The process ends now: answer what has no answer.
    GiveUp,
}

/// What a shard is made from. It crosses to the shard's thread.
pub struct Setup {
    pub index: usize,
    pub handoff: &'static Handoff,
    pub board: &'static Board,
    /// Indices of the shard's own workers.
    pub workers: Vec<usize>,
    pub listeners: Vec<Listening>,
    /// By the listeners' numbers.
    pub doors: Vec<Door>,
    pub limits: Limits,
    pub timeouts: Timeouts,
    /// Connections may begin with the PROXY protocol.
    pub proxy_protocol: bool,
    pub amendment: Arc<Amendment>,
    /// Bodies of at least this many bytes go to a file first.
    pub post_buffering: Option<u64>,
    /// Which files are served without the app; None where none is.
    pub files: Option<Arc<Rules>>,
    pub logging: Logging,
    pub lines: Lines,
    pub mailbox: Mailbox<Message>,
    /// Connections that come from a predecessor.
    pub legacies: Mailbox<Legacy>,
    /// Where connections move to, by the shard.
    pub inboxes: Arc<[Inbox<Moved>]>,
    /// Messages that were carried out, for the control thread to wait on.
    pub done: Mailbox<Message>,
    /// Accepted sockets must be kept from programs that the app executes.
    pub close_on_exec: bool,
    pub driver: Driver,
    /// Answers may wait for each other, for as long as requests gather.
    pub coalesces_answers: bool,
    /// The shard may be scheduled behind who wakes it.
    pub may_batch: bool,
}

/// One shard, on its own thread.
pub struct Shard {
    limits: Limits,
    timeouts: Timeouts,
    proxy_protocol: bool,
    amendment: Arc<Amendment>,
    post_buffering: Option<u64>,
    files: Option<Files>,
    logging: Logging,
    close_on_exec: bool,
    /// The driver wants sockets that do not block; the ring wants those that do.
    nonblocking: bool,
    handoff: &'static Handoff,
    board: &'static Board,
    row: Row,
    index: usize,
    /// Indices of the shard's own workers.
    workers: Vec<usize>,
    queue: RefCell<Queue>,
    /// News of each slot, by its place among the shard's slots.
    news: Vec<Signal>,
    /// The slots whose connections are offered to workers.
    offered: Offered,
    /// Whether the app takes so long that each answer would wake this shard by itself.
    app_is_slow: Cell<bool>,
    pace: Pace,
    scheduling: Scheduling,
    coalesces_answers: bool,
    /// Whether answers wait for each other while requests gather.
    holds_answers: Cell<bool>,
    /// Whether workers can send at all.
    workers_send: Cell<bool>,
    /// Requests whose responses are sent and whose apps have not ended.
    lingering: RefCell<Vec<Ticket>>,
    /// Connections that wait for a free slot.
    slotless: RefCell<VecDeque<exchange::Waiter>>,
    turn: Signal,
    brink: Brink,
    /// Packets interrupt no wait of this thread but the driver's own: not so with COOP_TASKRUN.
    can_gather: bool,
    ticking: Signal,
    watches: Watches,
    parking: Parking,
    draining: Cell<bool>,
    /// The process ends now.
    gives_up: Cell<bool>,
    /// Requests are held back, and who waits for the end of that.
    paused: Cell<bool>,
    held_back: RefCell<Vec<Waker>>,
    /// Where connections go while this shard retires.
    heir: Cell<Option<RawFd>>,
    legacies: Mailbox<Legacy>,
    inboxes: Arc<[Inbox<Moved>]>,
    doors: Vec<Door>,
    /// The ring, if reads can be cancelled on it.
    ring: Cell<Option<RawFd>>,
    ended: Signal,
    lines: RefCell<Lines>,
    clock: RefCell<Clock>,
    memories: RefCell<request_log::Memories>,
    date: RefCell<Date>,
    /// Parsed heads and buffers that wait for the next use.
    requests: RefCell<Vec<Request>>,
    buffers: RefCell<Vec<Vec<u8>>>,
    warm: Warm,
    /// Where the helpers report to, and what they are about.
    desk: Desk,
    errands: RefCell<Slab<Errand>>,
}

/// Runs a shard until it is told to end and all its connections are done.
///
/// # Errors
/// The kernel's, when it refuses the ring or a descriptor.
pub fn run(setup: Setup) -> std::io::Result<()> {
    let driver = setup.driver;
    let parking = Parking::new()?;
    ring::run(driver, serve(setup, parking))
}

async fn serve(setup: Setup, parking: Parking) {
    let Setup { listeners, mailbox, done, index, .. } = setup;
    let row = setup.board.shard(index);
    row.set(place::THREAD_ID, crate::sys::thread_id() as u64);
    let slots = setup.handoff.region.geometry().slots_per_shard;
    let queue = Queue::new(setup.handoff, index, setup.workers.clone());
    let workers_send = Cell::new(queue.workers_send());
    let shard = Rc::new(Shard {
        limits: setup.limits,
        timeouts: setup.timeouts,
        proxy_protocol: setup.proxy_protocol,
        amendment: setup.amendment,
        post_buffering: setup.post_buffering,
        files: setup.files.map(Files::new),
        logging: setup.logging,
        close_on_exec: setup.close_on_exec,
        nonblocking: setup.driver == Driver::Epoll,
        handoff: setup.handoff,
        board: setup.board,
        row,
        index,
        workers: setup.workers,
        queue: RefCell::new(queue),
        news: (0..slots).map(|_| Signal::default()).collect(),
        offered: Offered::new(slots),
        app_is_slow: Cell::new(false),
        pace: Pace::default(),
        scheduling: Scheduling::new(setup.may_batch),
        coalesces_answers: setup.coalesces_answers,
        holds_answers: Cell::new(false),
        workers_send,
        lingering: RefCell::default(),
        slotless: RefCell::default(),
        turn: Signal::default(),
        brink: Brink::default(),
        can_gather: setup.driver != Driver::Uring(Flags::Coop),
        ticking: Signal::default(),
        watches: Watches::default(),
        parking,
        draining: Cell::new(false),
        gives_up: Cell::new(false),
        paused: Cell::new(false),
        held_back: RefCell::default(),
        heir: Cell::new(None),
        legacies: setup.legacies,
        inboxes: setup.inboxes,
        doors: setup.doors,
        ring: Cell::new(match setup.driver {
            Driver::Uring(Flags::Defer) => crate::sys::uring::own_ring(),
            _ => None,
        }),
        ended: Signal::default(),
        lines: RefCell::new(setup.lines),
        clock: RefCell::default(),
        memories: RefCell::default(),
        date: RefCell::default(),
        requests: RefCell::default(),
        buffers: RefCell::default(),
        warm: Warm::default(),
        desk: Desk { reports: Mailbox::default(), handoff: setup.handoff, shard: index },
        errands: RefCell::default(),
    });
    shard.watches.sweep(shard.now_s());
    shard.look_at_scheduling();
    monoio::spawn(turn::turns(Rc::clone(&shard)));
    monoio::spawn(turn::ticks(Rc::clone(&shard)));
    monoio::spawn(turn::sweeps(Rc::clone(&shard)));
    monoio::spawn(parking::wakes(Rc::clone(&shard)));
    let accepting = listener::accept_on(&shard, listeners);
    monoio::spawn(turn::bells(Rc::clone(&shard), mailbox, done, accepting));
    let mut brink = std::pin::pin!(shard.brink.tell());
    std::future::poll_fn(|cx| {
        // Never over.
        let _ = brink.as_mut().poll(cx);
        shard.ended.poll(cx)
    })
    .await;
    // Connections that could still come would find nobody.
    shard.settle_the_last();
    // Closes are queued operations: one more turn lets them out.
    timer::pause(Duration::from_millis(1)).await;
    // The shard's tasks outlive this function, but not their use of the log.
    shard.lines.borrow_mut().close();
}

impl Shard {
    /// Seconds on a clock that only goes forward.
    fn now_s(&self) -> u64 {
        use std::sync::OnceLock;
        use std::time::Instant;
        static START: OnceLock<Instant> = OnceLock::new();
        // Not 0, so that a deadline in the past can be told from none.
        START.get_or_init(Instant::now).elapsed().as_secs() + 1
    }

    /// The bell's descriptor.
    fn bell(&self) -> RawFd {
        self.handoff.bell(self.index)
    }

    /// Whether the connection may live beyond this request, as far as server and client go.
    fn keeps(&self, request: &Request, is_http: bool) -> bool {
        let stays = !self.draining.get() || self.has_heir();
        is_http && request.keep_alive && self.timeouts.idle_s > 0 && stays
    }

    fn set_paused(&self, paused: bool) {
        self.paused.set(paused);
        if !paused {
            self.held_back.borrow_mut().drain(..).for_each(Waker::wake);
        }
    }

    /// Waits while requests are held back.
    async fn unpaused(&self) {
        std::future::poll_fn(|cx| {
            if !self.paused.get() {
                return Poll::Ready(());
            }
            self.held_back.borrow_mut().push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// A head to parse into.
    fn take_request(&self) -> Request {
        self.requests.borrow_mut().pop().unwrap_or_default()
    }

    fn give_request(&self, request: Request) {
        let mut requests = self.requests.borrow_mut();
        if requests.len() < 256 {
            requests.push(request);
        }
    }

    /// An empty buffer.
    fn take_buffer(&self) -> Vec<u8> {
        self.buffers.borrow_mut().pop().unwrap_or_default()
    }

    fn give_buffer(&self, mut buffer: Vec<u8>) {
        let mut buffers = self.buffers.borrow_mut();
        if buffers.len() < 256 && buffer.capacity() <= 128 * 1024 {
            buffer.clear();
            buffers.push(buffer);
        }
    }

    /// The signal of a slot's news.
    fn news_of(&self, slot: usize) -> &Signal {
        &self.news[slot % self.news.len()]
    }

    /// Hands gathered news to the tasks that wait for them.
    fn deliver(&self, slots: &[usize]) {
        self.end_lingering();
        for &slot in slots {
            self.news_of(slot).raise();
        }
    }
}
