//! Versions of profiles: what is written compiles, and is never changed.

use aide::axum::ApiRouter;
use aide::axum::routing::{get_with, post_with};
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::super::answer::{Answer, Created, Found, List};
use super::super::body::Body;
use super::super::caller::{Caller, Reader, Writer};
use super::super::idempotency::IdempotencyKey;
use super::super::parameters::{IfMatch, InPath, InQuery, Paging};
use super::super::problem::Problem;
use super::Which;
use crate::change;
use crate::clock::rfc3339;
use crate::domain::profile::{self, Compiled, Draft, DraftBinding, Version, Whose};
use crate::domain::{DomainError, Issue};
use crate::service::Control;
use crate::store::Access;

pub(super) fn routes() -> ApiRouter<Control> {
    const VERSION: &str = "/v1/sandbox/profiles/{profileId}/versions/{version}";
    ApiRouter::new()
        .api_route(
            "/v1/sandbox/profiles/{profileId}/versions",
            get_with(versions, |o| o.id("listProfileVersions").summary("List versions"))
                .post_with(add, |o| o.id("addProfileVersion").summary("Write the next version")),
        )
        .api_route(
            VERSION,
            get_with(version, |o| o.id("getProfileVersion").summary("Look at a version")),
        )
        .api_route(
            &format!("{VERSION}/integration-bindings"),
            get_with(bindings, |o| o.id("listBindings").summary("The bindings of a version")),
        )
        .api_route(
            "/v1/sandbox/profiles/{profileId}/compile",
            post_with(compile, |o| o.id("compileProfile").summary("What a version would become")),
        )
}

/// A use of a connection.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Binding")]
struct Binding {
    /// Unique within the version [default: a new one].
    #[serde(default)]
    id: String,
    connection_id: String,
    /// Must be that of the definition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    /// As the definition's schema says.
    #[serde(default)]
    config: Map<String, Json>,
    /// Names of the definition's routes, or routes written out [default: all that it gives].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    routes: Option<Vec<Json>>,
}

/// A version before it is written.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "NewProfileVersion")]
struct New {
    /// `unmatched`, `routes`, `assertions`, `limits`, `image`.
    #[serde(default)]
    policy: Map<String, Json>,
    #[serde(default)]
    #[schemars(length(max = 200))]
    bindings: Vec<Binding>,
}

impl From<New> for Draft {
    fn from(it: New) -> Self {
        let binding = |it: Binding| DraftBinding {
            id: it.id,
            connection: it.connection_id,
            kind: it.kind,
            config: Json::Object(it.config),
            routes: it.routes.map(Json::Array),
        };
        Self { policy: it.policy, bindings: it.bindings.into_iter().map(binding).collect() }
    }
}

fn binding(it: DraftBinding) -> Binding {
    let config = it.config.as_object().cloned().unwrap_or_default();
    let routes = it.routes.as_ref().and_then(Json::as_array).cloned();
    Binding { id: it.id, connection_id: it.connection, kind: it.kind, config, routes }
}

/// A version: immutable.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ProfileVersion")]
struct VersionView {
    profile_id: String,
    version: i64,
    policy: Map<String, Json>,
    bindings: Vec<Binding>,
    /// The digest of the plan that it compiled to when it was written.
    plan_digest: String,
    created_by: String,
    created_at: String,
    /// What was advised when it was written.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    warnings: Vec<Issue>,
}

impl From<Version> for VersionView {
    fn from(it: Version) -> Self {
        Self {
            profile_id: it.profile,
            version: it.version,
            policy: it.draft.policy,
            bindings: it.draft.bindings.into_iter().map(binding).collect(),
            plan_digest: it.plan_digest,
            created_by: it.created_by,
            created_at: rfc3339(it.created_ms),
            warnings: it.warnings,
        }
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct WhichVersion {
    profile_id: String,
    version: i64,
}

async fn versions(
    State(control): State<Control>,
    reader: Reader,
    InPath(which): InPath<Which>,
    InQuery(paging): InQuery<Paging>,
) -> Result<Found<List<VersionView>>, Problem> {
    let mut transaction = control.store.begin(Access::Read).await.map_err(DomainError::from)?;
    let of = (reader.organisation(), which.profile_id.as_str());
    let found = profile::find(&mut *transaction, of).await?;
    let page = profile::list_versions(&mut *transaction, &found, &paging.page()?).await?;
    Ok(Answer::of(&List::of(page, VersionView::from)))
}

async fn add(
    State(control): State<Control>,
    writer: Writer,
    (IfMatch(if_revision), key): (IfMatch, IdempotencyKey),
    InPath(which): InPath<Which>,
    body: Body<New>,
) -> Result<Created<VersionView>, Problem> {
    let (act, organisation) = (writer.act(&control), writer.organisation());
    let request = key.of(&act, organisation, &body.bytes);
    let (draft, of) = (Draft::from(body.value), (organisation, which.profile_id.as_str()));
    let answer = change!(control.store, |transaction| {
        if let Some(prior) = request.prior(transaction, &control.vault).await? {
            return Ok(prior);
        }
        let (with, new) = ((&act, &*control.registry), (draft.clone(), if_revision));
        let written = profile::add_version(transaction, with, of, new).await?;
        request.answer(transaction, &control.vault, &VersionView::from(written)).await
    });
    Ok(Answer::again(answer.map_err(|e: DomainError| e)?))
}

async fn found_version(
    control: &Control,
    reader: &Reader,
    which: &WhichVersion,
) -> Result<Version, Problem> {
    let mut transaction = control.store.begin(Access::Read).await.map_err(DomainError::from)?;
    let of = (reader.organisation(), which.profile_id.as_str());
    let found = profile::find(&mut *transaction, of).await?;
    Ok(profile::find_version(&mut *transaction, &found, which.version).await?)
}

async fn version(
    State(control): State<Control>,
    reader: Reader,
    InPath(which): InPath<WhichVersion>,
) -> Result<Found<VersionView>, Problem> {
    let found = found_version(&control, &reader, &which).await?;
    Ok(Answer::of(&VersionView::from(found)))
}

async fn bindings(
    State(control): State<Control>,
    reader: Reader,
    InPath(which): InPath<WhichVersion>,
) -> Result<Found<List<Binding>>, Problem> {
    let found = found_version(&control, &reader, &which).await?;
    let items = found.draft.bindings.into_iter().map(binding).collect();
    Ok(Answer::of(&List { items, next_cursor: None }))
}

/// What a version would become.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Compilation")]
struct Compilation {
    /// Absent when something is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plan_digest: Option<String>,
    errors: Vec<Issue>,
    warnings: Vec<Issue>,
}

async fn compile(
    State(control): State<Control>,
    reader: Reader,
    InPath(which): InPath<Which>,
    body: Body<New>,
) -> Result<Found<Compilation>, Problem> {
    let mut transaction = control.store.begin(Access::Read).await.map_err(DomainError::from)?;
    let of = (reader.organisation(), which.profile_id.as_str());
    let found = profile::find(&mut *transaction, of).await?;
    let version = found.latest_version + 1;
    let whose = Whose { organisation: of.0, profile: of.1, version };
    let mut draft = Draft::from(body.value);
    draft.name_bindings(&reader.act(&control))?;
    let compiled = profile::compile(&mut *transaction, &control.registry, whose, &draft).await?;
    let Compiled { plan, errors, warnings } = compiled;
    let plan_digest = plan.as_ref().map(|plan| plan.digest.clone());
    let plan = plan.map(|plan| serde_json::to_value(plan).unwrap_or_default());
    Ok(Answer::of(&Compilation { plan, plan_digest, errors, warnings }))
}
