//! The key that the placeholders of an installation are made with, sealed as secrets are, and what
//! of them a sandbox is given. Another key would make other placeholders, so it never changes.

use sallygate_compiler::plan::Plan;
use sallygate_definitions::placeholder::PlaceholderKey;

use crate::credentials::{INSTALLATION, Place, Plaintext, Sealed, Vault};
use crate::domain::sandbox::Sandbox;
use crate::domain::{DomainError, profile, resolve};
use crate::store::{Transaction, fetch_optional};
use crate::values;

const NAME: &str = "placeholders";
const PLACE: Place<'static> = Place { table: "placeholder_keys", row: NAME, column: "ciphertext" };

/// The key, where it was made.
pub async fn key(
    transaction: &mut dyn Transaction,
    vault: &Vault,
) -> Result<Option<PlaceholderKey>, DomainError> {
    let sql = "SELECT key_version, ciphertext FROM placeholder_keys WHERE name = $1";
    let Some(mut row) = fetch_optional(transaction, sql, values![NAME]).await? else {
        return Ok(None);
    };
    let sealed = Sealed { key_version: row.integer()?, ciphertext: row.bytes()? };
    let opened = vault.open(transaction, INSTALLATION, PLACE, &sealed).await?;
    let bytes = opened.expose().try_into().map_err(|_| crate::store::StoreError::Shape)?;
    Ok(Some(PlaceholderKey::from_bytes(bytes)))
}

/// Makes the key where there is none. Of two that are made at one time the first one stays.
pub async fn prepare(
    transaction: &mut dyn Transaction,
    vault: &Vault,
    now_ms: i64,
) -> Result<(), DomainError> {
    if key(transaction, vault).await?.is_some() {
        return Ok(());
    }
    let key = PlaceholderKey::generate().ok_or_else(DomainError::randomness)?;
    let plain = Plaintext::new(key.as_bytes().to_vec());
    let sealed = vault.seal(transaction, INSTALLATION, PLACE, &plain).await?;
    let sql = "INSERT INTO placeholder_keys (name, key_version, ciphertext, created_at) \
               VALUES ($1, $2, $3, $4) ON CONFLICT (name) DO NOTHING";
    let values = values![NAME, sealed.key_version, sealed.ciphertext, now_ms];
    transaction.execute(sql, values).await?;
    Ok(())
}

/// The variables that hold the placeholders of a sandbox, by the plan that it runs now.
pub async fn variables(
    transaction: &mut dyn Transaction,
    vault: &Vault,
    sandbox: &Sandbox,
) -> Result<Vec<(String, String)>, DomainError> {
    let Some(plan) = plan_of(transaction, sandbox).await? else { return Ok(Vec::new()) };
    let key = key(transaction, vault).await?;
    let variables = key.map(|key| plan.placeholder_variables(&key, &sandbox.id));
    Ok(variables.unwrap_or_default())
}

async fn plan_of(
    transaction: &mut dyn Transaction,
    sandbox: &Sandbox,
) -> Result<Option<Plan>, DomainError> {
    let Some(of) = profile::in_force_of(transaction, &sandbox.profile).await? else {
        return Ok(None);
    };
    match resolve::digest_for(of, &sandbox.id) {
        Some(digest) => profile::plan(transaction, &digest).await.map(Some),
        None => Ok(None),
    }
}
