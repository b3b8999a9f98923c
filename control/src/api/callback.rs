//! `/v1/integration/callback`: where providers send browsers back to.
//!
//! A browser whose session began the connection is done here. Everybody else is shown where to
//! take the address of the page: nothing of it is used, and nothing of it is in the page.

use aide::OperationOutput;
use aide::axum::ApiRouter;
use aide::axum::routing::get_with;
use aide::generate::GenContext;
use aide::openapi::{Operation, Response as Described};
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Deserialize;

use super::caller::{Signed, Visitor};
use super::connect::{attached, kept};
use super::parameters::InQuery;
use super::problem::Problem;
use crate::connect::{CameBack, Connect, Returned, Who};
use crate::credentials::Plaintext;
use crate::domain::token::Role;
use crate::domain::{Act, DomainError};
use crate::service::Control;

pub(super) fn routes() -> ApiRouter<Control> {
    ApiRouter::new().api_route(
        "/v1/integration/callback",
        get_with(callback, |o| o.id("connectionCallback").summary("Come back from a provider")),
    )
}

/// What providers send people back with. They may send more.
#[derive(Deserialize, JsonSchema)]
struct Back {
    #[serde(default)]
    state: Option<String>,
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    installation_id: Option<String>,
    #[serde(default)]
    setup_action: Option<String>,
}

/// A page that says how it ended.
#[derive(Clone, Copy, Debug)]
enum Page {
    Connected,
    NotConnected(&'static str),
    /// The browser is not the one that began it.
    TakeItBack,
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        let (status, title, text) = match self {
            Self::Connected => (StatusCode::OK, "Connected", "You can close this page."),
            Self::NotConnected(code) => (StatusCode::CONFLICT, "Not connected", code),
            Self::TakeItBack => (
                StatusCode::OK,
                "Almost there",
                "Copy the address of this page to where you began, within ten minutes.",
            ),
        };
        let html = format!(
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title>\
             <h1>{title}</h1><p>{text}</p></html>\n"
        );
        let headers: [(HeaderName, &str); 4] = [
            (header::CONTENT_TYPE, "text/html; charset=utf-8"),
            // The address has a code in it.
            (header::REFERRER_POLICY, "no-referrer"),
            (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ];
        (status, headers, html).into_response()
    }
}

impl OperationOutput for Page {
    type Inner = ();

    fn operation_response(_: &mut GenContext, _: &mut Operation) -> Option<Described> {
        Some(Described { description: "A page".to_owned(), ..Described::default() })
    }

    fn inferred_responses(
        ctx: &mut GenContext,
        operation: &mut Operation,
    ) -> Vec<(Option<u16>, Described)> {
        let response = Self::operation_response(ctx, operation);
        let all = [200, 409].map(|status| response.clone().map(|page| (Some(status), page)));
        all.into_iter().flatten().collect()
    }
}

async fn callback(
    State(control): State<Control>,
    Visitor(signed): Visitor,
    InQuery(back): InQuery<Back>,
) -> Result<Page, Problem> {
    let Some(signed) = signed.filter(|signed| signed.session.role >= Role::Member) else {
        return Ok(Page::TakeItBack);
    };
    match end(&control, &signed, back).await {
        Ok(page) => Ok(page),
        Err(error) if error.fault == crate::domain::Fault::Unavailable => Err(error.into()),
        Err(error) => Ok(Page::NotConnected(error.code)),
    }
}

async fn end(control: &Control, signed: &Signed, back: Back) -> Result<Page, DomainError> {
    let (session, connect) = (&signed.session, Connect(control));
    let state = back.state.unwrap_or_default();
    let Ok(begun) = connect.begun_for(&session.id, &state).await else {
        return Ok(Page::TakeItBack);
    };
    let organisation = begun.organisation.as_str();
    if session.organisation.as_ref().is_some_and(|own| own != organisation) {
        return Ok(Page::TakeItBack);
    }
    let act = Act { actor: session.person.id.clone(), now_ms: control.clock.now_ms() };
    let who = Who { organisation, session: &session.id };
    let state = (begun.target_key.as_str(), state.as_str());
    if back.installation_id.is_some() || back.setup_action.is_some() {
        let parameters = [
            ("code", back.code),
            ("installation_id", back.installation_id),
            ("setup_action", back.setup_action),
        ];
        let named = |(name, value): (&str, Option<String>)| Some((name.to_owned(), value?));
        let returned: Returned = parameters.into_iter().filter_map(named).collect();
        let installed = connect.finish_install(who, state, &returned).await?;
        attached(control, (&act, organisation), &installed).await?;
        return Ok(Page::Connected);
    }
    let came_back = match back.code.filter(|_| back.error.is_none()) {
        Some(code) => CameBack::Code(Plaintext::new(code.into_bytes())),
        None => CameBack::Denied,
    };
    let consented = connect.finish_consent(who, state, came_back).await?;
    kept(control, (&act, organisation), &consented).await?;
    Ok(Page::Connected)
}
