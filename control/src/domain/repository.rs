//! Repositories that profiles in force are bound to: what of a provider an organisation said that it
//! works with.

use sallygate_definitions::Registry;
use sallygate_definitions::contract::Kind;
use serde_json::Value as Json;

use super::DomainError;
use crate::store::{Row, StoreError, Transaction};
use crate::values;

/// A repository, by a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository {
    /// `owner/name`, as the binding spells it.
    pub name: String,
    pub connection: String,
    /// The family of its definition.
    pub family: String,
    /// Whether a binding in force may write to it.
    pub may_write: bool,
}

/// Which of them is meant; what is not said must not be needed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Meant<'m> {
    pub name: Option<&'m str>,
    pub connection: Option<&'m str>,
}

/// Bindings that are looked at.
const BINDINGS_MAX: i64 = 2_000;
/// Names that an ambiguity shows.
const SHOWN_MAX: usize = 20;

/// The fields of bindings to git providers that name repositories.
const FIELDS: [&str; 2] = ["repositories", "projects"];

/// The repository that is meant.
pub async fn find(
    transaction: &mut dyn Transaction,
    (organisation, registry): (&str, &Registry),
    meant: Meant<'_>,
) -> Result<Repository, DomainError> {
    let is_meant = |repository: &Repository| {
        meant.name.is_none_or(|name| name == repository.name)
            && meant.connection.is_none_or(|id| id == repository.connection)
    };
    let mut found = bound(transaction, registry, organisation).await?;
    found.retain(is_meant);
    match found.len() {
        0 => Err(DomainError::not_found("bound repository")),
        1 => Ok(found.remove(0)),
        _ => {
            let shown = found.iter().take(SHOWN_MAX);
            let shown: Vec<_> =
                shown.map(|r| format!("`{}` by `{}`", r.name, r.connection)).collect();
            let message = format!("say which repository is meant: {}", shown.join(", "));
            Err(DomainError::conflict("repository_ambiguous", message))
        }
    }
}

/// Every repository that a version in force of the organisation binds, once per connection.
async fn bound(
    transaction: &mut dyn Transaction,
    registry: &Registry,
    organisation: &str,
) -> Result<Vec<Repository>, DomainError> {
    let sql = "SELECT b.connection_id, b.config, t.definition FROM bindings b \
               JOIN profiles p ON p.id = b.profile_id \
               JOIN connections c ON c.id = b.connection_id \
               JOIN targets t ON t.target_key = c.target_key \
               WHERE p.organisation_id = $1 AND c.organisation_id = $1 AND c.deleted_at IS NULL \
               AND (b.version = p.published_version OR b.version = p.canary_version) \
               ORDER BY b.connection_id, b.profile_id, b.version, b.id LIMIT $2";
    let rows = transaction.fetch(sql, values![organisation, BINDINGS_MAX]).await?;
    let mut found: Vec<Repository> = Vec::new();
    for row in rows {
        let (connection, config, definition) = read(row)?;
        let definition = registry.find(&definition).filter(|d| d.kind == Kind::Git);
        let Some(definition) = definition else { continue };
        let may_write = config.get("access").and_then(Json::as_str) == Some("write");
        for name in names(&config) {
            let known = found.iter_mut().find(|r| r.connection == connection && r.name == name);
            match known {
                Some(known) => known.may_write |= may_write,
                None => found.push(Repository {
                    name: name.to_owned(),
                    connection: connection.clone(),
                    family: definition.family_id.clone(),
                    may_write,
                }),
            }
        }
    }
    Ok(found)
}

fn read(mut row: Row) -> Result<(String, Json, String), StoreError> {
    let (connection, config) = (row.text()?, row.text()?);
    let config = serde_json::from_str(&config).map_err(|_| StoreError::Shape)?;
    Ok((connection, config, row.text()?))
}

/// Names as the compiler takes them: without space around.
fn names(config: &Json) -> impl Iterator<Item = &str> {
    let lists = FIELDS.iter().filter_map(|field| config.get(*field)?.as_array());
    lists.flatten().filter_map(Json::as_str).map(str::trim)
}
