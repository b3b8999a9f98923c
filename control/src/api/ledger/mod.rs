//! `/api/approvals`: what ClawLedger calls. It learns what waits, and says what was decided there.
//! Whoever has not the secret of a connection learns nothing, not even whether there is one.

mod caller;
mod deprecated;
mod pending;
mod sync;

use aide::axum::ApiRouter;
use aide::axum::routing::post_with;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::caller::FromLedger;
use super::answer::{Answer, Found};
use super::approvals::{Choice, View, verdict};
use super::body::Body;
use super::parameters::InPath;
use super::problem::Problem;
use super::tokens::time;
use crate::change;
use crate::domain::DomainError;
use crate::domain::approval::{Decision, Ledger, Taken, take};
use crate::service::Control;

const ROOT: &str = "/api/approvals/clawledger";

pub(super) fn routes() -> ApiRouter<Control> {
    ApiRouter::new()
        .api_route(
            ROOT,
            post_with(called, |o| o.id("ledgerEvent").summary("What was decided, as an event")),
        )
        .api_route(
            &format!("{ROOT}/decision"),
            post_with(decided, |o| o.id("ledgerDecision").summary("What was decided")),
        )
        .api_route(
            &format!("{ROOT}/{{projectId}}/{{taskKey}}/decision"),
            post_with(decided_about, |o| {
                o.id("ledgerTaskDecision").summary("What was decided about a task")
            }),
        )
        .merge(pending::routes())
        .merge(sync::routes())
}

/// What happened.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[schemars(rename = "LedgerEventType")]
enum EventType {
    #[serde(rename = "approval.decided")]
    Decided,
}

/// A decision, as an event.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "LedgerEvent")]
struct Event {
    #[expect(dead_code, reason = "that it is read is all that matters")]
    event: EventType,
    /// The same for the same event, however often it comes.
    #[expect(dead_code, reason = "what was decided so is known by its approval")]
    #[schemars(length(min = 1, max = 200))]
    id: String,
    approval_id: String,
    decision: Choice,
    /// Only with `approve` [default: for one request].
    #[serde(default)]
    #[schemars(range(min = 1, max = 604_800))]
    for_seconds: Option<i64>,
    /// Who decided there.
    #[serde(default)]
    #[schemars(length(min = 1, max = 120))]
    decided_by: Option<String>,
    /// RFC 3339
    #[serde(default)]
    decided_at: Option<String>,
}

/// A decision about an approval.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "LedgerDecision")]
struct DecidedAbout {
    approval_id: String,
    decision: Choice,
    /// Only with `approve` [default: for one request].
    #[serde(default)]
    #[schemars(range(min = 1, max = 604_800))]
    for_seconds: Option<i64>,
    /// Who decided there.
    #[serde(default)]
    #[schemars(length(min = 1, max = 120))]
    decided_by: Option<String>,
}

/// A decision about the task in the path.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "LedgerTaskDecision")]
struct Decided {
    decision: Choice,
    /// Only with `approve` [default: for one request].
    #[serde(default)]
    #[schemars(range(min = 1, max = 604_800))]
    for_seconds: Option<i64>,
    /// Who decided there.
    #[serde(default)]
    #[schemars(length(min = 1, max = 120))]
    decided_by: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Task {
    /// An organisation.
    project_id: String,
    /// The id of an approval.
    task_key: String,
}

/// Whether it was decided now.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "LedgerOutcome")]
enum Status {
    Decided,
    /// It was decided so before.
    Duplicate,
}

/// What became of a decision.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "LedgerDecided")]
struct Outcome {
    status: Status,
    approval: View,
}

impl From<Taken> for Outcome {
    fn from(taken: Taken) -> Self {
        match taken {
            Taken::Now(approval) => Self { status: Status::Decided, approval: approval.into() },
            Taken::Before(approval) => {
                Self { status: Status::Duplicate, approval: approval.into() }
            }
        }
    }
}

async fn called(
    State(control): State<Control>,
    from: FromLedger,
    body: Body<Event>,
) -> Result<Found<Outcome>, Problem> {
    let Event { approval_id, decision, for_seconds, decided_by, decided_at, .. } = body.value;
    decided_at.as_deref().map(|text| time("decidedAt", text)).transpose()?;
    let about = DecidedAbout { approval_id, decision, for_seconds, decided_by };
    write(&control, from.one()?, about).await
}

async fn decided(
    State(control): State<Control>,
    from: FromLedger,
    body: Body<DecidedAbout>,
) -> Result<Found<Outcome>, Problem> {
    write(&control, from.one()?, body.value).await
}

async fn decided_about(
    State(control): State<Control>,
    from: FromLedger,
    InPath(task): InPath<Task>,
    body: Body<Decided>,
) -> Result<Found<Outcome>, Problem> {
    let ledger = from.of(&task.project_id)?;
    let Decided { decision, for_seconds, decided_by } = body.value;
    let approval_id = task.task_key;
    write(&control, ledger, DecidedAbout { approval_id, decision, for_seconds, decided_by }).await
}

async fn write(
    control: &Control,
    ledger: &Ledger,
    about: DecidedAbout,
) -> Result<Found<Outcome>, Problem> {
    let verdict = verdict(about.decision, about.for_seconds, "forSeconds")?;
    let act = ledger.act(about.decided_by.as_deref(), control.clock.now_ms())?;
    let decision = Decision { id: about.approval_id, verdict };
    let taken: Result<Taken, DomainError> =
        change!(control.store, |transaction| { take(transaction, &act, ledger, &decision).await });
    Ok(Answer::of(&Outcome::from(taken?)))
}
