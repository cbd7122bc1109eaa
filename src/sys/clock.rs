//! Local time as text, and the clock that never goes back.

use std::ffi::CStr;

/// `strftime` of a moment (seconds since the epoch) in local time, appended to `text`. What is
/// longer than 255 bytes, or no UTF-8, is left out.
pub fn local_time(format: &CStr, seconds: i64, text: &mut String) {
    // SAFETY: all-zero is valid for tm; localtime_r and strftime fill locals of the lengths passed.
    let (bytes, len) = unsafe {
        let mut parts: libc::tm = std::mem::zeroed();
        let time: libc::time_t = seconds;
        libc::localtime_r(&raw const time, &raw mut parts);
        let mut bytes = [0u8; 256];
        let len = libc::strftime(bytes.as_mut_ptr().cast(), 256, format.as_ptr(), &raw const parts);
        (bytes, len)
    };
    text.push_str(std::str::from_utf8(&bytes[..len]).unwrap_or("-"));
}

/// `ctime`'s 24 characters for `seconds` since the epoch, in local time: `Thu Mar 15 00:32:21
/// 2018`.
pub fn ctime(seconds: i64, text: &mut String) {
    local_time(c"%a %b %e %H:%M:%S %Y", seconds, text);
}

/// Microseconds of CLOCK_MONOTONIC, which systemd compares with its own. The C library's call:
/// rustix's reads the kernel's page of functions by itself, which valgrind hides from it.
pub fn monotonic_us() -> i64 {
    // SAFETY: all-zero is valid for timespec, and the call fills the local; it cannot fail for a
    // clock that every kernel has.
    let now = unsafe {
        let mut now: libc::timespec = std::mem::zeroed();
        libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now);
        now
    };
    now.tv_sec * 1_000_000 + now.tv_nsec / 1000
}
