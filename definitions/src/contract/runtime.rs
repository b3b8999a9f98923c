//! What a sandbox gets besides routes: files, processes, environment, sources.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A tool in the sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Artifact {
    pub key: String,
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    #[serde(default)]
    pub install: Vec<InstallCommand>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InstallCommand {
    pub command: String,
    pub args: Vec<String>,
}

/// A program that works for the sandbox's user, with its files and processes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RuntimeClient {
    pub client_id: String,
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    #[serde(default)]
    pub files: Vec<RuntimeFile>,
    #[serde(default)]
    pub processes: Vec<RuntimeProcess>,
    #[serde(default)]
    pub endpoints: Vec<RuntimeEndpoint>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RuntimeFile {
    pub file_id: String,
    pub path: String,
    /// Permission bits, in octal digits such as `0644`.
    #[serde(default)]
    pub mode: Option<String>,
    pub content: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RuntimeProcess {
    pub process_key: String,
    pub command: String,
    #[serde(default)]
    pub args: Vec<String>,
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    #[serde(default)]
    pub readiness: Readiness,
    #[serde(default)]
    pub stop: StopPolicy,
}

/// When a process counts as started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
#[serde(deny_unknown_fields)]
pub enum Readiness {
    None {},
    Tcp { host: String, port: u16, timeout_ms: u32 },
    Http { url: String, expected_status: u16, timeout_ms: u32 },
    Ws { url: String, timeout_ms: u32 },
}

impl Default for Readiness {
    fn default() -> Self {
        Self::None {}
    }
}

/// How a process is ended: asked first, then forced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StopPolicy {
    pub signal: StopSignal,
    pub timeout_ms: u32,
    pub grace_period_ms: u32,
}

impl Default for StopPolicy {
    fn default() -> Self {
        Self { signal: StopSignal::Sigterm, timeout_ms: 10_000, grace_period_ms: 2_000 }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum StopSignal {
    Sigterm,
    Sigint,
    Sigkill,
}

/// Where a process of the client can be spoken to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RuntimeEndpoint {
    pub endpoint_key: String,
    pub process_key: String,
    /// `ws` or `wss`.
    pub url: String,
}

/// An agent that can be asked to work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AgentRuntime {
    pub runtime_key: String,
    pub client_id: String,
    pub endpoint_key: String,
}

/// A repository that a sandbox begins with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WorkspaceSource {
    pub path: String,
    pub origin: String,
    #[serde(default)]
    pub reference: Option<String>,
}
