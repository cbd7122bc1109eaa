//! A file that lines are appended to, its rotation and reopening; or another descriptor that takes
//! lines and has somebody who reads them.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::count_lines;
use super::out::whole_lines;
use super::rules::Rules;
use crate::sys;

/// More bytes than these do not wait for a reader.
const PENDING_MAX: usize = 1 << 20;
/// So many bytes are written at the latest.
const BATCH: usize = 256 * 1024;

/// An open file, or another descriptor that takes bytes, and what waits to be written.
pub(super) struct Sheet {
    /// `None` for what cannot be opened again.
    path: Option<PathBuf>,
    file: File,
    rules: Rules,
    size: u64,
    max_size: Option<u64>,
    /// The size at which it is renamed: later than `max_size` when the last try failed.
    limit: u64,
    backup: Option<PathBuf>,
    out: Vec<u8>,
    lost: Lost,
    /// Somebody reads it, and others may write to it.
    has_reader: bool,
    /// The last write ended inside a line.
    is_inside: bool,
    /// The rest of that line was given up.
    is_torn: bool,
}

/// Lines that were lost, and why.
#[derive(Default)]
pub(super) struct Lost {
    count: u64,
    why: String,
}

impl Lost {
    pub(super) fn add(&mut self, lines: u64, error: &io::Error) {
        self.count += lines;
        self.why = error.to_string();
    }

    /// What to say now that lines are taken again.
    pub(super) fn take(&mut self) -> Option<String> {
        let Lost { count, why } = std::mem::take(self);
        (count > 0).then(|| format!("log: {count} line(s) were lost: {why}"))
    }

    pub(super) fn is_any(&self) -> bool {
        self.count > 0
    }
}

impl Sheet {
    /// A file of this name.
    pub(super) fn open(
        path: &Path,
        rules: Rules,
        max_size: Option<u64>,
        backup: Option<PathBuf>,
    ) -> io::Result<Sheet> {
        let path = std::path::absolute(path)?;
        let sheet = Sheet::of(rules.open(&path)?);
        Ok(sheet.named(path, rules, max_size, backup))
    }

    /// A file of this name once it can be opened; until then this descriptor takes its lines.
    pub(super) fn instead(
        path: &Path,
        rules: Rules,
        max_size: Option<u64>,
        backup: Option<PathBuf>,
        file: File,
        error: &io::Error,
    ) -> Sheet {
        let mut sheet = Sheet::of(file).named(path.to_owned(), rules, max_size, backup);
        sheet.limit = u64::MAX;
        let text = format!("log: {}: {error}: its lines go here", path.display());
        sheet.add(text.as_bytes());
        sheet
    }

    fn named(
        mut self,
        path: PathBuf,
        rules: Rules,
        max_size: Option<u64>,
        backup: Option<PathBuf>,
    ) -> Sheet {
        self.max_size = max_size.filter(|&max| max > 0);
        self.limit = self.max_size.unwrap_or(u64::MAX);
        (self.path, self.rules, self.backup) = (Some(path), rules, backup);
        self
    }

    /// A descriptor that is open.
    pub(super) fn of(file: File) -> Sheet {
        let size = file.metadata().map_or(0, |meta| meta.len());
        let has_reader = sys::has_reader(file.as_fd());
        Sheet {
            path: None,
            file,
            rules: Rules::default(),
            size,
            max_size: None,
            limit: u64::MAX,
            backup: None,
            out: Vec::new(),
            lost: Lost::default(),
            has_reader,
            is_inside: false,
            is_torn: false,
        }
    }

    /// Adds a line; it ends with a line feed in the file, whatever encoders made of it.
    pub(super) fn add(&mut self, line: &[u8]) {
        if self.out.len() + line.len() > PENDING_MAX && !self.out.is_empty() {
            self.flush();
            if self.out.len() + line.len() > PENDING_MAX && !self.out.is_empty() {
                return self.lost.add(1, &io::Error::other("nobody reads them"));
            }
        }
        self.out.extend_from_slice(line);
        if !line.ends_with(b"\n") {
            self.out.push(b'\n');
        }
        let is_large = self.size + self.out.len() as u64 >= self.limit;
        if is_large || self.out.len() > BATCH && !self.has_reader {
            self.flush();
        }
    }

    /// Writes what waits, and begins a new file if this one is large.
    pub(super) fn flush(&mut self) {
        if self.out.is_empty() {
            return;
        }
        let mut out = std::mem::take(&mut self.out);
        if self.is_torn {
            out.insert(0, b'\n');
        }
        match self.write(&out) {
            (count, None) if count < out.len() => {
                // What is left waits. The line feed before it is part of that.
                self.is_torn = false;
                out.drain(..count);
                self.out = out;
                return;
            }
            (_, None) => {
                self.is_torn = false;
                out.clear();
                if let Some(text) = self.lost.take() {
                    out.extend_from_slice(text.as_bytes());
                    out.push(b'\n');
                    let (count, error) = self.write(&out);
                    out.drain(..if error.is_some() { out.len() } else { count });
                }
            }
            (count, Some(error)) => {
                self.is_torn = self.is_inside;
                self.lost.add(count_lines(&out[count..]), &error);
                out.clear();
            }
        }
        self.out = out;
        if self.size >= self.limit {
            self.rotate_if_large();
        }
    }

    /// Waits until what waits has a reader, or not.
    pub(super) fn waits(&self) -> bool {
        !self.out.is_empty()
    }

    /// How many bytes were taken, and why no more if that is an error and not a slow reader.
    fn write(&mut self, bytes: &[u8]) -> (usize, Option<io::Error>) {
        let mut done = 0;
        while done < bytes.len() {
            let rest = &bytes[done..];
            let most = if self.has_reader { whole_lines(rest, sys::PIPE_ATOM) } else { rest.len() };
            match sys::write_now(self.file.as_fd(), &rest[..most]) {
                Ok(0) => return (done, Some(io::ErrorKind::WriteZero.into())),
                Ok(count) => {
                    self.size += count as u64;
                    self.is_inside = rest[count - 1] != b'\n';
                    done += count;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return (done, None),
                Err(error) => return (done, Some(error)),
            }
        }
        (done, None)
    }

    /// Opens the name again: another program has renamed the file. An error that leaves it open
    /// (an owner or a mode that it cannot get) is one all the same.
    pub(super) fn reopen(&mut self) -> Option<io::Error> {
        let path = self.path.as_ref()?;
        match self.rules.open_as_it_is(path) {
            Ok(file) => {
                let result = self.rules.apply(&file);
                self.size = file.metadata().map_or(0, |meta| meta.len());
                self.limit = self.max_size.unwrap_or(u64::MAX);
                self.has_reader = sys::has_reader(file.as_fd());
                self.file = file;
                (self.is_inside, self.is_torn) = (false, false);
                result.err()
            }
            // The old one takes the lines meanwhile.
            Err(error) => Some(error),
        }
    }

    /// Begins a new file if this one is as large as it seems. Others may write to it and rename it.
    fn rotate_if_large(&mut self) {
        let own = self.file.metadata();
        let there = self.path.as_ref().map(std::fs::metadata);
        let (Ok(own), Some(there)) = (own, there) else { return };
        let is_own =
            there.as_ref().is_ok_and(|there| (there.dev(), there.ino()) == (own.dev(), own.ino()));
        let error = if !is_own {
            self.reopen()
        } else if own.len() < self.limit {
            // It was emptied.
            self.size = own.len();
            None
        } else {
            self.rotate()
        };
        if let (Some(error), Some(path)) = (error, &self.path) {
            let text = format!("log: {}: {error}\n", path.display());
            self.limit = self.size.saturating_add(self.max_size.unwrap_or(u64::MAX));
            self.out.extend_from_slice(text.as_bytes());
        }
    }

    /// Renames the file and begins a new one. What was written stays in the old one.
    pub(super) fn rotate(&mut self) -> Option<io::Error> {
        let path = self.path.clone()?;
        // A device or a FIFO keeps its name.
        if std::fs::metadata(&path).is_ok_and(|meta| !meta.is_file()) {
            return self.reopen();
        }
        let backup = self.backup.clone().unwrap_or_else(|| unused_name(&path));
        let error = match std::fs::rename(&path, &backup) {
            Ok(()) => self.reopen(),
            // Somebody else has moved it already.
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.reopen(),
            Err(error) => Some(error),
        };
        if error.is_some() {
            self.limit = self.size.saturating_add(self.max_size.unwrap_or(u64::MAX));
        }
        error
    }

    pub(super) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }
}

/// uWSGI: the name and the time. A second one of this second must not replace the first.
fn unused_name(path: &Path) -> PathBuf {
    let mut name = path.to_owned().into_os_string();
    name.push(format!(".{}", super::now_s()));
    let mut number = 0;
    let mut unused = PathBuf::from(&name);
    while unused.symlink_metadata().is_ok() {
        number += 1;
        let mut next = name.clone();
        next.push(format!(".{number}"));
        unused = next.into();
    }
    unused
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(directory: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
        names.sort();
        names.iter().map(|name| std::fs::read_to_string(name).unwrap()).collect()
    }

    #[test]
    fn rotation_loses_and_splits_no_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.log");
        let backup = Some(directory.path().join("b.log"));
        let mut sheet = Sheet::open(&path, Rules::default(), Some(64), backup).unwrap();
        for number in 0..10 {
            sheet.add(format!("line {number:02} of ten").as_bytes());
            sheet.flush();
        }
        // 15 bytes a line: the fifth reaches the limit, and the tenth renames over the first five.
        let texts = texts(directory.path());
        assert_eq!(texts[0], "");
        let kept: Vec<_> = (5..10).map(|number| format!("line {number:02} of ten")).collect();
        assert_eq!(texts[1].lines().collect::<Vec<_>>(), kept);
    }

    #[test]
    fn a_renamed_file_is_left_when_told() {
        let directory = tempfile::tempdir().unwrap();
        let (path, old) = (directory.path().join("a.log"), directory.path().join("b.log"));
        let mut sheet = Sheet::open(&path, Rules::default(), None, None).unwrap();
        sheet.add(b"one\n");
        sheet.flush();
        std::fs::rename(&path, &old).unwrap();
        sheet.add(b"two");
        sheet.flush();
        assert!(sheet.reopen().is_none());
        sheet.add(b"three");
        sheet.flush();
        assert_eq!(texts(directory.path()), ["three\n", "one\ntwo\n"]);
    }

    #[test]
    fn what_a_full_disk_loses_is_counted_and_told() {
        let directory = tempfile::tempdir().unwrap();
        let mut sheet = Sheet::of(File::options().write(true).open("/dev/full").unwrap());
        sheet.add(b"one");
        sheet.add(b"two");
        sheet.flush();
        let path = directory.path().join("a.log");
        sheet.file = Rules::default().open(&path).unwrap();
        sheet.add(b"three");
        sheet.flush();
        let text = std::fs::read_to_string(path).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "three");
        assert!(lines[1].starts_with("log: 2 line(s) were lost: No space left"), "{text}");
    }

    fn of(directory: &Path, max_size: u64, backup: Option<PathBuf>) -> Sheet {
        let path = directory.join("a.log");
        Sheet::open(&path, Rules::default(), Some(max_size), backup).unwrap()
    }

    fn all_lines(directory: &Path) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        for text in texts(directory) {
            lines.extend(text.lines().map(str::to_owned));
        }
        lines.sort();
        lines
    }

    #[test]
    fn rotations_of_one_second_keep_each_others_lines() {
        let directory = tempfile::tempdir().unwrap();
        let mut sheet = of(directory.path(), 10, None);
        let lines: Vec<String> = (0..50).map(|number| format!("the line {number:02}")).collect();
        for line in &lines {
            sheet.add(line.as_bytes());
            sheet.flush();
        }
        assert_eq!(all_lines(directory.path()), lines);
    }

    #[test]
    fn two_owners_of_a_file_rename_it_once() {
        let directory = tempfile::tempdir().unwrap();
        let backup = Some(directory.path().join("b.log"));
        let mut one = of(directory.path(), 100, backup.clone());
        let mut two = of(directory.path(), 100, backup);
        // One fills the file and renames it; two must not rename the new one over that.
        for number in 0..10 {
            one.add(format!("one {number:02} of ten").as_bytes());
            one.flush();
            two.add(format!("two {number:02} of ten").as_bytes());
            two.flush();
        }
        assert_eq!(all_lines(directory.path()).len(), 20);
    }

    #[test]
    fn a_file_that_was_taken_away_is_made_again() {
        let directory = tempfile::tempdir().unwrap();
        let mut sheet = of(directory.path(), 1000, None);
        std::fs::remove_file(directory.path().join("a.log")).unwrap();
        assert!(sheet.rotate().is_none());
        sheet.add(b"one");
        sheet.flush();
        assert_eq!(texts(directory.path()), ["one\n"]);
    }

    #[test]
    fn what_is_no_file_keeps_its_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.log");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let mut sheet = of(directory.path(), 1000, None);
        assert!(sheet.rotate().is_none());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
        assert!(path.exists());
    }

    #[test]
    fn a_reader_that_stops_costs_lines_and_no_time() {
        let (mut reader, writer) = io::pipe().unwrap();
        let mut sheet = Sheet::of(File::from(std::os::fd::OwnedFd::from(writer)));
        let line = [b'x'; 99];
        for _ in 0..40_000 {
            sheet.add(&line);
        }
        sheet.flush();
        assert!(sheet.waits() && sheet.out.len() <= PENDING_MAX && sheet.lost.is_any());
        let thread = std::thread::spawn(move || {
            let mut text = String::new();
            io::Read::read_to_string(&mut reader, &mut text).unwrap();
            text
        });
        while sheet.waits() {
            sheet.flush();
            std::thread::yield_now();
        }
        drop(sheet);
        let text = thread.join().unwrap();
        let lost = text.lines().find_map(|line| line.strip_prefix("log: ")).unwrap();
        let lost: usize = lost.split(' ').next().unwrap().parse().unwrap();
        let whole = text.lines().filter(|text| text.as_bytes() == line).count();
        assert_eq!((whole + lost, text.lines().count()), (40_000, whole + 1));
    }
}
