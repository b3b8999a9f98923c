//! What connections give access to, as their providers said the last time.

use super::connection::{self, Of};
use super::{DomainError, Page, PageOf};
use crate::resources::Told;
use crate::store::{Row, StoreError, Transaction, fetch_optional};
use crate::values;

/// Something that a connection gives access to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// What bindings name it by.
    pub id: String,
    pub name: String,
}

/// What is known of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub kind: String,
    pub count: i64,
    /// When the provider was asked.
    pub asked_ms: i64,
    /// There are more than are kept.
    pub is_cut: bool,
}

/// Puts what the provider said in the place of what was known. An answer that is older than what is
/// known changes nothing.
pub(crate) async fn replace(
    transaction: &mut dyn Transaction,
    of: Of<'_>,
    (kind, told): (&str, &Told),
    asked_ms: i64,
) -> Result<(), DomainError> {
    connection::find(transaction, of).await?;
    let sql = "INSERT INTO connection_resource_lists (connection_id, kind, asked_at, is_cut) \
               VALUES ($1, $2, $3, $4) ON CONFLICT (connection_id, kind) DO UPDATE \
               SET asked_at = $3, is_cut = $4 WHERE connection_resource_lists.asked_at <= $3";
    let values = values![of.id, kind, asked_ms, told.is_cut];
    if transaction.execute(sql, values).await? == 0 {
        return Ok(());
    }
    let sql = "DELETE FROM connection_resources WHERE connection_id = $1 AND kind = $2";
    transaction.execute(sql, values![of.id, kind]).await?;
    for Resource { id, name } in &told.resources {
        let sql = "INSERT INTO connection_resources (connection_id, kind, id, name) \
                   VALUES ($1, $2, $3, $4) ON CONFLICT (connection_id, kind, id) DO NOTHING";
        transaction.execute(sql, values![of.id, kind, id, name]).await?;
    }
    Ok(())
}

/// The kinds that are known.
pub async fn lists(
    transaction: &mut dyn Transaction,
    of: Of<'_>,
) -> Result<Vec<Listed>, DomainError> {
    connection::find(transaction, of).await?;
    let sql = "SELECT l.kind, l.asked_at, l.is_cut, (SELECT COUNT(*) FROM connection_resources r \
               WHERE r.connection_id = l.connection_id AND r.kind = l.kind) \
               FROM connection_resource_lists l WHERE l.connection_id = $1 ORDER BY l.kind";
    let rows = transaction.fetch(sql, values![of.id]).await?;
    let listed = |mut row: Row| {
        let (kind, asked_ms) = (row.text()?, row.integer()?);
        let is_cut = row.truth()?;
        Ok(Listed { kind, count: row.integer()?, asked_ms, is_cut })
    };
    Ok(rows.into_iter().map(listed).collect::<Result<_, StoreError>>()?)
}

/// What is known of one kind, in the order of the ids.
pub async fn list(
    transaction: &mut dyn Transaction,
    (of, kind): (Of<'_>, &str),
    page: &Page,
) -> Result<PageOf<Resource>, DomainError> {
    connection::find(transaction, of).await?;
    let sql = "SELECT id, name FROM connection_resources \
               WHERE connection_id = $1 AND kind = $2 AND id > $3 ORDER BY id LIMIT $4";
    let rows = transaction.fetch(sql, values![of.id, kind, &page.after, page.fetch()]).await?;
    let read = |mut row: Row| Ok(Resource { id: row.text()?, name: row.text()? });
    let items = rows.into_iter().map(read).collect::<Result<_, StoreError>>()?;
    Ok(page.cut(items, |resource: &Resource| resource.id.clone()))
}

/// When the provider was asked for everything of the connection that is known, the first time that
/// it was; `None`: never.
pub(crate) async fn asked_ms(
    transaction: &mut dyn Transaction,
    connection: &str,
) -> Result<Option<i64>, DomainError> {
    let sql = "SELECT MIN(asked_at) FROM connection_resource_lists WHERE connection_id = $1";
    let row = fetch_optional(transaction, sql, values![connection]).await?;
    Ok(row.ok_or(StoreError::Shape)?.optional_integer()?)
}

/// Nothing is known of a connection that is deleted.
pub(crate) async fn forget(
    transaction: &mut dyn Transaction,
    connection: &str,
) -> Result<(), DomainError> {
    let resources = "DELETE FROM connection_resources WHERE connection_id = $1";
    transaction.execute(resources, values![connection]).await?;
    let lists = "DELETE FROM connection_resource_lists WHERE connection_id = $1";
    transaction.execute(lists, values![connection]).await?;
    Ok(())
}
