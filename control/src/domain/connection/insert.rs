//! The row of a new connection.

use serde_json::Value as Json;

use super::{Connection, Of, find};
use crate::domain::audit::{self, Change};
use crate::domain::{Act, DomainError};
use crate::id::IdKind;
use crate::store::Transaction;
use crate::values;

pub(super) struct Fresh<'f> {
    pub(super) organisation: &'f str,
    pub(super) target_key: &'f str,
    pub(super) method: &'f str,
    pub(super) display_name: &'f str,
    pub(super) config: &'f Json,
    pub(super) subject: Option<&'f str>,
}

/// Writes the row; its id. Whoever calls this writes the credentials, and then [`made`].
pub(super) async fn insert(
    transaction: &mut dyn Transaction,
    act: &Act,
    fresh: Fresh<'_>,
) -> Result<String, DomainError> {
    let id = act.new_id(IdKind::Connection)?.to_string();
    let sql = "INSERT INTO connections (id, organisation_id, target_key, method, display_name, \
               config, status, revision, created_at, updated_at, external_subject) \
               VALUES ($1, $2, $3, $4, $5, $6, 'active', 1, $7, $7, $8)";
    let values = values![
        &id,
        fresh.organisation,
        fresh.target_key,
        fresh.method,
        fresh.display_name,
        fresh.config.to_string(),
        act.now_ms,
        fresh.subject,
    ];
    transaction.execute(sql, values).await?;
    Ok(id)
}

/// The connection as it was made, written down.
pub(super) async fn made(
    transaction: &mut dyn Transaction,
    act: &Act,
    of: Of<'_>,
) -> Result<Connection, DomainError> {
    let made = find(transaction, of).await?;
    let change = Change {
        organisation: Some(of.organisation),
        action: "connection.create",
        subject: of.id,
        before: None,
        after: Some(made.shown()),
    };
    audit::record(transaction, act, change).await?;
    Ok(made)
}
