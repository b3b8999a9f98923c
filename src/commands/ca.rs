//! `sallygate ca`: the interception authority.

use std::fs;
use std::path::PathBuf;

use sallygate_control::installation::Installation;
use time::OffsetDateTime;

use crate::exit::{Failure, Outcome, failed};
use crate::{environment, print};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Make the authority, the bundle and the operator's token, where they are missing
    Init {
        /// Data directory
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
    /// Print the authority's certificate (for clients that add to their trust)
    Show {
        /// Data directory
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
    /// Print system roots and the authority (for clients that replace their trust)
    Bundle {
        /// Data directory
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
}

pub(crate) fn run(command: &Command) -> Outcome {
    match command {
        Command::Init { dir } => init(dir.as_ref()),
        Command::Show { dir } => show(dir.as_ref(), "ca.pem"),
        Command::Bundle { dir } => show(dir.as_ref(), "ca-bundle.pem"),
    }
}

fn init(dir: Option<&PathBuf>) -> Outcome {
    let directory = dir.cloned().unwrap_or_else(environment::data_dir);
    let made = Installation::open_or_create(&directory, now()).map_err(failed)?;
    print::data(made.ca_certificate().display());
    Ok(())
}

fn show(dir: Option<&PathBuf>, name: &str) -> Outcome {
    let path = dir.cloned().unwrap_or_else(environment::data_dir).join(name);
    let text = fs::read_to_string(&path).map_err(|e| {
        Failure::NotFound(format!("`{}`: {e}; `sallygate ca init` makes one", path.display()))
    })?;
    print::raw(text);
    Ok(())
}

/// Now, as certificates count it.
pub(crate) fn now() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(sallygate_proxy::clock::wall_seconds())
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}
