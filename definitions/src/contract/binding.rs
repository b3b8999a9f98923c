//! What a binding becomes, as data.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::injection::{Clear, InjectionRule};
use super::route::{RouteTemplate, Templated};
use super::runtime::{AgentRuntime, Artifact, RuntimeClient, WorkspaceSource};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CompileBinding {
    #[serde(default)]
    pub origins: Vec<Origin>,
    #[serde(default)]
    pub routes: Vec<RouteTemplate>,
    #[serde(default)]
    pub artifacts: Vec<Templated<Artifact>>,
    #[serde(default)]
    pub runtime_clients: Vec<Templated<RuntimeClient>>,
    #[serde(default)]
    pub agent_runtimes: Vec<Templated<AgentRuntime>>,
    #[serde(default)]
    pub workspace_sources: Vec<Templated<WorkspaceSource>>,
}

/// A base URL, and how credentials are presented below it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Origin {
    pub name: String,
    /// A template, such as `{{target.baseUrl}}`.
    pub base_url: String,
    /// Whether the base URL may have a path.
    #[serde(default = "allow")]
    pub path: Permission,
    /// Whether the base URL may name a port.
    #[serde(default = "allow")]
    pub port: Permission,
    /// Whether the base URL may be `http`.
    #[serde(default)]
    pub cleartext: Permission,
    /// Whether the base URL may name a private, loopback or link-local address.
    #[serde(default)]
    pub private_address: Permission,
    /// The first rule for the connection's method counts; none: no credential.
    #[serde(default)]
    pub inject: Vec<InjectionRule>,
    /// What of the sandbox's own is removed besides what injection replaces.
    #[serde(default)]
    pub clear: Clear,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Permission {
    #[default]
    Refuse,
    Allow,
}

fn allow() -> Permission {
    Permission::Allow
}
