//! A connection's account, as its provider's API is spoken to: where that is, and what proves who
//! asks, both as the definition says.
//!
//! This is for what the service does itself in somebody's name. Sandboxes never come here: what
//! they ask goes through a proxy and its plan.

mod error;
mod present;

use axum::http::header::{ACCEPT, USER_AGENT};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use sallygate_definitions::contract::binding::Origin;
use sallygate_definitions::contract::injection::InjectionRule;
use sallygate_definitions::contract::method::ConnectionMethod;
use sallygate_definitions::template::{Filter, Scope, Template};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json, json};

use crate::connect::Site;
use crate::domain::connection::{self, Of, Status};
use crate::domain::resolve::{self, Permit};
use crate::domain::{DomainError, Fault};
use crate::outbound::{Answer, Call, Reply};
use crate::resolver::{self, Asked};
use crate::service::Control;
use crate::store::Access;

pub(crate) use error::ProviderError;

/// The origin of definitions that their provider's API is at.
pub(crate) const API: &str = "api";

/// Longer answers are refused: a page of the longest list that is read, or a file.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// An account at a provider. Its credential was asked for just now, and is good for what follows.
pub(crate) struct Account<'c> {
    pub(crate) site: Site<'c>,
    /// The provider's base URL, without trailing slash.
    base_url: String,
    credential: (HeaderName, HeaderValue),
}

// The credential is not shown.
impl std::fmt::Debug for Account<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account").field("base_url", &self.base_url).finish_non_exhaustive()
    }
}

impl<'c> Account<'c> {
    /// The account of a connection at an origin of its definition. What is minted for it can do
    /// what `scope` says and nothing else.
    pub(crate) async fn open(
        control: &'c Control,
        of: Of<'_>,
        (origin, scope): (&str, &Map<String, Json>),
    ) -> Result<Self, DomainError> {
        let (permit, config) = permit(control, of).await?;
        let site = Site::find(control, &permit.target_key).await?;
        let method = site.definition.method(&permit.method);
        let origin = site.definition.compile_binding.origins.iter().find(|o| o.name == origin);
        let (Some(method), Some(origin)) = (method, origin) else { return Err(no_api(&site)) };
        let base_url = base_url(&site, (origin, &config))?;
        let rule = rule(origin, method).ok_or_else(|| no_api(&site))?;
        let asked = Asked {
            resolver_key: method.resolver(),
            secret_type: rule.secret_type.as_str(),
            slot_key: rule.slot_key.as_deref().unwrap_or_default(),
            scope,
        };
        let credential = resolver::credential(control, &permit, asked).await?;
        let header = present::header(&rule.present, &credential.secret);
        let credential = header.ok_or_else(|| no_api(&site))?;
        Ok(Self { site, base_url, credential })
    }

    /// Asks for what is at a path below the base URL, with a query where there is one.
    pub(crate) async fn get(&self, path: &str) -> Result<Reply, ProviderError> {
        self.send(Method::GET, path, None).await
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Json>,
    ) -> Result<Reply, ProviderError> {
        self.ask(method, &format!("{}{path}", self.base_url), body).await
    }

    /// What a link of the provider leads to, where that is below its base URL: a credential goes
    /// nowhere else, whatever an answer says.
    pub(crate) async fn follow(&self, link: &str) -> Result<Reply, ProviderError> {
        let below = link.strip_prefix(self.base_url.as_str());
        if !below.is_some_and(|rest| rest.starts_with(['/', '?'])) {
            return Err(ProviderError::Malformed("the next piece of its list is elsewhere"));
        }
        self.ask(Method::GET, link, None).await
    }

    async fn ask(
        &self,
        method: Method,
        url: &str,
        body: Option<&Json>,
    ) -> Result<Reply, ProviderError> {
        let (name, value) = &self.credential;
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        // GitHub refuses requests without one.
        let agent = concat!("sallygate/", env!("CARGO_PKG_VERSION"));
        headers.insert(USER_AGENT, HeaderValue::from_static(agent));
        headers.insert(name.clone(), value.clone());
        let body = body.map(Json::to_string);
        let answer_bytes_max = ANSWER_BYTES_MAX;
        let call = Call { method, url, headers, body, answer_bytes_max };
        Ok(self.site.outbound.call(call).await?)
    }
}

/// The JSON of an answer of success.
pub(crate) fn json<T: DeserializeOwned>(answer: &Answer) -> Result<T, ProviderError> {
    if !answer.status.is_success() {
        return Err(ProviderError::of(answer));
    }
    serde_json::from_slice(&answer.body)
        .map_err(|_| ProviderError::Malformed("its answer is not understood"))
}

/// One segment of a path below a base URL, or several with `%2F` between them.
pub(crate) fn segment(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                escaped.push(char::from(byte));
            }
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

/// Segments of a path with `/` between them.
pub(crate) fn path(text: &str) -> String {
    text.split('/').map(segment).collect::<Vec<_>>().join("/")
}

/// The connection may be used now, and what is known about it.
async fn permit(control: &Control, of: Of<'_>) -> Result<(Permit, Json), DomainError> {
    let mut transaction = control.store.begin(Access::Read).await?;
    let found = connection::find(&mut *transaction, of).await?;
    if found.status != Status::Active {
        let message = "the connection is not active: connect again";
        return Err(DomainError::conflict("connection_not_active", message));
    }
    match resolve::active(&mut *transaction, (of.organisation, of.id)).await {
        Ok(permit) => Ok((permit, found.config)),
        Err(error) if error.fault == Fault::Forbidden => {
            Err(DomainError::conflict("target_disabled", "the connection's target is disabled"))
        }
        Err(error) => Err(error),
    }
}

fn base_url(site: &Site<'_>, (origin, config): (&Origin, &Json)) -> Result<String, DomainError> {
    let nothing = json!({});
    let scope = Scope { target: &site.config, connection: config, binding: &nothing, item: None };
    let rendered = Template::parse(&origin.base_url).and_then(|t| t.render(&scope, Filter::Raw));
    rendered.map(|url| url.trim_end_matches('/').to_owned()).map_err(|_| no_api(site))
}

/// The first rule for the method counts, as in plans.
fn rule<'d>(origin: &'d Origin, method: &ConnectionMethod) -> Option<&'d InjectionRule> {
    let is_for = |rule: &&InjectionRule| {
        let methods = &rule.connection_methods;
        methods.is_empty() || methods.iter().any(|id| id == method.id())
    };
    origin.inject.iter().find(is_for)
}

fn no_api(site: &Site<'_>) -> DomainError {
    let message = format!("target `{}` has no API that such a connection is used at", site.key);
    DomainError::conflict("provider_has_no_api", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_into_a_path_stays_one_segment() {
        assert_eq!(segment("a-b_c.d~"), "a-b_c.d~");
        assert_eq!(segment("a/b?c#d%e f"), "a%2Fb%3Fc%23d%25e%20f");
        assert_eq!(path("docs/ä b.md"), "docs/%C3%A4%20b.md");
    }
}
