//! The limits of this process's control group and of those above it, as version 2 and version 1
//! have them.

use std::path::{Path, PathBuf};

/// A limit, and the group whose it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Limit<T> {
    pub value: T,
    pub group: String,
}

/// Where the kernel shows control groups.
const ROOT: &str = "/sys/fs/cgroup";

/// CPUs that the quota amounts to.
pub fn cpus() -> Option<Limit<f64>> {
    lowest(Path::new(ROOT), &own_groups(), "cpu", |group| {
        let text = std::fs::read_to_string(group.join("cpu.max")).ok().or_else(|| {
            let part = |name: &str| std::fs::read_to_string(group.join(name)).ok();
            Some(format!("{} {}", part("cpu.cfs_quota_us")?.trim(), part("cpu.cfs_period_us")?))
        })?;
        let mut parts = text.split_ascii_whitespace().map(str::parse::<f64>);
        let (quota, period) = (parts.next()?.ok()?, parts.next()?.ok()?);
        (quota > 0.0 && period > 0.0).then(|| quota / period)
    })
}

/// Bytes of memory.
pub fn memory_bytes() -> Option<Limit<f64>> {
    lowest(Path::new(ROOT), &own_groups(), "memory", |group| {
        let bytes = number(group, &["memory.max", "memory.limit_in_bytes"])?;
        // Version 1 says "none" as the largest number of pages.
        (bytes < 4e18).then_some(bytes)
    })
}

/// Processes and threads.
pub fn tasks() -> Option<Limit<f64>> {
    lowest(Path::new(ROOT), &own_groups(), "pids", |group| number(group, &["pids.max"]))
}

fn number(group: &Path, names: &[&str]) -> Option<f64> {
    let text = names.iter().find_map(|name| std::fs::read_to_string(group.join(name)).ok())?;
    text.trim().parse().ok()
}

fn own_groups() -> String {
    std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default()
}

/// The lowest limit that `read` finds from this process's group upwards.
fn lowest(
    root: &Path,
    groups: &str,
    controller: &str,
    read: impl Fn(&Path) -> Option<f64>,
) -> Option<Limit<f64>> {
    let mut found: Option<Limit<f64>> = None;
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        let mounts: &[&str] = match controllers {
            "" => &["", "unified"],
            names if names.split(',').any(|name| name == controller) => &[controller],
            _ => continue,
        };
        for mount in mounts {
            let top: PathBuf = root.join(mount);
            // A container sees its own group as the root, and a path that is not there.
            let mut group = top.join(path.trim_start_matches('/'));
            loop {
                let lower = |value: f64| found.as_ref().is_none_or(|found| value < found.value);
                if let Some(value) = read(&group).filter(|&value| lower(value)) {
                    found = Some(Limit { value, group: group.display().to_string() });
                }
                if group == top || !group.pop() {
                    break;
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_limit_upwards_counts() {
        let directory = tempfile::tempdir().expect("a directory");
        let root = directory.path();
        let write = |path: &str, text: &str| {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            std::fs::write(path, text).expect("written");
        };
        let pids = |groups: &str| {
            let found = lowest(root, groups, "pids", |group| number(group, &["pids.max"]));
            found.map(|limit| limit.value)
        };
        write("system.slice/app.service/pids.max", "max\n");
        assert_eq!(pids("0::/system.slice/app.service\n"), None);
        write("system.slice/pids.max", "300\n");
        assert_eq!(pids("0::/system.slice/app.service\n"), Some(300.0));
        write("system.slice/app.service/pids.max", "20\n");
        assert_eq!(pids("0::/system.slice/app.service\n"), Some(20.0));
        // In a container the group that is named lies outside.
        assert_eq!(pids("0::/system.slice/gone\n"), Some(300.0));
        write("pids/docker/a/pids.max", "7\n");
        assert_eq!(pids("3:cpu,cpuacct:/x\n8:pids:/docker/a\n"), Some(7.0));
        assert_eq!(pids(""), None);
    }
}
