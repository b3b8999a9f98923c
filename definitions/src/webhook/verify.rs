//! Whether a delivery is the provider's. In constant time, and without saying more than yes or no
//! to whoever sent it: the reason of a refusal is for records.

use super::delivery::{Delivery, Transport, VerifiedDelivery};
use super::secret::WebhookSecret;
use super::token::{self, Places};
use super::{DELIVERY_BYTES_MAX, TOLERANCE_SECONDS, hmac, standard, time};
use crate::contract::webhook::{SignatureEncoding, SignedContent, TimeUnit, Timestamp, Verifier};

/// What a delivery is checked with.
#[derive(Clone, Copy, Debug)]
pub struct Check<'c> {
    /// Any of them may be the one: while a secret is rotated there are two.
    pub secrets: &'c [WebhookSecret],
    /// Milliseconds since 1970.
    pub now_ms: i64,
    pub legacy: Legacy,
}

/// Whether a secret may still stand in the query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Legacy {
    Accept,
    Refuse,
}

/// Why a delivery is not taken. The sender is told none of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    Missing,
    /// A header or parameter stands there twice.
    Repeated,
    Malformed,
    Mismatch,
    /// Too far from now, in either direction.
    Stale,
    LegacyTransport,
    TooLarge,
    /// There is no secret to verify with.
    NoSecret,
}

impl Refusal {
    pub const ALL: [Self; 8] = [
        Self::Missing,
        Self::Repeated,
        Self::Malformed,
        Self::Mismatch,
        Self::Stale,
        Self::LegacyTransport,
        Self::TooLarge,
        Self::NoSecret,
    ];

    pub fn code(self) -> &'static str {
        match self {
            Self::Missing => "signature_missing",
            Self::Repeated => "signature_repeated",
            Self::Malformed => "signature_malformed",
            Self::Mismatch => "signature_mismatch",
            Self::Stale => "timestamp_stale",
            Self::LegacyTransport => "legacy_transport",
            Self::TooLarge => "delivery_too_large",
            Self::NoSecret => "secret_missing",
        }
    }
}

impl Check<'_> {
    pub(super) fn is_recent(&self, sent_ms: i64, tolerance_seconds: u32) -> Result<(), Refusal> {
        let away = self.now_ms.abs_diff(sent_ms);
        let tolerance = u64::from(tolerance_seconds) * 1000;
        if away <= tolerance { Ok(()) } else { Err(Refusal::Stale) }
    }
}

impl Verifier {
    /// The delivery as a verified one, or why it is not.
    pub fn verify<'d>(
        &self,
        delivery: Delivery<'d>,
        check: &Check<'_>,
    ) -> Result<VerifiedDelivery<'d>, Refusal> {
        if delivery.body.len() > DELIVERY_BYTES_MAX {
            return Err(Refusal::TooLarge);
        }
        if check.secrets.is_empty() {
            return Err(Refusal::NoSecret);
        }
        let transport = self.transport(&delivery, check)?;
        Ok(VerifiedDelivery::new(delivery, transport))
    }

    fn transport(&self, delivery: &Delivery<'_>, check: &Check<'_>) -> Result<Transport, Refusal> {
        let signed = |result: Result<(), Refusal>| result.map(|()| Transport::Signature);
        match self {
            Self::HmacSha256 {
                header,
                fallback_headers,
                encoding,
                prefix,
                signed: over,
                timestamp,
            } => {
                let mut names = std::iter::once(header).chain(fallback_headers);
                let header = names.find(|name| delivery.has_header(name));
                let signature = Signature {
                    header: header.ok_or(Refusal::Missing)?,
                    encoding: *encoding,
                    prefix: prefix.as_deref().unwrap_or(""),
                    over: *over,
                    timestamp: timestamp.as_ref(),
                };
                signed(signature.verify(delivery, check))
            }
            Self::StandardWebhooks { tolerance_seconds } => {
                let tolerance = tolerance_seconds.unwrap_or(TOLERANCE_SECONDS);
                signed(standard::verify(delivery, check, tolerance))
            }
            Self::SlackV0 { tolerance_seconds } => {
                let tolerance = tolerance_seconds.unwrap_or(TOLERANCE_SECONDS);
                signed(slack(delivery, check, tolerance))
            }
            Self::StaticToken { headers, prefix, legacy_query } => {
                let (prefix, legacy_query) = (prefix.as_deref(), legacy_query.as_deref());
                token::verify(delivery, check, Places { headers, prefix, legacy_query })
            }
            Self::FirstPresent { of } => {
                let first = of.iter().find(|verifier| verifier.is_present(delivery));
                first.ok_or(Refusal::Missing)?.transport(delivery, check)
            }
        }
    }

    /// Whether the delivery has what this looks at.
    fn is_present(&self, delivery: &Delivery<'_>) -> bool {
        match self {
            Self::HmacSha256 { header, fallback_headers, .. } => std::iter::once(header)
                .chain(fallback_headers)
                .any(|name| delivery.has_header(name)),
            Self::StandardWebhooks { .. } => delivery.has_header(standard::SIGNATURE),
            Self::SlackV0 { .. } => delivery.has_header(SLACK_SIGNATURE),
            Self::StaticToken { headers, legacy_query, .. } => {
                legacy_query.is_some() || headers.iter().any(|name| delivery.has_header(name))
            }
            Self::FirstPresent { of } => of.iter().any(|verifier| verifier.is_present(delivery)),
        }
    }
}

/// An HMAC in a header, as a definition describes it.
struct Signature<'v> {
    header: &'v str,
    encoding: SignatureEncoding,
    prefix: &'v str,
    over: SignedContent,
    timestamp: Option<&'v Timestamp>,
}

impl Signature<'_> {
    fn verify(&self, delivery: &Delivery<'_>, check: &Check<'_>) -> Result<(), Refusal> {
        let value = delivery.header(self.header)?.ok_or(Refusal::Missing)?;
        let text = value.strip_prefix(self.prefix.as_bytes()).ok_or(Refusal::Malformed)?;
        let given = hmac::decoded(text, self.encoding).ok_or(Refusal::Malformed)?;
        let stamp = self.stamp(delivery)?;
        let parts: &[&[u8]] = match self.over {
            SignedContent::Body => &[delivery.body],
            SignedContent::TimestampDotBody => {
                &[stamp.ok_or(Refusal::Missing)?, b".", delivery.body]
            }
        };
        let keys = check.secrets.iter().map(WebhookSecret::bytes);
        if !hmac::is_signed(keys, &given, parts) {
            return Err(Refusal::Mismatch);
        }
        let Some(timestamp) = self.timestamp else { return Ok(()) };
        let sent = match stamp {
            Some(stamp) => time::stamp(stamp, timestamp.unit),
            None => in_body(delivery, timestamp),
        };
        check.is_recent(sent.ok_or(Refusal::Malformed)?, timestamp.tolerance_seconds)
    }

    /// The timestamp's header, where it has one.
    fn stamp<'d>(&self, delivery: &Delivery<'d>) -> Result<Option<&'d [u8]>, Refusal> {
        let Some(name) = self.timestamp.and_then(|timestamp| timestamp.header.as_ref()) else {
            return Ok(None);
        };
        delivery.header(name)?.ok_or(Refusal::Missing).map(Some)
    }
}

/// A timestamp in the body, which is read only once it is known to be the provider's.
fn in_body(delivery: &Delivery<'_>, timestamp: &Timestamp) -> Option<i64> {
    let payload: serde_json::Value = serde_json::from_slice(delivery.body).ok()?;
    let number = payload.pointer(timestamp.pointer.as_ref()?)?.as_i64()?;
    match timestamp.unit {
        TimeUnit::Seconds => number.checked_mul(1000),
        TimeUnit::Milliseconds => Some(number),
    }
}

const SLACK_SIGNATURE: &str = "X-Slack-Signature";

/// <https://docs.slack.dev/authentication/verifying-requests-from-slack>
fn slack(delivery: &Delivery<'_>, check: &Check<'_>, tolerance: u32) -> Result<(), Refusal> {
    let stamp = delivery.header("X-Slack-Request-Timestamp")?.ok_or(Refusal::Missing)?;
    let value = delivery.header(SLACK_SIGNATURE)?.ok_or(Refusal::Missing)?;
    let text = value.strip_prefix(b"v0=").ok_or(Refusal::Malformed)?;
    let given = hmac::decoded(text, SignatureEncoding::Hex).ok_or(Refusal::Malformed)?;
    let keys = check.secrets.iter().map(WebhookSecret::bytes);
    if !hmac::is_signed(keys, &given, &[b"v0:", stamp, b":", delivery.body]) {
        return Err(Refusal::Mismatch);
    }
    let sent = time::stamp(stamp, TimeUnit::Seconds).ok_or(Refusal::Malformed)?;
    check.is_recent(sent, tolerance)
}
