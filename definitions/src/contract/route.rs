//! Routes before they are bound, and the conditions under which there are any.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Property → the value that it has, or an array of the values that it may have.
pub type Conditions = BTreeMap<String, Value>;

/// Something that a binding gives: under conditions, and once for each item of a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Templated<T> {
    /// Properties of the binding's configuration.
    #[serde(default)]
    pub when: Conditions,
    /// A list, such as `binding.repositories`; templates call its items `item`.
    #[serde(default)]
    pub for_each: Option<String>,
    pub give: T,
}

/// A route before it is bound. Paths are templates, relative to the origin's base URL.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RouteTemplate {
    pub name: String,
    /// The name of an origin; may be left out when there is only one.
    #[serde(default)]
    pub origin: Option<String>,
    #[serde(default)]
    pub when: Conditions,
    /// Ids of connection methods that the route is there for; empty: all.
    #[serde(default)]
    pub connection_methods: Vec<String>,
    /// A list, such as `binding.repositories`: each path is there once for each item.
    #[serde(default)]
    pub for_each: Option<String>,
    #[serde(default)]
    pub action: Action,
    /// Shown to the sandbox by a `deny`.
    #[serde(default)]
    pub reason: Option<String>,
    /// Left out: any.
    #[serde(default)]
    pub methods: Option<Vec<String>>,
    pub paths: Vec<String>,
    #[serde(default)]
    pub headers: Vec<Condition>,
    #[serde(default)]
    pub query: Vec<Condition>,
    #[serde(default)]
    pub allow_encoded_slash: bool,
    #[serde(default)]
    pub allow_empty_segments: bool,
    /// A look deeper than the request line and the header.
    #[serde(default)]
    pub protocol: Option<Protocol>,
    #[serde(default)]
    pub limits: RouteLimits,
    /// Whether its answers tell what the definition's `usage` reads.
    #[serde(default)]
    pub usage: bool,
    /// The property of the binding by which its author asked for a grant this broad.
    #[serde(default)]
    pub broad_option: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    #[default]
    Allow,
    Deny,
    /// Wait for an approval.
    Hold,
}

/// A condition on one header or one query parameter: exactly one of `equals` and `present`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Condition {
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub equals: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub present: Option<bool>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RouteLimits {
    #[serde(default)]
    pub max_request_bytes: Option<u64>,
    #[serde(default)]
    pub requests_per_minute: Option<u32>,
    #[serde(default)]
    pub concurrency: Option<u32>,
}

/// A look deeper than the request line and the header. A text in a list may be a template, and one
/// that is nothing but a reference to a list of the binding stands for all of its items.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "camelCase", deny_unknown_fields)]
pub enum Protocol {
    Git {
        #[serde(default)]
        service: Option<GitService>,
        /// Patterns of references.
        #[serde(default)]
        refs: Vec<String>,
        #[serde(default)]
        update: Vec<GitUpdate>,
    },
    Graphql {
        #[serde(default)]
        operation: Option<GraphqlOperation>,
        /// Top-level fields.
        #[serde(default)]
        fields: Vec<String>,
    },
    Mcp {
        /// Names of methods, with an optional final `*`.
        #[serde(default)]
        methods: Vec<String>,
        #[serde(default)]
        tools: Vec<String>,
    },
    Grpc {
        service: String,
        #[serde(default)]
        method: Option<String>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GitService {
    UploadPack,
    ReceivePack,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum GitUpdate {
    Create,
    Update,
    Delete,
    Force,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum GraphqlOperation {
    Query,
    Mutation,
}
