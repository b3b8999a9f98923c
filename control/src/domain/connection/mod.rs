//! Connections: an organisation's authenticated relationship to a target.
//!
//! A connection of another organisation is as absent as one that never was.

mod configure;
mod consented;
mod discard;
mod failure;
mod form;
mod insert;
mod installed;
mod secrets;
mod wish;

use sallygate_definitions::Registry;
use serde_json::{Value as Json, json};

use super::audit::{self, Change};
use super::target::check_revision;
use super::{Act, DomainError, Page, PageOf, check, resource};
use crate::credentials::Vault;
use crate::store::{Row, StoreError, Topic, Transaction, fetch_optional, tell};
use crate::values;

pub use configure::configure;
pub use consented::{Consented, keep_consented};
pub use discard::{Discarded, drop_discarded, take_discarded};
pub use failure::refuse;
pub use form::{NewConnection, create};
pub use installed::{Installed, attach, installation_of};
pub use secrets::{CredentialView, Secrets, opened, rotate};
pub use wish::{Wish, check_wish};

/// What an app's installation gives: minted for each scope, and kept until it ends.
pub(crate) const MINTED: &str = "github_app_installation_token";

/// Whether a connection may be used.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Active,
    /// The provider refused it for good.
    Error,
    Revoked,
}

impl Status {
    const ALL: [Self; 3] = [Self::Active, Self::Error, Self::Revoked];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Error => "error",
            Self::Revoked => "revoked",
        }
    }

    fn parse(text: &str) -> Result<Self, StoreError> {
        Self::ALL.into_iter().find(|status| status.as_str() == text).ok_or(StoreError::Shape)
    }
}

/// A connection, without its secrets.
#[derive(Clone, Debug, PartialEq)]
pub struct Connection {
    pub id: String,
    pub organisation: String,
    pub target_key: String,
    pub method: String,
    pub display_name: String,
    pub config: Json,
    pub external_subject: Option<String>,
    pub status: Status,
    pub status_reason: Option<String>,
    pub credentials: Vec<CredentialView>,
    pub revision: i64,
    pub created_ms: i64,
    pub updated_ms: i64,
}

impl Connection {
    fn shown(&self) -> Json {
        let credential = |c: &CredentialView| json!({ "secretType": c.secret_type, "slotKey": c.slot_key, "fingerprint": c.fingerprint });
        json!({
            "targetKey": self.target_key,
            "method": self.method,
            "displayName": self.display_name,
            "config": self.config,
            "status": self.status,
            "credentials": self.credentials.iter().map(credential).collect::<Vec<_>>(),
        })
    }
}

/// Which connection, whose.
#[derive(Clone, Copy, Debug)]
pub struct Of<'o> {
    pub organisation: &'o str,
    pub id: &'o str,
}

pub async fn find(
    transaction: &mut dyn Transaction,
    of: Of<'_>,
) -> Result<Connection, DomainError> {
    let sql = "SELECT id, organisation_id, target_key, method, display_name, config, \
               external_subject, status, status_reason, revision, created_at, updated_at \
               FROM connections WHERE id = $1 AND organisation_id = $2 AND deleted_at IS NULL";
    let row = fetch_optional(transaction, sql, values![of.id, of.organisation]).await?;
    let row = row.ok_or_else(|| DomainError::not_found("connection"))?;
    let mut connection = connection(row)?;
    connection.credentials = secrets::list(transaction, of.id).await?;
    Ok(connection)
}

pub async fn list(
    transaction: &mut dyn Transaction,
    organisation: &str,
    page: &Page,
) -> Result<PageOf<Connection>, DomainError> {
    let sql = "SELECT id, organisation_id, target_key, method, display_name, config, \
               external_subject, status, status_reason, revision, created_at, updated_at \
               FROM connections WHERE organisation_id = $1 AND id > $2 AND deleted_at IS NULL \
               ORDER BY id LIMIT $3";
    let rows = transaction.fetch(sql, values![organisation, &page.after, page.fetch()]).await?;
    let mut items = rows.into_iter().map(connection).collect::<Result<Vec<_>, _>>()?;
    for connection in &mut items {
        connection.credentials = secrets::list(transaction, &connection.id).await?;
    }
    Ok(page.cut(items, |connection: &Connection| connection.id.clone()))
}

/// How many of all organisations have each status.
pub async fn counts(transaction: &mut dyn Transaction) -> Result<Vec<(Status, i64)>, DomainError> {
    let sql = "SELECT status, COUNT(*) FROM connections WHERE deleted_at IS NULL GROUP BY status";
    let mut counts: Vec<_> = Status::ALL.map(|status| (status, 0)).to_vec();
    for mut row in transaction.fetch(sql, Vec::new()).await? {
        let (status, count) = (Status::parse(&row.text()?)?, row.integer()?);
        counts.iter_mut().filter(|(known, _)| *known == status).for_each(|(_, n)| *n = count);
    }
    Ok(counts)
}

/// Gives it another name.
pub async fn rename(
    transaction: &mut dyn Transaction,
    act: &Act,
    of: Of<'_>,
    (display_name, if_revision): (&str, Option<i64>),
) -> Result<Connection, DomainError> {
    check::name("displayName", display_name)?;
    let before = find(transaction, of).await?;
    check_revision(Some(before.revision), if_revision)?;
    let sql = "UPDATE connections SET display_name = $2, revision = revision + 1, \
               updated_at = $3 WHERE id = $1";
    transaction.execute(sql, values![of.id, display_name, act.now_ms]).await?;
    audited(transaction, act, of, ("connection.rename", before)).await
}

/// Ends its use: nobody gets its credential any more.
pub async fn revoke(
    transaction: &mut dyn Transaction,
    act: &Act,
    of: Of<'_>,
    if_revision: Option<i64>,
) -> Result<Connection, DomainError> {
    let before = find(transaction, of).await?;
    check_revision(Some(before.revision), if_revision)?;
    let sql = "UPDATE connections SET status = 'revoked', status_reason = 'revoked by its owner', \
               revision = revision + 1, updated_at = $2 WHERE id = $1";
    transaction.execute(sql, values![of.id, act.now_ms]).await?;
    installed::release(transaction, of.id).await?;
    let after = audited(transaction, act, of, ("connection.revoke", before)).await?;
    changed(transaction, act, of).await?;
    Ok(after)
}

/// Puts it in `error`: the provider refused it for good.
pub async fn fail(
    transaction: &mut dyn Transaction,
    act: &Act,
    of: Of<'_>,
    why: &str,
) -> Result<(), DomainError> {
    let before = find(transaction, of).await?;
    if before.status != Status::Active {
        return Ok(());
    }
    let sql = "UPDATE connections SET status = 'error', status_reason = $2, \
               revision = revision + 1, updated_at = $3 WHERE id = $1";
    transaction.execute(sql, values![of.id, why, act.now_ms]).await?;
    audited(transaction, act, of, ("connection.fail", before)).await?;
    changed(transaction, act, of).await
}

/// Deletes it with its credentials. Refused while a version that is in use binds it. A token that
/// the provider gave is put aside: it is told of it afterwards.
pub async fn delete(
    transaction: &mut dyn Transaction,
    (act, vault): (&Act, &Vault),
    of: Of<'_>,
    if_revision: Option<i64>,
) -> Result<(), DomainError> {
    let before = find(transaction, of).await?;
    check_revision(Some(before.revision), if_revision)?;
    let bound = bindings_in_use(transaction, of.id).await?;
    if !bound.is_empty() {
        let message = format!("it is bound by {}", bound.join(", "));
        return Err(DomainError::conflict("connection_in_use", message));
    }
    discard::discard(transaction, (act, vault), (of, &before)).await?;
    installed::release(transaction, of.id).await?;
    let sql = "DELETE FROM credentials WHERE connection_id = $1";
    transaction.execute(sql, values![of.id]).await?;
    resource::forget(transaction, of.id).await?;
    let sql = "UPDATE connections SET status = 'revoked', deleted_at = $2, updated_at = $2, \
               revision = revision + 1 WHERE id = $1";
    transaction.execute(sql, values![of.id, act.now_ms]).await?;
    let change = Change {
        organisation: Some(of.organisation),
        action: "connection.delete",
        subject: of.id,
        before: Some(before.shown()),
        after: None,
    };
    audit::record(transaction, act, change).await?;
    changed(transaction, act, of).await
}

/// Bindings of the newest version and of those in force, as `profile/binding`.
async fn bindings_in_use(
    transaction: &mut dyn Transaction,
    id: &str,
) -> Result<Vec<String>, DomainError> {
    let sql = "SELECT DISTINCT p.name || '/' || b.id FROM bindings b \
               JOIN profiles p ON p.id = b.profile_id \
               WHERE b.connection_id = $1 \
               AND (b.version = p.latest_version OR b.version = p.published_version \
               OR b.version = p.canary_version) \
               ORDER BY 1 LIMIT 20";
    let rows = transaction.fetch(sql, values![id]).await?;
    Ok(rows.into_iter().map(|mut row| row.text()).collect::<Result<_, _>>()?)
}

async fn audited(
    transaction: &mut dyn Transaction,
    act: &Act,
    of: Of<'_>,
    (action, before): (&'static str, Connection),
) -> Result<Connection, DomainError> {
    let after = find(transaction, of).await?;
    let change = Change {
        organisation: Some(of.organisation),
        action,
        subject: of.id,
        before: Some(before.shown()),
        after: Some(after.shown()),
    };
    audit::record(transaction, act, change).await?;
    Ok(after)
}

/// Tokens that were minted for what an installation was are good for nothing any more.
async fn forget_minted(
    transaction: &mut dyn Transaction,
    connection: &str,
) -> Result<(), DomainError> {
    let sql = "DELETE FROM credentials WHERE connection_id = $1 AND secret_type = $2";
    transaction.execute(sql, values![connection, MINTED]).await?;
    Ok(())
}

/// Whoever holds its credential must let go of it.
async fn changed(
    transaction: &mut dyn Transaction,
    act: &Act,
    of: Of<'_>,
) -> Result<(), DomainError> {
    let payload = json!({ "connectionId": of.id });
    let about = (Topic::Invalidated, Some(of.organisation));
    Ok(tell(transaction, about, &payload, act.now_ms).await?)
}

fn connection(mut row: Row) -> Result<Connection, StoreError> {
    Ok(Connection {
        id: row.text()?,
        organisation: row.text()?,
        target_key: row.text()?,
        method: row.text()?,
        display_name: row.text()?,
        config: serde_json::from_str(&row.text()?).map_err(|_| StoreError::Shape)?,
        external_subject: row.optional_text()?,
        status: Status::parse(&row.text()?)?,
        status_reason: row.optional_text()?,
        credentials: Vec::new(),
        revision: row.integer()?,
        created_ms: row.integer()?,
        updated_ms: row.integer()?,
    })
}
