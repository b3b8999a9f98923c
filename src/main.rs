//! The `sallygate` command.

mod commands;
mod configuration;
mod environment;
mod exit;
mod print;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::commands::{audit, ca, proxy};
use crate::exit::{Failure, Outcome};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The guarded way out of a sandbox: an egress proxy with an embedded policy compiler.
#[derive(Debug, Parser)]
#[command(name = "sallygate", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the proxy in the foreground
    Proxy(proxy::Options),
    /// The interception authority
    #[command(subcommand)]
    Ca(ca::Command),
    /// The record and its hash chain
    #[command(subcommand)]
    Audit(audit::Command),
}

fn main() -> ExitCode {
    // First of all: rustls panics at its first use if two providers are there and none is chosen.
    let chosen = rustls::crypto::aws_lc_rs::default_provider().install_default();
    if chosen.is_err() {
        print::talk("the TLS provider was chosen already");
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // clap's own exit code for a wrong command line is 2, which means "differs" here.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(3) } else { ExitCode::SUCCESS };
        }
    };
    match dispatch(&cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !matches!(failure, Failure::Child(_)) {
                print::talk(&failure);
            }
            ExitCode::from(failure.code())
        }
    }
}

fn dispatch(command: &Command) -> Outcome {
    match command {
        Command::Proxy(options) => proxy::run(options),
        Command::Ca(command) => ca::run(command),
        Command::Audit(command) => audit::run(command),
    }
}
