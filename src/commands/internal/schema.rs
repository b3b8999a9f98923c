//! JSON Schemas of files: of those that people write, for their editors, and of plans.

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
    /// A compiled plan
    Plan,
}

pub(crate) fn run(options: &Options) -> Outcome {
    match options.of {
        Of::Definition => print::data(definition().trim_end()),
        Of::Plan => print::data(plan().trim_end()),
    }
    Ok(())
}

pub(super) fn plan() -> String {
    format!("{:#}\n", sallygate_compiler::plan::schema())
}

pub(super) fn definition() -> String {
    format!("{:#}\n", sallygate_definitions::file_schema())
}
