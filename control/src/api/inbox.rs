//! `/v1/sandboxes/{sandboxId}/events`: what triggers delivered to a sandbox. It asks itself, with its own
//! token, and says what it has.

use std::time::Duration;

use aide::axum::ApiRouter;
use aide::axum::routing::{get_with, post_with};
use axum::extract::State;
use axum::response::NoContent;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use tokio::time::Instant;

use super::answer::{Answer, Found};
use super::body::Body;
use super::bootstrap::AsSandbox;
use super::parameters::{InPath, InQuery};
use super::problem::Problem;
use crate::domain::DomainError;
use crate::domain::sandbox::Sandbox;
use crate::service::Control;
use crate::store::Access;
use crate::webhook::inbox::{self, Waiting};

const LIMIT_MAX: i64 = 100;
const LIMIT_DEFAULT: i64 = 50;
const WAIT_SECONDS_MAX: u64 = 25;
const IDS_MAX: usize = 100;

pub(super) fn routes() -> ApiRouter<Control> {
    const EVENTS: &str = "/v1/sandboxes/{sandboxId}/events";
    ApiRouter::new()
        .api_route(
            EVENTS,
            get_with(list, |o| {
                o.id("listSandboxEvents").summary("What waits for a sandbox, oldest first")
            }),
        )
        .api_route(
            &format!("{EVENTS}/acknowledge"),
            post_with(acknowledge, |o| {
                o.id("acknowledgeSandboxEvents").summary("Say what the sandbox has")
            }),
        )
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Which {
    sandbox_id: String,
}

/// How much, and how long to wait for it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "SandboxEventsQuery")]
struct Asked {
    /// How many at most [default: 50].
    #[schemars(range(min = 1, max = 100))]
    limit: Option<i64>,
    /// Seconds to wait for something where nothing is there [default: 0].
    #[schemars(range(min = 0, max = 25))]
    wait: Option<u64>,
}

/// What waits for a sandbox.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "SandboxEvents")]
struct View {
    /// Handed out again until they are acknowledged.
    items: Vec<Item>,
}

/// Something that a trigger delivered to the sandbox.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "SandboxEvent")]
struct Item {
    /// The same each time that it is handed out.
    id: String,
    /// What the trigger's template says, or `type`, `timestamp` and `data` of the event.
    event: Json,
}

impl From<Waiting> for Item {
    fn from(it: Waiting) -> Self {
        Self { id: it.id, event: it.body }
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "AcknowledgeSandboxEvents")]
struct Acknowledged {
    #[schemars(length(max = 100))]
    ids: Vec<String>,
}

/// A sandbox asks for itself.
fn own(asker: AsSandbox, which: &Which) -> Result<Sandbox, Problem> {
    let sandbox = asker.into_sandbox();
    if sandbox.id == which.sandbox_id {
        return Ok(sandbox);
    }
    Err(DomainError::not_found("sandbox").into())
}

async fn list(
    State(control): State<Control>,
    asker: AsSandbox,
    InPath(which): InPath<Which>,
    InQuery(asked): InQuery<Asked>,
) -> Result<Found<View>, Problem> {
    let sandbox = own(asker, &which)?;
    let (most, wait) = (asked.limit.unwrap_or(LIMIT_DEFAULT), asked.wait.unwrap_or(0));
    if !(1..=LIMIT_MAX).contains(&most) || wait > WAIT_SECONDS_MAX {
        let detail =
            format!("`limit` is within 1 and {LIMIT_MAX}, `wait` at most {WAIT_SECONDS_MAX}");
        return Err(Problem::bad_request(detail));
    }
    let end = Instant::now() + Duration::from_secs(wait);
    loop {
        let mut reading = control.store.begin(Access::Read).await.map_err(DomainError::from)?;
        let found = inbox::waiting(&mut *reading, (&control.vault, &sandbox), most).await?;
        drop(reading);
        if !found.is_empty() || Instant::now() >= end {
            let items = found.into_iter().map(Item::from).collect();
            return Ok(Answer::of(&View { items }));
        }
        let more = control.webhooks.something_for_sandboxes();
        // Whoever waited long enough is told that there is nothing.
        let _ = tokio::time::timeout_at(end, more).await;
    }
}

async fn acknowledge(
    State(control): State<Control>,
    asker: AsSandbox,
    InPath(which): InPath<Which>,
    body: Body<Acknowledged>,
) -> Result<NoContent, Problem> {
    let sandbox = own(asker, &which)?;
    let ids = body.value.ids;
    if ids.len() > IDS_MAX {
        return Err(Problem::bad_request(format!("`ids` has at most {IDS_MAX} items")));
    }
    let mut transaction = control.store.begin(Access::Locking).await.map_err(DomainError::from)?;
    inbox::acknowledge(&mut *transaction, &sandbox, &ids).await?;
    transaction.commit().await.map_err(DomainError::from)?;
    Ok(NoContent)
}
