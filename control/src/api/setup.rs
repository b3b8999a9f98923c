//! `/api/setup-import`: one document that creates or updates targets, connections, profiles and
//! what they bind, all of it or nothing.

use std::collections::BTreeMap;

use aide::axum::ApiRouter;
use aide::axum::routing::post_with;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::answer::{Answer, Found};
use super::body::Body;
use super::caller::{Caller, Importer};
use super::idempotency::IdempotencyKey;
use super::parameters::InQuery;
use super::problem::Problem;
use crate::change;
use crate::domain::DomainError;
use crate::domain::setup::{
    self, BindingItem, ConnectionItem, Document, ItemKind, Materialised, Outcome, ProfileItem,
    SecretReference, TargetItem, With,
};
use crate::service::Control;
use crate::store::Access;

pub(super) fn routes() -> ApiRouter<Control> {
    ApiRouter::new().api_route(
        "/api/setup-import",
        post_with(import, |o| {
            o.id("importSetup").summary("Make what is there like what the document says")
        }),
    )
}

/// What the document is: another form of it has another word here.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "SetupKind")]
enum Kind {
    Setup,
}

/// A secret by reference: a document never holds one.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "SecretReference")]
struct Reference {
    /// The name of a file in `setup-secrets` of the service's data directory.
    #[schemars(length(min = 1, max = 64))]
    file: String,
}

/// A deployment of a definition.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "SetupTarget")]
struct TargetBody {
    #[schemars(length(min = 1, max = 64))]
    key: String,
    /// `family::variant`
    definition: String,
    #[schemars(length(min = 1, max = 120))]
    display_name: String,
    /// [default: true]
    #[serde(default)]
    enabled: Option<bool>,
    #[serde(default)]
    config: Map<String, Json>,
    #[serde(default)]
    options: Map<String, Json>,
    #[serde(default)]
    secrets: BTreeMap<String, Reference>,
}

/// A connection by a form.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "SetupConnection")]
struct ConnectionBody {
    /// By which this document finds it again.
    #[schemars(length(min = 1, max = 64))]
    key: String,
    target_key: String,
    /// The form [default: the only one].
    #[serde(default)]
    method: Option<String>,
    #[schemars(length(min = 1, max = 120))]
    display_name: String,
    #[serde(default)]
    config: Map<String, Json>,
    #[serde(default)]
    secrets: BTreeMap<String, Reference>,
}

/// A use of a connection.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "SetupBinding")]
struct BindingBody {
    /// [default: that of its connection]
    #[serde(default)]
    id: Option<String>,
    /// The key of a connection of this document, or the id of one that is there.
    connection: String,
    #[serde(default)]
    kind: Option<String>,
    #[serde(default)]
    config: Map<String, Json>,
    #[serde(default)]
    routes: Option<Vec<Json>>,
}

/// A profile: it gets a version where the newest one differs.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "SetupProfile")]
struct ProfileBody {
    #[schemars(length(min = 1, max = 120))]
    name: String,
    #[serde(default)]
    policy: Map<String, Json>,
    #[serde(default)]
    #[schemars(length(max = 200))]
    bindings: Vec<BindingBody>,
    /// Whether it is put in force [default: true].
    #[serde(default)]
    publish: Option<bool>,
}

/// A whole setup.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Setup")]
struct Wanted {
    #[expect(dead_code, reason = "that it is read is all that matters")]
    kind: Kind,
    /// The same setup has the same id each time.
    #[schemars(length(min = 1, max = 64))]
    id: String,
    #[serde(default)]
    #[schemars(length(max = 200))]
    targets: Vec<TargetBody>,
    #[serde(default)]
    #[schemars(length(max = 200))]
    connections: Vec<ConnectionBody>,
    #[serde(default)]
    #[schemars(length(max = 200))]
    profiles: Vec<ProfileBody>,
}

fn references(given: BTreeMap<String, Reference>) -> BTreeMap<String, SecretReference> {
    given.into_iter().map(|(name, it)| (name, SecretReference(it.file))).collect()
}

impl From<Wanted> for Document {
    fn from(it: Wanted) -> Self {
        Self {
            id: it.id,
            targets: it.targets.into_iter().map(TargetItem::from).collect(),
            connections: it.connections.into_iter().map(ConnectionItem::from).collect(),
            profiles: it.profiles.into_iter().map(ProfileItem::from).collect(),
        }
    }
}

impl From<TargetBody> for TargetItem {
    fn from(it: TargetBody) -> Self {
        Self {
            key: it.key,
            definition: it.definition,
            display_name: it.display_name,
            enabled: it.enabled.unwrap_or(true),
            config: Json::Object(it.config),
            options: it.options,
            secrets: references(it.secrets),
        }
    }
}

impl From<ConnectionBody> for ConnectionItem {
    fn from(it: ConnectionBody) -> Self {
        Self {
            key: it.key,
            target_key: it.target_key,
            method: it.method,
            display_name: it.display_name,
            config: Json::Object(it.config),
            secrets: references(it.secrets),
        }
    }
}

impl From<ProfileBody> for ProfileItem {
    fn from(it: ProfileBody) -> Self {
        let binding = |it: BindingBody| BindingItem {
            id: it.id,
            connection: it.connection,
            kind: it.kind,
            config: Json::Object(it.config),
            routes: it.routes.map(Json::Array),
        };
        Self {
            name: it.name,
            policy: it.policy,
            bindings: it.bindings.into_iter().map(binding).collect(),
            publish: it.publish.unwrap_or(true),
        }
    }
}

/// An item of the document, as it is now.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "SetupItem")]
struct Item {
    kind: ItemKind,
    /// By which the document calls it.
    key: String,
    /// By which the API does.
    id: String,
    outcome: Outcome,
    /// Of a profile: its newest version.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<i64>,
    /// Of a profile: the digest of the plan that is in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    plan_digest: Option<String>,
}

impl From<Materialised> for Item {
    fn from(it: Materialised) -> Self {
        let Materialised { kind, key, id, outcome, version, plan_digest } = it;
        Self { kind, key, id, outcome, version, plan_digest }
    }
}

/// What became of a setup.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ImportedSetup")]
struct Imported {
    id: String,
    organisation_id: String,
    /// Whether nothing was done: what stands here is what would have been.
    dry_run: bool,
    items: Vec<Item>,
}

impl Imported {
    fn of(organisation: &str, document: &Document, dry_run: bool, made: Vec<Materialised>) -> Self {
        Self {
            id: document.id.clone(),
            organisation_id: organisation.to_owned(),
            dry_run,
            items: made.into_iter().map(Item::from).collect(),
        }
    }
}

/// Whether it is only tried.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "ImportOptions")]
struct Options {
    /// Say what would be done, and do nothing [default: false].
    dry_run: Option<bool>,
}

async fn import(
    State(control): State<Control>,
    importer: Importer,
    key: IdempotencyKey,
    InQuery(options): InQuery<Options>,
    body: Body<Wanted>,
) -> Result<Found<Imported>, Problem> {
    let (act, organisation) = (importer.act(&control), importer.organisation());
    let request = key.of(&act, organisation, &body.bytes);
    let document = Document::from(body.value);
    let secrets = control.setup_secrets.read(document.files()).await;
    let (registry, vault) = (&*control.registry, &control.vault);
    let with = With { act: &act, registry, vault, organisation, secrets: &secrets };
    if options.dry_run.unwrap_or(false) {
        let mut held = control.store.begin(Access::Write).await.map_err(DomainError::from)?;
        let made = setup::import(&mut *held, with, &document).await?;
        // It is dropped without a commit: nothing of it happened.
        return Ok(Answer::of(&Imported::of(organisation, &document, true, made)));
    }
    let answer = change!(control.store, |transaction| {
        if let Some(prior) = request.prior(transaction, vault).await? {
            return Ok(prior);
        }
        let made = setup::import(transaction, with, &document).await?;
        let imported = Imported::of(organisation, &document, false, made);
        request.answer(transaction, vault, &imported).await
    });
    let answer = answer.map_err(|e: DomainError| e)?;
    control.feed.wake();
    Ok(Answer::again(answer))
}
