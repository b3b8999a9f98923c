//! Questions about a profile: why a request has its outcome, and what differs between two
//! versions. The table that answers is the one that proxies enforce.

use aide::axum::ApiRouter;
use aide::axum::routing::post_with;
use axum::extract::State;
use axum::http::{HeaderMap, Method};
use sallygate_compiler::analysis::diff;
use sallygate_compiler::explain::explain_url;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::answer::{Answer, Found};
use super::body::Body;
use super::caller::Reader;
use super::parameters::InPath;
use super::problem::Problem;
use crate::domain::profile::{self, Which};
use crate::domain::{DomainError, Fault, Issue};
use crate::service::Control;
use crate::store::Access;

pub(super) fn routes() -> ApiRouter<Control> {
    const ONE: &str = "/v1/sandbox/profiles/{profileId}";
    ApiRouter::new()
        .api_route(
            &format!("{ONE}/explain"),
            post_with(explain, |o| {
                o.id("explainRequest").summary("Why a request is allowed or not")
            }),
        )
        .api_route(
            &format!("{ONE}/diff"),
            post_with(compare, |o| {
                o.id("diffVersions").summary("What two versions decide differently")
            }),
        )
}

/// A request to be explained. Nothing is sent.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "ExplainRequest")]
struct Explain {
    #[schemars(length(min = 1, max = 32))]
    method: String,
    #[schemars(length(min = 1, max = 8192))]
    url: String,
    /// [default: what is in force]
    #[serde(default)]
    version: Option<i64>,
}

/// Which versions to compare.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "DiffVersions")]
struct Compare {
    /// [default: what is in force]
    #[serde(default)]
    from: Option<i64>,
    /// [default: the newest]
    #[serde(default)]
    to: Option<i64>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Path {
    profile_id: String,
}

/// Why a request has its outcome.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Explanation")]
struct Explained {
    plan_digest: String,
    /// `allow`, `hold`, `deny`, `no_route`, `passthrough`, `inspect`; or why no route is asked.
    outcome: String,
    /// The route that decided, every route that was considered, and what would be injected: never
    /// a value.
    #[serde(skip_serializing_if = "Option::is_none")]
    explanation: Option<Json>,
}

/// What two versions decide differently.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "VersionDiff")]
struct Compared {
    from_digest: String,
    to_digest: String,
    /// Sets of requests with old and new outcome and one request of each. Empty exactly when both
    /// decide every request alike.
    regions: Vec<Json>,
    /// Whether the whole difference is there.
    complete: bool,
}

fn which(version: Option<i64>) -> Which {
    version.map_or(Which::InForce, Which::Version)
}

async fn explain(
    State(control): State<Control>,
    reader: Reader,
    InPath(path): InPath<Path>,
    body: Body<Explain>,
) -> Result<Found<Explained>, Problem> {
    let Explain { method, url, version } = body.value;
    if Method::from_bytes(method.as_bytes()).is_err() {
        let issue = Issue::new("INVALID_METHOD", "method", "`method` is no method");
        return Err(DomainError::invalid(vec![issue]).into());
    }
    let mut transaction = control.store.begin(Access::Read).await.map_err(DomainError::from)?;
    let of = (reader.organisation(), path.profile_id.as_str());
    let found = profile::find(&mut *transaction, of).await?;
    let asked = (&found, which(version));
    let table = profile::table(&mut *transaction, &control.registry, asked).await?;
    let plan_digest = table.plan().digest.clone();
    let explained = match explain_url(&table, &method, &url, &HeaderMap::new()) {
        Ok(explanation) => Explained {
            plan_digest,
            outcome: explanation.outcome.as_str().to_owned(),
            explanation: serde_json::to_value(explanation).ok(),
        },
        Err(error) => {
            Explained { plan_digest, outcome: error.code().to_owned(), explanation: None }
        }
    };
    Ok(Answer::of(&explained))
}

async fn compare(
    State(control): State<Control>,
    reader: Reader,
    InPath(path): InPath<Path>,
    body: Body<Compare>,
) -> Result<Found<Compared>, Problem> {
    let mut transaction = control.store.begin(Access::Read).await.map_err(DomainError::from)?;
    let of = (reader.organisation(), path.profile_id.as_str());
    let found = profile::find(&mut *transaction, of).await?;
    let to = Which::Version(body.value.to.unwrap_or(found.latest_version));
    let (from, registry) = (which(body.value.from), &control.registry);
    let old = profile::table(&mut *transaction, registry, (&found, from)).await?;
    let new = profile::table(&mut *transaction, registry, (&found, to)).await?;
    drop(transaction);
    let digests = (old.plan().digest.clone(), new.plan().digest.clone());
    // It goes through sets of requests: work for a processor, bounded by the analysis.
    let differs = tokio::task::spawn_blocking(move || diff(&old, &new)).await;
    let differs = differs.map_err(|_| {
        DomainError::new(Fault::Internal, "diff_failed", "the versions could not be compared")
    })?;
    let regions = differs.regions.iter().map(|r| serde_json::to_value(r).unwrap_or_default());
    Ok(Answer::of(&Compared {
        from_digest: digests.0,
        to_digest: digests.1,
        regions: regions.collect(),
        complete: differs.complete,
    }))
}
