//! A set of requests that two plans decide differently, in the words of a policy.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

use super::outcome::Outcome;
use super::witness::Witness;

/// Requests that one plan decides in one way and another in another.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Region {
    /// Origins as patterns: `https://*.example.com:8443`. Where a pattern stands beside a more
    /// specific one, it means the hosts that only the pattern itself is about.
    pub origins: Vec<String>,
    /// `*` is one segment that neither plan names at that place, or that it treats like those;
    /// a final `/**` the path and all below it.
    pub path: String,
    pub methods: Methods,
    /// What else has to be true, in words.
    pub conditions: Vec<String>,
    pub old: Side,
    pub new: Side,
    /// One of the requests.
    #[serde(serialize_with = "as_text")]
    pub witness: Witness,
}

/// What one plan does with the requests of a region.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Side {
    pub outcome: Outcome,
    /// The route that decides, for one of the requests.
    pub route: Option<String>,
}

/// Which methods.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Methods {
    Only(BTreeSet<String>),
    /// All but these; `Except` nothing is any.
    Except(BTreeSet<String>),
}

fn as_text<S: serde::Serializer>(witness: &Witness, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(witness)
}

impl fmt::Display for Methods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |methods: &BTreeSet<String>| {
            methods.iter().map(String::as_str).collect::<Vec<_>>().join(",")
        };
        match self {
            Self::Only(methods) => f.write_str(&list(methods)),
            Self::Except(methods) if methods.is_empty() => f.write_str("*"),
            Self::Except(methods) => write!(f, "*-{}", list(methods)),
        }
    }
}

impl Region {
    /// How what is let out changes.
    pub fn sign(&self) -> char {
        match (self.old.outcome.lets_out(), self.new.outcome.lets_out()) {
            (false, true) => '+',
            (true, false) => '-',
            (true, true) | (false, false) => '~',
        }
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origins: Vec<&str> =
            self.origins.iter().map(|origin| origin.trim_start_matches("https://")).collect();
        write!(f, "{} {}{}", self.methods, origins.join(","), self.path)?;
        if !self.conditions.is_empty() {
            write!(f, " [{}]", self.conditions.join(", "))?;
        }
        let (old, new) = (self.old.outcome.as_str(), self.new.outcome.as_str());
        if old == new {
            let route = |side: &Side| side.route.clone().unwrap_or_default();
            write!(f, "  {old}: {} -> {}", route(&self.old), route(&self.new))
        } else {
            write!(f, "  {old} -> {new}")
        }
    }
}
