//! What /proc tells of a process, and limits of one's own.

use std::io;

use rustix::process::{Resource, Rlimit};

/// Memory of a process, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Memory {
    /// In memory, without what is shared with other processes by a mapping.
    pub resident: u64,
    pub address_space: u64,
}

impl Memory {
    /// Without a mapping that takes address space only.
    pub fn without(self, mapped: usize) -> Memory {
        Memory { address_space: self.address_space.saturating_sub(mapped as u64), ..self }
    }

    /// One of `count` equal shares.
    pub fn divided(self, count: usize) -> Memory {
        let count = count.max(1) as u64;
        Memory { resident: self.resident / count, address_space: self.address_space / count }
    }
}

/// The memory of a process, zeros if it is gone.
pub fn memory_of(pid: i32) -> Memory {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let kib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|rest| rest.split_whitespace().next());
        number.and_then(|number| number.parse::<u64>().ok()).unwrap_or(0)
    };
    Memory {
        resident: (kib("RssAnon:") + kib("RssFile:")) << 10,
        address_space: kib("VmSize:") << 10,
    }
}

/// Limits the address space of this process.
///
/// # Errors
/// The kernel's (above the hard limit).
pub fn limit_address_space(bytes: u64) -> io::Result<()> {
    let limit = Rlimit { current: Some(bytes), maximum: Some(bytes) };
    Ok(rustix::process::setrlimit(Resource::As, limit)?)
}

/// Limits the processes and threads of this user.
///
/// # Errors
/// The kernel's (above the hard limit).
pub fn limit_processes(count: u64) -> io::Result<()> {
    let limit = Rlimit { current: Some(count), maximum: Some(count) };
    Ok(rustix::process::setrlimit(Resource::Nproc, limit)?)
}

/// Limits the open files of this process.
///
/// # Errors
/// The kernel's (above the hard limit).
pub fn limit_files(count: u64) -> io::Result<()> {
    let maximum = rustix::process::getrlimit(Resource::Nofile).maximum;
    let maximum = maximum.map_or(count, |most| most.max(count));
    let limit = Rlimit { current: Some(count), maximum: Some(maximum) };
    Ok(rustix::process::setrlimit(Resource::Nofile, limit)?)
}

/// Limits open files to what may be had without a privilege; returns it.
///
/// # Errors
/// The kernel's.
pub fn limit_files_at_most() -> io::Result<u64> {
    let maximum = rustix::process::getrlimit(Resource::Nofile).maximum;
    let limit = Rlimit { current: maximum, maximum };
    rustix::process::setrlimit(Resource::Nofile, limit)?;
    Ok(maximum.unwrap_or(u64::MAX))
}

/// Whether the process has a handler for `signal`, as /proc tells.
pub fn catches(pid: i32, signal: i32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    (1..=64).contains(&signal) && mask >> (signal - 1) & 1 == 1
}

/// Sets the nice value of this process, which children inherit.
///
/// # Errors
/// The kernel's: a lower one than before needs a privilege.
pub fn set_nice(nice: i32) -> std::io::Result<()> {
    Ok(rustix::process::setpriority_process(None, nice)?)
}
