//! The control thread: signals, deaths of workers, the stats, the stop.

use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::affinity::Pins;
use super::workers::Workers;
use crate::log;
use crate::shard::Message;
use crate::shared::{Mailbox, worker};
use crate::stats::{Source, Stats};
use crate::sys;
use crate::wsgi::Plan;

/// A shard as the control thread sees it.
pub struct ShardThread {
    pub thread: JoinHandle<()>,
    pub mailbox: Mailbox<Message>,
    pub done: Mailbox<Message>,
}

/// Signals, turned into readable descriptors.
pub struct Signals(Vec<(i32, UnixStream)>);

const HEARD: [i32; 6] =
    [libc::SIGTERM, libc::SIGINT, libc::SIGQUIT, libc::SIGHUP, libc::SIGUSR1, libc::SIGUSR2];

impl Signals {
    /// Begins to listen. Handlers, not a signalfd: blocked signals would pass to children, which
    /// then ignore `terminate()`.
    ///
    /// # Errors
    /// The kernel's.
    pub fn listen() -> std::io::Result<Signals> {
        let mut signals = Vec::new();
        for signal in HEARD {
            let (read, write) = UnixStream::pair()?;
            read.set_nonblocking(true)?;
            signal_hook::low_level::pipe::register(signal, write)?;
            signals.push((signal, read));
        }
        Ok(Signals(signals))
    }

    fn fds(&self) -> impl Iterator<Item = i32> + '_ {
        self.0.iter().map(|(_, stream)| stream.as_raw_fd())
    }

    /// The signals that came since the last call.
    fn take(&mut self) -> Vec<i32> {
        let mut came = Vec::new();
        for (signal, stream) in &mut self.0 {
            let mut bytes = [0; 64];
            if matches!(stream.read(&mut bytes), Ok(count) if count > 0) {
                came.push(*signal);
            }
        }
        came
    }
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
}

impl Control {
    /// Serves until a signal or a disaster ends it. Returns the exit code.
    pub fn run(&mut self) -> i32 {
        let mut review = Instant::now();
        loop {
            self.wait(500);
            for signal in self.signals.take() {
                match signal {
                    // uWSGI: USR1 writes the statistics to the log, USR2 the workers' status.
                    libc::SIGUSR1 | libc::SIGUSR2 => self.write_status(),
                    signal => {
                        let name = name(signal);
                        log::line(format_args!(
                            "{name} received: finishing the requests in flight"
                        ));
                        return self.stop();
                    }
                }
            }
            self.bury();
            self.workers.spawn_due();
            if let Some(stats) = &mut self.stats {
                stats.answer(&self.source);
            }
            if review.elapsed() >= Duration::from_secs(1) {
                review = Instant::now();
                let board = self.plan.board;
                self.pins.review(board, |index| board.worker(index).get(worker::PID) as u32);
                (0..board.workers()).for_each(|index| self.pins.pin_worker(board, index));
            }
            if self.workers.is_lost() {
                log::line(format_args!("the spawner died: workers cannot be replaced, stopping"));
                self.stop();
                return 1;
            }
            if self.shards.iter().any(|shard| shard.thread.is_finished()) {
                log::line(format_args!("BUG: a shard ended by itself, stopping"));
                return 1;
            }
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
        fds.push(self.plan.handoff.control_bell());
        sys::poll_readable(&fds, timeout_ms, &mut Vec::new());
        self.plan.handoff.silence_control();
    }

    /// Tells the shards of workers that died, waits until they took back their requests, and only
    /// then starts successors.
    fn bury(&mut self) {
        for death in self.workers.deaths() {
            let (worker, incarnation) = (death.worker, death.incarnation);
            let message = Message::WorkerDied { worker, incarnation };
            self.tell(message);
            self.await_shards();
            self.workers.respawn(&self.plan, &death);
        }
    }

    /// Waits until each shard has carried out the last message.
    fn await_shards(&self) {
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

    fn tell(&self, message: Message) {
        for (index, shard) in self.shards.iter().enumerate() {
            shard.mailbox.put(message);
            self.plan.handoff.ring(index);
        }
    }

    /// Finishes what runs, then lets the workers leave. A second signal ends at once.
    fn stop(&mut self) -> i32 {
        self.tell(Message::Drain);
        self.await_shards();
        // From here on clients are refused at once, and a proxy takes its next server.
        for socket in self.source.sockets.iter().flat_map(|socket| &socket.fds) {
            sys::shut(*socket, sys::Half::Both);
        }
        let deadline = Instant::now() + self.mercy;
        while !self.shards.iter().all(|shard| shard.thread.is_finished()) {
            self.wait(20);
            self.bury();
            self.workers.spawn_due();
            if self.signals.take().contains(&libc::SIGINT) {
                log::line(format_args!("second SIGINT: leaving at once"));
                return 0;
            }
            if Instant::now() >= deadline {
                let seconds = self.mercy.as_secs();
                log::line(format_args!("requests still run after {seconds} seconds: leaving"));
                return 0;
            }
        }
        let leave = Duration::from_secs(5).min(self.mercy);
        self.workers.stop(&self.plan, Instant::now() + leave);
        0
    }
}

fn name(signal: i32) -> &'static str {
    match signal {
        libc::SIGTERM => "SIGTERM",
        libc::SIGINT => "SIGINT",
        libc::SIGQUIT => "SIGQUIT",
        _ => "SIGHUP",
    }
}
