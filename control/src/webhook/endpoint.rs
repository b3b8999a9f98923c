//! Endpoints: where deliveries go, and what they are signed with.

use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};

use crate::credentials::{Place, Plaintext, Sealed, Vault};
use crate::domain::audit::{self, Change};
use crate::domain::target::check_revision;
use crate::domain::{Act, DomainError, Issue, Page, PageOf, check};
use crate::id::IdKind;
use crate::outbound::Outbound;
use crate::store::{Row, StoreError, Transaction, fetch_optional};
use crate::values;

const URL_BYTES_MAX: usize = 2048;
const SECRET_BYTES: usize = 32;
/// While a secret is rotated there are two; more would be more that somebody may have lost.
const SECRETS_MAX: usize = 2;
/// How long the old secret signs beside the new one, if nothing else is said.
pub const OVERLAP_SECONDS: i64 = 24 * 3600;
pub const OVERLAP_SECONDS_MAX: i64 = 7 * 24 * 3600;

/// Whether deliveries are made.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum EndpointStatus {
    Active,
    /// By its owner, or because it said that it is gone.
    Disabled,
}

impl EndpointStatus {
    fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
        }
    }

    fn parse(text: &str) -> Result<Self, StoreError> {
        let all = [Self::Active, Self::Disabled];
        all.into_iter().find(|status| status.as_str() == text).ok_or(StoreError::Shape)
    }
}

/// An endpoint, without its secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    pub id: String,
    pub display_name: String,
    pub url: String,
    pub status: EndpointStatus,
    pub status_reason: Option<String>,
    pub secrets: Vec<SecretShown>,
    pub revision: i64,
    pub created_ms: i64,
    pub updated_ms: i64,
}

/// What is shown of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretShown {
    pub fingerprint: String,
    pub created_ms: i64,
    /// Until when it signs, once there is a newer one.
    pub expires_ms: Option<i64>,
}

/// What is said about an endpoint.
#[derive(Clone, Copy, Debug)]
pub struct EndpointWanted<'w> {
    pub display_name: &'w str,
    pub url: &'w str,
    pub status: EndpointStatus,
}

impl Endpoint {
    fn shown(&self) -> Json {
        let prints: Vec<&str> = self.secrets.iter().map(|s| s.fingerprint.as_str()).collect();
        json!({
            "displayName": self.display_name,
            "url": self.url,
            "status": self.status,
            "secrets": prints,
        })
    }
}

fn check_wanted(wanted: &EndpointWanted<'_>, outbound: &Outbound) -> Result<(), DomainError> {
    check::name("displayName", wanted.display_name)?;
    let issue = |message: String| {
        DomainError::invalid(vec![Issue::new("ENDPOINT_URL_REFUSED", "url", message)])
    };
    if wanted.url.len() > URL_BYTES_MAX {
        return Err(issue(format!("a URL has at most {URL_BYTES_MAX} bytes")));
    }
    outbound.admits(wanted.url).map_err(|error| issue(error.to_string()))
}

/// Makes an endpoint. Its secret is in what is returned, and never again anywhere.
pub async fn create(
    transaction: &mut dyn Transaction,
    (act, vault, outbound): (&Act, &Vault, &Outbound),
    (organisation, wanted): (&str, EndpointWanted<'_>),
) -> Result<(Endpoint, Plaintext), DomainError> {
    check_wanted(&wanted, outbound)?;
    let id = act.new_id(IdKind::WebhookEndpoint)?.to_string();
    let sql = "INSERT INTO webhook_endpoints (id, organisation_id, display_name, url, status, \
               revision, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, 1, $6, $6)";
    let EndpointWanted { display_name, url, status } = wanted;
    let values = values![&id, organisation, display_name, url, status.as_str(), act.now_ms];
    transaction.execute(sql, values).await?;
    let secret = add_secret(transaction, (act, vault), (organisation, &id)).await?;
    let made = find(transaction, (organisation, &id)).await?;
    let change = ("webhook_endpoint.create", None, Some(made.shown()));
    audited(transaction, act, (organisation, &id), change).await?;
    Ok((made, secret))
}

async fn add_secret(
    transaction: &mut dyn Transaction,
    (act, vault): (&Act, &Vault),
    (organisation, endpoint): (&str, &str),
) -> Result<Plaintext, DomainError> {
    let mut bytes = [0u8; SECRET_BYTES];
    rand::fill(&mut bytes).map_err(|_| DomainError::randomness())?;
    let secret = Plaintext::new(format!("whsec_{}", STANDARD.encode(bytes)).into_bytes());
    let id = act.new_id(IdKind::WebhookEndpointSecret)?.to_string();
    let sealed = vault.seal(transaction, organisation, place(&id), &secret).await?;
    let Sealed { key_version, ciphertext } = sealed;
    let sql = "INSERT INTO webhook_endpoint_secrets (id, organisation_id, endpoint_id, \
               key_version, ciphertext, fingerprint, created_at) \
               VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let print = secret.fingerprint();
    let values = values![&id, organisation, endpoint, key_version, ciphertext, print, act.now_ms];
    transaction.execute(sql, values).await?;
    Ok(secret)
}

fn place(row: &str) -> Place<'_> {
    Place { table: "webhook_endpoint_secrets", row, column: "ciphertext" }
}

/// Changes what is said about it.
pub async fn change(
    transaction: &mut dyn Transaction,
    (act, outbound): (&Act, &Outbound),
    (organisation, id): (&str, &str),
    (wanted, if_revision): (EndpointWanted<'_>, Option<i64>),
) -> Result<Endpoint, DomainError> {
    let before = find(transaction, (organisation, id)).await?;
    check_revision(Some(before.revision), if_revision)?;
    check_wanted(&wanted, outbound)?;
    let sql = "UPDATE webhook_endpoints SET display_name = $2, url = $3, status = $4, \
               status_reason = NULL, revision = revision + 1, updated_at = $5 WHERE id = $1";
    let EndpointWanted { display_name, url, status } = wanted;
    let values = values![id, display_name, url, status.as_str(), act.now_ms];
    transaction.execute(sql, values).await?;
    let after = find(transaction, (organisation, id)).await?;
    let change = ("webhook_endpoint.change", Some(before.shown()), Some(after.shown()));
    audited(transaction, act, (organisation, id), change).await?;
    Ok(after)
}

/// Makes a new secret; the one before signs beside it for so many seconds more.
pub async fn rotate(
    transaction: &mut dyn Transaction,
    (act, vault): (&Act, &Vault),
    (organisation, id): (&str, &str),
    (overlap_seconds, if_revision): (i64, Option<i64>),
) -> Result<(Endpoint, Plaintext), DomainError> {
    let before = find(transaction, (organisation, id)).await?;
    check_revision(Some(before.revision), if_revision)?;
    if !(0..=OVERLAP_SECONDS_MAX).contains(&overlap_seconds) {
        let message = format!("`overlapSeconds` is within 0 and {OVERLAP_SECONDS_MAX}");
        let issue = Issue::new("INVALID_OVERLAP", "overlapSeconds", message);
        return Err(DomainError::invalid(vec![issue]));
    }
    // What is older than the one that was current ends now: two are enough.
    let sql = "DELETE FROM webhook_endpoint_secrets \
               WHERE endpoint_id = $1 AND expires_at IS NOT NULL";
    transaction.execute(sql, values![id]).await?;
    let until = act.now_ms.saturating_add(overlap_seconds * 1000);
    let sql = "UPDATE webhook_endpoint_secrets SET expires_at = $2 WHERE endpoint_id = $1";
    transaction.execute(sql, values![id, until]).await?;
    let secret = add_secret(transaction, (act, vault), (organisation, id)).await?;
    let sql = "UPDATE webhook_endpoints SET revision = revision + 1, updated_at = $2 WHERE id = $1";
    transaction.execute(sql, values![id, act.now_ms]).await?;
    let after = find(transaction, (organisation, id)).await?;
    let change = ("webhook_endpoint.rotate", Some(before.shown()), Some(after.shown()));
    audited(transaction, act, (organisation, id), change).await?;
    Ok((after, secret))
}

/// Ends deliveries to it; what is on its way is given up.
pub async fn delete(
    transaction: &mut dyn Transaction,
    act: &Act,
    (organisation, id): (&str, &str),
    if_revision: Option<i64>,
) -> Result<(), DomainError> {
    let before = find(transaction, (organisation, id)).await?;
    check_revision(Some(before.revision), if_revision)?;
    let sql = "DELETE FROM webhook_endpoint_secrets WHERE endpoint_id = $1";
    transaction.execute(sql, values![id]).await?;
    let sql = "UPDATE webhook_endpoints SET status = 'disabled', deleted_at = $2, updated_at = $2, \
               revision = revision + 1 WHERE id = $1";
    transaction.execute(sql, values![id, act.now_ms]).await?;
    let change = ("webhook_endpoint.delete", Some(before.shown()), None);
    audited(transaction, act, (organisation, id), change).await
}

/// Ends deliveries because the other side said that it is gone.
pub(super) async fn gone(
    transaction: &mut dyn Transaction,
    act: &Act,
    (organisation, id): (&str, &str),
) -> Result<(), DomainError> {
    let before = find(transaction, (organisation, id)).await?;
    let sql = "UPDATE webhook_endpoints SET status = 'disabled', \
               status_reason = 'it answered 410', revision = revision + 1, updated_at = $2 \
               WHERE id = $1";
    transaction.execute(sql, values![id, act.now_ms]).await?;
    let after = find(transaction, (organisation, id)).await?;
    let change = ("webhook_endpoint.gone", Some(before.shown()), Some(after.shown()));
    audited(transaction, act, (organisation, id), change).await
}

async fn audited(
    transaction: &mut dyn Transaction,
    act: &Act,
    (organisation, subject): (&str, &str),
    (action, before, after): (&'static str, Option<Json>, Option<Json>),
) -> Result<(), DomainError> {
    let change = Change { organisation: Some(organisation), action, subject, before, after };
    audit::record(transaction, act, change).await
}

/// The secrets that sign at a time, the newest first.
pub(super) async fn signing(
    transaction: &mut dyn Transaction,
    vault: &Vault,
    (organisation, id): (&str, &str),
    now_ms: i64,
) -> Result<Vec<Plaintext>, DomainError> {
    let sql = "SELECT id, key_version, ciphertext FROM webhook_endpoint_secrets \
               WHERE endpoint_id = $1 AND (expires_at IS NULL OR expires_at > $2) \
               ORDER BY expires_at IS NOT NULL, id DESC LIMIT $3";
    let most = i64::try_from(SECRETS_MAX).unwrap_or(i64::MAX);
    let mut secrets = Vec::new();
    for mut row in transaction.fetch(sql, values![id, now_ms, most]).await? {
        let row_id = row.text()?;
        let sealed = Sealed { key_version: row.integer()?, ciphertext: row.bytes()? };
        secrets.push(vault.open(transaction, organisation, place(&row_id), &sealed).await?);
    }
    Ok(secrets)
}

pub async fn find(
    transaction: &mut dyn Transaction,
    (organisation, id): (&str, &str),
) -> Result<Endpoint, DomainError> {
    let sql = "SELECT id, display_name, url, status, status_reason, revision, created_at, \
               updated_at FROM webhook_endpoints \
               WHERE id = $1 AND organisation_id = $2 AND deleted_at IS NULL";
    let row = fetch_optional(transaction, sql, values![id, organisation]).await?;
    let mut found = endpoint(row.ok_or_else(|| DomainError::not_found("endpoint"))?)?;
    found.secrets = secrets(transaction, id).await?;
    Ok(found)
}

pub async fn list(
    transaction: &mut dyn Transaction,
    organisation: &str,
    page: &Page,
) -> Result<PageOf<Endpoint>, DomainError> {
    let sql = "SELECT id, display_name, url, status, status_reason, revision, created_at, \
               updated_at FROM webhook_endpoints \
               WHERE organisation_id = $1 AND id > $2 AND deleted_at IS NULL \
               ORDER BY id LIMIT $3";
    let rows = transaction.fetch(sql, values![organisation, &page.after, page.fetch()]).await?;
    let mut items = rows.into_iter().map(endpoint).collect::<Result<Vec<_>, _>>()?;
    for item in &mut items {
        item.secrets = secrets(transaction, &item.id).await?;
    }
    Ok(page.cut(items, |endpoint: &Endpoint| endpoint.id.clone()))
}

async fn secrets(
    transaction: &mut dyn Transaction,
    endpoint: &str,
) -> Result<Vec<SecretShown>, DomainError> {
    let sql = "SELECT fingerprint, created_at, expires_at FROM webhook_endpoint_secrets \
               WHERE endpoint_id = $1 ORDER BY expires_at IS NOT NULL, id";
    let rows = transaction.fetch(sql, values![endpoint]).await?;
    let shown = |mut row: Row| {
        Ok::<_, StoreError>(SecretShown {
            fingerprint: row.text()?,
            created_ms: row.integer()?,
            expires_ms: row.optional_integer()?,
        })
    };
    Ok(rows.into_iter().map(shown).collect::<Result<_, _>>()?)
}

fn endpoint(mut row: Row) -> Result<Endpoint, StoreError> {
    Ok(Endpoint {
        id: row.text()?,
        display_name: row.text()?,
        url: row.text()?,
        status: EndpointStatus::parse(&row.text()?)?,
        status_reason: row.optional_text()?,
        secrets: Vec::new(),
        revision: row.integer()?,
        created_ms: row.integer()?,
        updated_ms: row.integer()?,
    })
}
