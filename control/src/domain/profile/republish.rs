//! A target or a connection changed: what is in force over it is compiled again, in the same
//! transaction.
//!
//! INVARIANT: no plan stays in force that says what the operator took away. One that no longer
//! compiles is withdrawn until it does, or another version is published. A disabled target is the
//! exception: its plans stay, because nobody gets its credentials while it is disabled.

use serde_json::json;

use super::publish::keep;
use super::snapshot::{Compiled, Whose, compile};
use super::version::draft_of;
use super::{Canary, Profile, find};
use crate::domain::audit::{self, Change};
use crate::domain::target::Enabled;
use crate::domain::{Act, DomainError, Fault, Issue};
use crate::store::{Row, Topic, Transaction, tell};
use crate::values;
use sallygate_definitions::Registry;

/// Compiles every published version again that binds a connection to this target.
pub async fn republish(
    transaction: &mut dyn Transaction,
    (act, registry): (&Act, &Registry),
    (target_key, enabled): (&str, Enabled),
) -> Result<(), DomainError> {
    if enabled == Enabled::No {
        return Ok(());
    }
    let sql = "SELECT DISTINCT p.organisation_id, p.id FROM profiles p \
               JOIN bindings b ON b.profile_id = p.id \
               AND b.version IN (p.published_version, p.canary_version) \
               JOIN connections c ON c.id = b.connection_id \
               WHERE c.target_key = $1 ORDER BY p.organisation_id, p.id";
    let rows = transaction.fetch(sql, values![target_key]).await?;
    each(transaction, (act, registry), rows).await
}

/// Compiles every published version again that binds this connection.
pub async fn republish_bound(
    transaction: &mut dyn Transaction,
    (act, registry): (&Act, &Registry),
    connection: &str,
) -> Result<(), DomainError> {
    let sql = "SELECT DISTINCT p.organisation_id, p.id FROM profiles p \
               JOIN bindings b ON b.profile_id = p.id \
               AND b.version IN (p.published_version, p.canary_version) \
               WHERE b.connection_id = $1 ORDER BY p.organisation_id, p.id";
    let rows = transaction.fetch(sql, values![connection]).await?;
    each(transaction, (act, registry), rows).await
}

async fn each(
    transaction: &mut dyn Transaction,
    (act, registry): (&Act, &Registry),
    rows: Vec<Row>,
) -> Result<(), DomainError> {
    for mut row in rows {
        let (organisation, id) = (row.text()?, row.text()?);
        let profile = find(transaction, (&organisation, &id)).await?;
        again(transaction, (act, registry), &profile).await?;
    }
    Ok(())
}

async fn again(
    transaction: &mut dyn Transaction,
    (act, registry): (&Act, &Registry),
    before: &Profile,
) -> Result<(), DomainError> {
    let Some(version) = before.published_version else { return Ok(()) };
    let draft = draft_of(transaction, before, version).await?;
    let whose = Whose { organisation: &before.organisation, profile: &before.id, version };
    let (plan, errors) = match compile(transaction, registry, whose, &draft).await {
        Ok(Compiled { plan, errors, .. }) => (plan.filter(|_| errors.is_empty()), errors),
        Err(error) if error.fault == Fault::Invalid => (None, error.issues),
        Err(error) => return Err(error),
    };
    let digest = plan.as_ref().map(|plan| plan.digest.as_str());
    let stays = match (&before.canary, digest) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(canary), Some(_)) => stays(transaction, registry, (before, canary)).await?,
    };
    if before.published_digest.as_deref() == digest && stays {
        return Ok(());
    }
    if let Some(plan) = &plan {
        keep(transaction, act, plan).await?;
    }
    let write = "UPDATE profiles SET published_digest = $2, revision = revision + 1, \
                 updated_at = $3 WHERE id = $1";
    transaction.execute(write, values![&before.id, digest, act.now_ms]).await?;
    if !stays {
        let end = "UPDATE profiles SET canary_version = NULL, canary_digest = NULL, \
                   canary_percent = NULL WHERE id = $1";
        transaction.execute(end, values![&before.id]).await?;
    }
    record(transaction, act, (before, digest, &errors)).await?;
    let payload = json!({ "profileId": before.id, "digest": digest });
    let about = (Topic::Published, Some(before.organisation.as_str()));
    Ok(tell(transaction, about, &payload, act.now_ms).await?)
}

/// Whether what some sandboxes run ahead of the others is still what would be compiled; else all
/// of them run the same again.
async fn stays(
    transaction: &mut dyn Transaction,
    registry: &Registry,
    (profile, canary): (&Profile, &Canary),
) -> Result<bool, DomainError> {
    let version = canary.version;
    let draft = draft_of(transaction, profile, version).await?;
    let whose = Whose { organisation: &profile.organisation, profile: &profile.id, version };
    match compile(transaction, registry, whose, &draft).await {
        Ok(Compiled { plan: Some(plan), errors, .. }) => {
            Ok(errors.is_empty() && plan.digest == canary.digest)
        }
        Ok(_) => Ok(false),
        Err(error) if error.fault == Fault::Invalid => Ok(false),
        Err(error) => Err(error),
    }
}

async fn record(
    transaction: &mut dyn Transaction,
    act: &Act,
    (before, digest, errors): (&Profile, Option<&str>, &[Issue]),
) -> Result<(), DomainError> {
    let withdrawn = digest.is_none();
    let change = Change {
        organisation: Some(&before.organisation),
        action: if withdrawn { "profile.withdraw" } else { "profile.republish" },
        subject: &before.id,
        before: Some(json!({ "planDigest": before.published_digest })),
        after: Some(json!({ "planDigest": digest, "issues": errors })),
    };
    audit::record(transaction, act, change).await
}
