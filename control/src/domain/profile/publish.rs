//! Putting a version in force: compiled again with what there is now, stored, and told to proxies.

use sallygate_compiler::plan::Plan;
use sallygate_definitions::Registry;
use serde_json::json;

use super::snapshot::{Compiled, Whose, compile};
use super::version::draft_of;
use super::{Canary, Profile, find};
use crate::domain::audit::{self, Change};
use crate::domain::target::check_revision;
use crate::domain::{Act, DomainError, Fault, Issue};
use crate::store::{Row, StoreError, Topic, Transaction, fetch_optional, tell};
use crate::values;

/// What is in force from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    pub profile: Profile,
    pub version: i64,
    pub digest: String,
    pub warnings: Vec<Issue>,
}

/// Puts a version in force. An older one is as good as a newer one: that is a rollback.
pub async fn publish(
    transaction: &mut dyn Transaction,
    (act, registry): (&Act, &Registry),
    (organisation, id): (&str, &str),
    (version, if_revision): (i64, Option<i64>),
) -> Result<Published, DomainError> {
    let before = find(transaction, (organisation, id)).await?;
    check_revision(Some(before.revision), if_revision)?;
    let kept = keep_plan(transaction, (act, registry), &before, version).await?;
    let (digest, warnings) = kept;
    // Whatever ran ahead of the others does so no more.
    let write = "UPDATE profiles SET published_version = $2, published_digest = $3, \
                 canary_version = NULL, canary_digest = NULL, canary_percent = NULL, \
                 revision = revision + 1, updated_at = $4 WHERE id = $1";
    transaction.execute(write, values![id, version, &digest, act.now_ms]).await?;
    let change = Change {
        organisation: Some(organisation),
        action: "profile.publish",
        subject: id,
        before: before.published_version.map(|v| json!({ "version": v })),
        after: Some(json!({ "version": version, "planDigest": digest })),
    };
    audit::record(transaction, act, change).await?;
    let payload = json!({ "profileId": id, "digest": digest });
    tell(transaction, (Topic::Published, Some(organisation)), &payload, act.now_ms).await?;
    let profile = find(transaction, (organisation, id)).await?;
    Ok(Published { profile, version, digest, warnings })
}

/// Compiles a version with what there is now, and stores the plan: its digest, and what is advised.
pub(super) async fn keep_plan(
    transaction: &mut dyn Transaction,
    (act, registry): (&Act, &Registry),
    profile: &Profile,
    version: i64,
) -> Result<(String, Vec<Issue>), DomainError> {
    let draft = draft_of(transaction, profile, version).await?;
    let whose = Whose { organisation: &profile.organisation, profile: &profile.id, version };
    let Compiled { plan, errors, warnings } = compile(transaction, registry, whose, &draft).await?;
    let Some(plan) = plan.filter(|_| errors.is_empty()) else {
        return Err(DomainError::invalid(errors));
    };
    let digest = plan.digest.clone();
    keep(transaction, act, &plan).await?;
    Ok((digest, warnings))
}

/// Stores a plan, where it is not there yet.
pub(super) async fn keep(
    transaction: &mut dyn Transaction,
    act: &Act,
    plan: &Plan,
) -> Result<(), DomainError> {
    let sql = "INSERT INTO plans (digest, body, created_at) VALUES ($1, $2, $3) \
               ON CONFLICT (digest) DO NOTHING";
    transaction.execute(sql, values![&plan.digest, plan.to_canonical_json(), act.now_ms]).await?;
    Ok(())
}

/// The plan with this digest.
pub async fn plan(transaction: &mut dyn Transaction, digest: &str) -> Result<Plan, DomainError> {
    let sql = "SELECT body FROM plans WHERE digest = $1";
    let row = fetch_optional(transaction, sql, values![digest]).await?;
    let mut row = row.ok_or_else(|| DomainError::not_found("plan"))?;
    read_plan(&row.text()?)
}

/// Which plans the sandboxes of a profile run, by their digests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InForceOf {
    pub profile: String,
    pub published: Option<String>,
    /// With how many percent of the sandboxes run it.
    pub canary: Option<(String, u8)>,
}

/// Every profile with something in force.
pub async fn all_in_force(
    transaction: &mut dyn Transaction,
) -> Result<Vec<InForceOf>, DomainError> {
    let sql = "SELECT id, published_digest, canary_version, canary_digest, canary_percent \
               FROM profiles WHERE published_digest IS NOT NULL ORDER BY id";
    let rows = transaction.fetch(sql, Vec::new()).await?;
    Ok(rows.into_iter().map(in_force).collect::<Result<_, _>>()?)
}

/// What is in force of a profile.
pub async fn in_force_of(
    transaction: &mut dyn Transaction,
    id: &str,
) -> Result<Option<InForceOf>, DomainError> {
    let sql = "SELECT id, published_digest, canary_version, canary_digest, canary_percent \
               FROM profiles WHERE id = $1";
    let row = fetch_optional(transaction, sql, values![id]).await?;
    Ok(row.map(in_force).transpose()?)
}

fn in_force(mut row: Row) -> Result<InForceOf, StoreError> {
    let (profile, published) = (row.text()?, row.optional_text()?);
    let canary = Canary::read(&mut row)?.map(|canary| (canary.digest, canary.percent));
    Ok(InForceOf { profile, published, canary })
}

fn read_plan(body: &str) -> Result<Plan, DomainError> {
    Plan::from_json("the stored plan", body.as_bytes()).map_err(|_| {
        DomainError::new(Fault::Internal, "plan_malformed", "a stored plan is malformed")
    })
}
