//! `Setting`: one thing that was written somewhere, before anyone asks what it means.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::declared::Declared;
use super::logic::Block;
use super::{Environment, Options, table};

/// Where a setting was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The position in argv, the program's name being 0.
    Argument(usize),
    /// The environment variable's name.
    Environment(String),
    File {
        path: Arc<Path>,
        /// Counts from 1.
        line: usize,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Argument(position) => write!(f, "argument {position}"),
            Origin::Environment(name) => f.write_str(name),
            Origin::File { path, line } => write!(f, "{}:{line}", path.display()),
        }
    }
}

/// One option or placeholder as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Without dashes; a prefix on the command line is the whole name here.
    pub name: String,
    /// `None` for a bare key or flag.
    pub value: Option<String>,
    pub origin: Origin,
}

impl Options {
    /// Where an option was set and as what, for messages: `app.ini:3: uid`.
    pub fn place(&self, name: &str) -> String {
        match self.written(name) {
            Some(Setting { name, origin, .. }) => format!("{origin}: {name}"),
            None => name.to_owned(),
        }
    }

    /// The last setting of an option, whichever of its names was written; for messages.
    pub fn written(&self, name: &str) -> Option<&Setting> {
        let (_, opt) = table::find(name)?;
        self.settings.iter().rev().find(|setting| opt.names.contains(&setting.name.as_str()))
    }
}

/// What reading a configuration may touch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum World {
    /// Files are read, and `@(exec://..)` runs commands.
    Open,
    /// Files are read; nothing is to happen.
    Seen,
    /// Nothing but the text at hand.
    Closed,
}

/// What the sources have given so far.
#[derive(Debug)]
pub(super) struct Read<'a> {
    pub(super) env: &'a Environment,
    pub(super) world: World,
    pub(super) settings: Vec<Setting>,
    pub(super) warnings: Vec<String>,
    pub(super) config_dir: Option<PathBuf>,
    /// The sections that are being read, the outermost first.
    pub(super) open: Vec<(PathBuf, String)>,
    /// All files so far.
    pub(super) files: usize,
    /// Bytes of names and values so far.
    pub(super) bytes: usize,
    /// The condition or loop that goes on.
    pub(super) block: Option<Block>,
    /// Files that are read last.
    pub(super) inherited: Vec<(String, Origin)>,
    /// Options that the configuration made so far.
    pub(super) declared: HashMap<String, Declared>,
    /// Where in `settings` they were met and read.
    pub(super) expanded: HashSet<usize>,
    /// In how many of them the next setting stands.
    pub(super) within: usize,
}

impl Read<'_> {
    pub(super) fn new(env: &Environment, world: World) -> Read<'_> {
        Read {
            env,
            world,
            settings: Vec::new(),
            warnings: Vec::new(),
            config_dir: None,
            open: Vec::new(),
            files: 0,
            bytes: 0,
            block: None,
            inherited: Vec::new(),
            declared: HashMap::new(),
            expanded: HashSet::new(),
            within: 0,
        }
    }
}
