//! `/v1/api-tokens`: who may use this API, and for what. The text is shown once.

use aide::axum::ApiRouter;
use aide::axum::routing::{delete_with, get_with};
use axum::extract::State;
use axum::response::NoContent;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::answer::{Answer, Created, Found, List};
use super::body::Body;
use super::caller::{Anybody, Caller, Writer};
use super::idempotency::IdempotencyKey;
use super::parameters::{InPath, InQuery, Paging};
use super::problem::Problem;
use crate::change;
use crate::clock::{parse_rfc3339, rfc3339};
use crate::domain::token::{self, ApiToken, Role, Wanted};
use crate::domain::{DomainError, Fault, Issue};
use crate::service::Control;
use crate::store::Access;

pub(super) fn routes() -> ApiRouter<Control> {
    ApiRouter::new()
        .api_route("/v1/me", get_with(me, |o| o.id("getMe").summary("Who the caller is")))
        .api_route(
            "/v1/api-tokens",
            get_with(list, |o| o.id("listApiTokens").summary("List API tokens"))
                .post_with(create, |o| o.id("createApiToken").summary("Make an API token")),
        )
        .api_route(
            "/v1/api-tokens/{tokenId}",
            delete_with(revoke, |o| o.id("revokeApiToken").summary("End an API token")),
        )
}

/// An API token, without its text.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ApiToken")]
struct View {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    organisation_id: Option<String>,
    name: String,
    role: Role,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_at: Option<String>,
}

impl From<ApiToken> for View {
    fn from(it: ApiToken) -> Self {
        Self {
            id: it.id,
            organisation_id: it.organisation,
            name: it.name,
            role: it.role,
            created_at: rfc3339(it.created_ms),
            expires_at: it.expires_ms.map(rfc3339),
            revoked_at: it.revoked_ms.map(rfc3339),
        }
    }
}

/// An API token as it is shown once.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "NewlyMadeApiToken")]
struct Made {
    #[serde(flatten)]
    view: View,
    /// Shown now and never again.
    token: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "NewApiToken")]
struct New {
    #[schemars(length(min = 1, max = 120))]
    name: String,
    role: Role,
    /// RFC 3339.
    #[serde(default)]
    expires_at: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Which {
    token_id: String,
}

async fn me(Anybody(token): Anybody) -> Found<View> {
    Answer::of(&View::from(token))
}

async fn list(
    State(control): State<Control>,
    writer: Writer,
    InQuery(paging): InQuery<Paging>,
) -> Result<Found<List<View>>, Problem> {
    let mut transaction = control.store.begin(Access::Read).await.map_err(DomainError::from)?;
    let of = Some(writer.organisation());
    let page = token::list(&mut *transaction, of, &paging.page()?).await?;
    Ok(Answer::of(&List::of(page, View::from)))
}

/// Nobody makes a token that may more than they may.
fn check_role(writer: &Writer, role: Role) -> Result<(), DomainError> {
    if role <= writer.token().role && role != Role::Operator {
        return Ok(());
    }
    let message = match role {
        Role::Operator => "the operator's token is that of the installation",
        Role::Member | Role::Approver | Role::ReadOnly => "a token has at most its maker's role",
    };
    Err(DomainError::new(Fault::Forbidden, "insufficient_role", message))
}

async fn create(
    State(control): State<Control>,
    writer: Writer,
    key: IdempotencyKey,
    body: Body<New>,
) -> Result<Created<Made>, Problem> {
    let act = writer.act(&control);
    let New { name, role, expires_at } = &body.value;
    check_role(&writer, *role)?;
    let expires_ms = expires_at.as_deref().map(|text| time("expiresAt", text)).transpose()?;
    let organisation = writer.organisation();
    let request = key.of(&act, organisation, &body.bytes);
    let answer = change!(control.store, |transaction| {
        if let Some(prior) = request.prior(transaction, &control.vault).await? {
            return Ok(prior);
        }
        let organisation = Some(organisation);
        let wanted = Wanted { organisation, name, role: *role, expires_ms };
        let (token, text) = token::create(transaction, &act, wanted).await?;
        let made = Made { view: View::from(token), token: text };
        request.answer(transaction, &control.vault, &made).await
    });
    Ok(Answer::again(answer.map_err(|e: DomainError| e)?))
}

/// A time in a body.
pub(super) fn time(field: &str, text: &str) -> Result<i64, DomainError> {
    parse_rfc3339(text).ok_or_else(|| {
        let message = format!("`{field}` is a time such as `2027-01-01T00:00:00Z`");
        DomainError::invalid(vec![Issue::new("INVALID_TIME", field, message)])
    })
}

async fn revoke(
    State(control): State<Control>,
    writer: Writer,
    InPath(which): InPath<Which>,
) -> Result<NoContent, Problem> {
    let (act, of) = (writer.act(&control), (Some(writer.organisation()), which.token_id.as_str()));
    let ended: Result<(), DomainError> =
        change!(control.store, |transaction| { token::revoke(transaction, &act, of).await });
    ended?;
    Ok(NoContent)
}
