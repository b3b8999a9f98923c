//! Where providers call. Anybody may; what is answered depends on nothing but what they prove.

use std::sync::Arc;
use std::time::Duration;

use aide::OperationInput;
use aide::axum::ApiRouter;
use aide::axum::routing::post_with;
use aide::generate::GenContext;
use aide::openapi::{MediaType, Operation, ReferenceOr, RequestBody};
use aide::transform::TransformOperation;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::BytesMut;
use http_body_util::BodyExt;
use sallygate_definitions::webhook::DELIVERY_BYTES_MAX;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::super::parameters::InPath;
use super::super::problem::Problem;
use crate::service::Control;
use crate::webhook::Addressed;
use crate::webhook::receive::{Arrival, NotReceived, Received, addressed, receive};

/// A sender that is slower is none of a provider.
const BODY_WITHIN: Duration = Duration::from_secs(20);
/// How much of bodies is held at once, in units of [`UNIT`]; each takes at least one. More are told to
/// come again.
const HELD_MAX: u32 = 512;
const UNIT: usize = 256 << 10;

pub(super) fn routes() -> ApiRouter<Control> {
    const TARGET: &str = "/p/integration/webhooks/{targetKey}";
    const ALIAS: &str = "/api/v1/projects/{projectId}/integrations/{provider}/webhook";
    let held = Room(Arc::new(Semaphore::new(usize::try_from(HELD_MAX).unwrap_or(0))));
    ApiRouter::new()
        .api_route(
            TARGET,
            post_with(by_payload, |o| {
                described(o, "receiveWebhook", "Where a provider calls, which says whose it is")
            }),
        )
        .api_route(
            &format!("{TARGET}/{{connectionId}}"),
            post_with(by_path, |o| {
                described(o, "receiveConnectionWebhook", "Where a provider calls for a connection")
            }),
        )
        .api_route(
            ALIAS,
            post_with(by_project, |o| {
                described(o, "receiveProjectWebhook", "Where a provider calls for an organisation")
            }),
        )
        .layer(axum::Extension(held))
}

fn described<'t>(
    operation: TransformOperation<'t>,
    id: &'static str,
    summary: &'static str,
) -> TransformOperation<'t> {
    let operation = operation
        .id(id)
        .summary(summary)
        .response::<200, axum::Json<Status>>()
        .response::<202, axum::Json<Status>>();
    [400, 401, 404, 408, 413, 429, 500, 503]
        .into_iter()
        .fold(operation, |operation, status| operation.response_with_status(status))
}

/// Describes a refusal with a status that is known only here.
trait Refusals {
    fn response_with_status(self, status: u16) -> Self;
}

impl Refusals for TransformOperation<'_> {
    fn response_with_status(self, status: u16) -> Self {
        match status {
            400 => self.response::<400, Problem>(),
            401 => self.response::<401, Problem>(),
            404 => self.response::<404, Problem>(),
            408 => self.response::<408, Problem>(),
            413 => self.response::<413, Problem>(),
            429 => self.response::<429, Problem>(),
            500 => self.response::<500, Problem>(),
            _ => self.response::<503, Problem>(),
        }
    }
}

/// What became of a call.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "WebhookReceived")]
struct Status {
    /// `accepted`, `duplicate` or `ignored`.
    status: &'static str,
}

/// Room for bodies.
#[derive(Clone, Debug)]
struct Room(Arc<Semaphore>);

/// A call whose body was not read yet.
#[derive(Debug)]
struct Call {
    parts: Parts,
    body: Body,
    room: Room,
}

impl<S: Send + Sync> FromRequest<S> for Call {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let room = parts.extensions.get::<Room>().cloned();
        let room = room.unwrap_or_else(|| Room(Arc::new(Semaphore::new(0))));
        Ok(Self { parts, body, room })
    }
}

impl OperationInput for Call {
    fn operation_input(_: &mut GenContext, operation: &mut Operation) {
        let content = [("*/*".to_owned(), MediaType::default())].into_iter().collect();
        let description =
            Some("As the provider sends it, with the proof that it is its own.".into());
        let body = RequestBody { description, content, required: true, ..RequestBody::default() };
        operation.request_body = Some(ReferenceOr::Item(body));
    }
}

impl Call {
    /// The call with its body, and the room that it takes for as long as it is held.
    async fn read(self) -> Result<(Arrival, OwnedSemaphorePermit), Problem> {
        let said = self.parts.headers.get(header::CONTENT_LENGTH);
        let said = said.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        if said.is_some_and(|said| said > DELIVERY_BYTES_MAX) {
            return Err(too_large());
        }
        let reading = tokio::time::timeout(BODY_WITHIN, whole(self.body, &self.room));
        let (body, room) = reading.await.unwrap_or_else(|_| {
            let detail = "the body took too long";
            Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "body_too_slow", detail))
        })?;
        let header = |(name, value): (&header::HeaderName, &HeaderValue)| {
            (name.as_str().to_owned(), value.as_bytes().to_vec())
        };
        let headers = self.parts.headers.iter().map(header).collect();
        let query = self.parts.uri.query().map(str::to_owned);
        Ok((Arrival { headers, query, body }, room))
    }
}

/// Takes room as the body comes: what is only announced takes none.
async fn whole(mut body: Body, room: &Room) -> Result<(Bytes, OwnedSemaphorePermit), Problem> {
    let take = |units: u32| Arc::clone(&room.0).try_acquire_many_owned(units).map_err(|_| busy());
    let (mut bytes, mut held) = (BytesMut::new(), take(1)?);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Problem::bad_request("the body cannot be read"))?;
        let Ok(piece) = frame.into_data() else { continue };
        if bytes.len() + piece.len() > DELIVERY_BYTES_MAX {
            return Err(too_large());
        }
        bytes.extend_from_slice(&piece);
        let units = u32::try_from(bytes.len().div_ceil(UNIT)).unwrap_or(HELD_MAX);
        let missing = units.saturating_sub(u32::try_from(held.num_permits()).unwrap_or(0));
        if missing > 0 {
            held.merge(take(missing)?);
        }
    }
    Ok((bytes.freeze(), held))
}

fn too_large() -> Problem {
    let detail = format!("a body has at most {DELIVERY_BYTES_MAX} bytes");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail)
}

fn busy() -> Problem {
    let detail = "too much at once";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "webhooks_busy", detail).retry_after(1)
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ByTarget {
    target_key: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ByConnection {
    target_key: String,
    connection_id: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ByProject {
    /// An organisation.
    project_id: String,
    /// The key of a target, or the family of a definition.
    provider: String,
}

async fn by_payload(
    State(control): State<Control>,
    InPath(which): InPath<ByTarget>,
    call: Call,
) -> Result<Response, Problem> {
    take(&control, &Addressed::Target { target_key: which.target_key }, call).await
}

async fn by_path(
    State(control): State<Control>,
    InPath(which): InPath<ByConnection>,
    call: Call,
) -> Result<Response, Problem> {
    let ByConnection { target_key, connection_id } = which;
    take(&control, &Addressed::Connection { target_key, connection: connection_id }, call).await
}

async fn by_project(
    State(control): State<Control>,
    InPath(which): InPath<ByProject>,
    call: Call,
) -> Result<Response, Problem> {
    let ByProject { project_id, provider } = which;
    take(&control, &Addressed::Project { organisation: project_id, provider }, call).await
}

async fn take(control: &Control, address: &Addressed, call: Call) -> Result<Response, Problem> {
    let registry = Arc::clone(&control.registry);
    let sources = addressed(control, &registry, address).await?;
    if sources.is_empty() {
        return Err(Problem::absent());
    }
    let (arrival, _room) = call.read().await?;
    let received = receive(control, (address, &sources), &arrival).await.map_err(refusal)?;
    let answer = |status, text| (status, axum::Json(Status { status: text })).into_response();
    Ok(match received {
        Received::Accepted => answer(StatusCode::ACCEPTED, "accepted"),
        Received::Duplicate => answer(StatusCode::OK, "duplicate"),
        Received::Ignored => answer(StatusCode::OK, "ignored"),
        // What was sent goes back as it came: never as anything that a browser would run.
        Received::Challenge(text) => {
            let headers = [
                (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
                (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            ];
            (headers, text).into_response()
        }
    })
}

fn refusal(error: NotReceived) -> Problem {
    match error {
        NotReceived::Unverified => {
            let detail = "the call is not proven to be the provider's";
            Problem::new(StatusCode::UNAUTHORIZED, "webhook_unverified", detail)
        }
        NotReceived::Unreadable(unreadable) => {
            Problem::new(StatusCode::BAD_REQUEST, unreadable.code(), unreadable.to_string())
        }
        NotReceived::Failed(error) => error.into(),
    }
}
