//! Which of several apps a request is for. uWSGI: mountpoints.

use super::app::{Rule, Source};
use crate::python::{Dict, Kept, Py};

/// The mountpoints of an interpreter's apps, each in the place of its app.
pub struct Mounts {
    points: Vec<Vec<u8>>,
    default: Option<usize>,
    rule: Rule,
    script_name: Kept,
    path_info: Kept,
    app_id: Kept,
}

/// Where a path begins with a mountpoint.
#[derive(Debug, PartialEq, Eq)]
struct Match {
    app: usize,
    /// Bytes of the mountpoint, and so of the path's front.
    len: usize,
}

impl Mounts {
    /// None where every request is for the one app that there is.
    pub fn new(py: Py<'_>, apps: &[Source], rule: Rule) -> Option<Mounts> {
        if apps.iter().all(|app| app.mountpoint.is_empty()) {
            return None;
        }
        let points: Vec<_> = apps.iter().map(|app| point(&app.mountpoint)).collect();
        Some(Mounts {
            default: default(&points, rule),
            points,
            rule,
            script_name: py.interned("SCRIPT_NAME").keep(),
            path_info: py.interned("PATH_INFO").keep(),
            app_id: py.interned("UWSGI_APPID").keep(),
        })
    }

    /// The app for a request, whose SCRIPT_NAME and PATH_INFO become what that app expects.
    pub fn choose(&self, py: Py<'_>, environ: &Dict<'_>) -> Option<usize> {
        if self.rule.manage_script_name {
            // A packet need not have one.
            let path = environ.get(self.path_info.get(py));
            let path = path.as_ref().and_then(|path| path.as_latin1());
            let found = path.and_then(|path| Some((path, longest(&self.points, path)?)));
            if let Some((path, Match { app, len })) = found {
                environ.set(self.script_name.get(py), &py.latin1(&path[..len]));
                environ.set(self.path_info.get(py), &py.latin1(&path[len..]));
                return Some(app);
            }
        }
        let named = |key: &Kept| {
            let name = environ.get(key.get(py))?;
            let name = name.as_latin1().filter(|name| !name.is_empty())?;
            self.points.iter().position(|point| point == name)
        };
        let by_script = || (!self.rule.ignore_script_name).then(|| named(&self.script_name))?;
        named(&self.app_id).or_else(by_script).or(self.default)
    }
}

/// uWSGI: a `/` at the end of a mountpoint does not count.
fn point(written: &str) -> Vec<u8> {
    written.strip_suffix('/').unwrap_or(written).as_bytes().to_vec()
}

/// uWSGI: the app of everything, else the first.
fn default(points: &[Vec<u8>], rule: Rule) -> Option<usize> {
    let first = (!rule.no_default_app).then_some(0);
    points.iter().position(Vec::is_empty).or(first)
}

/// The longest mountpoint that the path begins with, up to its end or a `/`. The app of everything
/// leaves SCRIPT_NAME to the front server.
fn longest(points: &[Vec<u8>], path: &[u8]) -> Option<Match> {
    let fits = |point: &&Vec<u8>| {
        let rest = path.strip_prefix(point.as_slice()).filter(|_| !point.is_empty());
        rest.is_some_and(|rest| matches!(rest, [] | [b'/', ..]))
    };
    let len = points.iter().filter(fits).map(Vec::len).max()?;
    let app = points.iter().position(|point| point.len() == len && fits(&point))?;
    Some(Match { app, len })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(mountpoints: &[&str]) -> Vec<Vec<u8>> {
        mountpoints.iter().map(|mountpoint| point(mountpoint)).collect()
    }

    #[test]
    fn the_longest_mountpoint_of_whole_segments_wins() {
        let mounted = points(&["", "/one", "/two/", "/one/deep"]);
        let found = |path: &str| longest(&mounted, path.as_bytes()).map(|found| found.app);
        for (path, app) in [
            ("/one", 1),
            ("/one/", 1),
            ("/one/x", 1),
            ("/one/deep/y", 3),
            ("/one/deeper", 1),
            ("/two", 2),
            ("/two//z", 2),
        ] {
            assert_eq!(found(path), Some(app), "{path}");
        }
        for path in ["/", "/onex", "/other", ""] {
            assert_eq!(found(path), None, "{path}");
        }
    }

    #[test]
    fn the_app_of_everything_or_the_first_is_the_default() {
        let strict = Rule { no_default_app: true, ..Rule::default() };
        for (mounted, rule, expected) in [
            (points(&["/one", "/two"]), Rule::default(), Some(0)),
            (points(&["/one", "/"]), Rule::default(), Some(1)),
            (points(&["", "/two"]), strict, Some(0)),
            (points(&["/one", "/two"]), strict, None),
        ] {
            assert_eq!(default(&mounted, rule), expected);
        }
    }
}
