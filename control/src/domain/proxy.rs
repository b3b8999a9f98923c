//! Proxies in processes of their own: let in once by a token, known by their public key from then
//! on, and revocable. Belongs to the installation, not to an organisation.

use std::collections::BTreeSet;

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use serde_json::json;

use super::audit::{self, Change};
use super::{Act, DomainError, Fault, Issue, Page, PageOf, check};
use crate::feed::{About, Acknowledged, Outcome};
use crate::id::IdKind;
use crate::store::{Row, Store, StoreError, Topic, Transaction, fetch_optional, tell};
use crate::token::{is_whole, mint, sha256};
use crate::{change, values};

/// What the tokens begin with that let a proxy in.
pub const ENROLLMENT_PREFIX: &str = "sge_";
/// How long such a token is good at most: a week.
pub const ENROLLMENT_MS_MAX: i64 = 7 * 24 * 3600 * 1000;
/// How long a proxy that was not heard of counts as one that runs.
const LIVE_MS: i64 = 15_000;
/// Proxies that are waited for.
const LIVE_MAX: i64 = 10_000;
const VERSION_BYTES_MAX: usize = 64;
const KEY_BYTES: usize = 32;

/// A proxy, as it was heard of last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    pub id: String,
    pub name: String,
    /// Ed25519.
    pub public_key: Vec<u8>,
    pub version: String,
    pub outcome: Outcome,
    pub about: About,
    pub created_ms: i64,
    pub seen_ms: i64,
    pub revoked_ms: Option<i64>,
}

impl Proxy {
    /// Whether it is let in and was heard of lately.
    pub fn is_live(&self, now_ms: i64) -> bool {
        self.revoked_ms.is_none() && self.seen_ms > now_ms.saturating_sub(LIVE_MS)
    }
}

/// A token that lets one proxy in, without the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrollment {
    pub id: String,
    pub name: String,
    pub created_ms: i64,
    pub expires_ms: i64,
}

/// Gives the installation the name that the tokens of proxies are made for, at its first start.
pub async fn name_installation(transaction: &mut dyn Transaction) -> Result<(), DomainError> {
    let find = "SELECT installation FROM feed_position WHERE name = 'outbox'";
    let row = fetch_optional(transaction, find, Vec::new()).await?;
    if row.ok_or(StoreError::Shape)?.optional_text()?.is_none() {
        let name = mint("ins_").map_err(|_| DomainError::randomness())?;
        let sql = "UPDATE feed_position SET installation = $1 WHERE name = 'outbox'";
        transaction.execute(sql, values![name]).await?;
    }
    Ok(())
}

/// Makes a token that lets one proxy in; it is shown now and never again.
pub async fn invite(
    transaction: &mut dyn Transaction,
    act: &Act,
    (name, ttl_ms): (&str, i64),
) -> Result<(Enrollment, String), DomainError> {
    check::name("name", name)?;
    if !(1..=ENROLLMENT_MS_MAX).contains(&ttl_ms) {
        let message = "a token lets in for a second at least, and a week at most";
        let issue = Issue::new("OUT_OF_RANGE", "ttlSeconds", message);
        return Err(DomainError::invalid(vec![issue]));
    }
    let token = mint(ENROLLMENT_PREFIX).map_err(|_| DomainError::randomness())?;
    let made = Enrollment {
        id: act.new_id(IdKind::ProxyEnrollment)?.to_string(),
        name: name.to_owned(),
        created_ms: act.now_ms,
        expires_ms: act.now_ms.saturating_add(ttl_ms),
    };
    let write = "INSERT INTO proxy_enrollments (id, name, sha256, created_at, expires_at) \
                 VALUES ($1, $2, $3, $4, $5)";
    let values = values![&made.id, name, sha256(&token), act.now_ms, made.expires_ms];
    transaction.execute(write, values).await?;
    let after = json!({ "name": name, "expiresAt": made.expires_ms });
    changed(transaction, act, ("proxy.invite", &made.id), Some(after)).await?;
    Ok((made, token))
}

/// A proxy that asks to be let in.
#[derive(Clone, Debug)]
pub struct Applicant<'a> {
    pub token: &'a str,
    /// Ed25519, 32 bytes.
    pub public_key: &'a [u8],
    /// The token, signed: whoever asks has the key.
    pub proof: &'a [u8],
    pub version: &'a str,
}

/// Lets a proxy in. A token is used once: again only by the same key, whose answer was lost.
pub async fn enroll(
    transaction: &mut dyn Transaction,
    now_ms: i64,
    applicant: &Applicant<'_>,
) -> Result<Proxy, DomainError> {
    let Applicant { token, public_key, proof, version } = *applicant;
    let refused = || {
        let message = "the token is none that lets a proxy in now";
        DomainError::new(Fault::Forbidden, "enrollment_refused", message)
    };
    let wrong = is_weak(public_key) || version.len() > VERSION_BYTES_MAX;
    let signed = || {
        let key = UnparsedPublicKey::new(&ED25519, public_key);
        key.verify(token.as_bytes(), proof).is_ok()
    };
    if wrong || !is_whole(ENROLLMENT_PREFIX, token) || !signed() {
        return Err(refused());
    }
    let sql = "SELECT id, name, proxy_id FROM proxy_enrollments \
               WHERE sha256 = $1 AND expires_at > $2";
    let row = fetch_optional(transaction, sql, values![sha256(token), now_ms]).await?;
    let mut row = row.ok_or_else(refused)?;
    let (enrollment, name, used_by) = (row.text()?, row.text()?, row.optional_text()?);
    if let Some(id) = used_by {
        let proxy = find(transaction, &id).await?;
        let same = proxy.public_key == public_key && proxy.revoked_ms.is_none();
        return if same { Ok(proxy) } else { Err(refused()) };
    }
    let known = "SELECT id FROM proxies WHERE public_key = $1";
    if fetch_optional(transaction, known, values![public_key]).await?.is_some() {
        let message = "this key is that of another proxy: make a new one";
        return Err(DomainError::conflict("key_taken", message));
    }
    let act = Act { actor: enrollment.clone(), now_ms };
    let id = act.new_id(IdKind::Proxy)?.to_string();
    let write = "INSERT INTO proxies (id, name, public_key, version, served, refused, \
                 created_at, seen_at) VALUES ($1, $2, $3, $4, '{}', '{}', $5, 0)";
    transaction.execute(write, values![&id, &name, public_key, version, now_ms]).await?;
    let used = "UPDATE proxy_enrollments SET proxy_id = $2 WHERE id = $1";
    transaction.execute(used, values![&enrollment, &id]).await?;
    changed(transaction, &act, ("proxy.enroll", &id), Some(json!({ "name": name }))).await?;
    find(transaction, &id).await
}

/// Whether anybody could sign for this key: the points of small order, with whichever sign, and
/// their other spellings. They verify, and nobody needs a private key for them.
fn is_weak(public_key: &[u8]) -> bool {
    const ORDER_EIGHT: [[u8; 2]; 2] = [[0x26, 0xe8], [0xc7, 0x17]];
    let Ok(key) = <[u8; KEY_BYTES]>::try_from(public_key) else { return true };
    let [first, second, middle @ .., last] = key;
    let last = last & 0x7f;
    let zeros = second == 0 && last == 0 && middle.iter().all(|byte| *byte == 0);
    let ones = second == 0xff && last == 0x7f && middle.iter().all(|byte| *byte == 0xff);
    // One honest key in some 65 000 begins like a point of order eight, and is made anew.
    zeros && first <= 1
        || ones && (0xec..=0xee).contains(&first)
        || ORDER_EIGHT.contains(&[first, second])
}

/// Lets a proxy in no more: what it was told and what it holds it must forget.
pub async fn revoke(
    transaction: &mut dyn Transaction,
    act: &Act,
    id: &str,
) -> Result<Proxy, DomainError> {
    if find(transaction, id).await?.revoked_ms.is_none() {
        let sql = "UPDATE proxies SET revoked_at = $2 WHERE id = $1";
        transaction.execute(sql, values![id, act.now_ms]).await?;
        changed(transaction, act, ("proxy.revoke", id), None).await?;
        let payload = json!({ "proxyId": id });
        tell(transaction, (Topic::Proxy, None), &payload, act.now_ms).await?;
    }
    find(transaction, id).await
}

async fn changed(
    transaction: &mut dyn Transaction,
    act: &Act,
    (action, subject): (&'static str, &str),
    after: Option<serde_json::Value>,
) -> Result<(), DomainError> {
    let change = Change { organisation: None, action, subject, before: None, after };
    audit::record(transaction, act, change).await
}

pub async fn find(transaction: &mut dyn Transaction, id: &str) -> Result<Proxy, DomainError> {
    let sql = "SELECT id, name, public_key, version, served, refused, entrance, ca_pem, \
               created_at, seen_at, revoked_at FROM proxies WHERE id = $1";
    let row = fetch_optional(transaction, sql, values![id]).await?;
    Ok(proxy(row.ok_or_else(|| DomainError::not_found("proxy"))?)?)
}

pub async fn list(
    transaction: &mut dyn Transaction,
    page: &Page,
) -> Result<PageOf<Proxy>, DomainError> {
    let sql = "SELECT id, name, public_key, version, served, refused, entrance, ca_pem, \
               created_at, seen_at, revoked_at FROM proxies WHERE id > $1 ORDER BY id LIMIT $2";
    let rows = transaction.fetch(sql, values![&page.after, page.fetch()]).await?;
    let items = rows.into_iter().map(proxy).collect::<Result<_, _>>()?;
    Ok(page.cut(items, |proxy: &Proxy| proxy.id.clone()))
}

/// Every proxy that runs, as far as is known.
pub async fn all_live(
    transaction: &mut dyn Transaction,
    now_ms: i64,
) -> Result<Vec<Proxy>, DomainError> {
    let sql = "SELECT id, name, public_key, version, served, refused, entrance, ca_pem, \
               created_at, seen_at, revoked_at FROM proxies WHERE revoked_at IS NULL AND seen_at > $1 \
               ORDER BY id LIMIT $2";
    let since = now_ms.saturating_sub(LIVE_MS);
    let rows = transaction.fetch(sql, values![since, LIVE_MAX]).await?;
    Ok(rows.into_iter().map(proxy).collect::<Result<_, _>>()?)
}

/// Notes what proxies serve.
pub async fn acknowledged(
    store: &Store,
    said: &[Acknowledged],
    now_ms: i64,
) -> Result<(), DomainError> {
    let text = |of: &std::collections::BTreeMap<String, String>| json!(of).to_string();
    change!(store, |transaction| {
        for Acknowledged { proxy, outcome, about } in said {
            let sql = "UPDATE proxies SET served = $2, refused = $3, entrance = $4, ca_pem = $5, \
                       seen_at = $6 WHERE id = $1";
            let (served, refused) = (text(&outcome.served), text(&outcome.refused));
            let About { entrance, ca_pem } = about;
            let (entrance, ca_pem) = (entrance.as_deref(), ca_pem.as_deref());
            let values = values![proxy, served, refused, entrance, ca_pem, now_ms];
            transaction.execute(sql, values).await?;
        }
        Ok::<_, DomainError>(())
    })
}

/// Notes that proxies are there.
pub async fn seen(
    store: &Store,
    proxies: &BTreeSet<String>,
    now_ms: i64,
) -> Result<(), DomainError> {
    change!(store, |transaction| {
        for id in proxies {
            let sql = "UPDATE proxies SET seen_at = $2 WHERE id = $1";
            transaction.execute(sql, values![id, now_ms]).await?;
        }
        Ok::<_, DomainError>(())
    })
}

fn proxy(mut row: Row) -> Result<Proxy, StoreError> {
    let map = |text: String| serde_json::from_str(&text).map_err(|_| StoreError::Shape);
    let (id, name, public_key, version) = (row.text()?, row.text()?, row.bytes()?, row.text()?);
    let outcome = Outcome { served: map(row.text()?)?, refused: map(row.text()?)? };
    let about = About { entrance: row.optional_text()?, ca_pem: row.optional_text()? };
    let (created_ms, seen_ms) = (row.integer()?, row.integer()?);
    let revoked_ms = row.optional_integer()?;
    Ok(Proxy { id, name, public_key, version, outcome, about, created_ms, seen_ms, revoked_ms })
}
