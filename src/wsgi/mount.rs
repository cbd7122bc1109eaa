//! Which of several apps a request is for. uWSGI: mountpoints.

use super::app::{Rule, Source};
use crate::python::{Dict, Kept, Py};
use crate::request::{longest_mountpoint, mountpoint};

/// The mountpoints of an interpreter's apps, each in the place of its app.
pub struct Mounts {
    points: Vec<Vec<u8>>,
    default: Option<usize>,
    rule: Rule,
    script_name: Kept,
    path_info: Kept,
    app_id: Kept,
}

impl Mounts {
    /// None where every request is for the one app that there is.
    pub fn new(py: Py<'_>, apps: &[Source], rule: Rule) -> Option<Mounts> {
        if apps.iter().all(|app| app.mountpoint.is_empty()) {
            return None;
        }
        let points: Vec<_> = apps.iter().map(|app| mountpoint(&app.mountpoint)).collect();
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
            // The app of everything leaves SCRIPT_NAME to the front server.
            let found = path.and_then(|path| Some((path, longest_mountpoint(&self.points, path)?)));
            if let Some((path, (app, len))) = found {
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

/// uWSGI: the app of everything, else the first.
fn default(points: &[Vec<u8>], rule: Rule) -> Option<usize> {
    let first = (!rule.no_default_app).then_some(0);
    points.iter().position(Vec::is_empty).or(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(mountpoints: &[&str]) -> Vec<Vec<u8>> {
        mountpoints.iter().map(|point| mountpoint(point)).collect()
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
