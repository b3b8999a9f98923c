//! gRPC calls: the head says it all (gRPC over HTTP/2, "Requests").

use crate::key::HeaderValue;

/// Service and method, from a path of exactly two segments.
pub fn method(path: &str) -> Option<(&str, &str)> {
    let (service, method) = path.strip_prefix('/')?.split_once('/')?;
    let fine = !service.is_empty() && !method.is_empty() && !method.contains('/');
    fine.then_some((service, method))
}

/// Whether the content type is gRPC's own: `application/grpc`, with a suffix or parameters.
pub fn is_grpc(content_type: &HeaderValue<'_>) -> bool {
    let rest = match content_type {
        HeaderValue::One(value) => value.strip_prefix(b"application/grpc"),
        HeaderValue::None | HeaderValue::Many => None,
    };
    rest.is_some_and(|rest| rest.first().is_none_or(|byte| b"+;".contains(byte)))
}
