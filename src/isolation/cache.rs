//! Keeps verdicts between starts, with what each rests on: files and folders as they were then.
//!
//! A verdict is never taken when any of it changed, nor from a file or folder that another user
//! could have written. A cache that cannot be used is no failure.

use std::collections::BTreeSet;
use std::fs::{DirBuilder, File, Metadata};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::verdict::Verdict;
use crate::sys;

/// Verdicts that are kept; beyond it the oldest go.
const ENTRIES_MAX: usize = 64;
const ENTRY_BYTES_MAX: u64 = 16 << 20;
/// The kernel stamps files with a clock that lags by up to a tick.
const TICK: Duration = Duration::from_millis(10);

/// The files that decided what was imported, and the folders where modules were looked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sources {
    files: BTreeSet<String>,
    folders: BTreeSet<String>,
    /// A path is not UTF-8: such a verdict is not kept.
    odd: bool,
}

/// A file as it was: times of its content and of its inode in nanoseconds, and its length. None: it
/// was not there.
type Stamp = Option<(i128, i128, u64)>;

#[derive(Serialize, Deserialize)]
struct Entry {
    key: String,
    verdict: Verdict,
    files: Vec<(String, Stamp)>,
    /// With a hash of the names in them that `import` would see.
    folders: Vec<(String, u64)>,
}

impl Sources {
    /// Adds paths, each with a NUL after it.
    pub fn note(&mut self, files: &[u8], folders: &[u8]) {
        for (paths, place) in [(files, &mut self.files), (folders, &mut self.folders)] {
            for path in paths.split(|&byte| byte == 0).filter(|path| !path.is_empty()) {
                match std::str::from_utf8(path) {
                    Ok(path) => drop(place.insert(path.to_owned())),
                    Err(_) => self.odd = true,
                }
            }
        }
    }

    pub fn add(&mut self, other: Sources) {
        self.files.extend(other.files);
        self.folders.extend(other.folders);
        self.odd |= other.odd;
    }
}

/// What a verdict is kept under: a text of 32 digits, the same for the same `parts`.
pub fn key(parts: &[&dyn std::fmt::Debug]) -> String {
    let text = format!("{parts:?}");
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (salt, &text).hash(&mut hasher);
        hasher.finish()
    };
    format!("{:016x}{:016x}", half(0), half(1))
}

/// A file's stamp.
pub fn stamp(path: &Path) -> Stamp {
    std::fs::metadata(path).ok().map(|found| of_metadata(&found))
}

fn of_metadata(found: &Metadata) -> (i128, i128, u64) {
    let ns = |seconds: i64, ns: i64| i128::from(seconds) * 1_000_000_000 + i128::from(ns);
    (ns(found.mtime(), found.mtime_nsec()), ns(found.ctime(), found.ctime_nsec()), found.len())
}

/// A hash of what `import` could find in a folder: names of modules and packages, and installed
/// distributions with their times.
fn listing(folder: &str) -> u64 {
    let mut seen = Vec::new();
    let Ok(entries) = std::fs::read_dir(folder) else {
        // A zip archive in sys.path, or nothing.
        let mut hasher = DefaultHasher::new();
        stamp(Path::new(folder)).hash(&mut hasher);
        return hasher.finish();
    };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
        match extension {
            "py" | "so" | "pyc" => seen.push((name, None)),
            "pth" | "egg-link" | "dist-info" | "egg-info" => {
                let stamp = stamp(&entry.path());
                seen.push((name, stamp));
            }
            "" if name != "__pycache__" && !entry.file_type().is_ok_and(|kind| kind.is_file()) => {
                seen.push((name, None));
            }
            _ => {}
        }
    }
    seen.sort();
    let mut hasher = DefaultHasher::new();
    seen.hash(&mut hasher);
    hasher.finish()
}

/// The folder that verdicts are kept in, made if it is not there.
///
/// # Errors
/// Why there is none that is safe.
pub fn folder() -> Result<PathBuf, String> {
    let home = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = home.filter(|home| home.is_absolute()).map(|home| home.join("uwring"));
    let temporary = std::env::temp_dir().join(format!("uwring-{}", sys::user().0));
    let mut reason = String::new();
    for place in home.into_iter().chain([temporary]) {
        match make_safe(&place) {
            Ok(()) => return Ok(place),
            Err(why) if reason.is_empty() => reason = format!("{}: {why}", place.display()),
            Err(_) => {}
        }
    }
    Err(reason)
}

/// Makes a folder that this user alone can write to, or sees that it is one.
fn make_safe(place: &Path) -> Result<(), String> {
    let made = DirBuilder::new().mode(0o700).recursive(true).create(place);
    // Not through a symbolic link, which another user may have laid.
    let found = std::fs::symlink_metadata(place)
        .map_err(|error| made.err().unwrap_or(error).to_string())?;
    if !found.is_dir() {
        return Err("it is no directory".into());
    }
    if !is_ours(&found) {
        return Err("another user can write to it".into());
    }
    Ok(())
}

/// Whether this user alone can write to it.
fn is_ours(found: &Metadata) -> bool {
    found.uid() == sys::user().0 && found.mode() & 0o022 == 0
}

/// The verdict kept under `key`, if nothing that it rests on changed.
pub fn recall(folder: &Path, key: &str) -> Option<Verdict> {
    entry(folder, key).map(|entry| entry.verdict)
}

/// Puts another verdict in the place of the one under `key`, resting on the same.
///
/// # Errors
/// Why it is not kept.
pub fn overrule(folder: &Path, key: &str, verdict: Verdict) -> Result<(), String> {
    let entry = entry(folder, key).ok_or("the app has changed since it was tried")?;
    write_entry(folder, &Entry { verdict, ..entry })
}

fn entry(folder: &Path, key: &str) -> Option<Entry> {
    let mut options = File::options();
    let file = options.read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let file = file.open(folder.join(format!("{key}.json"))).ok()?;
    let found = file.metadata().ok()?;
    if !found.is_file() || !is_ours(&found) || found.len() > ENTRY_BYTES_MAX {
        return None;
    }
    let mut text = Vec::new();
    file.take(ENTRY_BYTES_MAX).read_to_end(&mut text).ok()?;
    let entry: Entry = serde_json::from_slice(&text).ok()?;
    let is_same = entry.key == key
        && entry.files.iter().all(|(path, was)| stamp(Path::new(path)) == *was)
        && entry.folders.iter().all(|(folder, was)| listing(folder) == *was);
    is_same.then_some(entry)
}

/// Keeps a verdict of a trial that began at `began`.
///
/// # Errors
/// Why it is not kept.
pub fn keep(
    folder: &Path,
    key: &str,
    verdict: &Verdict,
    sources: &Sources,
    began: SystemTime,
) -> Result<(), String> {
    if sources.odd || sources.files.is_empty() {
        return Err("what it rests on is not known".into());
    }
    let stamps = sources.files.iter().map(|path| (path.clone(), stamp(Path::new(path))));
    let files: Vec<(String, Stamp)> = stamps.collect();
    let began = began.duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(TICK);
    // What was written meanwhile may not be what was tried.
    let is_fresh = |stamp: &Stamp| {
        stamp.is_some_and(|(content, inode, _)| content.max(inode) >= began.as_nanos() as i128)
    };
    if let Some((path, _)) = files.iter().find(|(_, stamp)| is_fresh(stamp)) {
        return Err(format!("{path} changed while the app was tried"));
    }
    let folders = sources.folders.iter().map(|path| (path.clone(), listing(path))).collect();
    let entry = Entry { key: key.to_owned(), verdict: verdict.clone(), files, folders };
    write_entry(folder, &entry)?;
    prune(folder);
    Ok(())
}

fn write_entry(folder: &Path, entry: &Entry) -> Result<(), String> {
    let text = serde_json::to_vec(entry).map_err(|error| error.to_string())?;
    write_whole(folder, &entry.key, &text).map_err(|error| format!("{}: {error}", folder.display()))
}

/// Another server that starts at the same time sees the old file or the new one.
fn write_whole(folder: &Path, key: &str, text: &[u8]) -> std::io::Result<()> {
    let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(folder)?;
    file.write_all(text)?;
    file.persist(folder.join(format!("{key}.json"))).map(drop).map_err(|error| error.error)
}

/// Removes the oldest entries beyond the number that is kept.
fn prune(folder: &Path) {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let aged =
        |entry: std::fs::DirEntry| Some((entry.metadata().ok()?.modified().ok()?, entry.path()));
    let mut entries: Vec<_> = entries.filter_map(aged).collect();
    entries.sort();
    let surplus = entries.len().saturating_sub(ENTRIES_MAX);
    for (_, path) in &entries[..surplus] {
        let _ = std::fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A folder for entries, an app's file in a folder, and what a verdict on it rests on.
    struct World {
        directory: tempfile::TempDir,
        sources: Sources,
    }

    fn world() -> World {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::create_dir_all(directory.path().join("app")).expect("made");
        make_safe(&directory.path().join("cache")).expect("made");
        std::fs::write(directory.path().join("app/app.py"), "1").expect("written");
        let mut sources = Sources::default();
        let shown = directory.path().join("app").display().to_string();
        sources.note(
            format!("{shown}/app.py\0{shown}/local.env\0").as_bytes(),
            format!("{shown}\0").as_bytes(),
        );
        World { directory, sources }
    }

    impl World {
        fn cache(&self) -> PathBuf {
            self.directory.path().join("cache")
        }

        fn app(&self, name: &str) -> PathBuf {
            self.directory.path().join("app").join(name)
        }

        /// As by a trial that begins long after the files were written.
        fn keep(&self) {
            let later = SystemTime::now() + Duration::from_secs(60);
            keep(&self.cache(), "k", &Verdict::Capable, &self.sources, later).expect("kept");
            assert_eq!(self.recall(), Some(Verdict::Capable));
        }

        fn recall(&self) -> Option<Verdict> {
            recall(&self.cache(), "k")
        }
    }

    #[test]
    fn a_verdict_is_taken_only_while_nothing_changed() {
        type Change = fn(&World);
        let changes: [(&str, Change); 6] = [
            ("longer", |w| std::fs::write(w.app("app.py"), "12").expect("written")),
            ("same length", |w| std::fs::write(w.app("app.py"), "2").expect("written")),
            ("gone", |w| std::fs::remove_file(w.app("app.py")).expect("removed")),
            ("was not there", |w| std::fs::write(w.app("local.env"), "").expect("written")),
            ("a new module", |w| std::fs::write(w.app("settings.py"), "").expect("written")),
            ("a new distribution", |w| std::fs::create_dir(w.app("a.dist-info")).expect("made")),
        ];
        for (what, change) in changes {
            let world = world();
            world.keep();
            change(&world);
            assert_eq!(world.recall(), None, "{what}");
        }
        let world = world();
        world.keep();
        std::fs::write(world.app("app.log"), "no module").expect("written");
        std::fs::create_dir(world.app("__pycache__")).expect("made");
        assert_eq!(world.recall(), Some(Verdict::Capable));
        assert_eq!(recall(&world.cache(), "another"), None);
    }

    #[test]
    fn a_verdict_is_overruled_only_while_nothing_changed() {
        let world = world();
        world.keep();
        let refused = Verdict::Refused { refused: vec!["readline".into()] };
        let overrule = || overrule(&world.cache(), "k", refused.clone());
        overrule().expect("kept");
        assert_eq!(world.recall(), Some(refused.clone()));
        std::fs::write(world.app("app.py"), "12").expect("written");
        assert_eq!(overrule(), Err("the app has changed since it was tried".to_owned()));
        assert_eq!(world.recall(), None, "it is tried again");
    }

    #[test]
    fn a_verdict_that_others_could_have_written_is_not_taken() {
        let world = world();
        world.keep();
        let entry = world.cache().join("k.json");
        let allow = |path: &Path, mode| {
            std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("set");
        };
        allow(&entry, 0o620);
        assert_eq!(world.recall(), None);
        allow(&entry, 0o600);
        assert_eq!(world.recall(), Some(Verdict::Capable));
        std::fs::rename(&entry, world.app("other")).expect("moved");
        std::os::unix::fs::symlink(world.app("other"), &entry).expect("linked");
        assert_eq!(world.recall(), None, "a link may lead anywhere");
        allow(&world.cache(), 0o770);
        assert_eq!(
            make_safe(&world.cache()).expect_err("of a group"),
            "another user can write to it"
        );
        let link = world.app("link");
        std::os::unix::fs::symlink(world.app(""), &link).expect("linked");
        assert_eq!(make_safe(&link).expect_err("a link"), "it is no directory");
    }

    #[test]
    fn a_verdict_on_a_file_that_changed_meanwhile_is_not_kept() {
        let world = world();
        let kept = |began| keep(&world.cache(), "k", &Verdict::Capable, &world.sources, began);
        let error = kept(SystemTime::now() - Duration::from_secs(1)).expect_err("it is new");
        assert!(error.ends_with("app.py changed while the app was tried"), "{error}");
        assert_eq!(world.recall(), None);
    }

    #[test]
    fn broken_entries_are_none_and_old_ones_go() {
        let world = world();
        std::fs::write(world.cache().join("k.json"), "{").expect("written");
        assert_eq!(world.recall(), None);
        for index in 0..ENTRIES_MAX + 5 {
            std::fs::write(world.cache().join(format!("{index}.json")), "").expect("written");
        }
        world.keep();
        assert_eq!(std::fs::read_dir(world.cache()).expect("read").count(), ENTRIES_MAX);
    }
}
