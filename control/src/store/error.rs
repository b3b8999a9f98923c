//! Why the store could not do what was asked.

use std::time::Duration;

/// Whose fault it is decides what a caller may do: try again, show a conflict, or give up.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached, or does not answer in time.
    #[error("the database is away")]
    Unavailable(#[source] sqlx::Error),
    /// Another transaction was first; the same one may succeed now.
    #[error("another change was first")]
    Contention(#[source] sqlx::Error),
    /// A row that must be unique is there already, or one that is referred to is missing.
    #[error("the change conflicts with what is there")]
    Conflict(#[source] sqlx::Error),
    /// There is no room for what should be written.
    #[error("the disk is full")]
    Full(#[source] sqlx::Error),
    /// The database was written by a newer version of this program.
    #[error("the database has schema version {found}, this version knows {known}")]
    Newer { found: i64, known: i64 },
    /// A migration that was applied differs from the one in this program.
    #[error("migration {0} is not the one that was applied to this database")]
    Migration(i64),
    /// A row has not the columns that its reader expects: a defect of this program.
    #[error("a row has another shape than expected")]
    Shape,
    /// This database has a tool of its own for it.
    #[error("this database cannot be copied so: use its own tools")]
    Unsupported,
    /// Anything else that the database says.
    #[error("the database failed")]
    Failed(#[source] sqlx::Error),
}

impl StoreError {
    /// Stable: part of the interface.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => "store_unavailable",
            Self::Contention(_) => "store_contention",
            Self::Conflict(_) => "store_conflict",
            Self::Full(_) => "store_full",
            Self::Newer { .. } => "store_newer",
            Self::Migration(_) => "store_migration",
            Self::Shape => "store_shape",
            Self::Unsupported => "store_unsupported",
            Self::Failed(_) => "store_failed",
        }
    }

    /// When it makes sense to ask again.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable(_) => Some(Duration::from_secs(2)),
            Self::Contention(_) => Some(Duration::from_millis(50)),
            Self::Full(_) => Some(Duration::from_secs(30)),
            Self::Conflict(_)
            | Self::Newer { .. }
            | Self::Migration(_)
            | Self::Shape
            | Self::Unsupported
            | Self::Failed(_) => None,
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let Some(database) = error.as_database_error() else { return of_connection(error) };
        if database.is_unique_violation() || database.is_foreign_key_violation() {
            return Self::Conflict(error);
        }
        match database.code().as_deref() {
            // SQLite: busy (also with a snapshot that is too old), locked.
            Some("5" | "261" | "517" | "6") => Self::Contention(error),
            // PostgreSQL: serialisation failure, deadlock, lock not available.
            Some("40001" | "40P01" | "55P03") => Self::Contention(error),
            // SQLite: full. PostgreSQL: disk full.
            Some("13" | "53100") => Self::Full(error),
            // SQLite: cannot open. PostgreSQL: too many connections, shutting down, starting up,
            // and a standby that takes no writes.
            Some("14" | "53300" | "57P01" | "57P02" | "57P03" | "25006") => {
                Self::Unavailable(error)
            }
            _ => Self::Failed(error),
        }
    }
}

fn of_connection(error: sqlx::Error) -> StoreError {
    let away = matches!(
        error,
        sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
    );
    if away { StoreError::Unavailable(error) } else { StoreError::Failed(error) }
}
