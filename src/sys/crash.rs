//! The last words of a process that a fatal signal ends.

use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicPtr, Ordering};

const FATAL: [i32; 5] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGABRT];

/// What was installed before us, to go on with.
struct Before(UnsafeCell<[MaybeUninit<libc::sigaction>; FATAL.len()]>);

// SAFETY: written once by `on_crash` before the handlers that read it are installed.
unsafe impl Sync for Before {}

static BEFORE: Before = Before(UnsafeCell::new([MaybeUninit::zeroed(); FATAL.len()]));
static TELL: AtomicPtr<()> = AtomicPtr::new(std::ptr::null_mut());

/// Calls `tell` with the number of a fatal signal before anything else hears of it. It may do only
/// what signal-safety(7) allows. Once in a process, before it has threads that may crash.
pub fn on_crash(tell: fn(i32)) {
    if !TELL.swap(tell as *mut (), Ordering::SeqCst).is_null() {
        return;
    }
    // The first call loads a library, which a handler may not.
    let mut frames = [std::ptr::null_mut(); 1];
    // SAFETY: room for one address.
    unsafe { libc::backtrace(frames.as_mut_ptr(), 1) };
    for (place, signal) in FATAL.into_iter().enumerate() {
        // SAFETY: all-zero is a valid sigaction; the handler is a function of the right type, and
        // the place for the old action is this signal's own.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handle as *const () as libc::sighandler_t;
            // On the thread's own stack: the small one that Rust sets aside is too small for last
            // words. A stack that has overflowed gets none; the kernel ends the process then.
            action.sa_flags = libc::SA_SIGINFO;
            let before = (*BEFORE.0.get())[place].as_mut_ptr();
            libc::sigaction(signal, &raw const action, before);
        }
    }
}

extern "C" fn handle(signal: i32, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    let Some(place) = FATAL.iter().position(|&known| known == signal) else { return };
    // SAFETY: the old action was stored by `on_crash`. With it in place, the instruction that
    // faulted faults again when this handler returns, and a signal that was sent is sent anew.
    unsafe {
        let before = (*BEFORE.0.get())[place].as_ptr();
        libc::sigaction(signal, before, std::ptr::null_mut());
        let tell = TELL.load(Ordering::SeqCst);
        if !tell.is_null() {
            let tell: fn(i32) = std::mem::transmute(tell);
            tell(signal);
        }
        if (*info).si_code <= 0 || signal == libc::SIGABRT {
            let mut own: libc::sigset_t = std::mem::zeroed();
            libc::sigaddset(&raw mut own, signal);
            libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const own, std::ptr::null_mut());
            libc::raise(signal);
            // Rust's own handler takes a signal that was sent for none of its matter and returns.
            libc::signal(signal, libc::SIG_DFL);
            libc::raise(signal);
        }
    }
}

/// Frames of a native stack that are shown.
const FRAMES_MAX: usize = 64;
/// What shows them has so long: a lock of the loader's may be held.
const SHOW_S: u32 = 2;

/// Writes the native stack of the calling thread to standard error, a line a frame: the file, with
/// a function's name where the file exports it. A copy of the process does it, for a broken stack
/// may cost whoever walks it, and the Python stack is still to be written.
pub fn write_native_stack() {
    // SAFETY: a copy of this thread alone, without the handlers of fork(3), that only walks its
    // stack, writes and ends; every call is given places of its own with their lengths.
    unsafe {
        let child = libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0);
        if child == 0 {
            libc::signal(libc::SIGALRM, libc::SIG_DFL);
            let mut alarm: libc::sigset_t = std::mem::zeroed();
            libc::sigaddset(&raw mut alarm, libc::SIGALRM);
            libc::sigprocmask(libc::SIG_UNBLOCK, &raw const alarm, std::ptr::null_mut());
            libc::alarm(SHOW_S);
            let mut frames = [std::ptr::null_mut(); FRAMES_MAX];
            let count = libc::backtrace(frames.as_mut_ptr(), FRAMES_MAX as libc::c_int);
            libc::backtrace_symbols_fd(frames.as_ptr(), count, libc::STDERR_FILENO);
            libc::_exit(0);
        }
        if child > 0 {
            libc::waitpid(child as libc::pid_t, std::ptr::null_mut(), libc::__WALL);
        }
    }
}

/// Writes to standard error without a buffer.
pub fn write_raw(bytes: &[u8]) {
    // SAFETY: pointer and length are those of a slice.
    unsafe { libc::write(libc::STDERR_FILENO, bytes.as_ptr().cast(), bytes.len()) };
}
