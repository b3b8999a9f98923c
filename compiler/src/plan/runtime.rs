//! What a sandbox of the profile gets besides routes. Whoever starts it reads this; the proxy
//! only carries it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use sallygate_definitions::contract::runtime::{
    Artifact, InstallCommand, Readiness, RuntimeClient, RuntimeEndpoint, RuntimeFile,
    RuntimeProcess, StopPolicy, StopSignal, WorkspaceSource,
};

/// An agent that can be asked to work, and the binding that brings it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AgentRuntime {
    pub binding_id: String,
    pub runtime_key: String,
    pub client_id: String,
    pub endpoint_key: String,
}
