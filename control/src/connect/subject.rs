//! Who it was that consented, as the provider has it.

use std::borrow::Cow;

use axum::http::HeaderValue;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sallygate_definitions::contract::oauth::{Subject, SubjectSource};
use sallygate_definitions::template::{Filter, Scope, Template, TemplateError};
use serde_json::{Value as Json, json};

use super::Site;
use crate::credentials::Plaintext;
use crate::oauth::{OAuthError, Tokens, failure};

/// A stable id is short.
const SUBJECT_CHARACTERS_MAX: usize = 255;

/// The id, where the definition says where it stands and the target where that is.
pub(super) async fn of(
    site: &Site<'_>,
    subject: Option<&Subject>,
    (answer, tokens): (&[u8], &Tokens),
) -> Result<Option<String>, OAuthError> {
    let Some(subject) = subject else { return Ok(None) };
    let told = match subject.from {
        SubjectSource::TokenResponse => Cow::Borrowed(answer),
        SubjectSource::IdToken => match &tokens.id_token {
            // It came from the token endpoint itself, over TLS that was verified (OpenID Connect
            // Core 1.0 §3.1.3.7, rule 6).
            Some(token) => Cow::Owned(claims(token).ok_or(UNREADABLE)?),
            None => return Ok(None),
        },
        SubjectSource::UserInfo => {
            let Some(url) = url(site, subject)? else { return Ok(None) };
            let answer = site.outbound.get(&url, Some(bearer(&tokens.access)?)).await?;
            if !answer.status.is_success() {
                return Err(failure(&answer));
            }
            Cow::Owned(answer.body.to_vec())
        }
    };
    let told: Json = serde_json::from_slice(&told).map_err(|_| UNREADABLE)?;
    let id = match told.pointer(&subject.id) {
        Some(Json::String(text)) => text.clone(),
        Some(Json::Number(number)) => number.to_string(),
        Some(_) | None => return Err(UNREADABLE),
    };
    let fine = !id.is_empty()
        && id.chars().count() <= SUBJECT_CHARACTERS_MAX
        && !id.chars().any(char::is_control);
    if fine { Ok(Some(id)) } else { Err(UNREADABLE) }
}

const UNREADABLE: OAuthError = OAuthError::Malformed("it does not say who consented");

fn url(site: &Site<'_>, subject: &Subject) -> Result<Option<String>, OAuthError> {
    let Some(url) = &subject.url else { return Ok(None) };
    let nothing = json!({});
    let scope = Scope { target: &site.config, connection: &nothing, binding: &nothing, item: None };
    match Template::parse(url).and_then(|url| url.render(&scope, Filter::Raw)) {
        Ok(url) => Ok(Some(url)),
        Err(TemplateError::Missing(_)) => Ok(None),
        Err(_) => Err(OAuthError::Malformed("its address cannot be filled in")),
    }
}

/// The claims of a token, unverified.
fn claims(token: &Plaintext) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(token.expose()).ok()?;
    URL_SAFE_NO_PAD.decode(text.split('.').nth(1)?).ok()
}

pub(crate) fn bearer(token: &Plaintext) -> Result<HeaderValue, OAuthError> {
    let text = zeroize::Zeroizing::new([b"Bearer ".as_slice(), token.expose()].concat());
    let value = HeaderValue::from_bytes(&text);
    let mut value = value.map_err(|_| OAuthError::Malformed("not an access token"))?;
    value.set_sensitive(true);
    Ok(value)
}
