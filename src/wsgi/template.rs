//! `Template`: a dict that follows the requests, and the table of the names that come in them.
//!
//! What must never happen is that a field of one request shows in the next: each name that stands
//! in the dict is in `present`, and `end` takes out those that the request did not have. The tables
//! have a fixed size: a peer that invents names replaces entries, it does not make memory grow.

use crate::handoff::Head;
use crate::python::{Dict, Kept, Object, Py};

/// A key whose value is often the one of the last request.
pub struct Cached {
    key: Kept,
    bytes: Vec<u8>,
    value: Option<Kept>,
    /// The value stands in the template's dict.
    is_set: bool,
}

impl Cached {
    pub fn new(key: &Object<'_>) -> Cached {
        Cached { key: key.clone().keep(), bytes: Vec::new(), value: None, is_set: false }
    }

    /// Sees to it that the dict has `bytes` as the key's str.
    pub fn put(&mut self, py: Py<'_>, template: &Dict<'_>, bytes: &[u8]) {
        let is_same = self.value.is_some() && self.bytes == bytes;
        if is_same && self.is_set {
            return;
        }
        if !is_same {
            self.bytes.clear();
            self.bytes.extend_from_slice(bytes);
            self.value = Some(py.latin1(bytes).keep());
        }
        if let Some(value) = &self.value {
            template.set(self.key.get(py), value.get(py));
            self.is_set = true;
        }
    }

    fn take_out(&mut self, py: Py<'_>, template: &Dict<'_>) {
        if std::mem::take(&mut self.is_set) {
            template.remove(self.key.get(py));
        }
    }
}

/// One field name, its key and its last value.
struct Entry {
    name: Vec<u8>,
    cached: Cached,
    /// The request that had it last.
    serial: u64,
}

const ENTRIES: usize = 256;
/// Places that a name may stand in.
const STEPS: usize = 4;

/// See the module's head.
pub struct Template {
    dict: Kept,
    entries: Vec<Option<Entry>>,
    /// Places of the entries whose key stands in the dict.
    present: Vec<usize>,
    /// Entries that this request has had.
    seen: usize,
    serial: u64,
}

impl Template {
    /// A template that starts with what all requests have.
    pub fn new(dict: Dict<'_>) -> Template {
        Template {
            dict: dict.into_object().keep(),
            entries: (0..ENTRIES).map(|_| None).collect(),
            present: Vec::new(),
            seen: 0,
            serial: 0,
        }
    }

    /// Begins a request; the dict that its fields are put into.
    pub fn begin<'py>(&mut self, py: Py<'py>) -> Dict<'py> {
        self.serial += 1;
        self.seen = 0;
        Dict::from_object(self.dict.get(py).clone()).expect("BUG: the template is a dict")
    }

    /// Puts a header field: a second one of its name is joined to the first (RFC 9110, 5.3; RFC
    /// 9113, 8.2.3 for Cookie). False if its places in the table are taken.
    pub fn put_header<'py>(
        &mut self,
        py: Py<'py>,
        template: &Dict<'py>,
        name: &[u8],
        value: &[u8],
    ) -> bool {
        let is_same = <[u8]>::eq_ignore_ascii_case;
        let key = || py.interned_unless_forever(&environ_key(name));
        let Some((entry, is_first)) = self.entry(py, template, name, is_same, key) else {
            return false;
        };
        if is_first {
            entry.cached.put(py, template, value);
        } else {
            let both = joined(name, &entry.cached.bytes, value);
            entry.cached.put(py, template, &both);
        }
        true
    }

    /// Puts a variable of the uwsgi protocol: the last one of its name wins. False as above.
    pub fn put_variable<'py>(
        &mut self,
        py: Py<'py>,
        template: &Dict<'py>,
        name: &[u8],
        value: &[u8],
    ) -> bool {
        let is_same = |a: &[u8], b: &[u8]| a == b;
        let Some((entry, _)) = self.entry(py, template, name, is_same, || py.latin1(name)) else {
            return false;
        };
        entry.cached.put(py, template, value);
        true
    }

    /// Takes out what earlier requests had and this one has not.
    pub fn end(&mut self, py: Py<'_>, template: &Dict<'_>) {
        if self.seen == self.present.len() {
            return;
        }
        let (entries, serial) = (&mut self.entries, self.serial);
        self.present.retain(|&at| match &mut entries[at] {
            Some(entry) if entry.serial == serial => true,
            Some(entry) => {
                entry.cached.take_out(py, template);
                false
            }
            None => false,
        });
    }

    /// Sets the fields that found no place in the table, in the request's own environ.
    pub fn put_crowded_headers(&self, py: Py<'_>, environ: &Dict<'_>, head: &Head<'_>) {
        for field in head.fields {
            let name = field.name.of(head.bytes);
            if self.find(name, <[u8]>::eq_ignore_ascii_case).is_some() {
                continue;
            }
            let value = field.value.of(head.bytes);
            let key = py.interned_unless_forever(&environ_key(name));
            match environ.get(&key) {
                Some(first) => {
                    let both = joined(name, first.as_latin1().unwrap_or_default(), value);
                    environ.set(&key, &py.latin1(&both));
                }
                None => environ.set(&key, &py.latin1(value)),
            }
        }
    }

    /// As `put_crowded_headers`, for variables.
    pub fn put_crowded_variables(&self, py: Py<'_>, environ: &Dict<'_>, head: &Head<'_>) {
        for field in head.fields {
            let name = field.name.of(head.bytes);
            if self.find(name, |a, b| a == b).is_none() {
                environ.set(&py.latin1(name), &py.latin1(field.value.of(head.bytes)));
            }
        }
    }

    /// The entry of `name`, and whether this is its first field in this request. None when all its
    /// places are in use by other names of this request, or its key is one that all requests have.
    fn entry<'py>(
        &mut self,
        py: Py<'py>,
        template: &Dict<'py>,
        name: &[u8],
        is_same: fn(&[u8], &[u8]) -> bool,
        key: impl FnOnce() -> Object<'py>,
    ) -> Option<(&mut Entry, bool)> {
        let at = match self.find(name, is_same) {
            Some(at) => at,
            None => {
                let at = self.unused(name)?;
                let key = key();
                if template.get(&key).is_some() {
                    return None; // One that all requests have must not be taken out later.
                }
                if let Some(old) = &mut self.entries[at] {
                    old.cached.take_out(py, template);
                    self.present.retain(|&other| other != at);
                }
                let cached = Cached::new(&key);
                self.entries[at] = Some(Entry { name: name.to_vec(), cached, serial: 0 });
                at
            }
        };
        let entry = self.entries[at].as_mut()?;
        let is_first = entry.serial != self.serial;
        if is_first {
            entry.serial = self.serial;
            self.seen += 1;
            if !entry.cached.is_set {
                self.present.push(at);
            }
        }
        Some((entry, is_first))
    }

    fn find(&self, name: &[u8], is_same: fn(&[u8], &[u8]) -> bool) -> Option<usize> {
        places(name).find(|&at| self.entries[at].as_ref().is_some_and(|e| is_same(&e.name, name)))
    }

    fn unused(&self, name: &[u8]) -> Option<usize> {
        places(name).find(|&at| self.entries[at].as_ref().is_none_or(|e| e.serial != self.serial))
    }
}

/// A cheap hash that is blind to case: length, first, middle and last letters.
fn places(name: &[u8]) -> impl Iterator<Item = usize> {
    let len = name.len();
    let at = |index: usize| usize::from(name.get(index).copied().unwrap_or(0) | 0x20);
    let hash = len.wrapping_mul(31)
        ^ at(0).wrapping_mul(7)
        ^ at(len / 2).wrapping_mul(131)
        ^ at(len.wrapping_sub(1)).wrapping_mul(1031)
        ^ at(len.wrapping_sub(3)).wrapping_mul(17);
    let first = hash ^ (hash >> 8);
    (0..STEPS).map(move |step| first.wrapping_add(step) % ENTRIES)
}

fn joined(name: &[u8], first: &[u8], second: &[u8]) -> Vec<u8> {
    let is_cookie = name.eq_ignore_ascii_case(b"cookie");
    let separator: &[u8] = if is_cookie { b"; " } else { b"," };
    [first, separator, second].concat()
}

/// `Accept-Language` becomes `HTTP_ACCEPT_LANGUAGE`; the two fields of the body have no prefix.
fn environ_key(name: &[u8]) -> String {
    let upper: String = name
        .iter()
        .map(|&byte| if byte == b'-' { '_' } else { char::from(byte.to_ascii_uppercase()) })
        .collect();
    match upper.as_str() {
        "CONTENT_TYPE" | "CONTENT_LENGTH" => upper,
        _ => format!("HTTP_{upper}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_environ_keys() {
        assert_eq!(environ_key(b"Accept-Language"), "HTTP_ACCEPT_LANGUAGE");
        assert_eq!(environ_key(b"content-type"), "CONTENT_TYPE");
    }
}
