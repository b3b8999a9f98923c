//! The HTTP API: what people and programs do with the control service goes through here.
//!
//! Handlers read what was asked, run one transaction of the domain, and answer. They decide
//! nothing. The OpenAPI document is made from their signatures, so it cannot say anything else
//! than what they take and give.

mod answer;
mod approvals;
mod body;
mod bootstrap;
mod callback;
mod caller;
mod connect;
mod connections;
mod definitions;
mod discovery;
mod document;
mod errors;
mod fabric;
mod idempotency;
mod inbox;
mod internal;
mod internal_approvals;
mod ledger;
mod limit;
mod log;
mod login;
mod metrics;
mod organisations;
mod pages;
mod parameters;
mod problem;
mod profiles;
mod proxies;
mod questions;
mod record;
mod resources;
mod sandboxes;
mod secret;
mod serve;
mod setup;
mod targets;
mod tokens;
mod webhooks;

use aide::axum::ApiRouter;
use aide::openapi::OpenApi;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::Response;

use crate::service::Control;

pub use fabric::SURFACES;
pub use limit::Gate;
pub use metrics::ApiMetrics;
pub use problem::Problem;
pub use serve::{ServeError, Serving, serve, serve_behind};

/// A larger body is refused unread.
pub const BODY_BYTES_MAX: usize = 1 << 20;

/// The whole API over `control`.
pub fn router(control: &Control, metrics: &ApiMetrics) -> Router {
    router_behind(control, metrics, Gate::open())
}

/// The whole API, and what keeps callers out of it.
fn router_behind(control: &Control, metrics: &ApiMetrics, gate: Gate) -> Router {
    let mut document = OpenApi::default();
    let operations = ApiRouter::new()
        .merge(organisations::routes())
        .merge(tokens::routes())
        .merge(login::routes())
        .merge(definitions::routes())
        .merge(targets::routes())
        .merge(connections::routes())
        .merge(connect::routes())
        .merge(callback::routes())
        .merge(profiles::routes())
        .merge(questions::routes())
        .merge(sandboxes::routes())
        .merge(webhooks::routes())
        .merge(bootstrap::routes())
        .merge(proxies::routes())
        .merge(internal::routes())
        .merge(internal_approvals::routes())
        .merge(approvals::routes())
        .merge(ledger::routes())
        .merge(setup::routes())
        .merge(pages::routes())
        .merge(resources::routes())
        .merge(inbox::routes())
        .merge(record::routes());
    let router = operations
        .layer(middleware::from_fn(not_stored))
        .merge(discovery::routes(metrics.clone()))
        .merge(fabric::routes(control))
        .finish_api_with(&mut document, document::describe);
    document::name_rests(&mut document);
    router
        .merge(document::routes(&document))
        .merge(errors::routes())
        .fallback(|| async { Problem::absent() })
        .method_not_allowed_fallback(|| async {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "not this method")
        })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(gate, limit::limit))
        .layer(middleware::from_fn_with_state(metrics.clone(), log::log))
        .with_state(control.clone())
}

/// What the API says is for one caller, at one time.
async fn not_stored(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
