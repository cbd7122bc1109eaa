//! How the runtime is set up.

/// What the embedder decides; all else is Python's own default and the environment's say.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// The interpreter whose prefix, site-packages and virtualenv count: a venv's `bin/python`, or
    /// the Python that this binary was built with. Not `home`: setting that hides a venv's
    /// packages.
    pub executable: String,
    /// `sys.argv`.
    pub argv: Vec<String>,
}
