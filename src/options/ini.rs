//! The ini format, as uWSGI reads it: line by line, a comment only where `;` or `#` comes first.

use super::include::{Content, Entry, Malformed};

/// A longer line is none that a person wrote.
pub(super) const LINE_BYTES_MAX: usize = 1 << 20;

/// The entries of one section; all sections of that name count.
pub(super) fn content(text: &str, section: &str) -> Result<Content, Malformed> {
    let mut content = Content::default();
    let mut current: Option<&str> = None;
    let mut seen: Vec<&str> = Vec::new();
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let number = index + 1;
        if line.len() > LINE_BYTES_MAX {
            let bytes = line.len();
            let why = format!("expected lines of at most 1 MiB, found one of {bytes} bytes");
            return Err(Malformed::new(number, why));
        }
        let line = line.trim();
        if line.is_empty() || line.starts_with([';', '#']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[') {
            let whole = name.split_once(']').map(|(name, _)| name);
            if whole.is_none() {
                let what = format!("expected [section], found \"{line}\"");
                content.warnings.push((number, what));
            }
            // What stands in blanks is never meant with them.
            let name = whole.unwrap_or(name).trim();
            current = Some(name);
            if !seen.contains(&name) {
                seen.push(name);
            }
            continue;
        }
        match current {
            Some(name) if name == section => {}
            Some(_) => continue,
            None => {
                // uWSGI: no section, no option. Said once: a file without any has many.
                if content.warnings.is_empty() {
                    let what = format!("stands before the first [section], not read: \"{line}\"");
                    content.warnings.push((number, what));
                }
                continue;
            }
        }
        content.entries.push(entry(line, number, &mut content.warnings)?);
    }
    if !seen.contains(&section) {
        content.missing = Some(seen.into_iter().map(str::to_owned).collect());
    }
    Ok(content)
}

/// `key = value` or a bare `key`.
fn entry(
    line: &str,
    number: usize,
    warnings: &mut Vec<(usize, String)>,
) -> Result<Entry, Malformed> {
    if line.contains('\u{fffd}') {
        return Err(Malformed::new(number, format!("expected UTF-8, found \"{line}\"")));
    }
    let Some((key, value)) = line.split_once('=') else {
        return Ok(Entry { line: number, key: line.to_owned(), value: None });
    };
    let key = key.trim_end().to_owned();
    if key.is_empty() {
        warnings.push((number, format!("expected a key before =, found \"{line}\"")));
    }
    Ok(Entry { line: number, key, value: Some(value.trim_start().to_owned()) })
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
                "[uwsgi]\n\nharakiri = soon\n",
                "app.ini:3: harakiri: expected a number of seconds, found \"soon\"",
            ),
            ("[uwsgi]\nini = :uwsgi\n", "app.ini:2: app.ini: its section [uwsgi] includes itself"),
            (
                "[uwsgi]\nset-ph = processes=4\n",
                "app.ini:2: set-ph: processes is an option: write processes = 4",
            ),
            ("[uwsgi]\nset = x\n", "app.ini:2: set: expected name=value, found \"x\""),
            ("[uwsgi]\nx = \u{fffd}\n", "app.ini:2: expected UTF-8, found \"x = \u{fffd}\""),
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
    fn a_file_without_the_section_is_a_warning() {
        for (text, warning) in [
            (
                "[django]\nx = 1\n",
                "app.ini: no section [uwsgi], so nothing is read: it has [django]",
            ),
            ("", "app.ini: no section [uwsgi], so nothing is read: it has no section"),
            (
                "master = true\nvacuum = true\n[uwsgi]\n",
                "app.ini:1: stands before the first [section], not read: \"master = true\"",
            ),
            ("\n[uwsgi\nmaster = 1\n", "app.ini:2: expected [section], found \"[uwsgi\""),
            ("[uwsgi]\n= 4\n", "app.ini:2: expected a key before =, found \"= 4\""),
        ] {
            let options = read(text).expect(text);
            let found = options.warnings.join("\n");
            let at = found.find("app.ini").expect("it names the file");
            assert_eq!(&found[at..], warning);
            assert_eq!(options.master, text.contains("[uwsgi\n"));
        }
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
        assert!(options.warnings.is_empty(), "{:?}", options.warnings);
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
