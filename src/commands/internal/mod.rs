//! What the program calls on itself, and generators for the documentation.

pub(crate) mod keys;
mod reference;
mod schema;

use crate::bench;
use crate::exit::{Outcome, failed};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// One process of a benchmark
    BenchChild(bench::ChildOptions),
    /// Write the reference pages of the documentation
    Reference(reference::Options),
    /// Print the JSON Schema of a kind of file, for editors
    Schema(schema::Options),
}

pub(crate) fn run(command: &Command) -> Outcome {
    match command {
        Command::BenchChild(options) => bench::child(options).map_err(failed),
        Command::Reference(options) => reference::run(options),
        Command::Schema(options) => schema::run(options),
    }
}
