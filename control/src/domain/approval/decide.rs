//! Decisions: one, or many that are made together or not at all.

use serde_json::json;

use super::{Approval, SECONDS_MAX, STANDING_MS, State, find};
use crate::domain::audit::{self, Change};
use crate::domain::{Act, DomainError, Fault, Issue};
use crate::store::Transaction;
use crate::values;

/// Decisions that are made together.
const TOGETHER_MAX: usize = 100;

/// What is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The same request passes once, within an hour.
    Once,
    /// The same request passes for so many seconds.
    For(i64),
    /// The same request is refused for an hour.
    Deny,
}

/// A decision about an approval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    pub id: String,
    pub verdict: Verdict,
}

/// Decides about a request that waits.
pub async fn decide(
    transaction: &mut dyn Transaction,
    act: &Act,
    organisation: &str,
    decision: &Decision,
) -> Result<Approval, DomainError> {
    let before = find(transaction, (organisation, &decision.id), act.now_ms).await?;
    if before.state != State::Pending {
        let state = before.state.as_str();
        let message = format!("the approval no longer waits: it is {state}");
        return Err(DomainError::conflict("already_decided", message));
    }
    let (state, ms) = match decision.verdict {
        Verdict::Once => (State::ApprovedOnce, STANDING_MS),
        Verdict::For(seconds) if (1..=SECONDS_MAX).contains(&seconds) => {
            (State::Approved, seconds * 1000)
        }
        Verdict::For(_) => {
            let message = format!("`forSeconds` is within 1 and {SECONDS_MAX}");
            let issue = Issue::new("INVALID_SECONDS", "forSeconds", message);
            return Err(DomainError::invalid(vec![issue]));
        }
        Verdict::Deny => (State::Denied, STANDING_MS),
    };
    let until = act.now_ms.saturating_add(ms);
    let sql = "UPDATE approvals SET state = $2, decided_at = $3, decided_by = $4, \
               expires_at = $5 WHERE id = $1";
    let values = values![&decision.id, state.as_str(), act.now_ms, &act.actor, until];
    transaction.execute(sql, values).await?;
    let after = json!({
        "state": state,
        "sandboxId": before.sandbox,
        "route": before.route,
        "method": before.method,
        "expiresAt": until,
    });
    let change = Change {
        organisation: Some(organisation),
        action: "approval.decide",
        subject: &decision.id,
        before: Some(json!({ "state": before.state })),
        after: Some(after),
    };
    audit::record(transaction, act, change).await?;
    find(transaction, (organisation, &decision.id), act.now_ms).await
}

/// Decides about all of them; when one cannot be decided, about none, and everything that is wrong
/// comes back.
pub async fn decide_all(
    transaction: &mut dyn Transaction,
    act: &Act,
    organisation: &str,
    decisions: &[Decision],
) -> Result<Vec<Approval>, DomainError> {
    if decisions.is_empty() || decisions.len() > TOGETHER_MAX {
        let message = format!("1 to {TOGETHER_MAX} decisions are made together");
        let issue = Issue::new("INVALID_DECISIONS", "decisions", message);
        return Err(DomainError::invalid(vec![issue]));
    }
    let (mut decided, mut issues) = (Vec::new(), Vec::new());
    for (at, decision) in decisions.iter().enumerate() {
        match decide(transaction, act, organisation, decision).await {
            Ok(approval) => decided.push(approval),
            Err(error) if matches!(error.fault, Fault::Unavailable | Fault::Internal) => {
                return Err(error);
            }
            Err(error) => {
                let what = if error.fault == Fault::Invalid { "forSeconds" } else { "approvalId" };
                let field = format!("decisions[{at}].{what}");
                issues.push(Issue::new(error.code.to_uppercase(), field, error.message));
            }
        }
    }
    if issues.is_empty() { Ok(decided) } else { Err(DomainError::invalid(issues)) }
}
