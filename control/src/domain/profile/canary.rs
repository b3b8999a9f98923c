//! A version that some of a profile's sandboxes run ahead of the others, until it is promoted or
//! aborted.

use sallygate_definitions::Registry;
use serde_json::json;

use super::publish::{Published, keep_plan};
use super::{Profile, find};
use crate::domain::audit::{self, Change};
use crate::domain::target::check_revision;
use crate::domain::{Act, DomainError, Issue};
use crate::store::{Row, StoreError, Topic, Transaction, tell};
use crate::values;

/// What some of the sandboxes run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canary {
    pub version: i64,
    pub digest: String,
    /// Of a hundred sandboxes: 1 to 99.
    pub percent: u8,
}

impl Canary {
    /// From `canary_version`, `canary_digest` and `canary_percent`.
    pub(super) fn read(row: &mut Row) -> Result<Option<Self>, StoreError> {
        let (version, digest) = (row.optional_integer()?, row.optional_text()?);
        let percent = row.optional_integer()?;
        let (Some(version), Some(digest), Some(percent)) = (version, digest, percent) else {
            return Ok(None);
        };
        let percent = u8::try_from(percent).map_err(|_| StoreError::Shape)?;
        Ok(Some(Self { version, digest, percent }))
    }
}

/// Puts a version in force for some of the sandboxes; the others go on with what they have.
pub async fn publish_canary(
    transaction: &mut dyn Transaction,
    (act, registry): (&Act, &Registry),
    (organisation, id): (&str, &str),
    (version, percent, if_revision): (i64, u8, Option<i64>),
) -> Result<Published, DomainError> {
    let before = find(transaction, (organisation, id)).await?;
    check_revision(Some(before.revision), if_revision)?;
    if !(1..=99).contains(&percent) {
        let issue = Issue::new("OUT_OF_RANGE", "percent", "`percent` is within 1 and 99");
        return Err(DomainError::invalid(vec![issue]));
    }
    if before.published_version.is_none() {
        let message = "there is nothing in force that the others would go on with";
        return Err(DomainError::conflict("profile_not_published", message));
    }
    let (digest, warnings) = keep_plan(transaction, (act, registry), &before, version).await?;
    let write = "UPDATE profiles SET canary_version = $2, canary_digest = $3, \
                 canary_percent = $4, revision = revision + 1, updated_at = $5 WHERE id = $1";
    let values = values![id, version, &digest, i64::from(percent), act.now_ms];
    transaction.execute(write, values).await?;
    let after = json!({ "version": version, "planDigest": digest, "percent": percent });
    changed(transaction, act, (&before, "profile.canary"), after).await?;
    let profile = find(transaction, (organisation, id)).await?;
    Ok(Published { profile, version, digest, warnings })
}

/// Lets all sandboxes run what some of them ran: that very plan.
pub async fn promote_canary(
    transaction: &mut dyn Transaction,
    act: &Act,
    of: (&str, &str),
    if_revision: Option<i64>,
) -> Result<Published, DomainError> {
    let (before, canary) = with_canary(transaction, of, if_revision).await?;
    let write = "UPDATE profiles SET published_version = canary_version, \
                 published_digest = canary_digest, canary_version = NULL, canary_digest = NULL, \
                 canary_percent = NULL, revision = revision + 1, updated_at = $2 WHERE id = $1";
    transaction.execute(write, values![of.1, act.now_ms]).await?;
    let after = json!({ "version": canary.version, "planDigest": canary.digest });
    changed(transaction, act, (&before, "profile.promote"), after).await?;
    let profile = find(transaction, of).await?;
    let Canary { version, digest, .. } = canary;
    Ok(Published { profile, version, digest, warnings: Vec::new() })
}

/// Lets all sandboxes run what the others went on with.
pub async fn abort_canary(
    transaction: &mut dyn Transaction,
    act: &Act,
    of: (&str, &str),
    if_revision: Option<i64>,
) -> Result<Profile, DomainError> {
    let (before, canary) = with_canary(transaction, of, if_revision).await?;
    let write = "UPDATE profiles SET canary_version = NULL, canary_digest = NULL, \
                 canary_percent = NULL, revision = revision + 1, updated_at = $2 WHERE id = $1";
    transaction.execute(write, values![of.1, act.now_ms]).await?;
    let after = json!({ "version": canary.version });
    changed(transaction, act, (&before, "profile.abort"), after).await?;
    find(transaction, of).await
}

async fn with_canary(
    transaction: &mut dyn Transaction,
    of: (&str, &str),
    if_revision: Option<i64>,
) -> Result<(Profile, Canary), DomainError> {
    let profile = find(transaction, of).await?;
    check_revision(Some(profile.revision), if_revision)?;
    let canary = profile.canary.clone().ok_or_else(|| {
        DomainError::conflict("no_canary", "no version runs ahead of the one in force")
    })?;
    Ok((profile, canary))
}

async fn changed(
    transaction: &mut dyn Transaction,
    act: &Act,
    (profile, action): (&Profile, &'static str),
    after: serde_json::Value,
) -> Result<(), DomainError> {
    let organisation = Some(profile.organisation.as_str());
    let before = profile.published_version.map(|version| json!({ "version": version }));
    let change = Change { organisation, action, subject: &profile.id, before, after: Some(after) };
    audit::record(transaction, act, change).await?;
    let payload = json!({ "profileId": profile.id });
    Ok(tell(transaction, (Topic::Published, organisation), &payload, act.now_ms).await?)
}
