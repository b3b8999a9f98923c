//! Tokens of a deleted connection, until the provider was told that they are not wanted any more
//! (RFC 7009).

use super::{Connection, Of};
use crate::credentials::{Place, Plaintext, Sealed, Vault};
use crate::domain::{Act, DomainError};
use crate::oauth::{ACCESS, REFRESH};
use crate::store::{Transaction, fetch_optional};
use crate::values;

/// A token that the provider is to be told of.
#[derive(Debug)]
pub struct Discarded {
    pub organisation: String,
    pub connection: String,
    pub target_key: String,
    pub method: String,
    pub token: Plaintext,
    pub attempts: i64,
}

/// Puts the token aside that ends the consent: the refresh token, else the access token.
pub(super) async fn discard(
    transaction: &mut dyn Transaction,
    (act, vault): (&Act, &Vault),
    (of, connection): (Of<'_>, &Connection),
) -> Result<(), DomainError> {
    for kind in [REFRESH, ACCESS] {
        let sql = "SELECT id, key_version, ciphertext FROM credentials \
                   WHERE connection_id = $1 AND secret_type = $2 AND slot_key = ''";
        let found = fetch_optional(transaction, sql, values![of.id, kind]).await?;
        let Some(mut row) = found else { continue };
        let id = row.text()?;
        let sealed = Sealed { key_version: row.integer()?, ciphertext: row.bytes()? };
        let place = Place { table: "credentials", row: &id, column: "ciphertext" };
        let token = vault.open(transaction, of.organisation, place, &sealed).await?;
        let sealed = vault.seal(transaction, of.organisation, place_of(of.id), &token).await?;
        let sql = "INSERT INTO oauth_revocations (connection_id, organisation_id, target_key, \
                   method, key_version, ciphertext, attempts, due_at) \
                   VALUES ($1, $2, $3, $4, $5, $6, 0, $7)";
        let (target, method) = (&connection.target_key, &connection.method);
        let Sealed { key_version, ciphertext } = sealed;
        let values =
            values![of.id, of.organisation, target, method, key_version, ciphertext, act.now_ms];
        transaction.execute(sql, values).await?;
        return Ok(());
    }
    Ok(())
}

/// The next token whose time has come. It is nobody else's until `again_ms`.
pub async fn take_discarded(
    transaction: &mut dyn Transaction,
    vault: &Vault,
    (now_ms, again_ms): (i64, i64),
) -> Result<Option<Discarded>, DomainError> {
    let sql = "UPDATE oauth_revocations SET attempts = attempts + 1, due_at = $2 \
               WHERE connection_id = (SELECT connection_id FROM oauth_revocations \
               WHERE due_at <= $1 ORDER BY due_at, connection_id LIMIT 1) AND due_at <= $1 \
               RETURNING connection_id, organisation_id, target_key, method, key_version, \
               ciphertext, attempts";
    let row = fetch_optional(transaction, sql, values![now_ms, again_ms]).await?;
    let Some(mut row) = row else { return Ok(None) };
    let (connection, organisation) = (row.text()?, row.text()?);
    let (target_key, method) = (row.text()?, row.text()?);
    let sealed = Sealed { key_version: row.integer()?, ciphertext: row.bytes()? };
    let attempts = row.integer()?;
    let place = place_of(&connection);
    let token = vault.open(transaction, &organisation, place, &sealed).await?;
    Ok(Some(Discarded { organisation, connection, target_key, method, token, attempts }))
}

/// It was told, or is told no more.
pub async fn drop_discarded(
    transaction: &mut dyn Transaction,
    connection: &str,
) -> Result<(), DomainError> {
    let sql = "DELETE FROM oauth_revocations WHERE connection_id = $1";
    transaction.execute(sql, values![connection]).await?;
    Ok(())
}

fn place_of(connection: &str) -> Place<'_> {
    Place { table: "oauth_revocations", row: connection, column: "ciphertext" }
}
