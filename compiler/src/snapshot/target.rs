//! A target: an operator's deployment of a definition.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use ipnet::IpNet;
use sallygate_definitions::contract::binding::Permission;
use sallygate_definitions::contract::injection::{Clear, Presentation};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Places;

/// An operator's deployment of a definition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Target {
    /// `family::variant`
    pub definition: String,
    #[serde(default = "enabled")]
    pub enabled: bool,
    /// As the definition's `targetConfigSchema` asks for.
    #[serde(default = "nothing")]
    pub config: Value,
    /// The names of the secrets that it has.
    #[serde(default)]
    pub secrets: BTreeSet<String>,
    /// Whether the operator lets a credential go over clear-text HTTP.
    #[serde(default)]
    pub cleartext: Permission,
    #[serde(default)]
    pub inject: TargetInjection,
    /// What sandboxes are given for its credentials, where that is not what the definition says.
    #[serde(default)]
    pub placeholder: Option<TargetPlaceholder>,
    /// What the operator has removed besides what the definition says.
    #[serde(default)]
    pub clear: Clear,
    #[serde(default)]
    pub upstream: TargetUpstream,
    #[serde(skip)]
    pub places: Places,
}

/// How the credentials of a target's connections are presented.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TargetInjection {
    /// As the definition says.
    #[default]
    Definition,
    Nothing,
    /// In another way: for APIs that no definition describes.
    Instead(Presentation),
}

/// What sandboxes are given for the credentials of a target. What is left out is as the definition
/// has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TargetPlaceholder {
    /// Such as `ghp_{alphanumeric:36}`.
    #[serde(default)]
    pub shape: Option<String>,
    /// The variables that clients read it from.
    #[serde(default)]
    pub env: Option<Vec<String>>,
}

/// How a target is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TargetUpstream {
    /// The CAs that certificates must chain to, instead of the system's.
    #[serde(default)]
    pub ca_pem: Option<String>,
    /// Connect here instead of resolving the name.
    #[serde(default)]
    pub addresses: Vec<SocketAddr>,
    /// Address ranges that are refused otherwise.
    #[serde(default)]
    pub allow_ranges: Vec<IpNet>,
}

impl Target {
    /// An enabled target that says nothing for itself.
    pub fn new(definition: impl Into<String>) -> Self {
        Self {
            definition: definition.into(),
            enabled: true,
            config: nothing(),
            secrets: BTreeSet::new(),
            cleartext: Permission::Refuse,
            inject: TargetInjection::Definition,
            placeholder: None,
            clear: Clear::default(),
            upstream: TargetUpstream::default(),
            places: Places::default(),
        }
    }
}

pub(super) fn nothing() -> Value {
    Value::Object(Map::new())
}

fn enabled() -> bool {
    true
}
