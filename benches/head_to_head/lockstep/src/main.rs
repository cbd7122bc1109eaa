//! A closed-loop load generator that works in lockstep: it sends one request on each of K
//! connections, then reads all K answers, and repeats. Pinned to the server's core it makes CPU per
//! request repeatable: no idle time and no wake-up across cores is in it. With `--rate` the load is
//! an open one (`at_rate.rs`).
//!
//! One line of JSON on stdout tells the result; the exit code is 0 also when answers were wrong,
//! since the line says so.

mod answer;
mod at_rate;
mod connection;
mod options;
mod request;

use std::io::{self, Read, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use connection::{Connection, Failure, Reader};
use options::Options;

fn main() -> ExitCode {
    let options = match Options::from_args(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("lockstep: {error}\n{}", options::USAGE);
            return ExitCode::from(2);
        }
    };
    if options.show {
        let shown = io::stdout().write_all(&request::bytes(&options));
        return if shown.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    if let Err(error) = settle_on_core(options.core) {
        eprintln!("lockstep: cannot settle on core {}: {error}", options.core);
        return ExitCode::FAILURE;
    }
    if options.rate.is_some()
        && let Err(error) = at_rate::set_exact_timers()
    {
        eprintln!("lockstep: prctl(): {error}");
        return ExitCode::FAILURE;
    }
    let mut load = Load::new(&options);
    if options.warmup > Duration::ZERO {
        load.run(options.warmup);
    }
    let reconnects = load.tally.reconnects;
    load.tally = Tally::default();
    if options.paced {
        pause("warm");
    }
    let seconds = load.run(options.measured);
    if load.first_failure.is_some() && load.tally.errors + load.tally.hung == 0 {
        // An answer that was wrong while warming up is wrong.
        load.tally.errors = 1;
    }
    println!("{}", load.tally.json(seconds, reconnects, load.first_failure));
    if options.paced {
        // The connections stay open until the caller has sampled the server.
        wait_for_line();
    }
    ExitCode::SUCCESS
}

/// One core, and SCHED_BATCH: with the usual policy the scheduler lets the generator preempt some
/// servers after each answer and not others, which changes their cost and their order.
fn settle_on_core(core: usize) -> io::Result<()> {
    // SAFETY: a cpu_set_t is plain bits, for which zero is the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    if core >= libc::CPU_SETSIZE as usize {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    // SAFETY: `core` is below CPU_SETSIZE.
    unsafe { libc::CPU_SET(core, &mut set) };
    // SAFETY: the set lives through the call, and its size is given.
    if unsafe { libc::sched_setaffinity(0, size_of_val(&set), &set) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let param = libc::sched_param { sched_priority: 0 };
    // SAFETY: the parameter lives through the call.
    if unsafe { libc::sched_setscheduler(0, libc::SCHED_BATCH, &param) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

struct Load<'o> {
    options: &'o Options,
    request: Vec<u8>,
    connections: Vec<Connection>,
    reader: Reader<'o>,
    tally: Tally,
    first_failure: Option<Failure>,
    /// Look for a close before each send, once a server has been seen to close unannounced.
    look_for_close: bool,
}

impl<'o> Load<'o> {
    fn new(options: &'o Options) -> Self {
        Self {
            options,
            request: request::bytes(options).repeat(options.pipeline),
            connections: (0..options.connections).map(|_| Connection::default()).collect(),
            reader: Reader::new(&options.expected),
            tally: Tally::default(),
            first_failure: None,
            look_for_close: false,
        }
    }

    /// Puts the server under load; returns for how many seconds.
    fn run(&mut self, time: Duration) -> f64 {
        match self.options.rate {
            Some(rate) => self.run_at(rate as f64, time),
            None => self.run_in_lockstep(time),
        }
    }

    /// Runs whole rounds until the time is over; returns the seconds that they took.
    fn run_in_lockstep(&mut self, time: Duration) -> f64 {
        let start = Instant::now();
        loop {
            self.reader.hurry = false;
            for index in 0..self.connections.len() {
                if let Err(failure) = self.send(index) {
                    self.fail(index, failure);
                }
            }
            // In the order of the connections and blocking: with epoll the server would pay for
            // waking us at each answer.
            for index in 0..self.connections.len() {
                if self.connections[index].is_open() {
                    match self.receive(index) {
                        Ok(()) => {
                            for _ in 0..self.options.pipeline {
                                self.tally.answered(self.connections[index].sent_at);
                            }
                        }
                        Err(failure) => self.fail(index, failure),
                    }
                }
            }
            let elapsed = start.elapsed();
            if elapsed >= time || self.tally.errors > self.options.errors_max {
                return elapsed.as_secs_f64();
            }
        }
    }

    fn send(&mut self, index: usize) -> Result<(), Failure> {
        let connection = &mut self.connections[index];
        connection.sent_at = Instant::now();
        if self.look_for_close && connection.is_closed_by_peer() {
            connection.close();
        }
        if !connection.is_open() {
            self.tally.reconnects += u64::from(connection.answered > 0 && !self.options.close);
            connection.open(&self.options.address)?;
        }
        match connection.send(&self.request) {
            Err(Failure::Closed) if connection.answered_here > 0 => self.send_anew(index),
            sent => sent,
        }
    }

    fn receive(&mut self, index: usize) -> Result<(), Failure> {
        let (count, close) = (self.options.pipeline, self.options.close);
        let connection = &mut self.connections[index];
        match connection.receive(&mut self.reader, count, close) {
            // The server closed after its last answer, and the request crossed the close.
            Err(Failure::Closed) if connection.answered_here > 0 => {
                self.send_anew(index)?;
                let connection = &mut self.connections[index];
                connection.receive(&mut self.reader, count, close)
            }
            received => received,
        }
    }

    fn send_anew(&mut self, index: usize) -> Result<(), Failure> {
        self.look_for_close = true;
        self.tally.reconnects += 1;
        let connection = &mut self.connections[index];
        connection.close();
        connection.open(&self.options.address)?;
        connection.send(&self.request)
    }

    fn fail(&mut self, index: usize, failure: Failure) {
        match failure {
            Failure::Hung => self.tally.hung += 1,
            _ => self.tally.errors += 1,
        }
        self.reader.hurry |= matches!(failure, Failure::Hung | Failure::NotClosed);
        self.first_failure.get_or_insert(failure);
        self.connections[index].close();
    }
}

#[derive(Default)]
struct Tally {
    latencies_ns: Vec<u32>,
    errors: u64,
    hung: u64,
    reconnects: u64,
}

impl Tally {
    fn answered(&mut self, sent_at: Instant) {
        let ns = u32::try_from(sent_at.elapsed().as_nanos()).unwrap_or(u32::MAX);
        self.latencies_ns.push(ns);
    }

    fn json(&mut self, seconds: f64, warmup_reconnects: u64, failure: Option<Failure>) -> String {
        self.latencies_ns.sort_unstable();
        let first_failure = failure.map_or("null".into(), |failure| format!("{failure:?}"));
        let first_failure = match failure {
            Some(_) => format!("\"{}\"", first_failure.replace('"', "'")),
            None => first_failure,
        };
        format!(
            "{{\"requests\": {}, \"seconds\": {seconds:.6}, \"errors\": {}, \"hung\": {}, \
             \"reconnects\": {}, \"warmup_reconnects\": {warmup_reconnects}, \
             \"p50_us\": {:.1}, \"p99_us\": {:.1}, \"p999_us\": {:.1}, \
             \"first_failure\": {first_failure}}}",
            self.latencies_ns.len(),
            self.errors,
            self.hung,
            self.reconnects,
            self.percentile_us(0.5),
            self.percentile_us(0.99),
            self.percentile_us(0.999),
        )
    }

    /// The smallest latency that at least this share of the answers did not exceed.
    fn percentile_us(&self, share: f64) -> f64 {
        let count = self.latencies_ns.len();
        let rank = ((share * count as f64).ceil() as usize).clamp(1, count.max(1));
        self.latencies_ns.get(rank - 1).map_or(0.0, |&ns| f64::from(ns) / 1000.0)
    }
}

/// Says where we are and waits until the caller has sampled the server.
fn pause(word: &str) {
    println!("{word}");
    let _ = io::stdout().flush();
    wait_for_line();
}

fn wait_for_line() {
    // One byte at a time, unbuffered: the end of input counts as a line.
    let mut byte = [0];
    let mut stdin = io::stdin().lock();
    while matches!(stdin.read(&mut byte), Ok(1)) && byte[0] != b'\n' {}
}
