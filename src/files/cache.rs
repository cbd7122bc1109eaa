//! What a shard has found lately. An entry is looked at again when a second has passed, by the
//! first request that asks for it; others are answered from it meanwhile.

use std::collections::HashMap;
use std::sync::Arc;

use super::search::{Found, Known, Place};

/// Bytes of content that one shard keeps.
const CONTENT_BYTES_MAX: usize = 16 * 1024 * 1024;
const ENTRIES_MAX: usize = 1024;
/// Files that are kept open: large ones, whose content is not kept.
const OPEN_MAX: usize = 64;
/// What nobody has asked for this long is let go: its space on the disk may be wanted.
const IDLE_S: u64 = 5;

#[derive(Default)]
pub(super) struct Cache {
    entries: HashMap<Vec<u8>, Entry>,
    content_bytes: usize,
    open: usize,
}

struct Entry {
    found: Arc<Found>,
    looked_s: u64,
    /// When its place was looked for.
    placed_s: u64,
    used_s: u64,
}

pub(super) enum Look {
    Fresh(Arc<Found>),
    Stale(Option<Known>),
}

fn weight(found: &Found) -> (usize, usize) {
    match found.content() {
        Some(content) => (content.len(), 0),
        None => (0, 1),
    }
}

impl Cache {
    /// The entry, and whether the caller is the one to look at the file again. A place holds for
    /// `places_s` seconds.
    pub(super) fn look(&mut self, key: &[u8], now_s: u64, places_s: u64) -> Look {
        let Some(entry) = self.entries.get_mut(key) else { return Look::Stale(None) };
        entry.used_s = now_s;
        let found = Arc::clone(&entry.found);
        if entry.looked_s == now_s {
            return Look::Fresh(found);
        }
        entry.looked_s = now_s;
        let place_holds = now_s < entry.placed_s.saturating_add(places_s);
        Look::Stale(Some(Known { found, place_holds }))
    }

    pub(super) fn put(&mut self, key: Vec<u8>, found: Arc<Found>, place: Place, now_s: u64) {
        let before = self.take(&key);
        let placed_s = match (place, before) {
            (Place::Remembered, Some(before)) => before.placed_s,
            _ => now_s,
        };
        let (bytes, open) = weight(&found);
        while self.entries.len() >= ENTRIES_MAX
            || self.content_bytes + bytes > CONTENT_BYTES_MAX
            || self.open + open > OPEN_MAX
        {
            let wants_open = self.open + open > OPEN_MAX;
            let oldest = self
                .entries
                .iter()
                .filter(|(_, entry)| !wants_open || weight(&entry.found).1 > 0)
                .min_by_key(|(_, entry)| entry.used_s)
                .map(|(key, _)| key.clone());
            let Some(oldest) = oldest else { break };
            self.remove(&oldest);
        }
        self.content_bytes += bytes;
        self.open += open;
        self.entries.insert(key, Entry { found, looked_s: now_s, placed_s, used_s: now_s });
    }

    pub(super) fn remove(&mut self, key: &[u8]) {
        self.take(key);
    }

    fn take(&mut self, key: &[u8]) -> Option<Entry> {
        let entry = self.entries.remove(key)?;
        let (bytes, open) = weight(&entry.found);
        self.content_bytes -= bytes;
        self.open -= open;
        Some(entry)
    }

    pub(super) fn sweep(&mut self, now_s: u64, places_s: u64) {
        let limit = IDLE_S.max(places_s);
        let idle = |entry: &Entry| now_s.saturating_sub(entry.used_s) > limit;
        let old: Vec<_> =
            self.entries.iter().filter(|(_, e)| idle(e)).map(|(key, _)| key.clone()).collect();
        old.iter().for_each(|key| self.remove(key));
    }
}
