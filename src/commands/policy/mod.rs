//! `sallygate policy`: what the files say, before it is in force.

mod diff;
mod effective;
mod fmt;
mod suggest;
mod test;

use std::path::PathBuf;

use sallygate_compiler::diagnostic::Diagnostics;

use crate::configuration;
use crate::diagnostics::Format;
use crate::exit::{Failure, Outcome};
use crate::place::Place;
use crate::{diagnostics, print};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List every problem of configuration and policy
    Check(CheckOptions),
    /// Print the plan of a profile, as the proxy would run it
    Compile(CompileOptions),
    /// List the routes that are in force, and where each comes from
    Effective(effective::Options),
    /// List the requests that two policies decide differently
    Diff(diff::Options),
    /// Ask the cases that are written beside the policy, and say which routes none exercises
    Test(test::Options),
    /// Print the least routes that would have allowed what was denied
    Suggest(suggest::Options),
    /// Write policy files in their canonical form
    Fmt(fmt::Options),
}

#[derive(Debug, clap::Args)]
pub(crate) struct CheckOptions {
    #[command(flatten)]
    place: Place,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, clap::Args)]
pub(crate) struct CompileOptions {
    #[command(flatten)]
    place: Place,
    /// Profile; may be left out where there is only one
    #[arg(long, value_name = "PROFILE")]
    profile: Option<String>,
    /// Write the plan here instead of to the output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(crate) fn run(command: &Command) -> Outcome {
    match command {
        Command::Check(options) => check(options),
        Command::Compile(options) => compile(options),
        Command::Effective(options) => effective::run(options),
        Command::Diff(options) => diff::run(options),
        Command::Test(options) => test::run(options),
        Command::Suggest(options) => suggest::run(options),
        Command::Fmt(options) => fmt::run(options),
    }
}

fn check(options: &CheckOptions) -> Outcome {
    let (found, fine) = match configuration::load(&options.place.config()) {
        Ok(loaded) => {
            let routes: usize =
                loaded.input.plans.values().map(|plan| plan.egress_routes.len()).sum();
            let (plans, sandboxes) = (loaded.input.plans.len(), loaded.input.sandboxes.len());
            let counts = [(plans, "profile"), (routes, "route"), (sandboxes, "sandbox")];
            let counts = counts.map(|(count, word)| diagnostics::counted(count, word)).join(", ");
            (loaded.warnings, Some(counts))
        }
        Err(found) => (found, None),
    };
    diagnostics::tell(&found, options.format);
    match (fine, options.format) {
        (Some(counts), Format::Human) => print::data(format_args!("ok: {counts}")),
        (Some(_), Format::Json | Format::Github | Format::Sarif) => {}
        // What is wrong stands on the output already.
        (None, _) => return Err(Failure::Told(1)),
    }
    Ok(())
}

fn compile(options: &CompileOptions) -> Outcome {
    let loaded = configuration::load(&options.place.config())?;
    warn(&loaded.warnings);
    let plans = &loaded.input.plans;
    let plan = match &options.profile {
        Some(profile) => plans
            .get(profile)
            .ok_or_else(|| Failure::NotFound(format!("the policy has no profile `{profile}`")))?,
        None => {
            let mut all = plans.values();
            match (all.next(), all.next()) {
                (Some(only), None) => only,
                _ => {
                    let names: Vec<&str> = plans.keys().map(String::as_str).collect();
                    let names = names.join(", ");
                    return Err(Failure::Usage(format!("which profile? one of: {names}")));
                }
            }
        }
    };
    let json = plan.to_canonical_json();
    match &options.output {
        Some(path) => {
            std::fs::write(path, json + "\n")?;
            print::talk(format_args!("{} {}", plan.digest, path.display()));
        }
        None => print::data(json),
    }
    Ok(())
}

/// Warnings beside a result that is data.
fn warn(warnings: &Diagnostics) {
    if !warnings.is_empty() {
        print::talk(diagnostics::render(warnings).trim_end());
    }
}
