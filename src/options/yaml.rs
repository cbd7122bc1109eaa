//! YAML: a mapping of sections, each a mapping of options; a list is an option several times.
//!
//! Much of what people give to uWSGI as YAML is none (`chdir: %d`, `logformat: UWSGI: %(uri)`):
//! its own reader takes a line for `key: value` and asks no more. So does this one, with a
//! warning, where the parser gives up.

use yaml_rust2::parser::{Event, Parser};
use yaml_rust2::scanner::{Marker, ScanError, TScalarStyle};

use super::include::{Content, Entry, Malformed};

/// The entries of one section; all sections of that name count.
pub(super) fn content(text: &str, section: &str) -> Result<Content, Malformed> {
    let text = text.trim_start_matches('\u{feff}');
    match parsed(text, section) {
        Ok(content) => Ok(content),
        Err(Fault::Meaning(malformed)) => Err(malformed),
        Err(Fault::Syntax(error)) => {
            let line = error.marker().line();
            let why = format!("no YAML ({}), so it is read line by line", error.info());
            let mut content = by_line(text, section)?;
            content.warnings.insert(0, (line, why));
            Ok(content)
        }
    }
}

enum Fault {
    Syntax(ScanError),
    Meaning(Malformed),
}

/// The events of a text, each with its line.
struct Events<'a>(Parser<std::str::Chars<'a>>);

impl Events<'_> {
    fn next(&mut self) -> Result<(Event, usize), Fault> {
        let (event, mark): (Event, Marker) = self.0.next_token().map_err(Fault::Syntax)?;
        match event {
            Event::Alias(_) => wrong(mark.line(), "aliases (*name) are not supported"),
            event => Ok((event, mark.line())),
        }
    }

    /// What belongs to a node that has begun, left out.
    fn skip(&mut self, first: &Event) -> Result<(), Fault> {
        let mut depth = opens(first);
        while depth > 0 {
            let (event, _) = self.next()?;
            depth += opens(&event);
        }
        Ok(())
    }
}

/// How much deeper one is after an event.
fn opens(event: &Event) -> i32 {
    match event {
        Event::MappingStart(..) | Event::SequenceStart(..) => 1,
        Event::MappingEnd | Event::SequenceEnd => -1,
        _ => 0,
    }
}

fn wrong<T>(line: usize, why: &str) -> Result<T, Fault> {
    Err(Fault::Meaning(Malformed::new(line, why)))
}

fn parsed(text: &str, section: &str) -> Result<Content, Fault> {
    let mut events = Events(Parser::new_from_str(text));
    let mut content = Content::default();
    let mut seen = Vec::new();
    loop {
        match events.next()? {
            (Event::MappingStart(..), _) => break,
            (Event::Scalar(..) | Event::SequenceStart(..), line) => {
                return wrong(line, "expected sections (uwsgi: and options below it)");
            }
            (Event::StreamEnd, _) => {
                content.missing = Some(seen);
                return Ok(content);
            }
            _ => {}
        }
    }
    while let (Event::Scalar(name, ..), line) = events.next()? {
        let (value, _) = events.next()?;
        match value {
            Event::MappingStart(..) if name == section => options(&mut events, &mut content)?,
            Event::Scalar(text, ..) if name == section && is_nothing(&text) => {}
            _ if name == section => return wrong(line, "expected options below the section"),
            other => events.skip(&other)?,
        }
        seen.push(name);
    }
    if !seen.iter().any(|name| name == section) {
        content.missing = Some(seen);
    }
    Ok(content)
}

fn options(events: &mut Events<'_>, content: &mut Content) -> Result<(), Fault> {
    loop {
        let (key, line) = match events.next()? {
            (Event::MappingEnd, _) => return Ok(()),
            (Event::Scalar(key, ..), line) => (key, line),
            (_, line) => return wrong(line, "expected an option's name"),
        };
        let mut put = |line, value| {
            content.entries.push(Entry { line, key: key.clone(), value });
        };
        match events.next()? {
            (Event::Scalar(value, style, ..), _) => put(line, text(value, style)),
            (Event::SequenceStart(..), _) => loop {
                match events.next()? {
                    (Event::SequenceEnd, _) => break,
                    (Event::Scalar(value, style, ..), line) => put(line, text(value, style)),
                    (_, line) => return wrong(line, "expected a text or a number in the list"),
                }
            },
            (_, line) => return wrong(line, "expected a text, a number or a list of them"),
        }
    }
}

fn is_nothing(text: &str) -> bool {
    matches!(text, "" | "~" | "null")
}

/// A plain nothing is a bare flag, as in ini. One that is written is an empty value: a bare number
/// would be 1.
fn text(value: String, style: TScalarStyle) -> Option<String> {
    match value.as_str() {
        _ if style != TScalarStyle::Plain => Some(value),
        "" => None,
        text if is_nothing(text) => Some(String::new()),
        _ => Some(value),
    }
}

/// `section:` at the margin, `key: value` below it, `- value` for one more of the last key.
fn by_line(text: &str, section: &str) -> Result<Content, Malformed> {
    let mut content = Content::default();
    let mut current = None;
    let mut seen = Vec::new();
    let mut list: Option<String> = None;
    for (index, whole) in text.lines().enumerate() {
        let number = index + 1;
        let line = without_comment(whole).trim();
        if line.is_empty() || matches!(line, "---" | "...") {
            continue;
        }
        let pair = line.split_once(':').map(|(key, value)| (key.trim_end(), value.trim_start()));
        let is_indented = whole.starts_with([' ', '\t']);
        match (pair, line.strip_prefix("- ")) {
            (Some((name, "")), _) if !is_indented => {
                current = Some(name);
                seen.push(name.to_owned());
            }
            _ if current != Some(section) => {}
            (_, Some(item)) if let Some(key) = &list => {
                let value = Some(unquoted(item.trim()).to_owned());
                content.entries.push(Entry { line: number, key: key.clone(), value });
            }
            (Some((key, value)), None) => {
                flush(&mut list, number - 1, &mut content);
                match value {
                    "" => list = Some(key.to_owned()),
                    value => content.entries.push(Entry {
                        line: number,
                        key: key.to_owned(),
                        value: Some(unquoted(value).to_owned()),
                    }),
                }
            }
            _ => {
                return Err(Malformed::new(
                    number,
                    format!("expected key: value, found \"{line}\""),
                ));
            }
        }
    }
    flush(&mut list, text.lines().count(), &mut content);
    if !seen.iter().any(|name| name == section) {
        content.missing = Some(seen);
    }
    Ok(content)
}

/// A key with neither a value nor a list is a bare flag.
fn flush(list: &mut Option<String>, line: usize, content: &mut Content) {
    if let Some(key) = list.take()
        && content.entries.last().is_none_or(|last| last.key != key)
    {
        content.entries.push(Entry { line, key, value: None });
    }
}

fn without_comment(line: &str) -> &str {
    match line.find(" #") {
        _ if line.trim_start().starts_with('#') => "",
        Some(at) => &line[..at],
        None => line,
    }
}

fn unquoted(value: &str) -> &str {
    for quote in ['"', '\''] {
        if let Some(inner) = value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)) {
            return inner;
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        let content = content(text, "uwsgi").expect("it is right");
        let shown = content.entries.iter().map(|entry| {
            format!("{}:{}={}", entry.line, entry.key, entry.value.as_deref().unwrap_or("-"))
        });
        shown.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn sections_hold_options_and_lists_repeat_them() {
        let text = "# c\n---\nother:\n  deep: {a: [1, 2]}\nuwsgi:\n  master: true\n  threads: 4 # c\n  \
                    name: \"a # b\"\n  env: A=1\n  env: B=2\n  bare:\n  socket: [\":1\", \":2\"]\n  \
                    mount:\n    - /a=b\n    - /c=d\n...\n";
        let expected = "6:master=true 7:threads=4 8:name=a # b 9:env=A=1 10:env=B=2 11:bare=- \
                        12:socket=:1 12:socket=:2 14:mount=/a=b 15:mount=/c=d";
        assert_eq!(read(text), expected);
    }

    #[test]
    fn what_is_no_yaml_is_read_by_line() {
        let text = "uwsgi:\n  chdir: %d # here\n  logformat : UWSGI: %(method)\n  env: 'A=1'\n  \
                    vacuum:\n  mount:\n  - /a=b\n  - '/c=d'\n\nother:\n  threads: 9\n";
        let expected = "2:chdir=%d 3:logformat=UWSGI: %(method) 4:env=A=1 5:vacuum=- \
                        7:mount=/a=b 8:mount=/c=d";
        assert_eq!(read(text), expected);
        let warnings = content(text, "uwsgi").expect("right").warnings;
        assert!(warnings[0].0 == 2 && warnings[0].1.starts_with("no YAML ("), "{warnings:?}");
    }

    #[test]
    fn what_means_nothing_says_where() {
        for (text, line, why) in [
            ("- a\n- b\n", 1, "expected sections (uwsgi: and options below it)"),
            ("uwsgi:\n  a:\n    b: c\n", 3, "expected a text, a number or a list of them"),
            ("uwsgi: 3\n", 1, "expected options below the section"),
            ("uwsgi:\n  a: &x 1\n  b: *x\n", 3, "aliases (*name) are not supported"),
            ("uwsgi:\n  %a\n", 2, "expected key: value, found \"%a\""),
        ] {
            assert_eq!(content(text, "uwsgi"), Err(Malformed::new(line, why)), "{text}");
        }
        let other = content("a:\n  b: 1\nc:\n", "uwsgi").expect("right");
        assert_eq!(other.missing, Some(vec!["a".to_owned(), "c".to_owned()]));
        assert!(content("", "uwsgi").expect("right").missing.is_some());
    }
}
