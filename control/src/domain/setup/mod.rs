//! Setups: one document that creates or updates targets, connections, profiles and what they bind,
//! all of it or nothing. The same document again changes nothing.
//!
//! INVARIANT: a document holds no secret. It names files that an operator put beside the service.

mod connection;
mod document;
mod profile;
mod target;

use std::collections::BTreeMap;

use sallygate_definitions::Registry;
use serde_json::json;

use super::audit::{self, Change};
use super::{Act, DomainError, Fault, Issue};
use crate::credentials::{Plaintext, Vault};
use crate::store::Transaction;

pub use document::{
    BindingItem, ConnectionItem, Document, ProfileItem, SecretReference, TargetItem,
};

/// Items of one kind in one document.
pub const ITEMS_MAX: usize = 200;

/// What is in the place of the files that a document names, or why nothing is.
pub type FileSecrets = BTreeMap<String, Result<Plaintext, &'static str>>;

/// What kind of thing was made of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "SetupItemKind")]
pub enum ItemKind {
    Target,
    Connection,
    Profile,
}

/// What became of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "SetupOutcome")]
pub enum Outcome {
    Created,
    Updated,
    /// It was as the document says.
    Unchanged,
}

/// An item of the document, as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Materialised {
    pub kind: ItemKind,
    /// By which the document calls it.
    pub key: String,
    /// By which the API does.
    pub id: String,
    pub outcome: Outcome,
    /// Of a profile: its newest version, and the plan that is in force.
    pub version: Option<i64>,
    pub plan_digest: Option<String>,
}

impl Materialised {
    fn of(kind: ItemKind, (key, id): (&str, &str), outcome: Outcome) -> Self {
        let (key, id) = (key.to_owned(), id.to_owned());
        Self { kind, key, id, outcome, version: None, plan_digest: None }
    }
}

/// What an import works with.
#[derive(Clone, Copy, Debug)]
pub struct With<'w> {
    pub act: &'w Act,
    pub registry: &'w Registry,
    pub vault: &'w Vault,
    pub organisation: &'w str,
    pub secrets: &'w FileSecrets,
}

/// Makes what is there like what the document says. What it does not name stays.
pub async fn import(
    transaction: &mut dyn Transaction,
    with: With<'_>,
    document: &Document,
) -> Result<Vec<Materialised>, DomainError> {
    document.check()?;
    let mut made = Vec::new();
    let mut found = Found::default();
    for (at, item) in document.targets.iter().enumerate() {
        let outcome = target::import(transaction, with, item).await;
        made.extend(found.take(("targets", at), outcome)?);
    }
    found.none()?;
    let mut connections = BTreeMap::new();
    for (at, item) in document.connections.iter().enumerate() {
        let outcome = connection::import(transaction, with, (&document.id, item)).await;
        let outcome = found.take(("connections", at), outcome)?;
        connections.extend(outcome.iter().map(|one| (one.key.clone(), one.id.clone())));
        made.extend(outcome);
    }
    found.none()?;
    for (at, item) in document.profiles.iter().enumerate() {
        let outcome = profile::import(transaction, with, (&connections, item)).await;
        made.extend(found.take(("profiles", at), outcome)?);
    }
    found.none()?;
    record(transaction, with, (&document.id, &made)).await?;
    Ok(made)
}

/// What is wrong with the items of one kind: all of it is said, before the next kind is looked at.
#[derive(Default)]
struct Found(Vec<Issue>);

impl Found {
    fn take<T>(
        &mut self,
        (list, at): (&str, usize),
        outcome: Result<T, DomainError>,
    ) -> Result<Option<T>, DomainError> {
        let error = match outcome {
            Ok(value) => return Ok(Some(value)),
            Err(error) => error,
        };
        match error.fault {
            Fault::Unavailable | Fault::Internal => Err(error),
            // Somebody else was first: the database takes no more of this transaction.
            Fault::Conflict if error.code.starts_with("store_") => Err(error),
            Fault::Invalid if !error.issues.is_empty() => {
                let within = |issue: Issue| {
                    let field = format!("{list}[{at}].{}", issue.field);
                    Issue { field: field.trim_end_matches('.').to_owned(), ..issue }
                };
                self.0.extend(error.issues.into_iter().map(within));
                Ok(None)
            }
            Fault::NotFound
            | Fault::Conflict
            | Fault::Stale
            | Fault::Invalid
            | Fault::Forbidden => {
                let (code, field) = (error.code.to_uppercase(), format!("{list}[{at}]"));
                self.0.push(Issue::new(code, field, error.message));
                Ok(None)
            }
        }
    }

    fn none(&mut self) -> Result<(), DomainError> {
        let issues = std::mem::take(&mut self.0);
        if issues.is_empty() { Ok(()) } else { Err(DomainError::invalid(issues)) }
    }
}

async fn record(
    transaction: &mut dyn Transaction,
    with: With<'_>,
    (id, made): (&str, &[Materialised]),
) -> Result<(), DomainError> {
    let count = |outcome| made.iter().filter(|one| one.outcome == outcome).count();
    let (created, updated) = (count(Outcome::Created), count(Outcome::Updated));
    if created + updated == 0 {
        return Ok(());
    }
    let change = Change {
        organisation: Some(with.organisation),
        action: "setup.import",
        subject: id,
        before: None,
        after: Some(json!({ "created": created, "updated": updated })),
    };
    audit::record(transaction, with.act, change).await
}
