//! The table of a version, for questions about it: the same table that proxies enforce.

use std::sync::Arc;

use sallygate_compiler::plan::Plan;
use sallygate_compiler::table::RouteTable;
use sallygate_definitions::Registry;

use super::Profile;
use super::publish::plan;
use super::snapshot::{Compiled, Whose, compile};
use super::version::draft_of;
use crate::domain::{DomainError, Fault};
use crate::store::Transaction;

/// Which plan of a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The one that is in force.
    InForce,
    /// What this version compiles to now.
    Version(i64),
}

/// The table, or everything that is wrong with the version.
pub async fn table(
    transaction: &mut dyn Transaction,
    registry: &Registry,
    (profile, which): (&Profile, Which),
) -> Result<RouteTable, DomainError> {
    let plan = match which {
        Which::InForce => {
            let digest = profile.published_digest.as_deref();
            let digest = digest.ok_or_else(|| DomainError::not_found("version in force"))?;
            plan(transaction, digest).await?
        }
        Which::Version(version) => compiled(transaction, registry, (profile, version)).await?,
    };
    RouteTable::build(Arc::new(plan)).map_err(|_| {
        DomainError::new(Fault::Internal, "plan_malformed", "a stored plan is malformed")
    })
}

async fn compiled(
    transaction: &mut dyn Transaction,
    registry: &Registry,
    (profile, version): (&Profile, i64),
) -> Result<Plan, DomainError> {
    let draft = draft_of(transaction, profile, version).await?;
    let whose = Whose { organisation: &profile.organisation, profile: &profile.id, version };
    let Compiled { plan, errors, .. } = compile(transaction, registry, whose, &draft).await?;
    plan.filter(|_| errors.is_empty()).ok_or_else(|| DomainError::invalid(errors))
}
