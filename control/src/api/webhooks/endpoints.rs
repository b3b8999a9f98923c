//! `/v1/integration/webhooks/endpoints`: where deliveries go. A secret is shown once.

use aide::axum::ApiRouter;
use aide::axum::routing::{get_with, post_with};
use axum::extract::State;
use axum::response::NoContent;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::answer::{Answer, Created, Found, List};
use super::super::body::Body;
use super::super::caller::{Caller, Reader, Writer};
use super::super::idempotency::IdempotencyKey;
use super::super::parameters::{IfMatch, InPath, InQuery, Paging};
use super::super::problem::Problem;
use super::{ALL, WhichEndpoint};
use crate::change;
use crate::clock::rfc3339;
use crate::credentials::Plaintext;
use crate::domain::{DomainError, Fault};
use crate::outbound::Outbound;
use crate::service::Control;
use crate::store::Access;
use crate::webhook::endpoint::{
    self, Endpoint, EndpointStatus, EndpointWanted, OVERLAP_SECONDS, SecretShown,
};

pub(super) fn routes() -> ApiRouter<Control> {
    let all = format!("{ALL}/endpoints");
    let one = format!("{all}/{{endpointId}}");
    ApiRouter::new()
        .api_route(
            &all,
            get_with(list, |o| o.id("listWebhookEndpoints").summary("List endpoints"))
                .post_with(create, |o| o.id("createWebhookEndpoint").summary("Make an endpoint")),
        )
        .api_route(
            &one,
            get_with(find, |o| o.id("getWebhookEndpoint").summary("Look at an endpoint"))
                .put_with(put, |o| o.id("putWebhookEndpoint").summary("Change an endpoint"))
                .delete_with(delete, |o| {
                    o.id("deleteWebhookEndpoint").summary("End deliveries to an endpoint")
                }),
        )
        .api_route(
            &format!("{one}/rotate-secret"),
            post_with(rotate, |o| {
                o.id("rotateWebhookEndpoint")
                    .summary("Make a new secret; the old one signs beside it for a time")
            }),
        )
}

/// Where deliveries go.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "WebhookEndpoint")]
struct View {
    id: String,
    display_name: String,
    url: String,
    status: EndpointStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_reason: Option<String>,
    /// What is shown of the secrets, the current one first.
    secrets: Vec<Secret>,
    /// The new secret: shown once, in the answer that it was made for.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    revision: i64,
    created_at: String,
    updated_at: String,
}

/// What is shown of a secret.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "WebhookEndpointSecret")]
struct Secret {
    fingerprint: String,
    created_at: String,
    /// Until when it signs, once there is a newer one.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
}

impl From<SecretShown> for Secret {
    fn from(it: SecretShown) -> Self {
        let created_at = rfc3339(it.created_ms);
        Self { fingerprint: it.fingerprint, created_at, expires_at: it.expires_ms.map(rfc3339) }
    }
}

fn view(it: Endpoint, secret: Option<&Plaintext>) -> View {
    View {
        id: it.id,
        display_name: it.display_name,
        url: it.url,
        status: it.status,
        status_reason: it.status_reason,
        secrets: it.secrets.into_iter().map(Secret::from).collect(),
        secret: secret.map(|secret| String::from_utf8_lossy(secret.expose()).into_owned()),
        revision: it.revision,
        created_at: rfc3339(it.created_ms),
        updated_at: rfc3339(it.updated_ms),
    }
}

fn found(endpoint: Endpoint) -> Found<View> {
    let revision = endpoint.revision;
    Answer::at(&view(endpoint, None), revision)
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "NewWebhookEndpoint")]
struct Wanted {
    #[schemars(length(min = 1, max = 120))]
    display_name: String,
    /// `https`, at a public address.
    #[schemars(length(max = 2048))]
    url: String,
    /// [default: active]
    #[serde(default)]
    status: Option<EndpointStatus>,
}

impl Wanted {
    fn read(&self) -> EndpointWanted<'_> {
        let status = self.status.unwrap_or(EndpointStatus::Active);
        EndpointWanted { display_name: &self.display_name, url: &self.url, status }
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "RotateWebhookEndpoint")]
struct Rotate {
    /// How long the old secret signs beside the new one [default: a day].
    #[serde(default)]
    #[schemars(range(min = 0, max = 604_800))]
    overlap_seconds: Option<i64>,
}

fn outbound(control: &Control) -> Result<&Outbound, DomainError> {
    control.webhooks.outbound.as_ref().map_err(|error| {
        DomainError::new(Fault::Internal, error.code(), "this machine trusts no authority")
    })
}

async fn list(
    State(control): State<Control>,
    reader: Reader,
    InQuery(paging): InQuery<Paging>,
) -> Result<Found<List<View>>, Problem> {
    let mut transaction = control.store.begin(Access::Read).await.map_err(DomainError::from)?;
    let page = endpoint::list(&mut *transaction, reader.organisation(), &paging.page()?).await?;
    Ok(Answer::of(&List::of(page, |it| view(it, None))))
}

async fn create(
    State(control): State<Control>,
    writer: Writer,
    key: IdempotencyKey,
    body: Body<Wanted>,
) -> Result<Created<View>, Problem> {
    let (act, organisation) = (writer.act(&control), writer.organisation());
    let request = key.of(&act, organisation, &body.bytes);
    let (vault, outbound) = (&control.vault, outbound(&control)?);
    let answer = change!(control.store, |transaction| {
        if let Some(prior) = request.prior(transaction, vault).await? {
            return Ok(prior);
        }
        let new = (organisation, body.value.read());
        let (made, secret) = endpoint::create(transaction, (&act, vault, outbound), new).await?;
        request.answer(transaction, vault, &view(made, Some(&secret))).await
    });
    Ok(Answer::again(answer.map_err(|e: DomainError| e)?))
}

async fn find(
    State(control): State<Control>,
    reader: Reader,
    InPath(which): InPath<WhichEndpoint>,
) -> Result<Found<View>, Problem> {
    let mut transaction = control.store.begin(Access::Read).await.map_err(DomainError::from)?;
    let about = (reader.organisation(), which.endpoint_id.as_str());
    Ok(found(endpoint::find(&mut *transaction, about).await?))
}

async fn put(
    State(control): State<Control>,
    writer: Writer,
    IfMatch(if_revision): IfMatch,
    InPath(which): InPath<WhichEndpoint>,
    body: Body<Wanted>,
) -> Result<Found<View>, Problem> {
    let act = writer.act(&control);
    let about = (writer.organisation(), which.endpoint_id.as_str());
    let outbound = outbound(&control)?;
    let changed: Result<Endpoint, DomainError> = change!(control.store, |transaction| {
        let wanted = (body.value.read(), if_revision);
        endpoint::change(transaction, (&act, outbound), about, wanted).await
    });
    Ok(found(changed?))
}

async fn rotate(
    State(control): State<Control>,
    writer: Writer,
    IfMatch(if_revision): IfMatch,
    InPath(which): InPath<WhichEndpoint>,
    body: Body<Rotate>,
) -> Result<Found<View>, Problem> {
    let act = writer.act(&control);
    let about = (writer.organisation(), which.endpoint_id.as_str());
    let overlap = body.value.overlap_seconds.unwrap_or(OVERLAP_SECONDS);
    let vault = &control.vault;
    let rotated: Result<(Endpoint, Plaintext), DomainError> =
        change!(control.store, |transaction| {
            endpoint::rotate(transaction, (&act, vault), about, (overlap, if_revision)).await
        });
    let (rotated, secret) = rotated?;
    let revision = rotated.revision;
    Ok(Answer::at(&view(rotated, Some(&secret)), revision))
}

async fn delete(
    State(control): State<Control>,
    writer: Writer,
    IfMatch(if_revision): IfMatch,
    InPath(which): InPath<WhichEndpoint>,
) -> Result<NoContent, Problem> {
    let act = writer.act(&control);
    let about = (writer.organisation(), which.endpoint_id.as_str());
    let deleted: Result<(), DomainError> = change!(control.store, |transaction| {
        endpoint::delete(transaction, &act, about, if_revision).await
    });
    deleted?;
    Ok(NoContent)
}
