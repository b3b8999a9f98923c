//! The webhooks that a provider sends: where they come in, how they are proven, what they say.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WebhookSource {
    pub ownership: Ownership,
    pub routing: Routing,
    pub lifecycle: Lifecycle,
    /// The target's secret that deliveries are proven with, beside those of connections: where a
    /// provider has one secret for an app, whoever installed it.
    #[serde(default)]
    pub target_secret: Option<String>,
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
        /// Looked at, in this order, when `header` is not there.
        #[serde(default)]
        fallback_headers: Vec<String>,
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
    StaticToken {
        /// The first is preferred, the others are fallbacks.
        headers: Vec<String>,
        /// What stands before the secret in a header, such as `Bearer `.
        #[serde(default)]
        prefix: Option<String>,
        /// A query parameter that older senders use, for as long as it is accepted.
        #[serde(default)]
        legacy_query: Option<String>,
    },
    /// The first of these whose header is there decides alone: a signature that is wrong is never
    /// made good by a token beside it.
    FirstPresent { of: Vec<Verifier> },
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
    /// The id of what happened, where it differs from the id of the delivery.
    #[serde(default)]
    pub event_id_header: Option<String>,
    #[serde(default)]
    pub event_id_pointer: Option<String>,
    /// When it happened: the first of these JSON Pointers that leads to a time.
    #[serde(default)]
    pub occurred_at_pointers: Vec<String>,
    /// What events are ordered by: the first of these JSON Pointers that leads to a value.
    #[serde(default)]
    pub order_key_pointers: Vec<String>,
    /// A request that is no event, and the answer that it wants.
    #[serde(default)]
    pub challenge: Option<Challenge>,
}

/// What a provider asks before it sends events: a request that says so, and what it wants back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Challenge {
    /// A JSON Pointer into the body, and what stands there.
    pub pointer: String,
    pub equals: String,
    /// A JSON Pointer to what is sent back.
    pub answer_pointer: String,
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
    /// What it means for the connection that it is about.
    #[serde(default)]
    pub effect: Option<EventEffect>,
}

/// What an event means for its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum EventEffect {
    /// The provider takes its credential no more.
    ConnectionError,
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
