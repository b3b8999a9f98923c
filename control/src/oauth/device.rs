//! Consent on another device (RFC 8628): a short code for the person, polls for us.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;

use super::attempt::{Attempt, Begin};
use super::client::{Form, failure};
use super::{Grant, OAuthClient, OAuthError, Tokens};
use crate::credentials::{Plaintext, Vault};
use crate::store::Store;

const INTERVAL_SECONDS: i64 = 5;
const INTERVAL_SECONDS_MAX: i64 = 60;
const LIFE_SECONDS_MAX: i64 = 30 * 60;

/// What the person is shown, and what is polled with.
pub struct DeviceStarted {
    pub handle: String,
    pub user_code: String,
    pub verification_uri: String,
    pub verification_uri_complete: Option<String>,
    pub expires_at_ms: i64,
    pub interval_seconds: i64,
}

// Whoever has the handle or the code may end the attempt.
impl fmt::Debug for DeviceStarted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeviceStarted(…)")
    }
}

#[derive(Deserialize)]
struct Given<'a> {
    #[serde(borrow)]
    device_code: Cow<'a, str>,
    user_code: String,
    #[serde(alias = "verification_url")]
    verification_uri: String,
    #[serde(default)]
    verification_uri_complete: Option<String>,
    expires_in: i64,
    #[serde(default)]
    interval: Option<i64>,
}

impl OAuthClient {
    /// Asks for a code. The code of the device itself stays here, sealed.
    pub async fn start_device(
        &self,
        (store, vault): (&Store, &Vault),
        begin: Begin<'_>,
        now_ms: i64,
    ) -> Result<DeviceStarted, OAuthError> {
        let missing = OAuthError::Malformed("there is no device endpoint");
        let url = self.provider.device_authorization_url.as_deref().ok_or(missing)?;
        let mut form = Form::default();
        form.add_scope(self.provider.scope());
        let answer = self.post(url, form).await?;
        if !answer.status.is_success() {
            return Err(failure(&answer));
        }
        let given: Given<'_> = serde_json::from_slice(&answer.body)
            .map_err(|_| OAuthError::Malformed("not a device authorization response"))?;
        let expires_at_ms = now_ms + given.expires_in.clamp(1, LIFE_SECONDS_MAX) * 1000;
        let interval = given.interval.unwrap_or(INTERVAL_SECONDS).clamp(1, INTERVAL_SECONDS_MAX);
        let code = Plaintext::new(given.device_code.into_owned().into_bytes());
        let times = (now_ms, expires_at_ms, now_ms + interval * 1000);
        let handle = Attempt::begin_device(store, vault, (begin, &code), times).await?;
        Ok(DeviceStarted {
            handle,
            user_code: given.user_code,
            verification_uri: given.verification_uri,
            verification_uri_complete: given.verification_uri_complete,
            expires_at_ms,
            interval_seconds: interval,
        })
    }

    /// Asks once whether the person has consented. Too early a poll is answered here: the provider
    /// would punish it. A poll that ends the attempt, well or not, makes its handle unknown.
    pub async fn poll_device(
        &self,
        (store, vault): (&Store, &Vault),
        (handle, session, purpose): (&str, &str, &'static str),
        now_ms: i64,
    ) -> Result<(Attempt, Tokens), OAuthError> {
        let attempt = Attempt::look(store, vault, (handle, session, purpose), now_ms).await?;
        if now_ms < attempt.poll_after_ms {
            return Err(OAuthError::Pending { slow_down: false });
        }
        let times = (attempt.poll_after_ms, now_ms + INTERVAL_SECONDS * 1000);
        if !Attempt::take_poll(store, handle, times).await? {
            return Err(OAuthError::Pending { slow_down: false });
        }
        let asked = self.tokens(Grant::Device { code: &attempt.secret }, now_ms).await;
        match asked {
            Err(OAuthError::Pending { slow_down }) => {
                let wait = if slow_down { INTERVAL_SECONDS * 2 } else { INTERVAL_SECONDS };
                Attempt::postpone(store, handle, now_ms + wait * 1000).await?;
                Err(OAuthError::Pending { slow_down })
            }
            Err(error) if !error.is_permanent() => Err(error),
            ended => {
                let state = (handle, session, purpose);
                let attempt = Attempt::consume(store, vault, state, now_ms).await?;
                ended.map(|tokens| (attempt, tokens))
            }
        }
    }
}
