//! Authorizations under way: begun by a session, ended once.

use serde_json::Value as Json;

use super::pkce::random;
use super::{OAuthError, Verifier};
use crate::credentials::{Place, Plaintext, Sealed, Vault};
use crate::store::{Access, Row, Store, StoreError, Transaction, fetch_optional};
use crate::token::sha256_hex;
use crate::{change, values};

/// How long a person has to consent.
const LIFE_MS: i64 = 10 * 60 * 1000;

/// Whose attempt it is: the owner of the key that seals it, and the session that began it.
#[derive(Clone, Copy, Debug)]
pub struct Owner<'a> {
    pub key: &'a str,
    pub session: &'a str,
}

/// What an attempt is begun with.
#[derive(Clone, Copy, Debug)]
pub struct Begin<'a> {
    pub owner: Owner<'a>,
    /// `connect`, `login`, `device`: an attempt ends only as what it began.
    pub purpose: &'static str,
    pub redirect_uri: &'a str,
    /// What is to become of it. No secret.
    pub payload: &'a Json,
}

/// An attempt that came back.
#[derive(Debug)]
pub struct Attempt {
    pub owner: String,
    pub redirect_uri: String,
    pub payload: Json,
    /// The verifier, or the code of a device.
    pub secret: Plaintext,
    pub poll_after_ms: i64,
}

impl Attempt {
    /// Begins an attempt that ends with a code. Gives its state, the verifier and when it expires.
    pub async fn begin(
        store: &Store,
        vault: &Vault,
        begin: Begin<'_>,
        now_ms: i64,
    ) -> Result<(String, Verifier, i64), OAuthError> {
        let verifier = Verifier::new()?;
        let expires = now_ms + LIFE_MS;
        let keep = Keep { begin, secret: verifier.plaintext(), now_ms, expires_ms: expires };
        let state = keep.write(store, vault, now_ms).await?;
        Ok((state, verifier, expires))
    }

    /// Begins an attempt that is polled. Gives what the caller polls with.
    pub(super) async fn begin_device(
        store: &Store,
        vault: &Vault,
        (begin, code): (Begin<'_>, &Plaintext),
        (now_ms, expires_ms, poll_after_ms): (i64, i64, i64),
    ) -> Result<String, OAuthError> {
        Keep { begin, secret: code, now_ms, expires_ms }.write(store, vault, poll_after_ms).await
    }

    /// Ends an attempt, whatever comes of it: a state is good once, for the session that began it.
    /// It is gone before anybody is asked for a token.
    pub async fn consume(
        store: &Store,
        vault: &Vault,
        (state, session, purpose): (&str, &str, &str),
        now_ms: i64,
    ) -> Result<Self, OAuthError> {
        let id = sha256_hex(state);
        let ended: Option<Self> = change!(store, |transaction| {
            let take = "DELETE FROM oauth_attempts WHERE id = $1 RETURNING owner, redirect_uri, \
                        payload, key_version, ciphertext, poll_after, session, purpose, expires_at";
            match fetch_optional(transaction, take, values![&id]).await? {
                Some(row) => open(transaction, vault, (&id, row), (session, purpose, now_ms)).await,
                None => Ok::<_, OAuthError>(None),
            }
        })?;
        ended.ok_or(OAuthError::UnknownState)
    }

    /// Looks at an attempt that is polled, without ending it.
    pub async fn look(
        store: &Store,
        vault: &Vault,
        (handle, session, purpose): (&str, &str, &str),
        now_ms: i64,
    ) -> Result<Self, OAuthError> {
        let id = sha256_hex(handle);
        let mut transaction = store.begin(Access::Read).await?;
        let find = "SELECT owner, redirect_uri, payload, key_version, ciphertext, poll_after, \
                    session, purpose, expires_at FROM oauth_attempts WHERE id = $1";
        let row = fetch_optional(&mut *transaction, find, values![&id]).await?;
        let row = row.ok_or(OAuthError::UnknownState)?;
        let found = open(&mut *transaction, vault, (&id, row), (session, purpose, now_ms)).await?;
        found.ok_or(OAuthError::UnknownState)
    }

    /// Takes the poll that is due, so that nobody else makes it: of two that got the tokens, the
    /// second would get nothing, and might end the attempt before the first.
    pub(super) async fn take_poll(
        store: &Store,
        handle: &str,
        (seen_ms, poll_after_ms): (i64, i64),
    ) -> Result<bool, StoreError> {
        let id = sha256_hex(handle);
        change!(store, |transaction| {
            let take = "UPDATE oauth_attempts SET poll_after = $3 \
                        WHERE id = $1 AND poll_after = $2";
            let taken = transaction.execute(take, values![&id, seen_ms, poll_after_ms]).await?;
            Ok(taken == 1)
        })
    }

    /// Keeps a poll from being made before `poll_after_ms`.
    pub async fn postpone(
        store: &Store,
        handle: &str,
        poll_after_ms: i64,
    ) -> Result<(), StoreError> {
        let id = sha256_hex(handle);
        change!(store, |transaction| {
            let later = "UPDATE oauth_attempts SET poll_after = $2 WHERE id = $1";
            transaction.execute(later, values![&id, poll_after_ms]).await?;
            Ok(())
        })
    }
}

/// An attempt to write.
struct Keep<'a> {
    begin: Begin<'a>,
    secret: &'a Plaintext,
    now_ms: i64,
    expires_ms: i64,
}

impl Keep<'_> {
    /// Gives the state. What has expired goes at the same time.
    async fn write(
        &self,
        store: &Store,
        vault: &Vault,
        poll_after_ms: i64,
    ) -> Result<String, OAuthError> {
        let state = random()?;
        let id = sha256_hex(&state);
        let Owner { key, session } = self.begin.owner;
        change!(store, |transaction| {
            let sweep = "DELETE FROM oauth_attempts WHERE expires_at <= $1";
            transaction.execute(sweep, values![self.now_ms]).await?;
            let sealed = vault.seal(transaction, key, place(&id), self.secret).await?;
            let write = "INSERT INTO oauth_attempts (id, owner, session, purpose, redirect_uri, \
                         payload, key_version, ciphertext, created_at, expires_at, poll_after) \
                         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
            let values = values![
                &id,
                key,
                session,
                self.begin.purpose,
                self.begin.redirect_uri,
                self.begin.payload.to_string(),
                sealed.key_version,
                sealed.ciphertext,
                self.now_ms,
                self.expires_ms,
                poll_after_ms,
            ];
            transaction.execute(write, values).await?;
            Ok::<_, OAuthError>(())
        })?;
        Ok(state)
    }
}

/// `None`: it is another session's, was begun for something else, or has expired.
async fn open(
    transaction: &mut dyn Transaction,
    vault: &Vault,
    (id, mut row): (&str, Row),
    (session, purpose, now_ms): (&str, &str, i64),
) -> Result<Option<Attempt>, OAuthError> {
    let (owner, redirect_uri, payload) = (row.text()?, row.text()?, row.text()?);
    let sealed = Sealed { key_version: row.integer()?, ciphertext: row.bytes()? };
    let poll_after_ms = row.integer()?;
    let (its_session, its_purpose, expires) = (row.text()?, row.text()?, row.integer()?);
    if its_session != session || its_purpose != purpose || expires <= now_ms {
        return Ok(None);
    }
    let payload = serde_json::from_str(&payload).map_err(|_| StoreError::Shape)?;
    let secret = vault.open(transaction, &owner, place(id), &sealed).await?;
    Ok(Some(Attempt { owner, redirect_uri, payload, secret, poll_after_ms }))
}

fn place(id: &str) -> Place<'_> {
    Place { table: "oauth_attempts", row: id, column: "ciphertext" }
}
