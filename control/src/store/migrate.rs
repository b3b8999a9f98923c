//! The schema, one step after the other. A step that was released never changes; a test compares
//! the schema that the steps make on both databases.

use crate::token::sha256_hex as sha256;

use super::StoreError;
use super::database::{Access, Database, Transaction, fetch_optional};
use crate::values;

/// Steps in order; the first has version 1. `{bytes}` is how the database spells bytes.
const STEPS: [(&str, &str); 12] = [
    ("core", include_str!("migrations/0001_core.sql")),
    ("oauth", include_str!("migrations/0002_oauth.sql")),
    ("api", include_str!("migrations/0003_api.sql")),
    ("login", include_str!("migrations/0004_login.sql")),
    ("connect", include_str!("migrations/0005_connect.sql")),
    ("webhooks", include_str!("migrations/0006_webhooks.sql")),
    ("fleet", include_str!("migrations/0007_fleet.sql")),
    ("approvals", include_str!("migrations/0008_approvals.sql")),
    ("setup", include_str!("migrations/0009_setup.sql")),
    ("sandbox tokens", include_str!("migrations/0010_sandbox_tokens.sql")),
    ("placeholder keys", include_str!("migrations/0011_placeholder_keys.sql")),
    ("inbox", include_str!("migrations/0012_inbox.sql")),
];

/// What a migration did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migrated {
    pub from: i64,
    pub to: i64,
}

/// Brings the database to the newest schema, in one transaction: a killed migration leaves the
/// old schema whole. A database of a newer version is left alone.
pub(super) async fn migrate(database: &dyn Database, now_ms: i64) -> Result<Migrated, StoreError> {
    let mut transaction = database.begin(Access::Schema).await?;
    database.lock_schema(&mut *transaction).await?;
    transaction
        .define(
            "CREATE TABLE IF NOT EXISTS schema_steps (version BIGINT NOT NULL PRIMARY KEY, \
             name TEXT NOT NULL, sha256 TEXT NOT NULL, applied_at BIGINT NOT NULL)"
                .to_owned(),
        )
        .await?;
    let from = applied(&mut *transaction).await?;
    for ((name, text), version) in STEPS.iter().zip(1i64..).filter(|(_, version)| *version > from) {
        for statement in statements(text, database.bytes_type()) {
            transaction.define(statement).await?;
        }
        let step = "INSERT INTO schema_steps (version, name, sha256, applied_at) \
                    VALUES ($1, $2, $3, $4)";
        transaction.execute(step, values![version, *name, sha256(text), now_ms]).await?;
    }
    transaction.commit().await?;
    Ok(Migrated { from, to: newest() })
}

/// The version that the database has, when all its steps are ours.
async fn applied(transaction: &mut dyn Transaction) -> Result<i64, StoreError> {
    let newest_there = "SELECT COALESCE(MAX(version), 0) FROM schema_steps";
    let row = fetch_optional(transaction, newest_there, Vec::new()).await?;
    let found = row.ok_or(StoreError::Shape)?.integer()?;
    if found > newest() {
        return Err(StoreError::Newer { found, known: newest() });
    }
    let steps = "SELECT version, sha256 FROM schema_steps ORDER BY version";
    for (mut row, (_, text)) in transaction.fetch(steps, Vec::new()).await?.into_iter().zip(STEPS) {
        let (version, hash) = (row.integer()?, row.text()?);
        if hash != sha256(text) {
            return Err(StoreError::Migration(version));
        }
    }
    Ok(found)
}

/// The newest version of the schema.
pub fn newest() -> i64 {
    i64::try_from(STEPS.len()).unwrap_or(i64::MAX)
}

/// The tables that the steps make, in the order in which they do: what is referred to comes first.
pub(super) fn tables() -> Vec<&'static str> {
    const MAKE: &str = "CREATE TABLE ";
    let texts = STEPS.iter().flat_map(|(_, text)| text.split(MAKE).skip(1));
    texts.filter_map(|text| text.split([' ', '(', '\n']).next()).collect()
}

/// A step's statements, spelt for a database.
fn statements(text: &str, bytes: &str) -> Vec<String> {
    let without_comments: String = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("--"))
        .flat_map(|l| [l, "\n"])
        .collect();
    let statements = without_comments.split(';').map(str::trim).filter(|text| !text.is_empty());
    statements.map(|statement| statement.replace("{bytes}", bytes)).collect()
}
