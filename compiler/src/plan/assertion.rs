//! What must stay true of a plan, whatever its routes become.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Match;

/// A statement about all requests, proved or refuted when a plan is compiled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Assertion {
    /// No request in the set is let out. A set without ports is about every port.
    Never(Match),
    /// No request outside the set is let out.
    Only(Match),
    CredentialOnly(CredentialOnly),
}

/// A credential goes to no other hosts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CredentialOnly {
    /// The connection that it is of.
    pub credential: String,
    /// Host patterns.
    pub hosts: Vec<String>,
}

impl Assertion {
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Never(_) => "never",
            Self::Only(_) => "only",
            Self::CredentialOnly(_) => "credentialOnly",
        }
    }
}
