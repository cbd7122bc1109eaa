//! Builds the shard's runtime: an io_uring if the kernel gives one, else epoll.

use std::future::Future;
use std::io;

use monoio::{IoUringDriver, LegacyDriver, RuntimeBuilder};

/// Which driver the shards run on. All shards take the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Driver {
    /// io_uring, with the flags that this kernel takes.
    Uring(Flags),
    Epoll,
}

/// The set-up flags that a ring is built with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flags {
    /// SINGLE_ISSUER and DEFER_TASKRUN (kernel 6.1): completions are reaped when the shard asks,
    /// and no packet interrupts it. 30 % less CPU across cores (facts: prototype figures, section
    /// 2).
    Defer,
    /// COOP_TASKRUN (5.19).
    Coop,
}

/// Places of the submission queue. A full queue that cannot be flushed panics in monoio 0.2.4, so
/// there is room for two operations of each of 2048 connections between two entries.
const ENTRIES: u32 = 4096;

fn ring_builder(flags: Flags) -> io_uring::Builder {
    let mut builder = io_uring::IoUring::builder();
    // dontfork: worker processes and the app's children must not have the ring.
    builder.setup_clamp().setup_cqsize(4 * ENTRIES).setup_submit_all().dontfork();
    match flags {
        // DEFER_TASKRUN alone is refused: the kernel wants SINGLE_ISSUER with it.
        Flags::Defer => builder.setup_single_issuer().setup_defer_taskrun(),
        Flags::Coop => builder.setup_coop_taskrun(),
    };
    builder
}

/// Tries the drivers from the best down. The error is the reason why io_uring was refused.
pub fn probe_uring() -> Result<Driver, io::Error> {
    let mut refusal = io::Error::from(io::ErrorKind::Unsupported);
    for flags in [Flags::Defer, Flags::Coop] {
        match probe_rung(flags) {
            Ok(()) => return Ok(Driver::Uring(flags)),
            Err(error) => refusal = error,
        }
    }
    Err(refusal)
}

/// Tries all of them.
pub fn probe_rungs() -> Vec<(Flags, io::Result<()>)> {
    [Flags::Defer, Flags::Coop].map(|flags| (flags, probe_rung(flags))).into()
}

/// Tries one on a thread that ends afterwards: with SINGLE_ISSUER a ring belongs to the thread that
/// made it.
fn probe_rung(flags: Flags) -> io::Result<()> {
    let probe = move || ring_builder(flags).build(ENTRIES).map(drop);
    std::thread::spawn(probe).join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into()))
}

/// Runs `work` to its end on this thread.
///
/// # Errors
/// The kernel's, when it refuses now what it gave to the probe.
pub fn run<F: Future>(driver: Driver, work: F) -> io::Result<F::Output> {
    match driver {
        Driver::Uring(flags) => {
            let mut runtime = RuntimeBuilder::<IoUringDriver>::new()
                .uring_builder(ring_builder(flags))
                .with_entries(ENTRIES)
                .build()?;
            Ok(runtime.block_on(work))
        }
        Driver::Epoll => {
            let mut runtime = RuntimeBuilder::<LegacyDriver>::new().build()?;
            Ok(runtime.block_on(work))
        }
    }
}
