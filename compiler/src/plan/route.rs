//! A route: a set of requests, and what is done with them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Clear, Injection, Limits, Match, Timeouts, Upstream, Usage};

/// A set of requests and what is done with them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Route {
    /// Binding id, `/`, and the name that the definition gives the route.
    pub route_id: String,
    pub binding_id: String,
    #[serde(default)]
    pub action: Action,
    /// Shown to the sandbox by a `deny`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    pub r#match: Match,
    #[serde(default)]
    pub upstream: Upstream,
    #[serde(default)]
    pub inject: Vec<Injection>,
    #[serde(default)]
    pub clear: Clear,
    #[serde(default)]
    pub limits: Limits,
    /// What its answers tell about models; left out: nothing that is counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    #[serde(default)]
    pub timeouts: Timeouts,
}

/// What is done with a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    #[default]
    Allow,
    Deny,
    /// CONNECT passed through without interception; host and port only.
    Tunnel,
    /// Wait for an approval.
    Hold,
}

impl Action {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Tunnel => "tunnel",
            Self::Hold => "hold",
        }
    }
}
