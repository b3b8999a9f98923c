//! `/v1/integration/connections/{connectionId}/resources`: what a connection gives access to.

use aide::axum::ApiRouter;
use aide::axum::routing::{get_with, post_with};
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::answer::{Answer, Found, List};
use super::body::Body;
use super::caller::{Reader, Writer};
use super::parameters::{InPath, InQuery, Paging};
use super::problem::Problem;
use crate::clock::rfc3339;
use crate::domain::DomainError;
use crate::domain::connection::Of;
use crate::domain::resource::{self, Listed, Resource};
use crate::resources;
use crate::service::Control;
use crate::store::Access;

pub(super) fn routes() -> ApiRouter<Control> {
    const RESOURCES: &str = "/v1/integration/connections/{connectionId}/resources";
    ApiRouter::new()
        .api_route(
            RESOURCES,
            get_with(kinds, |o| {
                o.id("listResourceKinds").summary("Which resources of a connection are known")
            }),
        )
        .api_route(
            &format!("{RESOURCES}/{{kind}}"),
            get_with(list, |o| {
                o.id("listResources").summary("The resources of a kind that are known")
            }),
        )
        .api_route(
            &format!("{RESOURCES}/refresh"),
            post_with(refresh, |o| {
                o.id("refreshResources")
                    .summary("Ask the provider what the connection gives access to")
            }),
        )
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Which {
    connection_id: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct WhichKind {
    connection_id: String,
    /// Such as `repositories`.
    kind: String,
}

/// What is known of a kind of resources.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ResourceKind {
    kind: String,
    count: i64,
    /// When the provider was asked.
    refreshed_at: String,
    /// There are more than are kept.
    truncated: bool,
}

impl From<Listed> for ResourceKind {
    fn from(it: Listed) -> Self {
        let refreshed_at = rfc3339(it.asked_ms);
        Self { kind: it.kind, count: it.count, refreshed_at, truncated: it.is_cut }
    }
}

/// Something that a connection gives access to.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Resource")]
struct View {
    /// What bindings name it by.
    id: String,
    name: String,
}

impl From<Resource> for View {
    fn from(it: Resource) -> Self {
        Self { id: it.id, name: it.name }
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "RefreshResources")]
struct Wanted {
    /// [default: every kind that the definition lists]
    #[serde(default)]
    kind: Option<String>,
}

fn shown(found: Vec<Listed>) -> Found<List<ResourceKind>> {
    let items = found.into_iter().map(ResourceKind::from).collect();
    Answer::of(&List { items, next_cursor: None })
}

async fn kinds(
    State(control): State<Control>,
    reader: Reader,
    InPath(which): InPath<Which>,
) -> Result<Found<List<ResourceKind>>, Problem> {
    let of = Of { organisation: reader.organisation(), id: &which.connection_id };
    let mut transaction = control.store.begin(Access::Read).await.map_err(DomainError::from)?;
    Ok(shown(resource::lists(&mut *transaction, of).await?))
}

async fn list(
    State(control): State<Control>,
    reader: Reader,
    InPath(which): InPath<WhichKind>,
    InQuery(paging): InQuery<Paging>,
) -> Result<Found<List<View>>, Problem> {
    let of = Of { organisation: reader.organisation(), id: &which.connection_id };
    let mut transaction = control.store.begin(Access::Read).await.map_err(DomainError::from)?;
    let page = resource::list(&mut *transaction, (of, &which.kind), &paging.page()?).await?;
    Ok(Answer::of(&List::of(page, View::from)))
}

async fn refresh(
    State(control): State<Control>,
    writer: Writer,
    InPath(which): InPath<Which>,
    body: Body<Wanted>,
) -> Result<Found<List<ResourceKind>>, Problem> {
    let of = Of { organisation: writer.organisation(), id: &which.connection_id };
    Ok(shown(resources::refresh(&control, of, body.value.kind.as_deref()).await?))
}
