//! A profile of a setup: its next version where it differs from the newest one, put in force.

use std::collections::BTreeMap;

use super::document::ProfileItem;
use super::{ItemKind, Materialised, Outcome, With};
use crate::domain::DomainError;
use crate::domain::profile::{self, Draft, DraftBinding, Profile};
use crate::store::{Transaction, fetch_optional};
use crate::values;

pub(super) async fn import(
    transaction: &mut dyn Transaction,
    with: With<'_>,
    (connections, item): (&BTreeMap<String, String>, &ProfileItem),
) -> Result<Materialised, DomainError> {
    let draft = draft(connections, item);
    let named = find_by_name(transaction, with, &item.name).await?;
    let mut outcome = if named.is_some() { Outcome::Unchanged } else { Outcome::Created };
    let mut there = match named {
        Some(there) => there,
        None => {
            let new = (with.organisation, item.name.as_str());
            profile::create(transaction, with.act, new).await?
        }
    };
    let of = (with.organisation, there.id.clone());
    if !is_newest(transaction, &there, &draft).await? {
        let means = (with.act, with.registry);
        profile::add_version(transaction, means, (of.0, &of.1), (draft, None)).await?;
        there = profile::find(transaction, (of.0, &of.1)).await?;
        outcome = updated(outcome);
    }
    let in_force =
        there.published_version == Some(there.latest_version) && there.published_digest.is_some();
    if item.publish && !in_force {
        let (means, version) = ((with.act, with.registry), (there.latest_version, None));
        there = profile::publish(transaction, means, (of.0, &of.1), version).await?.profile;
        outcome = updated(outcome);
    }
    let made = Materialised::of(ItemKind::Profile, (&item.name, &there.id), outcome);
    let (version, plan_digest) = (Some(there.latest_version), there.published_digest);
    Ok(Materialised { version, plan_digest, ..made })
}

fn updated(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Created => Outcome::Created,
        Outcome::Updated | Outcome::Unchanged => Outcome::Updated,
    }
}

fn draft(connections: &BTreeMap<String, String>, item: &ProfileItem) -> Draft {
    let binding = |it: &super::BindingItem| DraftBinding {
        id: it.id.clone().unwrap_or_else(|| it.connection.clone()),
        connection: connections.get(&it.connection).unwrap_or(&it.connection).clone(),
        kind: it.kind.clone(),
        config: it.config.clone(),
        routes: it.routes.clone(),
    };
    let mut bindings: Vec<_> = item.bindings.iter().map(binding).collect();
    bindings.sort_by(|a, b| a.id.cmp(&b.id));
    Draft { policy: item.policy.clone(), bindings }
}

async fn find_by_name(
    transaction: &mut dyn Transaction,
    with: With<'_>,
    name: &str,
) -> Result<Option<Profile>, DomainError> {
    let sql = "SELECT id FROM profiles WHERE organisation_id = $1 AND name = $2";
    let values = values![with.organisation, name];
    let Some(mut row) = fetch_optional(transaction, sql, values).await? else { return Ok(None) };
    let id = row.text()?;
    profile::find(transaction, (with.organisation, &id)).await.map(Some)
}

async fn is_newest(
    transaction: &mut dyn Transaction,
    there: &Profile,
    wanted: &Draft,
) -> Result<bool, DomainError> {
    if there.latest_version == 0 {
        return Ok(false);
    }
    let mut newest = profile::draft_of(transaction, there, there.latest_version).await?;
    newest.bindings.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(newest == *wanted)
}
