//! Local time as text.

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
