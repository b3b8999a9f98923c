//! What somebody must be told, written in the transaction that it tells of: told at least once,
//! and never of something that did not happen.

use serde_json::Value as Json;

use super::database::{Access, Transaction};
use super::{Store, StoreError};
use crate::id::{Id, IdKind};
use crate::token::NoRandomness;
use crate::{change, values};

/// How long a notice is kept that was told.
const KEPT_MS: i64 = 24 * 3600 * 1000;

/// What a notice is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// A profile has another published version.
    Published,
    /// A sandbox was made, changed or revoked.
    Sandbox,
    /// A credential, connection or target changed: what proxies hold of it is out of date.
    Invalidated,
}

impl Topic {
    const ALL: [Self; 3] = [Self::Published, Self::Sandbox, Self::Invalidated];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::Sandbox => "sandbox",
            Self::Invalidated => "invalidated",
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
    pub topic: Topic,
    pub organisation: Option<String>,
    pub payload: Json,
}

/// Adds a notice to a transaction.
pub async fn tell(
    transaction: &mut dyn Transaction,
    (topic, organisation): (Topic, Option<&str>),
    payload: &Json,
    now_ms: i64,
) -> Result<(), StoreError> {
    let id = Id::new(IdKind::OutboxEntry, now_ms).map_err(no_randomness)?;
    let write = "INSERT INTO outbox (id, topic, organisation_id, payload, created_at) \
                 VALUES ($1, $2, $3, $4, $5)";
    let values = values![id.as_str(), topic.as_str(), organisation, payload.to_string(), now_ms];
    transaction.execute(write, values).await?;
    Ok(())
}

impl Store {
    /// Notices that nobody was told yet, oldest first.
    pub async fn waiting_notices(&self, most: i64) -> Result<Vec<Notice>, StoreError> {
        let mut transaction = self.begin(Access::Read).await?;
        let find = "SELECT id, topic, organisation_id, payload FROM outbox \
                    WHERE delivered_at IS NULL ORDER BY id LIMIT $1";
        let rows = transaction.fetch(find, values![most]).await?;
        let notice = |mut row: super::Row| {
            let (id, topic) = (row.text()?, Topic::parse(&row.text()?)?);
            let organisation = row.optional_text()?;
            let payload = serde_json::from_str(&row.text()?).map_err(|_| StoreError::Shape)?;
            Ok(Notice { id, topic, organisation, payload })
        };
        rows.into_iter().map(notice).collect()
    }

    /// Drops notices that were told a day ago: nobody asks for them any more.
    pub async fn forget_told(&self, now_ms: i64) -> Result<(), StoreError> {
        change!(self, |transaction| {
            let old = "DELETE FROM outbox WHERE delivered_at < $1";
            transaction.execute(old, values![now_ms.saturating_sub(KEPT_MS)]).await?;
            Ok(())
        })
    }

    /// Notes that a notice was told.
    pub async fn notice_told(&self, id: &str, now_ms: i64) -> Result<(), StoreError> {
        change!(self, |transaction| {
            let told = "UPDATE outbox SET delivered_at = $2 WHERE id = $1 AND delivered_at IS NULL";
            transaction.execute(told, values![id, now_ms]).await?;
            Ok(())
        })
    }
}

fn no_randomness(_: NoRandomness) -> StoreError {
    StoreError::Failed(sqlx::Error::Protocol("the system has no randomness".to_owned()))
}
