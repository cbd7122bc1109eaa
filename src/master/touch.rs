//! Files that are looked at each second: touched, they ask for a reload or for a deed.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::hooks;
use crate::log;
use crate::options::{Deed, Moment, Options};

/// The files of `touch-reload` and its kin.
pub struct Touches {
    files: Vec<(PathBuf, Option<Seen>)>,
    deeds: Vec<(PathBuf, Deed, Option<Seen>)>,
    looked: Instant,
}

/// What tells one state of a file from the next.
pub type Seen = (i64, i64, u64);

/// uWSGI looks once a second.
const EVERY: Duration = Duration::from_secs(1);

impl Touches {
    pub fn new(options: &Options) -> Touches {
        let files = options.touch_reload.iter().map(|path| {
            let seen = look(path);
            if seen.is_none() {
                log::line(format_args!(
                    "unable to stat() {}, reload will be triggered when it appears and is touched",
                    path.display()
                ));
            }
            (path.clone(), seen)
        });
        let deeds = options.touch_deeds.iter();
        let deeds = deeds.map(|(path, deed)| (path.clone(), deed.clone(), look(path))).collect();
        Touches { files: files.collect(), deeds, looked: Instant::now() }
    }

    /// A file that was touched since the last look. As in uWSGI, one that appears or goes is told
    /// and is no touch.
    pub fn touched(&mut self) -> Option<PathBuf> {
        if self.looked.elapsed() < EVERY {
            return None;
        }
        self.looked = Instant::now();
        for (path, deed, seen) in &mut self.deeds {
            let now = look(path);
            if seen.is_some() && now.is_some() && *seen != now {
                log::line(format_args!("{} has been touched", path.display()));
                hooks::perform_beside(deed, Moment::Touched);
            }
            *seen = now;
        }
        let mut touched = None;
        for (path, seen) in &mut self.files {
            let now = look(path);
            match (&seen, &now) {
                (Some(_), None) => log::line(format_args!("{} has been removed", path.display())),
                (None, Some(_)) => log::line(format_args!("{} has been created", path.display())),
                (Some(before), Some(now)) if before != now => touched = Some(path.clone()),
                _ => {}
            }
            *seen = now;
        }
        touched
    }
}

/// mtime and inode: a deployment that renames a new file into place touches it too.
pub fn look(path: &Path) -> Option<Seen> {
    let meta = std::fs::metadata(path).ok()?;
    Some((meta.mtime(), meta.mtime_nsec(), meta.ino()))
}
