//! How the runtime is set up.

/// What the embedder decides; all else is Python's own default and the environment's say.
#[derive(Debug, Clone)]
pub struct Config {
    /// The interpreter whose prefix, site-packages and virtualenv count: a venv's `bin/python`, or
    /// the Python that this binary was built with. Not `home`: setting that hides a venv's
    /// packages.
    pub executable: String,
    /// `sys.argv`.
    pub argv: Vec<String>,
    /// The program's name, where it is not the interpreter's.
    pub program: Option<String>,
    /// `sys.flags.optimize`, from 0 to 2.
    pub optimize: u8,
    /// Import `site`, without which there are no site-packages.
    pub site: bool,
}

impl Default for Config {
    fn default() -> Config {
        let (executable, argv) = (String::new(), Vec::new());
        Config { executable, argv, program: None, optimize: 0, site: true }
    }
}
