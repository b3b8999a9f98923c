//! A provider as it is configured: the definition's endpoints, filled in with the target's
//! configuration, and who we are there.

use std::collections::BTreeMap;

use sallygate_definitions::contract::oauth::{
    AuthorizationCode, ClientAuthentication, ClientCredentials, DeviceAuthorization, Pkce, Refresh,
};
use sallygate_definitions::template::{Filter, Scope, Template, TemplateError};

use crate::credentials::Plaintext;

/// Who we are at the provider.
#[derive(Clone, Debug)]
pub struct ClientIdentity {
    pub id: String,
    /// A public client has none.
    pub secret: Option<Plaintext>,
}

/// The endpoints, and what is said there.
#[derive(Clone, Debug)]
pub struct Provider {
    pub token_url: String,
    pub authorization_url: Option<String>,
    pub device_authorization_url: Option<String>,
    pub revocation_url: Option<String>,
    pub authentication: ClientAuthentication,
    pub client: ClientIdentity,
    pub scopes: Vec<String>,
    pub scope_separator: String,
    pub pkce: Pkce,
    pub refresh: Refresh,
    /// Further parameters: of the authorization request, or of the client credentials request.
    pub parameters: BTreeMap<String, String>,
}

/// A template of the definition has no value under this target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the definition's `{field}` cannot be filled in: {reason}")]
pub struct ProviderError {
    pub field: &'static str,
    pub reason: TemplateError,
}

impl Provider {
    /// RFC 6749 §4.1.
    pub fn authorization_code(
        contract: &AuthorizationCode,
        scope: &Scope<'_>,
        client: ClientIdentity,
    ) -> Result<Self, ProviderError> {
        let fill = Fill(scope);
        Ok(Self {
            token_url: fill.one("tokenUrl", &contract.token_url)?,
            authorization_url: Some(fill.one("authorizationUrl", &contract.authorization_url)?),
            device_authorization_url: None,
            revocation_url: fill.optional("revocationUrl", contract.revocation_url.as_deref())?,
            authentication: contract.client_authentication,
            client,
            scopes: fill.scopes(&contract.scopes)?,
            scope_separator: contract.scope_separator.clone().unwrap_or_else(|| " ".to_owned()),
            pkce: contract.pkce,
            refresh: contract.refresh,
            parameters: fill.all("parameters", &contract.parameters)?,
        })
    }

    /// RFC 6749 §4.4.
    pub fn client_credentials(
        contract: &ClientCredentials,
        scope: &Scope<'_>,
        client: ClientIdentity,
    ) -> Result<Self, ProviderError> {
        let fill = Fill(scope);
        Ok(Self {
            token_url: fill.one("tokenUrl", &contract.token_url)?,
            authorization_url: None,
            device_authorization_url: None,
            revocation_url: None,
            authentication: contract.client_authentication,
            client,
            scopes: fill.scopes(&contract.scopes)?,
            scope_separator: " ".to_owned(),
            pkce: Pkce::None,
            refresh: Refresh::None,
            parameters: fill.all("parameters", &contract.parameters)?,
        })
    }

    /// RFC 8628.
    pub fn device(
        contract: &DeviceAuthorization,
        scope: &Scope<'_>,
        client: ClientIdentity,
    ) -> Result<Self, ProviderError> {
        let fill = Fill(scope);
        let url = fill.one("deviceAuthorizationUrl", &contract.device_authorization_url)?;
        Ok(Self {
            token_url: fill.one("tokenUrl", &contract.token_url)?,
            authorization_url: None,
            device_authorization_url: Some(url),
            revocation_url: fill.optional("revocationUrl", contract.revocation_url.as_deref())?,
            authentication: contract.client_authentication,
            client,
            scopes: fill.scopes(&contract.scopes)?,
            scope_separator: " ".to_owned(),
            pkce: Pkce::None,
            refresh: contract.refresh,
            parameters: BTreeMap::new(),
        })
    }

    /// The scopes as one parameter; `None` asks for what the provider gives by default.
    pub(super) fn scope(&self) -> Option<String> {
        (!self.scopes.is_empty()).then(|| self.scopes.join(&self.scope_separator))
    }
}

struct Fill<'s>(&'s Scope<'s>);

impl Fill<'_> {
    fn one(&self, field: &'static str, text: &str) -> Result<String, ProviderError> {
        Template::parse(text)
            .and_then(|template| template.render(self.0, Filter::Raw))
            .map_err(|reason| ProviderError { field, reason })
    }

    /// An endpoint that the provider may have: none when the target does not say where it is.
    fn optional(
        &self,
        field: &'static str,
        text: Option<&str>,
    ) -> Result<Option<String>, ProviderError> {
        match text.map(|text| self.one(field, text)).transpose() {
            Err(ProviderError { reason: TemplateError::Missing(_), .. }) => Ok(None),
            filled => filled,
        }
    }

    fn scopes(&self, texts: &[String]) -> Result<Vec<String>, ProviderError> {
        let filled = texts.iter().map(|text| self.one("scopes", text));
        let scopes: Result<Vec<_>, _> = filled.collect();
        Ok(scopes?.into_iter().filter(|scope| !scope.is_empty()).collect())
    }

    fn all(
        &self,
        field: &'static str,
        texts: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, String>, ProviderError> {
        texts.iter().map(|(name, text)| Ok((name.clone(), self.one(field, text)?))).collect()
    }
}
