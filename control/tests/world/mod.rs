//! Real databases for tests: a SQLite file, and a PostgreSQL server that listens on nothing but a
//! socket in a directory of its own.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a world that cannot be made fails the test"
)]

#[expect(dead_code, reason = "other tests stop a server and start it again")]
mod postgres;

use sallygate_control::store::{Location, Store};
use tempfile::TempDir;

/// When everything in these tests begins.
pub(crate) const NOW: i64 = 1_800_000_000_000;

/// A database that goes when the test ends.
pub(crate) struct World {
    pub(crate) location: Location,
    _directory: TempDir,
}

impl World {
    pub(crate) fn sqlite() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let location = Location::Sqlite(directory.path().join("control.db"));
        Self { location, _directory: directory }
    }

    pub(crate) fn postgres() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        Self { location: postgres::database(), _directory: directory }
    }

    pub(crate) async fn store(&self) -> Store {
        match Store::open(&self.location, NOW).await {
            Ok(store) => store,
            Err(error) => panic!("the store does not open: {error:?}"),
        }
    }
}

/// Makes one test for each database out of `async fn name(world: World)`.
#[macro_export]
macro_rules! on_both_databases {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::world::World::sqlite()).await;
            })*
        }
        mod postgres {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::world::World::postgres()).await;
            })*
        }
    };
}
