//! Counts what the threads of the shards allocate while they serve requests on kept connections.
//!
//! The server runs in a process of its own, which is this program again with an allocator that
//! counts (`COUNTS` in its environment names the file in which it does), so that it starts like
//! the command: on the first thread, with no other beside it.
#![allow(unsafe_code, clippy::unwrap_used)]

#[allow(dead_code, unused_imports)] // The other test binary uses all of it.
mod harness;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ffi::{CStr, OsStr, OsString};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::process::ExitCode;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering::Relaxed};

use harness::server::{clean, python_minor};
use harness::{Client, Mode, Server};
use uwring::master::Role;
use uwring::options::Environment;

const COUNTS: &str = "ALLOCATION_COUNTS";
/// Numbers in the file: the allocations of shards, and how many of the next ones are to be shown.
const MADE: usize = 0;
const SHOW: usize = 1;
const FILE_BYTES: u64 = 4096;

/// Around one that is shown, in the server's log.
const BEGIN: &str = "-- an allocation: ";
const END: &str = "-- end of it";

/// What may come beside the requests: a batch of lines while the log's thread is late.
const ALLOWED: u64 = 8;
const REQUESTS: usize = 2_000;

fn main() -> ExitCode {
    if let Some(path) = std::env::var_os(COUNTS) {
        return serve(&path);
    }
    let filters: Vec<_> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let mut done = 0;
    for mode in Mode::ALL {
        if mode.is_process() || python_minor() >= 13 {
            for (name, logged, connections) in [
                ("a_lone_connection", false, 1),
                ("a_lone_connection_with_log_lines", true, 1),
                ("eight_connections", false, 8),
                ("eight_connections_with_log_lines", true, 8),
            ] {
                let name = format!("{name}_cost_no_allocation ({mode})");
                if filters.is_empty() || filters.iter().any(|filter| name.contains(filter)) {
                    println!("test {name}: {} allocations", count(mode, logged, connections));
                    done += 1;
                }
            }
        }
    }
    println!("{done} passed, 0 failed");
    ExitCode::SUCCESS
}

/// The allocations of the shards during `REQUESTS` requests; panics if they are too many.
fn count(mode: Mode, logged: bool, connections: usize) -> u64 {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(FILE_BYTES).unwrap();
    let read = |place: usize| {
        let mut bytes = [0; 8];
        file.as_file().read_exact_at(&mut bytes, place as u64 * 8).unwrap();
        u64::from_ne_bytes(bytes)
    };
    let app = harness::app("hello");
    let mut command = clean(&std::env::current_exe().unwrap());
    command.env(COUNTS, file.path());
    command.args(["--http-socket", "127.0.0.1:0", "--wsgi-file", &app, "--processes", "2"]);
    command.args(["--shards", "1"]);
    command.args(["--isolation", mode.isolation, "--io", mode.io]);
    command.args((!logged).then_some("--disable-logging"));
    let server = Server::await_ready(command, mode);

    let mut clients: Vec<_> = (0..connections).map(|_| server.connect()).collect();
    ask(&mut clients, REQUESTS);
    assert!(read(MADE) > 0, "the allocator does not count ({mode})");
    // More than one look: a pool grows when another thread is late, up to its limit.
    let mut made = u64::MAX;
    for _ in 0..5 {
        let before = read(MADE);
        ask(&mut clients, REQUESTS);
        made = made.min(read(MADE) - before);
        if made <= ALLOWED {
            return made;
        }
    }
    file.as_file().write_at(&1_u64.to_ne_bytes(), SHOW as u64 * 8).unwrap();
    ask(&mut clients, connections);
    let shown = server.log.find("shown allocation", |text| {
        let (_, from) = text.split_once(BEGIN)?;
        Some(from.split_once(END)?.0.to_owned())
    });
    panic!(
        "{made} allocations for {REQUESTS} requests on {connections} connections, as of {shown}"
    );
}

/// Sends one request on each connection, then reads all answers, and again.
fn ask(clients: &mut [Client], requests: usize) {
    for _ in 0..requests / clients.len() {
        for client in &mut *clients {
            client.send("GET / HTTP/1.1\r\nHost: a.example\r\nAccept: */*\r\n\r\n");
        }
        for client in &mut *clients {
            assert_eq!(client.response().status, 200);
        }
    }
}

/// The server, as `main` of the command starts it.
fn serve(counts: &OsStr) -> ExitCode {
    count_into(&File::options().read(true).write(true).open(counts).unwrap());
    let args: Vec<OsString> = std::env::args_os().collect();
    let env: Environment = std::env::vars_os().collect();
    let mut options = uwring::options::from_process(args.clone(), &env).unwrap();
    options.home = uwring::options::python::choose(&options, &args[0], &env).unwrap().home;
    let role = Role { shards: uwring::server::shard_count, serve: uwring::server::run };
    let code = uwring::master::run(options, args, env, role).unwrap();
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

/// Where the numbers are; null in the process that only asks.
static NUMBERS: AtomicPtr<AtomicU64> = AtomicPtr::new(std::ptr::null_mut());

fn count_into(file: &File) {
    let (all, fd) = (libc::PROT_READ | libc::PROT_WRITE, file.as_raw_fd());
    // SAFETY: a new mapping, at an address that the kernel chooses; it is never unmapped.
    let place = unsafe {
        libc::mmap(std::ptr::null_mut(), FILE_BYTES as usize, all, libc::MAP_SHARED, fd, 0)
    };
    assert_ne!(place, libc::MAP_FAILED, "mmap");
    NUMBERS.store(place.cast(), Relaxed);
}

fn number(place: usize) -> Option<&'static AtomicU64> {
    assert!(place <= SHOW);
    let first = NUMBERS.load(Relaxed);
    // SAFETY: the page is mapped for good, aligned, and holds more numbers than that; others
    // change them too, but nobody otherwise than whole.
    (!first.is_null()).then(|| unsafe { &*first.add(place) })
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: all is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: as the caller promised.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(size);
        // SAFETY: as the caller promised.
        unsafe { System.realloc(old, layout, size) }
    }

    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(old, layout) }
    }
}

fn note(size: usize) {
    thread_local!(static SHOWS: Cell<bool> = const { Cell::new(false) });
    let (Some(made), Some(show)) = (number(MADE), number(SHOW)) else { return };
    if SHOWS.get() || !is_shard() {
        return;
    }
    made.fetch_add(1, Relaxed);
    if show.load(Relaxed) > 0 {
        show.fetch_sub(1, Relaxed);
        SHOWS.set(true);
        eprintln!("{BEGIN}{size} bytes\n{}{END}", std::backtrace::Backtrace::force_capture());
        SHOWS.set(false);
    }
}

/// Whether this is the thread of a shard: `uwring s1`. Asked each time, because a thread may
/// allocate before it has its name.
fn is_shard() -> bool {
    let mut name = [0_u8; 16];
    // SAFETY: the kernel writes at most 16 bytes, the last of them a zero.
    unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) };
    let name = CStr::from_bytes_until_nul(&name).map_or(&b""[..], CStr::to_bytes);
    name.strip_prefix(b"uwring s").is_some_and(|rest| rest.first().is_some_and(u8::is_ascii_digit))
}
