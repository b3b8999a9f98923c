//! An app is installed at the provider: a redirect that is not OAuth, there and back.

use std::collections::BTreeMap;

use sallygate_definitions::contract::method::ConnectionMethod;
use sallygate_definitions::template::{Filter, Scope, Template};
use serde_json::json;
use url::Url;

use super::consent::{Begun, PURPOSE, owner};
use super::{Connect, Site, Who};
use crate::domain::connection::{Installed, Wish};
use crate::domain::{DomainError, Issue};
use crate::github;
use crate::oauth::{Attempt, Begin, OAuthError};

/// The parameters that a browser came back with, by name.
pub type Returned = BTreeMap<String, String>;

const PARAMETER_BYTES_MAX: usize = 2048;

fn is_redirect(method: &ConnectionMethod) -> bool {
    matches!(method, ConnectionMethod::Redirect { .. })
}

impl Connect<'_> {
    pub async fn begin_install(&self, who: Who<'_>, wish: Wish) -> Result<Begun, DomainError> {
        let Self(control) = self;
        let site = Site::find(control, &wish.target_key).await?;
        let method = site.method(wish.method(), is_redirect)?;
        let wish = self.checked(who, Wish { method: method.id().to_owned(), ..wish }).await?;
        let mut url = start_url(&site)?;
        // Whoever cannot finish must not begin.
        github::ready(&site)?;
        let (payload, redirect_uri) = (wish.payload(), site.text("redirectUri")?);
        let begin = Begin { owner: owner(who), purpose: PURPOSE, redirect_uri, payload: &payload };
        let now_ms = control.clock.now_ms();
        let begun = Attempt::begin(&control.store, &control.vault, begin, now_ms).await?;
        let (state, _, expires_ms) = begun;
        let handler = site.definition.redirect_handler.as_ref();
        let parameter = handler.map_or("state", |handler| handler.state_parameter.as_str());
        url.query_pairs_mut().append_pair(parameter, &state);
        Ok(Begun { url: url.into(), expires_ms })
    }

    /// Ends an installation: the state first, then whoever came back proves that they see it.
    pub async fn finish_install(
        &self,
        who: Who<'_>,
        (target_key, state): (&str, &str),
        returned: &Returned,
    ) -> Result<Installed, DomainError> {
        let Self(control) = self;
        let attempt = self.consume(who, (target_key, state)).await?;
        let wish = Wish::from_payload(&attempt.payload)?;
        let site = Site::find(control, &wish.target_key).await?;
        let method = site.method(Some(&wish.method), is_redirect);
        method.map_err(|_| OAuthError::UnknownState)?;
        check(&site, returned)?;
        let now_ms = control.clock.now_ms();
        github::installed(&site, (wish, &attempt.redirect_uri), (returned, now_ms)).await
    }
}

fn start_url(site: &Site<'_>) -> Result<Url, DomainError> {
    let unusable = |why: String| {
        let message = format!("target `{}` has no address to install the app at: {why}", site.key);
        DomainError::conflict("target_incomplete", message)
    };
    let handler = site.definition.redirect_handler.as_ref();
    let template = handler.map(|handler| handler.start_url.as_str()).unwrap_or_default();
    let nothing = json!({});
    let scope = Scope { target: &site.config, connection: &nothing, binding: &nothing, item: None };
    let text = Template::parse(template).and_then(|url| url.render(&scope, Filter::Raw));
    let text = text.map_err(|error| unusable(error.to_string()))?;
    let url = Url::parse(&text).ok().filter(|url| url.scheme() == "https");
    url.ok_or_else(|| unusable("it is not an https URL".to_owned()))
}

/// Only what the definition names comes back, and nothing of it is long.
fn check(site: &Site<'_>, returned: &Returned) -> Result<(), DomainError> {
    let handler = site.definition.redirect_handler.as_ref();
    let known = handler.map(|handler| handler.complete_parameters.as_slice()).unwrap_or_default();
    let mut issues = Vec::new();
    for (name, value) in returned {
        let field = format!("parameters.{name}");
        if !known.contains(name) {
            let message = format!("the provider comes back with no `{name}`");
            issues.push(Issue::new("UNKNOWN_FIELD", field, message));
        } else if value.is_empty() || value.len() > PARAMETER_BYTES_MAX {
            let message = format!("`{name}` has 1 to {PARAMETER_BYTES_MAX} bytes");
            issues.push(Issue::new("MALFORMED", field, message));
        }
    }
    if issues.is_empty() { Ok(()) } else { Err(DomainError::invalid(issues)) }
}
