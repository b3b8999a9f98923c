//! `/v1/organisations`: an operator's.

use aide::axum::ApiRouter;
use aide::axum::routing::get_with;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::answer::{Answer, Created, Found, List};
use super::body::Body;
use super::caller::{Caller, Operator};
use super::idempotency::IdempotencyKey;
use super::parameters::{InPath, InQuery, Paging};
use super::problem::Problem;
use crate::change;
use crate::clock::rfc3339;
use crate::domain::DomainError;
use crate::domain::organisation::{self, Organisation};
use crate::service::Control;
use crate::store::Access;

pub(super) fn routes() -> ApiRouter<Control> {
    ApiRouter::new()
        .api_route(
            "/v1/organisations",
            get_with(list, |o| o.id("listOrganisations").summary("List organisations"))
                .post_with(create, |o| o.id("createOrganisation").summary("Make an organisation")),
        )
        .api_route(
            "/v1/organisations/{organisationId}",
            get_with(find, |o| o.id("getOrganisation").summary("Look at an organisation")),
        )
}

/// A tenant.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Organisation")]
struct View {
    id: String,
    name: String,
    created_at: String,
}

impl From<Organisation> for View {
    fn from(it: Organisation) -> Self {
        Self { id: it.id, name: it.name, created_at: rfc3339(it.created_ms) }
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "NewOrganisation")]
struct New {
    #[schemars(length(min = 1, max = 120))]
    name: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Which {
    organisation_id: String,
}

async fn list(
    State(control): State<Control>,
    _: Operator,
    InQuery(paging): InQuery<Paging>,
) -> Result<Found<List<View>>, Problem> {
    let mut transaction = control.store.begin(Access::Read).await.map_err(DomainError::from)?;
    let page = organisation::list(&mut *transaction, &paging.page()?).await?;
    Ok(Answer::of(&List::of(page, View::from)))
}

async fn create(
    State(control): State<Control>,
    operator: Operator,
    key: IdempotencyKey,
    body: Body<New>,
) -> Result<Created<View>, Problem> {
    let act = operator.act(&control);
    let request = key.of(&act, "", &body.bytes);
    let answer = change!(control.store, |transaction| {
        if let Some(prior) = request.prior(transaction, &control.vault).await? {
            return Ok(prior);
        }
        let made = organisation::create(transaction, &act, &body.value.name).await?;
        request.answer(transaction, &control.vault, &View::from(made)).await
    });
    Ok(Answer::again(answer.map_err(|e: DomainError| e)?))
}

async fn find(
    State(control): State<Control>,
    _: Operator,
    InPath(which): InPath<Which>,
) -> Result<Found<View>, Problem> {
    let mut transaction = control.store.begin(Access::Read).await.map_err(DomainError::from)?;
    let found = organisation::find(&mut *transaction, &which.organisation_id).await?;
    Ok(Answer::of(&View::from(found)))
}
