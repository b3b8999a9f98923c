//! The webhooks that a provider sends: where they come in, how they are proven, what they say.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WebhookSource {
    pub ownership: Ownership,
    pub routing: Routing,
    pub lifecycle: Lifecycle,
}

/// Who a webhook belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Ownership {
    Target,
    Connection,
}

/// What says which connection a delivery is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Routing {
    Payload,
    Path,
}

/// Who sets the webhook up at the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Lifecycle {
    /// A person, or the provider by itself.
    Implicit,
    /// We register, update and delete it.
    Managed,
}

/// How a delivery becomes a verified event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WebhookHandler {
    pub verify: Verifier,
    #[serde(default)]
    pub resolve_webhook_request: RequestFields,
    #[serde(default)]
    pub resolve_connection: Option<ResolveConnection>,
}

/// Stock verifiers, as data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
#[serde(deny_unknown_fields)]
pub enum Verifier {
    HmacSha256 {
        header: String,
        encoding: SignatureEncoding,
        /// What stands before the signature in the header, such as `sha256=`.
        #[serde(default)]
        prefix: Option<String>,
        #[serde(default)]
        signed: SignedContent,
        #[serde(default)]
        timestamp: Option<Timestamp>,
    },
    /// <https://www.standardwebhooks.com>: `webhook-id`, `webhook-timestamp`, `webhook-signature`.
    StandardWebhooks {
        #[serde(default)]
        tolerance_seconds: Option<u32>,
    },
    /// `v0:timestamp:body` under `X-Slack-Signature`.
    SlackV0 {
        #[serde(default)]
        tolerance_seconds: Option<u32>,
    },
    /// The secret itself, compared in constant time.
    StaticToken { headers: Vec<String> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum SignatureEncoding {
    Hex,
    Base64,
}

/// What the signature is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum SignedContent {
    #[default]
    Body,
    /// The timestamp, a `.`, and the body.
    TimestampDotBody,
}

/// Where a delivery says when it was sent: in a header or in the body.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Timestamp {
    #[serde(default)]
    pub header: Option<String>,
    /// A JSON Pointer into the body.
    #[serde(default)]
    pub pointer: Option<String>,
    pub unit: TimeUnit,
    pub tolerance_seconds: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum TimeUnit {
    Seconds,
    Milliseconds,
}

/// Where the type and the id of a delivery stand. Each is a header or a JSON Pointer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RequestFields {
    #[serde(default)]
    pub event_header: Option<String>,
    #[serde(default)]
    pub event_pointer: Option<String>,
    /// A part of the type that the body has, such as `action`.
    #[serde(default)]
    pub action_pointer: Option<String>,
    #[serde(default)]
    pub delivery_header: Option<String>,
    #[serde(default)]
    pub delivery_pointer: Option<String>,
}

/// Which connection a delivery is for: where the payload says it, and what it equals.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResolveConnection {
    /// A JSON Pointer into the body.
    pub pointer: String,
    /// A property of the connection's configuration.
    pub connection_field: String,
}

/// One event of the catalogue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WebhookEvent {
    /// Ours.
    pub event_type: String,
    /// The provider's.
    pub provider_event_type: String,
    pub display_name: String,
    pub category: String,
    #[serde(default)]
    pub parameters: Vec<EventParameter>,
}

/// Something of the payload that triggers may ask about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EventParameter {
    pub name: String,
    pub label: String,
    /// A JSON Pointer into the body.
    pub pointer: String,
}
