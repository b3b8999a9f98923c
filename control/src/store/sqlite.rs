//! SQLite: one file beside the rest of the installation, in WAL mode, every commit on disk.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::sqlite::{
    SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteRow, SqliteSynchronous,
};
use sqlx::{Column, Connection as _, Row as _, Sqlite, TypeInfo, ValueRef};

use super::database::{Access, Database, Transaction};
use super::driver::transaction;
use super::value::Cell;
use super::{Row, StoreError};

/// How long a writer waits for another process.
const BUSY: Duration = Duration::from_secs(5);
/// How long a transaction waits for a connection of ours.
const ACQUIRE: Duration = Duration::from_secs(5);
const READERS: u32 = 4;
/// A WAL that is larger is cut back when a checkpoint could be made.
const WAL_BYTES_MAX: u32 = 64 << 20;

#[derive(Debug)]
pub(super) struct SqliteDatabase {
    /// One connection: SQLite has one writer, and waiting here is fair, which its busy handler is
    /// not.
    writer: SqlitePool,
    readers: SqlitePool,
}

impl SqliteDatabase {
    /// Opens the file, or makes it.
    pub(super) async fn open(path: &Path) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY)
            .pragma("journal_size_limit", WAL_BYTES_MAX.to_string())
            // What is deleted is overwritten: a secret's ciphertext does not stay in free pages.
            .pragma("secure_delete", "ON");
        let pool = |connections| {
            SqlitePoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(ACQUIRE)
                .idle_timeout(None)
                .max_lifetime(None)
                // SQLite ends a transaction by itself where it has no room or cannot write, and the
                // driver goes on counting it: no other would ever begin on that connection.
                .before_acquire(|connection, _| {
                    let is_free = !connection.is_in_transaction();
                    Box::pin(async move { Ok(is_free) })
                })
        };
        let writer = pool(1).connect_with(options.clone()).await?;
        let readers = pool(READERS).connect_with(options.read_only(true)).await?;
        Ok(Self { writer, readers })
    }
}

#[async_trait]
impl Database for SqliteDatabase {
    async fn begin(&self, access: Access) -> Result<Box<dyn Transaction>, StoreError> {
        let transaction = match access {
            Access::Read => self.readers.begin().await?,
            Access::Write | Access::Locking | Access::Schema => {
                self.writer.begin_with("BEGIN IMMEDIATE").await?
            }
        };
        Ok(Box::new(SqliteTransaction(transaction)))
    }

    fn name(&self) -> &'static str {
        "sqlite"
    }

    fn bytes_type(&self) -> &'static str {
        "BLOB"
    }

    async fn lock_schema(&self, _transaction: &mut dyn Transaction) -> Result<(), StoreError> {
        // A write transaction is the only one.
        Ok(())
    }

    async fn schema(&self) -> Result<Vec<String>, StoreError> {
        let mut transaction = self.begin(Access::Read).await?;
        let rows = transaction
            .fetch(
                "SELECT m.name || '.' || c.name || ' ' || \
                 CASE upper(c.type) WHEN 'TEXT' THEN 'text' WHEN 'BIGINT' THEN 'integer' \
                 WHEN 'BLOB' THEN 'bytes' ELSE c.type END || \
                 CASE WHEN c.\"notnull\" = 1 THEN '' ELSE ' null' END || \
                 CASE WHEN c.pk > 0 THEN ' key' ELSE '' END \
                 FROM sqlite_master m, pragma_table_info(m.name) c \
                 WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' ORDER BY m.name, c.name",
                Vec::new(),
            )
            .await?;
        rows.into_iter().map(|mut row| row.text()).collect()
    }

    async fn backup(&self, to: &Path) -> Result<(), StoreError> {
        // A consistent copy without what was deleted; a read transaction as far as others see it.
        let statement = sqlx::query("VACUUM INTO $1").bind(to.display().to_string());
        statement.execute(&self.writer).await?;
        Ok(())
    }

    async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

transaction!(SqliteTransaction, Sqlite, SqliteArguments, row);

fn row(row: &SqliteRow) -> Result<Row, StoreError> {
    let cell = |at: usize| -> Result<Option<Cell>, StoreError> {
        let raw = row.try_get_raw(at)?;
        if raw.is_null() {
            return Ok(None);
        }
        let kind = raw.type_info().into_owned();
        Ok(Some(match kind.name() {
            "INTEGER" => Cell::Integer(row.try_get(at)?),
            "BLOB" => Cell::Bytes(row.try_get(at)?),
            "TEXT" => Cell::Text(row.try_get(at)?),
            _ => return Err(StoreError::Shape),
        }))
    };
    let cells = row.columns().iter().map(|column| cell(column.ordinal()));
    Ok(Row::new(cells.collect::<Result<_, _>>()?))
}
