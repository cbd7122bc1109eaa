//! Where each line goes: drains, filters, routes, and the loggers without a name.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::encoder::Chain;
use super::file::Sheet;
use super::program::Leaving;
use super::rules::Rules;
use super::target::Target;
use crate::options::{Encoder, Logger, Options, Pattern, Route};

/// All lines of the server and the app, or all lines of requests.
pub(super) struct Desk {
    drains: Vec<Pattern>,
    filters: Vec<Pattern>,
    /// Patterns and the loggers (by index) that lines go to.
    routes: Vec<(Pattern, Vec<usize>)>,
    loggers: Vec<Desked>,
    encoded: Vec<u8>,
}

struct Desked {
    target: Target,
    chain: Chain,
    /// It gets what no route took.
    is_open: bool,
}

/// What the options say about one of the two kinds of lines.
pub(super) struct Wanted<'o> {
    pub loggers: &'o [Logger],
    pub encoders: &'o [Encoder],
    pub routes: &'o [Route],
    pub drains: &'o [String],
    pub filters: &'o [String],
}

impl Desk {
    /// Opens all targets. `stderr` is where the server's output went at the start, `base` the file
    /// that takes its place. With `is_again` a file that cannot be opened, since this user may not
    /// or its directory went, is no error: its lines go to `stderr` until it is reopened.
    ///
    /// # Errors
    /// What cannot be opened, or a pattern that is none.
    pub(super) fn open(
        wanted: &Wanted<'_>,
        options: &Options,
        base: Option<&Path>,
        is_again: bool,
        stderr: impl Fn() -> io::Result<File>,
    ) -> Result<Desk, String> {
        let mut loggers = Vec::new();
        for logger in wanted.loggers {
            let target = Target::open(&logger.engine, options, is_again, &stderr)?;
            let chain = Chain::new(wanted.encoders, logger.name.as_deref());
            loggers.push(Desked { target, chain, is_open: logger.name.is_none() });
        }
        if !loggers.iter().any(|logger| logger.is_open) {
            let sheet = match base {
                Some(path) => {
                    let (max, backup) = (options.logs.max_size, options.logs.backup.clone());
                    open_sheet(path, options, (max, backup), is_again, &stderr)
                }
                None => stderr().map(Sheet::of),
            };
            let shown = base.map_or("standard error".into(), |path| path.display().to_string());
            let target = Target::Sheet(sheet.map_err(|error| format!("logto {shown}: {error}"))?);
            let chain = Chain::new(wanted.encoders, None);
            loggers.push(Desked { target, chain, is_open: true });
        }
        let mut routes = Vec::new();
        for route in wanted.routes {
            let pattern =
                Pattern::new(&route.pattern).map_err(|error| format!("log-route: {error}"))?;
            let is_meant = |logger: &Logger| logger.name.as_ref() == Some(&route.logger);
            let meant: Vec<_> =
                wanted.loggers.iter().enumerate().filter(|(_, l)| is_meant(l)).collect();
            if meant.is_empty() {
                return Err(format!("log-route: there is no logger \"{}\"", route.logger));
            }
            routes.push((pattern, meant.into_iter().map(|(index, _)| index).collect()));
        }
        let set = |option: &str, patterns: &[String]| {
            let patterns: Result<Vec<_>, _> =
                patterns.iter().map(|pattern| Pattern::new(pattern)).collect();
            patterns.map_err(|error| format!("{option}: {error}"))
        };
        Ok(Desk {
            drains: set("log-drain", wanted.drains)?,
            filters: set("log-filter", wanted.filters)?,
            routes,
            loggers,
            encoded: Vec::new(),
        })
    }

    /// Takes a line, without its line feed.
    pub(super) fn take(&mut self, line: &[u8]) {
        let any_fits = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.fits(line));
        if any_fits(&self.drains) || !self.filters.is_empty() && !any_fits(&self.filters) {
            return;
        }
        let mut is_routed = false;
        for (pattern, meant) in &self.routes {
            if pattern.fits(line) {
                is_routed = true;
                for &index in meant {
                    self.loggers[index].take(line, &mut self.encoded);
                }
            }
        }
        if !is_routed {
            for logger in self.loggers.iter_mut().filter(|logger| logger.is_open) {
                logger.take(line, &mut self.encoded);
            }
        }
    }

    /// Writes what waits.
    pub(super) fn flush(&mut self) {
        self.loggers.iter_mut().for_each(|logger| logger.target.flush());
    }

    /// Whether lines wait for a reader.
    pub(super) fn waits(&self) -> bool {
        self.loggers.iter().any(|logger| logger.target.waits())
    }

    /// The files that have a name.
    pub(super) fn sheets(&mut self) -> impl Iterator<Item = &mut Sheet> {
        self.loggers.iter_mut().filter_map(|logger| match &mut logger.target {
            Target::Sheet(sheet) if sheet.path().is_some() => Some(sheet),
            _ => None,
        })
    }

    /// Lets programs read what is left and leave, all at the same time.
    pub(super) fn end(desks: &mut [Desk]) {
        let loggers = desks.iter_mut().flat_map(|desk| &mut desk.loggers);
        let mut leaving = Leaving::default();
        for logger in loggers {
            if let Target::Program(program) = &mut logger.target {
                program.end();
                leaving.join(&mut program.leaving);
            }
        }
        leaving.await_all();
    }
}

/// A log file; when it is opened again and cannot be, what stands in for it.
pub(super) fn open_sheet(
    path: &Path,
    options: &Options,
    (max, backup): (Option<u64>, Option<PathBuf>),
    is_again: bool,
    stderr: impl Fn() -> io::Result<File>,
) -> io::Result<Sheet> {
    let rules = Rules::new(options);
    match Sheet::open(path, rules, max, backup.clone()) {
        Err(error) if is_again => Ok(Sheet::instead(path, rules, max, backup, stderr()?, &error)),
        result => result,
    }
}

impl Desked {
    fn take(&mut self, line: &[u8], encoded: &mut Vec<u8>) {
        if self.chain.is_empty() {
            return self.target.take(line, true);
        }
        self.chain.apply(line, encoded);
        self.target.take(encoded, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Engine;

    #[test]
    fn named_loggers_get_what_is_routed_to_them() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str| directory.path().join(name);
        let logger = |name: Option<&str>, path: &str| Logger {
            name: name.map(str::to_owned),
            engine: Engine::File { path: file(path), max_size: None, backup: None },
        };
        let route =
            |logger: &str, pattern: &str| Route { logger: logger.into(), pattern: pattern.into() };
        let loggers =
            [logger(Some("json"), "json"), logger(Some("err"), "err"), logger(None, "all")];
        let wanted = Wanted {
            loggers: &loggers,
            encoders: &[],
            routes: &[route("json", "^\\{"), route("err", "rror")],
            drains: &["secret".to_owned()],
            filters: &[],
        };
        let options = Options::default();
        let none = || Err(io::ErrorKind::NotFound.into());
        let mut desk = Desk::open(&wanted, &options, None, false, none).unwrap();
        for line in ["{\"a\":1}", "{\"error\":1}", "plain", "a secret", "Error: x"] {
            desk.take(line.as_bytes());
        }
        desk.flush();
        let text = |name: &str| std::fs::read_to_string(file(name)).unwrap();
        assert_eq!(text("json"), "{\"a\":1}\n{\"error\":1}\n");
        assert_eq!(text("err"), "{\"error\":1}\nError: x\n");
        assert_eq!(text("all"), "plain\n");
        let lost = Wanted { routes: &[route("nobody", "x")], ..wanted };
        assert!(Desk::open(&lost, &options, None, false, none).is_err());
    }
}
