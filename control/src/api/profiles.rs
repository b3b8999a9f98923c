//! `/v1/sandbox/profiles`: what sandboxes may do. What is written compiles, and is never changed;
//! what is published is in force.

use std::time::Duration;

use aide::axum::ApiRouter;
use aide::axum::routing::{get_with, post_with};
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::answer::{Answer, Created, Found, List};
use super::body::Body;
use super::caller::{Caller, Reader, Writer};
use super::idempotency::IdempotencyKey;
use super::parameters::{IfMatch, InPath, InQuery, Paging};
use super::problem::Problem;
use crate::change;
use crate::clock::rfc3339;
use crate::domain::profile::{
    self, Canary, Compiled, Draft, DraftBinding, Profile, Published, Version, Whose,
};
use crate::domain::{DomainError, Issue};
use crate::feed::{Missing, plan_key};
use crate::service::Control;
use crate::store::Access;

pub(super) fn routes() -> ApiRouter<Control> {
    const ONE: &str = "/v1/sandbox/profiles/{profileId}";
    const VERSION: &str = "/v1/sandbox/profiles/{profileId}/versions/{version}";
    ApiRouter::new()
        .api_route(
            "/v1/sandbox/profiles",
            get_with(list, |o| o.id("listProfiles").summary("List profiles"))
                .post_with(create, |o| o.id("createProfile").summary("Make a profile")),
        )
        .api_route(ONE, get_with(find, |o| o.id("getProfile").summary("Look at a profile")))
        .api_route(
            &format!("{ONE}/versions"),
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
            &format!("{ONE}/compile"),
            post_with(compile, |o| o.id("compileProfile").summary("What a version would become")),
        )
        .api_route(
            &format!("{ONE}/publish"),
            post_with(publish, |o| o.id("publishProfile").summary("Put a version in force")),
        )
        .api_route(
            &format!("{ONE}/canary/promote"),
            post_with(promote, |o| {
                o.id("promoteCanary").summary("Let all sandboxes run what some of them run")
            }),
        )
        .api_route(
            &format!("{ONE}/canary/abort"),
            post_with(abort, |o| {
                o.id("abortCanary").summary("Let no sandbox run ahead of the others")
            }),
        )
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

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct WhichVersion {
    profile_id: String,
    version: i64,
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

/// Which version to put in force.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "PublishProfile")]
struct Publish {
    /// An older one is a rollback [default: the newest].
    #[serde(default)]
    version: Option<i64>,
    /// How many of a hundred sandboxes run it; the others go on with what is in force
    /// [default: all run it].
    #[serde(default)]
    #[schemars(range(min = 1, max = 99))]
    percent: Option<u8>,
}

/// A live proxy that does not serve what was published.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "MissingProxy")]
struct MissingView {
    /// Absent: the proxy of the control service's own process.
    #[serde(skip_serializing_if = "Option::is_none")]
    proxy_id: Option<String>,
    name: String,
    /// Why it refuses, where it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl From<Missing> for MissingView {
    fn from(it: Missing) -> Self {
        Self { proxy_id: it.proxy, name: it.name, reason: it.reason }
    }
}

/// How long to wait.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Waiting {
    /// Seconds within which proxies should serve it [default: 0].
    #[schemars(range(min = 0, max = 30))]
    wait: Option<u64>,
}

const WAIT_SECONDS_MAX: u64 = 30;

impl Waiting {
    fn patience(&self) -> Result<Duration, Problem> {
        match self.wait.unwrap_or(0) {
            wait if wait <= WAIT_SECONDS_MAX => Ok(Duration::from_secs(wait)),
            _ => Err(Problem::bad_request(format!("`wait` is at most {WAIT_SECONDS_MAX}"))),
        }
    }
}

/// What is in force from now on.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Published")]
struct PublishedView {
    profile: View,
    version: i64,
    plan_digest: String,
    /// Whether every live proxy serves it. `false` also when there is none.
    acknowledged: bool,
    /// Live proxies that do not serve it, as far as was waited for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    waiting_for: Vec<MissingView>,
    warnings: Vec<Issue>,
}

async fn publish(
    State(control): State<Control>,
    writer: Writer,
    IfMatch(if_revision): IfMatch,
    InPath(which): InPath<Which>,
    (InQuery(waiting), body): (InQuery<Waiting>, Body<Publish>),
) -> Result<Found<PublishedView>, Problem> {
    let patience = waiting.patience()?;
    let (act, of) = (writer.act(&control), (writer.organisation(), which.profile_id.as_str()));
    let Publish { version, percent } = body.value;
    let published: Result<Published, DomainError> = change!(control.store, |transaction| {
        let version = match version {
            Some(version) => version,
            None => profile::find(transaction, of).await?.latest_version,
        };
        let with = (&act, &*control.registry);
        match percent {
            Some(percent) => {
                let wanted = (version, percent, if_revision);
                profile::publish_canary(transaction, with, of, wanted).await
            }
            None => profile::publish(transaction, with, of, (version, if_revision)).await,
        }
    });
    told(&control, published?, patience).await
}

/// Tells proxies, and waits for them.
async fn told(
    control: &Control,
    published: Published,
    patience: Duration,
) -> Result<Found<PublishedView>, Problem> {
    let Published { profile, version, digest: plan_digest, warnings } = published;
    control.feed.wake();
    let ahead = profile.canary.as_ref().is_some_and(|canary| canary.digest == plan_digest);
    let plan = if ahead { plan_key(&profile.id) } else { profile.id.clone() };
    let waited = control.feed.wait_for(control, (&plan, &plan_digest), patience).await?;
    let acknowledged = waited.is_acknowledged();
    let waiting_for = waited.missing.into_iter().map(MissingView::from).collect();
    let (revision, profile) = (profile.revision, View::from(profile));
    let view = PublishedView { profile, version, plan_digest, acknowledged, waiting_for, warnings };
    Ok(Answer::at(&view, revision))
}

async fn promote(
    State(control): State<Control>,
    writer: Writer,
    IfMatch(if_revision): IfMatch,
    InPath(which): InPath<Which>,
    InQuery(waiting): InQuery<Waiting>,
) -> Result<Found<PublishedView>, Problem> {
    let patience = waiting.patience()?;
    let (act, of) = (writer.act(&control), (writer.organisation(), which.profile_id.as_str()));
    let promoted: Result<Published, DomainError> = change!(control.store, |transaction| {
        profile::promote_canary(transaction, &act, of, if_revision).await
    });
    told(&control, promoted?, patience).await
}

async fn abort(
    State(control): State<Control>,
    writer: Writer,
    IfMatch(if_revision): IfMatch,
    InPath(which): InPath<Which>,
) -> Result<Found<View>, Problem> {
    let (act, of) = (writer.act(&control), (writer.organisation(), which.profile_id.as_str()));
    let aborted: Result<Profile, DomainError> = change!(control.store, |transaction| {
        profile::abort_canary(transaction, &act, of, if_revision).await
    });
    let aborted = aborted?;
    control.feed.wake();
    let revision = aborted.revision;
    Ok(Answer::at(&View::from(aborted), revision))
}
