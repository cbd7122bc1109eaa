//! What the probe found, and how it is told: what was chosen, because of which module, and what
//! would lift it.

use serde::{Deserialize, Serialize};

use crate::options::Isolation;

/// What the probe found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// Two interpreters at once run the app.
    Capable,
    /// The app is there, but extension modules refused and it went on without them.
    Degraded { refused: Vec<String> },
    /// Extension modules refused and the app is not there; the one that decided it comes first.
    Refused { refused: Vec<String> },
    /// The app raises something there that it does not raise in a process.
    Fails { error: String },
    /// The process ended while it was tried. `signal` is None where it exited by itself.
    Crashed { signal: Option<i32>, importing: String },
    /// It took more than the limit, in seconds.
    Hung { limit_s: u64, importing: String },
    /// The app fails in a process too; its traceback.
    Broken { error: String },
    /// This Python has no interpreters with a GIL of their own.
    OldPython { minor: u8 },
    /// Why it could not be tried.
    Untried { reason: String },
}

/// Ways out that were tried with the packages of 2026-11-22 on Python 3.13 and newer, by the top
/// package of the module that refuses.
const LIFTS: &[(&str, &str)] = &[
    ("psycopg2", "psycopg 3"),
    ("sqlalchemy", "SQLAlchemy's pure wheel (py3-none-any)"),
    ("charset_normalizer", "charset-normalizer's pure wheel (py3-none-any)"),
    ("MySQLdb", "PyMySQL"),
    ("hiredis", "redis without hiredis"),
    ("psycopg_binary", "psycopg without psycopg-binary"),
];

/// Modules of the standard library that refuse up to 3.15.
const STANDARD: &[&str] =
    &["_curses", "_curses_panel", "_tkinter", "faulthandler", "readline", "tracemalloc"];

/// The same for what the app itself does at import, by a part of the error.
const LIFTS_OF_ERRORS: &[(&str, &str)] = &[
    ("signal only works in main thread", "setting no signal handler at import"),
    ("fork not supported", "forking no process at import"),
    ("preexec_fn not supported", "starting processes without preexec_fn"),
    ("exec not supported", "executing no other program at import"),
];

impl Verdict {
    /// What `auto` takes.
    pub fn isolation(&self) -> Isolation {
        match self {
            Verdict::Capable => Isolation::Interpreter,
            _ => Isolation::Process,
        }
    }

    /// Whether it stays true while no file changes.
    pub fn is_lasting(&self) -> bool {
        match self {
            Verdict::Capable
            | Verdict::Degraded { .. }
            | Verdict::Refused { .. }
            | Verdict::Fails { .. } => true,
            // SIGKILL comes from outside: somebody, or the kernel without memory.
            Verdict::Crashed { signal, .. } => *signal != Some(libc::SIGKILL),
            _ => false,
        }
    }

    /// Why the app cannot have interpreters; None where it can, and where the app is broken: then
    /// its own traceback says all.
    pub fn reason(&self) -> Option<String> {
        let reason = match self {
            Verdict::Capable | Verdict::Broken { .. } => return None,
            Verdict::Degraded { refused } if refused.len() == 1 => {
                format!("{} refuses sub-interpreters, and the app goes on without it", refused[0])
            }
            Verdict::Degraded { refused } => {
                format!(
                    "{} refuse sub-interpreters, and the app goes on without them",
                    list(refused)
                )
            }
            Verdict::Refused { refused } => {
                let module = refused.first().map_or("a module", String::as_str);
                format!("{module} refuses sub-interpreters")
            }
            Verdict::Fails { error } => format!("in a sub-interpreter the app raises {error}"),
            Verdict::Crashed { signal, importing } => {
                let how = match signal {
                    Some(signal) => format!("dies of signal {signal}"),
                    None => "ends the process".to_owned(),
                };
                format!("in a sub-interpreter the app {how}{}", during(importing))
            }
            Verdict::Hung { limit_s, importing } => {
                format!("importing the app twice took more than {limit_s} s{}", during(importing))
            }
            Verdict::OldPython { minor } => {
                format!("Python 3.{minor} has no interpreters with a GIL of their own")
            }
            Verdict::Untried { reason } => format!("the app could not be tried: {reason}"),
        };
        Some(reason)
    }

    /// What would give the app interpreters, as far as that is known.
    pub fn lift(&self) -> Option<String> {
        match self {
            Verdict::Capable | Verdict::Broken { .. } | Verdict::Untried { .. } => None,
            Verdict::Degraded { refused } => {
                let known: Vec<_> =
                    refused.iter().filter_map(|module| known_lift(module)).collect();
                if known.len() == refused.len() {
                    return Some(known.join(" and "));
                }
                Some("--isolation interpreter, which accepts that,".to_owned())
            }
            Verdict::Refused { refused } => {
                let module = refused.first()?;
                if STANDARD.contains(&module.as_str()) {
                    return Some("a release of Python that allows it".to_owned());
                }
                let known = known_lift(module).map(str::to_owned);
                known.or_else(|| Some(format!("a release of {} that allows them", top(module))))
            }
            Verdict::Fails { error } => {
                let known = LIFTS_OF_ERRORS.iter().find(|(part, _)| error.contains(part));
                known.map(|(_, lift)| (*lift).to_owned())
            }
            // Nothing, or the app's own file.
            Verdict::Crashed { importing, .. }
                if importing.is_empty() || importing.contains('/') =>
            {
                None
            }
            Verdict::Crashed { importing, .. } => {
                Some(format!("a release of {} that does not", top(importing)))
            }
            Verdict::Hung { .. } => Some("a longer --isolation-timeout".to_owned()),
            Verdict::OldPython { .. } => Some("Python 3.13 or newer".to_owned()),
        }
    }

    /// The whole line of the log; None for a broken app.
    pub fn line(&self, workers: usize) -> Option<String> {
        if *self == Verdict::Capable {
            let plural = if workers == 1 { "" } else { "s" };
            return Some(format!(
                "the app can share a process: serving with {workers} interpreter{plural}"
            ));
        }
        let plural = if workers == 1 { "" } else { "es" };
        let lift = self.lift().map_or_else(String::new, |lift| format!("; {lift} would lift this"));
        Some(format!("{}: serving with {workers} process{plural}{lift}", self.reason()?))
    }
}

fn during(importing: &str) -> String {
    if importing.is_empty() { String::new() } else { format!(" while it imports {importing}") }
}

/// The package that a module belongs to.
fn top(module: &str) -> &str {
    module.split('.').next().unwrap_or(module)
}

fn known_lift(module: &str) -> Option<&'static str> {
    LIFTS.iter().find(|(package, _)| *package == top(module)).map(|(_, lift)| *lift)
}

/// `a, b and 3 more`.
fn list(modules: &[String]) -> String {
    match modules {
        [one] => one.clone(),
        [one, two] => format!("{one} and {two}"),
        [one, two, rest @ ..] => format!("{one}, {two} and {} more", rest.len()),
        [] => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(verdict: &Verdict) -> String {
        verdict.line(4).unwrap_or_default()
    }

    fn named(modules: &[&str]) -> Vec<String> {
        modules.iter().map(|module| (*module).to_owned()).collect()
    }

    #[test]
    fn a_line_says_what_was_chosen_for_which_module_and_what_would_lift_it() {
        let refused = |modules: &[&str]| Verdict::Refused { refused: named(modules) };
        assert_eq!(
            line(&refused(&["psycopg2._psycopg"])),
            "psycopg2._psycopg refuses sub-interpreters: serving with 4 processes; psycopg 3 would \
             lift this"
        );
        assert_eq!(
            line(&refused(&["numpy._core._multiarray_umath", "yaml._yaml"])),
            "numpy._core._multiarray_umath refuses sub-interpreters: serving with 4 processes; a \
             release of numpy that allows them would lift this"
        );
        assert_eq!(
            line(&Verdict::Degraded { refused: named(&["a.a", "b.b", "c.c"]) }),
            "a.a, b.b and 1 more refuse sub-interpreters, and the app goes on without them: serving \
             with 4 processes; --isolation interpreter, which accepts that, would lift this"
        );
        assert_eq!(
            line(&Verdict::Degraded { refused: named(&["hiredis.hiredis"]) }),
            "hiredis.hiredis refuses sub-interpreters, and the app goes on without it: serving with \
             4 processes; redis without hiredis would lift this"
        );
        let error = "ValueError: signal only works in main thread of the main interpreter".into();
        assert_eq!(
            line(&Verdict::Fails { error }),
            "in a sub-interpreter the app raises ValueError: signal only works in main thread of \
             the main interpreter: serving with 4 processes; setting no signal handler at import \
             would lift this"
        );
        let crashed =
            |signal, importing: &str| Verdict::Crashed { signal, importing: importing.into() };
        assert_eq!(
            line(&crashed(Some(11), "a.b")),
            "in a sub-interpreter the app dies of signal 11 while it imports a.b: serving with 4 \
             processes; a release of a that does not would lift this"
        );
        assert_eq!(
            line(&crashed(None, "")),
            "in a sub-interpreter the app ends the process: serving with 4 processes"
        );
        assert_eq!(
            line(&Verdict::Capable),
            "the app can share a process: serving with 4 interpreters"
        );
        assert_eq!(Verdict::Broken { error: "E".into() }.line(1), None);
    }

    #[test]
    fn what_may_be_otherwise_next_time_is_not_kept() {
        let crashed = |signal| Verdict::Crashed { signal, importing: String::new() };
        assert!(
            crashed(Some(libc::SIGSEGV)).is_lasting() && !crashed(Some(libc::SIGKILL)).is_lasting()
        );
        assert!(!Verdict::Hung { limit_s: 1, importing: String::new() }.is_lasting());
        assert!(
            !Verdict::Broken { error: String::new() }.is_lasting() && Verdict::Capable.is_lasting()
        );
    }
}
