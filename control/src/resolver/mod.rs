//! Turns references into credentials: a custom resolver where the reference names one, else the
//! managed OAuth 2.0 token, else the stored secret.
//!
//! What the service itself does at a provider in somebody's name is done with the same credentials.
//!
//! INVARIANT: nothing here gives a credential without a [`Permit`] that was asked for just now, and
//! what a provider gave is kept only when the connection may still be used.

mod installation;
mod managed;

use serde_json::{Map, Value as Json};

use crate::change;
use crate::domain::resolve::{self, Credential, Permit, Wanted, refused};
use crate::domain::{DomainError, connection};
use crate::oauth::ACCESS;
use crate::service::Control;
use crate::store::Access;

pub(crate) use managed::{has_tokens, renew};

/// Where a credential stands among those of its connection.
type Slot<'s> = (&'s str, &'s str);

/// The credential, or why there is none.
pub(crate) async fn resolve(control: &Control, wanted: &Wanted) -> Result<Credential, DomainError> {
    let now_ms = control.clock.now_ms();
    let mut transaction = control.store.begin(Access::Read).await?;
    let permit = resolve::permit(&mut *transaction, wanted, now_ms).await?;
    drop(transaction);
    let asked = Asked {
        resolver_key: wanted.resolver_key.as_deref(),
        secret_type: &wanted.secret_type,
        slot_key: wanted.slot_key.as_deref().unwrap_or_default(),
        scope: &wanted.scope,
    };
    credential(control, &permit, asked).await
}

/// Which credential of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) resolver_key: Option<&'a str>,
    pub(crate) secret_type: &'a str,
    pub(crate) slot_key: &'a str,
    /// What narrows it.
    pub(crate) scope: &'a Map<String, Json>,
}

/// The credential of a connection that may be used.
pub(crate) async fn credential(
    control: &Control,
    permit: &Permit,
    asked: Asked<'_>,
) -> Result<Credential, DomainError> {
    let minted = installation::slot(asked.scope);
    let (credential, slot) = match asked.resolver_key {
        Some(connection::MINTED) => {
            let given = installation::token(control, permit, (asked.scope, &minted)).await?;
            (given, (connection::MINTED, minted.as_str()))
        }
        Some(key) => return Err(refused(&format!("there is no resolver `{key}`"))),
        None if asked.secret_type == ACCESS => {
            (managed::token(control, permit).await?, (ACCESS, ""))
        }
        None => {
            let slot = (asked.secret_type, asked.slot_key);
            (secret(control, permit, slot).await?, slot)
        }
    };
    note_use(control, (permit, slot)).await;
    Ok(credential)
}

/// A secret that somebody typed in.
async fn secret(
    control: &Control,
    permit: &Permit,
    slot: Slot<'_>,
) -> Result<Credential, DomainError> {
    let stored = stored(control, permit, slot).await?;
    let stored = stored.ok_or_else(|| refused("the connection has no such credential"))?;
    if stored.lives_at(control.clock.now_ms()) {
        return Ok(stored);
    }
    Err(refused("the credential has expired"))
}

async fn stored(
    control: &Control,
    permit: &Permit,
    (secret_type, slot): Slot<'_>,
) -> Result<Option<Credential>, DomainError> {
    let mut transaction = control.store.begin(Access::Read).await?;
    resolve::stored(&mut *transaction, &control.vault, (permit, secret_type, slot)).await
}

/// A use that cannot be written down is a use nevertheless.
async fn note_use(control: &Control, (permit, (secret_type, slot)): (&Permit, Slot<'_>)) {
    let (now_ms, which) = (control.clock.now_ms(), (permit, secret_type, slot));
    let noted = async {
        let mut transaction = control.store.begin(Access::Read).await?;
        let is_news = resolve::is_use_news(&mut *transaction, which, now_ms).await?;
        drop(transaction);
        if !is_news {
            return Ok(());
        }
        change!(control.store, |transaction| {
            resolve::note_use(transaction, which, now_ms).await
        })
    };
    let noted: Result<(), DomainError> = noted.await;
    if let Err(error) = noted {
        tracing::warn!(code = error.code, "the use of a credential is not noted");
    }
}
