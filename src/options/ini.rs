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
            return Err(Malformed::new(number, format!("a line of {bytes} bytes")));
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
