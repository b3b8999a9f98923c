//! PostgreSQL: for more than one control process, or where somebody runs it anyway.

use std::net::IpAddr;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgPool, PgPoolOptions, PgRow, PgSslMode};
use sqlx::{Column, Postgres, Row as _, TypeInfo, ValueRef};

use super::database::{Access, Database, Transaction};
use super::driver::transaction;
use super::value::Cell;
use super::{Row, StoreError};

const ACQUIRE: Duration = Duration::from_secs(5);
const CONNECTIONS: u32 = 16;
/// Any number; all versions of this program use the same one.
const SCHEMA_LOCK: i64 = 0x5A11_96A7;

#[derive(Debug)]
pub(super) struct PostgresDatabase {
    pool: PgPool,
}

impl PostgresDatabase {
    /// Connects to `url` (`postgres://…`). The server ends what takes too long, so that one slow
    /// statement cannot hold every connection.
    pub(super) async fn open(url: &str) -> Result<Self, StoreError> {
        let options = options(url)?;
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(ACQUIRE)
            .connect_with(options)
            .await?;
        Ok(Self { pool })
    }
}

/// How a server is connected to. One on this machine is spoken to in the clear unless its URL says
/// otherwise: nobody is between, and a conversation in TLS takes five times as long, because the
/// driver leaves its small packets waiting for acknowledgements.
fn options(url: &str) -> Result<PgConnectOptions, sqlx::Error> {
    let options = PgConnectOptions::from_str(url)?.application_name("sallygate").options([
        ("statement_timeout", "10000"),
        ("lock_timeout", "5000"),
        ("idle_in_transaction_session_timeout", "15000"),
    ]);
    let host = options.get_host();
    let is_here = host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    let may_choose = matches!(options.get_ssl_mode(), PgSslMode::Prefer);
    Ok(if is_here && may_choose { options.ssl_mode(PgSslMode::Disable) } else { options })
}

#[async_trait]
impl Database for PostgresDatabase {
    async fn begin(&self, access: Access) -> Result<Box<dyn Transaction>, StoreError> {
        let begin = match access {
            Access::Read => "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY",
            // As SQLite's only writer sees it: what was read cannot have changed at the commit.
            Access::Write => "BEGIN ISOLATION LEVEL SERIALIZABLE",
            // A serializable transaction would see what was before it waited for the lock.
            Access::Locking | Access::Schema => "BEGIN ISOLATION LEVEL READ COMMITTED",
        };
        // A task of its own: whoever asked may be dropped while the server answers, and sqlx gives
        // a connection back to the pool as if its transaction had not begun.
        let pool = self.pool.clone();
        let beginning = tokio::spawn(async move { pool.begin_with(begin).await });
        let begun = beginning.await.map_err(|_| sqlx::Error::WorkerCrashed)?;
        Ok(Box::new(PostgresTransaction(begun?)))
    }

    fn name(&self) -> &'static str {
        "postgres"
    }

    fn bytes_type(&self) -> &'static str {
        "BYTEA"
    }

    async fn lock_schema(&self, transaction: &mut dyn Transaction) -> Result<(), StoreError> {
        transaction
            .fetch(
                "SELECT 1::bigint FROM (SELECT pg_advisory_xact_lock($1)) l",
                crate::values![SCHEMA_LOCK],
            )
            .await?;
        Ok(())
    }

    async fn schema(&self) -> Result<Vec<String>, StoreError> {
        let mut transaction = self.begin(Access::Read).await?;
        let rows = transaction
            .fetch(
                "SELECT (c.table_name || '.' || c.column_name || ' ' || \
                 CASE c.data_type WHEN 'text' THEN 'text' WHEN 'bigint' THEN 'integer' \
                 WHEN 'bytea' THEN 'bytes' ELSE c.data_type END || \
                 CASE c.is_nullable WHEN 'NO' THEN '' ELSE ' null' END || \
                 CASE WHEN k.column_name IS NULL THEN '' ELSE ' key' END)::text \
                 FROM information_schema.columns c \
                 LEFT JOIN (SELECT u.table_name, u.column_name, u.table_schema \
                   FROM information_schema.table_constraints t \
                   JOIN information_schema.key_column_usage u USING (constraint_schema, constraint_name) \
                   WHERE t.constraint_type = 'PRIMARY KEY') k \
                 ON k.table_schema = c.table_schema AND k.table_name = c.table_name \
                   AND k.column_name = c.column_name \
                 WHERE c.table_schema = current_schema() \
                 ORDER BY c.table_name COLLATE \"C\", c.column_name COLLATE \"C\"",
                Vec::new(),
            )
            .await?;
        rows.into_iter().map(|mut row| row.text()).collect()
    }

    async fn backup(&self, _to: &Path) -> Result<(), StoreError> {
        Err(StoreError::Unsupported)
    }

    async fn close(&self) {
        self.pool.close().await;
    }
}

transaction!(PostgresTransaction, Postgres, PgArguments, row);

fn row(row: &PgRow) -> Result<Row, StoreError> {
    let cell = |at: usize, kind: &str| -> Result<Option<Cell>, StoreError> {
        if row.try_get_raw(at)?.is_null() {
            return Ok(None);
        }
        Ok(Some(match kind {
            "INT8" => Cell::Integer(row.try_get(at)?),
            "BYTEA" => Cell::Bytes(row.try_get(at)?),
            "TEXT" => Cell::Text(row.try_get(at)?),
            _ => return Err(StoreError::Shape),
        }))
    };
    let cells = row.columns().iter().map(|c| cell(c.ordinal(), c.type_info().name()));
    Ok(Row::new(cells.collect::<Result<_, _>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_server_on_this_machine_is_spoken_to_in_the_clear() {
        for (url, clear) in [
            ("postgres://u@127.0.0.1/d", true),
            ("postgres://u@localhost:5433/d", true),
            ("postgres://u@127.0.0.1/d?sslmode=require", false),
            ("postgres://u@127.0.0.1/d?sslmode=verify-full", false),
            ("postgres://u@10.0.0.1/d", false),
            ("postgres://u@db.example/d", false),
            ("postgres://u@localhost.example/d", false),
        ] {
            let mode = options(url).unwrap().get_ssl_mode();
            assert_eq!(matches!(mode, PgSslMode::Disable), clear, "{url}: {mode:?}");
        }
    }
}
