//! The compiled plan: what one profile version allows. Immutable, ordered, content-addressed.
//!
//! JSON in camelCase, schema version 1; unknown fields are refused. A plan holds references to
//! credentials and never a secret.

mod assertion;
mod canonical_json;
mod credential;
mod injection;
mod limits;
mod load;
mod matching;
mod placeholder;
mod route;
mod runtime;
mod schema;
mod upstream;
mod usage;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use assertion::{Assertion, CredentialOnly};
pub use credential::CredentialReference;
pub use injection::{Clear, Injection, InjectionKind, PresignedUrls, Signing, credential_segment};
pub use limits::{Limits, Period, Price, Rate, Spend, Timeouts, Uses, segments};
pub use matching::{Condition, Match};
pub use placeholder::Placeholder;
pub use route::{Action, Route};
pub use runtime::{
    AgentRuntime, Artifact, InstallCommand, Readiness, RuntimeClient, RuntimeEndpoint, RuntimeFile,
    RuntimeProcess, StopPolicy, StopSignal, WorkspaceSource,
};
pub use schema::schema;
pub use upstream::Upstream;
pub use usage::{MODEL_BYTES_MAX, ModelPrice, TokenKind, Tokens, Usage};

/// The only schema version that this build reads and writes.
pub const SCHEMA_VERSION: u32 = 1;

/// A larger plan is refused before it is parsed.
pub const PLAN_BYTES_MAX: usize = 1 << 30;

/// What one profile version allows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Plan {
    pub schema_version: u32,
    /// `sha256:` and 64 hex digits, over the canonical JSON of the plan without this field.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub digest: String,
    pub organization_id: String,
    pub sandbox_profile_id: String,
    pub version: u64,
    #[serde(default)]
    pub unmatched: Unmatched,
    #[serde(default)]
    pub image: Option<Image>,
    /// In code-point order of route id.
    pub egress_routes: Vec<Route>,
    #[serde(default)]
    pub credentials: Vec<CredentialReference>,
    /// What sandboxes are given for credentials. In order of connection, secret type and slot.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub placeholders: Vec<Placeholder>,
    #[serde(default)]
    pub artifacts: Vec<Artifact>,
    #[serde(default)]
    pub workspace_sources: Vec<WorkspaceSource>,
    #[serde(default)]
    pub runtime_clients: Vec<RuntimeClient>,
    #[serde(default)]
    pub agent_runtimes: Vec<AgentRuntime>,
    #[serde(default)]
    pub assertions: Vec<Assertion>,
}

/// What becomes of a request that no route matches, on a host that no credential is bound to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Unmatched {
    #[default]
    Deny,
    Passthrough,
}

/// What the sandbox runs on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Image {
    pub source: String,
    pub image_ref: String,
}
