//! Users and groups.

use std::io;

use super::check;

/// The user number, and the group of a user given by name.
pub fn user_id(name: &str) -> Option<(u32, u32)> {
    if let Ok(id) = name.parse() {
        return Some((id, u32::MAX));
    }
    let name = std::ffi::CString::new(name).ok()?;
    // SAFETY: `name` is NUL-terminated; the result is null or points at static memory that is read
    // at once, before any other thread exists.
    unsafe { libc::getpwnam(name.as_ptr()).as_ref() }.map(|entry| (entry.pw_uid, entry.pw_gid))
}

/// The group number behind a name or a number.
pub fn group_id(name: &str) -> Option<u32> {
    if let Ok(id) = name.parse() {
        return Some(id);
    }
    let name = std::ffi::CString::new(name).ok()?;
    // SAFETY: as in `user_id`.
    unsafe { libc::getgrnam(name.as_ptr()).as_ref() }.map(|entry| entry.gr_gid)
}

/// Changes this process's group and user, groups first; for the single-threaded start only.
///
/// # Errors
/// The kernel's (not root).
pub fn drop_privileges(
    uid: Option<u32>,
    gid: Option<u32>,
    groups: Option<&[u32]>,
) -> io::Result<()> {
    // SAFETY: the list of groups lives for the call and has the length that is said.
    unsafe {
        if let Some(gid) = gid {
            check(libc::setgid(gid))?;
        }
        if let Some(groups) = groups {
            check(libc::setgroups(groups.len(), groups.as_ptr()))?;
        }
        if let Some(uid) = uid {
            check(libc::setuid(uid))?;
        }
    }
    Ok(())
}

/// The real user and group of this process.
pub fn user() -> (u32, u32) {
    (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw())
}
