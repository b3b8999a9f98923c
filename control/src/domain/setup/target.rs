//! A target of a setup.

use std::collections::BTreeMap;

use super::document::{TargetItem, different, secrets};
use super::{ItemKind, Materialised, Outcome, With};
use crate::credentials::Plaintext;
use crate::domain::target::{self, Enabled, Put, Target};
use crate::domain::{DomainError, Fault};
use crate::store::Transaction;

pub(super) async fn import(
    transaction: &mut dyn Transaction,
    with: With<'_>,
    item: &TargetItem,
) -> Result<Materialised, DomainError> {
    let wanted = secrets(&item.secrets, with.secrets)?;
    let before = match target::find(transaction, &item.key).await {
        Ok(before) => Some(before),
        Err(error) if error.fault == Fault::NotFound => None,
        Err(error) => return Err(error),
    };
    let there = match &before {
        Some(before) => target::open_secrets(transaction, with.vault, before).await?,
        None => BTreeMap::new(),
    };
    let changed = different(wanted, &there);
    let is_same = before.as_ref().is_some_and(|before| is_like(before, item));
    let outcome = match before {
        Some(_) if is_same && changed.is_empty() => Outcome::Unchanged,
        Some(_) => Outcome::Updated,
        None => Outcome::Created,
    };
    if outcome != Outcome::Unchanged {
        put(transaction, with, (item, changed)).await?;
    }
    Ok(Materialised::of(ItemKind::Target, (&item.key, &item.key), outcome))
}

fn is_like(there: &Target, item: &TargetItem) -> bool {
    there.definition == item.definition
        && there.display_name == item.display_name
        && there.enabled == item.enabled
        && there.config == item.config
        && there.options == item.options
}

async fn put(
    transaction: &mut dyn Transaction,
    with: With<'_>,
    (item, secrets): (&TargetItem, BTreeMap<String, Plaintext>),
) -> Result<Target, DomainError> {
    let secrets = secrets.into_iter().map(|(name, secret)| (name, Some(secret))).collect();
    let wanted = Put {
        key: &item.key,
        definition: &item.definition,
        display_name: &item.display_name,
        enabled: if item.enabled { Enabled::Yes } else { Enabled::No },
        config: &item.config,
        options: &item.options,
        secrets: &secrets,
        if_revision: None,
    };
    target::put(transaction, (with.act, with.registry, with.vault), wanted).await
}
