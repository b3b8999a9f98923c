//! A secret in a body: read, wiped, never written.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

use crate::credentials::Plaintext;

/// A secret that somebody sent.
#[derive(Debug)]
pub(super) struct SecretText(Plaintext);

impl From<SecretText> for Plaintext {
    fn from(text: SecretText) -> Self {
        text.0
    }
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(Self(Plaintext::new(text.into_bytes())))
    }
}

impl JsonSchema for SecretText {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "writeOnly": true,
            "minLength": 1,
            "maxLength": 32768,
            "description": "A secret: sealed when it comes in, and never shown again."
        })
    }
}
