//! `/v1/proxies`: which proxies are let in, and what they serve. An operator's.

use std::collections::BTreeMap;

use aide::axum::ApiRouter;
use aide::axum::routing::{get_with, post_with};
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
use crate::domain::proxy::{self, Enrollment, Proxy};
use crate::service::Control;
use crate::store::Access;

pub(super) fn routes() -> ApiRouter<Control> {
    const ONE: &str = "/v1/proxies/{proxyId}";
    ApiRouter::new()
        .api_route(
            "/v1/proxies",
            get_with(list, |o| o.id("listProxies").summary("List proxies and what they serve")),
        )
        .api_route(
            "/v1/proxies/enrollments",
            post_with(invite, |o| {
                o.id("createProxyEnrollment").summary("Make a token that lets one proxy in")
            }),
        )
        .api_route(ONE, get_with(find, |o| o.id("getProxy").summary("Look at a proxy")))
        .api_route(
            &format!("{ONE}/revoke"),
            post_with(revoke, |o| o.id("revokeProxy").summary("Let a proxy in no more")),
        )
}

/// A proxy in a process of its own.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Proxy")]
struct View {
    id: String,
    name: String,
    version: String,
    /// Whether it was heard of within the last seconds.
    live: bool,
    /// By plan (the id of a profile; with `@canary` where only some sandboxes run it): the digest
    /// that it acknowledged.
    served: BTreeMap<String, String>,
    /// By plan: why it does not serve it.
    refused: BTreeMap<String, String>,
    /// `host:port` under which sandboxes reach it.
    #[serde(skip_serializing_if = "Option::is_none")]
    entrance: Option<String>,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    seen_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_at: Option<String>,
}

impl View {
    fn of(it: Proxy, now_ms: i64) -> Self {
        Self {
            live: it.is_live(now_ms),
            id: it.id,
            name: it.name,
            version: it.version,
            served: it.outcome.served,
            refused: it.outcome.refused,
            entrance: it.about.entrance,
            created_at: rfc3339(it.created_ms),
            seen_at: (it.seen_ms > 0).then(|| rfc3339(it.seen_ms)),
            revoked_at: it.revoked_ms.map(rfc3339),
        }
    }
}

/// What a new proxy is called, and until when it must come.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "NewProxyEnrollment")]
struct New {
    #[schemars(length(min = 1, max = 120))]
    name: String,
    /// [default: an hour]
    #[serde(default)]
    #[schemars(range(min = 1, max = 604_800))]
    ttl_seconds: Option<u32>,
}

const TTL_SECONDS: u32 = 3600;

/// A token that lets one proxy in, once.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ProxyEnrollment")]
struct Made {
    id: String,
    name: String,
    created_at: String,
    expires_at: String,
    /// Shown now and never again.
    token: String,
}

impl Made {
    fn of(it: Enrollment, token: String) -> Self {
        let (created_at, expires_at) = (rfc3339(it.created_ms), rfc3339(it.expires_ms));
        Self { id: it.id, name: it.name, created_at, expires_at, token }
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Which {
    proxy_id: String,
}

async fn list(
    State(control): State<Control>,
    _: Operator,
    InQuery(paging): InQuery<Paging>,
) -> Result<Found<List<View>>, Problem> {
    let mut transaction = control.store.begin(Access::Read).await.map_err(DomainError::from)?;
    let page = proxy::list(&mut *transaction, &paging.page()?).await?;
    let now_ms = control.clock.now_ms();
    Ok(Answer::of(&List::of(page, |proxy| View::of(proxy, now_ms))))
}

async fn invite(
    State(control): State<Control>,
    operator: Operator,
    key: IdempotencyKey,
    body: Body<New>,
) -> Result<Created<Made>, Problem> {
    let act = operator.act(&control);
    let request = key.of(&act, "", &body.bytes);
    let ttl_ms = i64::from(body.value.ttl_seconds.unwrap_or(TTL_SECONDS)) * 1000;
    let answer = change!(control.store, |transaction| {
        if let Some(prior) = request.prior(transaction, &control.vault).await? {
            return Ok(prior);
        }
        let wanted = (body.value.name.as_str(), ttl_ms);
        let (made, token) = proxy::invite(transaction, &act, wanted).await?;
        request.answer(transaction, &control.vault, &Made::of(made, token)).await
    });
    Ok(Answer::again(answer.map_err(|e: DomainError| e)?))
}

async fn find(
    State(control): State<Control>,
    _: Operator,
    InPath(which): InPath<Which>,
) -> Result<Found<View>, Problem> {
    let mut transaction = control.store.begin(Access::Read).await.map_err(DomainError::from)?;
    let found = proxy::find(&mut *transaction, &which.proxy_id).await?;
    Ok(Answer::of(&View::of(found, control.clock.now_ms())))
}

async fn revoke(
    State(control): State<Control>,
    operator: Operator,
    InPath(which): InPath<Which>,
) -> Result<Found<View>, Problem> {
    let (act, id) = (operator.act(&control), which.proxy_id.as_str());
    let revoked: Result<Proxy, DomainError> =
        change!(control.store, |transaction| { proxy::revoke(transaction, &act, id).await });
    let revoked = revoked?;
    control.feed.wake();
    Ok(Answer::of(&View::of(revoked, control.clock.now_ms())))
}
