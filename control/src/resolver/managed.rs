//! OAuth 2.0 access tokens: renewed before they end, by one at a time whoever asks.

use sallygate_definitions::contract::method::ConnectionMethod;

use super::stored;
use crate::connect::Site;
use crate::domain::DomainError;
use crate::domain::resolve::{Credential, Permit, refused};
use crate::oauth::{ACCESS, KeepFor, OAuthError, Refreshed, Refresher};
use crate::service::Control;

/// A token that ends sooner is renewed before it is given: it must outlive the request.
const SOON_MS: i64 = 60_000;

/// The token, a new one where the old one ends.
pub(super) async fn token(control: &Control, permit: &Permit) -> Result<Credential, DomainError> {
    let held = stored(control, permit, (ACCESS, "")).await?;
    let held = held.ok_or_else(|| refused("the connection has no such credential"))?;
    let now_ms = control.clock.now_ms();
    if held.lives_at(now_ms.saturating_add(SOON_MS)) {
        return Ok(held);
    }
    match renew(control, permit, held.version).await {
        Ok(_) => {
            let renewed = stored(control, permit, (ACCESS, "")).await?;
            let now_ms = control.clock.now_ms();
            let renewed = renewed.filter(|renewed| renewed.lives_at(now_ms));
            renewed.ok_or_else(|| refused("the connection was taken away meanwhile"))
        }
        Err(error) if is_permanent(&error) => {
            Err(refused("the provider gives no token any more: connect again"))
        }
        // It still works, and whoever asks later may be luckier.
        Err(error) if held.lives_at(now_ms) => {
            tracing::warn!(code = error.code, connection.id = permit.connection, "not renewed");
            Ok(held)
        }
        Err(error) => Err(error),
    }
}

/// Whether only connecting again helps; the connection is in `error` then.
fn is_permanent(error: &DomainError) -> bool {
    matches!(error.code, "oauth_refused" | "consent_denied" | "nothing_to_refresh")
}

/// Renews the token whose version was seen.
pub(crate) async fn renew(
    control: &Control,
    permit: &Permit,
    seen: i64,
) -> Result<Refreshed, DomainError> {
    let site = Site::find(control, &permit.target_key).await?;
    let method = site.method(Some(&permit.method), has_tokens)?;
    let client = site.client(method)?;
    let (store, vault) = (control.store.clone(), control.vault.clone());
    let whose = KeepFor { organisation: &permit.organisation, connection: &permit.connection };
    let clock = || control.clock.now_ms();
    let renewed = Refresher { store, vault }.refresh(&client, (whose, seen), &clock).await;
    if renewed.as_ref().err().is_none_or(OAuthError::is_permanent) {
        control.feed.wake();
    }
    Ok(renewed?)
}

/// Whether the provider gives tokens for the method.
pub(crate) fn has_tokens(method: &ConnectionMethod) -> bool {
    match method {
        ConnectionMethod::Oauth2AuthorizationCode { .. }
        | ConnectionMethod::Oauth2ClientCredentials { .. }
        | ConnectionMethod::DeviceAuthorization { .. } => true,
        ConnectionMethod::Form { .. } | ConnectionMethod::Redirect { .. } => false,
    }
}
