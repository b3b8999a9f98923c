//! Bodies, read strictly: JSON of exactly the known fields, and not too much of it.

use aide::OperationInput;
use aide::generate::GenContext;
use aide::openapi::{Operation, Response as Described};
use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::problem::{self, Problem};
use crate::domain::Issue;

/// The body of a request. `T` refuses fields that it does not know.
#[derive(Debug)]
pub(super) struct Body<T> {
    pub(super) value: T,
    /// What was sent, for telling one request from another.
    pub(super) bytes: Bytes,
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            let detail = "the body must be `application/json`";
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return Err(Problem::new(status, "unsupported_media_type", detail));
        }
        let bytes = Bytes::from_request(request, state).await.map_err(|e| unread(&e))?;
        let value = parse(&bytes)?;
        Ok(Self { value, bytes })
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let essence = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
}

fn unread(rejection: &BytesRejection) -> Problem {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        let detail = format!("a body has at most {} bytes", super::BODY_BYTES_MAX);
        return Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail);
    }
    Problem::bad_request("the body cannot be read")
}

/// No text has a NUL: PostgreSQL keeps none, and what reads text in C ends at one.
fn has_nul(bytes: &[u8]) -> bool {
    bytes.windows(NUL.len()).any(|window| window == NUL)
}

const NUL: &[u8] = b"\\u0000";

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    if has_nul(bytes) {
        return Err(Problem::bad_request("a text has no NUL"));
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let parsed = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let field = error.path().to_string();
        wrong(if field == "." { "" } else { &field }, error.inner())
    });
    let value = parsed?;
    reader.end().map_err(|error| wrong("", &error))?;
    Ok(value)
}

/// What serde says of a wrong value repeats it, and it may be a secret in the wrong place: only
/// what was expected is passed on.
fn wrong(field: &str, error: &serde_json::Error) -> Problem {
    let text = error.to_string();
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text);
    let repeats = ["invalid type", "invalid value", "invalid length", "unknown variant"];
    let message = match text.split_once("expected ") {
        Some((_, expected)) if repeats.iter().any(|start| text.starts_with(start)) => {
            format!("expected {expected}")
        }
        _ => text.to_owned(),
    };
    let detail = if field.is_empty() { message.clone() } else { format!("`{field}`: {message}") };
    Problem::bad_request(detail).issue(Issue::new("MALFORMED", field, message))
}

impl<T: JsonSchema> OperationInput for Body<T> {
    fn operation_input(ctx: &mut GenContext, operation: &mut Operation) {
        Json::<T>::operation_input(ctx, operation);
    }

    fn inferred_early_responses(
        ctx: &mut GenContext,
        operation: &mut Operation,
    ) -> Vec<(Option<u16>, Described)> {
        problem::responses(ctx, operation, &[400, 413, 415])
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wanted {
        #[expect(dead_code, reason = "only whether it is read matters")]
        name: String,
        #[expect(dead_code, reason = "only whether it is read matters")]
        most: Option<u8>,
    }

    #[test]
    fn only_the_known_shape_is_read_and_no_value_is_repeated() {
        assert!(parse::<Wanted>(br#"{"name":"a","most":3}"#).is_ok());
        for wrong in [
            "",
            "{",
            "[]",
            "null",
            r#""hunter2""#,
            r#"{"name":"a"} x"#,
            r#"{"name":"a","name":"b"}"#,
            r#"{"name":"a","other":1}"#,
            r#"{"name":["hunter2"]}"#,
            r#"{"name":"a","most":"hunter2"}"#,
            r#"{"name":"a","most":300}"#,
            r#"{"most":3}"#,
            r#"{"name":"hunter2\u0000"}"#,
        ] {
            let problem = parse::<Wanted>(wrong.as_bytes()).unwrap_err();
            assert!(!format!("{problem:?}").contains("hunter2"), "{problem:?}");
        }
    }
}
