//! Back from an installation: anybody can name one, so whoever comes back proves that GitHub shows
//! it to them.

use sallygate_definitions::contract::oauth::{ClientAuthentication, Pkce, Refresh};
use serde::Deserialize;

use super::{App, AppError, Installation};
use crate::connect::{Returned, Site, bearer};
use crate::credentials::Plaintext;
use crate::domain::connection::{Installed, Wish};
use crate::domain::{DomainError, Fault};
use crate::oauth::{Grant, OAuthClient, Provider};

/// A page is at most so many installations: with their permissions they fit into an answer.
const PAGE: usize = 30;
/// Nobody sees more installations of one app.
const PAGES_MAX: usize = 50;

/// Fails where the target lacks what the end of an installation needs.
pub(crate) fn ready(site: &Site<'_>) -> Result<(), DomainError> {
    App::of(site)?;
    user_client(site)?;
    Ok(())
}

/// The installation that somebody came back from, when it is one that they see.
pub(crate) async fn installed(
    site: &Site<'_>,
    (wish, redirect_uri): (Wish, &str),
    (returned, now_ms): (&Returned, i64),
) -> Result<Installed, DomainError> {
    let text = |name: &str| returned.get(name).map(String::as_str);
    if text("setup_action") == Some("request") {
        let message = "the installation waits for an owner of the organisation at GitHub";
        return Err(DomainError::conflict("installation_requested", message));
    }
    let id: u64 = text("installation_id").and_then(|id| id.parse().ok()).ok_or_else(unproven)?;
    let code = text("code").ok_or_else(unproven)?;
    let app = App::of(site)?;
    let code = Plaintext::new(code.as_bytes().to_vec());
    let grant = Grant::Code { code: &code, verifier: None, redirect_uri };
    let tokens = user_client(site)?.tokens(grant, now_ms).await?;
    let seen = seen_by(site, &app, (&tokens.access, id)).await?.ok_or_else(unproven)?;
    if seen.app_id.is_some_and(|of| of.to_string() != app.id()) {
        return Err(unproven());
    }
    Ok(Installed {
        wish,
        provider: app.api().to_owned(),
        installation: id.to_string(),
        account: seen.account.login,
    })
}

fn unproven() -> DomainError {
    let message = "whoever came back did not prove that they see the installation";
    DomainError::new(Fault::Forbidden, "installation_not_proven", message)
}

/// Speaks for the user who came back. Their token is asked one question and kept nowhere.
fn user_client(site: &Site<'_>) -> Result<OAuthClient, DomainError> {
    let web = site.text("webBaseUrl")?.trim_end_matches('/');
    site.secret("clientSecret")?;
    let provider = Provider {
        token_url: format!("{web}/login/oauth/access_token"),
        authorization_url: None,
        device_authorization_url: None,
        revocation_url: None,
        authentication: ClientAuthentication::Body,
        client: site.identity()?,
        scopes: Vec::new(),
        scope_separator: " ".to_owned(),
        pkce: Pkce::None,
        refresh: Refresh::None,
        parameters: [].into(),
    };
    Ok(OAuthClient { provider, outbound: site.outbound.clone() })
}

async fn seen_by(
    site: &Site<'_>,
    app: &App,
    (token, id): (&Plaintext, u64),
) -> Result<Option<Installation>, DomainError> {
    #[derive(Deserialize)]
    struct Page {
        installations: Vec<Installation>,
    }
    for page in 1..=PAGES_MAX {
        let url = format!("{}/user/installations?per_page={PAGE}&page={page}", app.api());
        let answer = site.outbound.get(&url, Some(bearer(token)?)).await;
        let answer = answer.map_err(AppError::from)?;
        if !answer.status.is_success() {
            return Err(AppError::Unavailable { retry_after: answer.retry_after }.into());
        }
        let page: Page = serde_json::from_slice(&answer.body)
            .map_err(|_| AppError::Malformed("not a list of installations"))?;
        let count = page.installations.len();
        if let Some(seen) = page.installations.into_iter().find(|one| one.id == id) {
            return Ok(Some(seen));
        }
        if count < PAGE {
            break;
        }
    }
    Ok(None)
}
