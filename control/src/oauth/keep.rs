//! Tokens into the store, sealed.

use super::Tokens;
use crate::credentials::{Place, Plaintext, Vault, VaultError};
use crate::id::{Id, IdKind};
use crate::store::{Transaction, fetch_optional};
use crate::values;

pub(crate) const ACCESS: &str = "oauth2_access_token";
pub(crate) const REFRESH: &str = "oauth2_refresh_token";

/// Whose tokens they are.
#[derive(Clone, Copy, Debug)]
pub struct KeepFor<'a> {
    pub organisation: &'a str,
    pub connection: &'a str,
}

/// Writes tokens over what the connection has. Without a new refresh token the old one stays; a new
/// one and the access token are written at once, so that neither is ever without the other.
pub async fn keep_tokens(
    transaction: &mut dyn Transaction,
    vault: &Vault,
    (whose, tokens): (KeepFor<'_>, &Tokens),
    now_ms: i64,
) -> Result<(), VaultError> {
    if let Some(refresh) = &tokens.refresh {
        let slot = (REFRESH, "");
        keep_token(transaction, vault, (whose, slot, refresh), (None, now_ms)).await?;
    }
    let times = (tokens.expires_at_ms, now_ms);
    keep_token(transaction, vault, (whose, (ACCESS, ""), &tokens.access), times).await
}

/// Writes a token over the one of its type and slot.
pub(crate) async fn keep_token(
    transaction: &mut dyn Transaction,
    vault: &Vault,
    (whose, (secret_type, slot_key), secret): (KeepFor<'_>, (&str, &str), &Plaintext),
    (expires_at, now_ms): (Option<i64>, i64),
) -> Result<(), VaultError> {
    let find = "SELECT id FROM credentials \
                WHERE connection_id = $1 AND secret_type = $2 AND slot_key = $3";
    let values = values![whose.connection, secret_type, slot_key];
    let found = fetch_optional(transaction, find, values).await?;
    let id = match found {
        Some(mut row) => row.text()?,
        None => {
            let id = Id::new(IdKind::Credential, now_ms).map_err(|_| VaultError::Randomness)?;
            id.as_str().to_owned()
        }
    };
    let place = Place { table: "credentials", row: &id, column: "ciphertext" };
    let sealed = vault.seal(transaction, whose.organisation, place, secret).await?;
    let write = "INSERT INTO credentials (id, organisation_id, connection_id, secret_type, \
                 slot_key, key_version, ciphertext, fingerprint, revision, expires_at, \
                 created_at, updated_at) VALUES ($1, $2, $3, $4, $10, $5, $6, $7, 1, $8, $9, $9) \
                 ON CONFLICT (id) DO UPDATE SET key_version = $5, ciphertext = $6, \
                 fingerprint = $7, revision = credentials.revision + 1, expires_at = $8, \
                 updated_at = $9";
    let values = values![
        &id,
        whose.organisation,
        whose.connection,
        secret_type,
        sealed.key_version,
        sealed.ciphertext,
        secret.fingerprint(),
        expires_at,
        now_ms,
        slot_key,
    ];
    transaction.execute(write, values).await?;
    Ok(())
}
