//! `/v1/integration/connections`: an organisation's relationships to targets.

use std::collections::BTreeMap;

use aide::axum::ApiRouter;
use aide::axum::routing::{get_with, post_with};
use axum::extract::State;
use axum::response::NoContent;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::answer::{Answer, Created, Found, List};
use super::body::Body;
use super::caller::{Caller, Reader, Writer};
use super::idempotency::IdempotencyKey;
use super::parameters::{IfMatch, InPath, InQuery, Paging};
use super::problem::Problem;
use super::secret::SecretText;
use super::targets;
use crate::change;
use crate::clock::rfc3339;
use crate::credentials::Plaintext;
use crate::domain::DomainError;
use crate::domain::connection::{
    self, Connection, CredentialView, NewConnection, Of, Secrets, Status,
};
use crate::service::Control;
use crate::store::Access;

pub(super) fn routes() -> ApiRouter<Control> {
    const ALL: &str = "/v1/integration/connections";
    // Both a key and an id stand here: a router has one name for a place.
    const ONE: &str = "/v1/integration/connections/{connectionId}";
    ApiRouter::new()
        .api_route(ALL, get_with(list, |o| o.id("listConnections").summary("List connections")))
        .api_route(
            &format!("{ALL}/{{targetKey}}/form"),
            post_with(create, |o| o.id("connectByForm").summary("Connect with secrets")),
        )
        .api_route(
            ONE,
            get_with(find, |o| o.id("getConnection").summary("Look at a connection"))
                .patch_with(rename, |o| o.id("renameConnection").summary("Rename a connection"))
                .delete_with(delete, |o| o.id("deleteConnection").summary("Delete a connection")),
        )
        .api_route(
            &format!("{ONE}/rotate-secret"),
            post_with(rotate, |o| o.id("rotateConnection").summary("Replace secrets")),
        )
        .api_route(
            &format!("{ONE}/revoke"),
            post_with(revoke, |o| o.id("revokeConnection").summary("End all use of a connection")),
        )
}

/// An authenticated relationship to a target.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Connection")]
pub(super) struct View {
    id: String,
    target_key: String,
    method: String,
    display_name: String,
    config: Json,
    #[serde(skip_serializing_if = "Option::is_none")]
    external_subject: Option<String>,
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_reason: Option<String>,
    /// What is shown of the credentials.
    credentials: Vec<Credential>,
    revision: i64,
    created_at: String,
    updated_at: String,
}

/// What is shown of a credential.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Credential {
    id: String,
    secret_type: String,
    slot_key: String,
    fingerprint: String,
    version: i64,
    created_at: String,
    updated_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_used_at: Option<String>,
}

impl From<CredentialView> for Credential {
    fn from(it: CredentialView) -> Self {
        Self {
            id: it.id,
            secret_type: it.secret_type,
            slot_key: it.slot_key,
            fingerprint: it.fingerprint,
            version: it.revision,
            created_at: rfc3339(it.created_ms),
            updated_at: rfc3339(it.updated_ms),
            expires_at: it.expires_ms.map(rfc3339),
            last_used_at: it.last_used_ms.map(rfc3339),
        }
    }
}

impl From<Connection> for View {
    fn from(it: Connection) -> Self {
        Self {
            id: it.id,
            target_key: it.target_key,
            method: it.method,
            display_name: it.display_name,
            config: it.config,
            external_subject: it.external_subject,
            status: it.status,
            status_reason: it.status_reason,
            credentials: it.credentials.into_iter().map(Credential::from).collect(),
            revision: it.revision,
            created_at: rfc3339(it.created_ms),
            updated_at: rfc3339(it.updated_ms),
        }
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "NewConnection")]
struct New {
    #[schemars(length(min = 1, max = 120))]
    display_name: String,
    /// The id of the form [default: the only one].
    #[serde(default)]
    method: Option<String>,
    /// As the definition's schema says.
    #[serde(default)]
    config: Map<String, Json>,
    /// By the name of the form's field.
    secrets: BTreeMap<String, SecretText>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "RenameConnection")]
struct Rename {
    #[schemars(length(min = 1, max = 120))]
    display_name: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "RotateSecrets")]
struct Rotate {
    /// By the name of the form's field; those that are not named stay.
    secrets: BTreeMap<String, SecretText>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Which {
    connection_id: String,
}

fn plaintexts(secrets: BTreeMap<String, SecretText>) -> Secrets {
    secrets.into_iter().map(|(name, text)| (name, Plaintext::from(text))).collect()
}

fn found(connection: Connection) -> Found<View> {
    let revision = connection.revision;
    Answer::at(&View::from(connection), revision)
}

async fn list(
    State(control): State<Control>,
    reader: Reader,
    InQuery(paging): InQuery<Paging>,
) -> Result<Found<List<View>>, Problem> {
    let mut transaction = control.store.begin(Access::Read).await.map_err(DomainError::from)?;
    let page = connection::list(&mut *transaction, reader.organisation(), &paging.page()?).await?;
    Ok(Answer::of(&List::of(page, View::from)))
}

async fn create(
    State(control): State<Control>,
    writer: Writer,
    key: IdempotencyKey,
    InPath(which): InPath<targets::Which>,
    body: Body<New>,
) -> Result<Created<View>, Problem> {
    let (act, organisation) = (writer.act(&control), writer.organisation());
    let request = key.of(&act, organisation, &body.bytes);
    let New { display_name, method, config, secrets } = body.value;
    let (config, secrets) = (Json::Object(config), plaintexts(secrets));
    let (registry, vault) = (&*control.registry, &control.vault);
    let answer = change!(control.store, |transaction| {
        if let Some(prior) = request.prior(transaction, vault).await? {
            return Ok(prior);
        }
        let new = NewConnection {
            organisation,
            target_key: &which.target_key,
            method: method.as_deref(),
            display_name: &display_name,
            config: &config,
            secrets: &secrets,
        };
        let made = connection::create(transaction, (&act, registry, vault), new).await?;
        request.answer(transaction, vault, &View::from(made)).await
    });
    Ok(Answer::again(answer.map_err(|e: DomainError| e)?))
}

async fn find(
    State(control): State<Control>,
    reader: Reader,
    InPath(which): InPath<Which>,
) -> Result<Found<View>, Problem> {
    let mut transaction = control.store.begin(Access::Read).await.map_err(DomainError::from)?;
    let of = Of { organisation: reader.organisation(), id: &which.connection_id };
    Ok(found(connection::find(&mut *transaction, of).await?))
}

async fn rename(
    State(control): State<Control>,
    writer: Writer,
    IfMatch(if_revision): IfMatch,
    InPath(which): InPath<Which>,
    body: Body<Rename>,
) -> Result<Found<View>, Problem> {
    let act = writer.act(&control);
    let of = Of { organisation: writer.organisation(), id: &which.connection_id };
    let wanted = (body.value.display_name.as_str(), if_revision);
    let renamed: Result<Connection, DomainError> = change!(control.store, |transaction| {
        connection::rename(transaction, &act, of, wanted).await
    });
    Ok(found(renamed?))
}

async fn rotate(
    State(control): State<Control>,
    writer: Writer,
    IfMatch(if_revision): IfMatch,
    InPath(which): InPath<Which>,
    body: Body<Rotate>,
) -> Result<Found<View>, Problem> {
    let act = writer.act(&control);
    let of = Of { organisation: writer.organisation(), id: &which.connection_id };
    let secrets = plaintexts(body.value.secrets);
    let (registry, vault) = (&*control.registry, &control.vault);
    let rotated: Result<Connection, DomainError> = change!(control.store, |transaction| {
        let with = (&act, registry, vault);
        connection::rotate(transaction, with, of, (&secrets, if_revision)).await
    });
    let rotated = rotated?;
    control.feed.wake();
    Ok(found(rotated))
}

async fn revoke(
    State(control): State<Control>,
    writer: Writer,
    IfMatch(if_revision): IfMatch,
    InPath(which): InPath<Which>,
) -> Result<Found<View>, Problem> {
    let act = writer.act(&control);
    let of = Of { organisation: writer.organisation(), id: &which.connection_id };
    let revoked: Result<Connection, DomainError> = change!(control.store, |transaction| {
        connection::revoke(transaction, &act, of, if_revision).await
    });
    let revoked = revoked?;
    control.feed.wake();
    Ok(found(revoked))
}

async fn delete(
    State(control): State<Control>,
    writer: Writer,
    IfMatch(if_revision): IfMatch,
    InPath(which): InPath<Which>,
) -> Result<NoContent, Problem> {
    let act = writer.act(&control);
    let of = Of { organisation: writer.organisation(), id: &which.connection_id };
    let deleted: Result<(), DomainError> = change!(control.store, |transaction| {
        connection::delete(transaction, (&act, &control.vault), of, if_revision).await
    });
    deleted?;
    control.feed.wake();
    Ok(NoContent)
}
