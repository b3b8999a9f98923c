//! `/v1/sandbox/profiles`: what sandboxes may do. What is written compiles, and is never changed;
//! what is published is in force.

mod publish;
mod version;

use aide::axum::ApiRouter;
use aide::axum::routing::get_with;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::answer::{Answer, Created, Found, List};
use super::body::Body;
use super::caller::{Caller, Reader, Writer};
use super::idempotency::IdempotencyKey;
use super::parameters::{InPath, InQuery, Paging};
use super::problem::Problem;
use crate::change;
use crate::clock::rfc3339;
use crate::domain::DomainError;
use crate::domain::profile::{self, Canary, Profile};
use crate::service::Control;
use crate::store::Access;

pub(super) fn routes() -> ApiRouter<Control> {
    ApiRouter::new()
        .api_route(
            "/v1/sandbox/profiles",
            get_with(list, |o| o.id("listProfiles").summary("List profiles"))
                .post_with(create, |o| o.id("createProfile").summary("Make a profile")),
        )
        .api_route(
            "/v1/sandbox/profiles/{profileId}",
            get_with(find, |o| o.id("getProfile").summary("Look at a profile")),
        )
        .merge(version::routes())
        .merge(publish::routes())
}

/// A named set of bindings and policy.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Profile")]
struct View {
    id: String,
    name: String,
    /// 0: there is none yet.
    latest_version: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    published_version: Option<i64>,
    /// The digest of the plan that is in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    published_digest: Option<String>,
    /// What some of the sandboxes run ahead of the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    canary: Option<CanaryView>,
    revision: i64,
    created_at: String,
    updated_at: String,
}

impl From<Profile> for View {
    fn from(it: Profile) -> Self {
        Self {
            id: it.id,
            name: it.name,
            latest_version: it.latest_version,
            published_version: it.published_version,
            published_digest: it.published_digest,
            canary: it.canary.map(CanaryView::from),
            revision: it.revision,
            created_at: rfc3339(it.created_ms),
            updated_at: rfc3339(it.updated_ms),
        }
    }
}

/// A version that some of the sandboxes run.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Canary")]
struct CanaryView {
    version: i64,
    plan_digest: String,
    /// Of a hundred sandboxes.
    percent: u8,
}

impl From<Canary> for CanaryView {
    fn from(it: Canary) -> Self {
        Self { version: it.version, plan_digest: it.digest, percent: it.percent }
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "NewProfile")]
struct NewProfile {
    #[schemars(length(min = 1, max = 120))]
    name: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Which {
    profile_id: String,
}

async fn list(
    State(control): State<Control>,
    reader: Reader,
    InQuery(paging): InQuery<Paging>,
) -> Result<Found<List<View>>, Problem> {
    let mut transaction = control.store.begin(Access::Read).await.map_err(DomainError::from)?;
    let page = profile::list(&mut *transaction, reader.organisation(), &paging.page()?).await?;
    Ok(Answer::of(&List::of(page, View::from)))
}

async fn create(
    State(control): State<Control>,
    writer: Writer,
    key: IdempotencyKey,
    body: Body<NewProfile>,
) -> Result<Created<View>, Problem> {
    let (act, organisation) = (writer.act(&control), writer.organisation());
    let request = key.of(&act, organisation, &body.bytes);
    let answer = change!(control.store, |transaction| {
        if let Some(prior) = request.prior(transaction, &control.vault).await? {
            return Ok(prior);
        }
        let wanted = (organisation, body.value.name.as_str());
        let made = profile::create(transaction, &act, wanted).await?;
        request.answer(transaction, &control.vault, &View::from(made)).await
    });
    Ok(Answer::again(answer.map_err(|e: DomainError| e)?))
}

async fn find(
    State(control): State<Control>,
    reader: Reader,
    InPath(which): InPath<Which>,
) -> Result<Found<View>, Problem> {
    let mut transaction = control.store.begin(Access::Read).await.map_err(DomainError::from)?;
    let of = (reader.organisation(), which.profile_id.as_str());
    let found = profile::find(&mut *transaction, of).await?;
    let revision = found.revision;
    Ok(Answer::at(&View::from(found), revision))
}
