//! The control thread: signals, deaths of workers, the stats, the stop.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::affinity::Pins;
use super::cheaper::{self, Cheaper};
use super::idle::Idle;
use super::recycle::Recycler;
use super::succession::Ties;
use super::watchdog::Watchdog;
use super::workers::Workers;
use crate::isolation;
use crate::log;
use crate::shard::Message;
use crate::shared::link::{Legacy, News, Order};
use crate::shared::{Mailbox, Wish, worker};
use crate::stats::{Source, Stats};
use crate::sys;
use crate::sys::signals::{self, Signals};
use crate::wsgi::Plan;

/// A shard as the control thread sees it.
pub struct ShardThread {
    pub thread: JoinHandle<()>,
    pub mailbox: Mailbox<Message>,
    /// Connections that come from a predecessor.
    pub legacies: Mailbox<Legacy>,
    pub done: Mailbox<Message>,
}

/// Signals that end a server without a master.
pub const STOPPING: [i32; 4] = [libc::SIGTERM, libc::SIGINT, libc::SIGQUIT, libc::SIGHUP];

/// What the control thread listens to.
pub fn heard(has_master: bool) -> Vec<i32> {
    let mut heard = STOPPING.to_vec();
    heard.extend([libc::SIGUSR1, libc::SIGUSR2]);
    // A terminal sends it to the whole group; without a master it suspends, as everywhere.
    heard.extend(has_master.then_some(libc::SIGTSTP));
    heard
}

/// All that the control thread looks after.
pub struct Control {
    pub plan: Plan,
    pub workers: Workers,
    pub shards: Vec<ShardThread>,
    pub signals: Signals,
    pub stats: Option<Stats>,
    pub source: Source,
    pub pins: Pins,
    pub mercy: Duration,
    pub watchdog: Watchdog,
    pub recycler: Recycler,
    pub cheaper: Option<Cheaper>,
    pub idle: Idle,
    /// Requests are held back.
    pub is_paused: bool,
    pub ties: Ties,
    /// Whether workers that are interpreters may become processes when a module refuses late.
    pub may_change: bool,
    /// When the spawner died.
    pub lost_since: Option<Instant>,
}

/// A successor that was asked for because nobody can serve has come by then.
const SUCCESSION: Duration = Duration::from_secs(30);

/// So long a client may take for the last answer.
const LAST_ANSWERS: Duration = Duration::from_millis(500);

/// Why the control thread leaves its loop.
enum End {
    /// Finish what runs.
    Stop,
    /// With this exit code, at once.
    Now(i32),
}

impl Control {
    /// Serves until an order, a signal or a disaster ends it. Returns the exit code.
    pub fn run(&mut self) -> i32 {
        let mut review = Instant::now();
        loop {
            self.wait(500);
            let end = self.hear().or_else(|| self.obey()).or_else(|| self.grant());
            match end {
                Some(End::Stop) => return self.stop(),
                Some(End::Now(code)) => return code,
                None => {}
            }
            self.take_heritage();
            self.bury();
            self.workers.spawn_due(&self.plan);
            self.tend();
            self.guard();
            self.ties.tell_alive();
            self.mind_refusals();
            if let Some(stats) = &mut self.stats {
                stats.answer(&self.source);
            }
            if review.elapsed() >= Duration::from_secs(1) {
                review = Instant::now();
                let board = self.plan.board;
                self.pins.review(board);
                (0..board.workers()).for_each(|index| self.pins.pin_worker(board, index));
            }
            if let Some(code) = self.mind_spawner() {
                return code;
            }
            let ended = self.shards.iter().filter(|shard| shard.thread.is_finished()).count();
            if self.ties.retires() && ended == self.shards.len() {
                return self.leave();
            }
            // What could not be moved is closed between two requests.
            if self.ties.retires_longer_than(self.mercy) {
                return self.stop();
            }
            if !self.ties.retires() && ended > 0 {
                log::line(format_args!("BUG: a shard ended by itself, stopping"));
                return 1;
            }
        }
    }

    /// Acts on signals.
    fn hear(&mut self) -> Option<End> {
        for signal in self.signals.take() {
            match signal {
                // uWSGI: USR1 writes the statistics to the log, USR2 the workers' status.
                libc::SIGUSR1 | libc::SIGUSR2 => self.write_status(),
                // They come to the whole group, and the master acts on them.
                libc::SIGINT | libc::SIGHUP | libc::SIGTSTP if self.ties.has_master() => {}
                _ if self.ties.retires() => {}
                // As uWSGI's master does for a worker that was told to end.
                signal if self.ties.has_master() => {
                    let name = signals::name(signal);
                    log::line(format_args!("{name} received: asking for a successor"));
                    self.ties.tell(News::Replace);
                }
                signal => {
                    let name = signals::name(signal);
                    log::line(format_args!("{name} received: finishing the requests in flight"));
                    return Some(End::Stop);
                }
            }
        }
        None
    }

    /// Acts on the master's orders.
    fn obey(&mut self) -> Option<End> {
        while let Some(order) = self.ties.order() {
            match order {
                Order::Retire(heir) => self.retire(heir),
                Order::Stop => return Some(End::Stop),
                Order::Quit => return Some(End::Now(0)),
                Order::Status => self.write_status(),
                Order::Pause => self.pause(),
                Order::More => cheaper::by_hand(true, &mut self.workers, &self.plan),
                Order::Less => cheaper::by_hand(false, &mut self.workers, &self.plan),
                Order::Cheap => self.idle.go_cheap(&mut self.workers, &self.plan),
                Order::Orphaned => {
                    log::line(format_args!("the master is gone: finishing the requests in flight"));
                    return Some(End::Stop);
                }
            }
        }
        None
    }

    /// Holds requests back, or lets them go on. uWSGI: SIGTSTP and `p` in the MasterFIFO.
    fn pause(&mut self) {
        self.is_paused = !self.is_paused;
        self.tell(Message::Pause(self.is_paused));
        self.await_shards();
        match self.is_paused {
            true => log::line(format_args!(
                "*** paused: requests wait until SIGTSTP or p comes again ***"
            )),
            false => log::line(format_args!("*** resumed ***")),
        }
    }

    /// Acts on what apps ask for.
    fn grant(&mut self) -> Option<End> {
        for wish in self.plan.board.take_wishes() {
            match wish {
                Wish::Replace if self.ties.retires() => {}
                Wish::Stop if !self.ties.has_master() => return Some(End::Stop),
                Wish::Stop => self.ties.tell(News::Stop),
                Wish::Reload | Wish::Replace if !self.ties.has_master() => {
                    log::line(format_args!("a reload was asked for, and there is no --master"));
                }
                Wish::Reload => self.ties.tell(News::Reload),
                Wish::Replace => self.ties.tell(News::Replace),
            }
        }
        None
    }

    /// A module that refused after the trial has cost a request: a successor with processes will
    /// load it.
    fn mind_refusals(&mut self) {
        if self.may_change && self.plan.board.late_refusals() > 0 && !self.ties.retires() {
            self.may_change = false;
            let is_known = isolation::remember_refusals();
            if self.ties.has_master() {
                log::line(format_args!("isolation: changing to processes"));
                self.ties.tell(News::Isolate);
            } else {
                let next = if is_known { "the next start takes them" } else { "it goes on" };
                log::line(format_args!(
                    "isolation: with --master the server would change to processes now; without, \
                     {next}"
                ));
            }
        }
    }

    /// Without a spawner there are no workers any more. A successor has a new one, and takes the
    /// requests that wait; the exit code where none comes.
    fn mind_spawner(&mut self) -> Option<i32> {
        if !self.workers.is_lost() || self.ties.retires() {
            return None;
        }
        if !self.ties.has_master() {
            log::line(format_args!("the spawner died: workers cannot be replaced, stopping"));
            self.stop();
            return Some(1);
        }
        let Some(since) = self.lost_since else {
            self.lost_since = Some(Instant::now());
            self.replace_server("the spawner died, and the workers with it");
            return None;
        };
        (since.elapsed() > SUCCESSION).then(|| {
            log::line(format_args!("no successor came: leaving"));
            1
        })
    }

    /// The end of a process whose successor serves.
    fn leave(&mut self) -> i32 {
        self.ties.close_heritage();
        self.end_workers(self.mercy);
        0
    }

    /// Waits for the workers' end, at most so long.
    fn end_workers(&mut self, mercy: Duration) {
        self.workers.stop(&self.plan, mercy, self.watchdog.last_wait());
    }

    /// Looks after workers that have served long enough, and how many there are.
    fn tend(&mut self) {
        if let Some(reason) = self.recycler.look(&mut self.workers, &self.plan) {
            self.replace_server(&reason);
        }
        if self.idle.look(&mut self.workers, &self.plan) {
            self.plan.board.ask(Wish::Stop);
        }
        if let Some(cheaper) = &mut self.cheaper
            && !self.idle.is_cheap()
        {
            cheaper.look(&mut self.workers, &self.plan);
        }
    }

    /// Looks after requests that take too long.
    fn guard(&mut self) {
        if let Some(reason) = self.watchdog.look(&mut self.workers, &self.plan) {
            self.replace_server(&reason);
        }
    }

    /// Lets a new server process take over.
    pub(super) fn replace_server(&mut self, reason: &str) {
        if self.ties.retires() {
            return; // It has taken over.
        }
        if self.ties.has_master() {
            log::line(format_args!("{reason}: a new server process is to take over"));
            self.ties.tell(News::Replace);
        } else {
            log::line(format_args!("{reason}: with --master a new server process would take over"));
        }
    }

    /// Lets clients know that their requests will not be answered.
    fn give_up(&self) {
        self.tell(Message::GiveUp);
        let deadline = Instant::now() + LAST_ANSWERS;
        while !self.shards.iter().all(|shard| shard.thread.is_finished())
            && Instant::now() < deadline
        {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// One line for each worker.
    fn write_status(&self) {
        let board = self.plan.board;
        for index in 0..board.workers() {
            let row = board.worker(index);
            log::line(format_args!(
                "worker {} (pid: {}): {} requests, {} exceptions, {} bytes sent, {} us on average",
                index + 1,
                row.get(worker::PID),
                row.get(worker::REQUESTS),
                row.get(worker::EXCEPTIONS),
                row.get(worker::TX),
                row.get(worker::AVG_RT_US),
            ));
        }
    }

    fn wait(&self, timeout_ms: i32) {
        let mut fds: Vec<i32> = self.signals.fds().collect();
        fds.extend(self.workers.fds());
        fds.extend(self.stats.as_ref().map(Stats::fd));
        fds.extend(self.ties.fds());
        fds.push(self.plan.handoff.control_bell());
        sys::poll_readable(&fds, timeout_ms, &mut Vec::new());
        self.plan.handoff.silence_control();
    }

    /// Tells the shards of workers that died, waits until they took back their requests, and only
    /// then starts successors.
    fn bury(&mut self) {
        let deaths = self.workers.deaths();
        for death in &deaths {
            let (worker, incarnation) = (death.worker, death.incarnation);
            let message = Message::WorkerDied { worker, incarnation };
            self.tell(message);
            self.await_shards();
        }
        for death in &deaths {
            self.workers.respawn(&self.plan, death);
        }
    }

    /// Waits until each shard has carried out the last message.
    pub(super) fn await_shards(&self) {
        for shard in &self.shards {
            let deadline = Instant::now() + Duration::from_secs(5);
            while shard.done.take().is_empty()
                && !shard.thread.is_finished()
                && Instant::now() < deadline
            {
                std::thread::sleep(Duration::from_micros(200));
            }
        }
    }

    pub(super) fn tell(&self, message: Message) {
        for (index, shard) in self.shards.iter().enumerate() {
            shard.mailbox.put(message);
            self.plan.handoff.ring(index);
        }
    }

    /// Finishes what runs, then lets the workers leave. A second signal ends at once.
    fn stop(&mut self) -> i32 {
        self.ties.tell_stopping();
        self.tell(Message::Drain);
        self.await_shards();
        // From here on clients are refused at once, and a proxy takes its next server.
        let sockets = self.source.sockets.iter().flat_map(|socket| &socket.fds);
        for socket in sockets.filter(|_| !self.ties.retires()) {
            sys::shut(*socket, sys::Half::Both);
        }
        let deadline = Instant::now() + self.ties.rest(self.mercy);
        while !self.shards.iter().all(|shard| shard.thread.is_finished()) {
            self.wait(20);
            self.bury();
            self.workers.spawn_due(&self.plan);
            self.guard();
            if !self.ties.has_master() && self.signals.take().contains(&libc::SIGINT) {
                log::line(format_args!("second SIGINT: leaving at once"));
                return 0;
            }
            if matches!(self.ties.order(), Some(Order::Quit)) {
                return 0;
            }
            if Instant::now() >= deadline {
                let seconds = self.mercy.as_secs();
                log::line(format_args!("requests still run after {seconds} seconds: leaving"));
                self.name_running();
                self.give_up();
                return 0;
            }
        }
        self.end_workers(Duration::from_secs(5).min(self.mercy));
        0
    }
}
