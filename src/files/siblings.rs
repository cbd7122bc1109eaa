//! Compressed siblings: `app.css.br` and `app.css.gz` beside `app.css`, and who takes them.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::options::{Compressed, Pattern};
use crate::request::Coding;

/// What the name of a sibling ends in.
pub(super) fn ending(coding: Coding) -> &'static str {
    match coding {
        Coding::Brotli => ".br",
        Coding::Gzip => ".gz",
    }
}

/// Which files may have siblings.
pub(super) struct Siblings(Vec<Test>);

enum Test {
    All,
    Matching(Pattern),
    /// The beginnings, as written and with links resolved.
    Below(PathBuf, PathBuf),
    Ending(String),
}

impl Siblings {
    /// A relative beginning counts from `here`.
    pub(super) fn new(rules: &[Compressed], here: &Path) -> Siblings {
        let test = |rule: &Compressed| {
            Some(match rule {
                Compressed::All => Test::All,
                Compressed::Matching(pattern) => Test::Matching(Pattern::new(pattern).ok()?),
                Compressed::Below(path) => {
                    let written = here.join(path);
                    let real = std::fs::canonicalize(&written).unwrap_or_else(|_| written.clone());
                    Test::Below(written, real)
                }
                Compressed::Ending(end) => Test::Ending(end.clone()),
            })
        };
        Siblings(rules.iter().filter_map(test).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the file at this real path may have siblings.
    pub(super) fn of(&self, file: &Path) -> bool {
        let bytes = file.as_os_str().as_bytes();
        self.0.iter().any(|test| match test {
            Test::All => true,
            Test::Matching(regex) => regex.fits(bytes),
            // uWSGI: the beginning of the text, which need not be a whole directory.
            Test::Below(written, real) => [written, real]
                .into_iter()
                .any(|start| bytes.starts_with(start.as_os_str().as_bytes())),
            Test::Ending(end) => bytes.ends_with(end.as_bytes()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_name_the_files() {
        let of = |rule: Compressed, file: &str| {
            Siblings::new(&[rule], Path::new("/w")).of(Path::new(file))
        };
        assert!(of(Compressed::All, "/x"));
        assert!(of(Compressed::Matching(r"\.(js|css)$".to_owned()), "/x/a.css"));
        assert!(!of(Compressed::Matching(r"\.(js|css)$".to_owned()), "/x/a.png"));
        assert!(of(Compressed::Below("collected/".into()), "/w/collected/a"));
        assert!(!of(Compressed::Below("collected".into()), "/x/collected/a"));
        assert!(of(Compressed::Ending("css".to_owned()), "/x/a.css"));
    }
}
