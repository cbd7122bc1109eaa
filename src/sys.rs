//! The system calls that no crate here wraps, each behind a safe function.
//!
//! This room, `python/` and `handoff/region.rs` are the only places where unsafe code is allowed.
#![allow(unsafe_code)]

#[cfg(feature = "server")]
pub mod child;
mod clock;
pub mod crash;
#[cfg(feature = "server")]
pub mod epoll;
mod exec;
pub mod harmless;
mod interfaces;
mod pipe;
mod process;
pub mod scheduling;
#[cfg(feature = "server")]
pub mod signals;
mod socket;
pub mod title;
pub mod uring;
mod users;
#[cfg(feature = "server")]
pub mod warm;

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::time::Duration;

use rustix::event::EventfdFlags;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, WaitOptions, WaitStatus};
use rustix::thread::futex;
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};

pub use clock::{ctime, local_time, monotonic_us};
pub use exec::exec;
pub use interfaces::own_addresses;
pub use pipe::{
    PIPE_ATOM, await_readable, await_readable_briefly, await_room, drop_handlers, has_reader,
    keep_descriptors, never_wait, pipe, read_fd, read_order, receive_message_now, send_message_now,
    widen, write_now,
};
pub use process::{
    Memory, catches, limit_address_space, limit_files, limit_files_at_most, limit_processes,
    memory_of, set_nice,
};
pub use scheduling::{bind_to_cores, thread_id, yield_now};
pub use socket::{
    Half, accept_queue, close_on_exec, give_fd, incoming_core, inherit_on_exec, message_pair,
    receive_into, receive_now, receive_with_fd, reset_at_close, send_both_now, send_file_now,
    send_now, send_with_fd, shut, tcp_socket, tune, unread,
};
pub use users::{drop_privileges, group_id, user, user_id};

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Who may touch a piece of memory: the threads of this process, or also its forked children.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    Threads,
    Processes,
}

/// Maps `len` zeroed bytes that live as long as the process. Untouched pages cost nothing.
///
/// # Errors
/// The kernel's, when address space or the memory limit does not allow it.
pub fn map_forever(len: usize, sharing: Sharing) -> io::Result<*mut u8> {
    let kind = match sharing {
        Sharing::Threads => libc::MAP_PRIVATE,
        Sharing::Processes => libc::MAP_SHARED,
    };
    let flags = kind | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: an anonymous mapping at an address of the kernel's choice touches no existing memory.
    let address = unsafe {
        libc::mmap(std::ptr::null_mut(), len, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0)
    };
    if address == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(address.cast()) }
}

/// `count` zeroed words that live as long as the process.
///
/// # Errors
/// As `map_forever`.
pub fn words_forever(count: usize, sharing: Sharing) -> io::Result<&'static [AtomicU64]> {
    let base = map_forever(count * 8, sharing)?;
    // SAFETY: the mapping is page-aligned, `count * 8` bytes long, zeroed (valid for AtomicU64) and
    // never unmapped.
    Ok(unsafe { std::slice::from_raw_parts(base.cast(), count) })
}

/// `count` zeroed half words, to sleep on, that live as long as the process.
///
/// # Errors
/// As `map_forever`.
pub fn half_words_forever(count: usize, sharing: Sharing) -> io::Result<&'static [AtomicU32]> {
    let base = map_forever(count * 4, sharing)?;
    // SAFETY: as in `words_forever`, with `count * 4` bytes.
    Ok(unsafe { std::slice::from_raw_parts(base.cast(), count) })
}

/// Keeps a mapping out of children that this process forks from now on.
pub fn keep_from_children(base: *mut u8, len: usize) {
    // SAFETY: only marks the mapping; a wrong address makes the call fail.
    unsafe { libc::madvise(base.cast(), len, libc::MADV_DONTFORK) };
}

/// Gives the whole pages inside `[base, base + len)` back to the kernel; they read as zero
/// afterwards.
///
/// # Safety
/// Nobody may need the bytes of that range any more.
pub unsafe fn give_back(base: *mut u8, len: usize, sharing: Sharing) {
    let page = 4096;
    let start = (base as usize).next_multiple_of(page);
    let end = (base as usize + len) & !(page - 1);
    if end <= start {
        return;
    }
    // MADV_DONTNEED would keep the pages of a shared mapping.
    let advice = match sharing {
        Sharing::Threads => libc::MADV_DONTNEED,
        Sharing::Processes => libc::MADV_REMOVE,
    };
    // SAFETY: the caller promises that the range's content is not needed.
    unsafe { libc::madvise(start as *mut libc::c_void, end - start, advice) };
}

/// Sleeps while `word` holds `expected`, until woken, interrupted or the time is up. True if it was
/// a signal that ended the sleep.
pub fn futex_wait(word: &AtomicU32, expected: u32, sharing: Sharing, limit: Duration) -> bool {
    let limit = timespec(limit);
    futex::wait(word, futex_flags(sharing), expected, Some(&limit)) == Err(Errno::INTR)
}

/// Wakes up to `count` sleepers of `word`.
pub fn futex_wake(word: &AtomicU32, count: u32, sharing: Sharing) {
    let _ = futex::wake(word, futex_flags(sharing), count);
}

fn futex_flags(sharing: Sharing) -> futex::Flags {
    match sharing {
        Sharing::Threads => futex::Flags::PRIVATE,
        Sharing::Processes => futex::Flags::empty(),
    }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}

/// A non-blocking eventfd.
///
/// # Errors
/// The kernel's (too many files).
pub fn eventfd() -> io::Result<OwnedFd> {
    Ok(rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)
}

/// Adds one to an eventfd. A full counter is as good as a rung bell, so errors say nothing.
pub fn eventfd_ring(fd: BorrowedFd<'_>) {
    let _ = rustix::io::write(fd, &1u64.to_ne_bytes());
}

/// Empties an eventfd or a timerfd.
pub fn eventfd_clear(fd: BorrowedFd<'_>) {
    let _ = rustix::io::read(fd, &mut [0; 8]);
}

/// A non-blocking timer that is not armed.
///
/// # Errors
/// The kernel's (too many files).
pub fn timerfd() -> io::Result<OwnedFd> {
    let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
    Ok(rustix::time::timerfd_create(TimerfdClockId::Monotonic, flags)?)
}

/// Lets a timer expire once, `duration` from now.
pub fn timerfd_arm(fd: BorrowedFd<'_>, duration: Duration) {
    let never = timespec(Duration::ZERO);
    let once = Itimerspec { it_interval: never, it_value: timespec(duration) };
    let _ = rustix::time::timerfd_settime(fd, TimerfdTimerFlags::empty(), &once);
}

/// What `fork` returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fork {
    Child,
    Parent { child: i32 },
}

/// Forks. Only for a process that has one thread, or whose child restricts itself as Python's does.
///
/// # Errors
/// The kernel's (process limit, memory).
pub fn fork() -> io::Result<Fork> {
    // SAFETY: no pointer; the callers run single-threaded or hold the interpreter's fork locks.
    match check(unsafe { libc::fork() })? {
        0 => Ok(Fork::Child),
        child => Ok(Fork::Parent { child }),
    }
}

/// Puts this process into a process group of its own, which its children will be in too.
pub fn lead_group() {
    let _ = rustix::process::setpgid(None, None);
}

/// A file in memory, without a name in any folder; forked children share it.
///
/// # Errors
/// The kernel's (too many files).
pub fn memory_file(name: &std::ffi::CStr) -> io::Result<std::fs::File> {
    Ok(rustix::fs::memfd_create(name, rustix::fs::MemfdFlags::CLOEXEC)?.into())
}

/// Asks for `signal` when the parent thread dies, and ends now if `parent` is gone already.
pub fn die_with_parent(parent: i32, signal: i32) {
    // SAFETY: prctl with an integer argument; getppid cannot fail.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, signal);
        if libc::getppid() != parent {
            libc::_exit(1);
        }
    }
}

/// Ends the process at once: no destructors, no atexit.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: _exit does not return and runs nothing of ours.
    unsafe { libc::_exit(code) }
}

/// A descriptor that is readable when the process `pid` has ended.
///
/// # Errors
/// The kernel's (no such process).
pub fn pidfd_open(pid: i32) -> io::Result<OwnedFd> {
    let pid = Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidInput)?;
    Ok(rustix::process::pidfd_open(pid, PidfdFlags::empty())?)
}

/// A copy of the descriptor `fd` of another process.
///
/// # Errors
/// The kernel's: EPERM where it does not let this process look into that one, EBADF.
pub fn fetch_descriptor(process: BorrowedFd<'_>, fd: i32) -> io::Result<OwnedFd> {
    Ok(rustix::process::pidfd_getfd(process, fd, PidfdGetfdFlags::empty())?)
}

/// Lets `child`, and what descends from it, fetch this process's descriptors where the kernel would
/// not by itself: with Yama a process may look only into its own descendants, and after a change of
/// the user nobody may.
pub fn open_to(child: i32) {
    use rustix::process::{DumpableBehavior, PTracer, set_dumpable_behavior, set_ptracer};
    // Kernels without Yama know no tracer; what is refused shows when it is tried.
    if let Some(pid) = Pid::from_raw(child) {
        let _ = set_ptracer(PTracer::ProcessID(pid));
    }
    let _ = set_dumpable_behavior(DumpableBehavior::Dumpable);
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    Exited(i32),
    Killed(i32),
}

impl Ended {
    /// Whether it was the process's own fault.
    pub fn is_crash(self) -> bool {
        use libc::{SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV};
        matches!(self, Ended::Killed(SIGSEGV | SIGBUS | SIGABRT | SIGILL | SIGFPE))
    }
}

/// Takes the exit status of one ended child, if there is any.
pub fn reap() -> Option<(i32, Ended)> {
    let (pid, status) = rustix::process::wait(WaitOptions::NOHANG).ok()??;
    Some((pid.as_raw_nonzero().get(), ended(status)))
}

/// Waits until the child `pid` has ended.
///
/// # Errors
/// The kernel's (not a child).
pub fn wait_for(pid: i32) -> io::Result<Ended> {
    let child = Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidInput)?;
    loop {
        match rustix::process::waitpid(Some(child), WaitOptions::empty()) {
            Ok(Some((_, status))) => return Ok(ended(status)),
            Ok(None) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn ended(status: WaitStatus) -> Ended {
    match status.terminating_signal() {
        Some(signal) => Ended::Killed(signal),
        None => Ended::Exited(status.exit_status().unwrap_or(0)),
    }
}

/// Sends `signal` to a process; a process that is gone already is no error.
pub fn kill(pid: i32, signal: i32) {
    // SAFETY: no pointer is passed.
    unsafe { libc::kill(pid, signal) };
}

/// Waits until one of `fds` is readable or hung up, or `timeout_ms` passed; tells which are.
pub fn poll_readable(fds: &[RawFd], timeout_ms: i32, ready: &mut Vec<bool>) {
    let mut polled: Vec<libc::pollfd> =
        fds.iter().map(|&fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 }).collect();
    // SAFETY: `polled` is a live array of the length passed.
    let count = unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as _, timeout_ms) };
    ready.clear();
    ready.extend(polled.iter().map(|entry| count > 0 && entry.revents != 0));
}

/// The machine's name, as `uname -n` says it.
pub fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Sets the mask of permissions that new files do not get.
pub fn umask(mask: u32) {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(mask));
}

/// Sets an environment variable. For the single-threaded start only.
pub fn set_env(name: &str, value: &str) {
    // SAFETY: called before any thread exists (the launcher's, server::run's first steps).
    unsafe { std::env::set_var(name, value) };
}

/// Removes an environment variable. For the single-threaded start only.
pub fn unset_env(name: &str) {
    // SAFETY: called before any thread exists (server::run's first steps).
    unsafe { std::env::remove_var(name) };
}

/// Blocks every signal in this thread; threads that it starts inherit the mask. The fatal ones stay
/// open: blocked, they would turn a crash into a hang.
pub fn block_signals() {
    // SAFETY: the set is a local that sigfillset initialises.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut set);
        for signal in [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGABRT] {
            libc::sigdelset(&raw mut set, signal);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut());
    }
}

/// Blocks all signals in this thread and returns what was blocked before, for `restore_signals`:
/// around a fork, so that the child gets none before it has handlers of its own.
pub fn hold_signals() -> libc::sigset_t {
    // SAFETY: both sets are locals that the calls initialise.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        let mut before: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
        before
    }
}

/// Blocks what `hold_signals` found blocked, and nothing else.
pub fn restore_signals(before: &libc::sigset_t) {
    // SAFETY: the set was initialised by `hold_signals`.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before, std::ptr::null_mut()) };
}

/// Blocks no signal in this thread: after an exec that kept the mask of `hold_signals`.
pub fn release_signals() {
    // SAFETY: the set is a local that sigemptyset initialises.
    unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
    }
}

/// Begins a session of its own, away from the terminal. A leader of a group cannot, and is in one
/// of its own already.
pub fn new_session() {
    let _ = rustix::process::setsid();
}

/// Makes a named pipe that only this user may write into.
///
/// # Errors
/// The kernel's (the directory is not writable).
pub fn make_fifo(path: &std::path::Path) -> io::Result<()> {
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    Ok(rustix::fs::mkfifoat(rustix::fs::CWD, path, mode)?)
}

/// The signal at which a worker's thread writes its Python stack to the log. Apps use the real-time
/// signals from the low end, if at all.
pub fn dump_signal() -> i32 {
    libc::SIGRTMAX() - 2
}

/// Sends `signal` to one thread of a process; one that is gone already is no error.
pub fn kill_thread(pid: i32, tid: i32, signal: i32) {
    // SAFETY: no pointer is passed.
    unsafe { libc::syscall(libc::SYS_tgkill, pid, tid, signal) };
}

/// The size of a regular file, None if the descriptor is something else.
pub fn regular_file_len(fd: RawFd) -> Option<u64> {
    // SAFETY: all-zero is valid for stat; the call fills a local.
    unsafe {
        let mut stat: libc::stat = std::mem::zeroed();
        let is_file =
            libc::fstat(fd, &raw mut stat) == 0 && stat.st_mode & libc::S_IFMT == libc::S_IFREG;
        is_file.then_some(stat.st_size as u64)
    }
}

/// A second descriptor of the same open file, private to this process.
///
/// # Errors
/// The kernel's (too many files).
pub fn duplicate(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: no pointer is passed.
    let copy = check(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3) })?;
    // SAFETY: the descriptor is new and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// Takes a descriptor over that the program before left open for us, and keeps it from the next.
pub fn adopt(fd: RawFd) -> OwnedFd {
    close_on_exec(fd);
    // SAFETY: whoever left it says that nobody else in this process has it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Closes a descriptor that a fork left over here and whose owner lives in the parent.
pub fn close(fd: RawFd) {
    // SAFETY: no pointer is passed; the caller's process never uses the number again.
    unsafe { libc::close(fd) };
}

/// Makes standard input read from `file`.
pub fn replace_input(file: &std::fs::File) {
    // SAFETY: no pointer is passed.
    unsafe { libc::dup2(file.as_raw_fd(), libc::STDIN_FILENO) };
}

/// Makes standard output and standard error write to `file`.
///
/// # Errors
/// The kernel's.
pub fn replace_output(file: &std::fs::File) -> io::Result<()> {
    for fd in [libc::STDOUT_FILENO, libc::STDERR_FILENO] {
        // SAFETY: no pointer is passed.
        check(unsafe { libc::dup2(file.as_raw_fd(), fd) })?;
    }
    Ok(())
}

/// Gives memory that is free back to the system: also what lies between pieces that are in use.
pub fn trim_memory() {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: no pointer is passed.
        unsafe { libc::malloc_trim(0) };
    }
}
