//! Connections that are made by typing secrets into a form.

use sallygate_definitions::Definition;
use sallygate_definitions::contract::method::{ConnectionMethod, SecretField};
use serde_json::Value as Json;

use super::insert::{Fresh, insert, made};
use super::secrets::{self, Secrets};
use super::{Connection, Of, Registry};
use crate::credentials::Vault;
use crate::domain::{Act, DomainError, Issue, check, target};
use crate::store::Transaction;

/// A connection that is wanted.
#[derive(Debug)]
pub struct NewConnection<'n> {
    pub organisation: &'n str,
    pub target_key: &'n str,
    /// `None`: the only form that the definition has.
    pub method: Option<&'n str>,
    pub display_name: &'n str,
    pub config: &'n Json,
    /// By the name of the form's field.
    pub secrets: &'n Secrets,
}

/// Makes a connection to an enabled target.
pub async fn create(
    transaction: &mut dyn Transaction,
    (act, registry, vault): (&Act, &Registry, &Vault),
    new: NewConnection<'_>,
) -> Result<Connection, DomainError> {
    check::name("displayName", new.display_name)?;
    let target = target::find(transaction, new.target_key).await?;
    if !target.enabled {
        let message = format!("target `{}` is disabled", new.target_key);
        return Err(DomainError::conflict("target_disabled", message));
    }
    let definition = registry.find(&target.definition).ok_or_else(|| {
        let message = format!("there is no definition `{}` any more", target.definition);
        DomainError::conflict("definition_not_found", message)
    })?;
    let (method, fields) = form(definition, new.method)?;
    let mut issues = secrets::issues(fields, new.secrets, secrets::Wanted::All);
    issues.extend(config_issues(definition, new.config));
    if !issues.is_empty() {
        return Err(DomainError::invalid(issues));
    }
    let fresh = Fresh {
        organisation: new.organisation,
        target_key: new.target_key,
        method,
        display_name: new.display_name,
        config: new.config,
        subject: None,
    };
    let id = insert(transaction, act, fresh).await?;
    let of = Of { organisation: new.organisation, id: &id };
    secrets::write(transaction, (act, vault), of, (fields, new.secrets)).await?;
    made(transaction, act, of).await
}

/// What the definition does not take of a connection's configuration.
pub(super) fn config_issues(definition: &Definition, config: &Json) -> Vec<Issue> {
    let admitted = definition.connection_config_schema.admit(config, "config");
    let problems = admitted.err().unwrap_or_default().into_iter();
    let issue = |p: sallygate_definitions::schema::Problem| {
        Issue::new("INVALID_CONNECTION_CONFIG", p.path.to_string(), p.message)
    };
    problems.map(issue).collect()
}

/// The form with this id, or the only one.
pub(super) fn form<'d>(
    definition: &'d Definition,
    wanted: Option<&str>,
) -> Result<(&'d str, &'d [SecretField]), DomainError> {
    let mut forms = definition.connection_methods.iter().filter_map(|method| match method {
        ConnectionMethod::Form { id, fields, .. } => Some((id.as_str(), fields.as_slice())),
        ConnectionMethod::Oauth2AuthorizationCode { .. }
        | ConnectionMethod::Oauth2ClientCredentials { .. }
        | ConnectionMethod::Redirect { .. }
        | ConnectionMethod::DeviceAuthorization { .. } => None,
    });
    let found = match wanted {
        Some(wanted) => forms.find(|(id, _)| *id == wanted),
        None => forms.next().filter(|_| forms.next().is_none()),
    };
    found.ok_or_else(|| {
        let message = match wanted {
            Some(wanted) => format!("`{}` has no form `{wanted}`", definition.key()),
            None => format!("`{}` has not exactly one form: name a method", definition.key()),
        };
        let issue = Issue::new("UNKNOWN_CONNECTION_METHOD", "method", message);
        DomainError::invalid(vec![issue])
    })
}
