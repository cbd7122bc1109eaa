//! What the runtime's ring can do and the runtime does not offer: cancel a read from outside.

use std::io;
use std::os::fd::RawFd;

/// linux/io_uring.h: io_uring_sync_cancel_reg.
#[repr(C)]
struct SyncCancel {
    addr: u64,
    fd: i32,
    flags: u32,
    timeout_s: i64,
    timeout_ns: i64,
    opcode: u8,
    pad: [u8; 7],
    pad2: [u64; 3],
}

const REGISTER_SYNC_CANCEL: libc::c_uint = 24;
const CANCEL_ALL: u32 = 1;
const CANCEL_FD: u32 = 2;

/// Cancels what this ring does on a descriptor: its operations complete with ECANCELED, or with
/// what they had got just before. Only the thread that the ring belongs to may (kernel 6.0).
///
/// # Errors
/// The kernel's: `NotFound` when nothing was there to cancel.
pub fn cancel_on(ring: RawFd, fd: RawFd) -> io::Result<()> {
    let request = SyncCancel {
        addr: 0,
        fd,
        flags: CANCEL_ALL | CANCEL_FD,
        timeout_s: 0,
        timeout_ns: 0,
        opcode: 0,
        pad: [0; 7],
        pad2: [0; 3],
    };
    // SAFETY: the kernel reads one struct of its own layout, which lives through the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_io_uring_register,
            ring,
            REGISTER_SYNC_CANCEL,
            &raw const request,
            1,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The ring that belongs to this thread, among the descriptors of the process: the runtime keeps it
/// to itself. None where rings belong to no thread, or the kernel cannot cancel like this.
pub fn own_ring() -> Option<RawFd> {
    let entries = std::fs::read_dir("/proc/self/fd").ok()?;
    for entry in entries.flatten() {
        let Ok(target) = std::fs::read_link(entry.path()) else { continue };
        if !target.as_os_str().to_string_lossy().contains("[io_uring]") {
            continue;
        }
        let number = entry.file_name().to_string_lossy().parse::<RawFd>();
        let Ok(fd) = number else { continue };
        // Nothing is under way on the ring itself, which kernels tell as ENOENT or as nothing to
        // do. Another thread's ring refuses (EEXIST).
        match cancel_on(fd, fd) {
            Ok(()) => return Some(fd),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Some(fd),
            Err(_) => {}
        }
    }
    None
}
