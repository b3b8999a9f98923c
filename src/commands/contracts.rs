//! `sallygate contracts`: every surface that crosses a boundary.

use sallygate_control::contracts::{self, Entry};
use sallygate_definitions::Registry;
use serde_json::Value as Json;

use crate::exit::{Outcome, failed};
use crate::print;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Write the entries whole, as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(options: &Options) -> Outcome {
    let entries = contracts::all(&Registry::builtin()).map_err(failed)?;
    if options.json {
        print::data(Json::Array(entries.iter().map(Entry::to_json).collect()));
        return Ok(());
    }
    for entry in &entries {
        print::data(entry);
    }
    Ok(())
}
