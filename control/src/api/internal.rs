//! `/internal`: what proxies in processes of their own ask. Nobody else gets an answer here.

use aide::axum::ApiRouter;
use aide::axum::routing::{get_with, post_with};
use aide::generate::GenContext;
use aide::openapi::{MediaType, Operation, Response as Described};
use aide::{OperationInput, OperationOutput};
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, NoContent, Response};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use schemars::JsonSchema;
use serde::Deserialize;

use super::answer::{Answer, Created, Found};
use super::body::Body;
use super::caller::bearer;
use super::parameters::InQuery;
use super::problem::{self, Problem};
use crate::change;
use crate::domain::proxy::{self, Applicant, Proxy};
use crate::domain::{DomainError, Fault, resolve};
use crate::feed::{About, Acknowledged, Lines, Outcome, installation};
use crate::fleet::{self, AckBody, EnrollBody, Enrolled, ResolveAnswer, ResolveBody};
use crate::service::Control;
use crate::store::Access;

pub(super) fn routes() -> ApiRouter<Control> {
    ApiRouter::new()
        .api_route(
            "/internal/proxies/enroll",
            post_with(enroll, |o| o.id("enrollProxy").summary("Let this proxy in")),
        )
        .api_route(
            "/internal/feed",
            get_with(feed, |o| o.id("listenToFeed").summary("What is in force, and what changes")),
        )
        .api_route(
            "/internal/feed/ack",
            post_with(acknowledge, |o| o.id("acknowledgeFeed").summary("Say what is served")),
        )
        .api_route(
            "/internal/integration-credentials/resolve",
            post_with(resolve_credential, |o| {
                o.id("resolveCredential").summary("The credential that a sandbox's request needs")
            }),
        )
}

/// A proxy that proved who it is, and is let in.
#[derive(Debug)]
pub(super) struct AsProxy(Proxy);

impl FromRequestParts<Control> for AsProxy {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, control: &Control) -> Result<Self, Problem> {
        let token = presented(parts)?;
        let id = fleet::claimed(token).map_err(|_| Problem::unauthorized())?;
        let begun = control.store.begin(Access::Read).await;
        let mut transaction = begun.map_err(DomainError::from)?;
        let audience = installation(&mut *transaction).await?;
        let proxy =
            proxy::find(&mut *transaction, &id).await.map_err(|error| match error.fault {
                // Which proxies there are is for nobody to find out.
                Fault::NotFound => Problem::unauthorized(),
                Fault::Conflict
                | Fault::Stale
                | Fault::Invalid
                | Fault::Forbidden
                | Fault::Unavailable
                | Fault::Internal => error.into(),
            })?;
        let now_ms = control.clock.now_ms();
        fleet::verify(token, &proxy.public_key, (&proxy.id, &audience), now_ms)
            .map_err(|_| Problem::unauthorized())?;
        if proxy.revoked_ms.is_some() {
            let detail = "this proxy was revoked";
            return Err(Problem::new(StatusCode::FORBIDDEN, "proxy_revoked", detail));
        }
        Ok(Self(proxy))
    }
}

/// The text of a token that lets a proxy in.
#[derive(Debug)]
pub(super) struct Invited(String);

impl FromRequestParts<Control> for Invited {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Control) -> Result<Self, Problem> {
        presented(parts).map(|token| Self(token.to_owned()))
    }
}

fn presented(parts: &Parts) -> Result<&str, Problem> {
    let value = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    value.and_then(bearer).ok_or_else(Problem::unauthorized)
}

macro_rules! described {
    ($($caller:ty: $scheme:literal;)*) => {$(
        impl OperationInput for $caller {
            fn operation_input(_: &mut GenContext, operation: &mut Operation) {
                let requirement = [($scheme.to_owned(), Vec::new())].into_iter().collect();
                operation.security = vec![requirement];
            }

            fn inferred_early_responses(
                ctx: &mut GenContext,
                operation: &mut Operation,
            ) -> Vec<(Option<u16>, Described)> {
                problem::responses(ctx, operation, &[401, 403, 500, 503])
            }
        }
    )*};
}

described! {
    AsProxy: "proxy";
    Invited: "enrollment";
}

fn bytes(text: &str, field: &str) -> Result<Vec<u8>, Problem> {
    let wrong = |_| Problem::bad_request(format!("`{field}` is not base64url"));
    URL_SAFE_NO_PAD.decode(text).map_err(wrong)
}

async fn enroll(
    State(control): State<Control>,
    Invited(token): Invited,
    body: Body<EnrollBody>,
) -> Result<Created<Enrolled>, Problem> {
    let EnrollBody { public_key, proof, version } = &body.value;
    let (public_key, proof) = (bytes(public_key, "publicKey")?, bytes(proof, "proof")?);
    let (token, now_ms) = (token.as_str(), control.clock.now_ms());
    let applicant = Applicant { token, public_key: &public_key, proof: &proof, version };
    let enrolled: Result<Enrolled, DomainError> = change!(control.store, |transaction| {
        let audience = installation(transaction).await?;
        let proxy = proxy::enroll(transaction, now_ms, &applicant).await?;
        Ok(Enrolled { proxy_id: proxy.id, name: proxy.name, audience })
    });
    Ok(Answer::of(&enrolled?))
}

/// From where to go on.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "FeedPlace")]
struct Onward {
    /// `resume` of the last `commit` [default: from the beginning].
    #[schemars(length(max = 200))]
    resume: Option<String>,
}

const RESUME_BYTES_MAX: usize = 200;

/// A stream of lines.
#[derive(Debug)]
struct Stream(Lines);

impl IntoResponse for Stream {
    fn into_response(self) -> Response {
        let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
        (kind, axum::body::Body::from_stream(self.0)).into_response()
    }
}

impl OperationOutput for Stream {
    type Inner = ();

    fn operation_response(_: &mut GenContext, _: &mut Operation) -> Option<Described> {
        let description = "One JSON object per line: `reset`, `forget`, `end`, `profile`, \
                           `sandbox`, `commit`, `beat`, `revoked`. It does not end by itself."
            .to_owned();
        let content = [("application/x-ndjson".to_owned(), MediaType::default())];
        let content = content.into_iter().collect();
        Some(Described { description, content, ..Described::default() })
    }

    fn inferred_responses(
        ctx: &mut GenContext,
        operation: &mut Operation,
    ) -> Vec<(Option<u16>, Described)> {
        let response = Self::operation_response(ctx, operation);
        response.into_iter().map(|response| (Some(200), response)).collect()
    }
}

async fn feed(
    State(control): State<Control>,
    AsProxy(proxy): AsProxy,
    InQuery(from): InQuery<Onward>,
) -> Result<Stream, Problem> {
    let resume = from.resume.as_deref().unwrap_or_default();
    if resume.len() > RESUME_BYTES_MAX {
        return Err(Problem::bad_request("`resume` is none that was given"));
    }
    Ok(Stream(control.feed.stream(&control, proxy.id, from.resume.as_deref()).await?))
}

async fn acknowledge(
    State(control): State<Control>,
    AsProxy(proxy): AsProxy,
    body: Body<AckBody>,
) -> Result<NoContent, Problem> {
    let AckBody { served, refused, entrance, ca_pem } = body.value;
    let (outcome, about) = (Outcome { served, refused }, About { entrance, ca_pem });
    if !about.is_sound() {
        let detail = "`entrance` is a host and a port, and `caPem` a certificate";
        return Err(Problem::bad_request(detail));
    }
    let acknowledged = Acknowledged { proxy: proxy.id, outcome, about };
    control.feed.acknowledge(&control, acknowledged).await?;
    Ok(NoContent)
}

async fn resolve_credential(
    State(control): State<Control>,
    AsProxy(_): AsProxy,
    body: Body<ResolveBody>,
) -> Result<Found<ResolveAnswer>, Problem> {
    let wanted = resolve::Wanted {
        sandbox: body.value.sandbox_id,
        plan_digest: body.value.plan_digest,
        connection: body.value.connection_id,
        secret_type: body.value.secret_type,
        slot_key: body.value.slot_key,
        resolver_key: body.value.resolver_key,
        scope: body.value.scope,
    };
    let found = control.resolve(&wanted).await?;
    let now_ms = control.clock.now_ms();
    let life = found.expires_ms.map(|at| at.saturating_sub(now_ms).div_euclid(1000));
    let life_seconds = life.map(|seconds| u64::try_from(seconds).unwrap_or(0));
    let secret = STANDARD.encode(found.secret.expose());
    Ok(Answer::of(&ResolveAnswer { secret, version: found.version, life_seconds }))
}
