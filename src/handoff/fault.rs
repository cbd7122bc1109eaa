//! Deaths on purpose, for the tests that prove the crossing safe. Built only with the feature
//! `faults`.
//!
//! `UWRING_FAULT=point:N` makes a worker process kill itself at every N-th pass of the named point.

/// A place where dying would be dangerous.
#[cfg(feature = "faults")]
pub(super) fn point(name: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};
    static WANTED: OnceLock<Option<(String, u64)>> = OnceLock::new();
    static PASSES: AtomicU64 = AtomicU64::new(0);
    let read = || {
        let text = std::env::var("UWRING_FAULT").ok()?;
        let (name, every) = text.split_once(':')?;
        Some((name.to_owned(), every.parse().ok()?))
    };
    if let Some((wanted, every)) = WANTED.get_or_init(read)
        && wanted == name
        && (PASSES.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(*every)
    {
        crate::sys::kill(std::process::id() as i32, libc::SIGKILL);
    }
}

/// A place where dying would be dangerous.
#[cfg(not(feature = "faults"))]
#[inline(always)]
pub(super) fn point(_: &str) {}
