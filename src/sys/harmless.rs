//! Signals made harmless in a process of ours, and not in what the app forks from it.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Makes `signals` harmless here. A handler and not SIG_IGN: programs that a child executes must
/// find the default again, or `terminate()` would not end them.
pub fn defuse(signals: &[i32]) {
    for &signal in signals {
        // SAFETY: the handler touches nothing.
        unsafe { libc::signal(signal, do_nothing as *const () as libc::sighandler_t) };
    }
}

/// Whether a send to a peer that is gone ends this process, where it cannot be told not to.
pub fn dies_of_sigpipe() -> bool {
    // SAFETY: all-zero is a valid sigaction; the call fills this local.
    unsafe {
        let mut now: libc::sigaction = std::mem::zeroed();
        let known = libc::sigaction(libc::SIGPIPE, std::ptr::null(), &raw mut now) == 0;
        !known || now.sa_sigaction == libc::SIG_DFL
    }
}

extern "C" fn do_nothing(_signal: libc::c_int) {}

/// Gives every child that is forked from here on the default for what `defuse` made harmless:
/// `multiprocessing` and `os.fork` execute nothing, and `terminate()` must end them too, also at
/// once.
pub fn arm_children() {
    // SAFETY: the handlers call only what is allowed in a child of many threads.
    unsafe { libc::pthread_atfork(Some(hold), Some(release), Some(arm)) };
    IS_ARMING.store(true, Relaxed);
}

/// Runs `fork`, whose child is one of ours: it handles signals as this process does.
pub fn without_arming<R>(fork: impl FnOnce() -> R) -> R {
    IS_ARMING.store(false, Relaxed);
    let forked = fork();
    IS_ARMING.store(true, Relaxed);
    forked
}

static IS_ARMING: AtomicBool = AtomicBool::new(false);
static IS_APPS_CHILD: AtomicBool = AtomicBool::new(false);

/// Whether this process was forked by the app, and not as one of ours.
pub fn is_apps_child() -> bool {
    IS_APPS_CHILD.load(Relaxed)
}

thread_local! {
    /// What this thread blocked before its fork.
    static HELD: Cell<Option<libc::sigset_t>> = const { Cell::new(None) };
}

unsafe extern "C" fn hold() {
    HELD.set(Some(super::hold_signals()));
}

unsafe extern "C" fn release() {
    if let Some(before) = HELD.take() {
        super::restore_signals(&before);
    }
}

unsafe extern "C" fn arm() {
    let is_apps = IS_ARMING.load(Relaxed);
    IS_APPS_CHILD.store(is_apps, Relaxed);
    let armed = if is_apps { 1..32 } else { 1..1 };
    for signal in armed {
        // SAFETY: both calls are async-signal-safe; `now` is a local that sigaction fills.
        unsafe {
            let mut now: libc::sigaction = std::mem::zeroed();
            libc::sigaction(signal, std::ptr::null(), &raw mut now);
            if now.sa_sigaction == do_nothing as *const () as libc::sighandler_t {
                libc::signal(signal, libc::SIG_DFL);
            }
        }
    }
    // SAFETY: as its caller.
    unsafe { release() };
}
