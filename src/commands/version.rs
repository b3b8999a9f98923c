//! `sallygate version`.

use serde_json::json;

use crate::exit::Outcome;
use crate::print;
use crate::print::Format;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Output format
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

pub(crate) fn run(options: &Options) -> Outcome {
    let version = env!("CARGO_PKG_VERSION");
    match options.output {
        Format::Human => print::data(format_args!("sallygate {version}")),
        Format::Json => print::data(json!({
            "name": "sallygate",
            "version": version,
            "planSchemaVersion": sallygate_compiler::plan::SCHEMA_VERSION,
        })),
    }
    Ok(())
}
