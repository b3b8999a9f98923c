//! `/docs/errors/{code}`: where the `type` of a problem leads. Nothing is loaded from elsewhere.

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;

use super::document::POLICY;
use super::problem::Problem;
use crate::codes::{self, Code};
use crate::service::Control;

const PAGE: &str = include_str!("document/error.html");

pub(super) fn routes() -> Router<Control> {
    Router::new().route("/docs/errors/{code}", get(error))
}

/// A page for people, and JSON for programs that ask for it.
async fn error(Path(code): Path<String>, headers: HeaderMap) -> Response {
    let Some(found) = codes::find(&code) else { return Problem::absent().into_response() };
    let Code { code, meaning, help } = *found;
    let accepts = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    if accepts.is_some_and(|accepts| accepts.contains("application/json")) {
        let told = json!({ "code": code, "meaning": meaning, "help": help });
        return axum::Json(told).into_response();
    }
    let page = PAGE.replace("{code}", code);
    let page = page.replace("{meaning}", &text(meaning)).replace("{help}", &text(help));
    let kind = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::VARY, "accept"),
    ];
    (kind, page).into_response()
}

/// What between backquotes stands is code.
fn text(sentence: &str) -> String {
    let escaped = sentence.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let parts = escaped.split('`').enumerate();
    parts
        .map(
            |(at, part)| if at % 2 == 1 { format!("<code>{part}</code>") } else { part.to_owned() },
        )
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_is_text_and_code() {
        assert_eq!(text("a < `b` & c"), "a &lt; <code>b</code> &amp; c");
    }
}
