//! What is kept for callers of before says so: RFC 9745 and RFC 8594.

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;

const DEPRECATION: HeaderName = HeaderName::from_static("deprecation");
const SUNSET: HeaderName = HeaderName::from_static("sunset");
/// The 27th of November 2026.
const SINCE: &str = "@1795737600";
const UNTIL: &str = "Sat, 27 Nov 2027 00:00:00 GMT";

/// Whatever is answered, it is answered for the last time some day.
pub(super) async fn mark(request: Request, next: Next) -> Response {
    let path = request.uri().path().replacen("/api/v1/", "/api/", 1);
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(DEPRECATION, HeaderValue::from_static(SINCE));
    headers.insert(SUNSET, HeaderValue::from_static(UNTIL));
    if let Ok(link) = HeaderValue::try_from(format!("<{path}>; rel=\"successor-version\"")) {
        headers.insert(header::LINK, link);
    }
    response
}
