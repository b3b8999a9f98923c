//! Names of methods and tools, with an optional `*` at the end.

/// An exact name, or all that begin with one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamePattern<'a> {
    Exact(&'a str),
    /// What stands before the final `*`.
    Prefix(&'a str),
}

impl<'a> NamePattern<'a> {
    /// `None`: a `*` that is not the last byte, nothing at all, or a control character.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (name, pattern) = match text.strip_suffix('*') {
            Some(prefix) => (prefix, Self::Prefix(prefix)),
            None => (text, Self::Exact(text)),
        };
        let fine = !name.contains('*') && !name.chars().any(char::is_control) && !text.is_empty();
        fine.then_some(pattern)
    }

    pub fn matches(self, name: &str) -> bool {
        match self {
            Self::Exact(exact) => exact == name,
            Self::Prefix(prefix) => name.starts_with(prefix),
        }
    }

    /// Whether no name matches both.
    pub fn is_disjoint(self, other: Self) -> bool {
        match (self, other) {
            (Self::Exact(a), other) => !other.matches(a),
            (Self::Prefix(a), Self::Prefix(b)) => !a.starts_with(b) && !b.starts_with(a),
            (Self::Prefix(_), Self::Exact(b)) => !self.matches(b),
        }
    }

    /// A name that matches.
    pub fn witness(self) -> &'a str {
        match self {
            Self::Exact(name) | Self::Prefix(name) => name,
        }
    }
}

/// Whether any of the patterns matches. What is no pattern matches nothing.
pub(super) fn any_matches(patterns: &[String], name: &str) -> bool {
    patterns.iter().any(|text| NamePattern::parse(text).is_some_and(|p| p.matches(name)))
}

/// Whether no name matches one of both.
pub(super) fn all_apart(a: &[String], b: &[String]) -> bool {
    a.iter()
        .filter_map(|text| NamePattern::parse(text))
        .all(|x| b.iter().filter_map(|text| NamePattern::parse(text)).all(|y| x.is_disjoint(y)))
}
