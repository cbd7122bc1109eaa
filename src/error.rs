//! `StartError`: the only error that reaches `main`.

use std::fmt;

/// Why the server does not start: one line with the likely cause, and the exit code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartError {
    message: String,
    code: i32,
}

impl StartError {
    /// An error that ends the process with uWSGI's ordinary exit code, 1.
    pub fn new(message: impl Into<String>) -> StartError {
        StartError { message: message.into(), code: 1 }
    }

    /// An error with an exit code of its own (uWSGI: 22 when `need-app` finds no app).
    pub fn with_code(message: impl Into<String>, code: i32) -> StartError {
        StartError { message: message.into(), code }
    }

    /// The process's exit code.
    pub fn code(&self) -> i32 {
        self.code
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for StartError {}
