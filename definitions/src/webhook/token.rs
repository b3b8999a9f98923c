//! A shared secret that stands in the delivery itself.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};

use super::delivery::{Delivery, Transport};
use super::form;
use super::verify::{Check, Legacy, Refusal};

/// Where a secret may stand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places<'v> {
    /// The first is preferred.
    pub(super) headers: &'v [String],
    pub(super) prefix: Option<&'v str>,
    pub(super) legacy_query: Option<&'v str>,
}

pub(super) fn verify(
    delivery: &Delivery<'_>,
    check: &Check<'_>,
    places: Places<'_>,
) -> Result<Transport, Refusal> {
    for (at, name) in places.headers.iter().enumerate() {
        let Some(value) = delivery.header(name)? else { continue };
        let prefix = places.prefix.unwrap_or("").as_bytes();
        let token = value.strip_prefix(prefix).ok_or(Refusal::Malformed)?;
        let transport = if at == 0 { Transport::Preferred } else { Transport::Fallback };
        return is_secret(check, token).map(|()| transport);
    }
    let Some(name) = places.legacy_query else { return Err(Refusal::Missing) };
    let query = delivery.query.unwrap_or("");
    let token = form::value(query, name).map_err(|_| Refusal::Malformed)?;
    let token = token.ok_or(Refusal::Missing)?;
    match check.legacy {
        Legacy::Accept => is_secret(check, token.as_bytes()).map(|()| Transport::Legacy),
        Legacy::Refuse => Err(Refusal::LegacyTransport),
    }
}

fn is_secret(check: &Check<'_>, token: &[u8]) -> Result<(), Refusal> {
    // Digests have one length, so that time does not tell the secret's.
    let given = digest(&SHA256, token);
    let secrets = check.secrets.iter().map(|secret| secret.bytes());
    let found = secrets.filter(|secret| !secret.is_empty()).fold(false, |found, secret| {
        let known = digest(&SHA256, secret);
        found | verify_slices_are_equal(known.as_ref(), given.as_ref()).is_ok()
    });
    if found { Ok(()) } else { Err(Refusal::Mismatch) }
}
