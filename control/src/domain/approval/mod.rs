//! Approvals: requests of sandboxes that wait for somebody's decision, and what was decided.
//!
//! INVARIANT: only a decision grants anything, for one sandbox and one request; what nobody decided
//! expires, which is a state of its own and no denial.

mod ask;
mod callback;
mod decide;

use super::{DomainError, Page, PageOf};
use crate::store::{Row, StoreError, Transaction, fetch_optional};
use crate::values;

pub use ask::{Standing, Wanted, ask, claim, standing};
pub use callback::{Ledger, Taken, take};
pub use decide::{Decision, Verdict, decide, decide_all};

/// How long a request waits, and how long a yes for one request or a no stands.
const STANDING_MS: i64 = 3600 * 1000;
/// The longest time that may be approved, in seconds.
pub const SECONDS_MAX: i64 = 7 * 24 * 3600;

/// How an approval stands.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Pending,
    /// Until its time is over.
    Approved,
    /// For one request, which has not come yet.
    ApprovedOnce,
    Denied,
    /// The one request has come.
    Used,
    /// Its time was over before anybody decided, or before the request came again.
    Expired,
}

impl State {
    const ALL: [Self; 6] = [
        Self::Pending,
        Self::Approved,
        Self::ApprovedOnce,
        Self::Denied,
        Self::Used,
        Self::Expired,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::ApprovedOnce => "approved_once",
            Self::Denied => "denied",
            Self::Used => "used",
            Self::Expired => "expired",
        }
    }

    fn parse(text: &str) -> Result<Self, StoreError> {
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or(StoreError::Shape)
    }
}

/// A request that was held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    pub id: String,
    pub organisation: String,
    pub profile: String,
    pub sandbox: String,
    pub route: String,
    pub method: String,
    pub url: String,
    pub state: State,
    pub asked_ms: i64,
    pub decided_ms: Option<i64>,
    /// The id of a token or a person, or what called back.
    pub decided_by: Option<String>,
    /// When it no longer stands as it does.
    pub expires_ms: i64,
}

/// Which approvals of an organisation.
#[derive(Clone, Copy, Debug)]
pub struct Filter<'f> {
    pub organisation: &'f str,
    /// `None`: in any state.
    pub state: Option<State>,
    pub now_ms: i64,
}

pub async fn find(
    transaction: &mut dyn Transaction,
    (organisation, id): (&str, &str),
    now_ms: i64,
) -> Result<Approval, DomainError> {
    let sql = "SELECT id, organisation_id, profile_id, sandbox_id, route, method, url, \
               CASE WHEN state <> 'used' AND expires_at <= $3 THEN 'expired' ELSE state END, \
               asked_at, decided_at, decided_by, expires_at FROM approvals \
               WHERE id = $1 AND organisation_id = $2";
    let row = fetch_optional(transaction, sql, values![id, organisation, now_ms]).await?;
    Ok(read(row.ok_or_else(|| DomainError::not_found("approval"))?)?)
}

/// An approval of a sandbox.
pub async fn of_sandbox(
    transaction: &mut dyn Transaction,
    (sandbox, id): (&str, &str),
    now_ms: i64,
) -> Result<Approval, DomainError> {
    let sql = "SELECT organisation_id FROM approvals WHERE id = $1 AND sandbox_id = $2";
    let row = fetch_optional(transaction, sql, values![id, sandbox]).await?;
    let mut row = row.ok_or_else(|| DomainError::not_found("approval"))?;
    find(transaction, (&row.text()?, id), now_ms).await
}

/// Oldest first.
pub async fn list(
    transaction: &mut dyn Transaction,
    filter: Filter<'_>,
    page: &Page,
) -> Result<PageOf<Approval>, DomainError> {
    let sql = "SELECT id, organisation_id, profile_id, sandbox_id, route, method, url, stands, \
               asked_at, decided_at, decided_by, expires_at FROM (SELECT a.*, \
               CASE WHEN state <> 'used' AND expires_at <= $3 THEN 'expired' ELSE state END \
               AS stands FROM approvals a WHERE organisation_id = $1 AND id > $2) stood \
               WHERE $4 = '' OR stands = $4 ORDER BY id LIMIT $5";
    let state = filter.state.map_or("", State::as_str);
    let values = values![filter.organisation, &page.after, filter.now_ms, state, page.fetch()];
    let rows = transaction.fetch(sql, values).await?;
    let items = rows.into_iter().map(read).collect::<Result<_, _>>()?;
    Ok(page.cut(items, |approval: &Approval| approval.id.clone()))
}

fn read(mut row: Row) -> Result<Approval, StoreError> {
    Ok(Approval {
        id: row.text()?,
        organisation: row.text()?,
        profile: row.text()?,
        sandbox: row.text()?,
        route: row.text()?,
        method: row.text()?,
        url: row.text()?,
        state: State::parse(&row.text()?)?,
        asked_ms: row.integer()?,
        decided_ms: row.optional_integer()?,
        decided_by: row.optional_text()?,
        expires_ms: row.integer()?,
    })
}
