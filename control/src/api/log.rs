//! One event and one count per request, a request id, and an end to what takes too long.

use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::metrics::ApiMetrics;
use super::problem::Problem;
use crate::token::mint;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const REQUEST_ID_BYTES_MAX: usize = 64;

/// Longer than any wait that a request may ask for.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

pub(super) async fn log(
    State(metrics): State<ApiMetrics>,
    request: Request,
    next: Next,
) -> Response {
    let id = request_id(request.headers());
    let method = method(request.method());
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or_else(|| "none".to_owned(), |path| path.as_str().to_owned());
    let answer = tokio::time::timeout(ANSWER_WITHIN, next.run(request)).await;
    let mut response = answer.unwrap_or_else(|_| {
        let detail = "the answer took too long";
        let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "timeout", detail);
        problem.retry_after(1).into_response()
    });
    let status = response.status().as_u16();
    metrics.requests.with_label_values(&[method, &route, &status.to_string()]).inc();
    tracing::info!(
        request.id = id,
        http.method = method,
        http.route = route,
        http.status = status,
        "request"
    );
    if let Ok(id) = HeaderValue::try_from(id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

/// The caller's id where it is a plain one, else one of our own.
fn request_id(headers: &HeaderMap) -> String {
    let given = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok());
    let plain = |id: &&str| {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        !id.is_empty() && id.len() <= REQUEST_ID_BYTES_MAX && id.bytes().all(allowed)
    };
    match given.filter(plain) {
        Some(id) => id.to_owned(),
        None => mint("req_").unwrap_or_default(),
    }
}

/// A method that is none of these is counted as one.
fn method(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_request_id_is_taken_over() {
        let of = |id: &str| {
            request_id(&HeaderMap::from_iter([(REQUEST_ID, HeaderValue::try_from(id).unwrap())]))
        };
        assert_eq!(of("abc-1_2.3"), "abc-1_2.3");
        for wrong in ["", "a b", "a\"b", "\u{e4}", &"x".repeat(65)] {
            assert!(of(wrong).starts_with("req_"), "{wrong}");
        }
        assert_ne!(request_id(&HeaderMap::new()), request_id(&HeaderMap::new()));
    }
}
