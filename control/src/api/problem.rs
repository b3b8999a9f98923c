//! Every refusal of the API: RFC 9457 problem details with a stable code. The only place that
//! knows which status goes with what went wrong.

use aide::OperationOutput;
use aide::generate::GenContext;
use aide::openapi::{Operation, Response as Described};
use axum::Json;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::domain::{DomainError, Fault, Issue};

/// A refusal.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    issues: Vec<Issue>,
    headers: HeaderMap,
}

/// Problem details (RFC 9457).
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Problem")]
struct Details {
    /// Where the code is explained.
    r#type: String,
    /// The name of the status.
    title: String,
    status: u16,
    /// Stable: what programs look at.
    code: String,
    /// What people look at.
    detail: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    issues: Vec<Issue>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        let (issues, headers) = (Vec::new(), HeaderMap::new());
        Self { status, code, detail: detail.into(), issues, headers }
    }

    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", detail)
    }

    pub(super) fn absent() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "there is nothing here")
    }

    pub(super) fn unauthorized() -> Self {
        let detail = "a valid API token is needed";
        let problem = Self::new(StatusCode::UNAUTHORIZED, "unauthorized", detail);
        problem.with(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
    }

    pub(super) fn is_unauthorized(&self) -> bool {
        self.status == StatusCode::UNAUTHORIZED
    }

    pub(super) fn issue(self, issue: Issue) -> Self {
        Self { issues: vec![issue], ..self }
    }

    /// When it makes sense to ask again, in seconds.
    pub(super) fn retry_after(self, seconds: u64) -> Self {
        self.with(header::RETRY_AFTER, HeaderValue::from(seconds))
    }

    fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }
}

impl From<DomainError> for Problem {
    fn from(error: DomainError) -> Self {
        let status = match error.fault {
            Fault::NotFound => StatusCode::NOT_FOUND,
            Fault::Conflict => StatusCode::CONFLICT,
            Fault::Stale => StatusCode::PRECONDITION_FAILED,
            Fault::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
            Fault::Forbidden => StatusCode::FORBIDDEN,
            Fault::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Fault::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        };
        if status.is_server_error() {
            // The source has what may not be shown to the caller.
            let source = std::error::Error::source(&error).map(ToString::to_string);
            tracing::error!(code = error.code, source, "a request of the API failed");
        }
        let problem = Self::new(status, error.code, error.message);
        let seconds = error.retry_after_ms.map(|ms| ms.div_ceil(1000).max(1));
        let problem = match seconds {
            Some(seconds) => problem.with(header::RETRY_AFTER, HeaderValue::from(seconds)),
            None => problem,
        };
        Self { issues: error.issues, ..problem }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let details = Details {
            r#type: format!("/docs/errors/{}", self.code),
            title: self.status.canonical_reason().unwrap_or_default().to_owned(),
            status: self.status.as_u16(),
            code: self.code.to_owned(),
            detail: self.detail,
            issues: self.issues,
        };
        let mut response = (self.status, self.headers, Json(details)).into_response();
        let kind = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }
}

/// A problem, as the document describes it.
pub(super) fn described(ctx: &mut GenContext, operation: &mut Operation) -> Option<Described> {
    let mut described = Json::<Details>::operation_response(ctx, operation)?;
    let content = std::mem::take(&mut described.content);
    let rename = |(_, content)| ("application/problem+json".to_owned(), content);
    described.content = content.into_iter().map(rename).collect();
    Some(described)
}

/// The responses of these statuses, all of them problems.
pub(super) fn responses(
    ctx: &mut GenContext,
    operation: &mut Operation,
    statuses: &[u16],
) -> Vec<(Option<u16>, Described)> {
    let response = described(ctx, operation);
    statuses.iter().filter_map(|status| Some((Some(*status), response.clone()?))).collect()
}

impl OperationOutput for Problem {
    type Inner = ();

    fn operation_response(ctx: &mut GenContext, operation: &mut Operation) -> Option<Described> {
        described(ctx, operation)
    }

    /// Whatever the operation is, it may meet these.
    fn inferred_responses(
        ctx: &mut GenContext,
        operation: &mut Operation,
    ) -> Vec<(Option<u16>, Described)> {
        responses(ctx, operation, &[404, 409, 412, 422, 429, 500, 503])
    }
}
