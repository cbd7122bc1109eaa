//! ini files as a source: sections, keys, `%d` and its like, files in files.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::expand;
use super::setting::{Origin, Read, Setting};
use crate::error::StartError;

/// The options that name a configuration file, which is read in their place.
const INCLUDES: [&str; 4] = ["ini", "config", "include", "inherit"];

/// Whether an option of that name is replaced by a file's settings.
pub(super) fn is_include(name: &str) -> bool {
    INCLUDES.contains(&name)
}

/// Appends a setting, and the file's settings after it when it names an ini file.
pub(super) fn push(setting: Setting, read: &mut Read<'_>) -> Result<(), StartError> {
    let file = match &setting.value {
        Some(value) if is_include(&setting.name) => {
            let place = read.settings.len();
            Some(expand::value(value, place, &read.settings, read.env, &mut Vec::new()))
        }
        _ => None,
    };
    let origin = setting.origin.clone();
    read.settings.push(setting);
    match file {
        Some(file) => include(&file, &origin, read),
        None => Ok(()),
    }
}

/// Reads `file`, `file:section` or `:section` of the file that names it.
fn include(written: &str, origin: &Origin, read: &mut Read<'_>) -> Result<(), StartError> {
    let wrong = |text: String| StartError::new(format!("{origin}: {text}"));
    if written.contains("://") {
        return Err(wrong(format!("ini: expected a file, found \"{written}\": fetch it first")));
    }
    let (file, section) = match written.rsplit_once(':') {
        Some((file, section)) if !section.contains('/') => (file, section),
        _ => (written, "uwsgi"),
    };
    let path = match (file, origin) {
        ("", Origin::File { path, .. }) => path.to_path_buf(),
        ("", _) => return Err(wrong(format!("ini: no file before the section {written}"))),
        ("-", _) => PathBuf::from("/dev/stdin"),
        _ => PathBuf::from(file),
    };
    if let Some(kind) = other_format(&path) {
        let path = path.display();
        return Err(wrong(format!("{path}: {kind} files are not supported yet; write it as ini")));
    }
    let bytes = fs::read(&path).map_err(|error| wrong(unreadable(&path, &error)))?;
    let whole = fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
    let visit = (whole.clone(), section.to_owned());
    if read.open.contains(&visit) {
        let path = path.display();
        return Err(wrong(format!("{path}: its section [{section}] includes itself")));
    }
    if read.config_dir.is_none() && file != "-" {
        read.config_dir = whole.parent().map(Path::to_path_buf);
    }
    read.open.push(visit);
    let text = String::from_utf8_lossy(&bytes);
    let result = read_section(&text, &path, &whole, file, section, read);
    read.open.pop();
    result
}

fn other_format(path: &Path) -> Option<&'static str> {
    match path.extension()?.to_str()? {
        "xml" => Some("XML"),
        "yml" | "yaml" => Some("YAML"),
        "json" | "js" => Some("JSON"),
        "lua" => Some("Lua"),
        _ => None,
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> String {
    let name = path.display();
    let cause = match error.kind() {
        std::io::ErrorKind::NotFound if path.is_relative() => match std::env::current_dir() {
            Ok(here) => format!("no such file in {}", here.display()),
            Err(_) => "no such file".to_owned(),
        },
        std::io::ErrorKind::NotFound => "no such file".to_owned(),
        std::io::ErrorKind::PermissionDenied => "no permission to read it".to_owned(),
        std::io::ErrorKind::IsADirectory => "it is a directory".to_owned(),
        _ => error.to_string(),
    };
    format!("cannot read {name}: {cause}")
}

/// Takes the lines of one section; all sections of that name count.
fn read_section(
    text: &str,
    path: &Path,
    whole: &Path,
    as_given: &str,
    section: &str,
    read: &mut Read<'_>,
) -> Result<(), StartError> {
    let shared: Arc<Path> = Arc::from(path);
    let outermost = read.open.first().cloned();
    let magic = expand::Magic::new(as_given, whole, section, outermost.as_ref());
    let mut current: Option<&str> = None;
    let mut seen = Vec::new();
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let origin = Origin::File { path: Arc::clone(&shared), line: index + 1 };
        let line = line.trim();
        if line.is_empty() || line.starts_with([';', '#']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[') {
            let name = name.split_once(']').map(|(name, _)| name).ok_or_else(|| {
                StartError::new(format!("{origin}: expected [section], found \"{line}\""))
            })?;
            current = Some(name);
            seen.push(name);
            continue;
        }
        let Some(name) = current else {
            return Err(StartError::new(format!(
                "{origin}: expected a [uwsgi] line before the first key, found \"{line}\""
            )));
        };
        if name != section {
            continue;
        }
        let setting = parse_line(line, &magic, origin, &mut read.warnings)?;
        push(setting, read)?;
    }
    if seen.contains(&section) {
        return Ok(());
    }
    let path = path.display();
    let found = match seen.as_slice() {
        [] => "it has no section".to_owned(),
        names => format!("it has [{}]", names.join("], [")),
    };
    Err(StartError::new(format!("{path}: no section [{section}]: {found}")))
}

/// `key = value` or a bare `key`.
fn parse_line(
    line: &str,
    magic: &expand::Magic,
    origin: Origin,
    warnings: &mut Vec<String>,
) -> Result<Setting, StartError> {
    if line.contains('\u{fffd}') {
        return Err(StartError::new(format!("{origin}: expected UTF-8, found \"{line}\"")));
    }
    let Some((key, value)) = line.split_once('=') else {
        return Ok(Setting { name: line.to_owned(), value: None, origin });
    };
    let key = key.trim_end();
    if key.is_empty() {
        return Err(StartError::new(format!(
            "{origin}: expected a key before =, found \"{line}\""
        )));
    }
    let (value, unknown) = magic.apply(value.trim_start());
    for letters in unknown {
        warnings.push(format!("{origin}: {key}: {letters} means nothing and was taken out"));
    }
    Ok(Setting { name: key.to_owned(), value: Some(value), origin })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::super::{Address, Options, Protocol, parse};

    /// What `--ini` makes of a file with this text; the file is called `app.ini` in messages.
    fn read(text: &str) -> Result<Options, String> {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("app.ini");
        fs::write(&path, text).expect("written");
        let prefix = format!("{}/", directory.path().display());
        parse(&["--ini", &format!("{prefix}app.ini")]).map_err(|error| error.replace(&prefix, ""))
    }

    #[test]
    fn the_files_of_the_tutorial_work_unchanged() {
        let text = include_str!("../../examples/app.ini");
        let options = read(text).expect("it is right");
        assert_eq!(options.module.as_deref(), Some("wsgi"));
        let address = Address::Tcp { host: "0.0.0.0".to_owned(), port: 8080 };
        assert_eq!(options.sockets[0].address, address);
        assert_eq!(options.sockets[0].protocol, Protocol::Http);
        assert!(options.master && options.die_on_term && options.warnings.is_empty());
        assert_eq!(options.processes, 10);
        assert!(options.config_dir.is_some_and(|directory| directory.is_absolute()));

        let text = include_str!("../../examples/app_socket.ini");
        let options = read(text).expect("it is right");
        assert_eq!(options.sockets[0].address, Address::Unix("my_app.sock".into()));
        assert_eq!(options.sockets[0].protocol, Protocol::Uwsgi);
        assert_eq!(options.chmod_socket, Some(0o660));
        assert!(!options.vacuum && options.warnings.is_empty());
    }

    #[test]
    fn lines_may_be_untidy() {
        let text = "\u{feff}; first\r\n[other]\r\nnot read at all [\r\n\r\n[uwsgi]\r\n\
                    \tmaster\r\n  processes=  3  \r\nprotocol = http\r\n; env = A=1\r\n\
                    env = B=two words ; here\r\nenv=C=x=y\r\n[uwsgi]\r\nthreads = 2";
        let options = read(text).expect("it is right");
        assert!(options.master);
        assert_eq!((options.processes, options.threads), (3, 2));
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(options.env, [pair("B", "two words ; here"), pair("C", "x=y")]);
    }

    #[test]
    fn a_broken_file_says_where_and_why() {
        for (text, message) in [
            (
                "master = true\n",
                "app.ini:1: expected a [uwsgi] line before the first key, \
                                 found \"master = true\"",
            ),
            ("\n[uwsgi\n", "app.ini:2: expected [section], found \"[uwsgi\""),
            ("[uwsgi]\n= 4\n", "app.ini:2: expected a key before =, found \"= 4\""),
            ("[django]\nx = 1\n", "app.ini: no section [uwsgi]: it has [django]"),
            ("", "app.ini: no section [uwsgi]: it has no section"),
            (
                "[uwsgi]\n\nharakiri = soon\n",
                "app.ini:3: harakiri: expected a number of seconds, found \"soon\"",
            ),
            ("[uwsgi]\nini = :uwsgi\n", "app.ini:2: app.ini: its section [uwsgi] includes itself"),
            (
                "[uwsgi]\nif-env = DEBUG\nmaster = 1\nendif =\n",
                "app.ini:2: if-env: Conditions are not supported yet: make two files.",
            ),
            (
                "[uwsgi]\nstrict = true\nproceses = 4\n",
                "app.ini:3: unknown option proceses, and strict is on; did you mean processes?",
            ),
            (
                "[uwsgi]\nroot_of_all = /srv\nstrict = true\n",
                "app.ini:2: unknown option root_of_all, and strict is on; a variable of your own \
                 is set-placeholder = root_of_all=...",
            ),
            (
                "[uwsgi]\nini = /nowhere/x.ini\n",
                "app.ini:2: cannot read /nowhere/x.ini: no such file",
            ),
        ] {
            assert_eq!(read(text).expect_err(text), message);
        }
        assert_eq!(
            parse(&["/nowhere.ini"]).expect_err("it is not there"),
            "argument 1: cannot read /nowhere.ini: no such file"
        );
        assert_eq!(
            parse(&["--ini", "/tmp"]).expect_err("it is a directory"),
            "argument 1: cannot read /tmp: it is a directory"
        );
    }

    #[test]
    fn what_looks_wrong_is_a_warning() {
        for (line, warning) in [
            (
                "strict = false ; no",
                "app.ini:2: strict: a comment needs a line of its own: found \
                                     \"false ; no\", which counts as true",
            ),
            (
                "module = app:app  # x",
                "app.ini:2: module: a comment needs a line of its own: \
                                       \"# x\" is part of the value",
            ),
            (
                "threads = true",
                "app.ini:2: threads: expected a number, found \"true\", which \
                                counts as 1",
            ),
            ("threads = 2.5", "app.ini:2: threads: only the digits in front of \"2.5\" count"),
            ("chmod-socket = 0666", "app.ini:2: chmod-socket: 0666 is read as the mode 666"),
            (
                "http-socket = 8000",
                "app.ini:2: http-socket: 8000 is the name of a unix socket; a \
                                    port is written :8000",
            ),
            (
                "Master = true",
                "app.ini:2: Master is no option and was taken as a variable; did you \
                               mean master?",
            ),
            (
                "chdir = $(UWRING_NO_SUCH)",
                "app.ini:2: chdir: the environment has no \
              UWRING_NO_SUCH: $(UWRING_NO_SUCH) stays as it is",
            ),
            ("logto = /tmp/%Q.log", "app.ini:2: logto: %Q means nothing and was taken out"),
        ] {
            let options = read(&format!("[uwsgi]\n{line}\n")).expect(line);
            let found = options.warnings.join("\n");
            let at = found.find("app.ini").expect("it names the file");
            assert_eq!(&found[at..], warning);
        }
        let harmless = "[uwsgi]\nmaster = true\nbase = /srv\nlog-format = %(addr) ; %(uri)\n";
        let options = read(harmless).expect("it is right");
        assert_eq!(options.warnings.len(), 1, "{:?}", options.warnings); // log-format is for later.
    }

    #[test]
    fn a_later_scalar_wins_and_lists_grow() {
        let text = "[uwsgi]\nmaster = true\nmaster = false\nprocesses = 2\nprocesses = 3\n\
                    pythonpath = a\npp = b\nsocket = :1\nsocket = /x.sock\n";
        let options = read(text).expect("it is right");
        assert!(!options.master);
        assert_eq!((options.processes, options.sockets.len()), (3, 2));
        assert_eq!(options.pythonpath, ["a", "b"]);
    }

    #[test]
    fn files_are_read_in_the_place_that_names_them() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(name).display().to_string();
        fs::write(path("base.ini"), "[uwsgi]\nthreads = 9\nprocesses = 9\n").expect("written");
        let text = "[uwsgi]\nprocesses = 1\nini = %dbase.ini\nini = :dev\nthreads = 3\n\
                    [dev]\nlogto = %D%n-%x.log\nneed-app = true\n";
        fs::write(path("app.ini"), text).expect("written");
        let options = parse(&["--ini", &path("app.ini")]).expect("it is right");
        assert_eq!((options.processes, options.threads), (9, 3));
        assert!(options.need_app);
        let logto =
            format!("{}/app-dev.log", directory.path().canonicalize().expect("it").display());
        assert_eq!(options.logto.as_deref(), Some(Path::new(&logto)));

        let dev = parse(&["--ini", &format!("{}:dev", path("app.ini"))]).expect("it is right");
        assert!(dev.need_app && dev.threads == 1);
        // uWSGI: an option on the line after --ini wins, a file without --ini is read last.
        let last = parse(&["--ini", &path("base.ini"), "--threads", "5"]).expect("right");
        assert_eq!(last.threads, 5);
        let last = parse(&[&path("base.ini"), "--threads", "5"]).expect("right");
        assert_eq!(last.threads, 9);
    }
}
