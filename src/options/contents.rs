//! The text of a configuration file.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::OnceLock;

/// A file beyond this is none that a person wrote.
const FILE_BYTES_MAX: u64 = 32 << 20;

/// The text of a file. Standard input is read once: a reload finds what was read at the start.
pub(super) fn contents(path: &Path) -> Result<String, String> {
    static STDIN: OnceLock<String> = OnceLock::new();
    if path == Path::new("/dev/stdin") {
        if let Some(text) = STDIN.get() {
            return Ok(text.clone());
        }
        let text = from_file(path)?;
        return Ok(STDIN.get_or_init(|| text).clone());
    }
    from_file(path)
}

fn from_file(path: &Path) -> Result<String, String> {
    let is_plain = |file: &std::fs::Metadata| file.is_file();
    let known = std::fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    if known.is_dir() {
        return Err("it is a directory".to_owned());
    }
    let too_long = || format!("it is longer than {} MiB", FILE_BYTES_MAX >> 20);
    if is_plain(&known) && known.len() > FILE_BYTES_MAX {
        return Err(too_long());
    }
    let file = File::open(path).map_err(|error| unreadable(path, &error))?;
    let mut bytes = Vec::new();
    // A device or a pipe has no length.
    let read = file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes);
    read.map_err(|error| unreadable(path, &error))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(too_long());
    }
    // Comments are often in another encoding: the readers look at the lines that count.
    Ok(match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    })
}

fn unreadable(path: &Path, error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound if path.is_relative() => match std::env::current_dir() {
            Ok(here) => format!("no such file in {}", here.display()),
            Err(_) => "no such file".to_owned(),
        },
        std::io::ErrorKind::NotFound => "no such file".to_owned(),
        std::io::ErrorKind::PermissionDenied => "no permission to read it".to_owned(),
        std::io::ErrorKind::IsADirectory => "it is a directory".to_owned(),
        _ => error.to_string(),
    }
}
