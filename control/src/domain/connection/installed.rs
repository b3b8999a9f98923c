//! Connections that are an app's installation at the provider: each belongs to one organisation at
//! a time.

use sallygate_definitions::Registry;
use serde_json::{Value as Json, json};

use super::insert::{Fresh, insert, made};
use super::{Connection, Of, Wish, audited, changed, check_wish, find};
use crate::domain::{Act, DomainError};
use crate::store::{Transaction, fetch_optional};
use crate::values;

/// An installation that whoever came back proved to see.
#[derive(Clone, Debug, PartialEq)]
pub struct Installed {
    pub wish: Wish,
    /// The address of the provider's API.
    pub provider: String,
    pub installation: String,
    /// Whose things it gives access to.
    pub account: String,
}

/// Makes the connection. An installation that is this organisation's already, such as one whose
/// repositories were changed, is the connection that there is.
pub async fn attach(
    transaction: &mut dyn Transaction,
    (act, registry): (&Act, &Registry),
    (organisation, installed): (&str, &Installed),
) -> Result<Connection, DomainError> {
    let Installed { wish, provider, installation, account } = installed;
    let mut wish = wish.clone();
    if let Json::Object(config) = &mut wish.config {
        config.insert("account".to_owned(), json!(account));
    }
    check_wish(transaction, registry, (organisation, &wish)).await?;
    let sql = "SELECT i.organisation_id, i.connection_id, c.target_key FROM app_installations i \
               JOIN connections c ON c.id = i.connection_id \
               WHERE i.provider = $1 AND i.installation_id = $2";
    let found = fetch_optional(transaction, sql, values![provider, installation]).await?;
    if let Some(mut row) = found {
        let (owner, id, target_key) = (row.text()?, row.text()?, row.text()?);
        if owner != organisation || target_key != wish.target_key {
            let message = "the installation is connected already, where this caller has no part";
            return Err(DomainError::conflict("installation_taken", message));
        }
        return again(transaction, act, (Of { organisation, id: &id }, &wish)).await;
    }
    let fresh = Fresh {
        organisation,
        target_key: &wish.target_key,
        method: &wish.method,
        display_name: &wish.display_name,
        config: &wish.config,
        subject: Some(installation),
    };
    let id = insert(transaction, act, fresh).await?;
    // Two that attach the same one at once: the key lets one of them.
    let sql = "INSERT INTO app_installations (provider, installation_id, organisation_id, \
               connection_id, created_at) VALUES ($1, $2, $3, $4, $5)";
    let values = values![provider, installation, organisation, &id, act.now_ms];
    transaction.execute(sql, values).await?;
    made(transaction, act, Of { organisation, id: &id }).await
}

async fn again(
    transaction: &mut dyn Transaction,
    act: &Act,
    (of, wish): (Of<'_>, &Wish),
) -> Result<Connection, DomainError> {
    let before = find(transaction, of).await?;
    let sql = "UPDATE connections SET status = 'active', status_reason = NULL, config = $2, \
               revision = revision + 1, updated_at = $3 WHERE id = $1";
    transaction.execute(sql, values![of.id, wish.config.to_string(), act.now_ms]).await?;
    // What its repositories and permissions were may have changed.
    super::forget_minted(transaction, of.id).await?;
    let after = audited(transaction, act, of, ("connection.reconnect", before)).await?;
    changed(transaction, act, of).await?;
    Ok(after)
}

/// The installation of a connection.
pub async fn installation_of(
    transaction: &mut dyn Transaction,
    connection: &str,
) -> Result<Option<String>, DomainError> {
    let sql = "SELECT installation_id FROM app_installations WHERE connection_id = $1";
    let row = fetch_optional(transaction, sql, values![connection]).await?;
    Ok(row.map(|mut row| row.text()).transpose()?)
}

/// Somebody else may connect it.
pub(super) async fn release(
    transaction: &mut dyn Transaction,
    connection: &str,
) -> Result<(), DomainError> {
    let sql = "DELETE FROM app_installations WHERE connection_id = $1";
    transaction.execute(sql, values![connection]).await?;
    super::forget_minted(transaction, connection).await
}
