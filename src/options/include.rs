//! Configuration files as a source: which file and section is meant, and each of its settings in
//! the place that names the file. How the text is read is the matter of `ini`, `yaml`, `json` and
//! `xml`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::contents::contents;
use super::magic::Magic;
use super::setting::{Origin, Read, Setting, World};
use super::{declared, expand, ini, json, logic, xml, yaml};
use crate::error::StartError;

/// Settings of all sources together.
const SETTINGS_MAX: usize = 1_000_000;
/// Names and values of all sources together.
pub(super) const BYTES_MAX: usize = 128 << 20;
/// Files within files.
const DEPTH_MAX: usize = 64;
/// A file that names another one twice, which names another one twice ...
const FILES_MAX: usize = 10_000;

/// One entry of a file's section: nothing is replaced in it yet.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Counts from 1.
    pub(super) line: usize,
    pub(super) key: String,
    pub(super) value: Option<String>,
}

/// What a file's text says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) entries: Vec<Entry>,
    /// The names of all sections, if the wanted one is not among them.
    pub(super) missing: Option<Vec<String>>,
    /// Lines and what looks wrong about them.
    pub(super) warnings: Vec<(usize, String)>,
}

/// Where a text cannot be read, and why.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed {
    pub(super) line: usize,
    pub(super) why: String,
}

impl Malformed {
    pub(super) fn new(line: usize, why: impl Into<String>) -> Malformed {
        Malformed { line, why: why.into() }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Ini,
    Yaml,
    Json,
    Xml,
}

/// The option that reads a file, by the end of its name.
pub(super) fn option_for(path: &str) -> Option<&'static str> {
    Some(match Path::new(path).extension()?.to_str()? {
        "ini" => "ini",
        "yaml" | "yml" => "yaml",
        "json" | "js" => "json",
        "xml" => "xml",
        _ => return None,
    })
}

/// Whether an option of that name is replaced by a file's settings.
pub(super) fn is_include(name: &str) -> bool {
    matches!(name, "config" | "include" | "inherit") || format_of_option(name).is_some()
}

fn format_of_option(name: &str) -> Option<Format> {
    Some(match name {
        "ini" | "ini-paste" | "ini-paste-logged" => Format::Ini,
        "yaml" | "yml" => Format::Yaml,
        "json" | "js" => Format::Json,
        "xml" | "xmlconfig" => Format::Xml,
        _ => return None,
    })
}

/// Appends a setting as the block that it stands in has it, and the settings of the file that it
/// names.
pub(super) fn push(setting: Setting, read: &mut Read<'_>) -> Result<(), StartError> {
    if logic::is_end(&setting.name) {
        read.block = None;
        return append(setting, read);
    }
    if let Some(open) = logic::open(&setting, &read.settings, read.env, read.world)? {
        if let Some(outer) = &read.block {
            let (name, origin) = (&outer.name, &outer.origin);
            return Err(StartError::new(format!(
                "{}: {}: expected the end of {name} ({origin}): blocks do not nest",
                setting.origin, setting.name
            )));
        }
        append(setting, read)?;
        read.block = Some(open);
        return Ok(());
    }
    let Some(mut block) = read.block.take() else { return append(setting, read) };
    read.warnings.extend(block.look(&read.settings));
    // uWSGI: what a file says that is named within a block is not of the block.
    for setting in block.settings(setting)? {
        append(setting, read)?;
    }
    read.block = Some(block);
    Ok(())
}

/// Says that a block goes on to the end of its source, and ends it.
pub(super) fn end_block(read: &mut Read<'_>) {
    if let Some(block) = read.block.take() {
        let end = if block.name.starts_with("for") { "endfor" } else { "endif" };
        let (name, origin) = (&block.name, &block.origin);
        read.warnings.push(format!("{origin}: {name}: expected {end} before the end"));
    }
}

fn append(setting: Setting, read: &mut Read<'_>) -> Result<(), StartError> {
    let bytes = setting.value.as_ref().map_or(0, String::len);
    read.bytes += bytes + setting.name.len();
    if bytes > ini::LINE_BYTES_MAX || read.bytes > BYTES_MAX {
        let Setting { name, origin, .. } = &setting;
        return Err(StartError::new(format!(
            "{origin}: {name}: expected a value of at most 1 MiB and {} MiB in all, found {bytes} \
             bytes and {} in all",
            BYTES_MAX >> 20,
            read.bytes
        )));
    }
    // No variable, path or argument of a system call can hold one.
    if setting.name.contains('\0') || setting.value.as_ref().is_some_and(|text| text.contains('\0'))
    {
        let (name, origin) = (setting.name.replace('\0', "\\0"), &setting.origin);
        return Err(StartError::new(format!("{origin}: {name}: expected text, found a NUL byte")));
    }
    if read.settings.len() >= SETTINGS_MAX {
        let origin = &setting.origin;
        return Err(StartError::new(format!("{origin}: more than {SETTINGS_MAX} settings")));
    }
    let written = match (setting.name.as_str(), setting.value.as_deref()) {
        ("set" | "set-placeholder" | "set-ph", value) => {
            let set = variable(&setting, value.unwrap_or(""))?;
            read.settings.push(setting);
            read.settings.push(set);
            return Ok(());
        }
        (name, Some(value)) if is_include(name) => value.to_owned(),
        _ => return append_option(setting, read),
    };
    let place = read.settings.len();
    // The file is read before all values are replaced; what is known by now is.
    let file = expand::early(&written, place, read)
        .map_err(|why| StartError::new(format!("{}: {}: {why}", setting.origin, setting.name)))?;
    let (name, origin) = (setting.name.clone(), setting.origin.clone());
    read.settings.push(setting);
    let format = format_of_option(&name);
    if read.world == World::Closed {
        return Ok(());
    }
    let block = read.block.take();
    if name == "inherit" {
        read.inherited.push((file, origin));
    } else {
        include(&file, &origin, format, read)?;
    }
    read.block = block;
    Ok(())
}

/// Appends what is no file, and what it stands for if the configuration declared it.
fn append_option(setting: Setting, read: &mut Read<'_>) -> Result<(), StartError> {
    declared::declare(&setting, read)?;
    let stands_for = declared::expand(&setting, read)?;
    if !stands_for.is_empty() {
        read.expanded.insert(read.settings.len());
    }
    read.settings.push(setting);
    read.within += 1;
    for setting in stands_for {
        append(setting, read)?;
    }
    read.within -= 1;
    Ok(())
}

/// Reads what declared options stand for that were not read in their place.
pub(super) fn declared_last(read: &mut Read<'_>) -> Result<(), StartError> {
    declared::last(read)?.into_iter().try_for_each(|setting| append(setting, read))
}

/// uWSGI: `inherit` files are read when all else was.
pub(super) fn inherit(read: &mut Read<'_>) -> Result<(), StartError> {
    while !read.inherited.is_empty() {
        for (file, origin) in std::mem::take(&mut read.inherited) {
            include(&file, &origin, None, read)?;
        }
    }
    Ok(())
}

/// `set = name=value` is a setting of that name; `set-placeholder` is one that is no option.
fn variable(setting: &Setting, text: &str) -> Result<Setting, StartError> {
    let Setting { name, origin, .. } = setting;
    let (key, value) = text.split_once('=').unwrap_or(("", ""));
    if key.trim().is_empty() {
        return Err(StartError::new(format!(
            "{origin}: {name}: expected name=value, found \"{text}\""
        )));
    }
    let key = key.trim();
    if name != "set" && super::table::find(key).is_some() {
        return Err(StartError::new(format!(
            "{origin}: {name}: {key} is an option: write {key} = {value}"
        )));
    }
    let value = Some(value.trim().to_owned());
    Ok(Setting { name: key.to_owned(), value, origin: origin.clone() })
}

/// Reads `file`, `file:section` or `:section` of the file that names it.
fn include(
    written: &str,
    origin: &Origin,
    format: Option<Format>,
    read: &mut Read<'_>,
) -> Result<(), StartError> {
    let wrong = |text: String| StartError::new(format!("{origin}: {text}"));
    if written.contains("://") {
        return Err(wrong(format!("expected a file, found \"{written}\": fetch it first")));
    }
    let (file, section) = match written.rsplit_once(':') {
        Some((file, section)) if !section.contains('/') => (file, Some(section)),
        _ => (written, None),
    };
    let path = match (file, origin) {
        ("", Origin::File { path, .. }) => path.to_path_buf(),
        ("", _) if written.is_empty() => return Err(wrong("expected a file".to_owned())),
        ("", _) => return Err(wrong(format!("no file before the section {written}"))),
        ("-", _) => PathBuf::from("/dev/stdin"),
        _ => PathBuf::from(file),
    };
    let whole = std::fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
    let visit = (whole.clone(), section.unwrap_or("").to_owned());
    let shown = path.display();
    if read.open.contains(&visit) {
        let section = section.unwrap_or("uwsgi");
        return Err(wrong(format!("{shown}: its section [{section}] includes itself")));
    }
    read.files += 1;
    if read.open.len() >= DEPTH_MAX || read.files > FILES_MAX {
        return Err(wrong(format!(
            "{shown}: more than {DEPTH_MAX} files within files, or {FILES_MAX} in all"
        )));
    }
    let text = contents(&path).map_err(|why| wrong(format!("cannot read {shown}: {why}")))?;
    if read.config_dir.is_none() && file != "-" {
        read.config_dir = whole.parent().map(Path::to_path_buf);
    }
    let format = format.unwrap_or_else(|| {
        option_for(&path.to_string_lossy()).and_then(format_of_option).unwrap_or(Format::Ini)
    });
    let outermost = read.open.first().cloned();
    let magic = Magic::new(file, &whole, section.unwrap_or(""), outermost.as_ref());
    read.open.push(visit);
    let result = settings(&text, format, &path, section.unwrap_or("uwsgi"), &magic, read);
    end_block(read);
    read.open.pop();
    result
}

/// Appends the settings of a text that lies in no file.
pub(super) fn from_text(text: &str, name: &str, read: &mut Read<'_>) -> Result<(), StartError> {
    let path = Path::new(name);
    let format = option_for(name).and_then(format_of_option).unwrap_or(Format::Ini);
    let magic = Magic::new(name, path, "", None);
    settings(text, format, path, "uwsgi", &magic, read)?;
    end_block(read);
    Ok(())
}

/// Appends what one section of a text says.
fn settings(
    text: &str,
    format: Format,
    path: &Path,
    section: &str,
    magic: &Magic,
    read: &mut Read<'_>,
) -> Result<(), StartError> {
    let shared: Arc<Path> = Arc::from(path);
    let at = |line: usize| Origin::File { path: Arc::clone(&shared), line };
    let content = match format {
        Format::Ini => ini::content(text, section),
        Format::Yaml => yaml::content(text, section),
        Format::Json => json::content(text, section),
        Format::Xml => xml::content(text, section),
    };
    let content = content
        .map_err(|Malformed { line, why }| StartError::new(format!("{}: {why}", at(line))))?;
    for (line, warning) in content.warnings {
        read.warnings.push(format!("{}: {warning}", at(line)));
    }
    if let Some(found) = content.missing {
        let found = match found.as_slice() {
            [] => "it has no section".to_owned(),
            names => format!("it has [{}]", names.join("], [")),
        };
        let path = path.display();
        read.warnings.push(format!("{path}: no section [{section}], so nothing is read: {found}"));
    }
    for Entry { line, key, value } in content.entries {
        let mut replaced = |text: &str| {
            let (text, unknown) = magic.apply(text);
            for letters in unknown {
                let what = format!("{key}: {letters} means nothing and was taken out");
                read.warnings.push(format!("{}: {what}", at(line)));
            }
            text
        };
        if key.contains('\u{fffd}') || value.as_ref().is_some_and(|it| it.contains('\u{fffd}')) {
            let shown = value.as_deref().unwrap_or(&key);
            let why = format!("{key}: expected UTF-8, found \"{shown}\"");
            return Err(StartError::new(format!("{}: {why}", at(line))));
        }
        let value = value.map(|value| replaced(&value));
        let name = if key.contains('%') { replaced(&key) } else { key };
        push(Setting { name, value, origin: at(line) }, read)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{Options, parse};

    /// What the arguments make of files with these names and texts; `@/` is their directory.
    fn read(files: &[(&str, Vec<u8>)], args: &[&str]) -> Result<Options, String> {
        let directory = tempfile::tempdir().expect("a directory");
        let prefix = format!("{}/", directory.path().display());
        for (name, bytes) in files {
            let text = String::from_utf8(bytes.clone()).map(|text| text.replace("@/", &prefix));
            let bytes = text.map_or(bytes.clone(), String::into_bytes);
            std::fs::write(directory.path().join(name), bytes).expect("written");
        }
        let args: Vec<_> = args.iter().map(|arg| arg.replace("@/", &prefix)).collect();
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        parse(&args).map_err(|error| error.replace(&prefix, ""))
    }

    #[test]
    fn a_hundred_thousand_lines_are_read() {
        let mut text = "[uwsgi]\nprocesses = 3\n".to_owned();
        for line in 0..100_000 {
            text += &format!("variable-{line} = %(variable-{}) %(processes)\n", line + 1);
        }
        text += "variable-100000 = end\nthreads = %(variable-99998)\n";
        // Each value holds the one below it: they grow, and that has a limit.
        let error = read(&[("app.ini", text.into_bytes())], &["--ini", "@/app.ini"]);
        assert_eq!(
            error.map(drop),
            Err("app.ini:3: variable-0: it grows beyond 1 MiB: does it refer to itself?".to_owned())
        );
        let mut text = "[uwsgi]\nprocesses = 3\n".to_owned();
        for line in 0..100_000 {
            text += &format!("variable-{line} = %(processes)\n");
        }
        let options = read(&[("app.ini", text.into_bytes())], &["--ini", "@/app.ini"]);
        let options = options.expect("it is long, and right");
        assert_eq!((options.processes, options.settings.len()), (3, 100_002));
    }

    #[test]
    fn what_is_too_long_says_where() {
        let mut line = b"[uwsgi]\nx = ".to_vec();
        line.resize(10 << 20, b'a');
        let mut file = b"[uwsgi]\n".to_vec();
        file.resize(33 << 20, b'\n');
        for (bytes, message) in [
            (line, "app.ini:2: expected lines of at most 1 MiB, found one of 10485752 bytes"),
            (file, "argument 1: cannot read app.ini: it is longer than 32 MiB"),
        ] {
            assert_eq!(read(&[("app.ini", bytes)], &["@/app.ini"]).expect_err(message), message);
        }
        let error = parse(&["--ini", "/dev/zero"]).expect_err("it has no end");
        assert_eq!(error, "argument 1: cannot read /dev/zero: it is longer than 32 MiB");
        let error = parse(&["--procname", "@(/dev/zero)"]).expect_err("it has no end");
        assert_eq!(error, "argument 1: procname: /dev/zero gives more than 1 MiB");
    }

    #[test]
    fn files_that_name_each_other_are_an_error() {
        let a = b"[uwsgi]\nini = @/b.ini\n".to_vec();
        let b = b"[uwsgi]\n\nini = @/a.ini\n".to_vec();
        let error = read(&[("a.ini", a), ("b.ini", b)], &["--ini", "@/a.ini"]);
        assert_eq!(
            error.expect_err("they go in a circle"),
            "b.ini:3: a.ini: its section [uwsgi] includes itself"
        );
        // Not in a circle, but twice as many at each level.
        let mut files = Vec::new();
        for level in 0..30 {
            let next = format!("ini = @/{}.ini\n", level + 1);
            files.push((format!("{level}.ini"), format!("[uwsgi]\n{next}{next}").into_bytes()));
        }
        files.push(("30.ini".to_owned(), b"[uwsgi]\nthreads = 2\n".to_vec()));
        let files: Vec<_> = files.iter().map(|(name, text)| (&**name, text.clone())).collect();
        let error = read(&files, &["--ini", "@/0.ini"]).expect_err("there are a billion");
        assert!(error.ends_with("more than 64 files within files, or 10000 in all"), "{error}");
    }

    #[test]
    fn bytes_that_are_no_utf_8_are_an_error_where_they_count() {
        let latin = b"; f\xfcr alle\n[other]\nx = \xfc\n[uwsgi]\nthreads = 2\n".to_vec();
        assert_eq!(read(&[("app.ini", latin)], &["@/app.ini"]).expect("right").threads, 2);
        let latin = b"[uwsgi]\nenv = A=\xfc\n".to_vec();
        let error = read(&[("app.ini", latin)], &["@/app.ini"]).expect_err("it counts");
        assert!(error.starts_with("app.ini:2: expected UTF-8, found"), "{error}");
        for (name, bytes) in [
            ("a.yaml", &b"uwsgi:\n  env: \"A=\xff\"\n"[..]),
            ("a.json", b"{\"uwsgi\":\n{\"env\": \"A=\xff\"}}"),
            ("a.xml", b"<uwsgi>\n<env>A=\xff</env></uwsgi>"),
        ] {
            let error = read(&[(name, bytes.to_vec())], &[&format!("@/{name}")]);
            let message = format!("{name}:2: env: expected UTF-8, found \"A=\u{fffd}\"");
            assert_eq!(error.expect_err("it counts"), message);
        }
    }

    #[test]
    fn a_nul_byte_is_an_error_in_every_source() {
        let text = b"[uwsgi]\nthreads = 2\nenv = A=b\0c\n".to_vec();
        let message = "app.ini:3: env: expected text, found a NUL byte";
        assert_eq!(read(&[("app.ini", text)], &["@/app.ini"]).expect_err(message), message);
        let text = b"[uwsgi]\nk\0y = 1\n[other]\nx = \0\n".to_vec();
        let message = "app.ini:2: k\\0y: expected text, found a NUL byte";
        assert_eq!(read(&[("app.ini", text)], &["@/app.ini"]).expect_err(message), message);
        let json = b"{\"uwsgi\": {\"env\": \"A=\\u0000\"}}".to_vec();
        let error = read(&[("a.json", json)], &["@/a.json"]).expect_err("it holds one");
        assert!(error.ends_with("env: expected text, found a NUL byte"), "{error}");
        let files = [("text", b"A=b\0".to_vec())];
        let error = read(&files, &["--env", "@(@/text)"]).expect_err("it holds one");
        assert_eq!(error, "argument 1: env: expected text in text, found a NUL byte");
    }

    #[test]
    fn loops_of_loops_have_a_limit() {
        let text = "[uwsgi]\nfor-times = 100000\nini = @/b.ini\nendfor\n";
        let inner = "[uwsgi]\nfor-times = 100000\nx = 1\nendfor\n";
        let files = [("a.ini", text.into()), ("b.ini", inner.into())];
        let error = read(&files, &["@/a.ini"]).expect_err("it is too much");
        assert_eq!(error, "b.ini:3: more than 1000000 settings");
    }

    #[test]
    fn formats_go_by_the_name_of_the_file_or_the_option() {
        let yaml = b"uwsgi:\n  threads: 4\n".to_vec();
        let json = b"{\"uwsgi\": {\"threads\": 4}}".to_vec();
        let xml = b"<uwsgi><threads>4</threads></uwsgi>".to_vec();
        for (name, bytes, args) in [
            ("a.yaml", &yaml, vec!["@/a.yaml"]),
            ("a.yml", &yaml, vec!["-y", "@/a.yml"]),
            ("a.conf", &yaml, vec!["--yaml", "@/a.conf:uwsgi"]),
            ("a.json", &json, vec!["@/a.json"]),
            ("a.txt", &json, vec!["-j", "@/a.txt"]),
            ("a.xml", &xml, vec!["@/a.xml"]),
            ("a.x", &xml, vec!["--xml", "@/a.x"]),
            ("a.js", &json, vec!["--include", "@/a.js"]),
        ] {
            let options = read(&[(name, bytes.clone())], &args).expect(name);
            assert_eq!(options.threads, 4, "{name}");
        }
    }
}
