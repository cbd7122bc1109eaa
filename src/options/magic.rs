//! `%d`, `%n` and their like: what a configuration file says of itself and the machine, replaced
//! while the file is read.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// The `%x` letters of one ini file.
#[derive(Debug)]
pub(super) struct Magic {
    this: Names,
    first: Names,
}

#[derive(Debug, Clone)]
struct Names {
    as_given: String,
    whole: PathBuf,
    section: String,
}

impl Magic {
    /// `whole` is the file's absolute path; `first` the outermost file and section being read.
    pub(super) fn new(
        as_given: &str,
        whole: &Path,
        section: &str,
        first: Option<&(PathBuf, String)>,
    ) -> Magic {
        let this = Names {
            as_given: as_given.to_owned(),
            whole: whole.to_path_buf(),
            section: section.to_owned(),
        };
        let first = first.map(|(whole, section)| Names {
            as_given: whole.display().to_string(),
            whole: whole.clone(),
            section: section.clone(),
        });
        Magic { first: first.unwrap_or_else(|| this.clone()), this }
    }

    /// The text with its letters replaced, and those that mean nothing (uWSGI takes them out).
    pub(super) fn apply(&self, text: &str) -> (String, Vec<String>) {
        let mut out = String::with_capacity(text.len());
        let mut unknown = Vec::new();
        let mut chars = text.chars().peekable();
        while let Some(char) = chars.next() {
            let letter = match (char, chars.peek()) {
                ('%', Some('(')) | ('%', None) => {
                    out.push('%');
                    continue;
                }
                ('%', Some(letter)) => *letter,
                _ => {
                    out.push(char);
                    continue;
                }
            };
            chars.next();
            match self.letter(letter) {
                Some(value) => out.push_str(&value),
                None => unknown.push(format!("%{letter}")),
            }
        }
        (out, unknown)
    }

    fn letter(&self, letter: char) -> Option<String> {
        let value = match letter {
            '%' => "%".to_owned(),
            'h' => hostname()?,
            'v' => std::env::current_dir().ok()?.display().to_string(),
            // Which uWSGI's options are meant, as in `uwsgi.version`.
            'V' => {
                let (major, minor, patch) = super::UWSGI_VERSION;
                format!("{major}.{minor}.{patch}")
            }
            'k' => std::thread::available_parallelism().map_or(1, usize::from).to_string(),
            'u' => own_id("Uid:")?,
            'g' => own_id("Gid:")?,
            'U' => account("/etc/passwd", &own_id("Uid:")?)?,
            'G' => account("/etc/group", &own_id("Gid:")?)?,
            't' => SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs().to_string(),
            'T' => SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_micros().to_string(),
            '[' => "\u{1b}".to_owned(),
            'P' | 'D' | 'S' | 'N' | 'E' | 'C' | 'O' | 'X' => {
                self.first.letter(letter.to_ascii_lowercase())?
            }
            _ => self.this.letter(letter)?,
        };
        Some(value)
    }
}

impl Names {
    fn letter(&self, letter: char) -> Option<String> {
        let text = |part: Option<&std::ffi::OsStr>| {
            part.map_or(String::new(), |part| part.to_string_lossy().into_owned())
        };
        let directory = self.whole.parent().unwrap_or(Path::new("/"));
        Some(match letter {
            'p' => self.whole.display().to_string(),
            'd' if directory == Path::new("/") => "/".to_owned(),
            'd' => format!("{}/", directory.display()),
            's' => text(self.whole.file_name()),
            'n' => text(self.whole.file_stem()),
            'e' => text(self.whole.extension()),
            'c' => text(directory.file_name()),
            'o' => self.as_given.clone(),
            'x' => self.section.clone(),
            'i' => fs::metadata(&self.whole).ok()?.ino().to_string(),
            'j' => hash(self.whole.as_os_str().as_bytes()),
            '0'..='9' => {
                let index = letter.to_digit(10)? as usize;
                text(directory.components().nth(index + 1).map(|part| part.as_os_str()))
            }
            _ => return None,
        })
    }
}

/// uWSGI: DJB's hash with exclusive or, the lowest byte first.
fn hash(bytes: &[u8]) -> String {
    let step = |hash: u32, byte: &u8| hash.wrapping_mul(33) ^ u32::from(*byte);
    format!("{:08X}", bytes.iter().fold(5381, step).swap_bytes())
}

fn file_line(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim_end().to_owned())
}

/// The real uid or gid of this process.
fn own_id(field: &str) -> Option<String> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_whitespace().next().map(str::to_owned)
}

/// The name of a numeric id in /etc/passwd or /etc/group; the number itself without one.
fn account(file: &str, id: &str) -> Option<String> {
    let lines = fs::read_to_string(file).ok()?;
    let found = lines.lines().find(|line| line.split(':').nth(2) == Some(id));
    Some(found.and_then(|line| line.split(':').next()).unwrap_or(id).to_owned())
}

/// This machine's name.
pub(super) fn hostname() -> Option<String> {
    file_line("/proc/sys/kernel/hostname")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_of_the_file_and_capitals_of_the_outermost() {
        let outer = (PathBuf::from("/srv/app/outer.ini"), "uwsgi".to_owned());
        let magic = Magic::new("in.ini", Path::new("/etc/x/in.ini"), "dev", Some(&outer));
        let text = "%p %d %s %n %e %c %o %x %0 %1 %P %D %N %% %(name) %";
        assert_eq!(
            magic.apply(text).0,
            "/etc/x/in.ini /etc/x/ in.ini in ini x in.ini dev etc x /srv/app/outer.ini /srv/app/ \
             outer % %(name) %"
        );
        let (text, unknown) = magic.apply("%{HTTP_SOCKET}");
        assert_eq!((text.as_str(), unknown), ("HTTP_SOCKET}", vec!["%{".to_owned()]));
        assert_eq!(magic.apply("%V").0, "2.0.31");
        // What uWSGI gives for a file of this name.
        let magic = Magic::new("mg.ini", Path::new("/tmp/wt5-try/mg.ini"), "", None);
        assert_eq!(magic.apply("%j").0, "4D452236");
        let magic = Magic::new("/etc/passwd", Path::new("/etc/passwd"), "", None);
        let inode = fs::metadata("/etc/passwd").expect("it is there").ino();
        assert_eq!(magic.apply("%i").0, inode.to_string());
        assert!(magic.apply("%k").0.parse::<usize>().is_ok_and(|count| count > 0));
    }
}
