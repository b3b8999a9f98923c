//! Deliveries: one event on its way to one endpoint.

use serde_json::json;

use super::content;
use super::queue::{self, JobKind, NewJob};
use crate::credentials::{Plaintext, Vault};
use crate::domain::audit::{self, Change};
use crate::domain::{Act, DomainError, Page, PageOf};
use crate::id::IdKind;
use crate::store::{Row, StoreError, Transaction, fetch_optional};
use crate::values;

/// How far a delivery is.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryStatus {
    Waiting,
    /// The endpoint answered with 2xx.
    Delivered,
    /// It was given up, and can be sent again.
    Dead,
}

impl DeliveryStatus {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
        }
    }

    fn parse(text: &str) -> Result<Self, StoreError> {
        let all = [Self::Waiting, Self::Delivered, Self::Dead];
        all.into_iter().find(|status| status.as_str() == text).ok_or(StoreError::Shape)
    }
}

/// A delivery, without what it delivers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookDelivery {
    pub id: String,
    pub organisation: String,
    pub event: String,
    pub trigger: String,
    pub endpoint: String,
    pub sequence: i64,
    pub order_key: Option<String>,
    pub status: DeliveryStatus,
    pub attempts: i64,
    /// What the endpoint answered the last time.
    pub last_status: Option<i64>,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    pub created_ms: i64,
    pub updated_ms: i64,
}

/// A delivery that follows from an event.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewDelivery<'n> {
    pub(super) organisation: &'n str,
    pub(super) event: &'n str,
    pub(super) trigger: &'n str,
    pub(super) endpoint: &'n str,
    pub(super) round: i64,
    pub(super) sequence: i64,
    /// Of the event, with its connection.
    pub(super) order_key: Option<&'n str>,
    pub(super) body: &'n Plaintext,
}

/// Adds it with its job, unless the event made it already.
pub(super) async fn add(
    transaction: &mut dyn Transaction,
    (act, vault): (&Act, &Vault),
    new: NewDelivery<'_>,
) -> Result<(), DomainError> {
    let id = act.new_id(IdKind::WebhookDelivery)?.to_string();
    let order_key = new.order_key.map(|key| format!("{}/{key}", new.endpoint));
    let sql = "INSERT INTO webhook_deliveries (id, organisation_id, event_id, trigger_id, \
               endpoint_id, round, sequence, order_key, status, attempts, created_at, updated_at) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'waiting', 0, $9, $9) \
               ON CONFLICT (event_id, trigger_id, round) DO NOTHING";
    let values = values![
        &id,
        new.organisation,
        new.event,
        new.trigger,
        new.endpoint,
        new.round,
        new.sequence,
        order_key.as_deref(),
        act.now_ms,
    ];
    if transaction.execute(sql, values).await? == 0 {
        return Ok(());
    }
    let sealer = vault.sealer(transaction, new.organisation).await?;
    let about = (new.organisation, id.as_str());
    content::keep(transaction, &sealer, about, (new.body, act.now_ms)).await?;
    let job = NewJob {
        subject: &id,
        organisation: new.organisation,
        kind: JobKind::Delivery,
        sequence: new.sequence,
        order_key: order_key.as_deref(),
        lane: new.endpoint,
    };
    queue::add(transaction, job, act.now_ms).await?;
    Ok(())
}

/// What an attempt changes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempted<'a> {
    pub(super) status: DeliveryStatus,
    pub(super) answered: Option<i64>,
    pub(super) error: Option<&'a str>,
}

pub(super) async fn record(
    transaction: &mut dyn Transaction,
    (id, now_ms): (&str, i64),
    attempted: Attempted<'_>,
) -> Result<(), DomainError> {
    let sql = "UPDATE webhook_deliveries SET status = $2, attempts = attempts + 1, \
               last_status = $3, last_error = $4, updated_at = $5 WHERE id = $1";
    let Attempted { status, answered, error } = attempted;
    transaction.execute(sql, values![id, status.as_str(), answered, error, now_ms]).await?;
    Ok(())
}

/// Sends it again, with the same id and body: whoever has it already knows it by its id.
pub async fn redeliver(
    transaction: &mut dyn Transaction,
    act: &Act,
    (organisation, id): (&str, &str),
) -> Result<WebhookDelivery, DomainError> {
    let before = find(transaction, (organisation, id)).await?;
    if !content::is_kept(transaction, id).await? {
        let message = "its content was deleted because of its age";
        return Err(DomainError::conflict("content_purged", message));
    }
    let job = NewJob {
        subject: id,
        organisation,
        kind: JobKind::Delivery,
        sequence: before.sequence,
        order_key: before.order_key.as_deref(),
        lane: &before.endpoint,
    };
    if !queue::add(transaction, job, act.now_ms).await? {
        return Err(DomainError::conflict("already_waiting", "it is waiting to be delivered"));
    }
    let sql = "UPDATE webhook_deliveries SET status = 'waiting', updated_at = $2 WHERE id = $1";
    transaction.execute(sql, values![id, act.now_ms]).await?;
    let change = Change {
        organisation: Some(organisation),
        action: "webhook_delivery.redeliver",
        subject: id,
        before: Some(json!({ "status": before.status })),
        after: Some(json!({ "status": DeliveryStatus::Waiting })),
    };
    audit::record(transaction, act, change).await?;
    find(transaction, (organisation, id)).await
}

pub async fn find(
    transaction: &mut dyn Transaction,
    (organisation, id): (&str, &str),
) -> Result<WebhookDelivery, DomainError> {
    let sql = "SELECT id, organisation_id, event_id, trigger_id, endpoint_id, sequence, \
               order_key, status, attempts, last_status, last_error, created_at, updated_at \
               FROM webhook_deliveries WHERE id = $1 AND organisation_id = $2";
    let row = fetch_optional(transaction, sql, values![id, organisation]).await?;
    Ok(delivery(row.ok_or_else(|| DomainError::not_found("delivery"))?)?)
}

pub async fn list(
    transaction: &mut dyn Transaction,
    organisation: &str,
    page: &Page,
) -> Result<PageOf<WebhookDelivery>, DomainError> {
    let sql = "SELECT id, organisation_id, event_id, trigger_id, endpoint_id, sequence, \
               order_key, status, attempts, last_status, last_error, created_at, updated_at \
               FROM webhook_deliveries WHERE organisation_id = $1 AND id > $2 \
               ORDER BY id LIMIT $3";
    let rows = transaction.fetch(sql, values![organisation, &page.after, page.fetch()]).await?;
    let items = rows.into_iter().map(delivery).collect::<Result<_, _>>()?;
    Ok(page.cut(items, |delivery: &WebhookDelivery| delivery.id.clone()))
}

fn delivery(mut row: Row) -> Result<WebhookDelivery, StoreError> {
    Ok(WebhookDelivery {
        id: row.text()?,
        organisation: row.text()?,
        event: row.text()?,
        trigger: row.text()?,
        endpoint: row.text()?,
        sequence: row.integer()?,
        order_key: row.optional_text()?,
        status: DeliveryStatus::parse(&row.text()?)?,
        attempts: row.integer()?,
        last_status: row.optional_integer()?,
        last_error: row.optional_text()?,
        created_ms: row.integer()?,
        updated_ms: row.integer()?,
    })
}
