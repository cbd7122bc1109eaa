//! Which CPython the app wants, and which `uwring-3.N` was built for it.
//!
//! One binary is linked to one CPython minor, and a virtual environment of another minor would
//! silently lose its packages: so the minor is known before any Python starts.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

use super::{Environment, Options};
use crate::error::StartError;

/// The oldest CPython that uwring supports is 3.10.
const OLDEST_MINOR: u8 = 10;

/// The Python that the app wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The virtual environment or prefix, absolute if it can be; `None` without one.
    pub home: Option<PathBuf>,
    /// N of 3.N; `None` where every Python will do.
    pub minor: Option<u8>,
    /// Who asked for that minor, for messages.
    pub asked_by: String,
}

/// One executable that was built for a CPython.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    pub minor: u8,
    pub path: PathBuf,
}

/// `--home`, else the virtual environment whose `bin/` the program was called from, else
/// `$VIRTUAL_ENV`, else `$UWRING_PYTHON` (`3.N`), else any. `program` is argv's first word.
pub fn choose(options: &Options, program: &OsStr, env: &Environment) -> Result<Choice, StartError> {
    if let Some(home) = &options.home {
        let asked_by = match options.written("virtualenv") {
            Some(setting) => format!("{}: {}", setting.origin, setting.name),
            None => "home".to_owned(),
        };
        return of_home(place(home, options.chdir.as_deref()), asked_by);
    }
    let variable = |name: &str| {
        let value = env.iter().find(|(variable, _)| variable == name).map(|(_, value)| value);
        value.map(OsString::as_os_str).filter(|value| !value.is_empty())
    };
    if let Some(home) = home_of_program(program, variable("PATH")) {
        return of_home(home, program.to_string_lossy().into_owned());
    }
    if let Some(home) = variable("VIRTUAL_ENV") {
        return of_home(PathBuf::from(home), "VIRTUAL_ENV".to_owned());
    }
    let Some(text) = variable("UWRING_PYTHON") else {
        return Ok(Choice { home: None, minor: None, asked_by: "nothing".to_owned() });
    };
    let asked_by = "UWRING_PYTHON".to_owned();
    let text = text.to_string_lossy();
    match minor_of_version(&text) {
        Some(minor) => {
            Ok(Choice { home: None, minor: Some(supported(minor, &asked_by)?), asked_by })
        }
        None => Err(StartError::new(format!("{asked_by}: expected 3.N, found \"{text}\""))),
    }
}

/// The built executable that fits, the newest where every one does.
pub fn pick<'a>(choice: &Choice, built: &'a [Built]) -> Result<&'a Built, StartError> {
    let newest = built.iter().max_by_key(|built| built.minor).ok_or_else(|| {
        StartError::new(
            "no uwring-3.N was built beside this launcher; `make build` builds one for each \
             Python 3.10 or newer that has its headers and its shared library",
        )
    })?;
    let Some(minor) = choice.minor else { return Ok(newest) };
    built.iter().find(|built| built.minor == minor).ok_or_else(|| {
        let mut names: Vec<_> = built.iter().map(|built| format!("3.{}", built.minor)).collect();
        names.sort();
        StartError::new(format!(
            "{} wants Python 3.{minor}, and uwring-3.{minor} was not built (there is {}); \
             build it with `make build PYTHONS=3.{minor}`",
            choice.asked_by,
            names.join(", ")
        ))
    })
}

/// The `uwring-3.N` beside `executable` and in `../lib/uwring`, each minor once.
pub fn built_beside(executable: &Path) -> Vec<Built> {
    let directory = executable.parent().unwrap_or(Path::new("/"));
    let mut found: Vec<Built> = Vec::new();
    for directory in [directory.to_path_buf(), directory.join("../lib/uwring")] {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let minor = name.to_str().and_then(|name| name.strip_prefix("uwring-3."));
            let Some(minor) = minor.and_then(|minor| minor.parse().ok()) else { continue };
            if !found.iter().any(|built| built.minor == minor) {
                found.push(Built { minor, path: entry.path() });
            }
        }
    }
    found.sort_by_key(|built| built.minor);
    found
}

/// uWSGI is installed into a virtual environment, and `venv/bin/uwsgi` serves that environment.
fn home_of_program(program: &OsStr, path: Option<&OsStr>) -> Option<PathBuf> {
    let program = Path::new(program);
    let found = match program.components().count() {
        0 => return None,
        1 => {
            std::env::split_paths(path?).map(|place| place.join(program)).find(|at| at.is_file())?
        }
        _ => std::env::current_dir().ok()?.join(program),
    };
    let bin = found.parent().filter(|bin| bin.ends_with("bin"))?;
    let home = bin.parent()?;
    home.join("pyvenv.cfg").is_file().then(|| home.to_path_buf())
}

/// uWSGI enters `chdir` before it looks at `home`.
fn place(home: &Path, chdir: Option<&Path>) -> PathBuf {
    let here = std::env::current_dir().unwrap_or_default();
    let start = chdir.map_or_else(|| here.clone(), |chdir| here.join(chdir));
    match start.join(home) {
        there if there.is_dir() => there,
        _ => here.join(home),
    }
}

fn of_home(home: PathBuf, asked_by: String) -> Result<Choice, StartError> {
    let shown = home.display();
    if !home.is_dir() {
        return Err(StartError::new(format!(
            "{asked_by}: expected a virtual environment, found no directory {shown}"
        )));
    }
    let minor = match fs::read_to_string(home.join("pyvenv.cfg")) {
        Ok(text) => match minor_of_pyvenv(&text) {
            None => minor_of_prefix(&home),
            found => found,
        },
        Err(_) => minor_of_prefix(&home),
    };
    let minor = minor.ok_or_else(|| {
        StartError::new(format!(
            "{asked_by}: expected a virtual environment, found neither pyvenv.cfg nor bin/python3 \
             of a Python 3 in {shown}"
        ))
    })?;
    Ok(Choice { minor: Some(supported(minor, &asked_by)?), home: Some(home), asked_by })
}

fn supported(minor: u8, asked_by: &str) -> Result<u8, StartError> {
    if minor < OLDEST_MINOR {
        return Err(StartError::new(format!(
            "{asked_by} wants Python 3.{minor}, and uwring supports 3.{OLDEST_MINOR} and newer"
        )));
    }
    Ok(minor)
}

/// venv writes `version = 3.13.0`, virtualenv and uv write `version_info = 3.13.0.final.0`.
fn minor_of_pyvenv(text: &str) -> Option<u8> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once('=')?;
        let is_version = ["version", "version_info"].contains(&key.trim());
        is_version.then(|| minor_of_version(value.trim())).flatten()
    })
}

/// N of `3.N` or `3.N.anything`.
fn minor_of_version(text: &str) -> Option<u8> {
    text.strip_prefix("3.")?.split('.').next()?.parse().ok()
}

/// By the name that `bin/python3` leads to, else by the newest `lib/python3.N`.
fn minor_of_prefix(prefix: &Path) -> Option<u8> {
    let of_name =
        |name: &std::ffi::OsStr| name.to_str()?.strip_prefix("python").and_then(minor_of_version);
    let python = fs::canonicalize(prefix.join("bin/python3")).ok();
    let by_link = python.as_deref().and_then(Path::file_name).and_then(of_name);
    by_link.or_else(|| {
        let entries = fs::read_dir(prefix.join("lib")).ok()?;
        entries.flatten().filter_map(|entry| of_name(&entry.file_name())).max()
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn choose_with(args: &[&str], env: &[(&str, &str)]) -> Result<Choice, String> {
        let env: Environment = env.iter().map(|(key, value)| (key.into(), value.into())).collect();
        let args = std::iter::once(&"uwring").chain(args).map(Into::into).collect();
        let options = super::super::from_process(args, &env).map_err(|error| error.to_string())?;
        choose(&options, OsStr::new("uwring"), &env).map_err(|error| error.to_string())
    }

    #[test]
    fn a_virtual_environment_says_its_version() {
        let directory = tempfile::tempdir().expect("a directory");
        let home = directory.path().join("venv");
        fs::create_dir(&home).expect("a venv");
        let shown = home.display().to_string();
        for (text, minor) in [
            ("home = /usr/bin\nversion = 3.13.0\n", 13),
            ("home = /usr/bin\nversion_info = 3.11.7.final.0\n", 11),
            ("version_info=3.12.1\n", 12),
        ] {
            fs::write(home.join("pyvenv.cfg"), text).expect("written");
            let choice = choose_with(&["-H", &shown], &[]).expect("a venv");
            assert_eq!((choice.minor, choice.home), (Some(minor), Some(home.clone())));
        }
        let root = directory.path().display().to_string();
        let choice = choose_with(&["--chdir", &root, "--venv", "venv"], &[]).expect("a venv");
        assert_eq!(choice.home, Some(home));
    }

    #[test]
    fn a_prefix_says_its_version_by_its_python() {
        let directory = tempfile::tempdir().expect("a directory");
        let shown = directory.path().display().to_string();
        let error = choose_with(&[], &[("VIRTUAL_ENV", &shown)]).expect_err("it is empty");
        assert!(error.starts_with("VIRTUAL_ENV: expected a virtual environment"), "{error}");
        fs::create_dir_all(directory.path().join("lib/python3.12")).expect("made");
        assert_eq!(choose_with(&["--home", &shown], &[]).expect("a prefix").minor, Some(12));
        fs::create_dir(directory.path().join("bin")).expect("made");
        fs::write(directory.path().join("bin/python3.11"), "").expect("written");
        symlink("python3.11", directory.path().join("bin/python3")).expect("linked");
        assert_eq!(choose_with(&["--home", &shown], &[]).expect("a prefix").minor, Some(11));
    }

    #[test]
    fn a_program_in_an_environment_serves_that_environment() {
        let directory = tempfile::tempdir().expect("a directory");
        let (home, bin) = (directory.path().join("venv"), directory.path().join("venv/bin"));
        fs::create_dir_all(&bin).expect("made");
        fs::write(home.join("pyvenv.cfg"), "version = 3.12.1\n").expect("written");
        fs::write(bin.join("uwsgi"), "").expect("written");
        let path = vec![("PATH".into(), bin.clone().into_os_string())];
        for (program, env) in [(bin.join("uwsgi"), Vec::new()), (PathBuf::from("uwsgi"), path)] {
            let choice = choose(&Options::default(), program.as_os_str(), &env).expect("a venv");
            assert_eq!((choice.minor, choice.home), (Some(12), Some(home.clone())));
        }
        let other = choose_with(&["-H", "/nowhere"], &[("PATH", &bin.display().to_string())]);
        assert!(other.is_err(), "--home counts first");
    }

    #[test]
    fn what_is_no_environment_is_one_line() {
        assert_eq!(
            choose_with(&["--virtualenv", "/nowhere"], &[]).expect_err("it is not there"),
            "argument 1: virtualenv: expected a virtual environment, found no directory /nowhere"
        );
        assert_eq!(
            choose_with(&[], &[("UWRING_PYTHON", "new")]).expect_err("no version"),
            "UWRING_PYTHON: expected 3.N, found \"new\""
        );
        assert_eq!(
            choose_with(&[], &[("UWRING_PYTHON", "3.9")]).expect_err("too old"),
            "UWRING_PYTHON wants Python 3.9, and uwring supports 3.10 and newer"
        );
    }

    #[test]
    fn the_newest_is_picked_unless_one_is_wanted() {
        let directory = tempfile::tempdir().expect("a directory");
        for name in ["uwring", "uwring-3.9x", "uwring-3.11", "uwring-3.13"] {
            fs::write(directory.path().join(name), "").expect("written");
        }
        let built = built_beside(&directory.path().join("uwring"));
        assert_eq!(built.iter().map(|built| built.minor).collect::<Vec<_>>(), [11, 13]);
        let any = choose_with(&[], &[]).expect("nothing is wanted");
        assert_eq!(pick(&any, &built).map(|built| built.minor), Ok(13));
        let wanted = choose_with(&[], &[("UWRING_PYTHON", "3.11")]).expect("a version");
        assert_eq!(pick(&wanted, &built).map(|built| built.minor), Ok(11));
        let wanted = choose_with(&[], &[("UWRING_PYTHON", "3.12")]).expect("a version");
        let error = pick(&wanted, &built).expect_err("it was not built");
        assert_eq!(
            error.to_string(),
            "UWRING_PYTHON wants Python 3.12, and uwring-3.12 was not built (there is 3.11, 3.13); \
             build it with `make build PYTHONS=3.12`"
        );
        assert!(pick(&any, &[]).is_err());
    }
}
