//! Where a person is sent to consent.

use sallygate_definitions::contract::oauth::Pkce;
use url::Url;

use super::pkce::Verifier;
use super::{OAuthError, Provider};

/// The address of the consent page (RFC 6749 §4.1.1).
pub fn authorization_url(
    provider: &Provider,
    state: &str,
    verifier: &Verifier,
    (redirect_uri, nonce): (&str, Option<&str>),
) -> Result<String, OAuthError> {
    let missing = || OAuthError::Malformed("there is no authorization endpoint");
    let endpoint = provider.authorization_url.as_deref().ok_or_else(missing)?;
    let mut url = Url::parse(endpoint).map_err(|_| missing())?;
    if url.scheme() != "https" {
        return Err(missing());
    }
    {
        let mut query = url.query_pairs_mut();
        for (name, value) in &provider.parameters {
            query.append_pair(name, value);
        }
        query
            .append_pair("response_type", "code")
            .append_pair("client_id", &provider.client.id)
            .append_pair("redirect_uri", redirect_uri)
            .append_pair("state", state);
        if let Some(scope) = provider.scope() {
            query.append_pair("scope", &scope);
        }
        if let Some(nonce) = nonce {
            query.append_pair("nonce", nonce);
        }
        match provider.pkce {
            Pkce::S256 => {
                query
                    .append_pair("code_challenge", &verifier.challenge())
                    .append_pair("code_challenge_method", "S256");
            }
            Pkce::None => {}
        }
    }
    Ok(url.into())
}
