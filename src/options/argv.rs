//! The command line as a source, read as getopt_long reads it: `--opt value`, `--opt=value`,
//! unambiguous prefixes, `-p 4`, `-p4`, `-MT`, and `--` before what is no option.

use std::ffi::OsString;

use super::hint;
use super::setting::{Origin, Read, Setting};
use super::table::{self, Opt, Takes};
use super::{apply, include};
use crate::error::StartError;

/// Appends the settings of `args`, the program's name first.
pub(super) fn settings(args: Vec<OsString>, read: &mut Read<'_>) -> Result<(), StartError> {
    let mut words = Vec::with_capacity(args.len());
    for (position, arg) in args.into_iter().enumerate().skip(1) {
        let word = arg.into_string().map_err(|arg| {
            StartError::new(format!("argument {position}: expected UTF-8, found {arg:?}"))
        })?;
        words.push((position, word));
    }
    let mut words = words.into_iter().peekable();
    let mut only_positional = false;
    let mut files_and_apps = Vec::new();
    while let Some((position, word)) = words.next() {
        let mut next = |takes: Takes| {
            let wanted = |next: &(usize, String)| is_value(takes, &next.1);
            words.next_if(wanted).map(|(_, word)| word)
        };
        if position == 1 && word == "doctor" {
            long_option(position, &word, &mut next, read)?;
        } else if only_positional || word == "-" || !word.starts_with('-') {
            files_and_apps.push((position, word));
        } else if word == "--" {
            only_positional = true;
        } else if let Some(long) = word.strip_prefix("--") {
            long_option(position, long, &mut next, read)?;
        } else {
            short_options(position, &word[1..], &mut next, read)?;
        }
    }
    // uWSGI: `app.ini --processes 3` reads the options first, so that the file's value wins,
    // and `--ini app.ini --processes 3` reads them in the order written.
    for (position, word) in files_and_apps {
        positional(position, &word, read)?;
    }
    include::end_block(read);
    include::inherit(read)?;
    include::declared_last(read)
}

/// Whether the word after an option is its value.
fn is_value(takes: Takes, word: &str) -> bool {
    match takes {
        Takes::Flag => false,
        // getopt would leave the digits alone, and `--chmod-socket 660` would silently mean 666.
        Takes::SocketMode | Takes::MaybeSeconds => {
            !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit())
        }
        Takes::MaybeText => false,
        Takes::MaybeWord => !word.starts_with('-'),
        _ => true,
    }
}

fn long_option(
    position: usize,
    written: &str,
    next: &mut dyn FnMut(Takes) -> Option<String>,
    read: &mut Read<'_>,
) -> Result<(), StartError> {
    let (name, inline) = match written.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (written, None),
    };
    let (name, opt) = resolve(name)?;
    let value = match inline {
        Some(value) => Some(value),
        None => next(opt.takes),
    };
    take(position, name, opt, value, read)
}

/// The whole name and the row of an option that may be written as a prefix.
fn resolve(written: &str) -> Result<(&'static str, &'static Opt), StartError> {
    if let Some(exact) = table::find(written) {
        return Ok(exact);
    }
    let matches: Vec<_> = match written {
        "" => Vec::new(),
        prefix => table::names().filter(|(name, _)| name.starts_with(prefix)).collect(),
    };
    match matches.as_slice() {
        [] => Err(unknown(written)),
        // getopt: several names of one option are no ambiguity.
        [first, rest @ ..] if rest.iter().all(|(_, opt)| std::ptr::eq(*opt, first.1)) => Ok(*first),
        several => {
            let names: Vec<_> = several.iter().map(|(name, _)| format!("--{name}")).collect();
            let names = names.join(", ");
            Err(StartError::new(format!("option --{written} is ambiguous: it begins {names}")))
        }
    }
}

fn unknown(written: &str) -> StartError {
    match hint::meant(written).as_slice() {
        [] => StartError::new(format!("unknown option --{written}; see --help")),
        names => StartError::new(format!(
            "unknown option --{written}; did you mean --{}?",
            names.join(" or --")
        )),
    }
}

/// `-M`, `-p4`, `-p 4`, `-MT`, `-Mp4`.
fn short_options(
    position: usize,
    letters: &str,
    next: &mut dyn FnMut(Takes) -> Option<String>,
    read: &mut Read<'_>,
) -> Result<(), StartError> {
    for (index, letter) in letters.char_indices() {
        let opt = table::find_short(letter).ok_or_else(|| {
            StartError::new(format!("unknown option -{letter} in -{letters}; see --help"))
        })?;
        if opt.takes == Takes::Flag {
            take(position, opt.names[0], opt, None, read)?;
            continue;
        }
        let value = match &letters[index + letter.len_utf8()..] {
            "" => next(opt.takes),
            attached => Some(attached.to_owned()),
        };
        return take(position, opt.names[0], opt, value, read);
    }
    Ok(())
}

fn take(
    position: usize,
    name: &str,
    opt: &Opt,
    value: Option<String>,
    read: &mut Read<'_>,
) -> Result<(), StartError> {
    let setting = Setting { name: name.to_owned(), value, origin: Origin::Argument(position) };
    apply::refuse(&setting, opt)?; // Before the words after it make no sense.
    if setting.value.is_none() && !opt.takes.may_be_bare() {
        return Err(StartError::new(format!(
            "argument {position}: option --{name} wants a value: --{name} {}",
            opt.takes.metavar()
        )));
    }
    include::push(setting, read)
}

/// `app.ini`, `app.ini:section`, `app.py`, `app.py:callable`, `package.module:callable`.
fn positional(position: usize, word: &str, read: &mut Read<'_>) -> Result<(), StartError> {
    let (path, after) = match word.rsplit_once(':') {
        Some((path, after)) if !after.contains('/') => (path, Some(after)),
        _ => (word, None),
    };
    let is = |extensions: &[&str]| extensions.iter().any(|extension| path.ends_with(extension));
    let name = if let Some(option) = include::option_for(path) {
        option
    } else if is(&[".py", ".wsgi"]) {
        "wsgi-file"
    } else if after.is_some() && is_dotted_name(path) {
        "module"
    } else {
        return Err(StartError::new(format!(
            "argument {position}: \"{word}\" is neither an option nor an app nor a configuration: \
             expected app.ini, app.py or package.module:callable"
        )));
    };
    let origin = Origin::Argument(position);
    include::push(Setting { name: name.to_owned(), value: Some(word.to_owned()), origin }, read)
}

fn is_dotted_name(text: &str) -> bool {
    text.split('.').all(|part| {
        part.starts_with(|first: char| first.is_alphabetic() || first == '_')
            && part.chars().all(|char| char.is_alphanumeric() || char == '_')
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{Address, Options, Protocol, parse};

    fn right(line: &str) -> Options {
        let words: Vec<_> = line.split_whitespace().collect();
        parse(&words).expect("the line is right")
    }

    fn tcp(host: &str, port: u16) -> Address {
        Address::Tcp { host: host.to_owned(), port }
    }

    #[test]
    fn the_command_lines_of_the_tutorial_work_unchanged() {
        let options = right("--http :9090 --wsgi-file foobar.py");
        assert_eq!(options.sockets[0].address, tcp("0.0.0.0", 9090));
        assert_eq!(options.sockets[0].protocol, Protocol::Http);
        assert_eq!(options.wsgi_file.as_deref(), Some(Path::new("foobar.py")));
        assert_eq!((options.master, options.processes, options.threads), (false, 1, 1));

        let line = "--http :9090 --wsgi-file foobar.py --master --processes 4 --threads 2";
        let options = right(line);
        assert_eq!((options.master, options.processes, options.threads), (true, 4, 2));

        let options = right("--socket 0.0.0.0:5000 --protocol=http -w wsgi:app");
        assert_eq!(options.sockets[0].address, tcp("0.0.0.0", 5000));
        assert_eq!(options.sockets[0].protocol, Protocol::Http);
        assert_eq!(options.module.as_deref(), Some("wsgi:app"));

        let options = right("--socket 0.0.0.0:8000 --protocol=http --wsgi-file wsgi.py");
        assert_eq!(options.sockets[0].protocol, Protocol::Http);

        let options =
            right("--http-socket 0.0.0.0:8000 --wsgi-file wsgi.py --master --processes 10");
        assert_eq!(options.sockets[0].protocol, Protocol::Http);
        assert_eq!(options.processes, 10);

        let options = right("--socket 127.0.0.1:3031 --wsgi-file wsgi.py --master --processes 10");
        assert_eq!(options.sockets[0].protocol, Protocol::Uwsgi);

        let line =
            "--wsgi-file wsgi.py --socket 127.0.0.1:3031 --stats 127.0.0.1:3030 --stats-http";
        let options = right(line);
        assert_eq!(options.stats, Some(tcp("127.0.0.1", 3030)));
        assert!(options.stats_http && options.warnings.is_empty());
    }

    #[test]
    fn options_are_written_as_getopt_reads_them() {
        for line in ["-p 4", "-p4", "-Mp4", "--processes 4", "--processes=4", "--process 4"] {
            assert_eq!(right(line).processes, 4, "{line}");
        }
        let options = right("-MT --http-time 7 --chmod-socket --socket a.sock");
        assert!(options.master && options.enable_threads);
        assert_eq!((options.http_timeout, options.chmod_socket), (7, Some(0o666)));
        assert_eq!(right("--chmod-socket 660").chmod_socket, Some(0o660));
        assert_eq!(right("-C664").chmod_socket, Some(0o664));
        assert_eq!(right("--chmod-socket=664 app:app").module.as_deref(), Some("app:app"));
    }

    #[test]
    fn the_doctor_comes_first() {
        let options = right("doctor --processes 3 app.py");
        assert!(options.doctor && options.processes == 3 && options.wsgi_file.is_some());
        assert!(parse(&["app.py", "doctor"]).is_err());
    }

    #[test]
    fn what_is_no_option_is_an_app() {
        assert_eq!(right("my_app.wsgi").wsgi_file.as_deref(), Some(Path::new("my_app.wsgi")));
        assert_eq!(right("pkg.mod:app").module.as_deref(), Some("pkg.mod:app"));
        let options = right("-M -- dir/app.py:make");
        assert_eq!(options.wsgi_file.as_deref(), Some(Path::new("dir/app.py")));
        assert_eq!(options.callable.as_deref(), Some("make"));
    }

    #[test]
    fn an_unknown_option_names_the_one_that_was_meant() {
        for (line, message) in [
            ("--proceses 4", "unknown option --proceses; did you mean --processes?"),
            ("--wsgi_file x", "unknown option --wsgi_file; did you mean --wsgi-file?"),
            ("--zzzzzzzzz", "unknown option --zzzzzzzzz; see --help"),
            ("-Mk", "unknown option -k in -Mk; see --help"),
            ("--processes", "argument 1: option --processes wants a value: --processes N"),
            ("-p four", "argument 1: processes: expected a number of at least 1, found \"four\""),
            (
                "--processes 0",
                "argument 1: processes: expected a number of at least 1, found \"0\"",
            ),
            (
                "-M 664",
                "argument 2: \"664\" is neither an option nor an app nor a configuration: expected \
                 app.ini, app.py or package.module:callable",
            ),
            ("app.yml", "argument 1: cannot read app.yml: no such file in HERE"),
            (
                "--gevent 100",
                "argument 1: gevent: Loop engines are not supported yet: give each worker \
                 threads instead.",
            ),
            (
                "--https :1",
                "argument 1: https: TLS is not built in yet: let nginx end it and listen with \
                 --socket or --http.",
            ),
        ] {
            let words: Vec<_> = line.split_whitespace().collect();
            let here = std::env::current_dir().expect("there is one").display().to_string();
            assert_eq!(parse(&words).expect_err(line), message.replace("HERE", &here));
        }
        let error = parse(&["--http-t", "1"]).expect_err("two options begin so");
        assert!(error.starts_with("option --http-t is ambiguous: it begins --"), "{error}");
    }

    #[test]
    fn what_is_not_here_is_left_out_with_a_warning() {
        let options = right("--mules 2 --thunder-lock --freebind=false");
        assert_eq!(
            options.warnings,
            ["argument 1: mules is left out: There are no mules: attach-daemon runs a script \
                 beside the server."]
        );
    }
}
