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
