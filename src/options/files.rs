//! What was asked for about static files.

use std::path::PathBuf;

use super::value::{Value, Wrong};

/// Which files are served, and how.
#[derive(Debug, Clone)]
pub struct Files {
    /// `(prefix, directory or file)`, prefixes cut.
    pub map: Vec<(String, PathBuf)>,
    /// `(prefix, directory)`, prefixes kept.
    pub map_whole: Vec<(String, PathBuf)>,
    pub check: Vec<PathBuf>,
    /// Look in the directory that the front server names as DOCUMENT_ROOT.
    pub check_docroot: bool,
    /// Names of files that stand for their directory.
    pub index: Vec<String>,
    /// Links may lead into these.
    pub safe: Vec<PathBuf>,
    /// Ends of names that belong to the app.
    pub skip_ext: Vec<String>,
    pub mime_files: Vec<PathBuf>,
    /// Seconds for which the place of a file is not looked for again.
    pub places_s: u64,
    /// The first that fits counts.
    pub expires: Vec<Expires>,
    pub compressed: Vec<Compressed>,
    pub ranges: bool,
    pub serve_mode: ServeMode,
}

impl Default for Files {
    fn default() -> Files {
        Files {
            map: Vec::new(),
            map_whole: Vec::new(),
            check: Vec::new(),
            check_docroot: false,
            index: Vec::new(),
            safe: Vec::new(),
            skip_ext: Vec::new(),
            mime_files: Vec::new(),
            places_s: 0,
            expires: Vec::new(),
            compressed: Vec::new(),
            ranges: true,
            serve_mode: ServeMode::Send,
        }
    }
}

/// What a rule about Expires looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The file's type, which is the pattern.
    Type,
    /// The file's path; the pattern is a regular expression, as for those below.
    File,
    PathInfo,
    /// The request's target.
    Uri,
}

/// What the seconds are added to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    Now,
    /// The file's last change.
    Change,
}

/// A rule about Expires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expires {
    pub by: By,
    pub pattern: String,
    pub seconds: u64,
    pub since: Since,
}

impl Expires {
    /// `TYPE=SECONDS`, or `REGEX SECONDS`.
    pub(super) fn read(value: Value<'_>, by: By, since: Since) -> Result<Expires, Wrong> {
        let text = value.text()?.trim();
        let (split, expected) = match by {
            By::Type => (text.rsplit_once('='), "TYPE=SECONDS"),
            _ => (text.rsplit_once([' ', '\t']), "REGEX SECONDS"),
        };
        let (pattern, seconds) = split.ok_or(Wrong::Expected(expected))?;
        let pattern = Value { text: Some(pattern.trim()) };
        let seconds = Value { text: Some(seconds) }.seconds()?;
        let pattern = if by == By::Type { pattern.string()? } else { pattern.regex()? };
        Ok(Expires { by, pattern, seconds, since })
    }
}

/// Files that may have compressed siblings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compressed {
    All,
    /// The path matches this regular expression.
    Matching(String),
    /// The path begins so.
    Below(PathBuf),
    /// The path ends so.
    Ending(String),
}

/// Who sends the bytes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServeMode {
    Send,
    /// nginx, told by X-Accel-Redirect.
    AccelRedirect,
    /// Apache or lighttpd, told by X-Sendfile.
    Sendfile,
}

pub(super) const SERVE_MODES: [(&str, ServeMode); 3] = [
    ("nginx", ServeMode::AccelRedirect),
    ("x-accel-redirect", ServeMode::AccelRedirect),
    ("x-sendfile", ServeMode::Sendfile),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, by: By) -> Result<(String, u64), Wrong> {
        let value = Value { text: Some(text) };
        Expires::read(value, by, Since::Now).map(|rule| (rule.pattern, rule.seconds))
    }

    #[test]
    fn a_rule_about_expires_ends_with_its_seconds() {
        assert_eq!(read("^/a/ 315360000", By::Uri), Ok(("^/a/".to_owned(), 315_360_000)));
        assert_eq!(read("/* 31557600", By::File), Ok(("/*".to_owned(), 31_557_600)));
        assert_eq!(read("text/css=60", By::Type), Ok(("text/css".to_owned(), 60)));
        for (text, by) in [("60", By::Uri), ("/a", By::Uri), ("/a soon", By::Uri), ("( 1", By::Uri)]
        {
            assert!(read(text, by).is_err(), "{text}");
        }
        assert!(read("text/css", By::Type).is_err());
    }
}
