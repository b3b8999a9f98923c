//! The one trait behind which the two databases stand. Statements are written once: both take
//! `$1`, `ON CONFLICT`, `RETURNING`, and store the types of [`Value`] alike.

use std::path::Path;

use async_trait::async_trait;

use super::{Row, StoreError, Value};

/// What a transaction is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Read,
    /// SQLite has one writer: such a transaction waits for its turn before it reads anything, so
    /// that what it read cannot have changed when it writes.
    Write,
    /// A write that relies on nothing that it read: its statements decide by the rows that they
    /// change. It waits for others, and is never told to try again.
    Locking,
    /// Under the schema lock, which must be seen to be free before anything else is seen.
    Schema,
}

/// A database that can be talked to in transactions.
#[async_trait]
pub trait Database: Send + Sync + std::fmt::Debug {
    async fn begin(&self, access: Access) -> Result<Box<dyn Transaction>, StoreError>;

    /// `sqlite` or `postgres`.
    fn name(&self) -> &'static str;

    /// How bytes are spelt in a table's definition.
    fn bytes_type(&self) -> &'static str;

    /// Keeps other processes from migrating until the transaction ends.
    async fn lock_schema(&self, transaction: &mut dyn Transaction) -> Result<(), StoreError>;

    /// Every table with its columns as `table.column type nullable key`, in order, with the types
    /// named as [`Value`] names them: what must be equal on both databases.
    async fn schema(&self) -> Result<Vec<String>, StoreError>;

    /// Copies the database to a file that is not there yet, while it is in use.
    async fn backup(&self, to: &Path) -> Result<(), StoreError>;

    async fn close(&self);
}

/// A transaction: all of it happens at `commit`, or nothing when it is dropped.
#[async_trait]
pub trait Transaction: Send {
    /// How many rows were changed.
    async fn execute(&mut self, sql: &'static str, values: Vec<Value>) -> Result<u64, StoreError>;

    async fn fetch(
        &mut self,
        sql: &'static str,
        values: Vec<Value>,
    ) -> Result<Vec<Row>, StoreError>;

    /// As `execute`, with a statement made of the names of tables and columns: nothing that came
    /// from outside may be part of it.
    async fn execute_built(&mut self, sql: String, values: Vec<Value>) -> Result<u64, StoreError>;

    /// As `fetch`, with a statement made as for `execute_built`.
    async fn fetch_built(
        &mut self,
        sql: String,
        values: Vec<Value>,
    ) -> Result<Vec<Row>, StoreError>;

    /// A statement without values that this program wrote, such as one of a migration.
    async fn define(&mut self, sql: String) -> Result<(), StoreError>;

    async fn commit(self: Box<Self>) -> Result<(), StoreError>;
}

/// The one row of an answer, if there is one.
pub async fn fetch_optional(
    transaction: &mut dyn Transaction,
    sql: &'static str,
    values: Vec<Value>,
) -> Result<Option<Row>, StoreError> {
    Ok(transaction.fetch(sql, values).await?.into_iter().next())
}
