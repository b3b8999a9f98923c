//! What a sandbox is given for a credential, for clients that insist on one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::method::SecretType;

/// The placeholder of a secret: every sandbox gets one of its own, which opens nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlaceholderRule {
    pub secret_type: SecretType,
    #[serde(default)]
    pub slot_key: Option<String>,
    /// What the provider's tokens look like: a text with parts `{digits:N}`, `{hex:N}`,
    /// `{alphanumeric:N}` and `{base64url:N}` that are made up, such as `ghp_{alphanumeric:36}`.
    /// One part, which is not of digits, has 36 characters or more.
    #[serde(default = "default_shape")]
    pub shape: String,
    /// The variables that the provider's clients read it from.
    #[serde(default)]
    pub env: Vec<String>,
}

fn default_shape() -> String {
    crate::placeholder::DEFAULT_SHAPE.to_owned()
}
