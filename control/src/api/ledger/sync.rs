//! Both sides made alike after one of them was away: decisions go one way, states the other. What
//! cannot be taken keeps nothing else from it.

use aide::axum::ApiRouter;
use aide::axum::routing::post_with;
use axum::extract::State;
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::answer::{Answer, Found};
use super::super::approvals::verdict;
use super::super::body::Body;
use super::super::parameters::Paging;
use super::super::problem::Problem;
use super::caller::FromLedger;
use super::pending::{TaskView, waiting};
use super::{DecidedAbout, ROOT};
use crate::change;
use crate::domain::approval::{self, Decision, Ledger, State as Stands, Taken, take};
use crate::domain::{DomainError, Fault};
use crate::service::Control;
use crate::store::Transaction;

/// Decisions, and approvals that are asked about.
const TOGETHER_MAX: usize = 100;

pub(super) fn routes() -> ApiRouter<Control> {
    ApiRouter::new().api_route(
        &format!("{ROOT}/sync"),
        post_with(sync, |o| o.id("syncLedger").summary("Make both sides alike")),
    )
}

/// What one side knows.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "LedgerSync")]
struct Known {
    /// What was decided there.
    #[serde(default)]
    #[schemars(length(max = 100))]
    decisions: Vec<DecidedAbout>,
    /// Approvals whose state is asked for.
    #[serde(default)]
    #[schemars(length(max = 100))]
    approval_ids: Vec<String>,
}

/// What became of one of the decisions.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "LedgerSyncResult")]
struct OutcomeView {
    approval_id: String,
    /// `decided`, `duplicate`, or the code of the refusal.
    outcome: String,
    /// Absent: there is no such approval.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<Stands>,
}

/// How an approval stands.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "LedgerState")]
struct StateView {
    approval_id: String,
    /// Absent: there is no such approval.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<Stands>,
}

/// What the other side needs to know.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "LedgerSynced")]
struct Synced {
    results: Vec<OutcomeView>,
    states: Vec<StateView>,
    /// What waits, the first piece of it.
    pending: Vec<TaskView>,
}

async fn sync(
    State(control): State<Control>,
    from: FromLedger,
    body: Body<Known>,
) -> Result<Found<Synced>, Problem> {
    let ledger = from.one()?;
    let Known { decisions, approval_ids } = &body.value;
    if decisions.len() > TOGETHER_MAX || approval_ids.len() > TOGETHER_MAX {
        let message = format!("at most {TOGETHER_MAX} at once");
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "limit_exceeded", message));
    }
    let now_ms = control.clock.now_ms();
    let both: Result<_, DomainError> = change!(control.store, |transaction| {
        let mut results = Vec::new();
        for about in decisions {
            results.push(take_one(transaction, ledger, about, now_ms).await?);
        }
        let mut states = Vec::new();
        for id in approval_ids {
            let state = state(transaction, ledger, id, now_ms).await?;
            states.push(StateView { approval_id: id.clone(), state });
        }
        Ok((results, states))
    });
    let (results, states) = both?;
    let page = Paging { limit: None, cursor: None }.page()?;
    let pending = waiting(&control, ledger, &page).await?;
    let pending = pending.items.into_iter().map(TaskView::from).collect();
    Ok(Answer::of(&Synced { results, states, pending }))
}

async fn take_one(
    transaction: &mut dyn Transaction,
    ledger: &Ledger,
    about: &DecidedAbout,
    now_ms: i64,
) -> Result<OutcomeView, DomainError> {
    let outcome = match wanted(ledger, about, now_ms) {
        Ok((act, decision)) => take(transaction, &act, ledger, &decision).await,
        Err(error) => Err(error),
    };
    let outcome = match outcome {
        Ok(Taken::Now(_)) => "decided",
        Ok(Taken::Before(_)) => "duplicate",
        Err(error) => match error.fault {
            Fault::Unavailable | Fault::Internal => return Err(error),
            Fault::NotFound
            | Fault::Conflict
            | Fault::Stale
            | Fault::Invalid
            | Fault::Forbidden => error.code,
        },
    };
    let state = state(transaction, ledger, &about.approval_id, now_ms).await?;
    let (approval_id, outcome) = (about.approval_id.clone(), outcome.to_owned());
    Ok(OutcomeView { approval_id, outcome, state })
}

fn wanted(
    ledger: &Ledger,
    about: &DecidedAbout,
    now_ms: i64,
) -> Result<(crate::domain::Act, Decision), DomainError> {
    let invalid = |_| DomainError::new(Fault::Invalid, "invalid", "a denial is for no time");
    let verdict = verdict(about.decision, about.for_seconds, "forSeconds").map_err(invalid)?;
    let act = ledger.act(about.decided_by.as_deref(), now_ms)?;
    Ok((act, Decision { id: about.approval_id.clone(), verdict }))
}

async fn state(
    transaction: &mut dyn Transaction,
    ledger: &Ledger,
    id: &str,
    now_ms: i64,
) -> Result<Option<Stands>, DomainError> {
    match approval::find(transaction, (&ledger.organisation, id), now_ms).await {
        Ok(found) => Ok(Some(found.state)),
        Err(error) if error.fault == Fault::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
