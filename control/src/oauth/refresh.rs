//! New access tokens ahead of time: by one at a time per connection, whoever asks.
//!
//! A lease says who may ask the provider, and is not held across anything that needs the database.
//! What came back is kept by revision: even a holder whose lease ran out while the provider thought
//! keeps what it got, as long as nobody else kept something, because the provider may have made the
//! old refresh token void. A failure is noted only by who still holds the lease.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::keep::{ACCESS, KeepFor, REFRESH, keep_tokens};
use super::pkce::random;
use super::{Grant, OAuthClient, OAuthError, Tokens};
use crate::credentials::{Place, Plaintext, Sealed, Vault};
use crate::domain::Act;
use crate::domain::audit::{self, Change};
use crate::store::{Access, Lease, Store, StoreError, Topic, Transaction, fetch_optional, tell};
use crate::{change, values};

/// Longer than a request to a provider may take.
const LEASE_MS: i64 = 30_000;
/// How long one waits for what another one is fetching.
const WAIT: Duration = Duration::from_secs(20);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// What a refresh did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refreshed {
    /// We asked the provider.
    Now,
    /// Another one had done it.
    Already,
}

/// Refreshes connections of one database.
#[derive(Clone, Debug)]
pub struct Refresher {
    pub store: Store,
    pub vault: Vault,
}

/// A connection whose access token should be renewed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    pub organisation: String,
    pub connection: String,
    /// Of the access token.
    pub revision: i64,
}

/// What is known of the tokens before the provider is asked.
struct Held {
    access_revision: i64,
    refresh: Option<Plaintext>,
}

impl Refresher {
    /// Renews the access token whose revision is `seen`, unless it was renewed meanwhile.
    pub async fn refresh(
        &self,
        client: &OAuthClient,
        (whose, seen): (KeepFor<'_>, i64),
        clock: &(dyn Fn() -> i64 + Send + Sync),
    ) -> Result<Refreshed, OAuthError> {
        let Some(lease) = self.own(whose, seen, clock).await? else {
            return Ok(Refreshed::Already);
        };
        let outcome = self.as_owner(client, (whose, seen), (&lease, clock)).await;
        self.store.drop_lease(&lease).await?;
        outcome
    }

    /// Active connections whose access token has lived four fifths of its life, and can be renewed
    /// without asking for it anew; of the others those whose token has ended.
    pub async fn due(&self, now_ms: i64, most: i64) -> Result<Vec<Due>, StoreError> {
        let mut transaction = self.store.begin(Access::Read).await?;
        let find = "SELECT a.organisation_id, a.connection_id, a.revision FROM credentials a \
                    JOIN connections c ON c.id = a.connection_id \
                    WHERE a.secret_type = $1 AND c.status = 'active' \
                    AND a.updated_at + (a.expires_at - a.updated_at) / 5 * 4 <= $2 \
                    AND (a.expires_at <= $2 OR EXISTS (SELECT 1 FROM credentials r \
                    WHERE r.connection_id = a.connection_id AND r.secret_type = $4)) \
                    ORDER BY a.expires_at, a.connection_id LIMIT $3";
        let rows = transaction.fetch(find, values![ACCESS, now_ms, most, REFRESH]).await?;
        let due = |mut row: crate::store::Row| {
            let (organisation, connection) = (row.text()?, row.text()?);
            Ok(Due { organisation, connection, revision: row.integer()? })
        };
        rows.into_iter().map(due).collect()
    }

    /// Becomes the one who refreshes. `None`: another one did it while we waited.
    async fn own(
        &self,
        whose: KeepFor<'_>,
        seen: i64,
        clock: &(dyn Fn() -> i64 + Send + Sync),
    ) -> Result<Option<Lease>, OAuthError> {
        let (name, holder) = (format!("oauth2/{}", whose.connection), random()?);
        let end = Instant::now() + WAIT;
        loop {
            match self.access_revision(whose).await? {
                Some(current) if current == seen => {}
                Some(_) => return Ok(None),
                None => return Err(OAuthError::NothingToRefresh),
            }
            let now = clock();
            let lease = self.store.take_lease(&name, &holder, (now, now + LEASE_MS)).await?;
            if lease.is_some() {
                return Ok(lease);
            }
            if Instant::now() >= end {
                return Err(OAuthError::Busy);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    async fn as_owner(
        &self,
        client: &OAuthClient,
        (whose, seen): (KeepFor<'_>, i64),
        (lease, clock): (&Lease, &(dyn Fn() -> i64 + Send + Sync)),
    ) -> Result<Refreshed, OAuthError> {
        let held = self.held(whose).await?;
        if held.access_revision != seen {
            return Ok(Refreshed::Already);
        }
        let grant = match &held.refresh {
            Some(token) => Grant::Refresh { token },
            None if client.provider.authorization_url.is_none()
                && client.provider.device_authorization_url.is_none() =>
            {
                Grant::ClientCredentials
            }
            None => {
                let error = OAuthError::NothingToRefresh;
                self.note_failure((whose, seen), lease, (&error, clock())).await?;
                return Err(error);
            }
        };
        match client.tokens(grant, clock()).await {
            Ok(tokens) => self.keep((whose, seen), &tokens, clock()).await,
            Err(error) => {
                if error.is_permanent() {
                    self.note_failure((whose, seen), lease, (&error, clock())).await?;
                }
                Err(error)
            }
        }
    }

    async fn access_revision(&self, whose: KeepFor<'_>) -> Result<Option<i64>, StoreError> {
        let mut transaction = self.store.begin(Access::Read).await?;
        revision(&mut *transaction, whose).await
    }

    async fn held(&self, whose: KeepFor<'_>) -> Result<Held, OAuthError> {
        let mut transaction = self.store.begin(Access::Read).await?;
        let access_revision = revision(&mut *transaction, whose).await?;
        let access_revision = access_revision.ok_or(OAuthError::NothingToRefresh)?;
        let find = "SELECT id, key_version, ciphertext FROM credentials WHERE connection_id = $1 \
                    AND organisation_id = $2 AND secret_type = $3 AND slot_key = ''";
        let values = values![whose.connection, whose.organisation, REFRESH];
        let Some(mut row) = fetch_optional(&mut *transaction, find, values).await? else {
            return Ok(Held { access_revision, refresh: None });
        };
        let id = row.text()?;
        let sealed = Sealed { key_version: row.integer()?, ciphertext: row.bytes()? };
        let place = Place { table: "credentials", row: &id, column: "ciphertext" };
        let token = self.vault.open(&mut *transaction, whose.organisation, place, &sealed).await?;
        Ok(Held { access_revision, refresh: Some(token) })
    }

    async fn keep(
        &self,
        (whose, seen): (KeepFor<'_>, i64),
        tokens: &Tokens,
        now_ms: i64,
    ) -> Result<Refreshed, OAuthError> {
        change!(self.store, |transaction| {
            if revision(transaction, whose).await? != Some(seen) {
                return Ok::<_, OAuthError>(Refreshed::Already);
            }
            keep_tokens(transaction, &self.vault, (whose, tokens), now_ms).await?;
            invalidate(transaction, whose, now_ms).await?;
            Ok(Refreshed::Now)
        })
    }

    /// Puts the connection in `error`, where people see it.
    async fn note_failure(
        &self,
        (whose, seen): (KeepFor<'_>, i64),
        lease: &Lease,
        (error, now_ms): (&OAuthError, i64),
    ) -> Result<(), OAuthError> {
        let reason = if let OAuthError::Refused(code) = error { *code } else { error.code() };
        change!(self.store, |transaction| {
            let ours = lease.is_held(transaction).await?;
            if !ours || revision(transaction, whose).await? != Some(seen) {
                return Ok::<_, OAuthError>(());
            }
            let fail = "UPDATE connections SET status = 'error', status_reason = $3, \
                        revision = revision + 1, updated_at = $4 \
                        WHERE id = $1 AND organisation_id = $2 AND status = 'active'";
            let values = values![whose.connection, whose.organisation, reason, now_ms];
            if transaction.execute(fail, values).await? > 0 {
                let act = Act { actor: "service".to_owned(), now_ms };
                let change = Change {
                    organisation: Some(whose.organisation),
                    action: "connection.fail",
                    subject: whose.connection,
                    before: Some(json!({ "status": "active" })),
                    after: Some(json!({ "status": "error", "statusReason": reason })),
                };
                audit::write(transaction, &act, change).await?;
            }
            invalidate(transaction, whose, now_ms).await?;
            Ok(())
        })
    }
}

/// Of the connection's access token.
async fn revision(
    transaction: &mut dyn Transaction,
    whose: KeepFor<'_>,
) -> Result<Option<i64>, StoreError> {
    let find = "SELECT revision FROM credentials WHERE connection_id = $1 \
                AND organisation_id = $2 AND secret_type = $3 AND slot_key = ''";
    let values = values![whose.connection, whose.organisation, ACCESS];
    let row = fetch_optional(transaction, find, values).await?;
    row.map(|mut row| row.integer()).transpose()
}

/// Proxies must not use what they hold of the connection any longer.
async fn invalidate(
    transaction: &mut dyn Transaction,
    whose: KeepFor<'_>,
    now_ms: i64,
) -> Result<(), StoreError> {
    let about = (Topic::Invalidated, Some(whose.organisation));
    tell(transaction, about, &json!({ "connectionId": whose.connection }), now_ms).await
}
