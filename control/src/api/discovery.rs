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
use crate::domain::DomainError;
use crate::domain::connection::{self, Status};
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
            let seconds = error.retry_after().map_or(1, |wait| wait.as_secs().max(1));
            let problem = Problem::new(status, "not_ready", "the database does not answer");
            problem.retry_after(seconds).into_response()
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

async fn render(
    State(control): State<Control>,
    Extension(metrics): Extension<ApiMetrics>,
) -> Response {
    // A database that does not answer must not hide how the process is.
    if let Ok(counts) = connections(&control).await {
        metrics.connections(&counts);
    }
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    let all = [metrics.render(), control.webhooks.metrics.render()].concat();
    ([(header::CONTENT_TYPE, kind)], all).into_response()
}

async fn connections(control: &Control) -> Result<Vec<(Status, i64)>, DomainError> {
    let mut transaction = control.store.begin(Access::Read).await?;
    connection::counts(&mut *transaction).await
}
