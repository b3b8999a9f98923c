//! Organisations: to whom everything else belongs.

use serde_json::json;

use super::audit::{self, Change};
use super::{Act, DomainError, Page, PageOf, check};
use crate::id::IdKind;
use crate::store::{Row, StoreError, Transaction, fetch_optional};
use crate::values;

/// The organisation that a first start makes.
pub const FIRST_NAME: &str = "default";

/// A tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Organisation {
    pub id: String,
    pub name: String,
    pub created_ms: i64,
}

pub async fn create(
    transaction: &mut dyn Transaction,
    act: &Act,
    name: &str,
) -> Result<Organisation, DomainError> {
    check::name("name", name)?;
    let find = "SELECT id FROM organisations WHERE name = $1";
    if fetch_optional(transaction, find, values![name]).await?.is_some() {
        let message = format!("there is an organisation `{name}`");
        return Err(DomainError::conflict("name_taken", message));
    }
    let id = act.new_id(IdKind::Organisation)?.to_string();
    let write = "INSERT INTO organisations (id, name, created_at) VALUES ($1, $2, $3)";
    transaction.execute(write, values![&id, name, act.now_ms]).await?;
    let after = Some(json!({ "name": name }));
    let change = Change {
        organisation: Some(&id),
        action: "organisation.create",
        subject: &id,
        before: None,
        after,
    };
    audit::record(transaction, act, change).await?;
    Ok(Organisation { id, name: name.to_owned(), created_ms: act.now_ms })
}

pub async fn find(
    transaction: &mut dyn Transaction,
    id: &str,
) -> Result<Organisation, DomainError> {
    let sql = "SELECT id, name, created_at FROM organisations WHERE id = $1";
    match fetch_optional(transaction, sql, values![id]).await? {
        Some(row) => Ok(organisation(row)?),
        None => Err(DomainError::not_found("organisation")),
    }
}

/// The oldest one: where an operator works who does not say where.
pub async fn first(transaction: &mut dyn Transaction) -> Result<Organisation, DomainError> {
    let sql = "SELECT id, name, created_at FROM organisations ORDER BY created_at, id LIMIT 1";
    match fetch_optional(transaction, sql, Vec::new()).await? {
        Some(row) => Ok(organisation(row)?),
        None => Err(DomainError::not_found("organisation")),
    }
}

pub async fn list(
    transaction: &mut dyn Transaction,
    page: &Page,
) -> Result<PageOf<Organisation>, DomainError> {
    let sql = "SELECT id, name, created_at FROM organisations WHERE id > $1 ORDER BY id LIMIT $2";
    let rows = transaction.fetch(sql, values![&page.after, page.fetch()]).await?;
    let items = rows.into_iter().map(organisation).collect::<Result<_, _>>()?;
    Ok(page.cut(items, |o: &Organisation| o.id.clone()))
}

fn organisation(mut row: Row) -> Result<Organisation, StoreError> {
    Ok(Organisation { id: row.text()?, name: row.text()?, created_ms: row.integer()? })
}
