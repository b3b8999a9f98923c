//! OAuth 2.0 and other redirects, as the provider has them. URLs are templates.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// RFC 6749 §4.1 with RFC 7636.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AuthorizationCode {
    pub authorization_url: String,
    pub token_url: String,
    /// RFC 7009.
    #[serde(default)]
    pub revocation_url: Option<String>,
    #[serde(default)]
    pub client_authentication: ClientAuthentication,
    #[serde(default)]
    pub scopes: Vec<String>,
    /// What stands between scopes; a space when nothing is said.
    #[serde(default)]
    pub scope_separator: Option<String>,
    #[serde(default)]
    pub pkce: Pkce,
    #[serde(default)]
    pub refresh: Refresh,
    /// Further parameters of the authorization request.
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
    #[serde(default)]
    pub subject: Option<Subject>,
}

/// RFC 6749 §4.4.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClientCredentials {
    pub token_url: String,
    #[serde(default)]
    pub client_authentication: ClientAuthentication,
    #[serde(default)]
    pub scopes: Vec<String>,
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
}

/// RFC 8628.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeviceAuthorization {
    pub device_authorization_url: String,
    pub token_url: String,
    /// RFC 7009.
    #[serde(default)]
    pub revocation_url: Option<String>,
    #[serde(default)]
    pub client_authentication: ClientAuthentication,
    #[serde(default)]
    pub scopes: Vec<String>,
    #[serde(default)]
    pub refresh: Refresh,
}

/// A redirect that is not OAuth: where it begins, and what the provider comes back with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RedirectHandler {
    pub start_url: String,
    /// The parameter that carries the single-use state, both ways.
    pub state_parameter: String,
    /// The parameters of the callback that completion needs.
    pub complete_parameters: Vec<String>,
    /// The resolver whose code completes the connection.
    pub resolver: String,
}

/// How the client proves who it is at the token endpoint (RFC 6749 §2.3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ClientAuthentication {
    #[default]
    Basic,
    Body,
    None,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Pkce {
    #[default]
    #[serde(rename = "S256")]
    S256,
    /// The provider does not have it.
    #[serde(rename = "none")]
    None,
}

/// What becomes of the refresh token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Refresh {
    /// There is none.
    #[default]
    None,
    /// It stays the same.
    Static,
    /// Each use gives a new one.
    Rotating,
}

/// Who it was that consented.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Subject {
    pub from: SubjectSource,
    /// With `userInfo`.
    #[serde(default)]
    pub url: Option<String>,
    /// The path of the stable id in the answer, as a JSON Pointer.
    pub id: String,
    /// The path of a name to show.
    #[serde(default)]
    pub name: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum SubjectSource {
    TokenResponse,
    IdToken,
    UserInfo,
}
