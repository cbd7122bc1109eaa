//! An app that a test writes, and changes while it is served.

use super::{Mode, Server};

/// An app in a file that changes while it is served.
pub struct Code {
    directory: tempfile::TempDir,
}

impl Code {
    pub fn new() -> Code {
        let code = Code { directory: super::scratch() };
        code.says("one");
        code
    }

    pub fn path(&self) -> String {
        self.directory.path().join("app.py").display().to_string()
    }

    pub fn write(&self, text: &str) {
        // Two versions within a second must not share their bytecode.
        let _ = std::fs::remove_dir_all(self.directory.path().join("__pycache__"));
        std::fs::write(self.path(), text).unwrap();
    }

    pub fn says(&self, what: &str) {
        self.begins("", what);
    }

    /// Code that runs at import, then the app.
    pub fn begins(&self, first: &str, what: &str) {
        self.write(&format!(
            "{first}\ndef application(e, s):\n    s('200 OK', [])\n    return [b'{what}']\n"
        ));
    }

    pub fn serve(&self, mode: Mode, more: &[&str]) -> Server {
        let path = self.path();
        let mut args = vec!["--http-socket", "127.0.0.1:0", "--wsgi-file", &path];
        args.extend_from_slice(more);
        Server::start(mode, &args)
    }
}
