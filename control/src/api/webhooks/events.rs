//! `/v1/integration/webhooks/events`: what providers told us.

use aide::axum::ApiRouter;
use aide::axum::routing::{get_with, post_with};
use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value as Json;

use super::super::answer::{Answer, Found, List};
use super::super::caller::{Caller, Reader, Writer};
use super::super::parameters::{InPath, InQuery, Paging};
use super::super::problem::Problem;
use super::{ALL, WhichEvent};
use crate::change;
use crate::clock::rfc3339;
use crate::domain::DomainError;
use crate::service::Control;
use crate::store::Access;
use crate::webhook::event::{self, WebhookEvent};

pub(super) fn routes() -> ApiRouter<Control> {
    let one = format!("{ALL}/events/{{eventId}}");
    ApiRouter::new()
        .api_route(
            &format!("{ALL}/events"),
            get_with(list, |o| o.id("listWebhookEvents").summary("List events, oldest first")),
        )
        .api_route(
            &one,
            get_with(find, |o| {
                o.id("getWebhookEvent").summary("Look at an event, with its payload")
            }),
        )
        .api_route(
            &format!("{one}/redeliver"),
            post_with(redeliver, |o| {
                o.id("redeliverWebhookEvent").summary("Process an event anew")
            }),
        )
}

/// What a provider told.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "WebhookEvent")]
struct View {
    id: String,
    connection_id: String,
    target_key: String,
    /// `family.event.action`
    event_type: String,
    provider_event_type: String,
    external_event_id: String,
    external_delivery_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_order_key: Option<String>,
    /// How it proved whose it is: `signature`, or where the secret itself stood.
    transport: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    occurred_at: Option<String>,
    received_at: String,
    /// When everything that follows from it was set going.
    #[serde(skip_serializing_if = "Option::is_none")]
    processed_at: Option<String>,
    /// Grows when it is processed anew.
    round: i64,
    /// Absent in lists, and once it was deleted because of its age.
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<Json>,
}

fn view(it: WebhookEvent, payload: Option<Json>) -> View {
    View {
        id: it.id,
        connection_id: it.connection,
        target_key: it.target_key,
        event_type: it.event_type,
        provider_event_type: it.provider_event_type,
        external_event_id: it.external_event_id,
        external_delivery_id: it.external_delivery_id,
        source_order_key: it.source_order_key,
        transport: it.transport,
        occurred_at: it.occurred_at,
        received_at: rfc3339(it.received_ms),
        processed_at: it.processed_ms.map(rfc3339),
        round: it.round,
        payload,
    }
}

async fn list(
    State(control): State<Control>,
    reader: Reader,
    InQuery(paging): InQuery<Paging>,
) -> Result<Found<List<View>>, Problem> {
    let mut transaction = control.store.begin(Access::Read).await.map_err(DomainError::from)?;
    let page = event::list(&mut *transaction, reader.organisation(), &paging.page()?).await?;
    Ok(Answer::of(&List::of(page, |it| view(it, None))))
}

async fn find(
    State(control): State<Control>,
    reader: Reader,
    InPath(which): InPath<WhichEvent>,
) -> Result<Found<View>, Problem> {
    let mut transaction = control.store.begin(Access::Read).await.map_err(DomainError::from)?;
    let about = (reader.organisation(), which.event_id.as_str());
    let found = event::find(&mut *transaction, about).await?;
    let payload = event::payload(&mut *transaction, &control.vault, about).await?;
    Ok(Answer::of(&view(found, payload)))
}

async fn redeliver(
    State(control): State<Control>,
    writer: Writer,
    InPath(which): InPath<WhichEvent>,
) -> Result<Found<View>, Problem> {
    let act = writer.act(&control);
    let about = (writer.organisation(), which.event_id.as_str());
    let again: Result<WebhookEvent, DomainError> =
        change!(control.store, |transaction| { event::redeliver(transaction, &act, about).await });
    let again = again?;
    control.webhooks.wake();
    Ok(Answer::of(&view(again, None)))
}
