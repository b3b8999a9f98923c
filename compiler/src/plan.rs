//! The compiled plan: what one profile version allows. Immutable, ordered, content-addressed.
//!
//! JSON in camelCase, schema version 1; unknown fields are refused. A plan holds references to
//! credentials and never a secret.

use std::net::SocketAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::canonical::Scheme;
use crate::diagnostic::{Diagnostic, Diagnostics, Place};

/// The only schema version that this build reads and writes.
pub const SCHEMA_VERSION: u32 = 1;

/// A larger plan is refused before it is parsed.
pub const PLAN_BYTES_MAX: usize = 1 << 30;

/// What one profile version allows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Plan {
    pub schema_version: u32,
    /// `sha256:` and 64 hex digits, over the canonical JSON of the plan without this field.
    #[serde(default)]
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
    #[serde(default)]
    pub artifacts: Vec<Value>,
    #[serde(default)]
    pub workspace_sources: Vec<Value>,
    #[serde(default)]
    pub runtime_clients: Vec<Value>,
    #[serde(default)]
    pub agent_runtimes: Vec<Value>,
    #[serde(default)]
    pub assertions: Vec<Value>,
}

/// What becomes of a request that no route matches, on a host that no credential is bound to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Unmatched {
    #[default]
    Deny,
    Passthrough,
}

/// What the sandbox runs on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Image {
    pub source: String,
    pub image_ref: String,
}

/// A set of requests and what is done with them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    #[serde(default)]
    pub timeouts: Timeouts,
}

/// What is done with a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
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

/// Which requests a route is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, from = "MatchForm")]
pub struct Match {
    pub scheme: Scheme,
    pub hosts: Vec<String>,
    /// `None`: the scheme's default port only.
    pub ports: Option<Vec<u16>>,
    pub paths: Vec<String>,
    /// `None`: any.
    pub methods: Option<Vec<String>>,
    pub headers: Vec<Condition>,
    pub query: Vec<Condition>,
    pub allow_encoded_slash: bool,
    pub allow_empty_segments: bool,
}

/// How a match may be written: with defaults, and with `pathPrefixes` for `/**`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct MatchForm {
    #[serde(default)]
    scheme: Scheme,
    hosts: Vec<String>,
    #[serde(default)]
    ports: Option<Vec<u16>>,
    #[serde(default)]
    paths: Vec<String>,
    #[serde(default)]
    path_prefixes: Vec<String>,
    #[serde(default)]
    methods: Option<Vec<String>>,
    #[serde(default)]
    headers: Vec<Condition>,
    #[serde(default)]
    query: Vec<Condition>,
    #[serde(default)]
    allow_encoded_slash: bool,
    #[serde(default)]
    allow_empty_segments: bool,
}

impl From<MatchForm> for Match {
    fn from(form: MatchForm) -> Self {
        let MatchForm { scheme, hosts, ports, mut paths, methods, headers, query, .. } = form;
        paths.extend(form.path_prefixes.iter().map(|p| format!("{}/**", p.trim_end_matches('/'))));
        let (allow_encoded_slash, allow_empty_segments) =
            (form.allow_encoded_slash, form.allow_empty_segments);
        Self {
            scheme,
            hosts,
            ports,
            paths,
            methods,
            headers,
            query,
            allow_encoded_slash,
            allow_empty_segments,
        }
    }
}

/// A condition on one header or one query parameter: exactly one of `equals` and `present`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Condition {
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub equals: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub present: Option<bool>,
}

/// Where a request goes, and what of the operator's target matters for getting there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Upstream {
    /// `None`: where the request itself says.
    #[serde(default)]
    pub base_url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The CAs that the certificate must chain to, instead of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_pem: Option<String>,
    /// Connect here instead of resolving the name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<SocketAddr>,
    /// Address ranges that are refused otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_ranges: Vec<IpNet>,
}

/// How a credential is presented.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Injection {
    pub kind: InjectionKind,
    /// Lower-case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameter: Option<String>,
    /// With `basic`: the fixed user name, the value being the password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Index into [`Plan::credentials`].
    pub credential: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InjectionKind {
    Bearer,
    Basic,
    Header,
    Query,
}

impl InjectionKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bearer => "bearer",
            Self::Basic => "basic",
            Self::Header => "header",
            Self::Query => "query",
        }
    }
}

/// Every place where the provider accepts a credential: removed from what the sandbox sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Clear {
    /// Lower-case names.
    #[serde(default)]
    pub headers: Vec<String>,
    #[serde(default)]
    pub query: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Limits {
    #[serde(default)]
    pub max_request_bytes: Option<u64>,
    #[serde(default)]
    pub requests_per_minute: Option<u32>,
    #[serde(default)]
    pub concurrency: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Timeouts {
    pub connect_ms: u64,
    pub first_byte_ms: Option<u64>,
    pub idle_ms: u64,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect_ms: 5_000, first_byte_ms: None, idle_ms: 300_000 }
    }
}

/// Which credential is meant, for whoever resolves it. Never the credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

impl Plan {
    /// Reads a plan strictly. A plan without a digest gets one; one with another digest than its
    /// content has is refused.
    pub fn from_json(name: &str, bytes: &[u8]) -> Result<Plan, Diagnostics> {
        if bytes.len() > PLAN_BYTES_MAX {
            let message = format!("`{name}` has more than {PLAN_BYTES_MAX} bytes");
            return Err(Diagnostic::error("LIMIT_EXCEEDED", message).into());
        }
        let mut plan: Plan =
            serde_json::from_slice(bytes).map_err(|error| invalid_json(name, bytes, &error))?;
        if plan.schema_version != SCHEMA_VERSION {
            let message = format!(
                "`{name}` has schema version {}, this build reads {SCHEMA_VERSION}",
                plan.schema_version
            );
            return Err(Diagnostic::error("INVALID_PLAN", message).into());
        }
        if plan.version > crate::table::INTEGER_MAX {
            let message = format!("`{name}` has version {}, too large", plan.version);
            return Err(Diagnostic::error("INVALID_PLAN", message).into());
        }
        let given = std::mem::take(&mut plan.digest);
        plan.seal();
        if !given.is_empty() && given != plan.digest {
            let message = format!("`{name}` says digest `{given}` and has `{}`", plan.digest);
            return Err(Diagnostic::error("DIGEST_MISMATCH", message).into());
        }
        Ok(plan)
    }

    /// RFC 8785 canonical JSON, with the digest as it is.
    pub fn to_canonical_json(&self) -> String {
        canonical_json(self)
    }

    /// Computes the digest and writes it into the plan.
    pub fn seal(&mut self) {
        let mut value = serde_json::to_value(&*self).unwrap_or_default();
        if let Some(fields) = value.as_object_mut() {
            fields.remove("digest");
        }
        let hash = Sha256::digest(canonical_json(&value).as_bytes());
        let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        self.digest = format!("sha256:{hex}");
    }
}

/// INVARIANT: a plan holds strings, integers, lists and maps with string keys, and writing to
/// memory does not fail; so there is nothing in it that has no canonical form.
fn canonical_json(value: &impl Serialize) -> String {
    serde_json_canonicalizer::to_string(value).unwrap_or_default()
}

fn invalid_json(name: &str, bytes: &[u8], error: &serde_json::Error) -> Diagnostics {
    // The message of serde_json ends in the place, which is given as a place here.
    let message = error.to_string();
    let message = message.split(" at line ").next().unwrap_or_default().to_owned();
    let (line, column) = (error.line().max(1), error.column().max(1));
    let before = bytes.split_inclusive(|byte| *byte == b'\n').take(line - 1);
    let at = before.map(<[u8]>::len).sum::<usize>() + column - 1;
    let (file, field) = (name.to_owned(), String::new());
    let place = Place { file, span: at..at, line, column, field };
    Diagnostic::error("INVALID_PLAN", message).at(place).into()
}
