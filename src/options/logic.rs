//! Conditions and loops: `if-env` ... `endif`, `for` ... `endfor`.
//!
//! uWSGI: they are decided while the sources are read, from left to right, before `$(ENV)` and
//! `%(option)` are replaced anywhere. What stands between is kept, left out or read once for each
//! value; `%(_)` in it is that value. Each line of a loop is repeated for itself.

use std::path::Path;

use super::setting::{Origin, Setting, World};
use super::{Environment, contents};
use crate::error::StartError;

/// The words that end a block, whichever it is.
const ENDS: [&str; 5] = ["end", "endif", "endfor", "end-if", "end-for"];

/// More rounds than this are a mistake.
const ROUNDS_MAX: usize = 100_000;
/// All that one line of a loop stands for.
const BYTES_MAX: usize = 16 << 20;

/// What is done with the settings up to the next end word.
#[derive(Debug)]
pub(super) struct Block {
    /// The word that opened it, and where.
    pub(super) name: String,
    pub(super) origin: Origin,
    pub(super) does: Does,
    /// The option that ends it, once it is set.
    until: Option<Until>,
}

/// What `if-not-opt` waits for. uWSGI asks again at each line of the block.
#[derive(Debug)]
struct Until {
    name: String,
    wanted: Option<String>,
    /// So many settings were looked at.
    seen: usize,
}

impl Until {
    fn of(setting: &Setting, before: &[Setting]) -> Option<Until> {
        let text = setting.value.as_deref().filter(|_| setting.name == "if-not-opt")?;
        let (name, wanted) = split_wanted(text);
        // uWSGI: the first setting of a name is the one that counts.
        let is_open = !before.iter().any(|setting| setting.name == name);
        let wanted = wanted.map(str::to_owned);
        is_open.then(|| Until { name: name.to_owned(), wanted, seen: before.len() })
    }
}

/// `name` or `name=value`.
fn split_wanted(text: &str) -> (&str, Option<&str>) {
    text.split_once('=').map_or((text, None), |(name, wanted)| (name, Some(wanted)))
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Does {
    Skip,
    /// The condition holds, for this value where it has one.
    Keep(Option<String>),
    Repeat(Vec<String>),
}

pub(super) fn is_end(name: &str) -> bool {
    ENDS.contains(&name)
}

impl Block {
    /// Leaves out what comes if the option of `if-not-opt` is set by now; says so once.
    pub(super) fn look(&mut self, before: &[Setting]) -> Option<String> {
        let until = self.until.as_mut()?;
        let (seen, name) = (std::mem::replace(&mut until.seen, before.len()), &until.name);
        let first = before[seen..].iter().find(|setting| setting.name == *name)?;
        let value = first.value.as_deref().unwrap_or("");
        let is_set = until.wanted.as_ref().is_none_or(|wanted| wanted == value);
        let (at, why) = (&first.origin, format!("{name} is set by now"));
        let what = format!("{}: {why} ({at}), so the rest of the block is left out", self.name);
        self.until = None;
        if !is_set || self.does == Does::Skip {
            return None;
        }
        self.does = Does::Skip;
        Some(format!("{}: {what}, as in uWSGI", self.origin))
    }

    /// The settings that one setting within the block stands for.
    ///
    /// # Errors
    /// They are longer than all that is read may be.
    pub(super) fn settings(&self, setting: Setting) -> Result<Vec<Setting>, StartError> {
        let text = setting.value.as_deref().unwrap_or("");
        let places = text.matches("%(_)").count();
        let with = |value: &str| Setting {
            value: setting.value.as_ref().map(|text| text.replace("%(_)", value)),
            ..setting.clone()
        };
        let values = match &self.does {
            Does::Skip => return Ok(Vec::new()),
            Does::Keep(None) => return Ok(vec![setting]),
            Does::Keep(Some(value)) => std::slice::from_ref(value),
            Does::Repeat(values) => values.as_slice(),
        };
        let each = text.len() + setting.name.len();
        let bytes: usize = values.iter().map(|value| each + places * value.len()).sum();
        if bytes > BYTES_MAX {
            let Setting { name, origin, .. } = &setting;
            let why = format!("all its rounds are longer than {} MiB", BYTES_MAX >> 20);
            return Err(StartError::new(format!("{origin}: {name}: {why}")));
        }
        Ok(values.iter().map(|value| with(value)).collect())
    }
}

/// The block that a setting opens, if its name is one of the words that do.
///
/// `before` are the settings read so far: `if-opt` asks them.
pub(super) fn open(
    setting: &Setting,
    before: &[Setting],
    env: &Environment,
    world: World,
) -> Result<Option<Block>, StartError> {
    let text = setting.value.as_deref().unwrap_or("");
    let asks_files = ["for-glob", "for-readline"].contains(&setting.name.as_str());
    let may_look = !asks_files || world != World::Closed;
    let values = if may_look { looped(&setting.name, text) } else { Some(Ok(Vec::new())) };
    let does = match values {
        Some(Ok(values)) => Does::Repeat(values),
        Some(Err(why)) => {
            let Setting { name, origin, .. } = setting;
            return Err(StartError::new(format!("{origin}: {name}: {why}")));
        }
        None => {
            let Some((word, wanted)) = condition(&setting.name) else { return Ok(None) };
            let held = holds(word, text, before, env)
                .map_err(|why| StartError::new(format!("{}: {word}: {why}", setting.origin)))?;
            match held {
                Held::Yes(value) if wanted => Does::Keep(value),
                // uWSGI: what is not there has its name, but a variable or option has no value.
                Held::No if !wanted => {
                    let is_named = !["if-env", "if-opt", "if-reload"].contains(&word);
                    Does::Keep(is_named.then(|| text.to_owned()))
                }
                Held::Yes(_) | Held::No => Does::Skip,
            }
        }
    };
    let until = Until::of(setting, before);
    Ok(Some(Block { name: setting.name.clone(), origin: setting.origin.clone(), does, until }))
}

/// The values of a loop.
fn looped(name: &str, text: &str) -> Option<Result<Vec<String>, String>> {
    let lines = |path: &str| {
        let content =
            contents::contents(Path::new(path)).map_err(|why| format!("{path}: {why}"))?;
        let lines = content.lines().take(ROUNDS_MAX);
        Ok(lines.map(|line| line.trim_end().to_owned()).collect())
    };
    let values = match name {
        // uWSGI: blanks alone divide, not tabs and not commas.
        "for" | "foreach" => Ok(words(text)),
        "for-times" => {
            let digits = text.bytes().take_while(u8::is_ascii_digit).count();
            match text[..digits].parse::<usize>() {
                Ok(times) if times > ROUNDS_MAX => {
                    Err(format!("expected at most {ROUNDS_MAX} rounds, found {times}"))
                }
                Ok(times) => Ok((1..=times).map(|round| round.to_string()).collect()),
                Err(_) => Err(format!("expected a number of rounds, found \"{text}\"")),
            }
        }
        "for-glob" => glob(text),
        "for-readline" => lines(text),
        _ => return None,
    };
    Some(values)
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// uWSGI: a pattern that fits no file is the value itself. `**` is `*`, as in glob(3).
pub(super) fn glob(pattern: &str) -> Result<Vec<String>, String> {
    let flat = pattern.split("**").collect::<Vec<_>>().join("*");
    let paths = glob::glob(&flat).map_err(|error| format!("{pattern}: {error}"))?;
    let paths = paths.flatten().take(ROUNDS_MAX);
    let found: Vec<_> = paths.map(|path| path.display().to_string()).collect();
    Ok(if found.is_empty() { vec![pattern.to_owned()] } else { found })
}

/// The plain word of a condition, and whether it must hold.
fn condition(name: &str) -> Option<(&'static str, bool)> {
    let (rest, wanted) = match name.strip_prefix("if-not-") {
        Some(rest) => (rest, false),
        None => (name.strip_prefix("if-").or_else(|| name.strip_prefix("if"))?, true),
    };
    let word = match rest {
        "env" => "if-env",
        "opt" => "if-opt",
        "exists" => "if-exists",
        "file" => "if-file",
        "dir" | "directory" => "if-dir",
        "hostname" => "if-hostname",
        "hostname-match" => "if-hostname-match",
        "plugin" => "if-plugin",
        "reload" => "if-reload",
        _ => return None,
    };
    Some((word, wanted))
}

enum Held {
    /// For this value of `%(_)`.
    Yes(Option<String>),
    No,
}

fn holds(word: &str, text: &str, before: &[Setting], env: &Environment) -> Result<Held, String> {
    let yes_if = |holds: bool| match holds {
        true => Held::Yes(Some(text.to_owned())),
        false => Held::No,
    };
    let path = Path::new(text);
    Ok(match word {
        "if-env" => {
            let (name, wanted) = split_wanted(text);
            let variable = env.iter().find(|(key, _)| !name.is_empty() && key == name);
            let value = variable.map(|(_, value)| value.to_string_lossy().into_owned());
            match value {
                Some(value) if wanted.is_none_or(|wanted| wanted == value) => {
                    Held::Yes(Some(value))
                }
                _ => Held::No,
            }
        }
        "if-opt" => {
            let (name, wanted) = split_wanted(text);
            // uWSGI: the first setting of a name is the one that counts.
            let first = before.iter().find(|setting| setting.name == name);
            let value = first.map(|first| first.value.clone().unwrap_or_default());
            match value {
                Some(value) if wanted.is_none_or(|wanted| wanted == value) => {
                    Held::Yes(Some(value))
                }
                _ => Held::No,
            }
        }
        "if-exists" => yes_if(path.exists()),
        "if-file" => yes_if(path.is_file()),
        "if-dir" => yes_if(path.is_dir()),
        "if-hostname" => yes_if(super::magic::hostname().as_deref() == Some(text)),
        "if-hostname-match" => {
            let pattern = super::Pattern::new(text)?;
            let name = super::magic::hostname();
            yes_if(name.is_some_and(|name| pattern.fits(name.as_bytes())))
        }
        // What a plugin of that name would do is built in.
        "if-plugin" => yes_if(is_built_in(text)),
        "if-reload" => match env.iter().any(|(name, _)| name == super::RELOADS) {
            true => Held::Yes(None),
            false => Held::No,
        },
        _ => unreachable!("condition() gives the words of this match alone"),
    })
}

/// Whether a plugin of uWSGI does what uwring does without one.
fn is_built_in(plugin: &str) -> bool {
    let name = plugin.rsplit('/').next().unwrap_or(plugin);
    let name = name.trim_end_matches("_plugin.so");
    let plain = name.trim_end_matches(|char: char| char.is_ascii_digit() || char == '.');
    ["python", "http", "corerouter", "logfile", "syslog", "rsyslog", "logsocket", "stdio"]
        .contains(&plain)
        || ["cheaper_busyness", "systemd_logger", "spooler"].contains(&plain)
}

#[cfg(test)]
mod tests {
    use super::super::parse;

    /// The settings of an ini file with this body, as `name=value`, those of the blocks left out.
    fn read(body: &str) -> Result<Vec<String>, String> {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("app.ini");
        std::fs::write(&path, format!("[uwsgi]\n{body}\n")).expect("written");
        let path = path.display().to_string();
        let options = parse(&["--ini", &path]).map_err(|error| error.replace(&path, "app.ini"))?;
        let own = options.settings.iter().filter(|setting| {
            let name = setting.name.as_str();
            name != "ini" && !name.starts_with("if") && !name.starts_with("for")
        });
        let kept = own.filter(|setting| !super::is_end(&setting.name));
        Ok(kept.map(|s| format!("{}={}", s.name, s.value.as_deref().unwrap_or(""))).collect())
    }

    #[test]
    fn what_stands_in_a_block_is_kept_or_left_out() {
        for (body, expected) in [
            ("if-env = PATH_OF_NO_ONE\na = 1\nendif =\nb = 2", "b=2"),
            ("if-not-env = PATH_OF_NO_ONE\na = 1\nendif\nb = 2", "a=1 b=2"),
            ("if-opt = x\na = 1\nendif\nx = 3\nif-opt = x\nb = [%(_)]\nend", "x=3 b=[3]"),
            ("x = 1\nx = 2\nif-opt = x=1\na = 1\nendif\nif-opt = x=2\nb = 1\nendif", "x=1 x=2 a=1"),
            ("vacuum\nif-opt = vacuum=\na = 1\nendif", "vacuum= a=1"),
            ("if-not-opt = x\na = 1\nx = 2\nb = 3\nendif\nc = 4", "a=1 x=2 c=4"),
            ("if-not-opt = x=1\nx = 2\nb = 3\nx = 1\nc = 4\nend", "x=2 b=3 x=1 c=4"),
            ("if-exists = /etc/passwd\na = %(_)\nend-if =", "a=/etc/passwd"),
            (
                "if-file = /etc\na = 1\nendif\nif-dir = /etc\nb = 1\nendif\nifdir = /etc\nc =1",
                "b=1 c=1",
            ),
            ("if-not-dir = /etc\na = 1\nendif\nif-not-file = /etc\nb = 1\nendif", "b=1"),
            (
                "if-not-exists = /none\na = %(_)\nendif\nif-not-env = NO\nb = %(_)\nend",
                "a=/none b=%(_)",
            ),
            ("if-plugin = python3\na = 1\nendif\nif-not-plugin = psgi\nb = 1\nendif", "a=1 b=1"),
            ("if-reload =\na = 1\nendif\nif-not-reload =\nb = 1\nendif", "b=1"),
            (
                "if-hostname-match = .\na = 1\nendif\nif-hostname = no such name\nb = 1\nendif",
                "a=1",
            ),
        ] {
            assert_eq!(read(body).expect(body).join(" "), expected, "{body}");
        }
    }

    #[test]
    fn a_block_that_ends_itself_says_so() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("app.ini").display().to_string();
        let text = "[uwsgi]\nif-not-opt = threads\nthreads = 3\nprocesses = 4\nendif =\n";
        std::fs::write(&path, text).expect("written");
        let options = parse(&["--ini", &path]).expect("it is right");
        assert_eq!((options.threads, options.processes), (3, 1));
        let message = format!(
            "{path}:2: if-not-opt: threads is set by now ({path}:3), so the rest of the block is \
             left out, as in uWSGI"
        );
        assert_eq!(options.warnings, [message]);
    }

    #[test]
    fn each_line_of_a_loop_is_read_once_for_each_value() {
        for (body, expected) in [
            ("for = a b  c\nx = %(_)1\ny = %(_)\nendfor", "x=a1 x=b1 x=c1 y=a y=b y=c"),
            ("for-times = 3\nx = %(_)\nendfor =", "x=1 x=2 x=3"),
            ("for-times = 2 times\nx = %(_ + 1)\nendfor", "x=1 x=1"),
            ("for =\nx = 1\nendfor\ny = 1", "y=1"),
            ("for-glob = /etc/[p]asswd\nx = %(_)\nendfor", "x=/etc/passwd"),
            ("for-glob = /nowhere/*\nx = %(_)\nendfor", "x=/nowhere/*"),
        ] {
            assert_eq!(read(body).expect(body).join(" "), expected, "{body}");
        }
    }

    #[test]
    fn a_block_that_makes_no_sense_says_where() {
        for (body, message) in [
            (
                "if-env = A\nif-env = B\nendif\nendif",
                "app.ini:3: if-env: expected the end of if-env (app.ini:2): blocks do not nest",
            ),
            (
                "for-times = many\nx = 1\nendfor",
                "app.ini:2: for-times: expected a number of rounds, found \"many\"",
            ),
            (
                "for-times = 1000000000\nx = 1\nendfor",
                "app.ini:2: for-times: expected at most 100000 rounds, found 1000000000",
            ),
        ] {
            assert_eq!(read(body).expect_err(body), message);
        }
    }

    #[test]
    fn a_loop_has_a_limit_for_its_lines_too() {
        let body = format!("for-times = 100000\nx = {}\nendfor", "a".repeat(1000));
        let message = "app.ini:3: x: all its rounds are longer than 16 MiB";
        assert_eq!(read(&body).expect_err(message), message);
        let body = format!("for = {}\nx = {}\nendfor", "a".repeat(50_000), "%(_)".repeat(50_000));
        assert_eq!(read(&body).expect_err(message), message);
    }

    #[test]
    fn a_text_that_is_only_looked_at_opens_no_file() {
        let text = "[uwsgi]\nfor-readline = /dev/zero\nx = 1\nendfor\nfor-glob = /*\ny = 1\nend\n";
        let report = super::super::check::check_text(text, "app.ini");
        assert!(report.findings.iter().all(|found| found.name != "x" && found.name != "y"));
    }

    #[test]
    fn a_block_that_is_left_open_ends_with_its_file() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("app.ini").display().to_string();
        std::fs::write(&path, "[uwsgi]\nif-not-env = NONE_SUCH\nthreads = 3\n").expect("written");
        let options = parse(&["--ini", &path, "--processes", "4"]).expect("it is right");
        assert_eq!((options.threads, options.processes), (3, 4));
        assert!(options.warnings[0].ends_with(":2: if-not-env: expected endif before the end"));
    }
}
