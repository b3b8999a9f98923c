//! Which credential a route means. Never the credential.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Which credential is meant, for whoever resolves it. Never the credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CredentialReference {
    pub connection_id: String,
    pub secret_type: String,
    #[serde(default)]
    pub slot_key: Option<String>,
    #[serde(default)]
    pub resolver_key: Option<String>,
    #[serde(default)]
    pub scope: Map<String, Value>,
}
