//! Whose a call may be: the connections whose secrets it is checked with.

use sallygate_definitions::contract::webhook::{Routing, WebhookHandler, WebhookSource};
use sallygate_definitions::webhook::WebhookSecret;
use sallygate_definitions::{Definition, Registry};
use serde_json::Value as Json;

use super::decoy::Decoy;
use super::options::WebhookOptions;
use crate::credentials::{INSTALLATION, Place, Plaintext, Sealed, Vault};
use crate::domain::DomainError;
use crate::store::{Row, StoreError, Transaction, fetch_optional};
use crate::values;

/// More connections than these are not tried: each costs whoever is called, not the caller.
const CANDIDATES_MAX: usize = 16;
/// A longer name names nothing.
const NAME_BYTES_MAX: usize = 200;
const SOURCES_MAX: i64 = 8;

/// Where a call came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Addressed {
    /// The payload says whose it is.
    Target {
        target_key: String,
    },
    Connection {
        target_key: String,
        connection: String,
    },
    /// By an organisation, and the key of a target or the family of a definition.
    Project {
        organisation: String,
        provider: String,
    },
}

/// An enabled target whose provider sends webhooks.
#[derive(Clone, Debug)]
pub struct Source<'r> {
    pub(super) target_key: String,
    pub(super) definition: &'r Definition,
    pub(super) handler: &'r WebhookHandler,
    pub(super) webhooks: &'r WebhookSource,
    pub(super) options: WebhookOptions,
}

/// A connection that a call may be for.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) id: String,
    pub(super) organisation: String,
}

/// The targets that a call may be for. None: there is nothing at this address.
pub async fn sources<'r>(
    transaction: &mut dyn Transaction,
    registry: &'r Registry,
    addressed: &Addressed,
) -> Result<Vec<Source<'r>>, DomainError> {
    let (key, family) = match addressed {
        Addressed::Target { target_key } | Addressed::Connection { target_key, .. } => {
            (target_key, None)
        }
        Addressed::Project { provider, .. } => (provider, Some(format!("{}::%", like(provider)))),
    };
    let sql = "SELECT target_key, definition, options FROM targets WHERE enabled = 1 \
               AND (target_key = $1 OR definition LIKE $2 ESCAPE '!') ORDER BY target_key LIMIT $3";
    let rows = transaction.fetch(sql, values![key, family.as_deref(), SOURCES_MAX]).await?;
    let mut sources = Vec::new();
    for row in rows {
        sources.extend(source(registry, row)?);
    }
    Ok(sources)
}

fn source(registry: &Registry, mut row: Row) -> Result<Option<Source<'_>>, StoreError> {
    let (target_key, definition, options) = (row.text()?, row.text()?, row.text()?);
    let options = serde_json::from_str(&options).map_err(|_| StoreError::Shape)?;
    let options = WebhookOptions::of(&options).map_err(|_| StoreError::Shape)?;
    let Some(definition) = registry.find(&definition) else { return Ok(None) };
    let both = definition.webhook_handler.as_ref().zip(definition.webhook_source.as_ref());
    Ok(both.map(|(handler, webhooks)| Source {
        target_key,
        definition,
        handler,
        webhooks,
        options,
    }))
}

/// The connections of `source` that the call may be for. `named` is what the payload says.
pub(super) async fn candidates(
    transaction: &mut dyn Transaction,
    source: &Source<'_>,
    (addressed, named): (&Addressed, Option<&str>),
) -> Result<Vec<Candidate>, DomainError> {
    let named = named.filter(|name| name.len() <= NAME_BYTES_MAX && !name.contains('\0'));
    let by_payload = source.webhooks.routing == Routing::Payload;
    // Every address asks the same question, so that all of them take as long.
    let (id, organisation, part) = match addressed {
        Addressed::Connection { connection, .. } => (connection.as_str(), "%".to_owned(), None),
        Addressed::Project { organisation, .. } => ("%", like(organisation), None),
        Addressed::Target { .. } => match named.filter(|_| by_payload) {
            Some(named) => ("%", "%".to_owned(), Some(named)),
            None => ("", "%".to_owned(), None),
        },
    };
    let id = if id == "%" { id.to_owned() } else { like(id) };
    let config = part.map_or("%".to_owned(), |named| format!("%{}%", like(&quoted(named))));
    let sql = "SELECT id, organisation_id, config FROM connections WHERE target_key = $1 \
               AND deleted_at IS NULL AND status <> 'revoked' AND id LIKE $2 ESCAPE '!' \
               AND organisation_id LIKE $3 ESCAPE '!' AND config LIKE $4 ESCAPE '!' \
               ORDER BY id LIMIT $5";
    let most = i64::try_from(CANDIDATES_MAX).unwrap_or(i64::MAX);
    let values = values![&source.target_key, id, organisation, config, most];
    let mut found = Vec::new();
    for mut row in transaction.fetch(sql, values).await? {
        let candidate = Candidate { id: row.text()?, organisation: row.text()? };
        let config: Json = serde_json::from_str(&row.text()?).map_err(|_| StoreError::Shape)?;
        if is_meant(source, addressed, (&candidate.id, &config), named) {
            found.push(candidate);
        }
    }
    Ok(found)
}

/// Databases compare texts in their own ways: what is found is compared again, exactly.
fn is_meant(
    source: &Source<'_>,
    addressed: &Addressed,
    (id, config): (&str, &Json),
    named: Option<&str>,
) -> bool {
    let field = source.handler.resolve_connection.as_ref().map(|r| r.connection_field.as_str());
    let known = field.and_then(|field| config.get(field)).and_then(Json::as_str);
    match addressed {
        Addressed::Connection { connection, .. } => connection == id,
        Addressed::Target { .. } => known.is_some() && known == named,
        // A connection that says nothing may be meant; its secret decides.
        Addressed::Project { .. } => known.is_none() || named.is_none() || known == named,
    }
}

/// A text that stands for itself in a pattern.
fn like(text: &str) -> String {
    text.replace('!', "!!").replace('%', "!%").replace('_', "!_")
}

fn quoted(text: &str) -> String {
    Json::String(text.to_owned()).to_string()
}

/// The secrets that a candidate's calls are proven with. Without a candidate as much is done, and
/// nothing comes of it.
pub(super) async fn secrets(
    transaction: &mut dyn Transaction,
    vault: &Vault,
    candidate: Option<&Candidate>,
    decoy: &Decoy,
) -> Result<Vec<WebhookSecret>, DomainError> {
    let id = candidate.map_or("", |candidate| candidate.id.as_str());
    let sql = "SELECT id, key_version, ciphertext FROM credentials \
               WHERE connection_id = $1 AND secret_type = 'webhook_secret' ORDER BY slot_key";
    let rows = transaction.fetch(sql, values![id]).await?;
    let mut secrets = vec![decoy.secret()];
    let Some(candidate) = candidate else {
        decoy.open(transaction, vault).await?;
        return Ok(secrets);
    };
    for mut row in rows {
        let id = row.text()?;
        let sealed = Sealed { key_version: row.integer()?, ciphertext: row.bytes()? };
        let place = Place { table: "credentials", row: &id, column: "ciphertext" };
        let opened = vault.open(transaction, &candidate.organisation, place, &sealed).await?;
        secrets.push(secret(&opened));
    }
    Ok(secrets)
}

/// The secret that all connections of the target share, where the definition has one.
pub(super) async fn shared_secret(
    transaction: &mut dyn Transaction,
    vault: &Vault,
    source: &Source<'_>,
) -> Result<Option<WebhookSecret>, DomainError> {
    let Some(name) = &source.webhooks.target_secret else { return Ok(None) };
    let sql = "SELECT key_version, ciphertext FROM target_secrets \
               WHERE target_key = $1 AND name = $2";
    let values = values![&source.target_key, name];
    let Some(mut row) = fetch_optional(transaction, sql, values).await? else { return Ok(None) };
    let sealed = Sealed { key_version: row.integer()?, ciphertext: row.bytes()? };
    let row = format!("{}/{name}", source.target_key);
    let place = Place { table: "target_secrets", row: &row, column: "ciphertext" };
    let opened = vault.open(transaction, INSTALLATION, place, &sealed).await?;
    Ok(Some(secret(&opened)))
}

fn secret(plaintext: &Plaintext) -> WebhookSecret {
    WebhookSecret::new(plaintext.expose())
}
