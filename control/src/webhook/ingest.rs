//! Events into the store: many in one transaction, since a commit costs as much for one as for a
//! hundred. Nobody waits for more of them to come: whatever came while the last commit was under way
//! is the next one.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::{LazyLock, OnceLock};

use tokio::sync::{mpsc, oneshot};

use super::content;
use super::queue::{self, JobKind, NewJob};
use crate::credentials::{Plaintext, Vault};
use crate::domain::{DomainError, Fault};
use crate::id::{Id, IdKind};
use crate::store::{Access, Store, Transaction, fetch_optional, many};
use crate::token::sha256_hex;
use crate::values;

/// Calls that wait for their commit; more are told to come again.
const WAITING_MAX: usize = 1024;
const BATCH_MAX: usize = 128;
/// Rows that one statement writes.
pub(super) const ROWS: usize = 16;
const BATCH_BYTES_MAX: usize = 32 << 20;
/// Longer ids and keys stand for themselves by their hash.
const TEXT_BYTES_MAX: usize = 200;

/// An event of one connection, ready to be written.
#[derive(Clone, Debug)]
pub(super) struct NewEvent {
    pub(super) organisation: String,
    pub(super) connection: String,
    pub(super) target_key: String,
    pub(super) definition: String,
    pub(super) external_delivery_id: String,
    pub(super) external_event_id: String,
    pub(super) provider_event_type: String,
    pub(super) event_type: String,
    pub(super) source_order_key: Option<String>,
    pub(super) transport: &'static str,
    pub(super) occurred_at: Option<String>,
    pub(super) received_ms: i64,
    pub(super) content: Plaintext,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    New,
    /// The connection has a delivery of this id.
    Duplicate,
}

struct Waiting {
    event: NewEvent,
    answer: oneshot::Sender<Result<Written, DomainError>>,
}

/// The way to the task that writes, which begins with the first event.
#[derive(Debug, Default)]
pub(super) struct Ingest(OnceLock<mpsc::Sender<Waiting>>);

impl Ingest {
    /// Returns when the event is on disk, or is not.
    pub(super) async fn write(
        &self,
        (store, vault): (&Store, &Vault),
        event: NewEvent,
    ) -> Result<Written, DomainError> {
        let writer = self.0.get_or_init(|| {
            let (sender, waiting) = mpsc::channel(WAITING_MAX);
            tokio::spawn(run(store.clone(), vault.clone(), waiting));
            sender
        });
        let (answer, written) = oneshot::channel();
        writer.try_send(Waiting { event, answer }).map_err(|_| busy())?;
        written.await.map_err(|_| busy())?
    }
}

fn busy() -> DomainError {
    let mut error = DomainError::new(Fault::Unavailable, "webhooks_busy", "too much at once");
    error.retry_after_ms = Some(1000);
    error
}

async fn run(store: Store, vault: Vault, mut waiting: mpsc::Receiver<Waiting>) {
    while let Some(first) = waiting.recv().await {
        let mut bytes = first.event.content.expose().len();
        let mut batch = vec![first];
        while batch.len() < BATCH_MAX && bytes < BATCH_BYTES_MAX {
            let Ok(next) = waiting.try_recv() else { break };
            bytes += next.event.content.expose().len();
            batch.push(next);
        }
        write_batch(&store, &vault, batch).await;
    }
}

async fn write_batch(store: &Store, vault: &Vault, batch: Vec<Waiting>) {
    let (events, answers): (Vec<NewEvent>, Vec<_>) =
        batch.into_iter().map(|waiting| (waiting.event, waiting.answer)).unzip();
    match write(store, vault, &events).await {
        Ok(written) => {
            for (answer, written) in answers.into_iter().zip(written) {
                // Whoever asked may be gone: the event is there all the same.
                let _ = answer.send(Ok(written));
            }
        }
        // One that does not fit must not keep the others out.
        Err(error) if error.fault != Fault::Unavailable => {
            for (answer, event) in answers.into_iter().zip(events) {
                let written = write(store, vault, std::slice::from_ref(&event)).await;
                let written = written.map(|w| w.first().copied().unwrap_or(Written::Duplicate));
                let _ = answer.send(written);
            }
        }
        Err(error) => {
            for answer in answers {
                let mut same = DomainError::new(error.fault, error.code, error.message.clone());
                same.retry_after_ms = error.retry_after_ms;
                let _ = answer.send(Err(same));
            }
        }
    }
}

/// All of them or none.
async fn write(
    store: &Store,
    vault: &Vault,
    events: &[NewEvent],
) -> Result<Vec<Written>, DomainError> {
    let mut held = store.begin(Access::Locking).await?;
    let transaction = &mut *held;
    let first = sequences(transaction, events.len()).await?;
    let mut numbered = Vec::with_capacity(events.len());
    for (event, sequence) in events.iter().zip(first..) {
        let id = Id::new(IdKind::WebhookEvent, event.received_ms);
        let id = id.map_err(|_| DomainError::randomness())?.to_string();
        numbered.push(Numbered { event, id, sequence });
    }
    let mut new = HashSet::new();
    for rows in pieces(&numbered) {
        new.extend(write_events(transaction, rows).await?);
    }
    let mut sealers = HashMap::new();
    let mut contents = Vec::new();
    for one in numbered.iter().filter(|one| new.contains(&one.id)) {
        let owner = one.event.organisation.as_str();
        let sealer = match sealers.entry(owner) {
            Entry::Occupied(there) => there.into_mut(),
            Entry::Vacant(place) => place.insert(vault.sealer(transaction, owner).await?),
        };
        let about = (owner, one.id.as_str());
        contents.push(content::sealed(sealer, about, (&one.event.content, one.event.received_ms))?);
    }
    for rows in pieces(&contents) {
        content::write(transaction, rows.to_vec()).await?;
    }
    let jobs: Vec<_> = numbered.iter().filter(|one| new.contains(&one.id)).collect();
    for rows in pieces(&jobs) {
        write_jobs(transaction, rows).await?;
    }
    held.commit().await?;
    let written = |one: &Numbered<'_>| {
        if new.contains(&one.id) { Written::New } else { Written::Duplicate }
    };
    Ok(numbered.iter().map(written).collect())
}

/// An event with its id and its place in the order.
struct Numbered<'e> {
    event: &'e NewEvent,
    id: String,
    sequence: i64,
}

/// Pieces of a size for which there is a statement.
fn pieces<T>(rows: &[T]) -> impl Iterator<Item = &[T]> {
    let whole = rows.len() / ROWS * ROWS;
    let (whole, rest) = rows.split_at_checked(whole).unwrap_or((rows, &[]));
    whole.chunks(ROWS).chain(rest.chunks(1))
}

/// The first of as many numbers. The row stays locked until the commit, so that events become
/// visible in the order of their numbers.
async fn sequences(transaction: &mut dyn Transaction, count: usize) -> Result<i64, DomainError> {
    let sql = "UPDATE webhook_sequence SET last = last + $1 WHERE name = 'events' RETURNING last";
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    let row = fetch_optional(transaction, sql, values![count]).await?;
    let mut row = row.ok_or(crate::store::StoreError::Shape)?;
    Ok(row.integer()? - count + 1)
}

/// Writes events that are not there; the ids of those that were written.
async fn write_events(
    transaction: &mut dyn Transaction,
    rows: &[Numbered<'_>],
) -> Result<Vec<String>, DomainError> {
    const HEAD: &str = "INSERT INTO webhook_events (id, sequence, organisation_id, connection_id, \
                        target_key, definition, external_delivery_id, external_event_id, \
                        provider_event_type, event_type, source_order_key, transport, \
                        occurred_at, received_at, round)";
    const TAIL: &str = "ON CONFLICT (connection_id, external_delivery_id) DO NOTHING RETURNING id";
    static ONE: LazyLock<String> = LazyLock::new(|| many(HEAD, (1, 15), TAIL));
    static ROW: LazyLock<String> = LazyLock::new(|| many(HEAD, (ROWS, 15), TAIL));
    let mut values = Vec::new();
    for Numbered { event, id, sequence } in rows {
        values.extend(values![
            id,
            *sequence,
            &event.organisation,
            &event.connection,
            &event.target_key,
            &event.definition,
            bounded(&event.external_delivery_id),
            bounded(&event.external_event_id),
            bounded(&event.provider_event_type),
            bounded(&event.event_type),
            event.source_order_key.as_deref().map(bounded).as_deref(),
            event.transport,
            event.occurred_at.as_deref(),
            event.received_ms,
            1,
        ]);
    }
    let sql = if rows.len() == ROWS { &*ROW } else { &*ONE };
    let written = transaction.fetch(sql, values).await?;
    Ok(written.into_iter().map(|mut row| row.text()).collect::<Result<_, _>>()?)
}

async fn write_jobs(
    transaction: &mut dyn Transaction,
    rows: &[&Numbered<'_>],
) -> Result<(), DomainError> {
    let key = |one: &Numbered<'_>| {
        let key = one.event.source_order_key.as_deref().map(bounded);
        key.map(|key| format!("{}/{key}", one.event.connection))
    };
    let keys: Vec<Option<String>> = rows.iter().map(|one| key(one)).collect();
    let job = |(one, key): (&&Numbered<'_>, &Option<String>)| {
        let event = one.event;
        let job = NewJob {
            subject: &one.id,
            organisation: &event.organisation,
            kind: JobKind::Event,
            sequence: one.sequence,
            order_key: key.as_deref(),
            lane: &event.connection,
        };
        queue::values_of(job, event.received_ms)
    };
    let values = rows.iter().zip(&keys).map(job).collect::<Result<Vec<_>, _>>()?;
    queue::add_new(transaction, values).await
}

/// What a provider says of itself, as it can be kept: PostgreSQL has no NUL in a text, and no long
/// keys in an index.
fn bounded(text: &str) -> String {
    if text.len() <= TEXT_BYTES_MAX && !text.contains('\0') {
        return text.to_owned();
    }
    format!("sha256:{}", sha256_hex(text))
}
