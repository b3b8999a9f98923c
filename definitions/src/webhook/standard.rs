//! Standard Webhooks: <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>.

use super::delivery::Delivery;
use super::hmac;
use super::secret::WebhookSecret;
use super::time;
use super::verify::{Check, Refusal};
use crate::contract::webhook::{SignatureEncoding, TimeUnit};

pub(super) const ID: &str = "webhook-id";
pub(super) const TIMESTAMP: &str = "webhook-timestamp";
pub(super) const SIGNATURE: &str = "webhook-signature";

/// Secrets are written with this in front.
const SECRET_PREFIX: &str = "whsec_";
/// While a secret is rotated there are two signatures; so many are none of a provider.
const SIGNATURES_MAX: usize = 16;

pub(super) fn verify(
    delivery: &Delivery<'_>,
    check: &Check<'_>,
    tolerance_seconds: u32,
) -> Result<(), Refusal> {
    let id = delivery.header(ID)?.ok_or(Refusal::Missing)?;
    let timestamp = delivery.header(TIMESTAMP)?.ok_or(Refusal::Missing)?;
    let signatures = delivery.header(SIGNATURE)?.ok_or(Refusal::Missing)?;
    let keys: Vec<Vec<u8>> = check.secrets.iter().filter_map(key).collect();
    let parts: [&[u8]; 5] = [id, b".", timestamp, b".", delivery.body];
    let mut found = false;
    for (at, signature) in signatures.split(|byte| *byte == b' ').enumerate() {
        if at >= SIGNATURES_MAX {
            return Err(Refusal::Malformed);
        }
        // Other versions are asymmetric, and nothing here is verified by them.
        let Some(text) = signature.strip_prefix(b"v1,") else { continue };
        let given = hmac::decoded(text, SignatureEncoding::Base64);
        let keys = keys.iter().map(Vec::as_slice);
        found |= given.is_some_and(|given| hmac::is_signed(keys, &given, &parts));
    }
    if !found {
        return Err(Refusal::Mismatch);
    }
    let sent = time::stamp(timestamp, TimeUnit::Seconds).ok_or(Refusal::Malformed)?;
    check.is_recent(sent, tolerance_seconds)
}

/// The value of `webhook-signature` for a delivery of our own; `None` for a secret that is none.
pub fn sign(secret: &WebhookSecret, id: &str, timestamp: u64, body: &[u8]) -> Option<String> {
    use base64::Engine;
    let timestamp = timestamp.to_string();
    let parts: [&[u8]; 5] = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body];
    let tag = hmac::tag(&key(secret)?, &parts);
    Some(format!("v1,{}", base64::engine::general_purpose::STANDARD.encode(tag)))
}

fn key(secret: &WebhookSecret) -> Option<Vec<u8>> {
    let text = secret.bytes();
    let text = text.strip_prefix(SECRET_PREFIX.as_bytes()).unwrap_or(text);
    hmac::base64(text).filter(|key| !key.is_empty())
}
