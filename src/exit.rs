//! How commands end: exit codes are API.

use std::fmt;

use sallygate_compiler::diagnostic::Diagnostics;

use crate::diagnostics;

/// Why a command did not do what it was asked to.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Exit 1: something failed.
    Failed(String),
    /// Exit 1: files are wrong; shown with file, line, column and help.
    Diagnostics(Diagnostics),
    /// Exit 2: a comparison found differences.
    Differs(String),
    /// Exit 3: the command line makes no sense.
    Usage(String),
    /// Exit 4: what was named does not exist.
    NotFound(String),
    /// Exit 5: it is in the way of something else.
    Conflict(String),
    /// Exit 6: not allowed.
    Unauthorized(String),
    /// Exit 7: what is needed does not answer.
    Unavailable(String),
    /// The exit code of a child that was run.
    Child(i32),
    /// Nothing is left to be said; the exit code.
    Told(u8),
}

impl Failure {
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Failed(_) | Self::Diagnostics(_) => 1,
            Self::Differs(_) => 2,
            Self::Usage(_) => 3,
            Self::NotFound(_) => 4,
            Self::Conflict(_) => 5,
            Self::Unauthorized(_) => 6,
            Self::Unavailable(_) => 7,
            Self::Told(code) => *code,
            Self::Child(code) => u8::try_from(*code).unwrap_or(1),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(m)
            | Self::Differs(m)
            | Self::Usage(m)
            | Self::NotFound(m)
            | Self::Conflict(m)
            | Self::Unauthorized(m)
            | Self::Unavailable(m) => f.write_str(m),
            Self::Diagnostics(d) => f.write_str(diagnostics::render(d).trim_end()),
            Self::Told(_) => Ok(()),
            Self::Child(code) => write!(f, "the command ended with {code}"),
        }
    }
}

impl From<Diagnostics> for Failure {
    fn from(diagnostics: Diagnostics) -> Self {
        Self::Diagnostics(diagnostics)
    }
}

/// What every command returns.
pub(crate) type Outcome = Result<(), Failure>;

/// Any error as a plain failure.
pub(crate) fn failed(error: impl fmt::Display) -> Failure {
    Failure::Failed(error.to_string())
}
