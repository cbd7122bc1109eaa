//! What stands for something else in a value: `%d` while a file is read, then `$(ENV)`, `@(file)`
//! and `%(option)` in the order in which the settings were written.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::Environment;
use super::setting::Setting;

/// The options whose value is itself a variable: `set-placeholder = name=value`.
const PLACEHOLDERS: [&str; 3] = ["set", "set-placeholder", "set-ph"];

/// Expands all settings; returns them with what looked wrong.
pub(super) fn expand(settings: Vec<Setting>, env: &Environment) -> (Vec<Setting>, Vec<String>) {
    let mut settings = settings;
    let mut warnings = Vec::new();
    for place in 0..settings.len() {
        let Some(text) = settings[place].value.take() else { continue };
        let mut missing = Vec::new();
        let expanded = value(&text, place, &settings, env, &mut missing);
        let setting = &mut settings[place];
        for what in missing {
            warnings.push(format!("{}: {}: {what}", setting.origin, setting.name));
        }
        setting.value = Some(expanded);
    }
    (settings, warnings)
}

/// One value, as it stands at `place` among `settings`. `missing` gets what stays as it is.
pub(super) fn value(
    text: &str,
    place: usize,
    settings: &[Setting],
    env: &Environment,
    missing: &mut Vec<String>,
) -> String {
    let text = replace(text, "$(", |name| {
        let found = env.iter().find(|(variable, _)| variable.to_str() == Some(name));
        if found.is_none() {
            missing.push(format!("the environment has no {name}: $({name}) stays as it is"));
        }
        found.and_then(|(_, value)| value.to_str()).map(str::to_owned)
    });
    let text = replace(&text, "@(", |file| match fs::read_to_string(file) {
        Ok(content) => Some(content.trim_end().to_owned()),
        Err(error) => {
            missing.push(format!("cannot read {file} ({error}): @({file}) stays as it is"));
            None
        }
    });
    replace(&text, "%(", |inner| match inner.split_whitespace().collect::<Vec<_>>().as_slice() {
        [_] | [] => lookup(inner, place, settings),
        terms => {
            if inner.contains('(') {
                missing.push(format!("%({inner}): parentheses do not nest"));
            }
            Some(calculate(terms, place, settings).to_string())
        }
    })
}

/// Replaces each `open` ... `)` by what `found` gives for the text between; else leaves it.
fn replace(text: &str, open: &str, mut found: impl FnMut(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(open) {
        let Some((inner, behind)) = after.split_once(')') else { break };
        out.push_str(before);
        match found(inner) {
            Some(value) => out.push_str(&value),
            None => out.extend([open, inner, ")"]),
        }
        rest = behind;
    }
    out.push_str(rest);
    out
}

/// uWSGI: the first setting of that name counts, above `place` or below it.
fn lookup(name: &str, place: usize, settings: &[Setting]) -> Option<String> {
    let others = settings.iter().enumerate().filter(|(index, _)| *index != place);
    others.into_iter().find_map(|(_, setting)| named(name, setting)).map(str::to_owned)
}

fn named<'a>(name: &str, setting: &'a Setting) -> Option<&'a str> {
    if PLACEHOLDERS.contains(&setting.name.as_str()) {
        let (key, value) = setting.value.as_deref()?.split_once('=')?;
        return (key.trim() == name).then(|| value.trim());
    }
    // uWSGI: a bare flag reads as nothing.
    (setting.name == name).then(|| setting.value.as_deref().unwrap_or(""))
}

/// uWSGI: from left to right, no precedence, whole numbers; what is no number counts as 0.
fn calculate(terms: &[&str], place: usize, settings: &[Setting]) -> i64 {
    let number = |term: &str| {
        let text = lookup(term, place, settings).unwrap_or_else(|| term.to_owned());
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        text[..digits].parse().unwrap_or(0)
    };
    let mut total: i64 = terms.first().map_or(0, |term| number(term));
    for step in terms[1..].chunks(2) {
        let operand = step.get(1).map_or(0, |term| number(term));
        total = match step[0] {
            "+" => total.saturating_add(operand),
            "-" => total.saturating_sub(operand),
            "*" => total.saturating_mul(operand),
            "/" => total.checked_div(operand).unwrap_or(0),
            _ => total,
        };
    }
    total
}

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
            'h' => file_line("/proc/sys/kernel/hostname")?,
            'v' => std::env::current_dir().ok()?.display().to_string(),
            'V' => env!("CARGO_PKG_VERSION").to_owned(),
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
            '0'..='9' => {
                let index = letter.to_digit(10)? as usize;
                text(directory.components().nth(index + 1).map(|part| part.as_os_str()))
            }
            _ => return None,
        })
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Origin;

    fn expanded(lines: &[&str]) -> Vec<String> {
        let settings = lines.iter().map(|line| {
            let (name, value) = match line.split_once(" = ") {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (*line, None),
            };
            Setting { name: name.to_owned(), value, origin: Origin::Argument(1) }
        });
        let env = vec![("WORKERS".into(), "6".into())];
        let (settings, _) = expand(settings.collect(), &env);
        settings.into_iter().map(|setting| setting.value.unwrap_or_default()).collect()
    }

    #[test]
    fn the_first_setting_of_a_name_is_its_variable() {
        let lines = ["name = a", "x = %(name) %(later)", "name = b", "x = %(name)", "later = z"];
        assert_eq!(expanded(&lines), ["a", "a z", "b", "a", "z"]);
        assert_eq!(expanded(&["vacuum", "x = [%(vacuum)]"]), ["", "[]"]);
        assert_eq!(expanded(&["set = a=/srv", "x = %(a)/%(b)"]), ["a=/srv", "/srv/%(b)"]);
    }

    #[test]
    fn sums_go_from_left_to_right() {
        let lines = ["n = 3", "x = %(n + 4 * 2)", "x = %(n / 0)", "x = %(2*2)", "x = %(9 - n)"];
        assert_eq!(expanded(&lines), ["3", "14", "0", "%(2*2)", "6"]);
    }

    #[test]
    fn the_environment_and_files_stand_in_values() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("count");
        fs::write(&file, "12\n").expect("written");
        let line = format!("x = @({})", file.display());
        let lines = ["x = $(WORKERS)", "x = $(NONE)/$(WORKERS)", "x = %($(WORKERS) * 2)", &line];
        assert_eq!(expanded(&lines), ["6", "$(NONE)/6", "12", "12"]);
        assert_eq!(expanded(&["x = 100%", "x = $(", "x = %()"]), ["100%", "$(", "%()"]);
    }

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
        assert!(magic.apply("%k").0.parse::<usize>().is_ok_and(|count| count > 0));
    }
}
