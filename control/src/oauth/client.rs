//! Speaks to a provider's endpoints.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::StatusCode;
use reqwest::header::HeaderValue;
use sallygate_definitions::contract::oauth::ClientAuthentication;
use url::form_urlencoded;
use zeroize::Zeroizing;

use super::tokens::{self, Tokens};
use super::{Grant, OAuthError, Provider};
use crate::credentials::Plaintext;
use crate::outbound::{Answer, Outbound};

/// A provider, and the way to it.
#[derive(Clone, Debug)]
pub struct OAuthClient {
    pub provider: Provider,
    pub outbound: Outbound,
}

impl OAuthClient {
    /// Asks for tokens. `now_ms` is before the request is sent: a token never looks younger than
    /// it is.
    pub async fn tokens(&self, grant: Grant<'_>, now_ms: i64) -> Result<Tokens, OAuthError> {
        let answer = self.granted(grant).await?;
        Tokens::read(&answer.body, now_ms)
    }

    /// What the provider answers when it grants.
    pub(crate) async fn granted(&self, grant: Grant<'_>) -> Result<Answer, OAuthError> {
        let mut form = Form::default();
        form.add("grant_type", grant.kind().as_bytes());
        for (name, value) in grant.parameters() {
            form.add(name, value);
        }
        if matches!(grant, Grant::ClientCredentials) {
            form.add_all(self.provider.parameters.iter());
            form.add_scope(self.provider.scope());
        }
        let answer = self.post(&self.provider.token_url, form).await?;
        match answer.status {
            StatusCode::OK | StatusCode::CREATED => Ok(answer),
            _ => Err(failure(&answer)),
        }
    }

    /// Tells the provider that a token is not wanted any more (RFC 7009). `false`: it has no such
    /// endpoint.
    pub async fn revoke(&self, token: &Plaintext) -> Result<bool, OAuthError> {
        let Some(url) = &self.provider.revocation_url else { return Ok(false) };
        let mut form = Form::default();
        form.add("token", token.expose());
        let answer = self.post(url, form).await?;
        if answer.status.is_success() { Ok(true) } else { Err(failure(&answer)) }
    }

    /// Sends a form, with what proves who we are.
    pub(super) async fn post(&self, url: &str, mut form: Form) -> Result<Answer, OAuthError> {
        let client = &self.provider.client;
        let secret = client.secret.as_ref();
        let authorization = match (self.provider.authentication, secret) {
            (ClientAuthentication::Basic, Some(secret)) => Some(basic(&client.id, secret)?),
            (ClientAuthentication::Body, Some(secret)) => {
                form.add("client_id", client.id.as_bytes());
                form.add("client_secret", secret.expose());
                None
            }
            (ClientAuthentication::None, _) | (_, None) => {
                form.add("client_id", client.id.as_bytes());
                None
            }
        };
        Ok(self.outbound.post_form(url, authorization, form.finish()).await?)
    }
}

/// A form whose buffer is wiped. reqwest takes it over to send it.
#[derive(Default)]
pub(super) struct Form(Zeroizing<String>);

impl Form {
    pub(super) fn add(&mut self, name: &str, value: &[u8]) {
        if !self.0.is_empty() {
            self.0.push('&');
        }
        self.0.push_str(name);
        self.0.push('=');
        self.0.extend(form_urlencoded::byte_serialize(value));
    }

    pub(super) fn add_all<'p>(&mut self, all: impl Iterator<Item = (&'p String, &'p String)>) {
        all.for_each(|(name, value)| self.add(name, value.as_bytes()));
    }

    pub(super) fn add_scope(&mut self, scope: Option<String>) {
        if let Some(scope) = scope {
            self.add("scope", scope.as_bytes());
        }
    }

    fn finish(mut self) -> String {
        std::mem::take(&mut *self.0)
    }
}

/// RFC 6749 §2.3.1: both parts are form-encoded before they are joined.
fn basic(id: &str, secret: &Plaintext) -> Result<HeaderValue, OAuthError> {
    let mut pair = Zeroizing::new(String::new());
    pair.extend(form_urlencoded::byte_serialize(id.as_bytes()));
    pair.push(':');
    pair.extend(form_urlencoded::byte_serialize(secret.expose()));
    let text = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
    let mut value = HeaderValue::from_str(&text)
        .map_err(|_| OAuthError::Malformed("the client's name cannot be sent"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// What an answer that is no success means.
pub(crate) fn failure(answer: &Answer) -> OAuthError {
    let status = answer.status;
    let passing = [StatusCode::TOO_MANY_REQUESTS, StatusCode::REQUEST_TIMEOUT].contains(&status);
    if passing || status.is_server_error() {
        return OAuthError::Unavailable { retry_after: answer.retry_after };
    }
    tokens::refused(&answer.body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_parts_of_the_client_are_encoded_before_they_are_joined() {
        let header = basic("a:b", &Plaintext::new(b"p%s d/+".to_vec())).unwrap();
        let text = header.to_str().unwrap().strip_prefix("Basic ").unwrap().to_owned();
        assert_eq!(STANDARD.decode(text).unwrap(), b"a%3Ab:p%25s+d%2F%2B");
        assert!(header.is_sensitive());
    }

    #[test]
    fn a_form_cannot_grow_a_parameter() {
        let mut form = Form::default();
        form.add("code", b"x&grant_type=password");
        form.add("redirect_uri", "https://a.example/ü".as_bytes());
        assert_eq!(
            form.finish(),
            "code=x%26grant_type%3Dpassword&redirect_uri=https%3A%2F%2Fa.example%2F%C3%BC"
        );
    }

    #[test]
    fn only_what_cannot_change_is_permanent() {
        let answer = |status, body: &str| {
            let body = Zeroizing::new(body.as_bytes().to_vec());
            failure(&Answer { status, retry_after: None, body })
        };
        for (status, body, permanent) in [
            (StatusCode::BAD_REQUEST, r#"{"error":"invalid_grant"}"#, true),
            (StatusCode::UNAUTHORIZED, r#"{"error":"invalid_client"}"#, true),
            (StatusCode::BAD_REQUEST, r#"{"error":"temporarily_unavailable"}"#, false),
            (StatusCode::BAD_REQUEST, "<html>", false),
            (StatusCode::TOO_MANY_REQUESTS, r#"{"error":"invalid_grant"}"#, false),
            (StatusCode::BAD_GATEWAY, r#"{"error":"invalid_grant"}"#, false),
            (StatusCode::FOUND, "", false),
        ] {
            assert_eq!(answer(status, body).is_permanent(), permanent, "{status} {body}");
        }
    }
}
