//! JSON: an object of sections, each an object of options; an array is an option several times.

use std::cell::Cell;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::include::{Content, Entry, Malformed};

/// The members of an object in their order, the same name several times too.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Members<'a>, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Members<'de>, M::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry::<String, &'de RawValue>()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

/// The entries of one section; all sections of that name count.
pub(super) fn content(text: &str, section: &str) -> Result<Content, Malformed> {
    let text = text.trim_start_matches('\u{feff}');
    let lines = Lines { text, last: Cell::new((0, 1)) };
    let sections = lines.members(text, "expected an object of sections")?;
    let mut content = Content::default();
    for (_, options) in sections.iter().filter(|(name, _)| name == section) {
        for (key, value) in lines.members(options.get(), "expected an object of options")? {
            let line = lines.of(value.get());
            let expectation = "expected a text, a number, true, false or an array of them";
            let mut put = |value: &str| {
                let value = plain(value).ok_or_else(|| Malformed::new(line, expectation))?;
                content.entries.push(Entry { line, key: key.clone(), value: Some(value) });
                Ok(())
            };
            match value.get().starts_with('[') {
                true => {
                    for value in lines.read::<Vec<&RawValue>>(value.get(), expectation)? {
                        put(value.get())?;
                    }
                }
                false => put(value.get())?,
            }
        }
    }
    if !sections.iter().any(|(name, _)| name == section) {
        content.missing = Some(sections.into_iter().map(|(name, _)| name).collect());
    }
    Ok(content)
}

/// The text of a scalar; an empty one of `null`.
fn plain(json: &str) -> Option<String> {
    match json.as_bytes().first()? {
        b'{' | b'[' => None,
        b'"' => serde_json::from_str(json).ok(),
        b'n' => Some(String::new()),
        _ => Some(json.to_owned()),
    }
}

/// Knows the lines of parts of a text.
struct Lines<'a> {
    text: &'a str,
    /// The last place that was asked for, and its line: most are asked for in their order.
    last: Cell<(usize, usize)>,
}

impl<'a> Lines<'a> {
    /// The line of a part of the text, counted from 1.
    fn of(&self, part: &str) -> usize {
        let bytes = (part.as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize);
        let bytes = bytes.min(self.text.len());
        let (from, line) = match self.last.get() {
            (from, line) if from <= bytes => (from, line),
            _ => (0, 1),
        };
        let between = &self.text.as_bytes()[from..bytes];
        let line = line + between.iter().filter(|byte| **byte == b'\n').count();
        self.last.set((bytes, line));
        line
    }

    fn members(
        &self,
        json: &'a str,
        expectation: &str,
    ) -> Result<Vec<(String, &'a RawValue)>, Malformed> {
        self.read::<Members<'a>>(json, expectation).map(|members| members.0)
    }

    fn read<T: Deserialize<'a>>(&self, json: &'a str, expectation: &str) -> Result<T, Malformed> {
        serde_json::from_str(json).map_err(|error| {
            let line = self.of(json) + error.line().saturating_sub(1);
            let why = match error.classify() {
                serde_json::error::Category::Data => expectation.to_owned(),
                _ => format!("no JSON: {error}").replace(" at line", " (line") + ")",
            };
            let why = why.split(" (line").next().unwrap_or(&why).to_owned();
            Malformed::new(line, why)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_hold_options_and_arrays_repeat_them() {
        let text = "{\"other\": {\"x\": {\"deep\": 1}},\n \"uwsgi\": {\n  \"threads\": 4,\n  \
                    \"master\": true, \"vacuum\": false,\n  \"env\": [\"A=1\",\n \"B=\\u00fc\"],\n  \
                    \"env\": \"C=3\", \"bare\": null, \"rate\": 1.50\n}}";
        let content = content(text, "uwsgi").expect("it is right");
        let shown = content.entries.iter().map(|entry| {
            format!("{}:{}={}", entry.line, entry.key, entry.value.as_deref().unwrap_or("-"))
        });
        let expected = "3:threads=4 4:master=true 4:vacuum=false 5:env=A=1 5:env=B=ü 7:env=C=3 \
                        7:bare= 7:rate=1.50";
        assert_eq!(shown.collect::<Vec<_>>().join(" "), expected);
    }

    #[test]
    fn what_is_wrong_says_where() {
        let scalar = "expected a text, a number, true, false or an array of them";
        for (text, line, why) in [
            ("{\"uwsgi\": {\n\"a\": 1,\n}}", 3, "no JSON: key must be a string"),
            ("[1]", 1, "expected an object of sections"),
            ("{\n\"uwsgi\": 3}", 2, "expected an object of options"),
            ("{\"uwsgi\": {\n\"a\": {\"b\": 1}}}", 2, scalar),
            ("{\"uwsgi\": {\n\"a\": [[1]]}}", 2, scalar),
            ("", 1, "no JSON: EOF while parsing a value"),
        ] {
            assert_eq!(content(text, "uwsgi"), Err(Malformed::new(line, why)), "{text}");
        }
        let other = content("{\"a\": {}, \"b\": 3}", "uwsgi").expect("right");
        assert_eq!(other.missing, Some(vec!["a".to_owned(), "b".to_owned()]));
    }
}
