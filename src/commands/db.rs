//! `sallygate db`: the control service's database.

use std::path::{Path, PathBuf};

use sallygate_control::clock::wall_ms;
use sallygate_control::store::{DatabaseUrl, Location, Store};
use sallygate_control::transfer::{Copied, TransferError, transfer};

use crate::exit::{Failure, Outcome, failed};
use crate::place::Place;
use crate::{control, print, running, runtime};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Bring the schema to this version
    Migrate(Place),
    /// Copy everything of the embedded database to an empty one of PostgreSQL
    MigrateTo(MigrateTo),
    /// Copy the embedded database while it is in use
    Backup(File),
    /// Put a copy in the place of the embedded database
    Restore(Restore),
}

#[derive(Debug, clap::Args)]
pub(crate) struct MigrateTo {
    /// `postgres://…`; `-`: one line of standard input, so that no password is on a command line
    url: String,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, clap::Args)]
pub(crate) struct File {
    /// The copy; it must not be there yet
    file: PathBuf,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Restore {
    /// The copy
    file: PathBuf,
    /// Replace a database that is there
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    place: Place,
}

pub(crate) fn run(command: &Command) -> Outcome {
    match command {
        Command::Migrate(place) => migrate(place),
        Command::MigrateTo(options) => migrate_to(options),
        Command::Backup(options) => backup(options),
        Command::Restore(options) => restore(options),
    }
}

fn migrate(place: &Place) -> Outcome {
    runtime::block_on(async {
        let location = control::location(&place.data_dir())?;
        let store = Store::connect(&location).await.map_err(failed)?;
        let migrated = store.migrate(wall_ms()).await.map_err(failed)?;
        print::data(format_args!("schema version {} -> {}", migrated.from, migrated.to));
        store.close().await;
        Ok(())
    })
}

fn migrate_to(options: &MigrateTo) -> Outcome {
    let url = match options.url.as_str() {
        "-" => std::io::read_to_string(std::io::stdin())?.trim().to_owned(),
        url => url.to_owned(),
    };
    if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
        return Err(Failure::Usage("the other database is `postgres://…`".to_owned()));
    }
    let data_dir = options.place.data_dir();
    let path = control::embedded(&data_dir);
    if !path.exists() {
        return Err(Failure::NotFound(format!("there is no `{}`", path.display())));
    }
    // What it writes meanwhile would stay behind.
    if running::find(&data_dir).is_some() {
        return Err(Failure::Conflict("something runs from there: stop it first".to_owned()));
    }
    let copied = runtime::block_on(async {
        let from = Store::open(&Location::Sqlite(path), wall_ms()).await.map_err(failed)?;
        let there = Location::Postgres(DatabaseUrl::new(url));
        let to = Store::open(&there, wall_ms()).await.map_err(failed)?;
        let copied = transfer(&from, &to).await.map_err(|error| {
            let is_taken = matches!(error, TransferError::NotEmpty(_));
            if is_taken { Failure::Conflict(error.to_string()) } else { failed(error) }
        });
        from.close().await;
        to.close().await;
        copied
    })?;
    for Copied { table, rows } in copied {
        print::data(format_args!("{table:<24} {rows}"));
    }
    print::talk("from now on start it with DATABASE_URL; master.key stays where it is");
    Ok(())
}

/// The embedded database of a place; PostgreSQL has tools of its own.
fn embedded(place: &Place) -> Result<PathBuf, Failure> {
    match control::location(&place.data_dir())? {
        Location::Sqlite(path) => Ok(path),
        Location::Postgres(_) => {
            Err(Failure::Usage("the database is PostgreSQL: use pg_dump and pg_restore".to_owned()))
        }
    }
}

fn backup(options: &File) -> Outcome {
    let path = embedded(&options.place)?;
    if !path.exists() {
        return Err(Failure::NotFound(format!("there is no `{}`", path.display())));
    }
    if options.file.exists() {
        return Err(Failure::Conflict(format!("`{}` is there already", options.file.display())));
    }
    runtime::block_on(async {
        let store = Store::connect(&Location::Sqlite(path)).await.map_err(failed)?;
        store.backup(&options.file).await.map_err(failed)?;
        store.close().await;
        Ok(())
    })?;
    print::data(options.file.display());
    print::talk("the secrets in it open only with master.key, which is not part of it");
    Ok(())
}

fn restore(options: &Restore) -> Outcome {
    let path = embedded(&options.place)?;
    if running::find(&options.place.data_dir()).is_some() {
        return Err(Failure::Conflict("something runs from there: stop it first".to_owned()));
    }
    if path.exists() && !options.replace {
        let path = path.display();
        return Err(Failure::Conflict(format!("`{path}` is there: `--replace` replaces it")));
    }
    // A copy of the copy: what is wrong with it is found before anything is replaced.
    let fresh = path.with_extension("restoring");
    remove(&fresh)?;
    std::fs::copy(&options.file, &fresh)
        .map_err(|error| failed(format_args!("`{}`: {error}", options.file.display())))?;
    let checked = runtime::block_on(async {
        let store = Store::open(&Location::Sqlite(fresh.clone()), wall_ms()).await;
        let store = store.map_err(|error| {
            failed(format_args!("`{}` is no copy of a database: {error}", options.file.display()))
        })?;
        store.close().await;
        Ok(())
    });
    if checked.is_err() {
        remove(&fresh)?;
        return checked;
    }
    remove(&path)?;
    std::fs::rename(&fresh, &path)?;
    print::data(path.display());
    Ok(())
}

/// Removes a database with the files that SQLite keeps beside it.
fn remove(path: &Path) -> Outcome {
    for suffix in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        match std::fs::remove_file(&name) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}
