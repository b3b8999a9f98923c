//! A connection: an organisation's authenticated relationship to a target.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Places;
use super::target::nothing;

/// An authenticated relationship to a target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Connection {
    /// Whose it is; `None`: the organisation's that the snapshot is of.
    #[serde(default)]
    pub organization_id: Option<String>,
    /// The key of the target.
    pub target: String,
    /// The id of one of the definition's methods; `None` for a definition that has none.
    #[serde(default)]
    pub method: Option<String>,
    #[serde(default)]
    pub status: ConnectionStatus,
    /// As the definition's `connectionConfigSchema` asks for.
    #[serde(default = "nothing")]
    pub config: Value,
    /// The names of the secrets that it has; `None` when whoever made the snapshot cannot tell.
    #[serde(default)]
    pub credentials: Option<BTreeSet<String>>,
    #[serde(skip)]
    pub places: Places,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConnectionStatus {
    #[default]
    Active,
    /// The provider refused it.
    Error,
    Revoked,
}

impl ConnectionStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Error => "error",
            Self::Revoked => "revoked",
        }
    }
}

impl Connection {
    /// An active connection by a method of the target's definition.
    pub fn new(target: impl Into<String>, method: Option<String>) -> Self {
        Self {
            organization_id: None,
            target: target.into(),
            method,
            status: ConnectionStatus::Active,
            config: nothing(),
            credentials: None,
            places: Places::default(),
        }
    }
}
