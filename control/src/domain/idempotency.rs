//! Requests that create something, and may be sent again: the second one gets the first's answer.
//!
//! Answers may hold a token that is shown once, so they are sealed as secrets are.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::DomainError;
use crate::credentials::{INSTALLATION, Place, Plaintext, Sealed, Vault, VaultError};
use crate::store::{Transaction, fetch_optional};
use crate::values;

/// How long an answer is remembered.
const LIFE_MS: i64 = 24 * 3600 * 1000;

/// A request that has a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Once {
    /// Whose keys these are: the caller's token.
    pub owner: String,
    pub key: String,
    /// Of method, path and body.
    pub request_sha256: String,
    pub now_ms: i64,
}

/// What was answered before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriorAnswer {
    pub status: u16,
    pub body: String,
}

impl Once {
    /// The answer to this request, if it was given; a conflict when the key was used for another.
    pub async fn prior(
        &self,
        transaction: &mut dyn Transaction,
        vault: &Vault,
    ) -> Result<Option<PriorAnswer>, DomainError> {
        let old = "DELETE FROM idempotency_keys WHERE created_at < $1";
        transaction.execute(old, values![self.now_ms.saturating_sub(LIFE_MS)]).await?;
        let find = "SELECT request_sha256, status, response FROM idempotency_keys \
                    WHERE owner = $1 AND idempotency_key = $2";
        let row = fetch_optional(transaction, find, values![&self.owner, &self.key]).await?;
        let Some(mut row) = row else { return Ok(None) };
        if row.text()? != self.request_sha256 {
            let message = "this Idempotency-Key was used for another request";
            return Err(DomainError::conflict("idempotency_key_reused", message));
        }
        let status = u16::try_from(row.integer()?).unwrap_or(500);
        let sealed = unpack(&row.text()?).ok_or(VaultError::DoesNotOpen)?;
        let name = self.row();
        let body = vault.open(transaction, INSTALLATION, place(&name), &sealed).await?;
        let body = String::from_utf8_lossy(body.expose()).into_owned();
        Ok(Some(PriorAnswer { status, body }))
    }

    /// Remembers the answer, in the transaction that it tells of.
    pub async fn remember(
        &self,
        transaction: &mut dyn Transaction,
        vault: &Vault,
        answer: &PriorAnswer,
    ) -> Result<(), DomainError> {
        let plaintext = Plaintext::new(answer.body.clone().into_bytes());
        let name = self.row();
        let sealed = vault.seal(transaction, INSTALLATION, place(&name), &plaintext).await?;
        let write = "INSERT INTO idempotency_keys (owner, idempotency_key, request_sha256, status, \
                     response, created_at) VALUES ($1, $2, $3, $4, $5, $6)";
        let values = values![
            &self.owner,
            &self.key,
            &self.request_sha256,
            i64::from(answer.status),
            pack(&sealed),
            self.now_ms,
        ];
        transaction.execute(write, values).await?;
        Ok(())
    }

    fn row(&self) -> String {
        format!("{}/{}", self.owner, self.key)
    }
}

fn place(row: &str) -> Place<'_> {
    Place { table: "idempotency_keys", row, column: "response" }
}

fn pack(sealed: &Sealed) -> String {
    format!("{}.{}", sealed.key_version, STANDARD.encode(&sealed.ciphertext))
}

fn unpack(text: &str) -> Option<Sealed> {
    let (version, ciphertext) = text.split_once('.')?;
    let ciphertext = STANDARD.decode(ciphertext).ok()?;
    Some(Sealed { key_version: version.parse().ok()?, ciphertext })
}
