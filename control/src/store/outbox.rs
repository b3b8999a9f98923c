//! What somebody must be told, written in the transaction that it tells of: never of something that
//! did not happen, and in the order of the commits. It is kept for a day, for whoever was away.

use serde_json::Value as Json;

use super::database::{Transaction, fetch_optional};
use super::{Store, StoreError};
use crate::id::{Id, IdKind};
use crate::token::NoRandomness;
use crate::{change, values};

/// How long a notice is kept: whoever was away for longer is told everything.
const KEPT_MS: i64 = 24 * 3600 * 1000;

/// What a notice is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// A profile has another plan in force.
    Published,
    /// A sandbox was made, changed or revoked.
    Sandbox,
    /// A credential, connection or target changed: what proxies hold of it is out of date.
    Invalidated,
    /// A proxy was revoked.
    Proxy,
}

impl Topic {
    const ALL: [Self; 4] = [Self::Published, Self::Sandbox, Self::Invalidated, Self::Proxy];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::Sandbox => "sandbox",
            Self::Invalidated => "invalidated",
            Self::Proxy => "proxy",
        }
    }

    fn parse(text: &str) -> Result<Self, StoreError> {
        Self::ALL.into_iter().find(|topic| topic.as_str() == text).ok_or(StoreError::Shape)
    }
}

/// One thing to tell.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    pub id: String,
    /// Grows by one with every notice that is committed.
    pub sequence: i64,
    pub topic: Topic,
    pub organisation: Option<String>,
    pub payload: Json,
}

/// Up to where there is something to tell, and from where on it is still known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// The sequence of the newest notice; 0 when there never was one.
    pub newest: i64,
    /// Whoever was told up to here, or further, can be told the rest.
    pub known_after: i64,
}

/// Adds a notice to a transaction.
pub async fn tell(
    transaction: &mut dyn Transaction,
    (topic, organisation): (Topic, Option<&str>),
    payload: &Json,
    now_ms: i64,
) -> Result<(), StoreError> {
    let id = Id::new(IdKind::OutboxEntry, now_ms).map_err(no_randomness)?;
    // INVARIANT: the row stays locked until the commit, so whoever sees a sequence sees all before
    // it. A sequence of the database itself is not so: a later number may be committed first.
    let next = "UPDATE feed_position SET sequence = sequence + 1 WHERE name = 'outbox' \
                RETURNING sequence";
    let row = fetch_optional(transaction, next, Vec::new()).await?;
    let sequence = row.ok_or(StoreError::Shape)?.integer()?;
    let write = "INSERT INTO outbox (id, sequence, topic, organisation_id, payload, created_at) \
                 VALUES ($1, $2, $3, $4, $5, $6)";
    let payload = payload.to_string();
    let values = values![id.as_str(), sequence, topic.as_str(), organisation, payload, now_ms];
    transaction.execute(write, values).await?;
    Ok(())
}

/// What there is to tell.
pub async fn told(transaction: &mut dyn Transaction) -> Result<Told, StoreError> {
    let find = "SELECT p.sequence, \
                (SELECT MIN(o.sequence) FROM outbox o WHERE o.sequence <= p.sequence) \
                FROM feed_position p WHERE p.name = 'outbox'";
    let row = fetch_optional(transaction, find, Vec::new()).await?;
    let mut row = row.ok_or(StoreError::Shape)?;
    let newest = row.integer()?;
    let oldest = row.optional_integer()?;
    Ok(Told { newest, known_after: oldest.map_or(newest, |oldest| oldest - 1) })
}

/// Notices behind a sequence, oldest first.
pub async fn notices_after(
    transaction: &mut dyn Transaction,
    sequence: i64,
    most: i64,
) -> Result<Vec<Notice>, StoreError> {
    let find = "SELECT id, sequence, topic, organisation_id, payload FROM outbox \
                WHERE sequence > $1 ORDER BY sequence LIMIT $2";
    let rows = transaction.fetch(find, values![sequence, most]).await?;
    let notice = |mut row: super::Row| {
        let (id, sequence) = (row.text()?, row.integer()?);
        let (topic, organisation) = (Topic::parse(&row.text()?)?, row.optional_text()?);
        let payload = serde_json::from_str(&row.text()?).map_err(|_| StoreError::Shape)?;
        Ok(Notice { id, sequence, topic, organisation, payload })
    };
    rows.into_iter().map(notice).collect()
}

impl Store {
    /// Drops notices that are a day old.
    pub async fn forget_old_notices(&self, now_ms: i64) -> Result<(), StoreError> {
        change!(self, |transaction| {
            let old = "DELETE FROM outbox WHERE created_at < $1";
            transaction.execute(old, values![now_ms.saturating_sub(KEPT_MS)]).await?;
            Ok(())
        })
    }
}

fn no_randomness(_: NoRandomness) -> StoreError {
    StoreError::Failed(sqlx::Error::Protocol("the system has no randomness".to_owned()))
}
