//! How the kernel schedules a thread: its policy and its cores, and how long it waits for one.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use rustix::process::Pid;

/// Lets another thread of this core run.
pub fn yield_now() {
    rustix::thread::sched_yield();
}

/// This thread's kernel id.
pub fn thread_id() -> i32 {
    rustix::thread::gettid().as_raw_nonzero().get()
}

/// Binds the thread `tid` to these cores; an error leaves it where it was.
pub fn bind_to_cores(tid: i32, cores: &[usize]) {
    let mut set = rustix::thread::CpuSet::new();
    for &core in cores.iter().filter(|&&core| core < rustix::thread::CpuSet::MAX_CPU) {
        set.set(core);
    }
    let _ = rustix::thread::sched_setaffinity(Pid::from_raw(tid), &set);
}

/// The core of the calling thread, if it may use no other.
pub fn only_core() -> Option<usize> {
    let set = rustix::thread::sched_getaffinity(None).ok().filter(|set| set.count() == 1)?;
    (0..rustix::thread::CpuSet::MAX_CPU).find(|&core| set.is_set(core))
}

/// Whether the calling thread is scheduled as a system does it by default, so that nobody has asked
/// for anything else: the usual policy, and no nice value.
pub fn is_usual() -> bool {
    // SAFETY: no pointer is passed; 0 is the calling thread.
    let policy = unsafe { libc::sched_getscheduler(0) };
    policy == libc::SCHED_OTHER
        && rustix::process::getpriority_process(None).is_ok_and(|nice| nice == 0)
}

/// Has the calling thread run behind what runs on its core when it wakes up (SCHED_BATCH,
/// sched(7)), or in front of it as usual. Threads and processes that it makes inherit it.
///
/// # Errors
/// The kernel's (a seccomp profile refuses it).
pub fn set_batch(is_batch: bool) -> io::Result<()> {
    let policy = if is_batch { libc::SCHED_BATCH } else { libc::SCHED_OTHER };
    let param = libc::sched_param { sched_priority: 0 };
    // SAFETY: the parameter lives for the call; 0 is the calling thread.
    match unsafe { libc::sched_setscheduler(0, policy, &raw const param) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The time that a thread ran, and waited for a core while it could have run, and how often it got
/// one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Delays {
    pub ran_ns: u64,
    pub waited_ns: u64,
    pub times: u64,
}

impl Delays {
    /// Nanoseconds that it waited each time since `before`.
    pub fn mean_ns_since(self, before: Delays) -> u64 {
        let times = self.times.saturating_sub(before.times);
        self.waited_ns.saturating_sub(before.waited_ns).checked_div(times).unwrap_or(0)
    }
}

/// Where the kernel tells of a thread's delays.
pub struct Statistics(File);

impl Statistics {
    /// # Errors
    /// The kernel's (no such thread, or it tells nothing).
    pub fn of(tid: i32) -> io::Result<Statistics> {
        File::open(format!("/proc/{tid}/schedstat")).map(Statistics)
    }

    /// What it tells now; zeros once the thread has ended.
    pub fn read(&self) -> Delays {
        let mut bytes = [0; 96];
        let len = self.0.read_at(&mut bytes, 0).unwrap_or(0);
        let text = std::str::from_utf8(&bytes[..len]).unwrap_or("");
        let mut numbers = text.split_ascii_whitespace().map(|text| text.parse());
        let mut next = || numbers.next().and_then(Result::ok).unwrap_or(0);
        Delays { ran_ns: next(), waited_ns: next(), times: next() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_changes_its_policy_and_reads_its_delays() {
        std::thread::spawn(|| {
            let tid = thread_id();
            // SAFETY: no pointer is passed.
            let policy = || unsafe { libc::sched_getscheduler(0) };
            assert_eq!(policy(), libc::SCHED_OTHER);
            set_batch(true).expect("no privilege is needed");
            assert_eq!(policy(), libc::SCHED_BATCH);
            assert!(!is_usual());
            set_batch(false).expect("nor is one for the way back");
            assert!(is_usual());
            let statistics = Statistics::of(tid).expect("the kernel tells");
            let before = statistics.read();
            std::thread::sleep(std::time::Duration::from_millis(2));
            let now = statistics.read();
            assert!(now.times > before.times && now.ran_ns > before.ran_ns);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn the_mean_is_that_of_the_times_between() {
        let before = Delays { waited_ns: 1000, times: 10, ..Delays::default() };
        let now = Delays { waited_ns: 5000, times: 14, ..Delays::default() };
        assert_eq!(now.mean_ns_since(before), 1000);
        assert_eq!(before.mean_ns_since(before), 0);
        assert_eq!(Delays::default().mean_ns_since(before), 0, "the thread has ended");
    }
}
