//! What an operator decides about a target's webhooks: `webhooks` among the target's options.

use sallygate_definitions::webhook::Legacy;
use serde::Deserialize;
use serde_json::{Map, Value as Json};

/// The name among a target's options.
pub const OPTION: &str = "webhooks";

/// `{ "legacySecret": "refuse" }`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WebhookOptions {
    /// Whether a secret may still stand in the query, where the provider's older senders put it.
    #[serde(default)]
    pub legacy_secret: LegacySecret,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LegacySecret {
    #[default]
    Accept,
    Refuse,
}

impl WebhookOptions {
    /// What a target's options say, or what is wrong with it and where.
    pub fn of(options: &Map<String, Json>) -> Result<Self, (String, String)> {
        let Some(value) = options.get(OPTION) else { return Ok(Self::default()) };
        serde_path_to_error::deserialize(value).map_err(|error| {
            let at = error.path().to_string();
            let field = if at == "." { OPTION.to_owned() } else { format!("{OPTION}.{at}") };
            (field, error.inner().to_string())
        })
    }

    pub(super) fn legacy(self) -> Legacy {
        match self.legacy_secret {
            LegacySecret::Accept => Legacy::Accept,
            LegacySecret::Refuse => Legacy::Refuse,
        }
    }
}
