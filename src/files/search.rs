//! Looks for a file on the disk: the only place of this room that waits for it. It runs on a
//! helper thread.
//!
//! uWSGI: the real path, links resolved, must lie below the root or below a `static-safe`. What is
//! opened is that real path, and without following any link: one that is put there meanwhile
//! leads nowhere.

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::{Kind, Rules, etag, path, siblings};
use crate::request::{Coding, Codings};

/// A file of at most so many bytes is kept in memory for as long as it does not change.
pub(super) const SMALL_BYTES: u64 = 128 * 1024;

/// A file as it was when it was looked at.
pub struct Found {
    /// What is sent: the real path, of the sibling if it is one.
    pub(super) path: PathBuf,
    /// The real path of what was asked for.
    pub(super) named: PathBuf,
    pub(super) kind: Option<String>,
    pub(super) coding: Option<Coding>,
    /// Other codings might be sent to other clients.
    pub(super) varies: bool,
    pub(super) len: u64,
    /// Seconds since the epoch.
    pub(super) changed_s: i64,
    /// The same as a field says it.
    pub(super) changed: String,
    pub(super) tag: String,
    identity: Identity,
    /// None where the content is in memory.
    file: Option<Arc<File>>,
    content: Option<Bytes>,
}

/// What changes with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    len: u64,
    changed: (i64, i64),
    /// Set by the kernel at each change, whatever the other time was set to.
    touched: (i64, i64),
}

impl Identity {
    fn of(metadata: &Metadata) -> Identity {
        Identity {
            device: metadata.dev(),
            inode: metadata.ino(),
            len: metadata.len(),
            changed: (metadata.mtime(), metadata.mtime_nsec()),
            touched: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

impl Found {
    /// The open file; none where the content is in memory.
    pub fn file(&self) -> Option<Arc<File>> {
        self.file.clone()
    }

    /// All of it, if it is small.
    pub fn content(&self) -> Option<&Bytes> {
        self.content.as_ref()
    }

    pub fn len(&self) -> u64 {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// What a search came to.
pub enum Outcome {
    Found(Arc<Found>, Place),
    /// The app is asked. With lines for the log: links that lead out of their root.
    Missing(Vec<String>),
    /// The disk or the system failed, not the request.
    Failed(String),
}

/// How a file was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// By the rules.
    Looked,
    /// Where it was before.
    Remembered,
}

/// A search that is about to be made.
pub struct Search {
    pub(super) rules: Arc<Rules>,
    pub(super) path: Vec<u8>,
    pub(super) docroot: Option<Vec<u8>>,
    pub(super) codings: Codings,
    pub(super) known: Option<Known>,
}

/// What was found the last time.
pub(super) struct Known {
    pub(super) found: Arc<Found>,
    /// Its place counts still: only the file is looked at.
    pub(super) place_holds: bool,
}

impl Search {
    /// Looks. May wait for the disk.
    pub fn run(self) -> Outcome {
        match self.look() {
            Ok(outcome) => outcome,
            Err(error) => {
                let path = OsStr::from_bytes(&self.path);
                Outcome::Failed(format!("static file for {path:?}: {error}"))
            }
        }
    }

    fn look(&self) -> io::Result<Outcome> {
        if let Some(Known { found, place_holds: true }) = &self.known
            && let Some((file, metadata)) = open(&found.path)?
        {
            let again = self.describe(&found.path, &found.named, found.coding, file, &metadata)?;
            return Ok(Outcome::Found(again, Place::Remembered));
        }
        let mut escapes = Vec::new();
        for (root, rest, kind) in self.candidates() {
            let Some(named) = self.resolve(root, rest, kind, &mut escapes)? else { continue };
            if self.rules.is_skipped(named.as_os_str().as_bytes()) {
                break;
            }
            if let Some(found) = self.open_best(&named)? {
                return Ok(Outcome::Found(found, Place::Looked));
            }
        }
        Ok(Outcome::Missing(escapes))
    }

    /// Roots with what is looked for below them, in uWSGI's order.
    fn candidates(&self) -> impl Iterator<Item = (&Path, &[u8], Kind)> {
        let path = &self.path[..];
        let roots = self.rules.roots.iter().filter_map(move |root| {
            let cut = path.strip_prefix(&root.prefix[..])?;
            let rest = if root.kind == Kind::Cut { cut } else { path };
            Some((root.directory.as_path(), rest, root.kind))
        });
        let docroot = self.docroot.as_deref();
        roots.chain(docroot.map(|root| (Path::new(OsStr::from_bytes(root)), path, Kind::Whole)))
    }

    /// The real path of a regular file that may be served.
    fn resolve(
        &self,
        root: &Path,
        rest: &[u8],
        kind: Kind,
        escapes: &mut Vec<String>,
    ) -> io::Result<Option<PathBuf>> {
        let Some(root) = real(root)? else { return Ok(None) };
        // uWSGI: a map to a file answers with it whatever follows the prefix.
        if kind == Kind::Cut && is_file(&root)? {
            return Ok(Some(root));
        }
        let Some(target) = real(&root.join(OsStr::from_bytes(path::below(rest))))? else {
            return Ok(None);
        };
        if !self.may_serve(&root, &target, escapes)? {
            return Ok(None);
        }
        if is_file(&target)? {
            return Ok(Some(target));
        }
        for index in &self.rules.index {
            if let Some(file) = real(&target.join(index))?
                && self.may_serve(&root, &file, escapes)?
                && is_file(&file)?
            {
                return Ok(Some(file));
            }
        }
        Ok(None)
    }

    fn may_serve(&self, root: &Path, file: &Path, escapes: &mut Vec<String>) -> io::Result<bool> {
        // By whole steps: /srv/site does not hold /srv/site-secrets.
        if file.starts_with(root) {
            return Ok(true);
        }
        for safe in &self.rules.safe {
            if real(safe)?.is_some_and(|safe| file.starts_with(safe)) {
                return Ok(true);
            }
        }
        // uWSGI's words.
        escapes.push(format!(
            "[uwsgi-fileserve] security error: {} is not under {} or a safe path",
            file.display().to_string().escape_debug(),
            root.display()
        ));
        Ok(false)
    }

    /// The file, or the sibling that the client would rather have.
    fn open_best(&self, named: &Path) -> io::Result<Option<Arc<Found>>> {
        if self.rules.siblings.of(named) {
            for coding in self.codings.in_order() {
                let mut sibling = named.as_os_str().to_owned();
                sibling.push(siblings::ending(coding));
                if let Some((file, metadata)) = open(Path::new(&sibling))? {
                    let path = Path::new(&sibling);
                    return self.describe(path, named, Some(coding), file, &metadata).map(Some);
                }
            }
        }
        let Some((file, metadata)) = open(named)? else { return Ok(None) };
        self.describe(named, named, None, file, &metadata).map(Some)
    }

    fn describe(
        &self,
        path: &Path,
        named: &Path,
        coding: Option<Coding>,
        file: File,
        metadata: &Metadata,
    ) -> io::Result<Arc<Found>> {
        let identity = Identity::of(metadata);
        if let Some(Known { found, .. }) = &self.known
            && (found.identity, found.coding) == (identity, coding)
            && (&*found.path, &*found.named) == (path, named)
        {
            return Ok(Arc::clone(found));
        }
        let content = match identity.len {
            0 => Some(Bytes::new()),
            len if len <= SMALL_BYTES => read(&file, identity)?,
            _ => None,
        };
        let changed_s = metadata.mtime();
        // A date of HTTP begins with 1970 and has a year of four digits.
        let shown = Duration::from_secs(u64::try_from(changed_s).unwrap_or(0).min(253_402_300_799));
        Ok(Arc::new(Found {
            path: path.to_owned(),
            named: named.to_owned(),
            kind: self.rules.types.of(named),
            coding,
            varies: self.rules.siblings.of(named),
            len: identity.len,
            changed_s,
            changed: httpdate::fmt_http_date(UNIX_EPOCH + shown),
            tag: etag::of(metadata, coding.map_or("", Coding::name)),
            identity,
            file: content.is_none().then(|| Arc::new(file)),
            content,
        }))
    }
}

/// Errors that say that there is no such file for us; others are the system's.
fn is_absence(error: &io::Error) -> bool {
    let absent = [Errno::NOENT, Errno::NOTDIR, Errno::ACCESS, Errno::PERM, Errno::LOOP];
    let name = [Errno::NAMETOOLONG, Errno::INVAL, Errno::NXIO, Errno::NODEV];
    Errno::from_io_error(error)
        .is_some_and(|errno| [absent.as_slice(), &name].concat().contains(&errno))
}

fn present<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if is_absence(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn real(path: &Path) -> io::Result<Option<PathBuf>> {
    present(std::fs::canonicalize(path))
}

fn is_file(path: &Path) -> io::Result<bool> {
    Ok(present(std::fs::symlink_metadata(path))?.is_some_and(|metadata| metadata.is_file()))
}

/// Opens a real path if it is a regular file. Nothing else is opened: to open a FIFO or a device
/// can wait, or do something.
fn open(path: &Path) -> io::Result<Option<(File, Metadata)>> {
    if !is_file(path)? {
        return Ok(None);
    }
    let Some(file) = present(open_unlinked(path))? else { return Ok(None) };
    // Another may stand there by now.
    let metadata = file.metadata()?;
    Ok(metadata.is_file().then_some((file, metadata)))
}

fn open_unlinked(path: &Path) -> io::Result<File> {
    let flags =
        OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NOFOLLOW;
    let opened =
        rustix::fs::openat2(rustix::fs::CWD, path, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS);
    let opened = match opened {
        // Containers whose seccomp profile is old refuse openat2.
        Err(Errno::NOSYS | Errno::PERM) => rustix::fs::open(path, flags, Mode::empty()),
        opened => opened,
    };
    Ok(File::from(opened?))
}

/// The whole content; None if it changes while it is read.
fn read(file: &File, identity: Identity) -> io::Result<Option<Bytes>> {
    let mut content = vec![0; usize::try_from(identity.len).unwrap_or(0)];
    match file.read_exact_at(&mut content, 0) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        result => result?,
    }
    let is_same = Identity::of(&file.metadata()?) == identity;
    Ok(is_same.then(|| Bytes::from(content)))
}
