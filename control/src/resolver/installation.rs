//! Tokens of an app's installation at GitHub: narrowed to what a binding names, minted when they
//! are needed, and kept sealed until they end.

use serde_json::{Map, Value as Json, json};

use super::stored;
use crate::change;
use crate::connect::Site;
use crate::credentials::Plaintext;
use crate::domain::connection::{self, MINTED, installation_of};
use crate::domain::resolve::{self, Credential, Permit, refused};
use crate::domain::{Act, DomainError};
use crate::github::{App, AppError, Narrow};
use crate::oauth::{KeepFor, keep_token};
use crate::service::Control;
use crate::store::Access;
use crate::token::sha256_hex;
use crate::values;

/// GitHub's live for an hour. One that ends sooner is replaced before it is given.
const SOON_MS: i64 = 5 * 60_000;
/// Digits that tell scopes apart: 128 bits.
const SLOT_DIGITS: usize = 32;

/// Where the token of a scope is kept: a token is never given for another scope than its own.
pub(super) fn slot(scope: &Map<String, Json>) -> String {
    // Keys are sorted, so one scope has one text.
    let mut slot = sha256_hex(&json!(scope).to_string());
    slot.truncate(SLOT_DIGITS);
    slot
}

pub(super) async fn token(
    control: &Control,
    permit: &Permit,
    (scope, slot): (&Map<String, Json>, &str),
) -> Result<Credential, DomainError> {
    let held = stored(control, permit, (MINTED, slot)).await?;
    let now_ms = control.clock.now_ms();
    let held = match held {
        Some(held) if held.lives_at(now_ms.saturating_add(SOON_MS)) => return Ok(held),
        held => held.filter(|held| held.lives_at(now_ms)),
    };
    match mint(control, permit, scope).await {
        Ok(token) => {
            keep(control, permit, slot, token).await?;
            let kept = stored(control, permit, (MINTED, slot)).await?;
            kept.ok_or_else(|| refused("the connection was taken away meanwhile"))
        }
        Err(Unminted::Gone(why)) => {
            fail(control, permit, why).await?;
            Err(refused(why))
        }
        Err(Unminted::Unavailable(error)) => held.ok_or(error),
        Err(Unminted::Refused(error)) => Err(error),
    }
}

/// Why there is no new token.
enum Unminted {
    /// There is no such installation any more.
    Gone(&'static str),
    Unavailable(DomainError),
    Refused(DomainError),
}

impl From<AppError> for Unminted {
    fn from(error: AppError) -> Self {
        match error {
            AppError::Gone(why) => Self::Gone(why),
            AppError::KeyRefused | AppError::NotCovered(_) => {
                Self::Refused(refused(&error.to_string()))
            }
            AppError::Unavailable { .. } | AppError::Malformed(_) => {
                Self::Unavailable(error.into())
            }
        }
    }
}

impl From<DomainError> for Unminted {
    fn from(error: DomainError) -> Self {
        Self::Refused(error)
    }
}

async fn mint(
    control: &Control,
    permit: &Permit,
    scope: &Map<String, Json>,
) -> Result<(Plaintext, i64), Unminted> {
    let mut transaction = control.store.begin(Access::Read).await.map_err(DomainError::from)?;
    let id = installation_of(&mut *transaction, &permit.connection).await?;
    drop(transaction);
    let id = id.ok_or_else(|| refused("the connection has no installation"))?;
    let site = Site::find(control, &permit.target_key).await?;
    let (app, now_ms) = (App::of(&site)?, control.clock.now_ms());
    let installation = app.installation(&id, now_ms).await?;
    let narrow = Narrow::of(scope).within(&installation)?;
    Ok(app.token(&id, &narrow, now_ms).await?)
}

/// Keeps the token, when the connection may still be used.
async fn keep(
    control: &Control,
    permit: &Permit,
    slot: &str,
    (token, expires_ms): (Plaintext, i64),
) -> Result<(), DomainError> {
    let now_ms = control.clock.now_ms();
    let whose = KeepFor { organisation: &permit.organisation, connection: &permit.connection };
    change!(control.store, |transaction| {
        resolve::active(transaction, (&permit.organisation, &permit.connection)).await?;
        // Scopes that no plan has any more leave nothing behind.
        let old = "DELETE FROM credentials WHERE connection_id = $1 AND secret_type = $2 \
                   AND expires_at <= $3 AND slot_key <> $4";
        let values = values![&permit.connection, MINTED, now_ms, slot];
        transaction.execute(old, values).await?;
        let (what, times) = ((whose, (MINTED, slot), &token), (Some(expires_ms), now_ms));
        keep_token(transaction, &control.vault, what, times).await?;
        Ok::<_, DomainError>(())
    })
}

/// Puts the connection in `error`, where people see it.
async fn fail(control: &Control, permit: &Permit, why: &str) -> Result<(), DomainError> {
    let act = Act { actor: "service".to_owned(), now_ms: control.clock.now_ms() };
    let of = connection::Of { organisation: &permit.organisation, id: &permit.connection };
    let failed: Result<(), DomainError> = change!(control.store, |transaction| {
        connection::fail(transaction, &act, of, why).await
    });
    control.feed.wake();
    failed
}
