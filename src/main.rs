//! The `sallygate` command.

mod audit_log;
mod bench;
mod client;
mod commands;
mod configuration;
mod control;
mod demo;
mod diagnostics;
mod environment;
mod exit;
mod integrations;
mod java_trust;
mod place;
mod placeholder_key;
mod print;
mod running;
mod runtime;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::commands::{
    approval, audit, ca, completions, config, contracts, control as control_command, db,
    definition, doctor, down, env, explain, internal, keys, nouns, policy, proxy, run, status,
    tail, up, version,
};
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
    /// Start a proxy with a demo, and show what it does
    Up(up::Options),
    /// Stop the proxy
    Down(down::Options),
    /// What runs, and what it has in force
    Status(status::Options),
    /// Run a command behind the proxy, as a sandbox of its own
    Run(run::Options),
    /// Print the variables of a sandbox
    Env(env::Options),
    /// Why a request is allowed or refused
    Explain(explain::Options),
    /// Show what was decided
    Tail(tail::Options),
    /// What is allowed: check, compile, list
    #[command(subcommand)]
    Policy(policy::Command),
    /// What the configuration file says, and what holds without it
    #[command(subcommand)]
    Config(config::Command),
    /// What integrations look like
    #[command(subcommand)]
    Definition(definition::Command),
    /// Every surface that crosses a boundary
    Contracts(contracts::Options),
    /// Deployments of definitions, in the control service
    #[command(subcommand)]
    Target(nouns::target::Command),
    /// Authenticated relationships to targets
    #[command(subcommand)]
    Connection(nouns::connection::Command),
    /// What sandboxes may do, in versions
    #[command(subcommand)]
    Profile(nouns::profile::Command),
    /// Running identities of the control service
    #[command(subcommand)]
    Sandbox(nouns::sandbox::Command),
    /// What providers told us, and what goes out because of it
    #[command(subcommand)]
    Webhook(nouns::webhook::Command),
    /// Proxies in processes of their own
    #[command(subcommand)]
    Fleet(nouns::fleet::Command),
    /// Requests that wait for a decision
    #[command(subcommand)]
    Approval(approval::Command),
    /// Try every client that is here against a private proxy
    Doctor(doctor::Options),
    /// Run the proxy in the foreground
    Proxy(proxy::Invocation),
    /// Run the control service in the foreground
    Control(control_command::Options),
    /// The interception authority
    #[command(subcommand)]
    Ca(ca::Command),
    /// The control service's database
    #[command(subcommand)]
    Db(db::Command),
    /// The keys that secrets are sealed with
    #[command(subcommand)]
    Keys(keys::Command),
    /// The record and its hash chain
    #[command(subcommand)]
    Audit(audit::Command),
    /// Measure what a request costs
    Bench(bench::BenchOptions),
    /// Print the completions of a shell
    Completions(completions::Options),
    /// Print the manual
    Man(completions::ManOptions),
    /// Print the version
    Version(version::Options),
    /// For the program's own use
    #[command(subcommand, hide = true)]
    Internal(internal::Command),
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
            if !matches!(failure, Failure::Child(_) | Failure::Told(_)) {
                print::talk(&failure);
            }
            ExitCode::from(failure.code())
        }
    }
}

fn dispatch(command: &Command) -> Outcome {
    match command {
        Command::Up(options) => up::run(options),
        Command::Down(options) => down::run(options),
        Command::Status(options) => status::run(options),
        Command::Run(options) => run::run(options),
        Command::Env(options) => env::run(options),
        Command::Explain(options) => explain::run(options),
        Command::Tail(options) => tail::run(options),
        Command::Policy(command) => policy::run(command),
        Command::Config(command) => config::run(command),
        Command::Definition(command) => definition::run(command),
        Command::Contracts(options) => contracts::run(options),
        Command::Target(command) => nouns::target::run(command),
        Command::Connection(command) => nouns::connection::run(command),
        Command::Profile(command) => nouns::profile::run(command),
        Command::Sandbox(command) => nouns::sandbox::run(command),
        Command::Webhook(command) => nouns::webhook::run(command),
        Command::Fleet(command) => nouns::fleet::run(command),
        Command::Approval(command) => approval::run(command),
        Command::Doctor(options) => doctor::run(options),
        Command::Proxy(options) => proxy::run(options),
        Command::Control(options) => control_command::run(options),
        Command::Ca(command) => ca::run(command),
        Command::Db(command) => db::run(command),
        Command::Keys(command) => keys::run(command),
        Command::Audit(command) => audit::run(command),
        Command::Bench(options) => bench::run(options).map_err(exit::failed),
        Command::Completions(options) => completions::run(options),
        Command::Man(options) => completions::man(options),
        Command::Version(options) => version::run(options),
        Command::Internal(command) => internal::run(command),
    }
}
