//! `/v1/audit`: who changed what.

use aide::axum::ApiRouter;
use aide::axum::routing::get_with;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value as Json;

use super::answer::{Answer, Found, List};
use super::caller::{Caller, Reader};
use super::parameters::{InQuery, Paging};
use super::problem::Problem;
use crate::clock::rfc3339;
use crate::domain::DomainError;
use crate::domain::audit::{self, Entry};
use crate::domain::token::Role;
use crate::service::Control;
use crate::store::Access;

pub(super) fn routes() -> ApiRouter<Control> {
    let list = get_with(list, |o| o.id("listAudit").summary("Who changed what, oldest first"));
    ApiRouter::new().api_route("/v1/audit", list)
}

/// A change.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "AuditEntry")]
struct View {
    sequence: i64,
    at: String,
    actor: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    organisation_id: Option<String>,
    action: String,
    subject: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<Json>,
    /// Over this entry and the hash of the one before.
    hash: String,
}

impl From<Entry> for View {
    fn from(it: Entry) -> Self {
        Self {
            sequence: it.sequence,
            at: rfc3339(it.at_ms),
            actor: it.actor,
            organisation_id: it.organisation,
            action: it.action,
            subject: it.subject,
            before: it.before,
            after: it.after,
            hash: it.hash,
        }
    }
}

async fn list(
    State(control): State<Control>,
    reader: Reader,
    InQuery(paging): InQuery<Paging>,
) -> Result<Found<List<View>>, Problem> {
    // An operator sees everything, also what belongs to no organisation.
    let all = reader.token().role == Role::Operator;
    let of = Some(reader.organisation()).filter(|_| !all);
    let mut transaction = control.store.begin(Access::Read).await.map_err(DomainError::from)?;
    let page = audit::list(&mut *transaction, of, &paging.page()?).await?;
    Ok(Answer::of(&List::of(page, View::from)))
}
