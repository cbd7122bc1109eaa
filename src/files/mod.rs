//! What it does: finds the file that a request means and says how it is answered: path rules,
//! conditions, ranges, types, and a cache of what was found.
//! What it does not: it knows no socket, no Python; it reads files only in `Search::run`.
//! Who may call it: shard; server, to make the rules.
//! What it may import: request, options, httpdate, mime_guess, rustix.
//!
//! A shard asks `Files::wanted`, which compares prefixes and touches no disk. What is wanted comes
//! from the cache or from a `Search`, which a helper thread runs. `Files::answer` writes the head.

mod answer;
mod asked;
mod cache;
mod conditions;
mod etag;
mod expires;
mod path;
mod ranges;
mod search;
mod siblings;
mod types;

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use answer::{Answer, Body, Piece};
pub use asked::Asked;
pub use search::{Found, Outcome, Place, Search};

use cache::Cache;
use expires::Expiry;
use siblings::Siblings;
use types::Types;

use crate::options::{self, Options, ServeMode};
use crate::request::{Codings, Request, longest_mountpoint, mountpoint};

/// Which files are served and how: made once, the same for all shards.
pub struct Rules {
    /// In the order in which they are tried.
    roots: Vec<Root>,
    /// The front server's DOCUMENT_ROOT comes last.
    check_docroot: bool,
    /// With `manage-script-name`: they are cut off the path before.
    mountpoints: Vec<Vec<u8>>,
    index: Vec<String>,
    /// Links may lead into these.
    safe: Vec<PathBuf>,
    skip_ext: Vec<Vec<u8>>,
    types: Types,
    /// Seconds for which a place is not looked for again.
    places_s: u64,
    expiry: Vec<Expiry>,
    siblings: Siblings,
    ranges: bool,
    serve_mode: ServeMode,
}

/// A directory, and the paths whose files are looked for in it.
struct Root {
    prefix: Vec<u8>,
    directory: PathBuf,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The prefix is cut; the directory may be a file, which is then the answer to all.
    Cut,
    /// The whole path is looked for.
    Whole,
}

impl Rules {
    /// The rules of `options`; None where no file is served. Relative paths count from the working
    /// directory of now.
    pub fn new(options: &Options) -> Option<Rules> {
        let asked = &options.files;
        let here = std::env::current_dir().unwrap_or_default();
        let root = |prefix: &str, directory: &Path, kind| Root {
            prefix: prefix.as_bytes().to_vec(),
            directory: here.join(directory),
            kind,
        };
        // uWSGI's order, whatever the order in which they were written.
        let mut roots: Vec<Root> =
            asked.check.iter().map(|directory| root("", directory, Kind::Whole)).collect();
        roots.extend(asked.map.iter().map(|(prefix, path)| root(prefix, path, Kind::Cut)));
        roots.extend(asked.map_whole.iter().map(|(prefix, path)| root(prefix, path, Kind::Whole)));
        if roots.is_empty() && !asked.check_docroot {
            return None;
        }
        Some(Rules {
            roots,
            check_docroot: asked.check_docroot,
            mountpoints: match options.manage_script_name {
                true => options.mount.iter().map(|(point, _)| mountpoint(point)).collect(),
                false => Vec::new(),
            },
            index: asked.index.clone(),
            safe: asked.safe.iter().map(|directory| here.join(directory)).collect(),
            skip_ext: asked.skip_ext.iter().map(|end| end.as_bytes().to_vec()).collect(),
            types: Types::read(&asked.mime_files),
            places_s: asked.places_s,
            expiry: asked.expires.iter().map(Expiry::new).collect(),
            siblings: Siblings::new(&asked.compressed, &here),
            ranges: asked.ranges,
            serve_mode: asked.serve_mode,
        })
    }

    /// uWSGI's lines about the maps.
    pub fn mappings(options: &Options) -> impl Iterator<Item = String> + '_ {
        let options::Files { map, map_whole, .. } = &options.files;
        map.iter().chain(map_whole).map(|(prefix, path)| {
            format!("[uwsgi-static] added mapping for {prefix} => {}", path.display())
        })
    }

    /// Whether a file might answer to `path`.
    fn concern(&self, path: &[u8], docroot: Option<&[u8]>) -> bool {
        (self.roots.iter().any(|root| path.starts_with(&root.prefix)) || docroot.is_some())
            && !self.is_skipped(path)
            && path::is_safe(path)
    }

    fn is_skipped(&self, path: &[u8]) -> bool {
        self.skip_ext.iter().any(|end| path.ends_with(end))
    }
}

/// One shard's view: the rules, and what it has found lately.
pub struct Files {
    rules: Arc<Rules>,
    cache: RefCell<Cache>,
}

/// A file that a request may mean: where to look, and under which key it is remembered.
pub struct Wanted {
    path: Vec<u8>,
    docroot: Option<Vec<u8>>,
    codings: Codings,
    key: Vec<u8>,
}

/// What the cache says.
pub enum Cached {
    Fresh(Arc<Found>),
    /// To be looked for; with what is known from before.
    Stale(Search),
}

impl Files {
    pub fn new(rules: Arc<Rules>) -> Files {
        Files { rules, cache: RefCell::default() }
    }

    /// Whether a file might be the answer: no disk is touched. Requests that match no rule cost a
    /// comparison for each.
    pub fn wanted(&self, head: &[u8], request: &Request) -> Option<Wanted> {
        if !matches!(request.method.of(head), b"GET" | b"HEAD") {
            return None;
        }
        let raw = request.path.of(head);
        let docroot = match self.rules.check_docroot {
            true => asked::docroot(head, request),
            false => None,
        };
        let mut decoded = Vec::new();
        let path = if request.path_is_encoded {
            crate::request::decode_path(raw, &mut decoded);
            &decoded[..]
        } else {
            raw
        };
        let path = match longest_mountpoint(&self.rules.mountpoints, path) {
            Some((_, len)) => &path[len..],
            None => path,
        };
        if !self.rules.concern(path, docroot) {
            return None;
        }
        let codings = match self.rules.siblings.is_empty() {
            true => Codings::default(),
            false => Codings::of(head, request.kind, &request.fields),
        };
        let mut key = Vec::with_capacity(1 + path.len() + docroot.map_or(0, |d| 1 + d.len()));
        key.push(codings.bits());
        key.extend_from_slice(path);
        if let Some(docroot) = docroot {
            key.push(0); // No path has one.
            key.extend_from_slice(docroot);
        }
        Some(Wanted { path: path.to_vec(), docroot: docroot.map(<[u8]>::to_vec), codings, key })
    }

    /// What is known of the file, if it was looked at within this second.
    pub fn cached(&self, wanted: &Wanted, now_s: u64) -> Cached {
        let mut cache = self.cache.borrow_mut();
        let known = match cache.look(&wanted.key, now_s, self.rules.places_s) {
            cache::Look::Fresh(found) => return Cached::Fresh(found),
            cache::Look::Stale(known) => known,
        };
        Cached::Stale(Search {
            rules: Arc::clone(&self.rules),
            path: wanted.path.clone(),
            docroot: wanted.docroot.clone(),
            codings: wanted.codings,
            known,
        })
    }

    /// Remembers what a search gave, until it is not asked for any more.
    pub fn remember(&self, wanted: &Wanted, outcome: &Outcome, now_s: u64) {
        let mut cache = self.cache.borrow_mut();
        match outcome {
            Outcome::Found(found, place) => {
                cache.put(wanted.key.clone(), Arc::clone(found), *place, now_s);
            }
            _ => cache.remove(&wanted.key),
        }
    }

    /// Lets go of what nobody has asked for lately.
    pub fn sweep(&self, now_s: u64) {
        self.cache.borrow_mut().sweep(now_s, self.rules.places_s);
    }

    /// How a request is answered with `found`. Head lines are appended to `out`, from the status to
    /// the last field; the version before it and the fields of the connection are the caller's.
    /// `now_s`: seconds since the epoch.
    pub fn answer(
        &self,
        asked: &Asked<'_>,
        found: &Found,
        now_s: u64,
        boundary: u64,
        out: &mut Vec<u8>,
    ) -> Answer {
        answer::answer(&self.rules, asked, found, now_s, boundary, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Range;

    /// A GET (or another method) for a path, as bytes and ranges.
    fn request(method: &str, path: &str) -> (Vec<u8>, Request) {
        let head = format!("{method} {path}").into_bytes();
        let request = Request {
            method: Range::new(0, method.len()),
            path: Range::new(method.len() + 1, path.len()),
            path_is_encoded: path.contains('%'),
            ..Request::default()
        };
        (head, request)
    }

    fn files(directory: &Path, places_s: u64) -> Files {
        let mut options = Options::default();
        options.files.map.push(("/s".to_owned(), directory.to_owned()));
        options.files.places_s = places_s;
        Files::new(Arc::new(Rules::new(&options).unwrap()))
    }

    fn wanted(files: &Files, path: &str) -> Wanted {
        let (head, request) = request("GET", path);
        files.wanted(&head, &request).unwrap()
    }

    /// Looks as a shard does. What was found, and how; None for the cache.
    fn look(files: &Files, path: &str, now_s: u64) -> (Option<Arc<Found>>, Option<Place>) {
        let wanted = wanted(files, path);
        match files.cached(&wanted, now_s) {
            Cached::Fresh(found) => (Some(found), None),
            Cached::Stale(search) => {
                let outcome = search.run();
                files.remember(&wanted, &outcome, now_s);
                match outcome {
                    Outcome::Found(found, place) => (Some(found), Some(place)),
                    _ => (None, Some(Place::Looked)),
                }
            }
        }
    }

    #[test]
    fn without_options_there_are_no_rules() {
        assert!(Rules::new(&Options::default()).is_none());
    }

    #[test]
    fn only_paths_of_a_rule_are_wanted() {
        let files = files(Path::new("/nowhere"), 0);
        let is_wanted = |method: &str, path: &str| {
            let (head, request) = request(method, path);
            files.wanted(&head, &request).is_some()
        };
        assert!(is_wanted("GET", "/s") && is_wanted("HEAD", "/s/a") && is_wanted("GET", "/%73/a"));
        assert!(!is_wanted("POST", "/s/a") && !is_wanted("GET", "/") && !is_wanted("GET", "/t/s"));
        assert!(!is_wanted("GET", "/s/%2e%2e/a") && !is_wanted("GET", "/s/%00"));
    }

    #[test]
    fn a_file_is_looked_at_once_in_a_second_and_read_when_it_changes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        std::fs::write(&path, "first").unwrap();
        let files = files(directory.path(), 0);
        let (first, place) = look(&files, "/s/a", 1);
        assert_eq!(place, Some(Place::Looked));
        assert_eq!(look(&files, "/s/a", 1).1, None);
        let (again, place) = look(&files, "/s/a", 2);
        assert!(Arc::ptr_eq(&first.unwrap(), &again.unwrap()) && place == Some(Place::Looked));
        std::fs::write(&path, "second").unwrap();
        let (changed, _) = look(&files, "/s/a", 3);
        assert_eq!(changed.unwrap().content().unwrap(), &b"second"[..]);
        std::fs::remove_file(&path).unwrap();
        assert!(look(&files, "/s/a", 4).0.is_none());
    }

    #[test]
    fn one_look_is_enough_for_all_who_ask_meanwhile() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("a"), "").unwrap();
        let files = files(directory.path(), 0);
        look(&files, "/s/a", 1);
        let wanted = wanted(&files, "/s/a");
        assert!(matches!(files.cached(&wanted, 2), Cached::Stale(_)));
        assert!(matches!(files.cached(&wanted, 2), Cached::Fresh(_)));
    }

    #[test]
    fn a_place_holds_as_long_as_it_was_asked_to() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("a"), "a").unwrap();
        let files = files(directory.path(), 10);
        assert_eq!(look(&files, "/s/a", 1).1, Some(Place::Looked));
        assert_eq!(look(&files, "/s/a", 5).1, Some(Place::Remembered));
        assert_eq!(look(&files, "/s/a", 10).1, Some(Place::Remembered));
        assert_eq!(look(&files, "/s/a", 11).1, Some(Place::Looked));
    }

    #[test]
    fn what_nobody_asks_for_is_let_go() {
        let directory = tempfile::tempdir().unwrap();
        let large = directory.path().join("large");
        std::fs::File::create(&large).unwrap().set_len(search::SMALL_BYTES + 1).unwrap();
        let files = files(directory.path(), 0);
        let (found, _) = look(&files, "/s/large", 1);
        let file = Arc::downgrade(&found.unwrap().file().unwrap());
        files.sweep(3);
        assert!(file.upgrade().is_some());
        files.sweep(60);
        assert!(file.upgrade().is_none(), "its space on the disk is free");
    }

    #[test]
    fn the_cache_keeps_to_its_limits() {
        let directory = tempfile::tempdir().unwrap();
        let files = files(directory.path(), 0);
        for index in 0..200 {
            let path = directory.path().join(format!("{index}"));
            std::fs::File::create(&path).unwrap().set_len(search::SMALL_BYTES).unwrap();
            look(&files, &format!("/s/{index}"), index);
        }
        let is_kept = |index: u64| {
            let wanted = wanted(&files, &format!("/s/{index}"));
            matches!(files.cached(&wanted, index), Cached::Fresh(_))
        };
        assert!(!is_kept(0) && is_kept(199), "the oldest go first");
        assert_eq!((0..200).filter(|&index| is_kept(index)).count(), 128);
    }
}
