//! JSON Schemas of the files that people write, for their editors.

use crate::exit::Outcome;
use crate::print;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    of: Of,
}

#[derive(Debug, clap::Subcommand)]
enum Of {
    /// An integration definition
    Definition,
}

pub(crate) fn run(options: &Options) -> Outcome {
    match options.of {
        Of::Definition => print::data(definition().trim_end()),
    }
    Ok(())
}

pub(super) fn definition() -> String {
    format!("{:#}\n", sallygate_definitions::file_schema())
}
