//! Another configuration of a connection: what is in force over it is compiled again.

use sallygate_definitions::Registry;
use serde_json::Value as Json;

use super::form::config_issues;
use super::{Connection, Of, audited, changed, find};
use crate::domain::{Act, DomainError, profile, target};
use crate::store::Transaction;
use crate::values;

/// Replaces what a connection says besides its secrets.
pub async fn configure(
    transaction: &mut dyn Transaction,
    (act, registry): (&Act, &Registry),
    of: Of<'_>,
    config: &Json,
) -> Result<Connection, DomainError> {
    let before = find(transaction, of).await?;
    let target = target::find(transaction, &before.target_key).await?;
    let definition = registry.find(&target.definition).ok_or_else(|| {
        let message = format!("there is no definition `{}` any more", target.definition);
        DomainError::conflict("definition_not_found", message)
    })?;
    let issues = config_issues(definition, config);
    if !issues.is_empty() {
        return Err(DomainError::invalid(issues));
    }
    let sql = "UPDATE connections SET config = $2, revision = revision + 1, updated_at = $3 \
               WHERE id = $1";
    transaction.execute(sql, values![of.id, config.to_string(), act.now_ms]).await?;
    let after = audited(transaction, act, of, ("connection.configure", before)).await?;
    changed(transaction, act, of).await?;
    profile::republish_bound(transaction, (act, registry), of.id).await?;
    Ok(after)
}
