//! API tokens of people and programs: hashed, of one role, in one organisation (or an operator's,
//! in all), for a time.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::audit::{self, Change};
use super::{Act, DomainError, Issue, Page, PageOf, check};
use crate::id::IdKind;
use crate::store::{Row, StoreError, Transaction, fetch_optional};
use crate::token::{is_whole, mint, sha256};
use crate::values;

/// What API tokens begin with.
pub const PREFIX: &str = "sga_";
/// What the operator's token of a first start begins with.
pub const OPERATOR_PREFIX: &str = "sgo_";

/// What a caller may do.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Looks at what an organisation has.
    ReadOnly,
    /// Decides about held requests as well.
    Approver,
    /// Changes what an organisation has.
    Member,
    /// Targets, keys, and all organisations.
    Operator,
}

impl Role {
    const ALL: [Self; 4] = [Self::ReadOnly, Self::Approver, Self::Member, Self::Operator];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReadOnly => "read_only",
            Self::Approver => "approver",
            Self::Member => "member",
            Self::Operator => "operator",
        }
    }

    pub(crate) fn parse(text: &str) -> Result<Self, StoreError> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or(StoreError::Shape)
    }
}

/// A token, without the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiToken {
    pub id: String,
    /// `None`: an operator's.
    pub organisation: Option<String>,
    pub name: String,
    pub role: Role,
    pub created_ms: i64,
    pub expires_ms: Option<i64>,
    pub revoked_ms: Option<i64>,
    pub last_used_ms: Option<i64>,
}

impl ApiToken {
    fn is_live(&self, now_ms: i64) -> bool {
        self.revoked_ms.is_none() && self.expires_ms.is_none_or(|at| at > now_ms)
    }
}

/// A token that is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'w> {
    pub organisation: Option<&'w str>,
    pub name: &'w str,
    pub role: Role,
    pub expires_ms: Option<i64>,
}

/// Makes a token; the text is shown now and never again.
pub async fn create(
    transaction: &mut dyn Transaction,
    act: &Act,
    wanted: Wanted<'_>,
) -> Result<(ApiToken, String), DomainError> {
    let Wanted { organisation, name, role, expires_ms } = wanted;
    check::name("name", name)?;
    if expires_ms.is_some_and(|at| at <= act.now_ms) {
        let issue = Issue::new("ALREADY_EXPIRED", "expiresAt", "`expiresAt` is in the past");
        return Err(DomainError::invalid(vec![issue]));
    }
    let text = mint(PREFIX).map_err(|_| DomainError::randomness())?;
    let token = ApiToken {
        id: act.new_id(IdKind::ApiToken)?.to_string(),
        organisation: organisation.map(str::to_owned),
        name: name.to_owned(),
        role,
        created_ms: act.now_ms,
        expires_ms,
        revoked_ms: None,
        last_used_ms: None,
    };
    insert(transaction, &token, &text).await?;
    let after = json!({ "name": name, "role": role, "expiresAt": expires_ms });
    let change = Change {
        organisation,
        action: "api_token.create",
        subject: &token.id,
        before: None,
        after: Some(after),
    };
    audit::record(transaction, act, change).await?;
    Ok((token, text))
}

/// Lets the operator's token of the installation in, under whatever text its file holds now: a
/// file that was replaced ends the token that was in it.
pub async fn admit_operator(
    transaction: &mut dyn Transaction,
    text: &str,
    now_ms: i64,
) -> Result<(), DomainError> {
    const ID: &str = "operator";
    let end = "DELETE FROM api_tokens WHERE id = $1 AND sha256 <> $2";
    transaction.execute(end, values![ID, sha256(text)]).await?;
    let find = "SELECT id FROM api_tokens WHERE id = $1";
    if fetch_optional(transaction, find, values![ID]).await?.is_some() {
        return Ok(());
    }
    let token = ApiToken {
        id: ID.to_owned(),
        organisation: None,
        name: "the operator's token of this installation".to_owned(),
        role: Role::Operator,
        created_ms: now_ms,
        expires_ms: None,
        revoked_ms: None,
        last_used_ms: None,
    };
    insert(transaction, &token, text).await
}

async fn insert(
    transaction: &mut dyn Transaction,
    token: &ApiToken,
    text: &str,
) -> Result<(), DomainError> {
    let write = "INSERT INTO api_tokens (id, organisation_id, name, role, sha256, created_at, \
                 expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let values = values![
        &token.id,
        token.organisation.as_deref(),
        &token.name,
        token.role.as_str(),
        sha256(text),
        token.created_ms,
        token.expires_ms,
    ];
    transaction.execute(write, values).await?;
    Ok(())
}

/// Whose token this is. The table is keyed by the hash, so the look-up says nothing about tokens.
pub async fn identify(
    transaction: &mut dyn Transaction,
    text: &str,
    now_ms: i64,
) -> Result<Option<ApiToken>, DomainError> {
    // The operator's token may be one that a person chose; all others have a checksum.
    if text.starts_with(PREFIX) && !is_whole(PREFIX, text) {
        return Ok(None);
    }
    let find = "SELECT id, organisation_id, name, role, created_at, expires_at, revoked_at, \
                last_used_at FROM api_tokens WHERE sha256 = $1";
    let row = fetch_optional(transaction, find, values![sha256(text)]).await?;
    let found = row.map(token).transpose()?;
    Ok(found.filter(|token| token.is_live(now_ms)))
}

/// Tokens of an organisation, or the operators'.
pub async fn list(
    transaction: &mut dyn Transaction,
    organisation: Option<&str>,
    page: &Page,
) -> Result<PageOf<ApiToken>, DomainError> {
    let find = "SELECT id, organisation_id, name, role, created_at, expires_at, revoked_at, \
                last_used_at FROM api_tokens \
                WHERE id > $1 AND COALESCE(organisation_id, '') = $2 ORDER BY id LIMIT $3";
    let values = values![&page.after, organisation.unwrap_or_default(), page.fetch()];
    let rows = transaction.fetch(find, values).await?;
    let items = rows.into_iter().map(token).collect::<Result<_, _>>()?;
    Ok(page.cut(items, |t: &ApiToken| t.id.clone()))
}

/// Ends a token of an organisation, or an operator's.
pub async fn revoke(
    transaction: &mut dyn Transaction,
    act: &Act,
    (organisation, id): (Option<&str>, &str),
) -> Result<(), DomainError> {
    let write = "UPDATE api_tokens SET revoked_at = COALESCE(revoked_at, $3) \
                 WHERE id = $1 AND COALESCE(organisation_id, '') = $2 AND id <> 'operator'";
    let values = values![id, organisation.unwrap_or_default(), act.now_ms];
    if transaction.execute(write, values).await? == 0 {
        return Err(DomainError::not_found("API token"));
    }
    let change =
        Change { organisation, action: "api_token.revoke", subject: id, before: None, after: None };
    audit::record(transaction, act, change).await
}

fn token(mut row: Row) -> Result<ApiToken, StoreError> {
    Ok(ApiToken {
        id: row.text()?,
        organisation: row.optional_text()?,
        name: row.text()?,
        role: Role::parse(&row.text()?)?,
        created_ms: row.integer()?,
        expires_ms: row.optional_integer()?,
        revoked_ms: row.optional_integer()?,
        last_used_ms: row.optional_integer()?,
    })
}
