//! A person consents in a browser: to the provider, and back with a code.

use std::fmt;

use sallygate_definitions::contract::method::ConnectionMethod;

use super::{Connect, Site, Who, subject};
use crate::credentials::Plaintext;
use crate::domain::DomainError;
use crate::domain::connection::{Consented, Wish, check_wish};
use crate::oauth::{Attempt, Begin, Grant, OAuthError, Owner, Tokens, authorization_url};
use crate::store::Access;

/// What attempts of browsers are begun for, and ended as.
pub(super) const PURPOSE: &str = "connect";

/// A way to the provider that somebody was shown.
pub struct Begun {
    pub url: String,
    pub expires_ms: i64,
}

// Whoever has the state may come back in somebody's place.
impl fmt::Debug for Begun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Begun(…)")
    }
}

/// Where an attempt belongs that has not ended.
#[derive(Debug)]
pub struct Underway {
    pub organisation: String,
    pub target_key: String,
}

/// What a browser came back with.
#[derive(Debug)]
pub enum CameBack {
    Code(Plaintext),
    /// The provider says why not. Its text is not repeated.
    Denied,
}

pub(super) fn is_consent(method: &ConnectionMethod) -> bool {
    matches!(method, ConnectionMethod::Oauth2AuthorizationCode { .. })
}

impl Connect<'_> {
    /// Begins a consent. The wish's method is filled in.
    pub async fn begin_consent(&self, who: Who<'_>, wish: Wish) -> Result<Begun, DomainError> {
        let Self(control) = self;
        let site = Site::find(control, &wish.target_key).await?;
        let method = site.method(wish.method(), is_consent)?;
        let wish = self.checked(who, Wish { method: method.id().to_owned(), ..wish }).await?;
        let (client, redirect_uri) = (site.client(method)?, site.text("redirectUri")?);
        let payload = wish.payload();
        let begin = Begin { owner: owner(who), purpose: PURPOSE, redirect_uri, payload: &payload };
        let now_ms = control.clock.now_ms();
        let begun = Attempt::begin(&control.store, &control.vault, begin, now_ms).await?;
        let (state, verifier, expires_ms) = begun;
        let url = authorization_url(&client.provider, &state, &verifier, (redirect_uri, None))?;
        Ok(Begun { url, expires_ms })
    }

    /// Ends a consent: the state first, whatever comes of it.
    pub async fn finish_consent(
        &self,
        who: Who<'_>,
        (target_key, state): (&str, &str),
        came_back: CameBack,
    ) -> Result<Consented, DomainError> {
        let Self(control) = self;
        let attempt = self.consume(who, (target_key, state)).await?;
        let wish = Wish::from_payload(&attempt.payload)?;
        let CameBack::Code(code) = came_back else {
            return Err(OAuthError::Refused("access_denied").into());
        };
        let site = Site::find(control, &wish.target_key).await?;
        let method = site.method(Some(&wish.method), is_consent);
        let method = method.map_err(|_| OAuthError::UnknownState)?;
        let client = site.client(method)?;
        let grant = Grant::Code {
            code: &code,
            verifier: Some(&attempt.secret),
            redirect_uri: &attempt.redirect_uri,
        };
        let now_ms = control.clock.now_ms();
        let answer = client.granted(grant).await?;
        let tokens = Tokens::read(&answer.body, now_ms)?;
        let contract = site.definition.oauth2_authorization_code.as_ref();
        let wanted = contract.and_then(|contract| contract.subject.as_ref());
        let subject = subject::of(&site, wanted, (&answer.body, &tokens)).await?;
        Ok(Consented { wish, tokens, subject })
    }

    /// The target of an attempt that this session began and that has not ended.
    pub async fn begun_for(&self, session: &str, state: &str) -> Result<Underway, DomainError> {
        let Self(control) = self;
        let which = (state, session, PURPOSE);
        let now_ms = control.clock.now_ms();
        let attempt = Attempt::look(&control.store, &control.vault, which, now_ms).await?;
        let wish = Wish::from_payload(&attempt.payload)?;
        Ok(Underway { organisation: attempt.owner, target_key: wish.target_key })
    }

    /// An attempt ends in the organisation and for the target that it was begun for.
    pub(super) async fn consume(
        &self,
        who: Who<'_>,
        (target_key, state): (&str, &str),
    ) -> Result<Attempt, DomainError> {
        let Self(control) = self;
        let (which, now_ms) = ((state, who.session, PURPOSE), control.clock.now_ms());
        let attempt = Attempt::consume(&control.store, &control.vault, which, now_ms).await?;
        let begun_for = attempt.payload.get("targetKey").and_then(serde_json::Value::as_str);
        if attempt.owner != who.organisation || begun_for != Some(target_key) {
            return Err(OAuthError::UnknownState.into());
        }
        Ok(attempt)
    }

    pub(super) async fn checked(&self, who: Who<'_>, wish: Wish) -> Result<Wish, DomainError> {
        let Self(control) = self;
        let mut transaction = control.store.begin(Access::Read).await?;
        check_wish(&mut *transaction, &control.registry, (who.organisation, &wish)).await?;
        Ok(wish)
    }
}

pub(super) fn owner<'w>(who: Who<'w>) -> Owner<'w> {
    Owner { key: who.organisation, session: who.session }
}
