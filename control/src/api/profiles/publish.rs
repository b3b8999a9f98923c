//! What is published is in force: for all sandboxes, or at first for some of them.

use std::time::Duration;

use aide::axum::ApiRouter;
use aide::axum::routing::post_with;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::answer::{Answer, Found};
use super::super::body::Body;
use super::super::caller::{Caller, Writer};
use super::super::parameters::{IfMatch, InPath, InQuery};
use super::super::problem::Problem;
use super::{View, Which};
use crate::change;
use crate::domain::profile::{self, Profile, Published};
use crate::domain::{DomainError, Issue};
use crate::feed::{Missing, plan_key};
use crate::service::Control;

pub(super) fn routes() -> ApiRouter<Control> {
    const ONE: &str = "/v1/sandbox/profiles/{profileId}";
    ApiRouter::new()
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
