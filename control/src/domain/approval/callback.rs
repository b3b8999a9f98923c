//! Decisions that come from elsewhere, over a network that may bring them twice.

use super::{Approval, Decision, State, Verdict, decide, find};
use crate::domain::{Act, DomainError, check};
use crate::store::Transaction;

/// Whoever decides elsewhere: proven by the secret of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ledger {
    pub organisation: String,
    pub connection: String,
}

/// What became of a decision from elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    Now(Approval),
    /// It was decided so before, from the same place.
    Before(Approval),
}

impl Ledger {
    /// In whose name it decides: its own, or that of somebody whom it names.
    pub fn act(&self, by: Option<&str>, now_ms: i64) -> Result<Act, DomainError> {
        let actor = match by {
            Some(by) => {
                check::name("decidedBy", by)?;
                format!("{}:{by}", self.connection)
            }
            None => self.connection.clone(),
        };
        Ok(Act { actor, now_ms })
    }

    fn decided(&self, approval: &Approval) -> bool {
        let by = approval.decided_by.as_deref();
        let rest = by.and_then(|by| by.strip_prefix(self.connection.as_str()));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
    }
}

/// Decides, or says that it was decided so. Another decision than the first one is refused.
pub async fn take(
    transaction: &mut dyn Transaction,
    act: &Act,
    ledger: &Ledger,
    decision: &Decision,
) -> Result<Taken, DomainError> {
    let of = (ledger.organisation.as_str(), decision.id.as_str());
    let before = find(transaction, of, act.now_ms).await?;
    if before.state != State::Pending && ledger.decided(&before) && is_so(&before, decision.verdict)
    {
        return Ok(Taken::Before(before));
    }
    decide(transaction, act, of.0, decision).await.map(Taken::Now)
}

/// Whether an approval is as this verdict would have made it. What has expired since may have been.
fn is_so(approval: &Approval, verdict: Verdict) -> bool {
    let lasted = approval.decided_ms.map(|at| approval.expires_ms.saturating_sub(at));
    match (approval.state, verdict) {
        (State::ApprovedOnce | State::Used, Verdict::Once) | (State::Denied, Verdict::Deny) => true,
        (State::Approved, Verdict::For(seconds)) => lasted == Some(seconds.saturating_mul(1000)),
        (State::Expired, Verdict::Once | Verdict::For(_) | Verdict::Deny) => lasted.is_some(),
        (
            State::Pending | State::Approved | State::ApprovedOnce | State::Denied | State::Used,
            Verdict::Once | Verdict::For(_) | Verdict::Deny,
        ) => false,
    }
}
