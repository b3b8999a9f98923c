//! `sallygate config`: what the configuration file says, and what holds where it says nothing.

mod docs;
mod show;

use crate::configuration;
use crate::diagnostics::{self, Format};
use crate::exit::{Failure, Outcome};
use crate::place::Place;
use crate::print;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List every problem of the configuration file
    Check(CheckOptions),
    /// Print what holds, from the environment, the file and the defaults
    Show(show::Options),
    /// Explain a key
    Docs(docs::Options),
}

#[derive(Debug, clap::Args)]
pub(crate) struct CheckOptions {
    #[command(flatten)]
    place: Place,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(crate) fn run(command: &Command) -> Outcome {
    match command {
        Command::Check(options) => check(options),
        Command::Show(options) => show::run(options),
        Command::Docs(options) => docs::run(options),
    }
}

fn check(options: &CheckOptions) -> Outcome {
    let path = options.place.config();
    let found = configuration::check(&path);
    diagnostics::tell(&found, options.format);
    match (found.has_errors(), options.format) {
        // What is wrong stands on the output already.
        (true, _) => Err(Failure::Told(1)),
        (false, Format::Human) => {
            print::data(format_args!("ok: {}", path.display()));
            Ok(())
        }
        (false, Format::Json | Format::Github | Format::Sarif) => Ok(()),
    }
}
