//! From the embedded database to PostgreSQL: everything, or nothing.

use crate::domain::{DomainError, audit};
use crate::store::{Access, Store, StoreError, Table, Transaction, Value};

/// Rows that are held at once.
const ROWS_AT_ONCE: i64 = 500;

/// Why nothing was copied.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    #[error("only an embedded database is copied, and only to PostgreSQL")]
    Direction,
    #[error("there are rows in `{0}` of the other database already")]
    NotEmpty(String),
    #[error("`{table}` has {from} rows and {to} of them arrived")]
    Lost { table: String, from: i64, to: i64 },
    #[error("the chain of the audit is broken at entry {0}")]
    Broken(i64),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Domain(#[from] DomainError),
}

/// How many rows of a table were copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    pub table: String,
    pub rows: i64,
}

/// Tables in which the schema itself puts a row: what is counted in them begins there.
const SEEDED: [&str; 2] = ["feed_position", "webhook_sequence"];

/// Copies every row of `from` to `to`, in one transaction there: both have the newest schema, and
/// `to` has no rows. The copy is kept when every row arrived and the chain of the audit holds.
pub async fn transfer(from: &Store, to: &Store) -> Result<Vec<Copied>, TransferError> {
    if (from.database_name(), to.database_name()) != ("sqlite", "postgres") {
        return Err(TransferError::Direction);
    }
    let tables = from.tables().await?;
    let mut reading = from.begin(Access::Read).await?;
    let mut writing = to.begin_alone().await?;
    for table in &tables {
        if SEEDED.contains(&table.name.as_str()) {
            writing.execute_built(format!("DELETE FROM {}", table.name), Vec::new()).await?;
        } else if count(&mut *writing, table).await? != 0 {
            return Err(TransferError::NotEmpty(table.name.clone()));
        }
    }
    let mut copied = Vec::new();
    for table in &tables {
        copy(&mut *reading, &mut *writing, table).await?;
        let (there, here) =
            (count(&mut *writing, table).await?, count(&mut *reading, table).await?);
        if there != here {
            let table = table.name.clone();
            return Err(TransferError::Lost { table, from: here, to: there });
        }
        copied.push(Copied { table: table.name.clone(), rows: there });
    }
    if let Some(entry) = audit::first_broken(&mut *writing).await? {
        return Err(TransferError::Broken(entry));
    }
    writing.commit().await?;
    Ok(copied)
}

async fn count(transaction: &mut dyn Transaction, table: &Table) -> Result<i64, StoreError> {
    let sql = format!("SELECT COUNT(*) FROM {}", table.name);
    let mut rows = transaction.fetch_built(sql, Vec::new()).await?.into_iter();
    rows.next().ok_or(StoreError::Shape)?.integer()
}

/// Row by row, in the order in which they were made: what is referred to comes first there too.
async fn copy(
    reading: &mut dyn Transaction,
    writing: &mut dyn Transaction,
    table: &Table,
) -> Result<(), StoreError> {
    let (name, columns) = (&table.name, table.column_names());
    let places: Vec<String> = (1..=table.columns.len()).map(|at| format!("${at}")).collect();
    let insert = format!("INSERT INTO {name} ({columns}) VALUES ({})", places.join(", "));
    let select = format!(
        "SELECT rowid, {columns} FROM {name} WHERE rowid > $1 ORDER BY rowid LIMIT {ROWS_AT_ONCE}"
    );
    let mut after = i64::MIN;
    loop {
        let rows = reading.fetch_built(select.clone(), vec![Value::from(after)]).await?;
        if rows.is_empty() {
            return Ok(());
        }
        for mut row in rows {
            after = row.integer()?;
            let values = table.columns.iter().map(|column| row.value(&column.absent));
            let values = values.collect::<Result<Vec<Value>, StoreError>>()?;
            writing.execute_built(insert.clone(), values).await?;
        }
    }
}
