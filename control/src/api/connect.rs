//! `/v1/integration/connections/{targetKey}/…`: connections that are made at the provider.
//!
//! What is begun here is ended here, by the same token or session, once.

use aide::axum::ApiRouter;
use aide::axum::routing::post_with;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::answer::{Answer, Created, Found};
use super::body::Body;
use super::caller::{Caller, Writer};
use super::connections::View;
use super::idempotency::{IdempotencyKey, Repeatable};
use super::parameters::InPath;
use super::problem::Problem;
use super::secret::SecretText;
use super::targets;
use crate::change;
use crate::clock::rfc3339;
use crate::connect::{Begun, CameBack, Connect, Polled, Returned};
use crate::domain::connection::{Consented, Installed, Wish, attach, keep_consented};
use crate::domain::{Act, DomainError, Issue, PriorAnswer};
use crate::oauth::DeviceStarted;
use crate::service::Control;

pub(super) fn routes() -> ApiRouter<Control> {
    const TO: &str = "/v1/integration/connections/{targetKey}";
    ApiRouter::new()
        .api_route(
            &format!("{TO}/oauth2/start"),
            post_with(start_consent, |o| o.id("startConsent").summary("Go and consent")),
        )
        .api_route(
            &format!("{TO}/oauth2/complete"),
            post_with(complete_consent, |o| {
                o.id("completeConsent").summary("Come back from consenting")
            }),
        )
        .api_route(
            &format!("{TO}/client-credentials"),
            post_with(connect_program, |o| {
                o.id("connectProgram").summary("Connect without a person")
            }),
        )
        .api_route(
            &format!("{TO}/device/start"),
            post_with(start_device, |o| o.id("startDevice").summary("Consent on another device")),
        )
        .api_route(
            &format!("{TO}/device/poll"),
            post_with(poll_device, |o| {
                o.id("pollDevice").summary("Ask whether somebody has consented")
            }),
        )
        .api_route(
            &format!("{TO}/redirect/start"),
            post_with(start_install, |o| o.id("startRedirect").summary("Go and install an app")),
        )
        .api_route(
            &format!("{TO}/redirect/complete"),
            post_with(complete_install, |o| {
                o.id("completeRedirect").summary("Come back from installing an app")
            }),
        )
}

/// A connection that the provider is asked for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "WantedConnection")]
struct Wanted {
    #[schemars(length(min = 1, max = 120))]
    display_name: String,
    /// The id of the method [default: the only one of its kind].
    #[serde(default)]
    method: Option<String>,
    /// As the definition's schema says.
    #[serde(default)]
    config: Map<String, Json>,
    /// A connection to make anew, with the bindings that it has [default: another one].
    #[serde(default)]
    connection_id: Option<String>,
}

impl Wanted {
    fn wish(self, which: targets::Which) -> Wish {
        Wish {
            target_key: which.target_key,
            method: self.method.unwrap_or_default(),
            display_name: self.display_name,
            config: Json::Object(self.config),
            reconnect: self.connection_id,
        }
    }

    /// What is no consent cannot be made anew by one.
    fn new_only(self, which: targets::Which) -> Result<Wish, DomainError> {
        if self.connection_id.is_some() {
            let message = "only a consent is made anew; this makes another connection";
            let issue = Issue::new("FORBIDDEN_FIELD", "connectionId", message);
            return Err(DomainError::invalid(vec![issue]));
        }
        Ok(self.wish(which))
    }
}

/// Where the person goes.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Started {
    /// Its `state` is good once, for whoever asked.
    authorization_url: String,
    expires_at: String,
}

impl From<Begun> for Started {
    fn from(it: Begun) -> Self {
        Self { authorization_url: it.url, expires_at: rfc3339(it.expires_ms) }
    }
}

/// What the provider sent the person back with.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "ConsentAnswer")]
struct Back {
    #[schemars(length(min = 1, max = 200))]
    state: String,
    /// Absent: the person did not consent.
    #[serde(default)]
    code: Option<SecretText>,
    /// What the provider says instead of a code. It is not repeated.
    #[serde(default)]
    error: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "RedirectAnswer")]
struct Redirected {
    #[schemars(length(min = 1, max = 200))]
    state: String,
    /// The other parameters that the provider came back with, as the definition names them.
    parameters: Returned,
}

/// What the person is shown, and what is polled with.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "DeviceStarted")]
struct DeviceView {
    /// For `device/poll`; good for whoever asked.
    handle: String,
    user_code: String,
    verification_uri: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    verification_uri_complete: Option<String>,
    expires_at: String,
    /// A poll before this has passed is answered without asking the provider.
    interval_seconds: i64,
}

impl From<DeviceStarted> for DeviceView {
    fn from(it: DeviceStarted) -> Self {
        Self {
            handle: it.handle,
            user_code: it.user_code,
            verification_uri: it.verification_uri,
            verification_uri_complete: it.verification_uri_complete,
            expires_at: rfc3339(it.expires_at_ms),
            interval_seconds: it.interval_seconds,
        }
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "DevicePoll")]
struct Poll {
    #[schemars(length(min = 1, max = 200))]
    handle: String,
}

#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum PollStatus {
    Pending,
    Connected,
}

/// Whether somebody has consented.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "DevicePolled")]
struct PolledView {
    status: PollStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    connection: Option<View>,
}

/// What this request was answered before, if it was.
async fn prior(
    control: &Control,
    request: &Repeatable,
) -> Result<Option<PriorAnswer>, DomainError> {
    change!(control.store, |transaction| { request.prior(transaction, &control.vault).await })
}

async fn started<T: From<B> + Serialize + Sync, B>(
    control: &Control,
    request: &Repeatable,
    begun: B,
) -> Result<Created<T>, Problem> {
    let view = T::from(begun);
    let answer: Result<PriorAnswer, DomainError> = change!(control.store, |transaction| {
        request.answer(transaction, &control.vault, &view).await
    });
    Ok(Answer::again(answer?))
}

async fn start_consent(
    State(control): State<Control>,
    writer: Writer,
    key: IdempotencyKey,
    InPath(which): InPath<targets::Which>,
    body: Body<Wanted>,
) -> Result<Created<Started>, Problem> {
    let request = key.of(&writer.act(&control), writer.organisation(), &body.bytes);
    if let Some(prior) = prior(&control, &request).await? {
        return Ok(Answer::again(prior));
    }
    let begun = Connect(&control).begin_consent(writer.who(), body.value.wish(which)).await?;
    started(&control, &request, begun).await
}

async fn complete_consent(
    State(control): State<Control>,
    writer: Writer,
    key: IdempotencyKey,
    InPath(which): InPath<targets::Which>,
    body: Body<Back>,
) -> Result<Created<View>, Problem> {
    let act = writer.act(&control);
    let request = key.of(&act, writer.organisation(), &body.bytes);
    if let Some(prior) = prior(&control, &request).await? {
        return Ok(Answer::again(prior));
    }
    let Back { state, code, error } = body.value;
    let came_back = match code.filter(|_| error.is_none()) {
        Some(code) => CameBack::Code(code.into()),
        None => CameBack::Denied,
    };
    let state = (which.target_key.as_str(), state.as_str());
    let consented = Connect(&control).finish_consent(writer.who(), state, came_back).await?;
    keep(&control, (&act, writer.organisation()), (&request, &consented)).await
}

async fn connect_program(
    State(control): State<Control>,
    writer: Writer,
    key: IdempotencyKey,
    InPath(which): InPath<targets::Which>,
    body: Body<Wanted>,
) -> Result<Created<View>, Problem> {
    let act = writer.act(&control);
    let request = key.of(&act, writer.organisation(), &body.bytes);
    if let Some(prior) = prior(&control, &request).await? {
        return Ok(Answer::again(prior));
    }
    let wish = body.value.wish(which);
    let consented = Connect(&control).connect_program(writer.who(), wish).await?;
    keep(&control, (&act, writer.organisation()), (&request, &consented)).await
}

async fn start_device(
    State(control): State<Control>,
    writer: Writer,
    key: IdempotencyKey,
    InPath(which): InPath<targets::Which>,
    body: Body<Wanted>,
) -> Result<Created<DeviceView>, Problem> {
    let request = key.of(&writer.act(&control), writer.organisation(), &body.bytes);
    if let Some(prior) = prior(&control, &request).await? {
        return Ok(Answer::again(prior));
    }
    let begun = Connect(&control).begin_device(writer.who(), body.value.wish(which)).await?;
    started(&control, &request, begun).await
}

async fn poll_device(
    State(control): State<Control>,
    writer: Writer,
    InPath(which): InPath<targets::Which>,
    body: Body<Poll>,
) -> Result<Found<PolledView>, Problem> {
    let handle = (which.target_key.as_str(), body.value.handle.as_str());
    let polled = Connect(&control).poll_device(writer.who(), handle).await?;
    let Polled::Consented(consented) = polled else {
        return Ok(Answer::of(&PolledView { status: PollStatus::Pending, connection: None }));
    };
    let made = kept(&control, (&writer.act(&control), writer.organisation()), &consented).await?;
    Ok(Answer::of(&PolledView { status: PollStatus::Connected, connection: Some(made) }))
}

async fn start_install(
    State(control): State<Control>,
    writer: Writer,
    key: IdempotencyKey,
    InPath(which): InPath<targets::Which>,
    body: Body<Wanted>,
) -> Result<Created<Started>, Problem> {
    let request = key.of(&writer.act(&control), writer.organisation(), &body.bytes);
    if let Some(prior) = prior(&control, &request).await? {
        return Ok(Answer::again(prior));
    }
    let wish = body.value.new_only(which)?;
    let begun = Connect(&control).begin_install(writer.who(), wish).await?;
    started(&control, &request, begun).await
}

async fn complete_install(
    State(control): State<Control>,
    writer: Writer,
    key: IdempotencyKey,
    InPath(which): InPath<targets::Which>,
    body: Body<Redirected>,
) -> Result<Created<View>, Problem> {
    let act = writer.act(&control);
    let request = key.of(&act, writer.organisation(), &body.bytes);
    if let Some(prior) = prior(&control, &request).await? {
        return Ok(Answer::again(prior));
    }
    let Redirected { state, parameters } = body.value;
    let state = (which.target_key.as_str(), state.as_str());
    let installed = Connect(&control).finish_install(writer.who(), state, &parameters).await?;
    let (organisation, vault) = (writer.organisation(), &control.vault);
    let answer: Result<PriorAnswer, DomainError> = change!(control.store, |transaction| {
        let with = (&act, &*control.registry);
        let made = attach(transaction, with, (organisation, &installed)).await?;
        request.answer(transaction, vault, &View::from(made)).await
    });
    control.feed.wake();
    Ok(Answer::again(answer?))
}

async fn keep(
    control: &Control,
    (act, organisation): (&Act, &str),
    (request, consented): (&Repeatable, &Consented),
) -> Result<Created<View>, Problem> {
    let (registry, vault) = (&*control.registry, &control.vault);
    let answer: Result<PriorAnswer, DomainError> = change!(control.store, |transaction| {
        let what = (organisation, consented);
        let made = keep_consented(transaction, (act, registry, vault), what).await?;
        request.answer(transaction, vault, &View::from(made)).await
    });
    control.feed.wake();
    Ok(Answer::again(answer?))
}

/// Keeps what the provider gave, for a request that has no key.
pub(super) async fn kept(
    control: &Control,
    (act, organisation): (&Act, &str),
    consented: &Consented,
) -> Result<View, DomainError> {
    let (registry, vault) = (&*control.registry, &control.vault);
    let made: Result<View, DomainError> = change!(control.store, |transaction| {
        let what = (organisation, consented);
        keep_consented(transaction, (act, registry, vault), what).await.map(View::from)
    });
    control.feed.wake();
    made
}

/// Keeps an installation, for a request that has no key.
pub(super) async fn attached(
    control: &Control,
    (act, organisation): (&Act, &str),
    installed: &Installed,
) -> Result<View, DomainError> {
    let made: Result<View, DomainError> = change!(control.store, |transaction| {
        let what = (organisation, installed);
        attach(transaction, (act, &*control.registry), what).await.map(View::from)
    });
    control.feed.wake();
    made
}
