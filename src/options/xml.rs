//! XML: `<uwsgi id="section">` with an element for each option, `<master/>` being a bare flag.

use roxmltree::{Document, Node};

use super::include::{Content, Entry, Malformed};

/// The entries of one section. uWSGI: without a name it is the first `<uwsgi>`, whatever its id.
pub(super) fn content(text: &str, section: &str) -> Result<Content, Malformed> {
    let text = text.trim_start_matches('\u{feff}');
    let document = Document::parse(text).map_err(|error| {
        Malformed::new(error.pos().row as usize, format!("no XML: {}", without_place(&error)))
    })?;
    // Elements come in their order: each looks on from the one before.
    let last = std::cell::Cell::new((0, 1));
    let line = |node: Node<'_, '_>| {
        let ((from, line), to) = (last.get(), node.range().start);
        let between = text.as_bytes().get(from..to).unwrap_or_default();
        let line = line + between.iter().filter(|byte| **byte == b'\n').count();
        last.set((to, line));
        line
    };
    let sections: Vec<_> =
        document.descendants().filter(|node| node.tag_name().name() == "uwsgi").collect();
    let has_name = |node: &&Node<'_, '_>| node.attribute("id") == Some(section);
    let found = match section {
        "uwsgi" => sections.iter().find(has_name).or(sections.first()),
        _ => sections.iter().find(has_name),
    };
    let mut content = Content::default();
    let Some(found) = found else {
        let names = sections.iter().map(|node| node.attribute("id").unwrap_or("uwsgi").to_owned());
        content.missing = Some(names.collect());
        return Ok(content);
    };
    for option in found.children().filter(Node::is_element) {
        let (line, key) = (line(option), option.tag_name().name().to_owned());
        if key == "app" {
            let (key, value) =
                app(option).ok_or_else(|| Malformed::new(line, "expected <script> in <app>"))?;
            content.entries.push(Entry { line, key: key.to_owned(), value: Some(value) });
            continue;
        }
        if let Some(inner) = option.children().find(Node::is_element) {
            let inner = inner.tag_name().name();
            let why = format!("{key}: expected a text, found <{inner}>");
            return Err(Malformed::new(line, why));
        }
        let value = option.text().map(|text| text.trim().to_owned());
        content.entries.push(Entry { line, key, value });
    }
    Ok(content)
}

/// `<app mountpoint="/x"><script>module</script></app>`: an app where it is mounted.
fn app(node: Node<'_, '_>) -> Option<(&'static str, String)> {
    let named = |names: &[&str]| {
        let child = node.children().find(|child| names.contains(&child.tag_name().name()))?;
        child.text().map(str::trim)
    };
    let script = named(&["script", "module", "wsgi", "file"])?;
    let app = match named(&["callable"]) {
        Some(callable) if !script.contains(':') => format!("{script}:{callable}"),
        _ => script.to_owned(),
    };
    Some(match node.attribute("mountpoint").unwrap_or("/") {
        "/" | "" => ("module", app),
        mountpoint => ("mount", format!("{mountpoint}={app}")),
    })
}

/// The message without "at 1:2", which stands before it already.
fn without_place(error: &roxmltree::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at ").map_or(text.clone(), |(text, _)| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, section: &str) -> String {
        let content = content(text, section).expect("it is right");
        let shown = content.entries.iter().map(|entry| {
            format!("{}:{}={}", entry.line, entry.key, entry.value.as_deref().unwrap_or("-"))
        });
        shown.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn elements_are_options() {
        let text = "<?xml version=\"1.0\"?>\n<uwsgi id=\"x\">\n  <master/>\n  <!-- c -->\n  \
                    <env>A=1</env><env> B=a&amp;b </env>\n  \
                    <app mountpoint=\"/foo\"><script>mod</script></app>\n</uwsgi>\n";
        let expected = "3:master=- 5:env=A=1 5:env=B=a&b 6:mount=/foo=mod";
        assert_eq!(read(text, "uwsgi"), expected);
        assert_eq!(read(text, "x"), expected);
        let text = "<all><uwsgi id='a'><threads>3</threads></uwsgi>\
                    <uwsgi id='b'><threads>5</threads></uwsgi></all>";
        assert_eq!(
            (read(text, "uwsgi"), read(text, "b")),
            ("1:threads=3".into(), "1:threads=5".into())
        );
    }

    #[test]
    fn what_is_wrong_says_where() {
        for (text, line, why) in [
            ("<uwsgi>\n<threads>3</uwsgi>", 2, "no XML: expected 'threads' tag, not 'uwsgi'"),
            ("<uwsgi>\n<a>\n<b/></a></uwsgi>", 2, "a: expected a text, found <b>"),
            ("<uwsgi><app/></uwsgi>", 1, "expected <script> in <app>"),
            (
                "<!DOCTYPE x [<!ENTITY a 'lol'>]>\n<uwsgi><a>&a;</a></uwsgi>",
                1,
                "no XML: XML with DTD detected",
            ),
        ] {
            assert_eq!(content(text, "uwsgi"), Err(Malformed::new(line, why)), "{text}");
        }
        assert_eq!(content("<uwsgi id='a'/>", "b").expect("right").missing, Some(vec!["a".into()]));
    }
}
