//! The spawner: a process with one thread that holds the app, and forks worker processes on
//! request.
//!
//! It is started before the server process has any thread. Messages are single packets on a socket
//! pair; a worker's pidfd comes with the packet that announces it, opened before anybody could have
//! reaped the process, so it never names another.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use super::Embedding;
use crate::log;
use crate::python::{self, Forked, Runtime};
use crate::shared::worker;
use crate::sys::{self, Ended, Fork};
use crate::wsgi::{self, Loaded, Plan};

/// The server's end.
pub struct Spawner {
    socket: OwnedFd,
    pub pid: i32,
}

/// What a worker does that finds its app cannot be loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WithoutApp {
    /// uWSGI: it serves, and answers 500 to everything.
    Serves,
    /// It ends, with uWSGI's code for it: the app was served before, or still is.
    Leaves,
}

/// What the spawner tells.
#[derive(Debug)]
pub enum Event {
    /// It is ready to fork; the app is loaded, or will be in each worker.
    Ready {
        has_app: bool,
    },
    /// Python did not start.
    Failed,
    Spawned {
        worker: usize,
        pid: i32,
        watch: OwnedFd,
    },
    /// The kernel refused it; the spawner has said why.
    NotSpawned {
        worker: usize,
    },
    Ended {
        pid: i32,
        how: Ended,
    },
    /// The spawner itself is gone.
    Gone,
}

const READY: u32 = 1;
const FAILED: u32 = 2;
const SPAWNED: u32 = 3;
const EXITED: u32 = 4;
const KILLED: u32 = 5;
const NOT_SPAWNED: u32 = 6;
/// As SPAWNED from the server, for a worker that leaves without an app.
const WITH_APP: u32 = 7;

/// uWSGI: a worker whose app failed.
const FAILED_APP: i32 = 22;

/// One packet: what, and two numbers.
type Packet = [u32; 3];

fn encode(packet: Packet) -> [u8; 12] {
    let mut bytes = [0; 12];
    for (place, number) in bytes.chunks_exact_mut(4).zip(packet) {
        place.copy_from_slice(&number.to_ne_bytes());
    }
    bytes
}

fn decode(bytes: &[u8]) -> Option<Packet> {
    let mut packet = [0; 3];
    let mut places = bytes.chunks_exact(4);
    for number in &mut packet {
        *number = u32::from_ne_bytes(places.next()?.try_into().ok()?);
    }
    Some(packet)
}

impl Spawner {
    /// Forks the spawner, which closes what is `private` to this process. Only while this process
    /// has one thread.
    ///
    /// # Errors
    /// What the kernel refused, in words.
    pub fn start(
        embedding: &Embedding,
        plan: &Plan,
        lazy: bool,
        private: &[RawFd],
    ) -> Result<Spawner, String> {
        let parent = std::process::id() as i32;
        // Without it every worker would be given up as soon as it is forked.
        sys::pidfd_open(parent).map_err(|error| {
            format!("pidfd_open(): {error}: worker processes need it (Linux 5.3 and newer)")
        })?;
        let (ours, theirs) = sys::message_pair().map_err(|error| format!("socket: {error}"))?;
        match sys::fork().map_err(|error| format!("fork(): {error}"))? {
            Fork::Child => {
                drop(ours);
                sys::title::become_role("spawner");
                sys::die_with_parent(parent, libc::SIGKILL);
                private.iter().for_each(|&fd| sys::close(fd));
                sys::harmless::defuse(&[
                    libc::SIGINT,
                    libc::SIGTERM,
                    libc::SIGHUP,
                    libc::SIGQUIT,
                    libc::SIGUSR1,
                    libc::SIGUSR2,
                    libc::SIGTSTP,
                ]);
                sys::harmless::arm_children();
                live(embedding, plan, lazy, theirs)
            }
            Fork::Parent { child } => {
                // Workers fetch connections to answer on.
                sys::open_to(child);
                Ok(Spawner { socket: ours, pid: child })
            }
        }
    }

    /// Readable when there is an event.
    pub fn fd(&self) -> i32 {
        self.socket.as_raw_fd()
    }

    /// Asks for a worker process.
    ///
    /// # Errors
    /// The kernel's: the spawner is gone.
    pub fn spawn(
        &self,
        worker: usize,
        incarnation: u32,
        without_app: WithoutApp,
    ) -> io::Result<()> {
        let what = match without_app {
            WithoutApp::Serves => SPAWNED,
            WithoutApp::Leaves => WITH_APP,
        };
        let packet = encode([what, worker as u32, incarnation]);
        sys::send_with_fd(self.socket.as_fd(), &packet, None)
    }

    /// Waits for the next event.
    pub fn event(&self) -> Event {
        let mut bytes = [0; 12];
        let Ok((len, fd)) = sys::receive_with_fd(self.socket.as_fd(), &mut bytes) else {
            return Event::Gone;
        };
        match (decode(&bytes[..len]), fd) {
            (Some([READY, has_app, _]), _) => Event::Ready { has_app: has_app == 1 },
            (Some([FAILED, ..]), _) => Event::Failed,
            (Some([SPAWNED, worker, pid]), Some(watch)) => {
                Event::Spawned { worker: worker as usize, pid: pid as i32, watch }
            }
            (Some([NOT_SPAWNED, worker, _]), _) => Event::NotSpawned { worker: worker as usize },
            (Some([EXITED, pid, code]), _) => {
                Event::Ended { pid: pid as i32, how: Ended::Exited(code as i32) }
            }
            (Some([KILLED, pid, signal]), _) => {
                Event::Ended { pid: pid as i32, how: Ended::Killed(signal as i32) }
            }
            _ => Event::Gone,
        }
    }
}

/// The spawner's life; it ends when the server closes the socket.
fn live(embedding: &Embedding, plan: &Plan, lazy: bool, socket: OwnedFd) -> ! {
    let tell = |packet| {
        if sys::send_with_fd(socket.as_fd(), &encode(packet), None).is_err() {
            sys::exit_now(0);
        }
    };
    let runtime = match embedding.start() {
        Ok(runtime) => runtime,
        Err(error) => {
            log::line(format_args!("{error}"));
            tell([FAILED, 0, 0]);
            sys::exit_now(1);
        }
    };
    let loaded = if lazy { None } else { Some(preload(&runtime, plan)) };
    let has_app = loaded.as_ref().is_none_or(|loaded| loaded.is_whole(plan));
    tell([READY, u32::from(has_app), 0]);
    let mut watches: Vec<OwnedFd> = Vec::new();
    loop {
        let mut fds = vec![socket.as_raw_fd()];
        fds.extend(watches.iter().map(AsRawFd::as_raw_fd));
        let mut ready = Vec::new();
        sys::poll_readable(&fds, -1, &mut ready);
        let mut flags = ready.iter().skip(1);
        watches.retain(|_| !flags.next().copied().unwrap_or(false));
        while let Some((pid, how)) = sys::reap() {
            tell(match how {
                Ended::Exited(code) => [EXITED, pid as u32, code as u32],
                Ended::Killed(signal) => [KILLED, pid as u32, signal as u32],
            });
        }
        if ready.first() != Some(&true) {
            continue;
        }
        let mut bytes = [0; 12];
        let request = sys::receive_with_fd(socket.as_fd(), &mut bytes).ok();
        let packet = request.and_then(|(n, _)| decode(&bytes[..n]));
        let Some([what @ (SPAWNED | WITH_APP), index, incarnation]) = packet else {
            sys::exit_now(0); // The server is gone; workers follow by PDEATHSIG.
        };
        let own = std::process::id() as i32;
        match sys::harmless::without_arming(|| runtime.main().attach(python::fork)) {
            Ok(Forked::Child) => {
                sys::die_with_parent(own, libc::SIGKILL);
                drop(watches);
                // A child of the app that lived on would keep the server from seeing our end.
                drop(socket);
                let without_app =
                    if what == WITH_APP { WithoutApp::Leaves } else { WithoutApp::Serves };
                work(&runtime, plan, index as usize, incarnation, loaded, without_app)
            }
            Ok(Forked::Parent { child }) => {
                match announce(socket.as_fd(), index, child) {
                    Ok(watch) => watches.push(watch),
                    Err(error) => {
                        // A worker that nobody watches would leave its requests behind.
                        sys::kill(child, libc::SIGKILL);
                        let _ = sys::wait_for(child);
                        log::line(format_args!("worker {}: pidfd: {error}", index + 1));
                        tell([NOT_SPAWNED, index, 0]);
                    }
                }
            }
            Err(error) => {
                log::line(format_args!("worker {}: fork(): {error}", index + 1));
                tell([NOT_SPAWNED, index, 0]);
            }
        }
    }
}

/// Tells the server of a new worker, with a descriptor that tells of its end.
fn announce(socket: BorrowedFd<'_>, index: u32, child: i32) -> io::Result<OwnedFd> {
    let watch = sys::pidfd_open(child)?;
    let packet = encode([SPAWNED, index, child as u32]);
    sys::send_with_fd(socket, &packet, Some(watch.as_fd()))?;
    Ok(watch)
}

/// Loads the app once, for all workers to share until they write to it.
fn preload(runtime: &Runtime, plan: &Plan) -> Loaded {
    load(runtime, plan, 0)
}

fn load(runtime: &Runtime, plan: &Plan, number: usize) -> Loaded {
    let started = std::time::Instant::now();
    let interpreter = runtime.main().interpreter();
    let result = runtime
        .main()
        .attach(|py| Loaded::new(py, plan, number).map_err(|error| error.traceback(py)));
    match result {
        Ok((loaded, error)) => {
            wsgi::report_load(plan, &loaded, error.as_ref(), started, interpreter.address());
            loaded
        }
        Err(error) => {
            log::line(format_args!("{}", error.trim_end()));
            sys::exit_now(1);
        }
    }
}

/// A worker process: its first thread is Python's main thread and core 0.
fn work(
    runtime: &Runtime,
    plan: &Plan,
    index: usize,
    incarnation: u32,
    loaded: Option<Loaded>,
    without_app: WithoutApp,
) -> ! {
    sys::title::become_role(&format!("worker {}", index + 1));
    plan.handoff.region.keep_from_children();
    plan.handoff.enable_own_sends(index, incarnation);
    if let Some(limit) = plan.limit_as {
        let bytes = limit.saturating_add(plan.handoff.region.bytes() as u64);
        if let Err(error) = sys::limit_address_space(bytes) {
            log::line(format_args!("worker {}: limit-as: {error}", index + 1));
        }
    }
    let loaded: &'static Loaded =
        Box::leak(Box::new(loaded.unwrap_or_else(|| load(runtime, plan, index + 1))));
    if without_app == WithoutApp::Leaves && !loaded.is_whole(plan) {
        sys::exit_now(FAILED_APP);
    }
    plan.board
        .worker(index)
        .set(worker::INTERPRETER, runtime.main().interpreter().address() as u64);
    wsgi::enter_second_directory(&plan.place);
    wsgi::announce(plan, index, incarnation, loaded);
    runtime.main().attach(|py| {
        // Not in the spawner: an app that registers more would do it twice.
        let _ = py.dump_stack_at(sys::dump_signal()).map_err(|error| {
            log::line(format_args!("harakiri-verbose shows no stacks: {}", error.summary(py)));
        });
    });
    runtime.main().attach(|py| loaded.enter_worker(py, index + 1));
    wsgi::run_threads(plan, runtime.main(), index, incarnation, loaded);
    sys::exit_now(0)
}
