//! The command line as a source, read as getopt_long reads it: `--opt value`, `--opt=value`,
//! unambiguous prefixes, `-p 4`, `-p4`, `-MT`, and `--` before what is no option.

use std::ffi::OsString;

use super::ini;
use super::setting::{Origin, Read, Setting};
use super::table::{self, Opt, Takes};
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
    while let Some((position, word)) = words.next() {
        let mut next = |takes: Takes| {
            let wanted = |next: &(usize, String)| is_value(takes, &next.1);
            words.next_if(wanted).map(|(_, word)| word)
        };
        if only_positional || word == "-" || !word.starts_with('-') {
            positional(position, &word, read)?;
        } else if word == "--" {
            only_positional = true;
        } else if let Some(long) = word.strip_prefix("--") {
            long_option(position, long, &mut next, read)?;
        } else {
            short_options(position, &word[1..], &mut next, read)?;
        }
    }
    Ok(())
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
    match table::nearest(written) {
        Some(name) => {
            StartError::new(format!("unknown option --{written}; did you mean --{name}?"))
        }
        None => StartError::new(format!("unknown option --{written}; see --help")),
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
    if value.is_none() && !opt.takes.may_be_bare() {
        return Err(StartError::new(format!(
            "argument {position}: option --{name} wants a value: --{name} {}",
            opt.takes.metavar()
        )));
    }
    let origin = Origin::Argument(position);
    ini::push(Setting { name: name.to_owned(), value, origin }, read)
}

/// `app.ini`, `app.ini:section`, `app.py`, `app.py:callable`, `package.module:callable`.
fn positional(position: usize, word: &str, read: &mut Read<'_>) -> Result<(), StartError> {
    let (path, after) = match word.rsplit_once(':') {
        Some((path, after)) if !after.contains('/') => (path, Some(after)),
        _ => (word, None),
    };
    let is = |extensions: &[&str]| extensions.iter().any(|extension| path.ends_with(extension));
    let name = if is(&[".ini", ".xml", ".yml", ".yaml", ".json", ".js"]) {
        "ini"
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
    ini::push(Setting { name: name.to_owned(), value: Some(word.to_owned()), origin }, read)
}

fn is_dotted_name(text: &str) -> bool {
    text.split('.').all(|part| {
        part.starts_with(|first: char| first.is_alphabetic() || first == '_')
            && part.chars().all(|char| char.is_alphanumeric() || char == '_')
    })
}
