//! Where the control service keeps what it knows: SQLite or PostgreSQL behind one trait.
//!
//! Statements are written once, in the modules of their nouns. A change of more than one row is
//! one transaction, and what somebody must be told stands in the outbox of the same transaction.

mod database;
mod driver;
mod error;
mod lease;
mod migrate;
mod outbox;
mod postgres;
mod rows;
mod sqlite;
mod table;
mod value;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use database::{Access, Database, Transaction, fetch_optional};
pub use error::StoreError;
pub use lease::{CLOCKS_APART_MS, Lease};
pub use migrate::{Migrated, newest as schema_version};
pub use outbox::{Notice, Told, Topic, notices_after, tell, told};
pub use rows::many;
pub use table::{Column, Table};
pub use value::{Row, Value};

/// How often a transaction that lost a race is tried, the first time included.
#[doc(hidden)]
pub const TRIES: u32 = 4;

/// Whether a change that failed so may succeed when it is tried again.
pub trait MayRetry: From<StoreError> {
    fn may_retry(&self) -> bool;
}

impl MayRetry for StoreError {
    fn may_retry(&self) -> bool {
        matches!(self, Self::Contention(_))
    }
}

/// Runs a change in a transaction of its own, again when another one was first: the block must do
/// nothing outside of the transaction. Its value is that of the block once it is committed.
///
/// A macro, because an async closure that borrows the transaction cannot be known to be `Send`.
#[macro_export]
macro_rules! change {
    ($store:expr, |$transaction:ident| $body:block) => {{
        let mut tries = 1;
        loop {
            let attempt = async {
                let mut held = $store.begin($crate::store::Access::Write).await?;
                let outcome = {
                    let $transaction = &mut *held;
                    async { $body }.await
                };
                match outcome {
                    Ok(value) => held.commit().await.map(|()| value).map_err(From::from),
                    Err(error) => Err(error),
                }
            };
            match attempt.await {
                Err(error)
                    if tries < $crate::store::TRIES
                        && $crate::store::MayRetry::may_retry(&error) =>
                {
                    tries += 1
                }
                outcome => break outcome,
            }
        }
    }};
}

/// Where a database is.
#[derive(Clone, Debug)]
pub enum Location {
    Sqlite(PathBuf),
    /// `postgres://…`; it may hold a password.
    Postgres(DatabaseUrl),
}

/// A URL that is never shown.
#[derive(Clone)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    pub fn new(url: String) -> Self {
        Self(url)
    }
}

impl std::fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("postgres://…")
    }
}

/// A database at the newest schema. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    database: Arc<dyn Database>,
}

impl Store {
    /// Connects without looking at the schema.
    pub async fn connect(location: &Location) -> Result<Self, StoreError> {
        let database: Arc<dyn Database> = match location {
            Location::Sqlite(path) => Arc::new(sqlite::SqliteDatabase::open(path).await?),
            Location::Postgres(url) => Arc::new(postgres::PostgresDatabase::open(&url.0).await?),
        };
        Ok(Self { database })
    }

    /// Brings the schema to this version.
    pub async fn migrate(&self, now_ms: i64) -> Result<Migrated, StoreError> {
        migrate::migrate(&*self.database, now_ms).await
    }

    /// Connects, and brings the schema to this version.
    pub async fn open(location: &Location, now_ms: i64) -> Result<Self, StoreError> {
        let store = Self::connect(location).await?;
        store.migrate(now_ms).await?;
        Ok(store)
    }

    pub fn database_name(&self) -> &'static str {
        self.database.name()
    }

    /// Whether other processes may write to it.
    pub fn is_shared(&self) -> bool {
        self.database.name() == "postgres"
    }

    /// Every table and column, spelt alike for both databases.
    pub async fn schema(&self) -> Result<Vec<String>, StoreError> {
        self.database.schema().await
    }

    /// Every table but the one of the migrations, those that are referred to first.
    pub async fn tables(&self) -> Result<Vec<Table>, StoreError> {
        let names = migrate::tables();
        table::of_schema(&self.database.schema().await?, &names)
    }

    /// A transaction that keeps other processes from migrating until it ends.
    pub async fn begin_alone(&self) -> Result<Box<dyn Transaction>, StoreError> {
        let mut transaction = self.database.begin(Access::Schema).await?;
        self.database.lock_schema(&mut *transaction).await?;
        Ok(transaction)
    }

    pub async fn begin(&self, access: Access) -> Result<Box<dyn Transaction>, StoreError> {
        self.database.begin(access).await
    }

    /// Copies an embedded database to a file that is not there yet, while it is in use.
    pub async fn backup(&self, to: &Path) -> Result<(), StoreError> {
        self.database.backup(to).await
    }

    pub async fn close(&self) {
        self.database.close().await;
    }
}
