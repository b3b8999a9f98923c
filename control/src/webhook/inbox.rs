//! What is delivered to sandboxes: kept for each of them until it says that it has it. A sandbox asks
//! with its own token, and sees nobody else's.
//!
//! It is there at least once: what was handed out and not acknowledged is handed out again. A sandbox
//! that does not ask fills its own inbox and nothing else.

use serde_json::Value as Json;

use super::content::{self, KEPT_MS};
use crate::credentials::{Plaintext, Vault};
use crate::domain::sandbox::{self, Sandbox};
use crate::domain::{Act, DomainError};
use crate::id::IdKind;
use crate::store::{Access, Row, Store, StoreError, Transaction, fetch_optional};
use crate::values;

/// How much waits for one sandbox; what comes on top of it is not kept.
pub const WAITING_MAX: i64 = 1_000;
/// Sandboxes of a profile that one event goes to.
const SANDBOXES_MAX: i64 = 1_000;

/// Whom a trigger delivers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recipient {
    Sandbox(String),
    /// Every sandbox of it that runs.
    Profile(String),
}

/// What waits for a sandbox.
#[derive(Clone, Debug, PartialEq)]
pub struct Waiting {
    pub id: String,
    pub body: Json,
}

/// What follows from an event for sandboxes.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewMessage<'n> {
    pub(super) organisation: &'n str,
    pub(super) event: &'n str,
    pub(super) trigger: &'n str,
    pub(super) round: i64,
    pub(super) sequence: i64,
    pub(super) body: &'n Plaintext,
}

/// Puts it into the inboxes of those that run. Why it did not get into one, where it did not.
pub(super) async fn add(
    transaction: &mut dyn Transaction,
    (act, vault): (&Act, &Vault),
    (recipient, new): (&Recipient, NewMessage<'_>),
) -> Result<Option<&'static str>, DomainError> {
    let mut missed = None;
    for sandbox in recipients(transaction, (new.organisation, recipient), act.now_ms).await? {
        match sandbox {
            Some(id) if is_full(transaction, &id).await? => {
                missed = Some("the inbox of a sandbox is full");
            }
            Some(id) => keep(transaction, (act, vault), (&id, new)).await?,
            None => missed = Some("its sandbox has ended"),
        }
    }
    Ok(missed)
}

/// The sandboxes that run; `None` in the place of one that was named and does not.
async fn recipients(
    transaction: &mut dyn Transaction,
    (organisation, recipient): (&str, &Recipient),
    now_ms: i64,
) -> Result<Vec<Option<String>>, DomainError> {
    match recipient {
        Recipient::Sandbox(id) => {
            let live = sandbox::find_live(transaction, id, now_ms).await?;
            let own = live.filter(|live| live.sandbox.organisation == organisation);
            Ok(vec![own.map(|live| live.sandbox.id)])
        }
        Recipient::Profile(id) => {
            let sql = "SELECT id FROM sandboxes WHERE profile_id = $1 AND organisation_id = $2 \
                       AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $3) \
                       ORDER BY id LIMIT $4";
            let values = values![id, organisation, now_ms, SANDBOXES_MAX];
            let rows = transaction.fetch(sql, values).await?;
            Ok(rows.into_iter().map(|mut row| row.text().map(Some)).collect::<Result<_, _>>()?)
        }
    }
}

async fn is_full(transaction: &mut dyn Transaction, sandbox: &str) -> Result<bool, DomainError> {
    let sql = "SELECT COUNT(*) FROM sandbox_events WHERE sandbox_id = $1";
    let row = fetch_optional(transaction, sql, values![sandbox]).await?;
    Ok(row.ok_or(StoreError::Shape)?.integer()? >= WAITING_MAX)
}

async fn keep(
    transaction: &mut dyn Transaction,
    (act, vault): (&Act, &Vault),
    (sandbox, new): (&str, NewMessage<'_>),
) -> Result<(), DomainError> {
    let id = act.new_id(IdKind::SandboxEvent)?.to_string();
    let sql = "INSERT INTO sandbox_events (id, organisation_id, sandbox_id, event_id, trigger_id, \
               round, sequence, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
               ON CONFLICT (event_id, trigger_id, sandbox_id, round) DO NOTHING";
    let NewMessage { organisation, event, trigger, round, sequence, body } = new;
    let values = values![&id, organisation, sandbox, event, trigger, round, sequence, act.now_ms];
    if transaction.execute(sql, values).await? == 0 {
        return Ok(());
    }
    let sealer = vault.sealer(transaction, organisation).await?;
    content::keep(transaction, &sealer, (organisation, &id), (body, act.now_ms)).await
}

/// What waits for a sandbox, in the order of the events.
pub async fn waiting(
    transaction: &mut dyn Transaction,
    (vault, sandbox): (&Vault, &Sandbox),
    most: i64,
) -> Result<Vec<Waiting>, DomainError> {
    // What is too old is deleted, here and there: what has no content any more is none.
    let sql = "SELECT e.id FROM sandbox_events e JOIN webhook_contents c ON c.subject = e.id \
               WHERE e.sandbox_id = $1 ORDER BY e.sequence, e.id LIMIT $2";
    let rows = transaction.fetch(sql, values![&sandbox.id, most]).await?;
    let mut found = Vec::new();
    for mut row in rows {
        let id = row.text()?;
        let about = (sandbox.organisation.as_str(), id.as_str());
        let Some(body) = content::open(transaction, vault, about).await? else { continue };
        let body = serde_json::from_slice(body.expose()).map_err(|_| StoreError::Shape)?;
        found.push(Waiting { id, body });
    }
    Ok(found)
}

/// The sandbox has these: they wait no more. How many of them did.
pub async fn acknowledge(
    transaction: &mut dyn Transaction,
    sandbox: &Sandbox,
    ids: &[String],
) -> Result<usize, DomainError> {
    let mut count = 0;
    for id in ids {
        let sql = "DELETE FROM sandbox_events WHERE id = $1 AND sandbox_id = $2";
        if transaction.execute(sql, values![id, &sandbox.id]).await? == 1 {
            let sql = "DELETE FROM webhook_contents WHERE subject = $1";
            transaction.execute(sql, values![id]).await?;
            count += 1;
        }
    }
    Ok(count)
}

/// Deletes what waits for sandboxes that have ended, and what waited for too long. How much.
pub async fn purge(store: &Store, now_ms: i64) -> Result<u64, DomainError> {
    let mut reading = store.begin(Access::Read).await?;
    let sql = "SELECT e.id FROM sandbox_events e JOIN sandboxes s ON s.id = e.sandbox_id \
               WHERE s.revoked_at IS NOT NULL OR s.expires_at <= $1 OR e.created_at < $2 \
               ORDER BY e.id LIMIT 10000";
    let rows = reading.fetch(sql, values![now_ms, now_ms.saturating_sub(KEPT_MS)]).await?;
    let ids: Vec<String> =
        rows.into_iter().map(|mut row: Row| row.text()).collect::<Result<_, _>>()?;
    drop(reading);
    if ids.is_empty() {
        return Ok(0);
    }
    let mut transaction = store.begin(Access::Locking).await?;
    let mut purged = 0;
    for id in ids {
        let sql = "DELETE FROM webhook_contents WHERE subject = $1";
        transaction.execute(sql, values![&id]).await?;
        let sql = "DELETE FROM sandbox_events WHERE id = $1";
        purged += transaction.execute(sql, values![&id]).await?;
    }
    transaction.commit().await?;
    Ok(purged)
}
