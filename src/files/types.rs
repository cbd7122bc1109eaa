//! The type that a file's name tells.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// The system's list, which uWSGI reads.
const SYSTEM: &str = "/etc/mime.types";

/// Types by the last part of a file's name.
pub(super) struct Types(HashMap<String, String>);

impl Types {
    /// Reads the operator's files, then the system's; the first that names an ending counts. One
    /// that cannot be read is passed over, as uWSGI does.
    pub(super) fn read(files: &[PathBuf]) -> Types {
        let mut types = Types(HashMap::new());
        for file in files.iter().map(PathBuf::as_path).chain([Path::new(SYSTEM)]) {
            let text = std::fs::read(file).unwrap_or_default();
            types.add(&String::from_utf8_lossy(&text));
        }
        types
    }

    /// `type ending ending`, a line each; `#` begins a comment.
    fn add(&mut self, text: &str) {
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or("");
            let mut words = line.split_ascii_whitespace();
            let Some(kind) = words.next() else { continue };
            if !kind.bytes().all(|byte| byte.is_ascii_graphic()) {
                continue; // It stands in a head.
            }
            for ending in words {
                let ending = ending.trim_matches('.').to_ascii_lowercase();
                self.0.entry(ending).or_insert_with(|| kind.to_owned());
            }
        }
    }

    /// The type of the file of this name, if its ending is known.
    pub(super) fn of(&self, name: &Path) -> Option<String> {
        let ending = name.extension()?.to_str()?.to_ascii_lowercase();
        self.0.get(&ending).cloned().or_else(|| {
            let guess = mime_guess::from_ext(&ending).first_raw()?;
            Some(guess.to_owned())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operators_types_come_first() {
        let mut types = Types(HashMap::new());
        types.add("text/mine txt .foo # bar\n\n#x/y css\nbroken\ntext/two txt baz\r\n");
        let of = |name: &str| types.of(Path::new(name));
        assert_eq!(of("a.txt").as_deref(), Some("text/mine"));
        assert_eq!(of("a.b.FOO").as_deref(), Some("text/mine"));
        assert_eq!(of("a.baz").as_deref(), Some("text/two"));
        assert_eq!(of("a.css").as_deref(), Some("text/css"));
        assert_eq!(of("/a.b/c"), None);
        assert_eq!(of(".txt"), None);
        assert_eq!(of("a.nothingknown"), None);
    }
}
