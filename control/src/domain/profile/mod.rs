//! Profiles: named sets of bindings and policy. Their versions are immutable, and each of them
//! compiled when it was written.

mod canary;
mod publish;
mod republish;
mod snapshot;
mod table;
mod version;

use serde_json::json;

use super::audit::{self, Change};
use super::{Act, DomainError, Page, PageOf, check};
use crate::id::IdKind;
use crate::store::{Row, StoreError, Transaction, fetch_optional};
use crate::values;

pub use canary::{Canary, abort_canary, promote_canary, publish_canary};
pub use publish::{InForceOf, Published, all_in_force, in_force_of, plan, publish};
pub use republish::{republish, republish_bound};
pub use snapshot::{Compiled, Draft, DraftBinding, Whose, compile};
pub use table::{Which, table};
pub use version::{Version, add_version, draft_of, find_version, list_versions};

/// A profile, without its versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    pub id: String,
    pub organisation: String,
    pub name: String,
    /// 0: there is none yet.
    pub latest_version: i64,
    pub published_version: Option<i64>,
    /// The digest of the plan that is in force.
    pub published_digest: Option<String>,
    /// What some of the sandboxes run ahead of the others.
    pub canary: Option<Canary>,
    pub revision: i64,
    pub created_ms: i64,
    pub updated_ms: i64,
}

pub async fn create(
    transaction: &mut dyn Transaction,
    act: &Act,
    (organisation, name): (&str, &str),
) -> Result<Profile, DomainError> {
    check::name("name", name)?;
    let find = "SELECT id FROM profiles WHERE organisation_id = $1 AND name = $2";
    if fetch_optional(transaction, find, values![organisation, name]).await?.is_some() {
        let message = format!("there is a profile `{name}`");
        return Err(DomainError::conflict("name_taken", message));
    }
    let id = act.new_id(IdKind::Profile)?.to_string();
    let write = "INSERT INTO profiles (id, organisation_id, name, latest_version, created_at, \
                 updated_at) VALUES ($1, $2, $3, 0, $4, $4)";
    transaction.execute(write, values![&id, organisation, name, act.now_ms]).await?;
    let change = Change {
        organisation: Some(organisation),
        action: "profile.create",
        subject: &id,
        before: None,
        after: Some(json!({ "name": name })),
    };
    audit::record(transaction, act, change).await?;
    self::find(transaction, (organisation, &id)).await
}

pub async fn find(
    transaction: &mut dyn Transaction,
    (organisation, id): (&str, &str),
) -> Result<Profile, DomainError> {
    let sql = "SELECT id, organisation_id, name, latest_version, published_version, \
               published_digest, canary_version, canary_digest, canary_percent, revision, \
               created_at, updated_at FROM profiles \
               WHERE id = $1 AND organisation_id = $2";
    let row = fetch_optional(transaction, sql, values![id, organisation]).await?;
    Ok(profile(row.ok_or_else(|| DomainError::not_found("profile"))?)?)
}

pub async fn list(
    transaction: &mut dyn Transaction,
    organisation: &str,
    page: &Page,
) -> Result<PageOf<Profile>, DomainError> {
    let sql = "SELECT id, organisation_id, name, latest_version, published_version, \
               published_digest, canary_version, canary_digest, canary_percent, revision, \
               created_at, updated_at FROM profiles \
               WHERE organisation_id = $1 AND id > $2 ORDER BY id LIMIT $3";
    let rows = transaction.fetch(sql, values![organisation, &page.after, page.fetch()]).await?;
    let items = rows.into_iter().map(profile).collect::<Result<_, _>>()?;
    Ok(page.cut(items, |profile: &Profile| profile.id.clone()))
}

fn profile(mut row: Row) -> Result<Profile, StoreError> {
    Ok(Profile {
        id: row.text()?,
        organisation: row.text()?,
        name: row.text()?,
        latest_version: row.integer()?,
        published_version: row.optional_integer()?,
        published_digest: row.optional_text()?,
        canary: Canary::read(&mut row)?,
        revision: row.integer()?,
        created_ms: row.integer()?,
        updated_ms: row.integer()?,
    })
}
