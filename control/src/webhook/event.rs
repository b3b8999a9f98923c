//! Events: what providers told us, once.

use serde_json::{Value as Json, json};

use super::content::{self, Content};
use super::queue::{self, JobKind, NewJob};
use crate::credentials::Vault;
use crate::domain::audit::{self, Change};
use crate::domain::{Act, DomainError, Page, PageOf};
use crate::store::{Row, StoreError, Transaction, fetch_optional};
use crate::values;

/// An event, without its payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookEvent {
    pub id: String,
    pub sequence: i64,
    pub organisation: String,
    pub connection: String,
    pub target_key: String,
    pub definition: String,
    pub external_delivery_id: String,
    pub external_event_id: String,
    pub provider_event_type: String,
    pub event_type: String,
    pub source_order_key: Option<String>,
    /// How it proved whose it is.
    pub transport: String,
    pub occurred_at: Option<String>,
    pub received_ms: i64,
    /// When everything that follows from it was set going.
    pub processed_ms: Option<i64>,
    /// Grows when it is processed anew because somebody asked for it.
    pub round: i64,
}

impl WebhookEvent {
    /// As filters and templates see it.
    pub(super) fn document(&self, payload: &Json) -> Json {
        json!({
            "eventId": self.id,
            "eventType": self.event_type,
            "providerEventType": self.provider_event_type,
            "externalEventId": self.external_event_id,
            "externalDeliveryId": self.external_delivery_id,
            "occurredAt": self.occurred_at,
            "sourceOrderKey": self.source_order_key,
            "connectionId": self.connection,
            "targetKey": self.target_key,
            "payload": payload,
        })
    }
}

const COLUMNS_OF_ONE: &str = "SELECT id, sequence, organisation_id, connection_id, target_key, \
    definition, external_delivery_id, external_event_id, provider_event_type, event_type, \
    source_order_key, transport, occurred_at, received_at, processed_at, round \
    FROM webhook_events WHERE id = $1 AND organisation_id = $2";

pub async fn find(
    transaction: &mut dyn Transaction,
    (organisation, id): (&str, &str),
) -> Result<WebhookEvent, DomainError> {
    let row = fetch_optional(transaction, COLUMNS_OF_ONE, values![id, organisation]).await?;
    Ok(event(row.ok_or_else(|| DomainError::not_found("event"))?)?)
}

/// Its payload; `None` when it was deleted because of its age.
pub async fn payload(
    transaction: &mut dyn Transaction,
    vault: &Vault,
    (organisation, id): (&str, &str),
) -> Result<Option<Json>, DomainError> {
    let content = content::open(transaction, vault, (organisation, id)).await?;
    Ok(content.as_ref().and_then(Content::read).and_then(|content| content.payload()))
}

/// Newest first would need another cursor: oldest first, as all lists are.
pub async fn list(
    transaction: &mut dyn Transaction,
    organisation: &str,
    page: &Page,
) -> Result<PageOf<WebhookEvent>, DomainError> {
    let sql = "SELECT id, sequence, organisation_id, connection_id, target_key, definition, \
               external_delivery_id, external_event_id, provider_event_type, event_type, \
               source_order_key, transport, occurred_at, received_at, processed_at, round \
               FROM webhook_events WHERE organisation_id = $1 AND id > $2 ORDER BY id LIMIT $3";
    let rows = transaction.fetch(sql, values![organisation, &page.after, page.fetch()]).await?;
    let events = rows.into_iter().map(event).collect::<Result<_, _>>()?;
    Ok(page.cut(events, |event: &WebhookEvent| event.id.clone()))
}

/// Has it processed anew, as if it had just come in; what is delivered has ids of its own.
pub async fn redeliver(
    transaction: &mut dyn Transaction,
    act: &Act,
    (organisation, id): (&str, &str),
) -> Result<WebhookEvent, DomainError> {
    let before = find(transaction, (organisation, id)).await?;
    if !content::is_kept(transaction, id).await? {
        let message = "its content was deleted because of its age";
        return Err(DomainError::conflict("content_purged", message));
    }
    let order_key = before.source_order_key.as_ref();
    let order_key = order_key.map(|key| format!("{}/{key}", before.connection));
    let job = NewJob {
        subject: id,
        organisation,
        kind: JobKind::Event,
        sequence: before.sequence,
        order_key: order_key.as_deref(),
        lane: &before.connection,
    };
    if !queue::add(transaction, job, act.now_ms).await? {
        return Err(DomainError::conflict("already_waiting", "it is waiting to be processed"));
    }
    let sql = "UPDATE webhook_events SET round = round + 1, processed_at = NULL WHERE id = $1";
    transaction.execute(sql, values![id]).await?;
    let change = Change {
        organisation: Some(organisation),
        action: "webhook_event.redeliver",
        subject: id,
        before: None,
        after: Some(json!({ "round": before.round + 1 })),
    };
    audit::record(transaction, act, change).await?;
    find(transaction, (organisation, id)).await
}

fn event(mut row: Row) -> Result<WebhookEvent, StoreError> {
    Ok(WebhookEvent {
        id: row.text()?,
        sequence: row.integer()?,
        organisation: row.text()?,
        connection: row.text()?,
        target_key: row.text()?,
        definition: row.text()?,
        external_delivery_id: row.text()?,
        external_event_id: row.text()?,
        provider_event_type: row.text()?,
        event_type: row.text()?,
        source_order_key: row.optional_text()?,
        transport: row.text()?,
        occurred_at: row.optional_text()?,
        received_ms: row.integer()?,
        processed_ms: row.optional_integer()?,
        round: row.integer()?,
    })
}
