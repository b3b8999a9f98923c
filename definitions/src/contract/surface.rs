//! Contract entries: every surface that crosses a boundary, as data.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Contract {
    pub direction: Direction,
    pub r#type: SurfaceType,
    /// Endpoint, file, script, contract root or route family.
    pub surface: String,
    /// What it requires today.
    pub auth: String,
    pub stability: Stability,
    pub versioning: String,
    pub owner: String,
    #[serde(default)]
    pub mode: Option<Mode>,
    #[serde(default)]
    pub trigger: Option<String>,
    #[serde(default)]
    pub secret_transport: Vec<String>,
    #[serde(default)]
    pub protected_routes: Vec<String>,
    #[serde(default)]
    pub tool_families: Vec<String>,
    #[serde(default)]
    pub runtime_readback: Option<String>,
    /// The test that proves it.
    #[serde(default)]
    pub verify_path: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Direction {
    Inbound,
    Outbound,
    Bidirectional,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SurfaceType {
    RestApi,
    Webhook,
    Callback,
    Mcp,
    DatabaseContract,
    FileContract,
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Stability {
    Stable,
    Internal,
    Experimental,
    Planned,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    ReadWrite,
    ReadOnly,
    Control,
    Callback,
    Auth,
    Build,
}
