//! Where the connections of a server process go when it crashes: to the master, which keeps them
//! for the next one. The crash's handler asks for it, and each shard gives what it has.

use std::io;
use std::os::fd::{IntoRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering::SeqCst};
use std::time::{Duration, Instant};

use super::{Board, shard};

static WAY: AtomicI32 = AtomicI32::new(-1);
/// The process that has the shards: a worker process inherits the rest.
static HOME_PID: AtomicI32 = AtomicI32::new(0);
static IS_UNDER_WAY: AtomicBool = AtomicBool::new(false);

/// Nobody waits longer for shards to give their connections: memory may be broken.
const LIMIT: Duration = Duration::from_secs(1);
/// When none has left for so long, none will.
const QUIET: Duration = Duration::from_millis(50);
const STEP: Duration = Duration::from_millis(5);

/// Connections of this process can be saved by the socket `way`.
///
/// # Errors
/// The kernel's (too many files).
pub fn prepare(way: &OwnedFd) -> io::Result<()> {
    // It stays open to the end of the process, whatever becomes of the caller's.
    let way = way.try_clone()?.into_raw_fd();
    HOME_PID.store(std::process::id() as i32, SeqCst);
    WAY.store(way, SeqCst);
    Ok(())
}

/// Asks the shards for their connections, once `ring` has woken them; false if nobody would take
/// them. In a signal's handler: no lock, no memory.
pub fn begin() -> bool {
    let can_be = WAY.load(SeqCst) >= 0 && HOME_PID.load(SeqCst) == std::process::id() as i32;
    can_be && !IS_UNDER_WAY.swap(true, SeqCst)
}

/// The socket that a shard gives its connections to, once the process has crashed.
pub fn way() -> Option<RawFd> {
    IS_UNDER_WAY.load(SeqCst).then(|| WAY.load(SeqCst))
}

/// Waits until no connection leaves any more. In a signal's handler, as above.
pub fn finish(board: &Board) {
    let open = || (0..board.shards()).map(|index| board.shard(index).get(shard::OPEN)).sum::<u64>();
    let began = Instant::now();
    let (mut last, mut since) = (open(), began);
    while last > 0 && since.elapsed() < QUIET && began.elapsed() < LIMIT {
        std::thread::sleep(STEP);
        let now = open();
        if now != last {
            (last, since) = (now, Instant::now());
        }
    }
}
