//! A file that lines are appended to, its rotation and reopening.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use super::count_lines;
use crate::options::Options;
use crate::sys;

/// Whose the file is and who may read it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Rules {
    owner: Option<(Option<u32>, Option<u32>)>,
    mode: Option<u32>,
}

impl Rules {
    pub(super) fn new(options: &Options) -> Rules {
        let user = options.uid.as_deref().and_then(sys::user_id).map(|(user, _)| user);
        let group = options.gid.as_deref().and_then(sys::group_id);
        let owner = options.logs.chown.then_some((user, group));
        Rules { owner, mode: options.logs.chmod }
    }

    fn open(self, path: &Path) -> io::Result<File> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        if let Some((user, group)) = self.owner {
            fchown(&file, user, group)?;
        }
        if let Some(mode) = self.mode {
            file.set_permissions(Permissions::from_mode(mode))?;
        }
        Ok(file)
    }
}

/// Opens a log file to append to it, with the owner and mode that options give it.
///
/// # Errors
/// The kernel's (no such directory, no permission).
pub fn open(path: &Path, options: &Options) -> io::Result<File> {
    Rules::new(options).open(path)
}

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
    /// The last write ended inside a line.
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
        let mut sheet = Sheet::of(rules.open(&path)?);
        sheet.max_size = max_size.filter(|&max| max > 0);
        sheet.limit = sheet.max_size.unwrap_or(u64::MAX);
        (sheet.path, sheet.rules, sheet.backup) = (Some(path), rules, backup);
        Ok(sheet)
    }

    /// A descriptor that is open.
    pub(super) fn of(file: File) -> Sheet {
        let size = file.metadata().map_or(0, |meta| meta.len());
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
            is_torn: false,
        }
    }

    /// Adds a line; it ends with a line feed in the file, whatever encoders made of it.
    pub(super) fn add(&mut self, line: &[u8]) {
        self.out.extend_from_slice(line);
        if !line.ends_with(b"\n") {
            self.out.push(b'\n');
        }
        if self.size + self.out.len() as u64 >= self.limit || self.out.len() > 256 * 1024 {
            self.flush();
        }
    }

    /// Writes what waits, and begins a new file if this one is large.
    pub(super) fn flush(&mut self) {
        if self.out.is_empty() {
            return;
        }
        let out = std::mem::take(&mut self.out);
        let told = if self.lost.is_any() { self.write(b"") } else { Ok(()) };
        let result = told.and_then(|()| self.write(&out));
        if let Err(error) = &result {
            self.lost.add(count_lines(&out), error);
        } else if let Some(text) = self.lost.take() {
            let _ = self.write(format!("{text}\n").as_bytes());
        }
        self.out = out;
        self.out.clear();
        if self.size >= self.limit {
            self.rotate();
        }
    }

    fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        if self.is_torn {
            self.file.write_all(b"\n")?;
            self.is_torn = false;
        }
        while !bytes.is_empty() {
            match self.file.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    self.size += count as u64;
                    self.is_torn = bytes[count - 1] != b'\n';
                    bytes = &bytes[count..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Opens the name again: another program has renamed the file.
    pub(super) fn reopen(&mut self) -> Option<io::Error> {
        let path = self.path.as_ref()?;
        match self.rules.open(path) {
            Ok(file) => {
                self.size = file.metadata().map_or(0, |meta| meta.len());
                self.limit = self.max_size.unwrap_or(u64::MAX);
                self.file = file;
                self.is_torn = false;
                None
            }
            // The old one takes the lines meanwhile.
            Err(error) => Some(error),
        }
    }

    /// Renames the file and begins a new one. What was written stays in the old one.
    pub(super) fn rotate(&mut self) -> Option<io::Error> {
        let path = self.path.clone()?;
        let backup = self.backup.clone().unwrap_or_else(|| {
            let mut name = path.clone().into_os_string();
            name.push(format!(".{}", super::now_s()));
            name.into()
        });
        let result = std::fs::rename(&path, &backup);
        let error = match result {
            Ok(()) => self.reopen(),
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
}
