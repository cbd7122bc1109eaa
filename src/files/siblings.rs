//! Compressed siblings: `app.css.br` and `app.css.gz` beside `app.css`, and who takes them.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::options::{Compressed, Pattern};

/// How a sibling is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Brotli,
    Gzip,
}

impl Coding {
    /// The value of Content-Encoding.
    pub(super) fn name(self) -> &'static str {
        match self {
            Coding::Brotli => "br",
            Coding::Gzip => "gzip",
        }
    }

    pub(super) fn ending(self) -> &'static str {
        match self {
            Coding::Brotli => ".br",
            Coding::Gzip => ".gz",
        }
    }
}

/// The codings that a client takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Codings {
    brotli: bool,
    gzip: bool,
}

impl Codings {
    /// Adds what an Accept-Encoding field names; one with the weight 0 is refused (RFC 9110,
    /// 12.5.3).
    pub(super) fn accept(&mut self, field: &[u8]) {
        for item in field.split(|&byte| byte == b',') {
            let mut parts = item.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
            let name = parts.next().unwrap_or(b"");
            let is_taken = !parts.any(is_zero);
            if name.eq_ignore_ascii_case(b"br") {
                self.brotli = is_taken;
            } else if name.eq_ignore_ascii_case(b"gzip") || name.eq_ignore_ascii_case(b"x-gzip") {
                self.gzip = is_taken;
            }
        }
    }

    pub(super) fn bits(self) -> u8 {
        u8::from(self.brotli) | u8::from(self.gzip) << 1
    }

    /// The smaller ones first.
    pub(super) fn in_order(self) -> impl Iterator<Item = Coding> {
        let brotli = self.brotli.then_some(Coding::Brotli);
        brotli.into_iter().chain(self.gzip.then_some(Coding::Gzip))
    }
}

/// `q=0`, `q=0.0` and so on.
fn is_zero(parameter: &[u8]) -> bool {
    let weight = match parameter {
        [b'q' | b'Q', b'=', weight @ ..] => weight,
        _ => return false,
    };
    weight.first() == Some(&b'0') && weight.iter().all(|byte| matches!(byte, b'0' | b'.'))
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
    fn reads_what_a_client_takes() {
        let accepted = |fields: &[&str]| {
            let mut codings = Codings::default();
            fields.iter().for_each(|field| codings.accept(field.as_bytes()));
            codings.in_order().map(Coding::name).collect::<Vec<_>>()
        };
        assert_eq!(accepted(&["gzip, deflate, br, zstd"]), ["br", "gzip"]);
        assert_eq!(accepted(&["GZIP;q=0.5", "x"]), ["gzip"]);
        assert_eq!(accepted(&["gzip", "br"]), ["br", "gzip"]);
        assert_eq!(accepted(&["br;q=0, gzip;q=0.001"]), ["gzip"]);
        assert_eq!(accepted(&["gzip; q=0.000,br;q=0"]), [""; 0]);
        assert_eq!(accepted(&["identity, *", "bro, gzipped"]), [""; 0]);
    }

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
