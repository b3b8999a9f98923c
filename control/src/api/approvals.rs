//! `/v1/approvals`: requests that wait for a decision, and the decisions.

use aide::axum::ApiRouter;
use aide::axum::routing::{get_with, post_with};
use axum::extract::State;
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::answer::{Answer, Found, List};
use super::body::Body;
use super::caller::{Approver, Caller, Reader};
use super::parameters::{InPath, InQuery, Paging};
use super::problem::Problem;
use crate::change;
use crate::clock::rfc3339;
use crate::domain::approval::{self, Approval, Decision, Filter, State as Stands, Verdict};
use crate::domain::{DomainError, Issue};
use crate::service::Control;
use crate::store::Access;

pub(super) fn routes() -> ApiRouter<Control> {
    const ALL: &str = "/v1/approvals";
    ApiRouter::new()
        .api_route(
            ALL,
            get_with(list, |o| o.id("listApprovals").summary("List held requests, oldest first")),
        )
        .api_route(
            &format!("{ALL}/decisions"),
            post_with(decide_all, |o| {
                o.id("decideApprovals").summary("Decide about many, all or none")
            }),
        )
        .api_route(
            &format!("{ALL}/{{approvalId}}"),
            get_with(find, |o| o.id("getApproval").summary("Look at a held request")),
        )
        .api_route(
            &format!("{ALL}/{{approvalId}}/decision"),
            post_with(decide, |o| o.id("decideApproval").summary("Decide about a held request")),
        )
}

/// A request that was held.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Approval")]
pub(super) struct View {
    id: String,
    profile_id: String,
    sandbox_id: String,
    /// The route that holds it.
    route: String,
    method: String,
    /// With its query.
    url: String,
    state: Stands,
    asked_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    decided_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decided_by: Option<String>,
    /// When it no longer stands as it does.
    expires_at: String,
}

impl From<Approval> for View {
    fn from(it: Approval) -> Self {
        Self {
            id: it.id,
            profile_id: it.profile,
            sandbox_id: it.sandbox,
            route: it.route,
            method: it.method,
            url: it.url,
            state: it.state,
            asked_at: rfc3339(it.asked_ms),
            decided_at: it.decided_ms.map(rfc3339),
            decided_by: it.decided_by,
            expires_at: rfc3339(it.expires_ms),
        }
    }
}

/// Which held requests.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Wanted {
    /// Only those that stand so.
    state: Option<Stands>,
    /// How many at most [default: 50].
    #[schemars(range(min = 1, max = 200))]
    limit: Option<i64>,
    /// `nextCursor` of the piece before.
    #[schemars(length(max = 400))]
    cursor: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Which {
    approval_id: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Choice {
    Approve,
    Deny,
}

/// A decision; a yes is for one request unless it says for how long.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Decision")]
struct Decided {
    decision: Choice,
    /// Only with `approve`.
    #[serde(default)]
    #[schemars(range(min = 1, max = 604_800))]
    for_seconds: Option<i64>,
}

/// A decision about one of many.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "DecisionAbout")]
struct DecidedAbout {
    approval_id: String,
    decision: Choice,
    /// Only with `approve`.
    #[serde(default)]
    #[schemars(range(min = 1, max = 604_800))]
    for_seconds: Option<i64>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Decisions")]
struct Many {
    #[schemars(length(min = 1, max = 100))]
    decisions: Vec<DecidedAbout>,
}

pub(super) fn verdict(
    choice: Choice,
    seconds: Option<i64>,
    field: &str,
) -> Result<Verdict, Problem> {
    match (choice, seconds) {
        (Choice::Approve, None) => Ok(Verdict::Once),
        (Choice::Approve, Some(seconds)) => Ok(Verdict::For(seconds)),
        (Choice::Deny, None) => Ok(Verdict::Deny),
        (Choice::Deny, Some(_)) => {
            let message = "a denial is for no time";
            let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", message);
            Err(problem.issue(Issue::new("INVALID_SECONDS", field, message)))
        }
    }
}

async fn list(
    State(control): State<Control>,
    reader: Reader,
    InQuery(wanted): InQuery<Wanted>,
) -> Result<Found<List<View>>, Problem> {
    let Wanted { state, limit, cursor } = wanted;
    let page = Paging { limit, cursor }.page()?;
    let mut transaction = control.store.begin(Access::Read).await.map_err(DomainError::from)?;
    let now_ms = control.clock.now_ms();
    let filter = Filter { organisation: reader.organisation(), state, now_ms };
    let page = approval::list(&mut *transaction, filter, &page).await?;
    Ok(Answer::of(&List::of(page, View::from)))
}

async fn find(
    State(control): State<Control>,
    reader: Reader,
    InPath(which): InPath<Which>,
) -> Result<Found<View>, Problem> {
    let mut transaction = control.store.begin(Access::Read).await.map_err(DomainError::from)?;
    let (of, now_ms) =
        ((reader.organisation(), which.approval_id.as_str()), control.clock.now_ms());
    let found = approval::find(&mut *transaction, of, now_ms).await?;
    Ok(Answer::of(&View::from(found)))
}

async fn decide(
    State(control): State<Control>,
    approver: Approver,
    InPath(which): InPath<Which>,
    body: Body<Decided>,
) -> Result<Found<View>, Problem> {
    let (act, organisation) = (approver.act(&control), approver.organisation());
    let verdict = verdict(body.value.decision, body.value.for_seconds, "forSeconds")?;
    let decision = Decision { id: which.approval_id, verdict };
    let decided: Result<Approval, DomainError> = change!(control.store, |transaction| {
        approval::decide(transaction, &act, organisation, &decision).await
    });
    Ok(Answer::of(&View::from(decided?)))
}

/// What was decided.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "DecidedApprovals")]
struct AllDecided {
    items: Vec<View>,
}

async fn decide_all(
    State(control): State<Control>,
    approver: Approver,
    body: Body<Many>,
) -> Result<Found<AllDecided>, Problem> {
    let (act, organisation) = (approver.act(&control), approver.organisation());
    let read = |(at, it): (usize, DecidedAbout)| {
        let verdict = verdict(it.decision, it.for_seconds, &format!("decisions[{at}].forSeconds"))?;
        Ok(Decision { id: it.approval_id, verdict })
    };
    let decisions = body.value.decisions.into_iter().enumerate().map(read);
    let decisions = decisions.collect::<Result<Vec<_>, Problem>>()?;
    let decided: Result<Vec<Approval>, DomainError> = change!(control.store, |transaction| {
        approval::decide_all(transaction, &act, organisation, &decisions).await
    });
    Ok(Answer::of(&AllDecided { items: decided?.into_iter().map(View::from).collect() }))
}
