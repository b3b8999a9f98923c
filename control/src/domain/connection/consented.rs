//! Connections that the provider gave tokens for.

use sallygate_definitions::Registry;

use super::insert::{Fresh, insert, made};
use super::{Connection, Of, Wish, audited, changed, check_wish, find};
use crate::credentials::Vault;
use crate::domain::{Act, DomainError};
use crate::oauth::{KeepFor, REFRESH, Tokens, keep_tokens};
use crate::store::Transaction;
use crate::values;

/// What the provider gave for a wish.
#[derive(Debug)]
pub struct Consented {
    pub wish: Wish,
    pub tokens: Tokens,
    /// Who consented, where the provider says so.
    pub subject: Option<String>,
}

/// Makes the connection, or makes the one anew that the wish is about.
pub async fn keep_consented(
    transaction: &mut dyn Transaction,
    (act, registry, vault): (&Act, &Registry, &Vault),
    (organisation, consented): (&str, &Consented),
) -> Result<Connection, DomainError> {
    let Consented { wish, tokens, subject } = consented;
    // What was so when it began need not be so any more.
    check_wish(transaction, registry, (organisation, wish)).await?;
    if let Some(id) = &wish.reconnect {
        return again(transaction, (act, vault), (Of { organisation, id }, consented)).await;
    }
    let fresh = Fresh {
        organisation,
        target_key: &wish.target_key,
        method: &wish.method,
        display_name: &wish.display_name,
        config: &wish.config,
        subject: subject.as_deref(),
    };
    let id = insert(transaction, act, fresh).await?;
    let whose = KeepFor { organisation, connection: &id };
    keep_tokens(transaction, vault, (whose, tokens), act.now_ms).await?;
    made(transaction, act, Of { organisation, id: &id }).await
}

async fn again(
    transaction: &mut dyn Transaction,
    (act, vault): (&Act, &Vault),
    (of, consented): (Of<'_>, &Consented),
) -> Result<Connection, DomainError> {
    let before = find(transaction, of).await?;
    let Consented { wish, tokens, subject } = consented;
    if let (Some(known), Some(given)) = (&before.external_subject, subject)
        && known != given
    {
        // What is bound to the connection was meant for somebody else's account.
        let message = "somebody else consented than the connection belongs to";
        return Err(DomainError::conflict("subject_differs", message));
    }
    if tokens.refresh.is_none() {
        // The old one belongs to the consent that ended. The access token's row stays: its
        // revision is what a refresh under way knows it by.
        let sql = "DELETE FROM credentials WHERE connection_id = $1 AND secret_type = $2";
        transaction.execute(sql, values![of.id, REFRESH]).await?;
    }
    let whose = KeepFor { organisation: of.organisation, connection: of.id };
    keep_tokens(transaction, vault, (whose, tokens), act.now_ms).await?;
    let sql = "UPDATE connections SET status = 'active', status_reason = NULL, config = $2, \
               display_name = $3, external_subject = COALESCE($4, external_subject), \
               revision = revision + 1, updated_at = $5 WHERE id = $1";
    let (config, subject) = (wish.config.to_string(), subject.as_deref());
    let values = values![of.id, config, &wish.display_name, subject, act.now_ms];
    transaction.execute(sql, values).await?;
    let after = audited(transaction, act, of, ("connection.reconnect", before)).await?;
    changed(transaction, act, of).await?;
    Ok(after)
}
