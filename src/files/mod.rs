//! What it does: finds the file that a request means and says how it is answered: path rules,
//! conditions, ranges, types, and a cache of what was found.
//! What it does not: it knows no socket, no Python; it reads files only in `Search::run`.
//! Who may call it: shard; server, to make the rules.
//! What it may import: request, options, httpdate, mime_guess, regex, rustix.
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
use siblings::{Codings, Siblings};
use types::Types;

use crate::options::{self, Options, ServeMode};
use crate::request::Request;

/// Which files are served and how: made once, the same for all shards.
pub struct Rules {
    /// In the order in which they are tried.
    roots: Vec<Root>,
    /// The front server's DOCUMENT_ROOT comes last.
    check_docroot: bool,
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
        if !self.rules.concern(path, docroot) {
            return None;
        }
        let codings = match self.rules.siblings.is_empty() {
            true => Codings::default(),
            false => asked::codings(head, request),
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
