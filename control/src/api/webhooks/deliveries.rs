//! `/v1/integration/webhooks/deliveries` and `/dead-letters`: what goes out, and what was given up.

use aide::axum::ApiRouter;
use aide::axum::routing::{get_with, post_with};
use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;

use super::super::answer::{Answer, Found, List};
use super::super::caller::{Caller, Reader, Writer};
use super::super::parameters::{InPath, InQuery, Paging};
use super::super::problem::Problem;
use super::{ALL, WhichDelivery};
use crate::change;
use crate::clock::rfc3339;
use crate::domain::DomainError;
use crate::service::Control;
use crate::store::Access;
use crate::webhook::delivery::{self, DeliveryStatus, WebhookDelivery};
use crate::webhook::queue::{self, DeadLetter};

pub(super) fn routes() -> ApiRouter<Control> {
    let one = format!("{ALL}/deliveries/{{deliveryId}}");
    ApiRouter::new()
        .api_route(
            &format!("{ALL}/deliveries"),
            get_with(list, |o| o.id("listWebhookDeliveries").summary("List deliveries")),
        )
        .api_route(
            &one,
            get_with(find, |o| o.id("getWebhookDelivery").summary("Look at a delivery")),
        )
        .api_route(
            &format!("{one}/redeliver"),
            post_with(redeliver, |o| {
                o.id("redeliverWebhookDelivery").summary("Send a delivery again")
            }),
        )
        .api_route(
            &format!("{ALL}/dead-letters"),
            get_with(dead, |o| o.id("listWebhookDeadLetters").summary("List what was given up")),
        )
}

/// An event on its way to an endpoint.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "WebhookDelivery")]
struct View {
    /// Also what is sent as `webhook-id`.
    id: String,
    event_id: String,
    trigger_id: String,
    endpoint_id: String,
    status: DeliveryStatus,
    attempts: i64,
    /// What the endpoint answered the last time.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_status: Option<i64>,
    /// Why the last attempt failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<String>,
    created_at: String,
    updated_at: String,
}

impl From<WebhookDelivery> for View {
    fn from(it: WebhookDelivery) -> Self {
        Self {
            id: it.id,
            event_id: it.event,
            trigger_id: it.trigger,
            endpoint_id: it.endpoint,
            status: it.status,
            attempts: it.attempts,
            last_status: it.last_status,
            last_error: it.last_error,
            created_at: rfc3339(it.created_ms),
            updated_at: rfc3339(it.updated_ms),
        }
    }
}

/// Something that was given up. It is sent again by the `redeliver` of its event or delivery.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "WebhookDeadLetter")]
struct Letter {
    /// The id of an event or a delivery.
    subject: String,
    /// `event` or `delivery`.
    kind: &'static str,
    attempts: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<String>,
    created_at: String,
}

impl From<DeadLetter> for Letter {
    fn from(it: DeadLetter) -> Self {
        Self {
            subject: it.subject,
            kind: it.kind.as_str(),
            attempts: it.attempts,
            last_error: it.last_error,
            created_at: rfc3339(it.created_ms),
        }
    }
}

async fn list(
    State(control): State<Control>,
    reader: Reader,
    InQuery(paging): InQuery<Paging>,
) -> Result<Found<List<View>>, Problem> {
    let mut transaction = control.store.begin(Access::Read).await.map_err(DomainError::from)?;
    let page = delivery::list(&mut *transaction, reader.organisation(), &paging.page()?).await?;
    Ok(Answer::of(&List::of(page, View::from)))
}

async fn find(
    State(control): State<Control>,
    reader: Reader,
    InPath(which): InPath<WhichDelivery>,
) -> Result<Found<View>, Problem> {
    let mut transaction = control.store.begin(Access::Read).await.map_err(DomainError::from)?;
    let about = (reader.organisation(), which.delivery_id.as_str());
    Ok(Answer::of(&View::from(delivery::find(&mut *transaction, about).await?)))
}

async fn redeliver(
    State(control): State<Control>,
    writer: Writer,
    InPath(which): InPath<WhichDelivery>,
) -> Result<Found<View>, Problem> {
    let act = writer.act(&control);
    let about = (writer.organisation(), which.delivery_id.as_str());
    let again: Result<WebhookDelivery, DomainError> = change!(control.store, |transaction| {
        delivery::redeliver(transaction, &act, about).await
    });
    let again = again?;
    control.webhooks.wake();
    Ok(Answer::of(&View::from(again)))
}

async fn dead(
    State(control): State<Control>,
    reader: Reader,
    InQuery(paging): InQuery<Paging>,
) -> Result<Found<List<Letter>>, Problem> {
    let mut transaction = control.store.begin(Access::Read).await.map_err(DomainError::from)?;
    let organisation = reader.organisation();
    let page = queue::dead_letters(&mut *transaction, organisation, &paging.page()?).await?;
    Ok(Answer::of(&List::of(page, Letter::from)))
}
