//! Sandboxes: running identities. Their tokens are shown once and kept as hashes.

mod token;

use ipnet::IpNet;
use sallygate_compiler::snapshot::Signer;
use serde_json::json;

use super::audit::{self, Change};
use super::target::check_revision;
use super::{Act, DomainError, Issue, Page, PageOf, profile};
use crate::credentials::Vault;
use crate::id::IdKind;
use crate::store::{Row, StoreError, Topic, Transaction, fetch_optional, tell};
use crate::values;

pub use token::{OVERLAP_SECONDS_MAX, Shown, TokenKind, identify, rotate, sign};

/// Addresses of one sandbox.
const SOURCES_MAX: usize = 16;

/// A running identity, without its token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sandbox {
    pub id: String,
    pub organisation: String,
    pub profile: String,
    pub sources: Vec<IpNet>,
    pub created_ms: i64,
    pub expires_ms: Option<i64>,
    pub revoked_ms: Option<i64>,
    pub revision: i64,
}

/// A sandbox that is wanted.
#[derive(Clone, Debug)]
pub struct NewSandbox<'n> {
    pub organisation: &'n str,
    pub profile: &'n str,
    pub sources: &'n [String],
    pub expires_ms: Option<i64>,
    pub token: TokenKind,
}

/// Makes a sandbox of a profile that is in force; the token is shown now and never again.
pub async fn create(
    transaction: &mut dyn Transaction,
    (act, vault): (&Act, &Vault),
    new: NewSandbox<'_>,
) -> Result<(Sandbox, Shown), DomainError> {
    let of = profile::find(transaction, (new.organisation, new.profile)).await?;
    if of.published_version.is_none() {
        let message = format!("profile `{}` has no version in force", of.name);
        return Err(DomainError::conflict("profile_not_published", message));
    }
    check_expiry(act, new.expires_ms)?;
    let sandbox = Sandbox {
        id: act.new_id(IdKind::Sandbox)?.to_string(),
        organisation: new.organisation.to_owned(),
        profile: new.profile.to_owned(),
        sources: sources(new.sources)?,
        created_ms: act.now_ms,
        expires_ms: new.expires_ms,
        revoked_ms: None,
        revision: 1,
    };
    let sql = "INSERT INTO sandboxes (id, organisation_id, profile_id, sources, created_at, \
               expires_at, revision) VALUES ($1, $2, $3, $4, $5, $6, 1)";
    let texts = json!(sandbox.sources).to_string();
    let values =
        values![&sandbox.id, new.organisation, new.profile, texts, act.now_ms, new.expires_ms,];
    transaction.execute(sql, values).await?;
    // Also one that gets a signed token has one that nobody sees: without any, its address alone
    // would prove it.
    let text = token::new_token(transaction, act, &sandbox.id).await?;
    let after = json!({ "profileId": sandbox.profile, "expiresAt": sandbox.expires_ms });
    changed(transaction, act, (&sandbox, "sandbox.create"), Some(after)).await?;
    match new.token {
        TokenKind::Stored => Ok((sandbox, Shown { text, expires_ms: None })),
        TokenKind::Signed(seconds) => {
            let of = (new.organisation, sandbox.id.as_str());
            sign(transaction, (act, vault), of, seconds).await
        }
    }
}

fn check_expiry(act: &Act, expires_ms: Option<i64>) -> Result<(), DomainError> {
    if expires_ms.is_none_or(|at| at > act.now_ms) {
        return Ok(());
    }
    let issue = Issue::new("ALREADY_EXPIRED", "expiresAt", "`expiresAt` is in the past");
    Err(DomainError::invalid(vec![issue]))
}

fn sources(texts: &[String]) -> Result<Vec<IpNet>, DomainError> {
    let issue = |at: usize, message: String| {
        Issue::new("INVALID_SOURCE", format!("sources[{at}]"), message)
    };
    if texts.len() > SOURCES_MAX {
        let message = format!("a sandbox has at most {SOURCES_MAX} sources");
        return Err(DomainError::invalid(vec![issue(SOURCES_MAX, message)]));
    }
    let (mut nets, mut issues) = (Vec::new(), Vec::new());
    for (at, text) in texts.iter().enumerate() {
        match text.parse() {
            Ok(net) => nets.push(net),
            Err(_) => issues.push(issue(at, "an address range, such as `10.0.0.7/32`".to_owned())),
        }
    }
    if issues.is_empty() { Ok(nets) } else { Err(DomainError::invalid(issues)) }
}

/// Ends it: what it has in flight ends within a second.
pub async fn revoke(
    transaction: &mut dyn Transaction,
    act: &Act,
    of: (&str, &str),
    if_revision: Option<i64>,
) -> Result<Sandbox, DomainError> {
    let before = find(transaction, of).await?;
    check_revision(Some(before.revision), if_revision)?;
    if before.revoked_ms.is_some() {
        return Ok(before);
    }
    let sql = "UPDATE sandboxes SET revoked_at = $2, revision = revision + 1 WHERE id = $1";
    transaction.execute(sql, values![&before.id, act.now_ms]).await?;
    changed(transaction, act, (&before, "sandbox.revoke"), None).await?;
    find(transaction, of).await
}

/// Lets it live until another time, or without end.
pub async fn set_expiry(
    transaction: &mut dyn Transaction,
    act: &Act,
    of: (&str, &str),
    (expires_ms, if_revision): (Option<i64>, Option<i64>),
) -> Result<Sandbox, DomainError> {
    let before = live(transaction, act, of).await?;
    check_revision(Some(before.revision), if_revision)?;
    check_expiry(act, expires_ms)?;
    let sql = "UPDATE sandboxes SET expires_at = $2, revision = revision + 1 WHERE id = $1";
    transaction.execute(sql, values![&before.id, expires_ms]).await?;
    let after = json!({ "expiresAt": expires_ms });
    changed(transaction, act, (&before, "sandbox.expiry"), Some(after)).await?;
    find(transaction, of).await
}

/// A sandbox that did not end.
async fn live(
    transaction: &mut dyn Transaction,
    act: &Act,
    of: (&str, &str),
) -> Result<Sandbox, DomainError> {
    let sandbox = find(transaction, of).await?;
    let ended =
        sandbox.revoked_ms.is_some() || sandbox.expires_ms.is_some_and(|at| at <= act.now_ms);
    if ended {
        return Err(DomainError::conflict("sandbox_ended", "the sandbox has ended"));
    }
    Ok(sandbox)
}

async fn changed(
    transaction: &mut dyn Transaction,
    act: &Act,
    (sandbox, action): (&Sandbox, &'static str),
    after: Option<serde_json::Value>,
) -> Result<(), DomainError> {
    let organisation = Some(sandbox.organisation.as_str());
    let change = Change { organisation, action, subject: &sandbox.id, before: None, after };
    audit::record(transaction, act, change).await?;
    let payload = json!({ "sandboxId": sandbox.id });
    Ok(tell(transaction, (Topic::Sandbox, organisation), &payload, act.now_ms).await?)
}

pub async fn find(
    transaction: &mut dyn Transaction,
    (organisation, id): (&str, &str),
) -> Result<Sandbox, DomainError> {
    let sql = "SELECT id, organisation_id, profile_id, sources, created_at, expires_at, \
               revoked_at, revision FROM sandboxes WHERE id = $1 AND organisation_id = $2";
    let row = fetch_optional(transaction, sql, values![id, organisation]).await?;
    Ok(sandbox(row.ok_or_else(|| DomainError::not_found("sandbox"))?)?)
}

pub async fn list(
    transaction: &mut dyn Transaction,
    organisation: &str,
    page: &Page,
) -> Result<PageOf<Sandbox>, DomainError> {
    let sql = "SELECT id, organisation_id, profile_id, sources, created_at, expires_at, \
               revoked_at, revision FROM sandboxes WHERE organisation_id = $1 AND id > $2 \
               ORDER BY id LIMIT $3";
    let rows = transaction.fetch(sql, values![organisation, &page.after, page.fetch()]).await?;
    let items = rows.into_iter().map(sandbox).collect::<Result<_, _>>()?;
    Ok(page.cut(items, |sandbox: &Sandbox| sandbox.id.clone()))
}

/// A sandbox that may run, with what proves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Live {
    pub sandbox: Sandbox,
    pub token_sha256: Vec<u8>,
    /// The hash of the token before, and until when it is good.
    pub former: Option<(Vec<u8>, i64)>,
    generation: i64,
    signing_key: Option<[u8; 32]>,
}

impl Live {
    /// Whose signed tokens are good; `None`: nothing was ever signed for it.
    pub fn signer(&self) -> Option<Signer> {
        let former_until_unix = self.former.as_ref().map(|(_, until)| until.div_euclid(1000));
        let (public_key, generation) = (self.signing_key?, self.generation);
        Some(Signer { public_key, generation, former_until_unix })
    }
}

/// A sandbox that may run, of whichever organisation.
pub async fn find_live(
    transaction: &mut dyn Transaction,
    id: &str,
    now_ms: i64,
) -> Result<Option<Live>, DomainError> {
    let sql = "SELECT s.id, s.organisation_id, s.profile_id, s.sources, s.created_at, \
               s.expires_at, s.revoked_at, s.revision, t.sha256, f.sha256, f.expires_at, \
               s.token_generation, k.public_key FROM sandboxes s \
               JOIN sandbox_tokens t ON t.sandbox_id = s.id AND t.expires_at IS NULL \
               LEFT JOIN sandbox_tokens f ON f.sandbox_id = s.id AND f.expires_at > $2 \
               LEFT JOIN signing_keys k ON k.id = s.signing_key_id \
               WHERE s.id = $1 AND s.revoked_at IS NULL \
               AND (s.expires_at IS NULL OR s.expires_at > $2)";
    let row = fetch_optional(transaction, sql, values![id, now_ms]).await?;
    Ok(row.map(live_of).transpose()?)
}

/// Every sandbox that may run.
pub async fn all_live(
    transaction: &mut dyn Transaction,
    now_ms: i64,
) -> Result<Vec<Live>, DomainError> {
    let sql = "SELECT s.id, s.organisation_id, s.profile_id, s.sources, s.created_at, \
               s.expires_at, s.revoked_at, s.revision, t.sha256, f.sha256, f.expires_at, \
               s.token_generation, k.public_key FROM sandboxes s \
               JOIN sandbox_tokens t ON t.sandbox_id = s.id AND t.expires_at IS NULL \
               LEFT JOIN sandbox_tokens f ON f.sandbox_id = s.id AND f.expires_at > $1 \
               LEFT JOIN signing_keys k ON k.id = s.signing_key_id \
               WHERE s.revoked_at IS NULL AND (s.expires_at IS NULL OR s.expires_at > $1) \
               ORDER BY s.id";
    let rows = transaction.fetch(sql, values![now_ms]).await?;
    Ok(rows.into_iter().map(live_of).collect::<Result<_, StoreError>>()?)
}

fn live_of(mut row: Row) -> Result<Live, StoreError> {
    let sandbox = read(&mut row)?;
    let (token_sha256, former) = (row.bytes()?, row.optional_bytes()?);
    let former = former.zip(row.optional_integer()?);
    let generation = row.integer()?;
    let key = row.optional_bytes()?.map(TryInto::try_into).transpose();
    let signing_key = key.map_err(|_| StoreError::Shape)?;
    Ok(Live { sandbox, token_sha256, former, generation, signing_key })
}

fn sandbox(mut row: Row) -> Result<Sandbox, StoreError> {
    read(&mut row)
}

fn read(row: &mut Row) -> Result<Sandbox, StoreError> {
    Ok(Sandbox {
        id: row.text()?,
        organisation: row.text()?,
        profile: row.text()?,
        sources: serde_json::from_str(&row.text()?).map_err(|_| StoreError::Shape)?,
        created_ms: row.integer()?,
        expires_ms: row.optional_integer()?,
        revoked_ms: row.optional_integer()?,
        revision: row.integer()?,
    })
}
