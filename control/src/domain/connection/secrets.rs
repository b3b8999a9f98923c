//! A connection's secrets: sealed when they come in, and never shown again.

use std::collections::BTreeMap;

use sallygate_definitions::Registry;
use sallygate_definitions::contract::method::SecretField;

use super::{Connection, Of, audited, changed, find, form};
use crate::credentials::{Place, Plaintext, Sealed, Vault};
use crate::domain::target::{self, check_revision};
use crate::domain::{Act, DomainError, Issue};
use crate::id::IdKind;
use crate::store::{Row, StoreError, Transaction, fetch_optional};
use crate::values;

/// Secrets by the name of the form's field.
pub type Secrets = BTreeMap<String, Plaintext>;

/// A longer one is no provider's.
const SECRET_BYTES_MAX: usize = 32 * 1024;

/// What is shown of a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialView {
    pub id: String,
    pub secret_type: String,
    /// Empty when the type has one place only.
    pub slot_key: String,
    pub fingerprint: String,
    pub revision: i64,
    pub created_ms: i64,
    pub updated_ms: i64,
    pub expires_ms: Option<i64>,
    pub last_used_ms: Option<i64>,
}

/// Which fields must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All but the optional ones.
    All,
    /// Whichever shall change.
    Some,
}

pub(super) fn issues(fields: &[SecretField], secrets: &Secrets, wanted: Wanted) -> Vec<Issue> {
    let issue = |name: &str, message: String| {
        Issue::new("INVALID_CONNECTION_SECRETS", format!("secrets.{name}"), message)
    };
    let mut issues = Vec::new();
    for (name, secret) in secrets {
        let bytes = secret.expose();
        if !fields.iter().any(|field| field.name == *name) {
            issues.push(issue(name, format!("the form has no field `{name}`")));
        } else if bytes.is_empty() || bytes.len() > SECRET_BYTES_MAX {
            issues.push(issue(name, format!("`{name}` has 1 to {SECRET_BYTES_MAX} bytes")));
        }
    }
    let required = |field: &&SecretField| wanted == Wanted::All && !field.optional;
    for field in fields.iter().filter(required).filter(|f| !secrets.contains_key(&f.name)) {
        issues.push(issue(&field.name, format!("`{}` is missing", field.name)));
    }
    issues
}

/// Replaces secrets; those that are not named stay.
pub async fn rotate(
    transaction: &mut dyn Transaction,
    (act, registry, vault): (&Act, &Registry, &Vault),
    of: Of<'_>,
    (secrets, if_revision): (&Secrets, Option<i64>),
) -> Result<Connection, DomainError> {
    let before = find(transaction, of).await?;
    check_revision(Some(before.revision), if_revision)?;
    let target = target::find(transaction, &before.target_key).await?;
    let definition = registry.find(&target.definition).ok_or_else(|| {
        let message = format!("there is no definition `{}` any more", target.definition);
        DomainError::conflict("definition_not_found", message)
    })?;
    let (_, fields) = form::form(definition, Some(&before.method))?;
    let mut issues = issues(fields, secrets, Wanted::Some);
    if secrets.is_empty() {
        issues.push(Issue::new("INVALID_CONNECTION_SECRETS", "secrets", "no secret is given"));
    }
    if !issues.is_empty() {
        return Err(DomainError::invalid(issues));
    }
    write(transaction, (act, vault), of, (fields, secrets)).await?;
    // A new secret is what mends a connection that the provider refused.
    let sql = "UPDATE connections SET revision = revision + 1, updated_at = $2, \
               status = CASE WHEN status = 'error' THEN 'active' ELSE status END, \
               status_reason = CASE WHEN status = 'error' THEN NULL ELSE status_reason END \
               WHERE id = $1";
    transaction.execute(sql, values![of.id, act.now_ms]).await?;
    let after = audited(transaction, act, of, ("connection.rotate", before)).await?;
    changed(transaction, act, of).await?;
    Ok(after)
}

/// What was typed into the form of a connection, by the name of the field.
pub async fn opened(
    transaction: &mut dyn Transaction,
    (registry, vault): (&Registry, &Vault),
    connection: &Connection,
) -> Result<Secrets, DomainError> {
    let target = target::find(transaction, &connection.target_key).await?;
    let Some(definition) = registry.find(&target.definition) else { return Ok(Secrets::new()) };
    let (_, fields) = form::form(definition, Some(&connection.method))?;
    let mut opened = Secrets::new();
    for field in fields {
        let sql = "SELECT id, key_version, ciphertext FROM credentials \
                   WHERE connection_id = $1 AND secret_type = $2 AND slot_key = $3";
        let slot = field.slot_key.as_deref().unwrap_or_default();
        let values = values![&connection.id, field.secret_type.as_str(), slot];
        let Some(mut row) = fetch_optional(transaction, sql, values).await? else { continue };
        let id = row.text()?;
        let sealed = Sealed { key_version: row.integer()?, ciphertext: row.bytes()? };
        let place = Place { table: "credentials", row: &id, column: "ciphertext" };
        let secret = vault.open(transaction, &connection.organisation, place, &sealed).await?;
        opened.insert(field.name.clone(), secret);
    }
    Ok(opened)
}

pub(super) async fn write(
    transaction: &mut dyn Transaction,
    (act, vault): (&Act, &Vault),
    of: Of<'_>,
    (fields, secrets): (&[SecretField], &Secrets),
) -> Result<(), DomainError> {
    for field in fields {
        let Some(secret) = secrets.get(&field.name) else { continue };
        let slot = field.slot_key.as_deref().unwrap_or_default();
        let kind = field.secret_type.as_str();
        let find = "SELECT id FROM credentials \
                    WHERE connection_id = $1 AND secret_type = $2 AND slot_key = $3";
        let id = match fetch_optional(transaction, find, values![of.id, kind, slot]).await? {
            Some(mut row) => row.text()?,
            None => act.new_id(IdKind::Credential)?.to_string(),
        };
        let place = Place { table: "credentials", row: &id, column: "ciphertext" };
        let sealed = vault.seal(transaction, of.organisation, place, secret).await?;
        let Sealed { key_version, ciphertext } = sealed;
        let sql = "INSERT INTO credentials (id, organisation_id, connection_id, secret_type, \
                   slot_key, key_version, ciphertext, fingerprint, revision, created_at, \
                   updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 1, $9, $9) \
                   ON CONFLICT (id) DO UPDATE SET key_version = $6, ciphertext = $7, \
                   fingerprint = $8, revision = credentials.revision + 1, updated_at = $9";
        let (organisation, print) = (of.organisation, secret.fingerprint());
        let values = values![
            &id,
            organisation,
            of.id,
            kind,
            slot,
            key_version,
            ciphertext,
            print,
            act.now_ms
        ];
        transaction.execute(sql, values).await?;
    }
    Ok(())
}

pub(super) async fn list(
    transaction: &mut dyn Transaction,
    connection: &str,
) -> Result<Vec<CredentialView>, DomainError> {
    let sql = "SELECT id, secret_type, slot_key, fingerprint, revision, created_at, updated_at, \
               expires_at, last_used_at FROM credentials WHERE connection_id = $1 \
               ORDER BY secret_type, slot_key";
    let rows = transaction.fetch(sql, values![connection]).await?;
    Ok(rows.into_iter().map(view).collect::<Result<_, _>>()?)
}

fn view(mut row: Row) -> Result<CredentialView, StoreError> {
    Ok(CredentialView {
        id: row.text()?,
        secret_type: row.text()?,
        slot_key: row.text()?,
        fingerprint: row.text()?,
        revision: row.integer()?,
        created_ms: row.integer()?,
        updated_ms: row.integer()?,
        expires_ms: row.optional_integer()?,
        last_used_ms: row.optional_integer()?,
    })
}
