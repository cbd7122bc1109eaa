//! Programs that this process starts: with no signal blocked or ignored, in a session of their own,
//! and with none of our descriptors but the log.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// A command of the shell.
#[derive(Debug, Clone, Copy, Default)]
pub struct Shell<'a> {
    pub command: &'a str,
    pub directory: Option<&'a Path>,
    pub user: Option<u32>,
    pub group: Option<u32>,
    /// It gets this signal when we die first; 0 for none.
    pub dies_with_us: i32,
}

/// Starts the command; its number, which is its process group's and session's, too.
///
/// # Errors
/// The kernel's: no such directory or user, no process left.
pub fn start(shell: &Shell<'_>) -> io::Result<i32> {
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(shell.command).stdin(Stdio::null());
    if let Some(directory) = shell.directory {
        command.current_dir(directory);
    }
    if let Some(group) = shell.group {
        command.gid(group);
    }
    if let Some(user) = shell.user {
        command.uid(user);
    }
    let (parent, signal) = (std::process::id() as i32, shell.dies_with_us);
    // SAFETY: between fork and exec only system calls are made, on numbers.
    unsafe {
        command.pre_exec(move || {
            libc::setsid();
            for number in 1..32 {
                libc::signal(number, libc::SIG_DFL);
            }
            if signal != 0 {
                super::die_with_parent(parent, signal);
            }
            close_descriptors_at_exec();
            Ok(())
        });
    }
    // std empties the signal mask, and a Child that is dropped runs on.
    Ok(command.spawn()?.id() as i32)
}

/// All but the first three.
fn close_descriptors_at_exec() {
    const CLOEXEC: libc::c_uint = 4;
    // SAFETY: numbers only; the wrapper of libc is not everywhere.
    let result = unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, CLOEXEC) };
    if result != 0 {
        // A kernel before 5.11.
        for fd in 3..4096 {
            // SAFETY: a number that is no descriptor is an error without effect.
            unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
    }
}

/// Whether a process of this number exists.
pub fn exists(pid: i32) -> bool {
    // SAFETY: no pointer; signal 0 is none.
    let result = unsafe { libc::kill(pid, 0) };
    result == 0 || io::Error::last_os_error().raw_os_error() == Some(libc::EPERM)
}

/// `[minute, hour, day, month, weekday]` of a moment in local time, the month from 1.
pub fn local_minute(seconds: i64) -> [i32; 5] {
    // SAFETY: all-zero is valid for tm, and localtime_r fills a local.
    let parts = unsafe {
        let mut parts: libc::tm = std::mem::zeroed();
        let time: libc::time_t = seconds;
        libc::localtime_r(&raw const time, &raw mut parts);
        parts
    };
    [parts.tm_min, parts.tm_hour, parts.tm_mday, parts.tm_mon + 1, parts.tm_wday]
}
