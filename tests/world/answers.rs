//! A provider whose answers are written down: what its documentation shows, at the paths that a
//! client asks for.

use hyper::body::Incoming;
use hyper::{Request, StatusCode};
use serde_json::json;

use super::body::{Answer, json, whole};
use super::seen::Entry;

/// `METHOD /path` without the query, and the answer: JSON, or server-sent events where it begins
/// with `event:`.
pub(crate) type Answers = &'static [(&'static str, &'static str)];

pub(crate) async fn answer(
    mut request: Request<Incoming>,
    mut entry: Entry,
    answers: Answers,
) -> Answer {
    entry.drain(request.body_mut()).await;
    let asked = format!("{} {}", request.method(), request.uri().path());
    match answers.iter().find(|(known, _)| *known == asked) {
        Some((_, events)) if events.starts_with("event:") => {
            whole(StatusCode::OK, "text/event-stream", *events)
        }
        Some((_, body)) => whole(StatusCode::OK, "application/json", *body),
        None => json(StatusCode::NOT_FOUND, &json!({ "message": format!("no answer to {asked}") })),
    }
}
