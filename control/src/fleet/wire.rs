//! The bodies that proxies and control exchange besides the feed.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A proxy that asks to be let in.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "EnrollProxy")]
pub struct EnrollBody {
    /// Ed25519, 32 bytes in base64url.
    #[schemars(length(max = 64))]
    pub public_key: String,
    /// The enrolment token, signed with that key, in base64url.
    #[schemars(length(max = 128))]
    pub proof: String,
    #[schemars(length(max = 64))]
    pub version: String,
}

/// Who the proxy is from now on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "EnrolledProxy")]
pub struct Enrolled {
    pub proxy_id: String,
    pub name: String,
    /// Whom the proxy's tokens are for.
    pub audience: String,
}

/// What a proxy serves, all of it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Acknowledge")]
pub struct AckBody {
    /// By plan: its digest.
    pub served: BTreeMap<String, String>,
    /// By plan: why it is not served.
    #[serde(default)]
    pub refused: BTreeMap<String, String>,
    /// `host:port` under which sandboxes reach the proxy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entrance: Option<String>,
    /// The certificate that sandboxes must trust (PEM).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_pem: Option<String>,
}

/// Which credential, for which sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "ResolveCredential")]
pub struct ResolveBody {
    pub sandbox_id: String,
    /// The plan by which the proxy serves the sandbox.
    pub plan_digest: String,
    pub connection_id: String,
    pub secret_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot_key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolver_key: Option<String>,
    /// What narrows it to the binding, as the plan has it.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub scope: serde_json::Map<String, serde_json::Value>,
}

/// A credential for one use by one proxy.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ResolvedCredential")]
pub struct ResolveAnswer {
    /// In base64.
    pub secret: String,
    pub version: i64,
    /// For how long it is good, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub life_seconds: Option<u64>,
}

// The secret is not shown.
impl fmt::Debug for ResolveAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResolveAnswer").field("version", &self.version).finish_non_exhaustive()
    }
}
