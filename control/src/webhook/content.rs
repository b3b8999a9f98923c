//! What came in and what goes out, byte for byte, sealed: for as long as a verification or a
//! delivery may have to be repeated, and no longer.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sallygate_definitions::webhook::Delivery;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::ingest::ROWS;
use super::receive::Arrival;
use crate::credentials::{Place, Plaintext, Sealed, Sealer, Vault};
use crate::domain::DomainError;
use crate::store::{Access, Store, Transaction, Value, fetch_optional, many};
use crate::values;

/// How long contents are kept.
pub const KEPT_MS: i64 = 30 * 24 * 3600 * 1000;

/// A call as it came in.
#[derive(Debug, Serialize, Deserialize)]
pub struct Content {
    headers: Vec<(String, String)>,
    query: Option<String>,
    body: String,
}

impl Content {
    pub(super) fn of(arrival: &Arrival) -> Self {
        let header = |(name, value): &(String, Vec<u8>)| (name.clone(), STANDARD.encode(value));
        Self {
            headers: arrival.headers.iter().map(header).collect(),
            query: arrival.query.clone(),
            body: STANDARD.encode(&arrival.body),
        }
    }

    pub(super) fn to_plaintext(&self) -> Plaintext {
        Plaintext::new(serde_json::to_vec(self).unwrap_or_default())
    }

    pub(super) fn read(bytes: &Plaintext) -> Option<Self> {
        serde_json::from_slice(bytes.expose()).ok()
    }

    /// The payload: what is here was verified before it was kept.
    pub fn payload(&self) -> Option<Json> {
        let body = STANDARD.decode(&self.body).ok()?;
        let headers: Vec<(&str, Vec<u8>)> = self
            .headers
            .iter()
            .map(|(name, value)| Some((name.as_str(), STANDARD.decode(value).ok()?)))
            .collect::<Option<_>>()?;
        let headers: Vec<(&str, &[u8])> =
            headers.iter().map(|(name, value)| (*name, value.as_slice())).collect();
        Delivery { headers: &headers, query: self.query.as_deref(), body: &body }.payload()
    }
}

fn place(subject: &str) -> Place<'_> {
    Place { table: "webhook_contents", row: subject, column: "ciphertext" }
}

/// A row of the table, ready to be written.
pub(super) fn sealed(
    sealer: &Sealer,
    (organisation, subject): (&str, &str),
    (content, now_ms): (&Plaintext, i64),
) -> Result<Vec<Value>, DomainError> {
    let Sealed { key_version, ciphertext } = sealer.seal(place(subject), content)?;
    Ok(values![subject, organisation, key_version, ciphertext, now_ms])
}

/// Writes one row, or [`ROWS`] of them.
pub(super) async fn write(
    transaction: &mut dyn Transaction,
    rows: Vec<Vec<Value>>,
) -> Result<(), DomainError> {
    const HEAD: &str = "INSERT INTO webhook_contents (subject, organisation_id, key_version, \
                        ciphertext, created_at)";
    static ONE: LazyLock<String> = LazyLock::new(|| many(HEAD, (1, 5), ""));
    static ROW: LazyLock<String> = LazyLock::new(|| many(HEAD, (ROWS, 5), ""));
    let sql = if rows.len() == ROWS { &*ROW } else { &*ONE };
    transaction.execute(sql, rows.into_iter().flatten().collect()).await?;
    Ok(())
}

pub(super) async fn keep(
    transaction: &mut dyn Transaction,
    sealer: &Sealer,
    about: (&str, &str),
    content: (&Plaintext, i64),
) -> Result<(), DomainError> {
    write(transaction, vec![sealed(sealer, about, content)?]).await
}

/// `None` when it was deleted because of its age.
pub(super) async fn open(
    transaction: &mut dyn Transaction,
    vault: &Vault,
    (organisation, subject): (&str, &str),
) -> Result<Option<Plaintext>, DomainError> {
    let sql = "SELECT key_version, ciphertext FROM webhook_contents \
               WHERE subject = $1 AND organisation_id = $2";
    let values = values![subject, organisation];
    let Some(mut row) = fetch_optional(transaction, sql, values).await? else { return Ok(None) };
    let sealed = Sealed { key_version: row.integer()?, ciphertext: row.bytes()? };
    Ok(Some(vault.open(transaction, organisation, place(subject), &sealed).await?))
}

pub(super) async fn is_kept(
    transaction: &mut dyn Transaction,
    subject: &str,
) -> Result<bool, DomainError> {
    let sql = "SELECT created_at FROM webhook_contents WHERE subject = $1";
    Ok(fetch_optional(transaction, sql, values![subject]).await?.is_some())
}

/// Deletes contents that are older than they are kept, unless they are waited for. How many.
pub async fn purge(store: &Store, now_ms: i64) -> Result<u64, DomainError> {
    let mut transaction = store.begin(Access::Locking).await?;
    let sql = "DELETE FROM webhook_contents WHERE created_at < $1 AND NOT EXISTS \
               (SELECT 1 FROM webhook_jobs j WHERE j.subject = webhook_contents.subject \
               AND j.state <> 'dead')";
    let purged = transaction.execute(sql, values![now_ms.saturating_sub(KEPT_MS)]).await?;
    transaction.commit().await?;
    Ok(purged)
}
