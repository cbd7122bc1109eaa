//! How log files are opened: whose they are and who may read them.

use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::Path;

use crate::options::Options;
use crate::sys;

/// uWSGI: others than the owner and the group do not read the log.
const MODE: u32 = 0o640;

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

    pub(super) fn open(self, path: &Path) -> io::Result<File> {
        let file = self.open_as_it_is(path)?;
        self.apply(&file)?;
        Ok(file)
    }

    pub(super) fn open_as_it_is(self, path: &Path) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.append(true).mode(self.mode.unwrap_or(MODE));
        if std::fs::metadata(path).is_ok_and(|meta| meta.file_type().is_fifo()) {
            // With a reading end of its own nobody waits for a reader, and none is missed.
            options.read(true);
        } else {
            options.create(true);
        }
        options.open(path)
    }

    /// Gives the file its owner and mode. A device, like /dev/null, is everybody's and stays so.
    pub(super) fn apply(self, file: &File) -> io::Result<()> {
        let kind = file.metadata()?.file_type();
        if !kind.is_file() && !kind.is_fifo() {
            return Ok(());
        }
        if let Some((user, group)) = self.owner {
            fchown(file, user, group)?;
        }
        if let Some(mode) = self.mode {
            file.set_permissions(Permissions::from_mode(mode))?;
        }
        Ok(())
    }
}

/// Opens a log file to append to it, with the owner and mode that options give it.
///
/// # Errors
/// The kernel's (no such directory, no permission).
pub fn open(path: &Path, options: &Options) -> io::Result<File> {
    Rules::new(options).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    const PRIVATE: Rules = Rules { owner: None, mode: Some(0o600) };

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_fifo_needs_no_reader() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("fifo");
        let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success());
        let mut file = PRIVATE.open(&path).unwrap();
        file.write_all(b"one\n").unwrap();
        let mut bytes = [0; 4];
        File::open(&path).unwrap().read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"one\n");
    }

    #[test]
    fn a_device_keeps_its_mode() {
        let flags = rustix::pty::OpenptFlags::RDWR | rustix::pty::OpenptFlags::NOCTTY;
        let terminal = rustix::pty::openpt(flags).unwrap();
        rustix::pty::grantpt(&terminal).unwrap();
        rustix::pty::unlockpt(&terminal).unwrap();
        let name = rustix::pty::ptsname(&terminal, Vec::new()).unwrap();
        let path = Path::new(name.to_str().unwrap());
        let before = mode(path);
        let other = Rules { owner: None, mode: Some(before ^ 0o044) };
        other.open(path).unwrap();
        assert_eq!(mode(path), before);
    }

    #[test]
    fn others_do_not_read_the_log() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.log");
        Rules::default().open(&path).unwrap();
        assert_eq!(mode(&path) & 0o007, 0);
    }
}
