//! Where the master came from: what a reload reads again.

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use crate::error::StartError;
use crate::options::{self, Environment, Options, SocketSpec};

/// Arguments, environment and directory of the first start.
pub struct Origin {
    pub args: Vec<OsString>,
    pub env: Environment,
    directory: Option<File>,
    path: PathBuf,
    /// Sockets of a service manager that the configuration does not name.
    activated: Vec<SocketSpec>,
}

impl Origin {
    pub fn new(args: Vec<OsString>, env: Environment, activated: Vec<SocketSpec>) -> Origin {
        // A descriptor, since the directory may be renamed while a new version is deployed.
        let directory = File::open(".").ok();
        let path = std::env::current_dir().unwrap_or_default();
        Origin { args, env, directory, path, activated }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads all sources as at the first start.
    ///
    /// # Errors
    /// As at the first start; and when a source cannot be read twice.
    pub fn read_again(&self, before: &Options) -> Result<Options, StartError> {
        let here = File::open(".").ok();
        self.enter()?;
        let mut env = self.env.clone();
        env.retain(|(name, _)| name != options::RELOADS);
        env.push((options::RELOADS.into(), "1".into()));
        let result = options::from_process(self.args.clone(), &env).map(|mut options| {
            options.home = options.home.or_else(|| before.home.clone());
            options.sockets.extend(self.activated.iter().cloned());
            options
        });
        if result.is_err()
            && let Some(here) = here
        {
            let _ = rustix::process::fchdir(here.as_fd());
        }
        result
    }

    fn enter(&self) -> Result<(), StartError> {
        // A directory that was replaced under its name is the new one, as for a person who types.
        if std::env::set_current_dir(&self.path).is_ok() {
            return Ok(());
        }
        let shown = self.path.display();
        let Some(directory) = &self.directory else {
            return Err(StartError::new(format!("the directory {shown} is gone")));
        };
        rustix::process::fchdir(directory.as_fd())
            .map_err(|error| StartError::new(format!("the directory {shown}: {error}")))
    }
}
