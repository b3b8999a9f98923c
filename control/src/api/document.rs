//! `/openapi.json`, and pages that show it. Nothing is loaded from elsewhere.

use aide::openapi::{ApiKeyLocation, OpenApi, SecurityScheme};
use aide::transform::TransformOpenApi;
use axum::Router;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;

use crate::login::SESSION_COOKIE;
use crate::service::Control;

const PAGE: &str = include_str!("document/page.html");
const SCRIPT: &str = include_str!("document/page.js");
const STYLE: &str = include_str!("document/page.css");
pub(super) const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(super) fn describe(api: TransformOpenApi<'_>) -> TransformOpenApi<'_> {
    let token = SecurityScheme::Http {
        scheme: "bearer".to_owned(),
        bearer_format: None,
        description: Some("An API token, or the operator's token of the installation.".to_owned()),
        extensions: Default::default(),
    };
    let session = SecurityScheme::ApiKey {
        location: ApiKeyLocation::Cookie,
        name: SESSION_COOKIE.to_owned(),
        description: Some("The session of a browser that signed in.".to_owned()),
        extensions: Default::default(),
    };
    let bearer = |text: &str| SecurityScheme::Http {
        scheme: "bearer".to_owned(),
        bearer_format: None,
        description: Some(text.to_owned()),
        extensions: Default::default(),
    };
    let proxy = bearer("A token that a proxy signs with its key, for a minute.");
    let sandbox = bearer("The token of a sandbox.");
    let enrollment = bearer("A token that lets one proxy in, once.");
    let ledger = SecurityScheme::ApiKey {
        location: ApiKeyLocation::Header,
        name: "X-ClawLedger-Token".to_owned(),
        description: Some("The secret of a connection to ClawLedger.".to_owned()),
        extensions: Default::default(),
    };
    api.title("Sallygate control")
        .version(env!("CARGO_PKG_VERSION"))
        .description("Targets, connections, profiles, sandboxes, and what becomes of them.")
        .security_scheme("token", token)
        .security_scheme("session", session)
        .security_scheme("proxy", proxy)
        .security_scheme("sandbox", sandbox)
        .security_scheme("enrollment", enrollment)
        .security_scheme("ledger", ledger)
}

/// A router's `{*rest}` is any number of segments; the document has one name for a place.
pub(super) fn name_rests(document: &mut OpenApi) {
    let Some(paths) = document.paths.as_mut() else { return };
    let named = std::mem::take(&mut paths.paths).into_iter();
    paths.paths = named.map(|(path, item)| (path.replace("{*", "{"), item)).collect();
}

pub(super) fn routes(document: &OpenApi) -> Router<Control> {
    let json = serde_json::to_string(document).unwrap_or_default();
    let page = || async {
        (
            [
                (header::CONTENT_TYPE, "text/html; charset=utf-8"),
                (header::CONTENT_SECURITY_POLICY, POLICY),
            ],
            PAGE,
        )
    };
    let asset = |kind: &'static str, text: &'static str| {
        get(move || async move { ([(header::CONTENT_TYPE, kind)], text) })
    };
    Router::new()
        .route(
            "/openapi.json",
            get(move || async move {
                ([(header::CONTENT_TYPE, "application/json")], json).into_response()
            }),
        )
        .route("/docs", get(page))
        .route("/redoc", get(page))
        .route("/docs/page.js", asset("text/javascript; charset=utf-8", SCRIPT))
        .route("/docs/page.css", asset("text/css; charset=utf-8", STYLE))
}
