//! When an answer grows old: the rules of the `static-expires` options.

use std::path::Path;

use crate::options::{By, Expires, Pattern, Since};

/// A rule that can be asked.
pub(super) struct Expiry {
    test: Test,
    seconds: u64,
    since: Since,
}

enum Test {
    Type(String),
    Matches(By, Pattern),
    /// A pattern that cannot be compiled was refused when it was read.
    Never,
}

/// What rules look at.
pub(super) struct Subject<'s> {
    pub(super) kind: Option<&'s str>,
    pub(super) file: &'s Path,
    pub(super) path_info: &'s [u8],
    pub(super) uri: &'s [u8],
}

impl Expiry {
    pub(super) fn new(rule: &Expires) -> Expiry {
        let test = match (rule.by, Pattern::new(&rule.pattern)) {
            (By::Type, _) => Test::Type(rule.pattern.clone()),
            (by, Ok(regex)) => Test::Matches(by, regex),
            (_, Err(_)) => Test::Never,
        };
        Expiry { test, seconds: rule.seconds, since: rule.since }
    }

    fn fits(&self, subject: &Subject<'_>) -> bool {
        use std::os::unix::ffi::OsStrExt;
        match &self.test {
            Test::Type(kind) => subject.kind == Some(kind),
            Test::Matches(By::Uri, regex) => regex.fits(subject.uri),
            Test::Matches(By::PathInfo, regex) => regex.fits(subject.path_info),
            Test::Matches(_, regex) => regex.fits(subject.file.as_os_str().as_bytes()),
            Test::Never => false,
        }
    }
}

/// When an answer expires, in seconds since the epoch, by the first rule that fits.
pub(super) fn at(
    rules: &[Expiry],
    subject: &Subject<'_>,
    now_s: u64,
    changed_s: i64,
) -> Option<u64> {
    let rule = rules.iter().find(|rule| rule.fits(subject))?;
    let from = match rule.since {
        Since::Now => now_s,
        Since::Change => u64::try_from(changed_s).unwrap_or(0),
    };
    // A field's year has four digits.
    const YEAR_9999: u64 = 253_402_300_799;
    Some(from.saturating_add(rule.seconds).min(YEAR_9999))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_fits_counts() {
        let rule = |by, pattern: &str, seconds, since| {
            Expiry::new(&Expires { by, pattern: pattern.to_owned(), seconds, since })
        };
        let rules = [
            rule(By::Type, "text/css", 1, Since::Now),
            rule(By::File, r"\.js$", 2, Since::Change),
            rule(By::PathInfo, "^/a/", 3, Since::Now),
            rule(By::Uri, "v=", u64::MAX, Since::Now),
        ];
        let at = |kind, file: &str, path_info: &str, uri: &str| {
            let (path_info, uri) = (path_info.as_bytes(), uri.as_bytes());
            at(&rules, &Subject { kind, file: Path::new(file), path_info, uri }, 100, 50)
        };
        assert_eq!(at(Some("text/css"), "/x.js", "/a/", "/"), Some(101));
        assert_eq!(at(None, "/x.js", "/a/", "/"), Some(52));
        assert_eq!(at(None, "/x", "/a/b", "/"), Some(103));
        assert_eq!(at(None, "/x", "/b", "/b?v=1"), Some(253_402_300_799));
        assert_eq!(at(None, "/x", "/b", "/b"), None);
    }
}
