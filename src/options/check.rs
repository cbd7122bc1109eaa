//! `--check-config`: what would become of each setting, by line, without starting anything.

use std::ffi::OsString;

use serde::Serialize;

use super::addresses::Addresses;
use super::apply::{self, SLIPS_MAX};
use super::expand::Expanded;
use super::help::push;
use super::setting::{Read, World};
use super::suspicion::suspicion;
use super::table::{self, Opt, Status};
use super::value::Value;
use super::whole::{self, Machine};
use super::{Environment, Options, Setting, argv, environment, expand, hint, include};
use crate::error::StartError;

/// What becomes of a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It does what it does in uWSGI, or is an option of uwring.
    Honoured,
    /// It is honoured with the difference that the note says.
    Adapted,
    /// It changes nothing, and that does no harm.
    Ignored,
    /// What it asks for is not here; serving goes on without it, with a warning.
    Absent,
    /// A variable of the author's own.
    Variable,
    /// It is honoured, and does not mean what it seems to.
    Suspicious,
    /// It stops the start: what it asks for is not to be had here.
    Refused,
    /// It stops the start: it is wrong.
    Error,
}

impl Verdict {
    fn stops(self) -> bool {
        matches!(self, Verdict::Refused | Verdict::Error)
    }
}

/// One setting and its verdict.
#[derive(Debug, Serialize)]
pub struct Finding {
    /// `app.ini:3`, `argument 2` or the environment variable's name.
    pub origin: String,
    pub name: String,
    pub value: Option<String>,
    pub verdict: Verdict,
    /// What a person should know; empty for most.
    pub note: String,
}

/// All findings, in the order of the settings.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    pub findings: Vec<Finding>,
    /// What is wrong with the whole, or with a source that cannot be read.
    pub errors: Vec<String>,
    pub warnings: Vec<String>,
    pub would_start: bool,
}

/// What to check and whether as JSON, if the command line asks for it: `--check-config FILE`,
/// `--check-config --json FILE`, or beside any other options.
pub fn asked(args: &[OsString]) -> Option<(Vec<OsString>, bool)> {
    let at = args.iter().position(|arg| arg == "--check-config")?;
    let mut args = args.to_vec();
    args.remove(at);
    // Elsewhere uWSGI's option of that name reads a file.
    let as_json = args.get(at).is_some_and(|next| next == "--json");
    if as_json {
        args.remove(at);
    }
    // Whatever its name: `uwring --check-config /etc/uwsgi/vassals/app.conf`.
    let is_file = |arg: &OsString| !arg.to_string_lossy().starts_with('-');
    let known = [".ini", ".py", ".wsgi", ".yaml", ".yml", ".json", ".xml"];
    if let Some(file) = args.get(at).filter(|arg| is_file(arg)).map(|arg| arg.to_string_lossy())
        && !known.iter().any(|end| file.ends_with(end))
        && !file.contains(':')
    {
        args.insert(at, "--ini".into());
    }
    Some((args, as_json))
}

/// Looks at all sources as a start would, and at what they name. `args` is a whole argv.
pub fn check(args: Vec<OsString>, env: &Environment, machine: Machine) -> Report {
    let read = environment::settings(env, World::Seen).and_then(|mut read| {
        argv::settings(args, &mut read)?;
        Ok(read)
    });
    report(read, Some(machine))
}

/// Looks at a text as if it were a file of that name. No file is opened.
pub fn check_text(text: &str, name: &str) -> Report {
    let env = Environment::new();
    let mut read = Read::new(&env, World::Closed);
    report(include::from_text(text, name, &mut read).map(|()| read), None)
}

fn report(read: Result<Read<'_>, StartError>, machine: Option<Machine>) -> Report {
    let mut report = Report::default();
    let mut read = match read {
        Ok(read) => read,
        Err(error) => {
            report.errors.push(error.to_string());
            return report;
        }
    };
    report.warnings.append(&mut read.warnings);
    let Expanded { settings, mut warnings, asked } =
        match expand::expand(read.settings, read.env, read.world) {
            Ok(expanded) => expanded,
            Err(error) => {
                report.errors.push(error.to_string());
                return report;
            }
        };
    report.warnings.append(&mut warnings);
    let mut options = Options::default();
    let mut addresses = Addresses::new(&settings);
    let mut slips = 0;
    for setting in &settings {
        let (verdict, note) = match table::find(&setting.name) {
            Some((_, opt)) => judge(setting, opt, &mut addresses, &mut options),
            None if asked.contains(&setting.name) => (Verdict::Variable, String::new()),
            None => {
                slips += 1;
                (Verdict::Variable, if slips > SLIPS_MAX { String::new() } else { meant(setting) })
            }
        };
        report.findings.push(Finding {
            origin: setting.origin.to_string(),
            name: setting.name.clone(),
            value: setting.value.clone(),
            verdict,
            note,
        });
    }
    if options.strict {
        let declared = apply::declared(&settings);
        let is_unknown = |finding: &&mut Finding| {
            finding.verdict == Verdict::Variable && !declared.contains(finding.name.as_str())
        };
        for finding in report.findings.iter_mut().filter(is_unknown) {
            finding.verdict = Verdict::Error;
            let hint = finding.note.strip_prefix("no option").unwrap_or("");
            finding.note = format!("unknown option, and strict is on{hint}");
        }
    }
    let mut faults = whole::faults(&options, &settings);
    faults.extend(machine.into_iter().flat_map(|m| whole::missing(&options, &settings, m)));
    for (place, why) in faults {
        let finding = &mut report.findings[place];
        if !finding.verdict.stops() {
            (finding.verdict, finding.note) = (Verdict::Error, why);
        }
    }
    let is_command =
        |value: &Option<String>| value.as_ref().is_some_and(|v| v.contains("@(exec://"));
    if options.sockets.is_empty() && !report.findings.iter().any(|f| is_command(&f.value)) {
        report.errors.push(
            "nothing to listen on: give --http-socket, --http or --socket an address".to_owned(),
        );
    }
    let stops = report.findings.iter().any(|finding| finding.verdict.stops());
    report.would_start = report.errors.is_empty() && !stops;
    report
}

fn meant(setting: &Setting) -> String {
    let question = hint::question(&setting.name, setting.value.as_deref());
    question.map_or(String::new(), |question| format!("no option; {question}"))
}

fn judge<'a>(
    setting: &'a Setting,
    opt: &'static Opt,
    addresses: &mut Addresses<'a>,
    options: &mut Options,
) -> (Verdict, String) {
    let value = Value { text: addresses.value(setting, opt) };
    // The message names line and option again, which stand before it here.
    let bare = |error: StartError| {
        let text = error.to_string();
        let place = format!("{}: {}: ", setting.origin, setting.name);
        text.strip_prefix(&place).map_or(text.clone(), str::to_owned)
    };
    if let Err(error) = apply::refuse(setting, opt) {
        return (Verdict::Refused, bare(error));
    }
    if value.text.is_some_and(|text| text.contains("@(exec://")) {
        return (Verdict::Honoured, "what the command prints is not asked for here".to_owned());
    }
    let note = match apply::set(setting, opt, value, options) {
        Ok(note) => note.or_else(|| addresses.keep_first(setting, options)),
        Err(error) => return (Verdict::Error, bare(error)),
    };
    if let Some(what) = note.or_else(|| suspicion(opt, value, setting)) {
        return (Verdict::Suspicious, what);
    }
    match opt.status {
        Status::Adapted(why) => (Verdict::Adapted, why.to_owned()),
        Status::Ignored(why) => (Verdict::Ignored, why.to_owned()),
        Status::Absent(why) if !apply::is_off(opt, value) => (Verdict::Absent, why.to_owned()),
        _ => (Verdict::Honoured, String::new()),
    }
}

impl Report {
    /// A table for people, and a last line that says whether it would start.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let shown = |finding: &Finding| match &finding.value {
            Some(value) => format!("{} = {}", finding.name, shortened(value)),
            None => finding.name.clone(),
        };
        let widest = |lens: &mut dyn Iterator<Item = usize>| lens.max().unwrap_or(0).min(60);
        let origins = widest(&mut self.findings.iter().map(|finding| finding.origin.len()));
        let settings = widest(&mut self.findings.iter().map(|finding| shown(finding).len()));
        for finding in &self.findings {
            let verdict = format!("{:?}", finding.verdict).to_lowercase();
            let (origin, setting) = (&finding.origin, shown(finding));
            let line = format!("{origin:origins$}  {setting:settings$}  {verdict:10}  ");
            push(&mut out, format_args!("{}{}\n", line, finding.note));
        }
        for warning in &self.warnings {
            push(&mut out, format_args!("warning: {warning}\n"));
        }
        for error in &self.errors {
            push(&mut out, format_args!("error: {error}\n"));
        }
        let counts: Vec<_> = [
            Verdict::Honoured,
            Verdict::Adapted,
            Verdict::Ignored,
            Verdict::Absent,
            Verdict::Variable,
            Verdict::Suspicious,
            Verdict::Refused,
            Verdict::Error,
        ]
        .iter()
        .filter_map(|verdict| {
            let count = self.findings.iter().filter(|f| f.verdict == *verdict).count();
            let name = format!("{verdict:?}").to_lowercase();
            (count > 0).then(|| format!("{count} {name}"))
        })
        .collect();
        let end = if self.would_start { "it would start" } else { "it would NOT start" };
        let counts = counts.join(", ");
        let gap = if counts.is_empty() { "" } else { ": " };
        push(&mut out, format_args!("{counts}{gap}{end}\n"));
        // Notes end at their last word.
        out.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
    }

    /// The same for programs.
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }
}

fn shortened(value: &str) -> String {
    let first: String =
        value.chars().take(40).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if first.len() < value.len() { first + ".." } else { first }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdicts(ini: &str) -> (Vec<(String, Verdict, String)>, Report) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.ini");
        std::fs::write(&path, ini).unwrap();
        let args = ["uwring", "--ini", path.to_str().unwrap()].map(OsString::from).to_vec();
        let machine = Machine { has_user: |name| name != "nosuch", has_group: |_| true };
        let report = check(args, &Environment::new(), machine);
        let own = report.findings.iter().filter(|finding| finding.name != "ini");
        let all = own.map(|f| (f.name.clone(), f.verdict, f.note.clone())).collect();
        (all, report)
    }

    #[test]
    fn judges_every_line_and_does_not_stop_at_the_first_fault() {
        let (all, report) = verdicts(
            "[uwsgi]\nsocket = 127.0.0.1:1\nprocesses = many\nmaster = flase\ndie-on-term = 1\n\
             thunder-lock = true\nemperor = /etc\nmine = 5\nprocceses = 4\n",
        );
        let of = |name: &str| all.iter().find(|(n, ..)| n == name).unwrap();
        assert_eq!(of("socket").1, Verdict::Honoured);
        assert_eq!(of("processes").1, Verdict::Error);
        assert!(of("processes").2.starts_with("expected"), "{:?}", of("processes"));
        assert_eq!(of("master").1, Verdict::Suspicious);
        assert_eq!(of("die-on-term").1, Verdict::Adapted);
        assert_eq!(of("thunder-lock").1, Verdict::Ignored);
        assert_eq!(of("emperor").1, Verdict::Refused);
        assert_eq!(of("mine").1, Verdict::Variable);
        assert_eq!(of("procceses").2, "no option; did you mean processes?");
        assert!(!report.would_start);
        let text = report.text();
        assert!(text.contains("app.ini:3"), "{text}");
        assert!(text.ends_with("it would NOT start\n"), "{text}");
        let json: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
        assert_eq!(json["would_start"], false);
        assert_eq!(json["findings"][2]["verdict"], "error");
    }

    #[test]
    fn tells_what_would_start() {
        let (_, report) = verdicts("[uwsgi]\nsocket = :1\nmodule = app\n");
        assert!(report.would_start, "{}", report.text());
        let (_, report) = verdicts("[uwsgi]\nmodule = app\n");
        assert!(report.text().contains("error: nothing to listen on"), "{}", report.text());
        let (all, report) = verdicts("[uwsgi]\nstrict = true\nsocket = :1\nmoduel = app\n");
        assert_eq!(all.last().unwrap().1, Verdict::Error);
        assert!(!report.would_start);
        let (_, report) = verdicts("[uwsgi]\nsocket = :1\nset = x\n");
        assert!(!report.would_start && !report.errors.is_empty());
    }

    #[test]
    fn says_what_this_machine_lacks() {
        for line in [
            "uid = nosuch",
            "chown-socket = nosuch:root",
            "chdir = /nowhere",
            "envdir = /nowhere",
            "logto = /nowhere/x.log",
            "logto = /tmp",
            "pidfile = /nowhere/pid",
            "safe-pidfile2 = nowhere/pid",
            "daemonize = /nowhere/x.log",
            "master-fifo = /nowhere/fifo",
            "stats = /nowhere/stats.sock",
            "socket = /nowhere/app.sock",
            "cheaper = 5",
            "log-drain = (",
            "log-filter = [",
            "log-alarm = nosuch x",
            "logger = a stdio\nlog-route = a (",
            "logger = a stdio\nlog-route = b x",
            "logger = a stdio\nlog-req-route = a x",
        ] {
            let (all, report) = verdicts(&format!("[uwsgi]\nsocket = :1\n{line}\n"));
            let (_, verdict, note) = all.last().unwrap();
            assert_eq!(*verdict, Verdict::Error, "{line}: {}", report.text());
            assert!(!note.is_empty() && !report.would_start, "{line}");
            let is_whole = line.starts_with("cheaper") || line.contains("log-");
            let text = check_text(&format!("[uwsgi]\nsocket = :1\n{line}\n"), "app.ini");
            assert_eq!(text.would_start, !is_whole, "{line}: {}", text.text());
        }
        for line in ["uid = root", "logto = x.log", "logto = 10.0.0.1:514", "stats = :1"] {
            let (_, report) = verdicts(&format!("[uwsgi]\nsocket = :1\n{line}\n"));
            assert!(report.would_start, "{line}: {}", report.text());
        }
        let made = "hook-asap = mkdir:/nowhere\nlogto = /nowhere/x.log";
        let (_, report) = verdicts(&format!("[uwsgi]\nsocket = :1\n{made}\n"));
        assert!(report.would_start, "{}", report.text());
    }
}
