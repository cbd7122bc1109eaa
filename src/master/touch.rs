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
    logs: Vec<(PathBuf, log::Change, Option<Seen>)>,
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
                    "unable to stat() {}, events will be triggered as soon as the file is created",
                    path.display()
                ));
            }
            (path.clone(), seen)
        });
        // Who hears a signal of the app's is known to the workers alone.
        let deeds = options.touch_deeds.iter();
        let deeds = deeds.filter(|(_, deed)| !matches!(deed, Deed::Signal(_)));
        let deeds = deeds.map(|(path, deed)| (path.clone(), deed.clone(), look(path))).collect();
        let watch = |paths: &[PathBuf], change| -> Vec<_> {
            paths.iter().map(|path| (path.clone(), change, look(path))).collect()
        };
        let mut logs = watch(&options.logs.touch_reopen, log::Change::Reopen);
        logs.extend(watch(&options.logs.touch_rotate, log::Change::Rotate));
        Touches { files: files.collect(), deeds, logs, looked: Instant::now() }
    }

    /// Those of another configuration. What a deed or a log waits for may have been touched since
    /// the last look; a reload is under way already.
    pub fn renewed(&self, options: &Options) -> Touches {
        let mut new = Touches::new(options);
        for (path, deed, seen) in &mut new.deeds {
            let is_same = |old: &&(PathBuf, Deed, Option<Seen>)| (&old.0, &old.1) == (path, deed);
            if let Some((_, _, before)) = self.deeds.iter().find(is_same) {
                *seen = *before;
            }
        }
        for (path, change, seen) in &mut new.logs {
            let is_same =
                |old: &&(PathBuf, log::Change, Option<Seen>)| (&old.0, &old.1) == (path, change);
            if let Some((_, _, before)) = self.logs.iter().find(is_same) {
                *seen = *before;
            }
        }
        new
    }

    /// What log files are to undergo because of a file that was touched. To be asked before
    /// `touched`, which looks once a second.
    pub fn log_changes(&mut self) -> Vec<log::Change> {
        let mut changes = Vec::new();
        if self.looked.elapsed() < EVERY {
            return changes;
        }
        for (path, change, seen) in &mut self.logs {
            let now = look(path);
            if now.is_some() && *seen != now {
                changes.push(*change);
            }
            *seen = now;
        }
        changes
    }

    /// A file that was touched since the last look. As in uWSGI one that appears is touched; one
    /// that goes is told and is no touch, so that replacing a file is one touch and not two.
    pub fn touched(&mut self) -> Option<PathBuf> {
        if self.looked.elapsed() < EVERY {
            return None;
        }
        self.looked = Instant::now();
        for (path, deed, seen) in &mut self.deeds {
            let now = look(path);
            if now.is_some() && *seen != now {
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
                (_, Some(_)) if *seen != now => touched = Some(path.clone()),
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
