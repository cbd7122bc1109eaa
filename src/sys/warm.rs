//! Which files lie in memory all but surely: what was sent a few seconds ago. Whoever must not wait
//! for a disk sends only those by itself.

use std::cell::RefCell;
use std::fs::File;
use std::ops::Range;

/// How long a file that was sent is taken to be in memory, in seconds.
const WARM_S: u64 = 10;
const WARM_FILES_MAX: usize = 64;

/// The files that were sent a short time ago.
#[derive(Default)]
pub struct Warm(RefCell<Vec<WarmFile>>);

struct WarmFile {
    identity: Identity,
    /// What of it was sent.
    range: Range<u64>,
    until_s: u64,
}

/// Device, inode and the time of the last change.
pub type Identity = (u64, u64, i64, i64);

/// What a file is known by; None if the kernel does not tell.
pub fn identity(file: &File) -> Option<Identity> {
    use std::os::unix::fs::MetadataExt;
    let meta = file.metadata().ok()?;
    Some((meta.dev(), meta.ino(), meta.mtime(), meta.mtime_nsec()))
}

impl Warm {
    /// Whether all of the range was sent a short time ago.
    pub fn has(&self, file: Identity, range: &Range<u64>, now_s: u64) -> bool {
        self.0.borrow().iter().any(|warm| {
            warm.identity == file
                && warm.until_s > now_s
                && warm.range.start <= range.start
                && range.end <= warm.range.end
        })
    }

    /// Notes that a range was sent.
    pub fn note(&self, file: Identity, range: Range<u64>, now_s: u64) {
        let mut files = self.0.borrow_mut();
        let until_s = now_s + WARM_S;
        let same = |warm: &&mut WarmFile| warm.identity == file && warm.until_s > now_s;
        if let Some(warm) = files.iter_mut().find(same) {
            warm.until_s = until_s;
            // A part that lies elsewhere takes the place of the other.
            let touches = range.start <= warm.range.end && warm.range.start <= range.end;
            warm.range = match touches {
                true => warm.range.start.min(range.start)..warm.range.end.max(range.end),
                false => range,
            };
            return;
        }
        files.retain(|warm| warm.until_s > now_s);
        if files.len() >= WARM_FILES_MAX {
            files.remove(0);
        }
        files.push(WarmFile { identity: file, range, until_s });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_is_warm_for_a_while() {
        let (warm, one, two) = (Warm::default(), (1, 2, 3, 0), (1, 2, 4, 0));
        assert!(!warm.has(one, &(0..10), 5));
        warm.note(one, 0..10, 5);
        assert!(warm.has(one, &(0..10), 5) && warm.has(one, &(3..4), 14));
        assert!(!warm.has(one, &(3..11), 5) && !warm.has(one, &(0..10), 15));
        // Changed since.
        assert!(!warm.has(two, &(0..10), 5));
        warm.note(one, 10..20, 6);
        assert!(warm.has(one, &(0..20), 6));
        warm.note(one, 30..40, 6);
        assert!(warm.has(one, &(30..40), 6) && !warm.has(one, &(0..20), 6));
    }

    #[test]
    fn it_remembers_only_so_many_files() {
        let warm = Warm::default();
        (0..1000).for_each(|inode| warm.note((1, inode, 0, 0), 0..10, 5));
        assert_eq!(warm.0.borrow().len(), WARM_FILES_MAX);
        assert!(warm.has((1, 999, 0, 0), &(0..10), 5));
    }
}
