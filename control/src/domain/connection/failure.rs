//! Connections that the provider takes no more.

use super::{Connection, Of, Status, audited, changed, find};
use crate::domain::{Act, DomainError};
use crate::store::Transaction;
use crate::values;

/// Ends its use until it has a new secret, because of what the provider said. One that is not in use
/// stays as it is.
pub async fn refuse(
    transaction: &mut dyn Transaction,
    act: &Act,
    of: Of<'_>,
    reason: &str,
) -> Result<Connection, DomainError> {
    let before = find(transaction, of).await?;
    if before.status != Status::Active {
        return Ok(before);
    }
    let sql = "UPDATE connections SET status = 'error', status_reason = $2, \
               revision = revision + 1, updated_at = $3 WHERE id = $1";
    transaction.execute(sql, values![of.id, reason, act.now_ms]).await?;
    let after = audited(transaction, act, of, ("connection.refuse", before)).await?;
    changed(transaction, act, of).await?;
    Ok(after)
}
