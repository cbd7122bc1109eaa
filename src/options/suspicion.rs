//! What looks unintended about a value that is accepted, in one line.

use super::table::{Opt, Section, Takes};
use super::value::{FALSE_WORDS, TRUE_WORDS, Value, is_one_of};
use super::{Origin, Setting};

/// What looks unintended about the value of a setting.
pub(super) fn suspicion(opt: &Opt, value: Value<'_>, setting: &Setting) -> Option<String> {
    let text = value.text?;
    let takes = opt.takes;
    let in_file = matches!(setting.origin, Origin::File { .. });
    let comment = text.find(" ;").or_else(|| text.find(" #")).filter(|_| in_file);
    let is_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match takes {
        Takes::Flag => flag(text, comment.is_some()),
        _ if takes.is_number() => number(text, comment, is_digits),
        Takes::SocketMode if is_digits && text.len() == 4 => {
            Some(format!("{text} is read as the mode {}", &text[1..]))
        }
        Takes::Address if is_digits => {
            Some(format!("{text} is the name of a unix socket; a port is written :{text}"))
        }
        _ if !is_plain(opt) => None,
        _ if let Some(at) = comment => Some(part_of_value(text, at)),
        _ => quotes(text, takes),
    }
}

fn flag(text: &str, has_comment: bool) -> Option<String> {
    let known = is_one_of(text, &TRUE_WORDS) || is_one_of(text, &FALSE_WORDS);
    let on = "which counts as true";
    match has_comment {
        _ if known || text.is_empty() => None,
        true => Some(format!("a comment needs a line of its own: found \"{text}\", {on}")),
        false => Some(format!("expected true or false, found \"{text}\", {on}")),
    }
}

fn number(text: &str, comment: Option<usize>, is_digits: bool) -> Option<String> {
    if is_one_of(text, &TRUE_WORDS) && text != "1" {
        return Some(format!("expected a number, found \"{text}\", which counts as 1"));
    }
    match comment {
        Some(at) => Some(part_of_value(text, at)),
        None if !is_digits && !is_one_of(text, &FALSE_WORDS) => {
            Some(format!("only the digits in front of \"{text}\" count"))
        }
        None => None,
    }
}

fn part_of_value(text: &str, at: usize) -> String {
    format!("a comment needs a line of its own: \"{}\" is part of the value", &text[at + 1..])
}

/// Whether the value is a name, a path or the like. In formats, patterns, commands and headers
/// quotes and signs are at home.
fn is_plain(opt: &Opt) -> bool {
    match opt.takes {
        Takes::MaybeText | Takes::MaybeWord | Takes::AnyText => false,
        Takes::Text => {
            let is_code = ["eval", "pyargv", "pyshell"].contains(&opt.names[0]);
            matches!(opt.section, Section::App | Section::Identity) && !is_code
        }
        _ => true,
    }
}

/// uWSGI: no quote is special.
fn quotes(text: &str, takes: Takes) -> Option<String> {
    let bare = |text: &str| {
        let inner = ['"', '\'']
            .iter()
            .find_map(|quote| text.strip_prefix(*quote)?.strip_suffix(*quote).map(str::to_owned));
        inner.filter(|inner| !inner.contains(['"', '\'']))
    };
    let meant = bare(text).or_else(|| match text.split_once('=') {
        Some((key, value)) if takes == Takes::Pair => Some(format!("{key}={}", bare(value)?)),
        _ => None,
    })?;
    Some(format!("the quotes are part of the value: write {meant} without them"))
}

#[cfg(test)]
mod tests {
    use super::super::{check, parse};
    use check::Verdict;

    /// What is said about each line of a file.
    fn notes(lines: &[&str]) -> Vec<(Verdict, String)> {
        let report = check::check_text(&format!("[uwsgi]\n{}\n", lines.join("\n")), "app.ini");
        report.findings.into_iter().map(|finding| (finding.verdict, finding.note)).collect()
    }

    #[test]
    fn quotes_are_part_of_a_name_a_path_and_a_variable() {
        let lines = [
            "env = \"A=b\"",
            "env = A=\"b c\"",
            "chdir = \"/tmp\"",
            "module = 'app:application'",
            "uid = \"root\"",
            "logto = \"/tmp/x.log\"",
            "socket = \"/tmp/x.sock\"",
            "procname-prefix = \"a \"",
            "wsgi-file = \"a.py\"",
            "static-map = \"/s=/tmp\"",
        ];
        for (line, (verdict, note)) in lines.iter().zip(notes(&lines)) {
            assert_eq!(verdict, Verdict::Suspicious, "{line}");
            assert!(note.starts_with("the quotes are part of the value: write "), "{line}: {note}");
        }
        let options = parse(&["--env", "A=\"b\""]).expect("it is right");
        assert_eq!(options.env, [("A".to_owned(), "\"b\"".to_owned())]);
        assert_eq!(
            options.warnings,
            ["argument 1: env: the quotes are part of the value: write A=b without them"]
        );
    }

    #[test]
    fn quotes_are_at_home_in_formats_commands_and_json() {
        let lines = [
            "log-format = \"%%(method)\"",
            "exec-asap = \"/bin/true\"",
            "attach-daemon = 'a b'",
            "env = A={\"a\": \"b\"}",
            "env = A=\"a\" and \"b\"",
            "hook-pre-app = print:\"x\"",
            "print = \"x\"",
            "add-header = ETag: \"x\"",
        ];
        for (line, (verdict, note)) in lines.iter().zip(notes(&lines)) {
            assert_ne!(verdict, Verdict::Suspicious, "{line}: {note}");
        }
    }

    #[test]
    fn a_comment_behind_a_value_is_part_of_it() {
        let lines = ["env = A=b # c", "static-map = /s=/tmp ; c", "mount = /x=app.py # c"];
        for (line, (verdict, note)) in lines.iter().zip(notes(&lines)) {
            assert_eq!(verdict, Verdict::Suspicious, "{line}");
            assert!(note.starts_with("a comment needs a line of its own: "), "{line}: {note}");
        }
        for (verdict, _) in notes(&["log-format = a # b", "exec-asap = true ; true"]) {
            assert_ne!(verdict, Verdict::Suspicious);
        }
    }

    #[test]
    fn a_mask_of_four_digits_is_usual() {
        let found = notes(&["umask = 0022", "chmod-socket = 0660", "chmod-socket = 66"]);
        let verdicts: Vec<_> = found.iter().map(|(verdict, _)| *verdict).collect();
        assert_eq!(verdicts, [Verdict::Honoured, Verdict::Suspicious, Verdict::Error]);
    }
}
