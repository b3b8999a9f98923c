//! What proxies ask: whether a held request may pass.

use super::{STANDING_MS, State};
use crate::domain::{Act, DomainError, Fault};
use crate::id::IdKind;
use crate::store::{Transaction, fetch_optional};
use crate::values;

/// Requests of one sandbox that may wait at one time.
const PENDING_MAX: i64 = 100;
/// Approvals of one organisation that are kept.
const KEPT_MAX: i64 = 50_000;
/// How long what is over can still be looked at.
const KEPT_MS: i64 = 30 * 24 * 3600 * 1000;
const URL_BYTES_MAX: usize = 4096;
const TEXT_BYTES_MAX: usize = 512;

/// A request that needs a yes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub sandbox: String,
    pub route: String,
    pub method: String,
    pub url: String,
    /// Of everything that the decision is about: also of what was read of the body.
    pub request_sha256: [u8; 32],
}

/// What stands about a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// A yes; one for a single request must be claimed before it is used.
    Granted {
        id: String,
        once: bool,
    },
    Pending(String),
    Denied(String),
    /// Too many others wait.
    TooMany,
}

/// The sandbox of a request, while it runs.
struct Of {
    organisation: String,
    profile: String,
}

async fn of(
    transaction: &mut dyn Transaction,
    sandbox: &str,
    now_ms: i64,
) -> Result<Of, DomainError> {
    let sql = "SELECT organisation_id, profile_id FROM sandboxes WHERE id = $1 \
               AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)";
    let row = fetch_optional(transaction, sql, values![sandbox, now_ms]).await?;
    let mut row = row.ok_or_else(|| refused("there is no such sandbox"))?;
    Ok(Of { organisation: row.text()?, profile: row.text()? })
}

fn refused(why: &str) -> DomainError {
    DomainError::new(Fault::Forbidden, "approval_refused", why)
}

/// What stands about `wanted` now; `None` when it was not asked for, or what was decided is over.
pub async fn standing(
    transaction: &mut dyn Transaction,
    wanted: &Wanted,
    now_ms: i64,
) -> Result<Option<Standing>, DomainError> {
    of(transaction, &wanted.sandbox, now_ms).await?;
    let sql = "SELECT id, state FROM approvals WHERE sandbox_id = $1 AND request_sha256 = $2 \
               AND expires_at > $3 ORDER BY asked_at DESC, id DESC LIMIT 1";
    let values = values![&wanted.sandbox, &wanted.request_sha256[..], now_ms];
    let Some(mut row) = fetch_optional(transaction, sql, values).await? else { return Ok(None) };
    let (id, state) = (row.text()?, State::parse(&row.text()?)?);
    Ok(match state {
        State::Pending => Some(Standing::Pending(id)),
        State::Approved => Some(Standing::Granted { id, once: false }),
        State::ApprovedOnce => Some(Standing::Granted { id, once: true }),
        State::Denied => Some(Standing::Denied(id)),
        State::Used | State::Expired => None,
    })
}

/// What stands about `wanted`; asks for a decision where nothing does.
pub async fn ask(
    transaction: &mut dyn Transaction,
    act: &Act,
    wanted: &Wanted,
) -> Result<Standing, DomainError> {
    if let Some(stands) = standing(transaction, wanted, act.now_ms).await? {
        return Ok(stands);
    }
    let texts = [(&wanted.route, TEXT_BYTES_MAX), (&wanted.method, TEXT_BYTES_MAX)];
    if texts.into_iter().any(|(text, max)| text.len() > max) || wanted.url.len() > URL_BYTES_MAX {
        return Err(refused("the request is too long to be shown to whoever decides"));
    }
    let of = of(transaction, &wanted.sandbox, act.now_ms).await?;
    let old = "DELETE FROM approvals WHERE expires_at < $1";
    transaction.execute(old, values![act.now_ms.saturating_sub(KEPT_MS)]).await?;
    if is_full(transaction, wanted, &of, act.now_ms).await? {
        return Ok(Standing::TooMany);
    }
    let id = act.new_id(IdKind::Approval)?.to_string();
    let sql = "INSERT INTO approvals (id, organisation_id, profile_id, sandbox_id, route, method, \
               url, request_sha256, state, asked_at, expires_at) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'pending', $9, $10)";
    let (sandbox, route, method) = (&wanted.sandbox, &wanted.route, &wanted.method);
    let (hash, until) = (&wanted.request_sha256[..], act.now_ms.saturating_add(STANDING_MS));
    let (organisation, profile) = (&of.organisation, &of.profile);
    let values = values![
        &id,
        organisation,
        profile,
        sandbox,
        route,
        method,
        &wanted.url,
        hash,
        act.now_ms,
        until
    ];
    transaction.execute(sql, values).await?;
    Ok(Standing::Pending(id))
}

async fn is_full(
    transaction: &mut dyn Transaction,
    wanted: &Wanted,
    of: &Of,
    now_ms: i64,
) -> Result<bool, DomainError> {
    let sql = "SELECT COUNT(*) FROM approvals WHERE organisation_id = $1 UNION ALL \
               SELECT COUNT(*) FROM approvals WHERE sandbox_id = $2 AND state = 'pending' \
               AND expires_at > $3";
    let values = values![&of.organisation, &wanted.sandbox, now_ms];
    let rows = transaction.fetch(sql, values).await?;
    let counts = rows.into_iter().map(|mut row| row.integer());
    let counts = counts.collect::<Result<Vec<_>, _>>()?;
    Ok(counts.iter().zip([KEPT_MAX, PENDING_MAX]).any(|(count, max)| *count >= max))
}

/// Uses up a yes for one request. `false`: it is not there any more, and another must be asked for.
pub async fn claim(
    transaction: &mut dyn Transaction,
    (sandbox, id): (&str, &str),
    now_ms: i64,
) -> Result<bool, DomainError> {
    let sql = "UPDATE approvals SET state = 'used' WHERE id = $1 AND sandbox_id = $2 \
               AND state = 'approved_once' AND expires_at > $3";
    Ok(transaction.execute(sql, values![id, sandbox, now_ms]).await? == 1)
}
