//! uWSGI's MasterFIFO: one-letter commands through a named pipe.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::PathBuf;

use crate::error::StartError;
use crate::sys;

/// One named pipe.
pub struct Fifo {
    file: File,
}

impl Fifo {
    /// Makes and opens the pipes. What lies at the path is removed, but only a pipe.
    ///
    /// # Errors
    /// The path and the kernel's reason.
    pub fn open_all(paths: &[PathBuf]) -> Result<Vec<Fifo>, StartError> {
        paths.iter().map(Fifo::open).collect()
    }

    fn open(path: &PathBuf) -> Result<Fifo, StartError> {
        let failed =
            |what: &str| StartError::new(format!("master-fifo {}: {what}", path.display()));
        match std::fs::symlink_metadata(path) {
            Ok(meta) if meta.file_type().is_fifo() => {
                std::fs::remove_file(path).map_err(|error| failed(&error.to_string()))?;
            }
            Ok(_) => return Err(failed("a file that is no pipe is there")),
            Err(_) => {}
        }
        sys::make_fifo(path).map_err(|error| failed(&error.to_string()))?;
        // Open for writing too: a writer that closes is no end.
        let file = File::options()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
            .open(path)
            .map_err(|error| failed(&error.to_string()))?;
        Ok(Fifo { file })
    }

    pub fn fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}

/// The letters that were written since the last call.
pub fn commands(fifos: &mut [Fifo]) -> Vec<u8> {
    let mut all = Vec::new();
    for fifo in fifos {
        let mut bytes = [0; 256];
        while let Ok(count) = fifo.file.read(&mut bytes) {
            all.extend_from_slice(&bytes[..count]);
            if count < bytes.len() {
                break;
            }
        }
    }
    all
}
