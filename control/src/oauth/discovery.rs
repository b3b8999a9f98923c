//! Endpoints that the provider tells itself (RFC 8414, OpenID Connect Discovery 1.0).

use serde::Deserialize;
use url::Url;

use super::OAuthError;
use super::client::failure;
use crate::outbound::Outbound;

/// What the provider says of itself.
#[derive(Clone, Debug, Deserialize)]
pub struct Discovered {
    pub issuer: String,
    pub authorization_endpoint: String,
    pub token_endpoint: String,
    #[serde(default)]
    pub jwks_uri: Option<String>,
    #[serde(default)]
    pub revocation_endpoint: Option<String>,
    #[serde(default)]
    pub device_authorization_endpoint: Option<String>,
    #[serde(default)]
    pub userinfo_endpoint: Option<String>,
    #[serde(default)]
    pub end_session_endpoint: Option<String>,
    #[serde(default)]
    pub code_challenge_methods_supported: Vec<String>,
}

impl Discovered {
    /// Asks the issuer; OpenID Connect's place first, then that of RFC 8414. The issuer must name
    /// itself exactly so, or somebody could answer for another one (RFC 8414 §3.3).
    pub async fn of(issuer: &str, outbound: &Outbound) -> Result<Self, OAuthError> {
        let [openid, oauth] = places(issuer)?;
        let mut answer = outbound.get(&openid, None).await?;
        if answer.status == reqwest::StatusCode::NOT_FOUND {
            answer = outbound.get(&oauth, None).await?;
        }
        if !answer.status.is_success() {
            let error = failure(&answer);
            let none =
                error.is_permanent().then_some(OAuthError::Malformed("no discovery document"));
            return Err(none.unwrap_or(error));
        }
        let found: Self = serde_json::from_slice(&answer.body)
            .map_err(|_| OAuthError::Malformed("not a discovery document"))?;
        if found.issuer != issuer {
            return Err(OAuthError::Malformed("the discovery document names another issuer"));
        }
        Ok(found)
    }
}

/// OpenID Connect appends its place to the issuer's path, RFC 8414 inserts it before.
fn places(issuer: &str) -> Result<[String; 2], OAuthError> {
    let malformed = || OAuthError::Malformed("the issuer is not an https URL");
    let url = Url::parse(issuer).map_err(|_| malformed())?;
    if url.scheme() != "https" || url.query().is_some() || url.fragment().is_some() {
        return Err(malformed());
    }
    let path = url.path().trim_end_matches('/').to_owned();
    let at = |path: String| {
        let mut url = url.clone();
        url.set_path(&path);
        String::from(url)
    };
    Ok([
        at(format!("{path}/.well-known/openid-configuration")),
        at(format!("/.well-known/oauth-authorization-server{path}")),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_stands_where_the_standards_put_it() {
        let [openid, oauth] = places("https://id.example/tenant/").unwrap();
        assert_eq!(openid, "https://id.example/tenant/.well-known/openid-configuration");
        assert_eq!(oauth, "https://id.example/.well-known/oauth-authorization-server/tenant");
        let [openid, oauth] = places("https://id.example").unwrap();
        assert_eq!(openid, "https://id.example/.well-known/openid-configuration");
        assert_eq!(oauth, "https://id.example/.well-known/oauth-authorization-server");
        for issuer in ["http://id.example", "id.example", "https://id.example/?a", "https://i/#f"] {
            assert!(places(issuer).is_err(), "{issuer}");
        }
    }
}
