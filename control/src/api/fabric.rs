//! What programs that find services look at: what this one is, since when, what goes with it, and
//! its contracts. Read-only, and without secrets.

use aide::axum::ApiRouter;
use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value as Json, json};

use super::problem::Problem;
use crate::clock::rfc3339;
use crate::contracts::{self, Entry, SCHEMA_VERSION};
use crate::id::{Id, IdKind};
use crate::service::Control;
use crate::{SERVICE, compatibility};

/// Every discovery surface of the service.
pub const SURFACES: [&str; 11] = [
    "/healthz",
    "/readyz",
    "/versionz",
    "/contractz",
    "/fabric-presencez",
    "/fabric-compatibilityz",
    "/fabric-manifest.json",
    "/metrics",
    "/openapi.json",
    "/docs",
    "/redoc",
];

/// This service since it was started: what tells one replica from another.
#[derive(Clone, Debug)]
struct Presence {
    instance: Option<String>,
    since_ms: i64,
}

pub(super) fn routes(control: &Control) -> ApiRouter<Control> {
    let since_ms = control.clock.now_ms();
    let instance = Id::new(IdKind::Instance, since_ms).ok().map(String::from);
    let presence = Presence { instance, since_ms };
    ApiRouter::new()
        .route("/contractz", get(contracts))
        .route("/fabric-presencez", get(present).layer(Extension(presence)))
        .route("/fabric-compatibilityz", get(compatible))
        .route("/fabric-manifest.json", get(manifest))
}

/// A document that says what made it.
fn document(fields: Json) -> Response {
    let mut whole = json!({
        "schemaVersion": SCHEMA_VERSION,
        "service": SERVICE,
        "version": compatibility::VERSION,
    });
    if let (Json::Object(whole), Json::Object(fields)) = (&mut whole, fields) {
        whole.extend(fields);
    }
    axum::Json(whole).into_response()
}

fn unreadable(error: &contracts::Unreadable) -> Problem {
    tracing::error!(%error, "the contracts of this program cannot be read");
    let detail = "the contracts cannot be read";
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "contracts_unreadable", detail)
}

async fn contracts(State(control): State<Control>) -> Result<Response, Problem> {
    let entries = contracts::all(&control.registry).map_err(|error| unreadable(&error))?;
    let entries: Vec<Json> = entries.iter().map(Entry::to_json).collect();
    Ok(document(json!({ "entries": entries })))
}

async fn present(
    State(control): State<Control>,
    Extension(presence): Extension<Presence>,
) -> Response {
    document(json!({
        "instance": presence.instance,
        "aliveSince": rfc3339(presence.since_ms),
        "at": rfc3339(control.clock.now_ms()),
    }))
}

async fn compatible(State(control): State<Control>) -> Response {
    axum::Json(compatibility::document(control.store.database_name())).into_response()
}

/// The surfaces that are served, with the contract of each.
async fn manifest() -> Result<Response, Problem> {
    let entries = contracts::own().map_err(|error| unreadable(&error))?;
    let served = entries.iter().filter(|entry| entry.is_served()).map(|entry| {
        let it = &entry.contract;
        json!({ "path": it.surface, "contract": entry.id, "type": it.r#type, "owner": it.owner })
    });
    let mut owners: Vec<&str> = entries.iter().map(|entry| entry.contract.owner.as_str()).collect();
    owners.sort_unstable();
    owners.dedup();
    Ok(document(json!({
        "surfaces": served.collect::<Vec<_>>(),
        "discovery": SURFACES,
        "owners": owners,
    })))
}
