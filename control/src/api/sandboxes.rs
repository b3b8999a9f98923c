//! `/v1/sandboxes`: running identities. A token is shown once.

use aide::axum::ApiRouter;
use aide::axum::routing::{get_with, post_with};
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::answer::{Answer, Created, Found, List};
use super::body::Body;
use super::caller::{Caller, Reader, Writer};
use super::idempotency::IdempotencyKey;
use super::parameters::{IfMatch, InPath, InQuery, Paging};
use super::problem::Problem;
use super::tokens::time;
use crate::change;
use crate::clock::rfc3339;
use crate::domain::sandbox::{self, NewSandbox, Sandbox, Shown, TokenKind};
use crate::domain::token::Role;
use crate::domain::{DomainError, Fault};
use crate::service::Control;
use crate::store::Access;

pub(super) fn routes() -> ApiRouter<Control> {
    const ONE: &str = "/v1/sandboxes/{sandboxId}";
    ApiRouter::new()
        .api_route(
            "/v1/sandboxes",
            get_with(list, |o| o.id("listSandboxes").summary("List sandboxes"))
                .post_with(create, |o| o.id("createSandbox").summary("Make a sandbox")),
        )
        .api_route(
            ONE,
            get_with(find, |o| o.id("getSandbox").summary("Look at a sandbox"))
                .patch_with(change_expiry, |o| {
                    o.id("changeSandbox").summary("Let a sandbox live until another time")
                })
                .delete_with(end, |o| o.id("deleteSandbox").summary("End a sandbox")),
        )
        .api_route(
            &format!("{ONE}/revoke"),
            post_with(end, |o| {
                o.id("revokeSandbox").summary("End a sandbox, and what it has in flight")
            }),
        )
        .api_route(
            &format!("{ONE}/rotate-token"),
            post_with(rotate, |o| o.id("rotateSandboxToken").summary("Give it a new token")),
        )
        .api_route(
            &format!("{ONE}/signed-tokens"),
            post_with(sign, |o| {
                o.id("signSandboxToken").summary("Sign a token that is good for a while")
            }),
        )
}

/// A running identity, without its token.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Sandbox")]
struct View {
    id: String,
    profile_id: String,
    /// Addresses whose connections are this sandbox's without a token.
    sources: Vec<String>,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_at: Option<String>,
    revision: i64,
}

impl From<Sandbox> for View {
    fn from(it: Sandbox) -> Self {
        Self {
            id: it.id,
            profile_id: it.profile,
            sources: it.sources.iter().map(ToString::to_string).collect(),
            created_at: rfc3339(it.created_ms),
            expires_at: it.expires_ms.map(rfc3339),
            revoked_at: it.revoked_ms.map(rfc3339),
            revision: it.revision,
        }
    }
}

/// A sandbox as it is shown once.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "NewlyMadeSandbox")]
struct Made {
    #[serde(flatten)]
    view: View,
    /// Shown now and never again: the password for the proxy.
    token: String,
    /// Absent: as long as the sandbox lives.
    #[serde(skip_serializing_if = "Option::is_none")]
    token_expires_at: Option<String>,
}

impl Made {
    fn of(sandbox: Sandbox, shown: Shown) -> Self {
        let token_expires_at = shown.expires_ms.map(rfc3339);
        Self { view: View::from(sandbox), token: shown.text, token_expires_at }
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "NewSandbox")]
struct New {
    profile_id: String,
    /// Address ranges whose connections are this sandbox's without a token: an operator's to say.
    #[serde(default)]
    #[schemars(length(max = 16))]
    sources: Vec<String>,
    /// RFC 3339 [default: it lives until it is revoked].
    #[serde(default)]
    expires_at: Option<String>,
    /// A signed token instead, for so many seconds.
    #[serde(default)]
    #[schemars(range(min = 1, max = 86_400))]
    signed_token_seconds: Option<i64>,
}

/// How long both tokens are good.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "RotateSandboxToken")]
struct Overlap {
    /// Seconds for which the old token is good beside the new one [default: 0].
    #[schemars(range(min = 0, max = 86_400))]
    overlap_seconds: Option<i64>,
}

/// A signed token that is wanted.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "SignSandboxToken")]
struct Sign {
    #[schemars(range(min = 1, max = 86_400))]
    ttl_seconds: i64,
}

/// A change of a sandbox.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "ChangeSandbox")]
struct Change {
    /// RFC 3339; `null`: it lives until it is revoked.
    expires_at: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Which {
    sandbox_id: String,
}

fn found(sandbox: Sandbox) -> Found<View> {
    let revision = sandbox.revision;
    Answer::at(&View::from(sandbox), revision)
}

async fn list(
    State(control): State<Control>,
    reader: Reader,
    InQuery(paging): InQuery<Paging>,
) -> Result<Found<List<View>>, Problem> {
    let mut transaction = control.store.begin(Access::Read).await.map_err(DomainError::from)?;
    let page = sandbox::list(&mut *transaction, reader.organisation(), &paging.page()?).await?;
    Ok(Answer::of(&List::of(page, View::from)))
}

async fn create(
    State(control): State<Control>,
    writer: Writer,
    key: IdempotencyKey,
    body: Body<New>,
) -> Result<Created<Made>, Problem> {
    let (act, organisation) = (writer.act(&control), writer.organisation());
    let request = key.of(&act, organisation, &body.bytes);
    let New { profile_id, sources, expires_at, signed_token_seconds } = &body.value;
    let token = signed_token_seconds.map_or(TokenKind::Stored, TokenKind::Signed);
    // Whose address is whose is the operator's to say: else one organisation takes another's.
    if !sources.is_empty() && writer.token().role != Role::Operator {
        let message = "an operator says which addresses are a sandbox's";
        return Err(DomainError::new(Fault::Forbidden, "insufficient_role", message).into());
    }
    let expires_ms = expires_at.as_deref().map(|text| time("expiresAt", text)).transpose()?;
    let answer = change!(control.store, |transaction| {
        if let Some(prior) = request.prior(transaction, &control.vault).await? {
            return Ok(prior);
        }
        let new = NewSandbox { organisation, profile: profile_id, sources, expires_ms, token };
        let means = (&act, &control.vault);
        let (sandbox, shown) = sandbox::create(transaction, means, new).await?;
        let made = Made::of(sandbox, shown);
        request.answer(transaction, &control.vault, &made).await
    });
    let answer = answer.map_err(|e: DomainError| e)?;
    control.feed.wake();
    Ok(Answer::again(answer))
}

async fn find(
    State(control): State<Control>,
    reader: Reader,
    InPath(which): InPath<Which>,
) -> Result<Found<View>, Problem> {
    let mut transaction = control.store.begin(Access::Read).await.map_err(DomainError::from)?;
    let of = (reader.organisation(), which.sandbox_id.as_str());
    Ok(found(sandbox::find(&mut *transaction, of).await?))
}

async fn end(
    State(control): State<Control>,
    writer: Writer,
    IfMatch(if_revision): IfMatch,
    InPath(which): InPath<Which>,
) -> Result<Found<View>, Problem> {
    let (act, of) = (writer.act(&control), (writer.organisation(), which.sandbox_id.as_str()));
    let ended: Result<Sandbox, DomainError> = change!(control.store, |transaction| {
        sandbox::revoke(transaction, &act, of, if_revision).await
    });
    let ended = ended?;
    control.feed.wake();
    Ok(found(ended))
}

async fn change_expiry(
    State(control): State<Control>,
    writer: Writer,
    IfMatch(if_revision): IfMatch,
    InPath(which): InPath<Which>,
    body: Body<Change>,
) -> Result<Found<View>, Problem> {
    let (act, of) = (writer.act(&control), (writer.organisation(), which.sandbox_id.as_str()));
    let expires_at = body.value.expires_at.as_deref();
    let expires_ms = expires_at.map(|text| time("expiresAt", text)).transpose()?;
    let changed: Result<Sandbox, DomainError> = change!(control.store, |transaction| {
        sandbox::set_expiry(transaction, &act, of, (expires_ms, if_revision)).await
    });
    let changed = changed?;
    control.feed.wake();
    Ok(found(changed))
}

async fn rotate(
    State(control): State<Control>,
    writer: Writer,
    InPath(which): InPath<Which>,
    InQuery(overlap): InQuery<Overlap>,
) -> Result<Found<Made>, Problem> {
    let (act, of) = (writer.act(&control), (writer.organisation(), which.sandbox_id.as_str()));
    let seconds = overlap.overlap_seconds.unwrap_or(0);
    let rotated: Result<(Sandbox, String), DomainError> = change!(control.store, |transaction| {
        sandbox::rotate(transaction, &act, of, seconds).await
    });
    let (sandbox, text) = rotated?;
    control.feed.wake();
    let revision = sandbox.revision;
    Ok(Answer::at(&Made::of(sandbox, Shown { text, expires_ms: None }), revision))
}

async fn sign(
    State(control): State<Control>,
    writer: Writer,
    key: IdempotencyKey,
    InPath(which): InPath<Which>,
    body: Body<Sign>,
) -> Result<Created<Made>, Problem> {
    let (act, of) = (writer.act(&control), (writer.organisation(), which.sandbox_id.as_str()));
    let (request, seconds) = (key.of(&act, of.0, &body.bytes), body.value.ttl_seconds);
    let answer = change!(control.store, |transaction| {
        if let Some(prior) = request.prior(transaction, &control.vault).await? {
            return Ok(prior);
        }
        let means = (&act, &control.vault);
        let (sandbox, shown) = sandbox::sign(transaction, means, of, seconds).await?;
        request.answer(transaction, &control.vault, &Made::of(sandbox, shown)).await
    });
    let answer = answer.map_err(|e: DomainError| e)?;
    control.feed.wake();
    Ok(Answer::again(answer))
}
