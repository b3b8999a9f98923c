//! Credentials for proxies: given only where a sandbox's plan in force has them.
//!
//! Everything is asked afresh each time. What is refused says why to whoever runs the proxy; the
//! sandbox learns that its credential cannot be had.

use sallygate_compiler::plan::CredentialReference;
use serde_json::{Map, Value as Json};

use super::profile::{self, InForceOf};
use super::{DomainError, Fault};
use crate::credentials::{Place, Plaintext, Sealed, Vault};
use crate::feed::runs_ahead;
use crate::store::{Transaction, fetch_optional};
use crate::values;

/// After how long a proxy that serves an old plan may ask again.
const RETRY_AFTER_MS: u64 = 250;

/// Which credential, for which sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub sandbox: String,
    /// The digest of the plan that the proxy serves the sandbox by.
    pub plan_digest: String,
    pub connection: String,
    pub secret_type: String,
    pub slot_key: Option<String>,
    pub resolver_key: Option<String>,
    /// What narrows it to the binding, as the plan has it.
    pub scope: Map<String, Json>,
}

impl Wanted {
    fn is(&self, reference: &CredentialReference) -> bool {
        reference.connection_id == self.connection
            && reference.secret_type == self.secret_type
            && reference.slot_key == self.slot_key
            && reference.resolver_key == self.resolver_key
            && reference.scope == self.scope
    }
}

/// A credential, and when it ends.
#[derive(Debug)]
pub struct Credential {
    pub secret: Plaintext,
    pub version: i64,
    pub expires_ms: Option<i64>,
}

impl Credential {
    pub(crate) fn lives_at(&self, now_ms: i64) -> bool {
        self.expires_ms.is_none_or(|at| at > now_ms)
    }
}

/// A sandbox may have the credential that it wants, as of one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permit {
    pub organisation: String,
    pub connection: String,
    pub target_key: String,
    pub method: String,
}

/// How exactly it is known when a credential was last used: a write per request would be too much.
const USED_MS: i64 = 10 * 60 * 1000;

pub(crate) fn refused(why: &str) -> DomainError {
    DomainError::new(Fault::Forbidden, "credential_refused", why)
}

/// Says that the sandbox may have the credential, or why not.
pub async fn permit(
    transaction: &mut dyn Transaction,
    wanted: &Wanted,
    now_ms: i64,
) -> Result<Permit, DomainError> {
    let organisation = organisation_of(transaction, wanted, now_ms).await?;
    active(transaction, (&organisation, &wanted.connection)).await
}

/// A stored secret of the connection, whether it has ended or not.
pub async fn stored(
    transaction: &mut dyn Transaction,
    vault: &Vault,
    (permit, secret_type, slot): (&Permit, &str, &str),
) -> Result<Option<Credential>, DomainError> {
    let sql = "SELECT id, key_version, ciphertext, revision, expires_at FROM credentials \
               WHERE connection_id = $1 AND secret_type = $2 AND slot_key = $3";
    let values = values![&permit.connection, secret_type, slot];
    let Some(mut row) = fetch_optional(transaction, sql, values).await? else { return Ok(None) };
    let id = row.text()?;
    let sealed = Sealed { key_version: row.integer()?, ciphertext: row.bytes()? };
    let (version, expires_ms) = (row.integer()?, row.optional_integer()?);
    let place = Place { table: "credentials", row: &id, column: "ciphertext" };
    let secret = vault.open(transaction, &permit.organisation, place, &sealed).await?;
    Ok(Some(Credential { secret, version, expires_ms }))
}

/// Whether a use of it is worth writing down.
pub async fn is_use_news(
    transaction: &mut dyn Transaction,
    (permit, secret_type, slot): (&Permit, &str, &str),
    now_ms: i64,
) -> Result<bool, DomainError> {
    let sql = "SELECT COALESCE(last_used_at, 0) FROM credentials \
               WHERE connection_id = $1 AND secret_type = $2 AND slot_key = $3";
    let values = values![&permit.connection, secret_type, slot];
    let Some(mut row) = fetch_optional(transaction, sql, values).await? else { return Ok(false) };
    Ok(row.integer()?.saturating_add(USED_MS) <= now_ms)
}

/// Writes down that it was used.
pub async fn note_use(
    transaction: &mut dyn Transaction,
    (permit, secret_type, slot): (&Permit, &str, &str),
    now_ms: i64,
) -> Result<(), DomainError> {
    let sql = "UPDATE credentials SET last_used_at = $4 \
               WHERE connection_id = $1 AND secret_type = $2 AND slot_key = $3";
    transaction.execute(sql, values![&permit.connection, secret_type, slot, now_ms]).await?;
    Ok(())
}

/// The plan that this sandbox runs.
pub(crate) fn digest_for(of: InForceOf, sandbox: &str) -> Option<String> {
    match of.canary {
        Some((digest, percent)) if runs_ahead(sandbox, percent) => Some(digest),
        Some(_) | None => of.published,
    }
}

/// The sandbox's organisation, when the sandbox runs and its plan has this credential.
async fn organisation_of(
    transaction: &mut dyn Transaction,
    wanted: &Wanted,
    now_ms: i64,
) -> Result<String, DomainError> {
    let sql = "SELECT organisation_id, expires_at, profile_id FROM sandboxes \
               WHERE id = $1 AND revoked_at IS NULL";
    let row = fetch_optional(transaction, sql, values![&wanted.sandbox]).await?;
    let mut row = row.ok_or_else(|| refused("there is no such sandbox"))?;
    let (organisation, expires_ms) = (row.text()?, row.optional_integer()?);
    if expires_ms.is_some_and(|at| at <= now_ms) {
        return Err(refused("the sandbox has ended"));
    }
    let of = profile::in_force_of(transaction, &row.text()?).await?;
    let digest = of.and_then(|of| digest_for(of, &wanted.sandbox));
    let digest = digest.ok_or_else(|| refused("the sandbox has no plan"))?;
    if digest != wanted.plan_digest {
        // It was told, or is about to be: what the new plan has not the old one must not get.
        let message = "the proxy serves another plan than the one in force";
        let mut late = DomainError::new(Fault::Unavailable, "plan_out_of_date", message);
        late.retry_after_ms = Some(RETRY_AFTER_MS);
        return Err(late);
    }
    let plan = profile::plan(transaction, &digest).await?;
    if plan.organization_id != organisation || !plan.credentials.iter().any(|r| wanted.is(r)) {
        return Err(refused("the sandbox's plan has no such credential"));
    }
    Ok(organisation)
}

/// The connection, when it is active and its target enabled.
pub async fn active(
    transaction: &mut dyn Transaction,
    (organisation, connection): (&str, &str),
) -> Result<Permit, DomainError> {
    let sql = "SELECT c.status, t.enabled, c.target_key, c.method FROM connections c \
               JOIN targets t ON t.target_key = c.target_key \
               WHERE c.id = $1 AND c.organisation_id = $2 AND c.deleted_at IS NULL";
    let row = fetch_optional(transaction, sql, values![connection, organisation]).await?;
    let mut row = row.ok_or_else(|| refused("there is no such connection"))?;
    if row.text()? != "active" {
        return Err(refused("the connection is not active"));
    }
    if !row.truth()? {
        return Err(refused("the target is disabled"));
    }
    let (organisation, connection) = (organisation.to_owned(), connection.to_owned());
    Ok(Permit { organisation, connection, target_key: row.text()?, method: row.text()? })
}
