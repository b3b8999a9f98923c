//! `/v1/integration/webhooks/triggers`: which events lead to what.

use aide::axum::ApiRouter;
use aide::axum::routing::get_with;
use axum::extract::State;
use axum::response::NoContent;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::super::answer::{Answer, Created, Found, List};
use super::super::body::Body;
use super::super::caller::{Caller, Reader, Writer};
use super::super::idempotency::IdempotencyKey;
use super::super::parameters::{IfMatch, InPath, InQuery, Paging};
use super::super::problem::Problem;
use super::{ALL, WhichTrigger};
use crate::change;
use crate::clock::rfc3339;
use crate::domain::DomainError;
use crate::service::Control;
use crate::store::Access;
use crate::webhook::trigger::{self, Trigger, TriggerWanted};

pub(super) fn routes() -> ApiRouter<Control> {
    let all = format!("{ALL}/triggers");
    ApiRouter::new()
        .api_route(
            &all,
            get_with(list, |o| o.id("listWebhookTriggers").summary("List triggers"))
                .post_with(create, |o| o.id("createWebhookTrigger").summary("Make a trigger")),
        )
        .api_route(
            &format!("{all}/{{triggerId}}"),
            get_with(find, |o| o.id("getWebhookTrigger").summary("Look at a trigger"))
                .put_with(put, |o| o.id("putWebhookTrigger").summary("Change a trigger"))
                .delete_with(delete, |o| o.id("deleteWebhookTrigger").summary("Delete a trigger")),
        )
}

/// A rule over events.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "WebhookTrigger")]
struct View {
    id: String,
    display_name: String,
    enabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    connection_id: Option<String>,
    rule: Map<String, Json>,
    /// Why it did nothing with an event that it was about, the last time.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<String>,
    revision: i64,
    created_at: String,
    updated_at: String,
}

impl From<Trigger> for View {
    fn from(it: Trigger) -> Self {
        Self {
            id: it.id,
            display_name: it.display_name,
            enabled: it.enabled,
            connection_id: it.connection,
            rule: it.rule,
            last_error: it.last_error,
            revision: it.revision,
            created_at: rfc3339(it.created_ms),
            updated_at: rfc3339(it.updated_ms),
        }
    }
}

fn found(trigger: Trigger) -> Found<View> {
    let revision = trigger.revision;
    Answer::at(&View::from(trigger), revision)
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "NewWebhookTrigger")]
struct Wanted {
    #[schemars(length(min = 1, max = 120))]
    display_name: String,
    /// [default: true]
    #[serde(default)]
    enabled: Option<bool>,
    /// Only events of this connection [default: of all].
    #[serde(default)]
    connection_id: Option<String>,
    /// `eventTypes` (`family.event.*` is of every action); `filter`, of `all`, `any`, `not`, `eq`,
    /// `in`, `contains`, `startsWith`, `endsWith`, `exists` over dotted paths; `action`, of type
    /// `deliver` with `endpointId` and `template`, or `connectionError` with `reason`.
    rule: Map<String, Json>,
}

impl Wanted {
    fn read(&self) -> TriggerWanted<'_> {
        TriggerWanted {
            display_name: &self.display_name,
            enabled: self.enabled.unwrap_or(true),
            connection: self.connection_id.as_deref(),
            rule: &self.rule,
        }
    }
}

async fn list(
    State(control): State<Control>,
    reader: Reader,
    InQuery(paging): InQuery<Paging>,
) -> Result<Found<List<View>>, Problem> {
    let mut transaction = control.store.begin(Access::Read).await.map_err(DomainError::from)?;
    let page = trigger::list(&mut *transaction, reader.organisation(), &paging.page()?).await?;
    Ok(Answer::of(&List::of(page, View::from)))
}

async fn create(
    State(control): State<Control>,
    writer: Writer,
    key: IdempotencyKey,
    body: Body<Wanted>,
) -> Result<Created<View>, Problem> {
    let (act, organisation) = (writer.act(&control), writer.organisation());
    let request = key.of(&act, organisation, &body.bytes);
    let vault = &control.vault;
    let answer = change!(control.store, |transaction| {
        if let Some(prior) = request.prior(transaction, vault).await? {
            return Ok(prior);
        }
        let new = (organisation, body.value.read());
        let made = trigger::create(transaction, &act, new).await?;
        request.answer(transaction, vault, &View::from(made)).await
    });
    Ok(Answer::again(answer.map_err(|e: DomainError| e)?))
}

async fn find(
    State(control): State<Control>,
    reader: Reader,
    InPath(which): InPath<WhichTrigger>,
) -> Result<Found<View>, Problem> {
    let mut transaction = control.store.begin(Access::Read).await.map_err(DomainError::from)?;
    let about = (reader.organisation(), which.trigger_id.as_str());
    Ok(found(trigger::find(&mut *transaction, about).await?))
}

async fn put(
    State(control): State<Control>,
    writer: Writer,
    IfMatch(if_revision): IfMatch,
    InPath(which): InPath<WhichTrigger>,
    body: Body<Wanted>,
) -> Result<Found<View>, Problem> {
    let act = writer.act(&control);
    let about = (writer.organisation(), which.trigger_id.as_str());
    let changed: Result<Trigger, DomainError> = change!(control.store, |transaction| {
        let wanted = (body.value.read(), if_revision);
        trigger::change(transaction, &act, about, wanted).await
    });
    Ok(found(changed?))
}

async fn delete(
    State(control): State<Control>,
    writer: Writer,
    IfMatch(if_revision): IfMatch,
    InPath(which): InPath<WhichTrigger>,
) -> Result<NoContent, Problem> {
    let act = writer.act(&control);
    let about = (writer.organisation(), which.trigger_id.as_str());
    let deleted: Result<(), DomainError> = change!(control.store, |transaction| {
        trigger::delete(transaction, &act, about, if_revision).await
    });
    deleted?;
    Ok(NoContent)
}
