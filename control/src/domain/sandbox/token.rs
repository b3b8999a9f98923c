//! Tokens of sandboxes: one that is kept as a hash, the one before for as long as both are good,
//! and those that are signed.

use serde_json::json;

use super::{Live, Sandbox, changed, find, find_live, live};
use crate::credentials::Vault;
use crate::domain::{Act, DomainError, Issue};
use crate::id::IdKind;
use crate::signing::{self, SignedToken};
use crate::store::{Transaction, fetch_optional};
use crate::token::{is_whole, mint, sha256};
use crate::values;

/// What the tokens of sandboxes begin with.
const PREFIX: &str = "sgt_";
/// How long an old token may go on beside a new one.
pub const OVERLAP_SECONDS_MAX: i64 = 24 * 3600;

/// How a sandbox that is made shows who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// As long as the sandbox lives.
    Stored,
    /// For so many seconds.
    Signed(i64),
}

/// A token as it is shown once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    pub text: String,
    /// `None`: as long as the sandbox lives.
    pub expires_ms: Option<i64>,
}

pub(super) async fn new_token(
    transaction: &mut dyn Transaction,
    act: &Act,
    sandbox: &str,
) -> Result<String, DomainError> {
    let token = mint(PREFIX).map_err(|_| DomainError::randomness())?;
    let id = act.new_id(IdKind::SandboxToken)?.to_string();
    let sql = "INSERT INTO sandbox_tokens (id, sandbox_id, sha256, created_at) \
               VALUES ($1, $2, $3, $4)";
    transaction.execute(sql, values![id, sandbox, sha256(&token), act.now_ms]).await?;
    Ok(token)
}

/// Gives a new token. The old one, and what was signed before, ends at once, or in so many seconds.
pub async fn rotate(
    transaction: &mut dyn Transaction,
    act: &Act,
    of: (&str, &str),
    overlap_seconds: i64,
) -> Result<(Sandbox, String), DomainError> {
    if !(0..=OVERLAP_SECONDS_MAX).contains(&overlap_seconds) {
        let message = format!("`overlapSeconds` is within 0 and {OVERLAP_SECONDS_MAX}");
        let issue = Issue::new("INVALID_SECONDS", "overlapSeconds", message);
        return Err(DomainError::invalid(vec![issue]));
    }
    let sandbox = live(transaction, act, of).await?;
    let until = act.now_ms.saturating_add(overlap_seconds * 1000);
    // One before is enough: two rotations end what was there before the first.
    let end = "DELETE FROM sandbox_tokens WHERE sandbox_id = $1 \
               AND (expires_at IS NOT NULL OR $2 = 0)";
    transaction.execute(end, values![&sandbox.id, overlap_seconds]).await?;
    let keep = "UPDATE sandbox_tokens SET expires_at = $2 WHERE sandbox_id = $1";
    transaction.execute(keep, values![&sandbox.id, until]).await?;
    let token = new_token(transaction, act, &sandbox.id).await?;
    let sql = "UPDATE sandboxes SET revision = revision + 1, \
               token_generation = token_generation + 1 WHERE id = $1";
    transaction.execute(sql, values![&sandbox.id]).await?;
    let after = (overlap_seconds > 0).then(|| json!({ "formerTokenUntil": until }));
    changed(transaction, act, (&sandbox, "sandbox.rotate"), after).await?;
    Ok((find(transaction, of).await?, token))
}

/// Signs a token that proxies believe without having been told of it.
pub async fn sign(
    transaction: &mut dyn Transaction,
    (act, vault): (&Act, &Vault),
    of: (&str, &str),
    seconds: i64,
) -> Result<(Sandbox, Shown), DomainError> {
    if !(1..=signing::LIFE_SECONDS_MAX).contains(&seconds) {
        let message = format!("`ttlSeconds` is within 1 and {}", signing::LIFE_SECONDS_MAX);
        let issue = Issue::new("INVALID_SECONDS", "ttlSeconds", message);
        return Err(DomainError::invalid(vec![issue]));
    }
    let sandbox = live(transaction, act, of).await?;
    let key = signing::key(transaction, (act, vault)).await?;
    let sql = "UPDATE sandboxes SET signing_key_id = $2 WHERE id = $1 \
               AND (signing_key_id IS NULL OR signing_key_id <> $2)";
    let is_first = transaction.execute(sql, values![&sandbox.id, key.id()]).await? == 1;
    let generation = generation(transaction, &sandbox.id).await?;
    let token = SignedToken { sandbox: sandbox.id.clone(), generation, seconds };
    let (text, expires_ms) = key.sign(&token, act.now_ms).ok_or_else(DomainError::randomness)?;
    if is_first {
        // Proxies have to know whose signature they may believe.
        changed(transaction, act, (&sandbox, "sandbox.sign"), None).await?;
    }
    Ok((sandbox, Shown { text, expires_ms: Some(expires_ms) }))
}

async fn generation(transaction: &mut dyn Transaction, sandbox: &str) -> Result<i64, DomainError> {
    let sql = "SELECT token_generation FROM sandboxes WHERE id = $1";
    let row = fetch_optional(transaction, sql, values![sandbox]).await?;
    Ok(row.ok_or_else(|| DomainError::not_found("sandbox"))?.integer()?)
}

/// The sandbox that may run and has this token. The table is keyed by the hash, so the look-up says
/// nothing about tokens.
pub async fn identify(
    transaction: &mut dyn Transaction,
    token: &str,
    now_ms: i64,
) -> Result<Option<Sandbox>, DomainError> {
    if !is_whole(PREFIX, token) {
        return signed(transaction, token, now_ms).await;
    }
    let hash = sha256(token);
    let sql = "SELECT sandbox_id FROM sandbox_tokens WHERE sha256 = $1";
    let row = fetch_optional(transaction, sql, values![&hash[..]]).await?;
    let Some(mut row) = row else { return Ok(None) };
    let found = find_live(transaction, &row.text()?, now_ms).await?;
    let is_good = |live: &Live| {
        live.token_sha256 == hash || live.former.as_ref().is_some_and(|former| former.0 == hash)
    };
    Ok(found.filter(is_good).map(|live| live.sandbox))
}

async fn signed(
    transaction: &mut dyn Transaction,
    token: &str,
    now_ms: i64,
) -> Result<Option<Sandbox>, DomainError> {
    let Some(id) = signing::claimed(token) else { return Ok(None) };
    let found = find_live(transaction, &id, now_ms).await?;
    let is_good = |live: &Live| {
        live.signer().is_some_and(|signer| signing::is_good(token, (&id, &signer), now_ms))
    };
    Ok(found.filter(is_good).map(|live| live.sandbox))
}
