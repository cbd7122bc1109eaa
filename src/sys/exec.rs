//! Another program in the place of this one.

use std::ffi::{CString, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Becomes another program, with this thread's signal mask as it is (the standard library's way
/// empties it). Returns only the reason why not.
pub fn exec(path: &Path, args: &[OsString], env: &[(OsString, OsString)]) -> io::Error {
    let text = |bytes: &[u8]| CString::new(bytes).unwrap_or_default();
    let path = text(path.as_os_str().as_bytes());
    let args: Vec<_> = args.iter().map(|arg| text(arg.as_bytes())).collect();
    let pair = |(name, value): &(OsString, OsString)| {
        text(&[name.as_bytes(), b"=", value.as_bytes()].concat())
    };
    let env: Vec<_> = env.iter().map(pair).collect();
    let pointers = |texts: &[CString]| {
        let mut all: Vec<_> = texts.iter().map(|text| text.as_ptr()).collect();
        all.push(std::ptr::null());
        all
    };
    // SAFETY: NUL-terminated texts in arrays that end with a null, all alive through the call.
    unsafe { libc::execve(path.as_ptr(), pointers(&args).as_ptr(), pointers(&env).as_ptr()) };
    io::Error::last_os_error()
}
