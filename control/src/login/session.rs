//! Sessions of people: a random token in a cookie, its hash in the store.

use aws_lc_rs::{constant_time, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::credentials::Plaintext;
use crate::domain::token::Role;
use crate::store::{Row, StoreError, Transaction, fetch_optional};
use crate::token::{mint, sha256};
use crate::values;

use super::LoginError;
use crate::oauth::OAuthError;

const PREFIX: &str = "sgs_";
/// However busy somebody is, they sign in again after this.
const LIFE_MS: i64 = 12 * 3_600_000;
/// Or when they were away for so long.
const IDLE_MS: i64 = 2 * 3_600_000;
/// How exactly it is known when somebody was last here: a write per request would be too much.
const SEEN_MS: i64 = 60_000;

/// The text in the cookie.
#[derive(Debug)]
pub struct SessionToken(Plaintext);

/// Somebody who signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    pub id: String,
    pub issuer: String,
    pub subject: String,
    pub name: String,
    pub email: Option<String>,
}

/// A session that is good now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    pub id: String,
    pub person: Person,
    pub role: Role,
    /// `None`: all of them.
    pub organisation: Option<String>,
    pub created_ms: i64,
    pub expires_ms: i64,
    seen_ms: i64,
}

impl SessionToken {
    pub(super) fn new() -> Result<Self, LoginError> {
        let text = mint(PREFIX).map_err(|_| LoginError::Provider(OAuthError::Randomness))?;
        Ok(Self(Plaintext::new(text.into_bytes())))
    }

    /// What a browser sent.
    pub fn received(text: &str) -> Self {
        Self(Plaintext::new(text.as_bytes().to_vec()))
    }

    /// For the cookie.
    pub fn expose(&self) -> &str {
        std::str::from_utf8(self.0.expose()).unwrap_or_default()
    }

    /// What a page must send beside the cookie to change something: other sites cannot read it.
    pub fn csrf(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.tag().as_ref())
    }

    /// Whether `given` is it, in constant time.
    pub fn is_csrf(&self, given: &str) -> bool {
        let given = URL_SAFE_NO_PAD.decode(given).unwrap_or_default();
        constant_time::verify_slices_are_equal(self.tag().as_ref(), &given).is_ok()
    }

    fn tag(&self) -> hmac::Tag {
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, self.0.expose()), b"sallygate csrf 1")
    }

    fn hash(&self) -> Vec<u8> {
        sha256(self.expose()).to_vec()
    }
}

/// Begins a session of `person`, who is written down first if they were never here.
pub(super) async fn begin(
    transaction: &mut dyn Transaction,
    token: &SessionToken,
    (session, now_ms): (&Session, i64),
) -> Result<(), StoreError> {
    let Person { id, issuer, subject, name, email } = &session.person;
    let write = "INSERT INTO users (id, issuer, subject, name, email, created_at, last_login_at) \
                 VALUES ($1, $2, $3, $4, $5, $6, $6) ON CONFLICT (id) DO UPDATE \
                 SET name = $4, email = $5, last_login_at = $6";
    let values = values![id, issuer, subject, name, email.as_deref(), now_ms];
    transaction.execute(write, values).await?;
    let sweep = "DELETE FROM sessions WHERE expires_at <= $1";
    transaction.execute(sweep, values![now_ms]).await?;
    let write = "INSERT INTO sessions (sha256, id, user_id, role, organisation_id, created_at, \
                 expires_at, seen_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $6)";
    let values = values![
        token.hash(),
        &session.id,
        id,
        session.role.as_str(),
        session.organisation.as_deref(),
        now_ms,
        now_ms + LIFE_MS,
    ];
    transaction.execute(write, values).await?;
    Ok(())
}

impl Session {
    pub(super) fn new(id: String, person: Person, now_ms: i64) -> Self {
        Self {
            id,
            person,
            role: Role::ReadOnly,
            organisation: None,
            created_ms: now_ms,
            expires_ms: now_ms + LIFE_MS,
            seen_ms: now_ms,
        }
    }

    /// Whether it should be written down that somebody is here.
    pub fn is_stale(&self, now_ms: i64) -> bool {
        now_ms - self.seen_ms >= SEEN_MS
    }

    /// How long the cookie lives.
    pub fn seconds(&self, now_ms: i64) -> i64 {
        (self.expires_ms - now_ms) / 1000
    }

    /// Writes down that somebody is here.
    pub async fn seen(
        &self,
        transaction: &mut dyn Transaction,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        let write = "UPDATE sessions SET seen_at = $2 WHERE id = $1 AND seen_at < $2";
        transaction.execute(write, values![&self.id, now_ms]).await?;
        Ok(())
    }
}

/// The person of an issuer, if they were here before.
pub(super) async fn find_person(
    transaction: &mut dyn Transaction,
    (issuer, subject): (&str, &str),
) -> Result<Option<String>, StoreError> {
    let find = "SELECT id FROM users WHERE issuer = $1 AND subject = $2";
    let row = fetch_optional(transaction, find, values![issuer, subject]).await?;
    row.map(|mut row| row.text()).transpose()
}

/// The session of a token, if it is good now.
pub async fn find_session(
    transaction: &mut dyn Transaction,
    token: &SessionToken,
    now_ms: i64,
) -> Result<Option<Session>, StoreError> {
    let find = "SELECT s.id, s.role, s.organisation_id, s.created_at, s.expires_at, s.seen_at, \
                u.id, u.issuer, u.subject, u.name, u.email \
                FROM sessions s JOIN users u ON u.id = s.user_id WHERE s.sha256 = $1";
    let row = fetch_optional(transaction, find, values![token.hash()]).await?;
    let found = row.map(session).transpose()?;
    Ok(found.filter(|it| now_ms < it.expires_ms && now_ms - it.seen_ms < IDLE_MS))
}

/// Ends a session, if there is one.
pub async fn end_session(
    transaction: &mut dyn Transaction,
    token: &SessionToken,
) -> Result<(), StoreError> {
    let end = "DELETE FROM sessions WHERE sha256 = $1";
    transaction.execute(end, values![token.hash()]).await?;
    Ok(())
}

fn session(mut row: Row) -> Result<Session, StoreError> {
    Ok(Session {
        id: row.text()?,
        role: Role::parse(&row.text()?)?,
        organisation: row.optional_text()?,
        created_ms: row.integer()?,
        expires_ms: row.integer()?,
        seen_ms: row.integer()?,
        person: Person {
            id: row.text()?,
            issuer: row.text()?,
            subject: row.text()?,
            name: row.text()?,
            email: row.optional_text()?,
        },
    })
}
