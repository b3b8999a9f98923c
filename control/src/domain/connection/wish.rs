//! What somebody wants to connect, before the provider has been asked.

use sallygate_definitions::Registry;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::form::config_issues;
use super::{Of, Status, find};
use crate::domain::{DomainError, Fault, check, target};
use crate::store::Transaction;

/// A connection that is wanted, as it is kept until whoever consents comes back. No secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Wish {
    pub target_key: String,
    /// The id of the method; empty as long as the only one is meant.
    pub method: String,
    pub display_name: String,
    pub config: Json,
    /// The connection that is made anew.
    pub reconnect: Option<String>,
}

impl Wish {
    /// The method that is named, if one is.
    pub(crate) fn method(&self) -> Option<&str> {
        Some(self.method.as_str()).filter(|method| !method.is_empty())
    }

    pub(crate) fn payload(&self) -> Json {
        json!(self)
    }

    pub(crate) fn from_payload(payload: &Json) -> Result<Self, DomainError> {
        Self::deserialize(payload).map_err(|_| {
            DomainError::new(Fault::Internal, "attempt_malformed", "a stored attempt is malformed")
        })
    }
}

/// Whether the wish can be fulfilled: asked before the provider is, and again when it has answered.
pub async fn check_wish(
    transaction: &mut dyn Transaction,
    registry: &Registry,
    (organisation, wish): (&str, &Wish),
) -> Result<(), DomainError> {
    check::name("displayName", &wish.display_name)?;
    let target = target::find(transaction, &wish.target_key).await?;
    if !target.enabled {
        let message = format!("target `{}` is disabled", wish.target_key);
        return Err(DomainError::conflict("target_disabled", message));
    }
    let definition = registry.find(&target.definition).ok_or_else(|| {
        let message = format!("there is no definition `{}` any more", target.definition);
        DomainError::conflict("definition_not_found", message)
    })?;
    if let Some(id) = &wish.reconnect {
        reconnectable(transaction, (organisation, id), wish).await?;
    }
    let issues = config_issues(definition, &wish.config);
    if issues.is_empty() { Ok(()) } else { Err(DomainError::invalid(issues)) }
}

async fn reconnectable(
    transaction: &mut dyn Transaction,
    (organisation, id): (&str, &str),
    wish: &Wish,
) -> Result<(), DomainError> {
    let there = find(transaction, Of { organisation, id }).await?;
    if there.target_key != wish.target_key || there.method != wish.method {
        let message = "it was connected to another target, or by another method";
        return Err(DomainError::conflict("connection_differs", message));
    }
    if there.status == Status::Revoked {
        let message = "its owner ended all use of it: make another one";
        return Err(DomainError::conflict("connection_revoked", message));
    }
    Ok(())
}
