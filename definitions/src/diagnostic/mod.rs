//! What an author is told about what they wrote: a code, a place, a sentence and a help line.
//!
//! A diagnostic is advice, never an answer to a sandbox. Its message holds no secret: values of
//! credentials never reach this crate.

mod codes;
mod github;
mod sarif;

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::ops::Range;

use serde::Serialize;
use serde_json::json;

pub use codes::{CODES, CodeSpec};

/// Whether compilation can go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Error,
    Warning,
}

impl Severity {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// A place in a source file that a person can go to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    pub file: String,
    /// Bytes.
    pub span: Range<usize>,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// The dotted path of the field; empty for the file as a whole.
    pub field: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// The binding, and the field of it, that a diagnostic is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Subject {
    pub binding: String,
    /// Dotted, such as `bindingConfig.repositories[0]`; empty for the binding as a whole.
    pub field: String,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.field.as_str() {
            "" => write!(f, "binding `{}`", self.binding),
            field => write!(f, "binding `{}`, `{field}`", self.binding),
        }
    }
}

/// Something else that has to do with a diagnostic, such as the other route of a conflict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Related {
    pub message: String,
    pub place: Option<Place>,
}

/// One problem, with all that a person needs to mend it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// Stable: part of the interface. One of [`CODES`], or `family.code` for what a definition
    /// says about its own bindings.
    pub code: Cow<'static, str>,
    pub severity: Severity,
    pub message: String,
    /// Where the author wrote it, when it stands in a file.
    pub place: Option<Place>,
    /// What it is about, for those who keep bindings elsewhere than in files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<Subject>,
    pub help: Option<String>,
    pub related: Vec<Related>,
    /// A concrete request that shows the problem, as `METHOD URL`.
    pub witness: Option<String>,
}

impl Diagnostic {
    pub fn error(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(code.into(), Severity::Error, message.into())
    }

    pub fn warning(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(code.into(), Severity::Warning, message.into())
    }

    fn new(code: Cow<'static, str>, severity: Severity, message: String) -> Self {
        let (place, subject, help, related, witness) = (None, None, None, Vec::new(), None);
        Self { code, severity, message, place, subject, help, related, witness }
    }

    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }

    #[must_use]
    pub fn about(mut self, binding: impl Into<String>, field: impl Into<String>) -> Self {
        self.subject = Some(Subject { binding: binding.into(), field: field.into() });
        self
    }

    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    #[must_use]
    pub fn witness(mut self, witness: impl Into<String>) -> Self {
        self.witness = Some(witness.into());
        self
    }

    #[must_use]
    pub fn related(mut self, message: impl Into<String>, place: Option<Place>) -> Self {
        self.related.push(Related { message: message.into(), place });
        self
    }

    fn order(&self, other: &Self) -> Ordering {
        let key = |d: &Self| d.place.as_ref().map(|p| (p.file.clone(), p.span.start, p.span.end));
        key(self)
            .cmp(&key(other))
            .then_with(|| self.subject.cmp(&other.subject))
            .then_with(|| self.code.cmp(&other.code))
            .then_with(|| self.message.cmp(&other.message))
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        } else if let Some(subject) = &self.subject {
            write!(f, "{subject}: ")?;
        }
        write!(f, "{}[{}]: {}", self.severity.as_str(), self.code, self.message)?;
        if let Some(witness) = &self.witness {
            write!(f, "\n  request: {witness}")?;
        }
        for related in &self.related {
            write!(f, "\n  related: {}", related.message)?;
            if let Some(place) = &related.place {
                write!(f, " ({place})")?;
            }
        }
        if let Some(help) = &self.help {
            write!(f, "\n  help: {help}")?;
        }
        Ok(())
    }
}

/// Everything that was found, sorted by file, place and code.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl Diagnostics {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.0.push(diagnostic);
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.0.iter()
    }

    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|d| d.severity == Severity::Error)
    }

    /// Adds what `other` found.
    pub fn append(&mut self, other: Diagnostics) {
        self.0.extend(other.0);
    }

    /// The same, in their order and without repetitions.
    #[must_use]
    pub fn sorted(mut self) -> Self {
        self.0.sort_by(Diagnostic::order);
        self.0.dedup();
        self
    }

    /// One JSON object per problem, in an array.
    pub fn to_json(&self) -> String {
        json!(self.0).to_string()
    }

    /// GitHub workflow commands: one annotation per line.
    pub fn to_github(&self) -> String {
        self.0.iter().map(|d| github::command(d) + "\n").collect()
    }

    /// SARIF 2.1.0, for code scanning.
    pub fn to_sarif(&self) -> String {
        sarif::log(self).to_string()
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(diagnostic: Diagnostic) -> Self {
        Self(vec![diagnostic])
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|diagnostic| writeln!(f, "{diagnostic}"))
    }
}

impl std::error::Error for Diagnostics {}
