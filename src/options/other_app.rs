//! Where an app is that is no module and no file: with PasteDeploy, or in the configuration itself.

use std::path::{Path, PathBuf};

use super::value::Wrong;

/// uWSGI: `paste` and `eval`.
#[derive(Debug, Clone, Default)]
pub struct OtherApp {
    /// What PasteDeploy's `loadapp` takes: `config:/path/to/file.ini#name`, `egg:package`.
    pub paste: Option<String>,
    /// Logging is set up as a Paste file says: as this one, else as the app's own.
    pub paste_logger: Option<Option<PathBuf>>,
    /// Python code that leaves a callable.
    pub code: Option<String>,
}

impl OtherApp {
    /// uWSGI: `ini-paste`, whose settings are read where it stands.
    pub(super) fn read_paste(&mut self, file: &Path) -> Result<(), Wrong> {
        let file = std::path::absolute(file).map_err(|_| Wrong::Expected("a file"))?;
        self.paste = Some(format!("config:{}", file.display()));
        Ok(())
    }
}

/// The file that PasteDeploy reads for `uri`.
pub fn paste_file(uri: &str) -> Option<&Path> {
    let file = uri.strip_prefix("config:")?;
    Some(Path::new(file.split_once('#').map_or(file, |(file, _)| file)))
}
