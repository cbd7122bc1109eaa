//! The text of a configuration file.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::sync::OnceLock;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

/// A file beyond this is none that a person wrote.
const FILE_BYTES_MAX: u64 = 32 << 20;

/// Seconds that somebody has to begin to write to a named pipe.
const PIPE_WAIT_S: i64 = if cfg!(test) { 1 } else { 30 };

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
    let file = open(path).map_err(|error| unreadable(path, &error))?;
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

/// Opens a file. Of a pipe, as `<(command)` makes one, the first bytes are waited for, but not for
/// ever.
///
/// # Errors
/// The kernel's; `TimedOut` where nobody writes.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let is_pipe = |path: &Path| std::fs::metadata(path).is_ok_and(|it| it.file_type().is_fifo());
    // What stands behind standard input was put there by hand.
    if path == Path::new("/dev/stdin") || !is_pipe(path) {
        return File::open(path);
    }
    // Opening it otherwise would wait for a writer.
    let flags = OFlags::NONBLOCK.bits() as i32;
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    let limit = Timespec { tv_sec: PIPE_WAIT_S, tv_nsec: 0 };
    if poll(&mut [PollFd::new(&file, PollFlags::IN)], Some(&limit))? == 0 {
        let why = format!("it is a pipe, and nobody wrote to it for {PIPE_WAIT_S} seconds");
        return Err(io::Error::new(io::ErrorKind::TimedOut, why));
    }
    fcntl_setfl(&file, fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
    Ok(file)
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

#[cfg(test)]
mod tests {
    use super::super::parse;

    #[test]
    fn a_pipe_is_read_when_somebody_writes_to_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("pipe.ini");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &path,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .expect("made");
        let shown = path.display().to_string();
        let error = parse(&["--ini", &shown]).expect_err("nobody writes");
        let why = "it is a pipe, and nobody wrote to it for 1 seconds";
        assert_eq!(error, format!("argument 1: cannot read {shown}: {why}"));
        std::thread::scope(|scope| {
            scope.spawn(|| std::fs::write(&path, "[uwsgi]\nthreads = 3\n").expect("written"));
            assert_eq!(parse(&["--ini", &shown]).expect("it is right").threads, 3);
        });
    }
}
