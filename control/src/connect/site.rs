//! A target as its provider is spoken to: its configuration, its secrets, and the way there.

use std::collections::BTreeMap;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use sallygate_definitions::Definition;
use sallygate_definitions::contract::method::ConnectionMethod;
use sallygate_definitions::template::Scope;
use serde_json::{Value as Json, json};

use crate::credentials::Plaintext;
use crate::domain::target::{self, Target};
use crate::domain::{DomainError, Fault, Issue};
use crate::oauth::{ClientIdentity, OAuthClient, Provider, ProviderError};
use crate::outbound::{Outbound, Reach};
use crate::service::Control;
use crate::store::Access;

/// A target, opened.
#[derive(Debug)]
pub struct Site<'c> {
    pub key: String,
    pub definition: &'c Definition,
    /// In normal form.
    pub config: Json,
    pub outbound: Outbound,
    secrets: BTreeMap<String, Plaintext>,
}

impl<'c> Site<'c> {
    /// Reads a target with its secrets, whether it is enabled or not.
    pub async fn find(control: &'c Control, key: &str) -> Result<Self, DomainError> {
        let mut transaction = control.store.begin(Access::Read).await?;
        let target = target::find(&mut *transaction, key).await?;
        let secrets = target::open_secrets(&mut *transaction, &control.vault, &target).await?;
        drop(transaction);
        let definition = control.registry.find(&target.definition).ok_or_else(|| {
            let message = format!("there is no definition `{}` any more", target.definition);
            DomainError::conflict("definition_not_found", message)
        })?;
        let config = definition.admit_target(&target.config);
        let config = config.map_err(|_| incomplete(key, "config", "is not valid any more"))?;
        let outbound = Outbound::new(&reach(&target)?).map_err(|_| {
            incomplete(key, "options.upstream.caPem", "holds no authority that can be trusted")
        })?;
        Ok(Self { key: target.key, definition, config, outbound, secrets })
    }

    /// A text of the configuration that the provider cannot be spoken to without.
    pub fn text(&self, name: &str) -> Result<&str, DomainError> {
        let found = self.config.get(name).and_then(Json::as_str).filter(|text| !text.is_empty());
        found.ok_or_else(|| incomplete(&self.key, &format!("config.{name}"), "is missing"))
    }

    pub fn secret(&self, name: &str) -> Result<&Plaintext, DomainError> {
        let found = self.secrets.get(name);
        found.ok_or_else(|| incomplete(&self.key, &format!("secrets.{name}"), "is missing"))
    }

    /// Who we are at the provider. A public client has no secret.
    pub fn identity(&self) -> Result<ClientIdentity, DomainError> {
        let secret = self.secrets.get("clientSecret").cloned();
        Ok(ClientIdentity { id: self.text("clientId")?.to_owned(), secret })
    }

    /// Speaks OAuth 2.0 for a method of the definition.
    pub fn client(&self, method: &ConnectionMethod) -> Result<OAuthClient, DomainError> {
        let (nothing, definition) = (json!({}), self.definition);
        let scope =
            Scope { target: &self.config, connection: &nothing, binding: &nothing, item: None };
        let (code, program, device) = (
            definition.oauth2_authorization_code.as_ref(),
            definition.oauth2_client_credentials.as_ref(),
            definition.device_authorization.as_ref(),
        );
        let provider = match method {
            ConnectionMethod::Oauth2AuthorizationCode { .. } => {
                let contract = code.ok_or_else(|| self.has_none(method))?;
                Provider::authorization_code(contract, &scope, self.identity()?)
            }
            ConnectionMethod::Oauth2ClientCredentials { .. } => {
                let contract = program.ok_or_else(|| self.has_none(method))?;
                Provider::client_credentials(contract, &scope, self.identity()?)
            }
            ConnectionMethod::DeviceAuthorization { .. } => {
                let contract = device.ok_or_else(|| self.has_none(method))?;
                Provider::device(contract, &scope, self.identity()?)
            }
            ConnectionMethod::Form { .. } | ConnectionMethod::Redirect { .. } => {
                return Err(self.has_none(method));
            }
        };
        let provider = provider.map_err(|error| self.unfilled(&error))?;
        Ok(OAuthClient { provider, outbound: self.outbound.clone() })
    }

    /// The method with this id, or the only one of its kind.
    pub fn method(
        &self,
        wanted: Option<&str>,
        is_kind: fn(&ConnectionMethod) -> bool,
    ) -> Result<&'c ConnectionMethod, DomainError> {
        let mut methods = self.definition.connection_methods.iter().filter(|m| is_kind(m));
        let found = match wanted {
            Some(wanted) => methods.find(|method| method.id() == wanted),
            None => methods.next().filter(|_| methods.next().is_none()),
        };
        found.ok_or_else(|| {
            let key = self.definition.key();
            let message = match wanted {
                Some(wanted) => format!("`{key}` is not connected so by a method `{wanted}`"),
                None => format!("`{key}` has not exactly one such method: name one that it has"),
            };
            let issue = Issue::new("UNKNOWN_CONNECTION_METHOD", "method", message);
            DomainError::invalid(vec![issue])
        })
    }

    fn has_none(&self, method: &ConnectionMethod) -> DomainError {
        let message = format!("`{}` of `{}` is not OAuth 2.0", method.id(), self.definition.key());
        let issue = Issue::new("UNKNOWN_CONNECTION_METHOD", "method", message);
        DomainError::invalid(vec![issue])
    }

    fn unfilled(&self, error: &ProviderError) -> DomainError {
        let message = format!("target `{}`: {error}", self.key);
        DomainError::conflict("target_incomplete", message)
    }
}

fn incomplete(key: &str, field: &str, what: &str) -> DomainError {
    let message = format!("target `{key}` cannot be connected to so: `{field}` {what}");
    let issue = Issue::new("TARGET_INCOMPLETE", field, message.clone());
    let mut error = DomainError::new(Fault::Conflict, "target_incomplete", message);
    error.issues.push(issue);
    error
}

/// What the target lets requests do beyond the rule: the same as in plans.
fn reach(target: &Target) -> Result<Reach, DomainError> {
    let upstream = target.to_compile()?.upstream;
    let pem = upstream.ca_pem.unwrap_or_default();
    let authorities = CertificateDer::pem_slice_iter(pem.as_bytes()).filter_map(Result::ok);
    Ok(Reach {
        allow_ranges: upstream.allow_ranges,
        authorities: authorities.collect(),
        addresses: upstream.addresses.iter().map(std::net::SocketAddr::ip).collect(),
    })
}
