//! `/v1/sandboxes/{sandboxId}/bootstrap`: what a sandbox needs to find its way out. It asks itself, with
//! its own token: nobody else gets an answer, and nobody else's token is in it.

use std::collections::BTreeMap;
use std::path::Path;

use aide::OperationInput;
use aide::axum::ApiRouter;
use aide::axum::routing::get_with;
use aide::generate::GenContext;
use aide::openapi::{Operation, Response as Described};
use axum::extract::{FromRequestParts, State};
use axum::http::header;
use axum::http::request::Parts;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::answer::{Answer, Found};
use super::caller::bearer;
use super::parameters::{InPath, InQuery};
use super::problem::{self, Problem};
use crate::bundle::with_system_roots;
use crate::clock::rfc3339;
use crate::domain::sandbox::{self, Sandbox};
use crate::domain::{DomainError, proxy};
use crate::feed::About;
use crate::placeholders;
use crate::sandbox_environment::{Entrance, TrustFiles, userinfo, variables};
use crate::service::Control;
use crate::store::Access;

pub(super) fn routes() -> ApiRouter<Control> {
    ApiRouter::new().api_route(
        "/v1/sandboxes/{sandboxId}/bootstrap",
        get_with(bootstrap, |o| {
            o.id("bootstrapSandbox").summary("The environment and authorities that a sandbox needs")
        }),
    )
}

/// A sandbox that showed its own token.
#[derive(Debug)]
pub(super) struct AsSandbox {
    sandbox: Sandbox,
    token: String,
}

impl AsSandbox {
    pub(super) fn into_sandbox(self) -> Sandbox {
        self.sandbox
    }
}

impl FromRequestParts<Control> for AsSandbox {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, control: &Control) -> Result<Self, Problem> {
        let value = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = value.and_then(bearer).ok_or_else(Problem::unauthorized)?.to_owned();
        let begun = control.store.begin(Access::Read).await;
        let mut transaction = begun.map_err(DomainError::from)?;
        let now_ms = control.clock.now_ms();
        let found = sandbox::identify(&mut *transaction, &token, now_ms).await?;
        let sandbox = found.ok_or_else(Problem::unauthorized)?;
        Ok(Self { sandbox, token })
    }
}

impl OperationInput for AsSandbox {
    fn operation_input(_: &mut GenContext, operation: &mut Operation) {
        let requirement = [("sandbox".to_owned(), Vec::new())].into_iter().collect();
        operation.security = vec![requirement];
    }

    fn inferred_early_responses(
        ctx: &mut GenContext,
        operation: &mut Operation,
    ) -> Vec<(Option<u16>, Described)> {
        problem::responses(ctx, operation, &[401, 403, 500, 503])
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Which {
    sandbox_id: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "BootstrapQuery")]
struct Asked {
    /// The proxy that it will use [default: that of the control service, else the first live one].
    #[schemars(length(max = 64))]
    proxy: Option<String>,
    /// Where it will put the files [default: /etc/sallygate].
    #[schemars(length(max = 200))]
    ca_dir: Option<String>,
}

const CA_DIR: &str = "/etc/sallygate";
const CA_DIR_BYTES_MAX: usize = 200;

/// What a sandbox needs.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Bootstrap")]
struct View {
    sandbox_id: String,
    /// `host:port` of the proxy.
    entrance: String,
    /// Variables to set. The proxy's URL has the sandbox's token in it; where clients insist on a
    /// key, there is a placeholder of the sandbox's own.
    env: BTreeMap<String, String>,
    /// Files to write, by their path: `env` names them.
    files: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
}

async fn bootstrap(
    State(control): State<Control>,
    asker: AsSandbox,
    InPath(which): InPath<Which>,
    InQuery(asked): InQuery<Asked>,
) -> Result<Found<View>, Problem> {
    let AsSandbox { sandbox, token } = asker;
    if sandbox.id != which.sandbox_id {
        return Err(DomainError::not_found("sandbox").into());
    }
    let ca_dir = asked.ca_dir.as_deref().unwrap_or(CA_DIR);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.".contains(&byte);
    if !ca_dir.starts_with('/') || ca_dir.len() > CA_DIR_BYTES_MAX || !ca_dir.bytes().all(plain) {
        let detail = "`caDir` is an absolute path of letters, digits and `/-_.`";
        return Err(Problem::bad_request(detail));
    }
    let about = about(&control, asked.proxy.as_deref()).await?;
    let (Some((host, port)), Some(own)) = (about.entrance(), about.ca_pem) else {
        let message = "no proxy says where sandboxes find it";
        return Err(DomainError::conflict("no_proxy", message).into());
    };
    let entrance = format!("{host}:{port}");
    let way = Entrance { host, port, userinfo: Some(userinfo(&sandbox.id, &token)) };
    let trust = TrustFiles::within(Path::new(ca_dir), None);
    let env = variables(&way, &trust, None).into_iter();
    let env = env.map(|(name, value)| (name.to_owned(), value));
    let mut transaction = control.store.begin(Access::Read).await.map_err(DomainError::from)?;
    let given = placeholders::variables(&mut *transaction, &control.vault, &sandbox).await?;
    drop(transaction);
    // None of a placeholder's leads past the proxy, whatever it is called.
    let env = given.into_iter().chain(env).collect();
    let path = |path: &Path| path.display().to_string();
    let files = [(path(&trust.bundle), with_system_roots(&own)), (path(&trust.own), own)];
    let view = View {
        entrance,
        env,
        files: files.into_iter().collect(),
        expires_at: sandbox.expires_ms.map(rfc3339),
        sandbox_id: sandbox.id,
    };
    Ok(Answer::of(&view))
}

/// What is known of the proxy that is meant.
async fn about(control: &Control, wanted: Option<&str>) -> Result<About, DomainError> {
    let local = control.feed.local_about();
    if wanted.is_none() && local.entrance.is_some() {
        return Ok(local);
    }
    let mut transaction = control.store.begin(Access::Read).await?;
    let live = proxy::all_live(&mut *transaction, control.clock.now_ms()).await?;
    let mut fit = live.into_iter().filter(|proxy| match wanted {
        Some(id) => proxy.id == id,
        None => proxy.about.entrance.is_some(),
    });
    match (fit.next(), wanted) {
        (Some(proxy), _) => Ok(proxy.about),
        (None, Some(_)) => Err(DomainError::not_found("live proxy")),
        (None, None) => Ok(About::default()),
    }
}
