//! `/v1/integration/targets`: the capability boundary, set by the operator and seen by all.

use std::collections::BTreeMap;

use aide::axum::ApiRouter;
use aide::axum::routing::{get_with, post_with};
use axum::extract::State;
use sallygate_definitions::Registry;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::answer::{Answer, Found, List};
use super::body::Body;
use super::caller::{Caller, Operator, Reader};
use super::definitions::forms;
use super::parameters::{IfMatch, InPath, InQuery, Paging};
use super::problem::Problem;
use super::secret::SecretText;
use crate::change;
use crate::clock::rfc3339;
use crate::credentials::Plaintext;
use crate::domain::target::{self, Enabled, Put, SecretView, Target};
use crate::domain::token::Role;
use crate::domain::{DomainError, Issue};
use crate::service::Control;
use crate::store::Access;

pub(super) fn routes() -> ApiRouter<Control> {
    const ONE: &str = "/v1/integration/targets/{targetKey}";
    ApiRouter::new()
        .api_route(
            "/v1/integration/targets",
            get_with(list, |o| o.id("listTargets").summary("List targets")),
        )
        .api_route(
            ONE,
            get_with(find, |o| o.id("getTarget").summary("Look at a target"))
                .put_with(put, |o| o.id("putTarget").summary("Make or replace a target")),
        )
        .api_route(
            &format!("{ONE}/enable"),
            post_with(enable, |o| o.id("enableTarget").summary("Let users connect")),
        )
        .api_route(
            &format!("{ONE}/disable"),
            post_with(disable, |o| o.id("disableTarget").summary("End all use of a target")),
        )
        .api_route(
            &format!("{ONE}/forms"),
            get_with(find_forms, |o| {
                o.id("getTargetForms").summary("How to ask for what a target needs")
            }),
        )
}

/// Whether a target can be used as it is.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum ConfigStatus {
    Valid,
    Invalid,
}

/// A deployment of a definition.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Target")]
struct View {
    key: String,
    /// `family::variant`
    definition: String,
    display_name: String,
    enabled: bool,
    config: Json,
    /// How it is reached, and how its credentials are presented: for operators.
    #[serde(skip_serializing_if = "Option::is_none")]
    options: Option<Map<String, Json>>,
    config_status: ConfigStatus,
    issues: Vec<Issue>,
    /// What is shown of the secrets.
    secrets: Vec<Secret>,
    revision: i64,
    created_at: String,
    updated_at: String,
}

/// What is shown of a secret.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "TargetSecret")]
struct Secret {
    name: String,
    fingerprint: String,
    version: i64,
    updated_at: String,
}

impl From<SecretView> for Secret {
    fn from(it: SecretView) -> Self {
        let updated_at = rfc3339(it.updated_ms);
        Self { name: it.name, fingerprint: it.fingerprint, version: it.revision, updated_at }
    }
}

/// Where a deployment is in the operator's network is nobody else's business.
fn view(registry: &Registry, role: Role, it: Target) -> View {
    let issues = it.problems(registry);
    let valid = issues.is_empty();
    View {
        key: it.key,
        definition: it.definition,
        display_name: it.display_name,
        enabled: it.enabled,
        config: it.config,
        options: Some(it.options).filter(|_| role == Role::Operator),
        config_status: if valid { ConfigStatus::Valid } else { ConfigStatus::Invalid },
        issues,
        secrets: it.secrets.into_iter().map(Secret::from).collect(),
        revision: it.revision,
        created_at: rfc3339(it.created_ms),
        updated_at: rfc3339(it.updated_ms),
    }
}

/// What an operator says about a target.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "PutTarget")]
struct Wanted {
    /// `family::variant`
    definition: String,
    #[schemars(length(min = 1, max = 120))]
    display_name: String,
    /// [default: true]
    #[serde(default)]
    enabled: Option<bool>,
    /// As the definition's schema says.
    #[serde(default)]
    config: Map<String, Json>,
    /// `upstream` (`caPem`, `addresses`, `allowRanges`): how it is reached. `cleartext`, `inject`,
    /// `clear`: for APIs that no definition describes. `placeholder` (`shape`, `env`): what sandboxes
    /// are given for its credentials.
    #[serde(default)]
    options: Map<String, Json>,
    /// By name; `null` takes one away, and those that are not named stay.
    #[serde(default)]
    secrets: BTreeMap<String, Option<SecretText>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Which {
    pub(super) target_key: String,
}

async fn list(
    State(control): State<Control>,
    reader: Reader,
    InQuery(paging): InQuery<Paging>,
) -> Result<Found<List<View>>, Problem> {
    let role = reader.token().role;
    let mut transaction = control.store.begin(Access::Read).await.map_err(DomainError::from)?;
    let page = target::list(&mut *transaction, &paging.page()?).await?;
    Ok(Answer::of(&List::of(page, |it| view(&control.registry, role, it))))
}

async fn find(
    State(control): State<Control>,
    reader: Reader,
    InPath(which): InPath<Which>,
) -> Result<Found<View>, Problem> {
    let mut transaction = control.store.begin(Access::Read).await.map_err(DomainError::from)?;
    let found = target::find(&mut *transaction, &which.target_key).await?;
    Ok(found_view(&control, reader.token().role, found))
}

fn found_view(control: &Control, role: Role, found: Target) -> Found<View> {
    let revision = found.revision;
    Answer::at(&view(&control.registry, role, found), revision)
}

async fn put(
    State(control): State<Control>,
    operator: Operator,
    IfMatch(if_revision): IfMatch,
    InPath(which): InPath<Which>,
    body: Body<Wanted>,
) -> Result<Found<View>, Problem> {
    let act = operator.act(&control);
    let Wanted { definition, display_name, enabled, config, options, secrets } = body.value;
    let config = Json::Object(config);
    let plaintext = |(name, text): (String, Option<SecretText>)| (name, text.map(Plaintext::from));
    let secrets: BTreeMap<String, Option<Plaintext>> = secrets.into_iter().map(plaintext).collect();
    let wanted = Put {
        key: &which.target_key,
        definition: &definition,
        display_name: &display_name,
        enabled: if enabled.unwrap_or(true) { Enabled::Yes } else { Enabled::No },
        config: &config,
        options: &options,
        secrets: &secrets,
        if_revision,
    };
    let (registry, vault) = (&*control.registry, &control.vault);
    let target: Result<Target, DomainError> = change!(control.store, |transaction| {
        target::put(transaction, (&act, registry, vault), wanted.clone()).await
    });
    let target = target?;
    control.feed.wake();
    Ok(found_view(&control, Role::Operator, target))
}

async fn enable(
    State(control): State<Control>,
    operator: Operator,
    IfMatch(if_revision): IfMatch,
    InPath(which): InPath<Which>,
) -> Result<Found<View>, Problem> {
    set_enabled(&control, &operator, (&which.target_key, Enabled::Yes), if_revision).await
}

async fn disable(
    State(control): State<Control>,
    operator: Operator,
    IfMatch(if_revision): IfMatch,
    InPath(which): InPath<Which>,
) -> Result<Found<View>, Problem> {
    set_enabled(&control, &operator, (&which.target_key, Enabled::No), if_revision).await
}

async fn set_enabled(
    control: &Control,
    operator: &Operator,
    what: (&str, Enabled),
    if_revision: Option<i64>,
) -> Result<Found<View>, Problem> {
    let act = operator.act(control);
    let target: Result<Target, DomainError> = change!(control.store, |transaction| {
        target::set_enabled(transaction, (&act, &control.registry), what, if_revision).await
    });
    let target = target?;
    control.feed.wake();
    Ok(found_view(control, Role::Operator, target))
}

/// The forms of a target's definition, by what they ask for.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Forms {
    forms: Map<String, Json>,
    /// The ways to connect, with the fields of their forms.
    methods: Vec<Json>,
}

async fn find_forms(
    State(control): State<Control>,
    _: Reader,
    InPath(which): InPath<Which>,
) -> Result<Found<Forms>, Problem> {
    let mut transaction = control.store.begin(Access::Read).await.map_err(DomainError::from)?;
    let found = target::find(&mut *transaction, &which.target_key).await?;
    let definition = control.registry.find(&found.definition);
    let definition = definition.ok_or_else(|| DomainError::not_found("definition"))?;
    let methods = definition.connection_methods.iter();
    let methods = methods.map(|method| serde_json::to_value(method).unwrap_or_default()).collect();
    Ok(Answer::of(&Forms { forms: forms(definition), methods }))
}
