//! `sallygate audit`: the record and its hash chain.

use std::path::PathBuf;

use sallygate_proxy::record;

use crate::exit::{Failure, Outcome};
use crate::{environment, print};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Check that no record was changed, removed or put in
    Verify {
        /// Audit log; default: `audit.jsonl` in the data directory
        file: Option<PathBuf>,
    },
}

pub(crate) fn run(command: &Command) -> Outcome {
    match command {
        Command::Verify { file } => {
            verify(file.clone().unwrap_or_else(|| environment::data_dir().join("audit.jsonl")))
        }
    }
}

fn verify(path: PathBuf) -> Outcome {
    match record::verify(&path) {
        Ok(summary) => {
            print::data(format_args!("intact: {} records, head {}", summary.records, summary.head));
            Ok(())
        }
        Err(record::ChainError::Read(e)) => {
            Err(Failure::NotFound(format!("`{}`: {e}", path.display())))
        }
        Err(error) => Err(Failure::Differs(format!("`{}`: {error}", path.display()))),
    }
}
