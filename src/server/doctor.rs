//! `uwring doctor`: says what would be served and how, each line measured on this machine. It binds
//! no socket, writes no file but the verdict, and can run beside the server.

use std::fmt::{self, Write};

use super::{affinity, cgroup, prepare, shard_count, why_refused};
use crate::error::StartError;
use crate::handoff::{Geometry, Handoff};
use crate::isolation::{self, Memory, Verdict};
use crate::options::{Io, Isolation, Options, OtherApp};
use crate::shard::{Flags, probe_rungs};
use crate::shared::Board;
use crate::sys::Sharing;

/// What was found: text for people, and what would keep the app from being served.
#[derive(Default)]
struct Findings {
    text: String,
    problems: Vec<String>,
}

impl Findings {
    fn line(&mut self, name: &str, what: fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "{name:18}{what}");
    }

    fn problem(&mut self, what: impl Into<String>) {
        self.problems.push(what.into());
    }
}

/// Looks at everything, after environment, directory and user are what the server's would be.
/// Returns the text and the exit code: 1 if the app would not be served.
///
/// # Errors
/// Memory that is not there.
pub fn examine(options: &Options) -> Result<(String, i32), StartError> {
    let mut findings = Findings::default();
    app(options, &mut findings)?;
    io(options, &mut findings);
    machine(options, &mut findings);
    let mut text = findings.text;
    for problem in &findings.problems {
        let _ = writeln!(text, "{:18}{problem}", "PROBLEM");
    }
    Ok((text, i32::from(!findings.problems.is_empty())))
}

fn app(options: &Options, findings: &mut Findings) -> Result<(), StartError> {
    let embedding = prepare::embedding(options);
    findings.line("uwring", format_args!("{}", env!("CARGO_PKG_VERSION")));
    let version = crate::python::version();
    let config = &embedding.config;
    findings.line("python", format_args!("{version}, {}", config.executable));
    let directory = std::env::current_dir().unwrap_or_default();
    let directory = directory.display();
    let name = match (&options.module, &options.wsgi_file, &options.other_app) {
        (Some(module), _, _) => format!("module {module}"),
        (None, Some(file), _) => format!("file {}", file.display()),
        (None, None, OtherApp { paste: Some(uri), .. }) => format!("paste {uri}"),
        (None, None, OtherApp { code: Some(_), .. }) => "eval".to_owned(),
        (None, None, _) => {
            findings.line("app", format_args!("none is given"));
            findings.problem("no app: every request would get a 500");
            return Ok(());
        }
    };
    findings.line("app", format_args!("{name}, in {directory}"));

    let (workers, threads) = (options.processes.max(1), options.threads);
    let geometry = Geometry { shards: 1, workers, threads, slots_per_shard: 1 };
    let board = Board::new(workers, threads, 1, 1).map_err(super::out_of_memory)?;
    let handoff = Handoff::new(geometry, Sharing::Threads).map_err(super::out_of_memory)?;
    let mut plan = prepare::plan(options, handoff, board, &[], None);
    if options.master {
        // uWSGI's own uwsgidecorators do not load without one.
        plan.facts.master_pid = std::process::id() as i32;
    }
    let found = isolation::decide(options, &embedding, &plan, Memory::Renew);
    let auto = match (&found.verdict, found.verdict.line(workers)) {
        (Verdict::Broken { error }, _) => {
            findings.line("isolation", format_args!("the app fails wherever it is loaded:"));
            let _ = writeln!(findings.text, "{}", error.trim_end());
            findings.problem("the app does not load");
            return Ok(());
        }
        (_, line) => line.unwrap_or_default(),
    };
    match options.isolation {
        Isolation::Auto => findings.line("isolation", format_args!("{auto}")),
        Isolation::Process => {
            findings.line("isolation", format_args!("process, as asked for; auto: {auto}"));
        }
        Isolation::Interpreter => {
            findings.line("isolation", format_args!("interpreter, as asked for; auto: {auto}"));
            match found.verdict {
                Verdict::Capable | Verdict::Degraded { .. } => {}
                Verdict::OldPython { minor } => findings.problem(super::too_old(minor)),
                _ => findings.problem("--isolation interpreter: the app does not run in one"),
            }
        }
    }
    if let Verdict::Refused { refused } | Verdict::Degraded { refused } = &found.verdict {
        for module in refused {
            findings.line("refuses", format_args!("{module}"));
        }
    }
    if options.isolation != Isolation::Auto {
        return Ok(());
    }
    match &found.kept {
        Ok(folder) => findings.line("verdict", format_args!("kept in {}", folder.display())),
        Err(reason) => findings.line("verdict", format_args!("not kept: {reason}")),
    }
    Ok(())
}

/// The ladder, from the best rung down.
fn io(options: &Options, findings: &mut Findings) {
    let mut taken = options.io == Io::Epoll;
    for (flags, result) in probe_rungs() {
        let rung = match flags {
            Flags::Defer => "io_uring with DEFER_TASKRUN",
            Flags::Coop => "io_uring with COOP_TASKRUN",
        };
        match result {
            Ok(()) if taken => findings.line("io", format_args!("{rung}: would work too")),
            Ok(()) => findings.line("io", format_args!("{rung}: works, and is taken")),
            Err(error) => {
                findings.line("io", format_args!("{rung}: {error}: {}", why_refused(&error)));
                continue;
            }
        }
        taken = true;
    }
    let epoll = match (options.io, taken) {
        (Io::Epoll, _) => "as asked for, and is taken",
        (_, true) => "would work too",
        (Io::Uring, false) => "works, and --io uring forbids it",
        (_, false) => "works, and is taken",
    };
    findings.line("io", format_args!("epoll: {epoll}"));
    if options.io == Io::Uring && !taken {
        findings.problem("--io uring: io_uring is refused");
    }
}

fn machine(options: &Options, findings: &mut Findings) {
    let read = |path: &str| std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
    let kernel = read("/proc/sys/kernel/osrelease").unwrap_or_default();
    findings.line("kernel", format_args!("{kernel}"));
    if let Some(disabled) = read("/proc/sys/kernel/io_uring_disabled") {
        findings.line("io_uring_disabled", format_args!("{disabled}"));
    }

    let workers = options.processes.max(1);
    let shards = shard_count(options);
    let usable = affinity::usable_cores().len();
    findings.line(
        "shards",
        format_args!("{shards}, for {workers} worker(s) on {usable} usable core(s)"),
    );
    let show = |limit: Option<cgroup::Limit<f64>>, unit: &str, divide: f64| match limit {
        Some(cgroup::Limit { value, group }) => {
            format!("{:.6}", value / divide).trim_end_matches('0').trim_end_matches('.').to_owned()
                + &format!(" {unit}, of {group}")
        }
        None => "no limit".to_owned(),
    };
    let mib = f64::from(1 << 20);
    findings.line("cgroup cpu", format_args!("{}", show(cgroup::cpus(), "CPU(s)", 1.0)));
    findings.line("cgroup memory", format_args!("{}", show(cgroup::memory_bytes(), "MiB", mib)));
    findings.line("cgroup tasks", format_args!("{}", show(cgroup::tasks(), "", 1.0)));

    for (name, row) in [
        ("open files", "Max open files"),
        ("processes", "Max processes"),
        ("locked memory", "Max locked memory"),
        ("address space", "Max address space"),
    ] {
        let Some((soft, hard)) = limit(row) else { continue };
        findings.line(name, format_args!("{soft}, at most {hard}"));
    }
    if let Some(limit) = read("/proc/sys/net/core/somaxconn").and_then(|text| text.parse().ok()) {
        let limit: u32 = limit;
        let used = options.listen.unwrap_or(limit).min(limit);
        findings.line("somaxconn", format_args!("{limit}; a listener's queue holds {used}"));
    }
    if let Some(migrate) = read("/proc/sys/net/ipv4/tcp_migrate_req") {
        let what = match (migrate.as_str(), shards) {
            ("0", 2..) => {
                "0: connections that wait in the queue of a listener which is closed are reset; \
                 sysctl net.ipv4.tcp_migrate_req=1 moves them"
            }
            ("0", _) => "0: without effect on one shard",
            _ => "1: connections that wait in the queue of a listener which is closed are moved",
        };
        findings.line("tcp_migrate_req", format_args!("{what}"));
    }
}

/// A row of /proc/self/limits: soft and hard, with the unit.
fn limit(row: &str) -> Option<(String, String)> {
    let text = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(row))?;
    let mut words = line.split_ascii_whitespace();
    Some((words.next()?.to_owned(), words.next()?.to_owned()))
}
