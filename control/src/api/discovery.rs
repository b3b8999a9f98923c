//! What everybody may know: whether the service is well, its version, its counters.

use aide::axum::ApiRouter;
use axum::Extension;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;

use super::metrics::ApiMetrics;
use super::problem::Problem;
use crate::service::Control;
use crate::store::Access;

pub(super) fn routes(metrics: ApiMetrics) -> ApiRouter<Control> {
    ApiRouter::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/versionz", get(version))
        .route("/metrics", get(render).layer(Extension(metrics)))
}

/// Ready when the store answers.
async fn ready(State(control): State<Control>) -> Response {
    match control.store.begin(Access::Read).await {
        Ok(_) => "ready\n".into_response(),
        Err(error) => {
            tracing::warn!(code = error.code(), "not ready");
            let status = StatusCode::SERVICE_UNAVAILABLE;
            Problem::new(status, "not_ready", "the database does not answer").into_response()
        }
    }
}

async fn version(State(control): State<Control>) -> Response {
    axum::Json(json!({
        "name": "sallygate-control",
        "version": env!("CARGO_PKG_VERSION"),
        "database": control.store.database_name(),
    }))
    .into_response()
}

async fn render(Extension(metrics): Extension<ApiMetrics>) -> Response {
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], metrics.render()).into_response()
}
