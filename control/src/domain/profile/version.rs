//! Versions: what is written compiles, and is never changed.

use serde_json::{Value as Json, json};

use super::snapshot::{Compiled, Draft, DraftBinding, Whose, compile};
use super::{Profile, find};
use crate::domain::audit::{self, Change};
use crate::domain::target::check_revision;
use crate::domain::{Act, DomainError, Issue, Page, PageOf};
use crate::id::IdKind;
use crate::store::{Row, StoreError, Transaction, fetch_optional};
use crate::values;
use sallygate_definitions::Registry;

/// A version as it was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Version {
    pub profile: String,
    pub version: i64,
    pub draft: Draft,
    /// The digest of the plan that it compiled to when it was written.
    pub plan_digest: String,
    pub created_by: String,
    pub created_ms: i64,
    /// What was advised when it was written; empty for one that is looked at later.
    pub warnings: Vec<Issue>,
}

/// Writes the next version, if it compiles.
pub async fn add_version(
    transaction: &mut dyn Transaction,
    (act, registry): (&Act, &Registry),
    (organisation, profile): (&str, &str),
    (mut draft, if_revision): (Draft, Option<i64>),
) -> Result<Version, DomainError> {
    let before = find(transaction, (organisation, profile)).await?;
    check_revision(Some(before.revision), if_revision)?;
    let version = before.latest_version + 1;
    draft.name_bindings(act)?;
    let whose = Whose { organisation, profile, version };
    let Compiled { plan, errors, warnings } = compile(transaction, registry, whose, &draft).await?;
    let Some(plan) = plan.filter(|_| errors.is_empty()) else {
        return Err(DomainError::invalid(errors));
    };
    let written = Version {
        profile: profile.to_owned(),
        version,
        draft,
        plan_digest: plan.digest,
        created_by: act.actor.clone(),
        created_ms: act.now_ms,
        warnings,
    };
    insert(transaction, &written).await?;
    let bump = "UPDATE profiles SET latest_version = $2, revision = revision + 1, \
                updated_at = $3 WHERE id = $1";
    transaction.execute(bump, values![profile, version, act.now_ms]).await?;
    let after = json!({ "version": version, "planDigest": written.plan_digest });
    let change = Change {
        organisation: Some(organisation),
        action: "profile.version",
        subject: profile,
        before: None,
        after: Some(after),
    };
    audit::record(transaction, act, change).await?;
    Ok(written)
}

impl Draft {
    /// A binding that has no id gets one.
    pub fn name_bindings(&mut self, act: &Act) -> Result<(), DomainError> {
        for binding in self.bindings.iter_mut().filter(|binding| binding.id.is_empty()) {
            binding.id = act.new_id(IdKind::Binding)?.to_string();
        }
        Ok(())
    }
}

async fn insert(transaction: &mut dyn Transaction, version: &Version) -> Result<(), DomainError> {
    let sql = "INSERT INTO profile_versions (profile_id, version, policy, plan_digest, \
               created_by, created_at) VALUES ($1, $2, $3, $4, $5, $6)";
    let policy = Json::Object(version.draft.policy.clone()).to_string();
    let values = values![
        &version.profile,
        version.version,
        policy,
        &version.plan_digest,
        &version.created_by,
        version.created_ms,
    ];
    transaction.execute(sql, values).await?;
    for binding in &version.draft.bindings {
        let sql = "INSERT INTO bindings (profile_id, version, id, connection_id, kind, config, \
                   routes) VALUES ($1, $2, $3, $4, $5, $6, $7)";
        let kind = binding.kind.clone().unwrap_or_default();
        let (profile, number) = (&version.profile, version.version);
        let (id, connection, config) = (&binding.id, &binding.connection, &binding.config);
        let routes = binding.routes.as_ref().map(Json::to_string);
        let config = config.to_string();
        let values = values![profile, number, id, connection, kind, config, routes.as_deref()];
        transaction.execute(sql, values).await?;
    }
    Ok(())
}

pub async fn find_version(
    transaction: &mut dyn Transaction,
    profile: &Profile,
    version: i64,
) -> Result<Version, DomainError> {
    let sql = "SELECT version, policy, plan_digest, created_by, created_at \
               FROM profile_versions WHERE profile_id = $1 AND version = $2";
    let row = fetch_optional(transaction, sql, values![&profile.id, version]).await?;
    let row = row.ok_or_else(|| DomainError::not_found("version"))?;
    let mut found = read(&profile.id, row)?;
    found.draft.bindings = bindings(transaction, (&profile.id, version)).await?;
    Ok(found)
}

/// Versions, oldest first, without their bindings.
pub async fn list_versions(
    transaction: &mut dyn Transaction,
    profile: &Profile,
    page: &Page,
) -> Result<PageOf<Version>, DomainError> {
    let after: i64 = page.after.parse().unwrap_or(0);
    let sql = "SELECT version, policy, plan_digest, created_by, created_at \
               FROM profile_versions WHERE profile_id = $1 AND version > $2 \
               ORDER BY version LIMIT $3";
    let rows = transaction.fetch(sql, values![&profile.id, after, page.fetch()]).await?;
    let read = |row| read(&profile.id, row);
    let mut items = rows.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
    for version in &mut items {
        version.draft.bindings = bindings(transaction, (&profile.id, version.version)).await?;
    }
    Ok(page.cut(items, |version: &Version| version.version.to_string()))
}

async fn bindings(
    transaction: &mut dyn Transaction,
    (profile, version): (&str, i64),
) -> Result<Vec<DraftBinding>, DomainError> {
    let sql = "SELECT id, connection_id, kind, config, routes FROM bindings \
               WHERE profile_id = $1 AND version = $2 ORDER BY id";
    let json = |text: &str| serde_json::from_str(text).map_err(|_| StoreError::Shape);
    let binding = |mut row: Row| {
        Ok(DraftBinding {
            id: row.text()?,
            connection: row.text()?,
            kind: Some(row.text()?).filter(|kind| !kind.is_empty()),
            config: json(&row.text()?)?,
            routes: row.optional_text()?.as_deref().map(json).transpose()?,
        })
    };
    let rows = transaction.fetch(sql, values![profile, version]).await?;
    Ok(rows.into_iter().map(binding).collect::<Result<_, StoreError>>()?)
}

fn read(profile: &str, mut row: Row) -> Result<Version, StoreError> {
    let version = row.integer()?;
    let policy = serde_json::from_str(&row.text()?).map_err(|_| StoreError::Shape)?;
    Ok(Version {
        profile: profile.to_owned(),
        version,
        draft: Draft { policy, bindings: Vec::new() },
        plan_digest: row.text()?,
        created_by: row.text()?,
        created_ms: row.integer()?,
        warnings: Vec::new(),
    })
}

/// What a version was written from, for compiling it again.
pub async fn draft_of(
    transaction: &mut dyn Transaction,
    profile: &Profile,
    version: i64,
) -> Result<Draft, DomainError> {
    Ok(find_version(transaction, profile, version).await?.draft)
}
