//! `/api/v1/auth/oidc`: people sign in with their browser.
//!
//! The first two are for browsers: they answer with a redirect, and cookies.

use aide::OperationOutput;
use aide::axum::ApiRouter;
use aide::axum::routing::{get_with, post_with};
use aide::generate::GenContext;
use aide::openapi::{Operation, Response as Described};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, NoContent, Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::answer::{Answer, Found};
use super::caller::Signed;
use super::parameters::InQuery;
use super::problem::Problem;
use crate::change;
use crate::clock::rfc3339;
use crate::domain::DomainError;
use crate::domain::token::Role;
use crate::login::{
    Finish, LOGIN_COOKIE, Login, LoginError, SESSION_COOKIE, SessionToken, cookie_of, end_session,
    removed, set_for_login, set_for_session,
};
use crate::service::Control;

pub(super) fn routes() -> ApiRouter<Control> {
    ApiRouter::new()
        .api_route(
            "/api/v1/auth/oidc/login",
            get_with(login, |o| {
                o.id("beginLogin").summary("Go and sign in").response::<502, Problem>()
            }),
        )
        .api_route(
            "/api/v1/auth/oidc/callback",
            get_with(callback, |o| {
                o.id("endLogin")
                    .summary("Come back from signing in")
                    .response::<403, Problem>()
                    .response::<502, Problem>()
            }),
        )
        .api_route(
            "/api/v1/auth/oidc/logout",
            post_with(logout, |o| o.id("logout").summary("End the session")),
        )
        .api_route(
            "/api/v1/auth/oidc/me",
            get_with(me, |o| o.id("getSession").summary("Who is signed in")),
        )
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Begin {
    /// A path of this host [default: `/`].
    #[serde(default)]
    return_to: Option<String>,
}

/// What the provider sends people back with. It may send more.
#[derive(Deserialize, JsonSchema)]
struct Back {
    state: String,
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    iss: Option<String>,
}

/// Somebody who is signed in.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "SignedIn")]
struct View {
    user_id: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    role: Role,
    #[serde(skip_serializing_if = "Option::is_none")]
    organisation_id: Option<String>,
    expires_at: String,
    /// Must come with every request that changes something, as the header `X-CSRF-Token`.
    csrf_token: String,
}

/// A redirect with cookies.
struct Redirect {
    to: String,
    cookies: Vec<HeaderValue>,
}

impl IntoResponse for Redirect {
    fn into_response(self) -> Response {
        let Ok(location) = HeaderValue::try_from(self.to) else {
            let detail = "the provider's address cannot be sent";
            return Problem::new(StatusCode::BAD_GATEWAY, "login_provider_unavailable", detail)
                .into_response();
        };
        let mut headers = HeaderMap::new();
        headers.insert(header::LOCATION, location);
        // What is in the address is nobody else's business.
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        for cookie in self.cookies {
            headers.append(header::SET_COOKIE, cookie);
        }
        (StatusCode::SEE_OTHER, headers).into_response()
    }
}

impl OperationOutput for Redirect {
    type Inner = ();

    fn operation_response(_: &mut GenContext, _: &mut Operation) -> Option<Described> {
        Some(Described { description: "Elsewhere".to_owned(), ..Described::default() })
    }

    fn inferred_responses(
        ctx: &mut GenContext,
        operation: &mut Operation,
    ) -> Vec<(Option<u16>, Described)> {
        let response = Self::operation_response(ctx, operation);
        response.into_iter().map(|response| (Some(303), response)).collect()
    }
}

impl From<LoginError> for Problem {
    fn from(error: LoginError) -> Self {
        let status = match &error {
            LoginError::UnknownAttempt | LoginError::OtherIssuer | LoginError::Refused => {
                StatusCode::BAD_REQUEST
            }
            LoginError::NotAllowed => StatusCode::FORBIDDEN,
            LoginError::IdToken(_) | LoginError::Provider(_) => StatusCode::BAD_GATEWAY,
            LoginError::Domain(_) | LoginError::Store(_) => {
                return DomainError::from(error).into();
            }
        };
        tracing::warn!(code = error.code(), %error, "nobody was signed in");
        Self::new(status, error.code(), error.to_string())
    }
}

/// The way to sign in, where one is configured.
fn way(control: &Control) -> Result<&Login, Problem> {
    control.login.as_deref().ok_or_else(|| {
        let detail = "no OpenID provider is configured";
        Problem::new(StatusCode::NOT_FOUND, "login_not_configured", detail)
    })
}

async fn login(
    State(control): State<Control>,
    InQuery(begin): InQuery<Begin>,
) -> Result<Redirect, Problem> {
    let return_to = begin.return_to.as_deref().unwrap_or("/");
    let started = way(&control)?.start(return_to, control.clock.now_ms()).await?;
    let cookies = set_for_login(&started.cookie).into_iter().collect();
    Ok(Redirect { to: started.url, cookies })
}

async fn callback(
    State(control): State<Control>,
    headers: HeaderMap,
    InQuery(back): InQuery<Back>,
) -> Result<Redirect, Problem> {
    let (login, now_ms) = (way(&control)?, control.clock.now_ms());
    let cookie = cookie_of(&headers, LOGIN_COOKIE).ok_or(LoginError::UnknownAttempt)?;
    let (state, code, issuer) = (&back.state, back.code.as_deref(), back.iss.as_deref());
    let finished = login.finish(Finish { state, code, issuer, cookie }, now_ms).await?;
    let session = set_for_session(finished.token.expose(), finished.session.seconds(now_ms));
    let cookies = session.into_iter().chain(removed(LOGIN_COOKIE)).collect();
    Ok(Redirect { to: finished.return_to, cookies })
}

async fn me(signed: Signed) -> Found<View> {
    let Signed { session, token } = signed;
    Answer::of(&View {
        user_id: session.person.id,
        name: session.person.name,
        email: session.person.email,
        role: session.role,
        organisation_id: session.organisation,
        expires_at: rfc3339(session.expires_ms),
        csrf_token: token.csrf(),
    })
}

async fn logout(
    State(control): State<Control>,
    signed: Signed,
) -> Result<(HeaderMap, NoContent), Problem> {
    let token: &SessionToken = &signed.token;
    let ended: Result<(), DomainError> =
        change!(control.store, |transaction| { Ok(end_session(transaction, token).await?) });
    ended?;
    let cookie = removed(SESSION_COOKIE).into_iter().map(|cookie| (header::SET_COOKIE, cookie));
    Ok((cookie.collect(), NoContent))
}
