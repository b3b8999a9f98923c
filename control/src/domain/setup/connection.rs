//! A connection of a setup: found again by the setup's own key for it.

use serde_json::json;

use super::document::{ConnectionItem, different, secrets};
use super::{ItemKind, Materialised, Outcome, With};
use crate::domain::connection::{self, Connection, NewConnection, Of, Secrets, Status};
use crate::domain::{DomainError, Fault, check};
use crate::store::{Transaction, fetch_optional};
use crate::values;

pub(super) async fn import(
    transaction: &mut dyn Transaction,
    with: With<'_>,
    (setup, item): (&str, &ConnectionItem),
) -> Result<Materialised, DomainError> {
    check::key("key", &item.key)?;
    let wanted = secrets(&item.secrets, with.secrets)?;
    let (id, outcome) = match known(transaction, with, (setup, item)).await? {
        Some(there) => {
            let outcome = update(transaction, with, (&there, item, wanted)).await?;
            (there.id, outcome)
        }
        None => (create(transaction, with, (setup, item, &wanted)).await?, Outcome::Created),
    };
    Ok(Materialised::of(ItemKind::Connection, (&item.key, &id), outcome))
}

/// What the setup made before, unless it was deleted since.
async fn known(
    transaction: &mut dyn Transaction,
    with: With<'_>,
    (setup, item): (&str, &ConnectionItem),
) -> Result<Option<Connection>, DomainError> {
    let sql = "SELECT connection_id FROM setup_connections \
               WHERE organisation_id = $1 AND setup_id = $2 AND item_key = $3";
    let values = values![with.organisation, setup, &item.key];
    let Some(mut row) = fetch_optional(transaction, sql, values).await? else { return Ok(None) };
    let id = row.text()?;
    let of = Of { organisation: with.organisation, id: &id };
    match connection::find(transaction, of).await {
        Ok(there) => Ok(Some(there)),
        Err(error) if error.fault == Fault::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

async fn create(
    transaction: &mut dyn Transaction,
    with: With<'_>,
    (setup, item, secrets): (&str, &ConnectionItem, &Secrets),
) -> Result<String, DomainError> {
    let new = NewConnection {
        organisation: with.organisation,
        target_key: &item.target_key,
        method: item.method.as_deref(),
        display_name: &item.display_name,
        config: &item.config,
        secrets,
    };
    let means = (with.act, with.registry, with.vault);
    let made = connection::create(transaction, means, new).await?;
    let sql = "INSERT INTO setup_connections (organisation_id, setup_id, item_key, connection_id, \
               created_at) VALUES ($1, $2, $3, $4, $5) \
               ON CONFLICT (organisation_id, setup_id, item_key) DO UPDATE SET connection_id = $4";
    let values = values![with.organisation, setup, &item.key, &made.id, with.act.now_ms];
    transaction.execute(sql, values).await?;
    Ok(made.id)
}

async fn update(
    transaction: &mut dyn Transaction,
    with: With<'_>,
    (there, item, wanted): (&Connection, &ConnectionItem, Secrets),
) -> Result<Outcome, DomainError> {
    refuse_another(there, item)?;
    let of = Of { organisation: with.organisation, id: &there.id };
    let means = (with.act, with.registry, with.vault);
    let mut outcome = Outcome::Unchanged;
    if there.display_name != item.display_name {
        connection::rename(transaction, with.act, of, (&item.display_name, None)).await?;
        outcome = Outcome::Updated;
    }
    if there.config != item.config {
        let with = (with.act, with.registry);
        connection::configure(transaction, with, of, &item.config).await?;
        outcome = Outcome::Updated;
    }
    let stored = connection::opened(transaction, (with.registry, with.vault), there).await?;
    let changed = different(wanted, &stored);
    if !changed.is_empty() {
        connection::rotate(transaction, means, of, (&changed, None)).await?;
        outcome = Outcome::Updated;
    }
    Ok(outcome)
}

/// What uses the connection relies on what it is.
fn refuse_another(there: &Connection, item: &ConnectionItem) -> Result<(), DomainError> {
    let same_method = item.method.as_ref().is_none_or(|method| *method == there.method);
    if there.target_key != item.target_key || !same_method {
        let is = json!({ "targetKey": there.target_key, "method": there.method });
        let message = format!("it was made as {is}: another one needs a key of its own");
        return Err(DomainError::conflict("connection_differs", message));
    }
    if there.status == Status::Revoked {
        let message = "its owner ended all use of it: delete it, or give another key";
        return Err(DomainError::conflict("connection_revoked", message));
    }
    Ok(())
}
