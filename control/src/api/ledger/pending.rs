//! What waits, as tasks of ClawLedger.

use aide::axum::ApiRouter;
use aide::axum::routing::get_with;
use axum::extract::State;
use axum::middleware;
use schemars::JsonSchema;
use serde::Serialize;

use super::super::answer::{Answer, Found, List};
use super::super::parameters::{InQuery, Paging};
use super::super::problem::Problem;
use super::ROOT;
use super::caller::FromLedger;
use super::deprecated;
use crate::clock::rfc3339;
use crate::domain::approval::{self, Approval, Filter, Ledger, State as Stands};
use crate::domain::{DomainError, Page, PageOf};
use crate::service::Control;
use crate::store::Access;

/// Paths that are kept for callers of before.
const OLD: [(&str, &str); 2] = [
    ("/api/v1/approvals/clawledger/pending", "listLedgerTasksOld"),
    ("/api/v1/approvals/jhf-spindle/pending", "listSpindleTasksOld"),
];

pub(super) fn routes() -> ApiRouter<Control> {
    const SUMMARY: &str = "List what waits for a decision, oldest first";
    let now = ApiRouter::new()
        .api_route(
            &format!("{ROOT}/pending"),
            get_with(pending, |o| o.id("listLedgerTasks").summary(SUMMARY)),
        )
        .api_route(
            "/api/approvals/jhf-spindle/pending",
            get_with(pending, |o| o.id("listSpindleTasks").summary(SUMMARY)),
        );
    let old = OLD.into_iter().fold(ApiRouter::new(), |router, (path, id)| {
        router.api_route(
            path,
            get_with(pending, move |mut o| {
                o.inner_mut().deprecated = true;
                o.id(id).summary(SUMMARY)
            }),
        )
    });
    now.merge(old.layer(middleware::from_fn(deprecated::mark)))
}

/// A request that waits.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "LedgerTask")]
pub(super) struct TaskView {
    /// The organisation.
    project_id: String,
    /// The id of the approval.
    task_key: String,
    sandbox_id: String,
    profile_id: String,
    /// The route that holds it.
    route: String,
    method: String,
    /// With its query.
    url: String,
    asked_at: String,
    /// When it no longer waits, which is no denial.
    expires_at: String,
    /// Where the decision goes.
    decision_path: String,
}

impl From<Approval> for TaskView {
    fn from(it: Approval) -> Self {
        Self {
            decision_path: format!("{ROOT}/{}/{}/decision", it.organisation, it.id),
            project_id: it.organisation,
            task_key: it.id,
            sandbox_id: it.sandbox,
            profile_id: it.profile,
            route: it.route,
            method: it.method,
            url: it.url,
            asked_at: rfc3339(it.asked_ms),
            expires_at: rfc3339(it.expires_ms),
        }
    }
}

/// What waits for a decision in an organisation.
pub(super) async fn waiting(
    control: &Control,
    ledger: &Ledger,
    page: &Page,
) -> Result<PageOf<Approval>, DomainError> {
    let mut transaction = control.store.begin(Access::Read).await?;
    let filter = Filter {
        organisation: &ledger.organisation,
        state: Some(Stands::Pending),
        now_ms: control.clock.now_ms(),
    };
    approval::list(&mut *transaction, filter, page).await
}

async fn pending(
    State(control): State<Control>,
    from: FromLedger,
    InQuery(paging): InQuery<Paging>,
) -> Result<Found<List<TaskView>>, Problem> {
    let page = waiting(&control, from.one()?, &paging.page()?).await?;
    Ok(Answer::of(&List::of(page, TaskView::from)))
}
