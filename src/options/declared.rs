//! Options that a configuration makes: `declare-option = name=option=value;option=value`.
//!
//! uWSGI: where the name is met, each option of its template is read with `$1`, `$2` .. replaced by
//! the words of the value. `declare-option2`, and a name that is met before it is declared, are
//! read when all else was. uWSGI gives such values to the option as they are; here `%(name)` and
//! `$(ENV)` are replaced in them as anywhere.

use super::include::BYTES_MAX;
use super::setting::{Read, Setting};
use super::table;
use crate::error::StartError;

/// An option within an option within an option ..
const DEPTH_MAX: usize = 64;

/// One declared option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Declared {
    /// Names and values of what it stands for.
    template: Vec<(String, String)>,
    /// `declare-option2`.
    is_last: bool,
}

impl Declared {
    /// Reads a declaration, with the name that it declares; None where `setting` is none.
    ///
    /// # Errors
    /// It is not of the form `name=option=value`.
    fn of(setting: &Setting) -> Result<Option<(String, Declared)>, StartError> {
        let is_last = match setting.name.as_str() {
            "declare-option" => false,
            "declare-option2" => true,
            _ => return Ok(None),
        };
        let text = setting.value.as_deref().unwrap_or("");
        let wrong = || {
            wrong(setting, &format!("expected name=option=value;option=value, found \"{text}\""))
        };
        let (name, template) = text.split_once('=').ok_or_else(wrong)?;
        let mut options = Vec::new();
        for option in template.split(';').map(str::trim).filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').ok_or_else(wrong)?;
            options.push((name.trim().to_owned(), value.trim().to_owned()));
        }
        let name = name.trim();
        if name.is_empty() || options.is_empty() {
            return Err(wrong());
        }
        Ok(Some((name.to_owned(), Declared { template: options, is_last })))
    }

    /// What the option stands for with this value; counts its bytes in `all`.
    ///
    /// # Errors
    /// All would be more than a configuration may be.
    fn settings(
        &self,
        used: &Setting,
        all: &mut usize,
        settings: &mut Vec<Setting>,
    ) -> Result<(), StartError> {
        let value = used.value.as_deref().unwrap_or("");
        let words: Vec<_> = value.split(' ').filter(|word| !word.is_empty()).collect();
        for (name, value) in &self.template {
            let left = BYTES_MAX.saturating_sub(*all);
            let Some(value) = filled(value, &words, left.saturating_sub(name.len())) else {
                let why = format!("it stands for more than {} MiB", BYTES_MAX >> 20);
                return Err(wrong(used, &why));
            };
            *all += name.len() + value.len();
            let origin = used.origin.clone();
            settings.push(Setting { name: name.clone(), value: Some(value), origin });
        }
        Ok(())
    }
}

fn wrong(setting: &Setting, why: &str) -> StartError {
    let Setting { name, origin, .. } = setting;
    StartError::new(format!("{origin}: {name}: {why}"))
}

/// Replaces `$1` .. in `text`; one that no word is there for stays. None if the whole would be
/// longer than `max`.
fn filled(text: &str, words: &[&str], max: usize) -> Option<String> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let (before, after) = rest.split_at(at);
        filled.push_str(before);
        let digits = after[1..].bytes().take_while(u8::is_ascii_digit).count();
        let number = after[1..=digits].parse::<usize>().ok();
        let word = number.and_then(|number| words.get(number.checked_sub(1)?).copied());
        let put = word.unwrap_or(&after[..=digits]);
        if filled.len() + put.len() > max {
            return None;
        }
        filled.push_str(put);
        rest = &after[1 + digits..];
    }
    filled.push_str(rest);
    (filled.len() <= max).then_some(filled)
}

/// Takes a declaration. uWSGI: the first of a name holds, and an option stays what it is.
///
/// # Errors
/// It is not of the form `name=option=value`.
pub(super) fn declare(setting: &Setting, read: &mut Read<'_>) -> Result<(), StartError> {
    if let Some((name, declared)) = Declared::of(setting)?
        && table::find(&name).is_none()
    {
        read.declared.entry(name).or_insert(declared);
    }
    Ok(())
}

/// What `setting` stands for, if its name is declared by now.
///
/// # Errors
/// Declared options that stand for each other without end, or for too much.
pub(super) fn expand(setting: &Setting, read: &mut Read<'_>) -> Result<Vec<Setting>, StartError> {
    let declared = read.declared.get(&setting.name).filter(|declared| !declared.is_last);
    let Some(declared) = declared else { return Ok(Vec::new()) };
    if read.within >= DEPTH_MAX {
        return Err(wrong(setting, "declared options stand for each other without end"));
    }
    let mut settings = Vec::new();
    declared.settings(setting, &mut read.bytes, &mut settings)?;
    Ok(settings)
}

/// What the options stand for that are read when all else was.
///
/// # Errors
/// It is too much.
pub(super) fn last(read: &mut Read<'_>) -> Result<Vec<Setting>, StartError> {
    let mut last = Vec::new();
    for (index, setting) in read.settings.iter().enumerate() {
        let Some(declared) = read.declared.get(&setting.name) else { continue };
        if declared.is_last || !read.expanded.contains(&index) {
            declared.settings(setting, &mut read.bytes, &mut last)?;
        }
    }
    // Once is enough, whatever they stand for.
    read.declared.clear();
    Ok(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_take_the_places_of_their_numbers() {
        for (text, expected) in [
            ("$1-$2-$1", "a-b-a"),
            ("$10 $0 $x $ $3", "$10 $0 $x $ $3"),
            ("$$1 äö$2", "$a äöb"),
            ("", ""),
        ] {
            assert_eq!(filled(text, &["a", "b"], 100).as_deref(), Some(expected));
        }
        assert_eq!(filled("$1$1$1", &["12345"], 14), None);
        assert_eq!(filled("xxx", &[], 2), None);
    }

    /// The settings of an ini file with these lines, without the first, or the error.
    fn read(lines: &str) -> Result<Vec<String>, String> {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("app.ini");
        std::fs::write(&path, format!("[uwsgi]\n{lines}")).expect("written");
        let path = path.display().to_string();
        let settings = crate::options::parse(&["--ini", &path])?.settings;
        let shown = |s: &Setting| format!("{}={}", s.name, s.value.as_deref().unwrap_or(""));
        Ok(settings.iter().filter(|s| s.name != "ini").map(shown).collect())
    }

    #[test]
    fn a_declared_option_stands_for_others_in_its_place() {
        let settings = read(
            "declare-option = app=module=$1;processes = $2 ;set-ph=name=$1-%(tail)\n\
             tail = x\napp = site.wsgi  3\nthreads = 2\n",
        );
        let expected = [
            "declare-option=app=module=$1;processes = $2 ;set-ph=name=$1-x",
            "tail=x",
            "app=site.wsgi  3",
            "module=site.wsgi",
            "processes=3",
            "set-ph=name=site.wsgi-x",
            "name=site.wsgi-x",
            "threads=2",
        ];
        assert_eq!(settings.expect("it is right"), expected);
    }

    #[test]
    fn what_is_met_before_it_is_declared_is_read_last() {
        let settings = read(
            "late = 2\ndeclare-option = late=threads=$1\ndeclare-option2 = last=processes=$1\n\
             last = 3\nlate = 4\nmaster = true\n",
        );
        let settings = settings.expect("it is right");
        assert_eq!(
            settings[4..],
            ["late=4", "threads=4", "master=true", "threads=2", "processes=3"]
        );
    }

    #[test]
    fn the_first_declaration_holds_and_options_stay_what_they_are() {
        let settings = read(
            "declare-option = one=threads=$1\ndeclare-option = one=processes=$1\n\
             declare-option = master=processes=9\nmaster = true\none = 5\nstrict = true\n",
        );
        let settings = settings.expect("a declared name is known under strict");
        assert_eq!(settings[3..], ["master=true", "one=5", "threads=5", "strict=true"]);
    }

    #[test]
    fn options_may_stand_within_options_but_not_without_end() {
        let nested = "declare-option = in=threads=$1\ndeclare-option = out=in=$2\nout = a 7\n";
        let settings = read(nested).expect("it is right");
        assert_eq!(settings[2..], ["out=a 7", "in=7", "threads=7"]);
        let endless = "declare-option = a=b=$1\ndeclare-option = b=a=$1\na = 1\n";
        let error = read(endless).expect_err("it never ends");
        assert!(error.ends_with("declared options stand for each other without end"), "{error}");
        let growing = "declare-option = a=a=$1;a=$1\na = 1\n";
        read(growing).expect_err("it never ends either");
    }

    #[test]
    fn what_would_fill_the_memory_is_an_error() {
        let template = "$1".repeat(250_000);
        let text = format!("declare-option = a=x={template}\na = {}\n", "y".repeat(500_000));
        let error = read(&text).expect_err("it is 125 GB");
        assert!(error.ends_with("app.ini:3: a: it stands for more than 128 MiB"), "{error}");
    }

    #[test]
    fn a_broken_declaration_says_what_it_should_be() {
        for text in ["x", "x=", "x=;", "=threads=1", "x=threads"] {
            let error = read(&format!("declare-option = {text}\n")).expect_err("it is broken");
            let expected = format!(
                "app.ini:2: declare-option: expected name=option=value;option=value, \
                 found \"{text}\""
            );
            assert!(error.ends_with(&expected), "{error}");
        }
    }
}
