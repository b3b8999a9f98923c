//! The operator's listener: health and metrics for everybody, `/v1` for the operator's token.
//!
//! It must stay unreachable for sandboxes: its address is one of the proxy's own listeners, which
//! are never an upstream.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::{Path, Request, State as Extract};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use subtle::ConstantTimeEq;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use crate::approval::{APPROVAL_SECONDS_MAX, Decision, Undecidable};
use crate::clock;
use crate::plan::MintError;
use crate::request::Shared;
use crate::server::{Addresses, Reload, reload};

const TTL_SECONDS_MAX: u64 = 7 * 24 * 3600;

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) shared: Arc<Shared>,
    pub(crate) reload: Reload,
    pub(crate) operator_token: Arc<str>,
    pub(crate) addresses: Addresses,
}

/// Serves until shutdown; health stays answerable while requests drain.
pub(crate) async fn serve(
    listener: TcpListener,
    state: State,
    mut shutdown: watch::Receiver<bool>,
) {
    let operator = Router::new()
        .route("/v1/status", get(status))
        .route("/v1/plans/{profile}", get(plan))
        .route("/v1/reload", post(reload_plans))
        .route("/v1/sandboxes", post(mint))
        .route("/v1/sandboxes/{id}", delete(revoke))
        .route("/v1/tail", get(tail))
        .route("/v1/usage", get(usage))
        .route("/v1/approvals", get(approvals))
        .route("/v1/approvals/{id}", post(decide))
        .layer(middleware::from_fn_with_state(state.clone(), authorize));
    let app = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/versionz", get(version))
        .route("/metrics", get(metrics))
        .merge(operator)
        .layer(middleware::from_fn(local_host_only))
        .with_state(state);
    let stopped = async move {
        let _ = shutdown.changed().await;
        // Until the process ends, somebody may want to know that it is draining.
        std::future::pending::<()>().await;
    };
    if let Err(error) = axum::serve(listener, app).with_graceful_shutdown(stopped).await {
        tracing::error!(%error, "the operator's listener ended");
    }
}

/// A page in a browser may make it post here under a name of its own choosing (DNS rebinding):
/// only names that mean this machine are answered.
async fn local_host_only(request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).map(HeaderValue::as_bytes).unwrap_or_default();
    let name = match host.iter().rposition(|b| *b == b':') {
        Some(colon) if !host.ends_with(b"]") => host.get(..colon).unwrap_or_default(),
        _ => host,
    };
    let name = std::str::from_utf8(name).unwrap_or_default();
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    if bare == "localhost" || bare.parse::<std::net::IpAddr>().is_ok() {
        return next.run(request).await;
    }
    problem(
        StatusCode::FORBIDDEN,
        "foreign_host",
        "this listener answers to addresses and to localhost",
    )
}

async fn authorize(Extract(state): Extract<State>, request: Request, next: Next) -> Response {
    let given = request.headers().get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
    let given = given.and_then(|v| v.strip_prefix(b"Bearer ")).unwrap_or_default();
    let expected = state.operator_token.as_bytes();
    if expected.is_empty() || !bool::from(given.ct_eq(expected)) {
        let mut response =
            problem(StatusCode::UNAUTHORIZED, "unauthorized", "the operator's token is needed");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        return response;
    }
    next.run(request).await
}

fn problem(status: StatusCode, code: &str, detail: &str) -> Response {
    let body = json!({ "type": format!("/docs/errors/{code}"), "status": status.as_u16(), "code": code, "detail": detail });
    (status, [(header::CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response()
}

async fn ready(Extract(state): Extract<State>) -> Response {
    let draining = state.shared.draining.load(std::sync::atomic::Ordering::Acquire);
    if state.shared.store.is_ready() && !draining {
        return "ready\n".into_response();
    }
    let detail = if draining { "draining" } else { "no plan is loaded" };
    problem(StatusCode::SERVICE_UNAVAILABLE, "not_ready", detail)
}

async fn version() -> Response {
    Json(json!({ "name": "sallygate", "version": env!("CARGO_PKG_VERSION"), "planSchemaVersion": 1 })).into_response()
}

async fn metrics(Extract(state): Extract<State>) -> Response {
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], state.shared.metrics.render()).into_response()
}

async fn status(Extract(state): Extract<State>) -> Response {
    let generation = state.shared.store.load();
    let plans: Vec<_> = generation
        .plans()
        .map(|(profile, plan)| json!({ "profile": profile, "digest": &*plan.digest, "routes": plan.table.plan().egress_routes.len() }))
        .collect();
    Json(json!({
        "generation": generation.number,
        "proxy": state.addresses.proxy,
        "unix": state.addresses.unix,
        "plans": plans,
        "sandboxes": generation.sandbox_count(),
        "auditHealthy": state.shared.recorder.is_healthy(),
        "draining": state.shared.draining.load(std::sync::atomic::Ordering::Acquire),
    }))
    .into_response()
}

/// A plan in force, which holds references to credentials and never a secret.
async fn plan(Extract(state): Extract<State>, Path(profile): Path<String>) -> Response {
    let generation = state.shared.store.load();
    let Some((_, plan)) = generation.plans().find(|(name, _)| **name == profile) else {
        return problem(StatusCode::NOT_FOUND, "unknown_profile", "no plan of this profile");
    };
    let json = plan.table.plan().to_canonical_json();
    ([(header::CONTENT_TYPE, "application/json")], json).into_response()
}

async fn reload_plans(Extract(state): Extract<State>) -> Response {
    let store = Arc::clone(&state.shared.store);
    let read = Arc::clone(&state.reload);
    // Reading files and indexing a large plan would hold up the other tasks of this thread.
    match tokio::task::spawn_blocking(move || reload(&store, &read)).await {
        Ok(Ok(generation)) => Json(json!({ "generation": generation })).into_response(),
        Ok(Err(error)) => {
            problem(StatusCode::UNPROCESSABLE_ENTITY, "not_published", &error.to_string())
        }
        Err(_) => problem(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the reload broke off"),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Mint {
    profile: String,
    ttl_seconds: u64,
}

async fn mint(Extract(state): Extract<State>, body: Bytes) -> Response {
    let wanted: Mint = match serde_json::from_slice(&body) {
        Ok(wanted) => wanted,
        Err(error) => return problem(StatusCode::BAD_REQUEST, "bad_request", &error.to_string()),
    };
    if wanted.ttl_seconds == 0 || wanted.ttl_seconds > TTL_SECONDS_MAX {
        return problem(
            StatusCode::BAD_REQUEST,
            "bad_request",
            "ttlSeconds is not within 1 and 604800",
        );
    }
    match state.shared.store.mint(&wanted.profile, wanted.ttl_seconds) {
        Ok(minted) => {
            let body = json!({ "id": minted.id, "token": minted.token, "expiresUnix": minted.expires_unix });
            (StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
        }
        Err(error @ MintError::UnknownProfile(_)) => {
            problem(StatusCode::NOT_FOUND, "unknown_profile", &error.to_string())
        }
        Err(error @ (MintError::Full | MintError::Randomness)) => {
            problem(StatusCode::SERVICE_UNAVAILABLE, "not_minted", &error.to_string())
        }
    }
}

async fn revoke(Extract(state): Extract<State>, Path(id): Path<String>) -> Response {
    if state.shared.store.revoke(&id) {
        StatusCode::NO_CONTENT.into_response()
    } else {
        problem(StatusCode::NOT_FOUND, "unknown_sandbox", "no session sandbox has this id")
    }
}

/// Tokens of models since the process began, by connection and by sandbox.
async fn usage(Extract(state): Extract<State>) -> Response {
    let usage = state.shared.meters.tally.render();
    ([(header::CACHE_CONTROL, "no-store")], Json(usage)).into_response()
}

async fn approvals(Extract(state): Extract<State>) -> Response {
    let list = state.shared.approvals.list(clock::wall_seconds());
    ([(header::CACHE_CONTROL, "no-store")], Json(json!({ "approvals": list }))).into_response()
}

/// An operator's decision; a yes is for one request unless it says for how long.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Decided {
    decision: Choice,
    #[serde(default)]
    for_seconds: Option<i64>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Choice {
    Approve,
    Deny,
}

async fn decide(Extract(state): Extract<State>, Path(id): Path<String>, body: Bytes) -> Response {
    let bad = |detail: &str| problem(StatusCode::BAD_REQUEST, "bad_request", detail);
    let wanted: Decided = match serde_json::from_slice(&body) {
        Ok(wanted) => wanted,
        Err(error) => return bad(&error.to_string()),
    };
    let decision = match (wanted.decision, wanted.for_seconds) {
        (Choice::Deny, None) => Decision::Deny,
        (Choice::Deny, Some(_)) => return bad("a denial is for no time"),
        (Choice::Approve, None) => Decision::Once,
        (Choice::Approve, Some(seconds)) if (1..=APPROVAL_SECONDS_MAX).contains(&seconds) => {
            Decision::For(seconds)
        }
        (Choice::Approve, Some(_)) => return bad("forSeconds is not within 1 and 604800"),
    };
    match state.shared.approvals.decide(&id, decision, clock::wall_seconds()) {
        Ok(approval) => Json(json!(approval)).into_response(),
        Err(Undecidable::Unknown) => {
            problem(StatusCode::NOT_FOUND, "unknown_approval", "there is no such approval")
        }
        Err(Undecidable::Settled(standing)) => {
            let detail = format!("the approval no longer waits: it is {}", json!(standing));
            problem(StatusCode::CONFLICT, "already_decided", &detail)
        }
    }
}

/// Records as they are written, one JSON document per line, until the reader goes away.
async fn tail(Extract(state): Extract<State>) -> Response {
    let mut records = state.shared.recorder.tail();
    let (lines, body) = mpsc::channel(64);
    tokio::spawn(async move {
        loop {
            let line = match records.recv().await {
                Ok(line) => Bytes::from(format!("{line}\n")),
                Err(tokio::sync::broadcast::error::RecvError::Lagged(n)) => {
                    Bytes::from(format!("{{\"skipped\":{n}}}\n"))
                }
                Err(tokio::sync::broadcast::error::RecvError::Closed) => return,
            };
            if lines.send(Ok(line)).await.is_err() {
                return;
            }
        }
    });
    ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(Lines(body)))
        .into_response()
}

struct Lines(mpsc::Receiver<Result<Bytes, Infallible>>);

impl futures_core::Stream for Lines {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(cx)
    }
}
