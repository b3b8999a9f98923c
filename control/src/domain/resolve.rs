//! Credentials for proxies: given only where a sandbox's plan in force has them.
//!
//! Everything is asked afresh each time. What is refused says why to whoever runs the proxy; the
//! sandbox learns that its credential cannot be had.

use sallygate_compiler::plan::CredentialReference;

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
}

impl Wanted {
    fn is(&self, reference: &CredentialReference) -> bool {
        reference.connection_id == self.connection
            && reference.secret_type == self.secret_type
            && reference.slot_key == self.slot_key
            && reference.resolver_key == self.resolver_key
    }
}

/// A credential, and when it ends.
#[derive(Debug)]
pub struct Credential {
    pub secret: Plaintext,
    pub version: i64,
    pub expires_ms: Option<i64>,
}

fn refused(why: &str) -> DomainError {
    DomainError::new(Fault::Forbidden, "credential_refused", why)
}

/// Opens the credential, or says why this sandbox does not get it.
pub async fn resolve(
    transaction: &mut dyn Transaction,
    vault: &Vault,
    wanted: &Wanted,
    now_ms: i64,
) -> Result<Credential, DomainError> {
    let organisation = organisation_of(transaction, wanted, now_ms).await?;
    check_connection(transaction, wanted, &organisation).await?;
    if let Some(key) = &wanted.resolver_key {
        return Err(refused(&format!("there is no resolver `{key}`")));
    }
    let slot = wanted.slot_key.as_deref().unwrap_or_default();
    let sql = "SELECT id, key_version, ciphertext, revision, expires_at FROM credentials \
               WHERE connection_id = $1 AND secret_type = $2 AND slot_key = $3";
    let values = values![&wanted.connection, &wanted.secret_type, slot];
    let row = fetch_optional(transaction, sql, values).await?;
    let mut row = row.ok_or_else(|| refused("the connection has no such credential"))?;
    let (id, key_version, ciphertext) = (row.text()?, row.integer()?, row.bytes()?);
    let (version, expires_ms) = (row.integer()?, row.optional_integer()?);
    if expires_ms.is_some_and(|at| at <= now_ms) {
        return Err(refused("the credential has expired"));
    }
    let place = Place { table: "credentials", row: &id, column: "ciphertext" };
    let sealed = Sealed { key_version, ciphertext };
    let secret = vault.open(transaction, &organisation, place, &sealed).await?;
    Ok(Credential { secret, version, expires_ms })
}

/// The plan that this sandbox runs.
fn digest_for(of: InForceOf, sandbox: &str) -> Option<String> {
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

async fn check_connection(
    transaction: &mut dyn Transaction,
    wanted: &Wanted,
    organisation: &str,
) -> Result<(), DomainError> {
    let sql = "SELECT c.status, t.enabled FROM connections c \
               JOIN targets t ON t.target_key = c.target_key \
               WHERE c.id = $1 AND c.organisation_id = $2 AND c.deleted_at IS NULL";
    let values = values![&wanted.connection, organisation];
    let row = fetch_optional(transaction, sql, values).await?;
    let mut row = row.ok_or_else(|| refused("there is no such connection"))?;
    if row.text()? != "active" {
        return Err(refused("the connection is not active"));
    }
    if !row.truth()? {
        return Err(refused("the target is disabled"));
    }
    Ok(())
}
