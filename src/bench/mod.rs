//! `sallygate bench`: what a request costs on its way through the proxy, in comparison with a plain
//! Pingora reverse proxy that is measured in the same run.
//!
//! Everything happens on 127.0.0.1 and on ports that the system chooses. An upstream, the floor
//! (the plain reverse proxy) and the product run as child processes; the client is this process.
//! Where `taskset` exists and there are two CPUs or more, the proxy under test has the last CPU for
//! itself and everything else shares the first ones. Nothing here may reach the network, outlive
//! the command, or count a response that is not the expected one: with interception the upstream
//! answers 200 only to requests that carry the injected credential.
//!
//! The figure that counts is the proxy's CPU time per request (user and system): it hardly moves
//! with what else the machine does. Rounds are interleaved, each of our figures is divided by the
//! floor's figure of the same round and protocol, and the median of these ratios is printed.
//!
//! # Machine-readable output
//!
//! `--json` prints one object; durations are in microseconds, sizes in bytes:
//! - `settings`: `seconds`, `rounds`, `connections`, `streams`, `rate` (or null), `response_bytes`,
//!   `idle_connections`, `upstream` (`h1` | `h2`), `pinned`.
//! - `modes[]`: `mode` (`direct` | `floor` | `tunnel` | `intercept`), `protocol` (`h1` | `h2`),
//!   `requests_per_second`, `p50_us`, `p99_us`, and for all but `direct` `cpu_us_per_request`,
//!   `cpu_share` (of one CPU), `ratio` (to the floor: `median`, `least`, `most`), `rounds[]`
//!   (`requests`, `seconds`, `p50_us`, `p99_us`, `cpu_us_per_request`).
//! - `memory`: `idle_bytes` (of the product, before its first connection) and `connections[]`:
//!   `process` (`floor` | `sallygate`), `protocol`, `bytes_each`.
//! - `new_connections[]`: `kind` (`floor` | `leaf_cached` | `leaf_minted`),
//!   `connections_per_second`, `p50_us`, `p99_us`, `cpu_us_per_connection`, `ratio`. A minted leaf
//!   means a name never seen before, so the product also opens a connection upstream.
//! - `targets[]`: `name`, `limit`, `measured`, `met`.

mod children;
mod churn;
mod client;
mod error;
mod fixture;
mod floor;
mod load;
mod matching;
mod memory;
mod pin;
mod report;
mod rounds;
mod stats;
mod swap;
mod upstream;
mod usage;

use std::io::Write;
use std::path::PathBuf;

use tokio::signal::unix::{SignalKind, signal};

pub(crate) use self::error::BenchError;

use self::children::Children;
use self::client::Protocol;
use self::fixture::Fixture;
use self::pin::Pinning;
use self::report::{Report, Settings};
use self::rounds::Selection;

#[derive(Debug, Clone, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct BenchOptions {
    #[command(subcommand)]
    part: Option<BenchPart>,
    /// Seconds of each measured slice
    #[arg(long, default_value_t = 2.0, value_parser = seconds)]
    seconds: f64,
    /// How often every mode is measured; the printed figures are medians
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Keep-alive connections of the client
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=4096))]
    connections: u32,
    /// Requests in flight on each HTTP/2 connection
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    streams: u32,
    /// Requests per second to offer, instead of as many as are answered
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    rate: Option<u32>,
    /// Bytes of each response body
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    response_bytes: u32,
    /// Idle connections that are opened to measure memory
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    idle_connections: u32,
    /// The highest protocol that the upstream offers to a proxy
    #[arg(long, value_enum, default_value_t = Protocol::H1)]
    upstream: Protocol,
    /// Measure only these, and the floor that they are compared with
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Measure>,
    /// Print one JSON object instead of tables
    #[arg(long)]
    json: bool,
    /// Exit with an error when a target is missed
    #[arg(long)]
    check: bool,
    /// Do not pin processes to CPUs
    #[arg(long)]
    no_pin: bool,
    /// The `sallygate` binary to measure, instead of this one
    #[arg(long, hide = true)]
    binary: Option<PathBuf>,
}

#[derive(Debug, Clone, clap::Subcommand)]
enum BenchPart {
    /// Measure what finding a route costs, without a network
    Match(matching::MatchOptions),
    /// Measure what requests notice of a large plan being put in force
    Swap(swap::SwapOptions),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Measure {
    /// Client to upstream, no proxy
    Direct,
    /// A plain Pingora reverse proxy
    Floor,
    /// CONNECT, bytes untouched
    Tunnel,
    /// Interception and injection over HTTP/1.1
    H1,
    /// Interception and injection over HTTP/2
    H2,
    /// Resident memory, idle and per idle connection
    Memory,
    /// New connections per second
    Connections,
}

/// What a child process of the benchmark needs to know; `run` writes it, nobody types it.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ChildOptions {
    /// Which child this is
    #[arg(value_enum)]
    role: ChildRole,
    /// Where the certificates are
    #[arg(long)]
    directory: PathBuf,
    /// The highest protocol that the upstream offers to a proxy
    #[arg(long, value_enum, default_value_t = Protocol::H1)]
    upstream: Protocol,
    /// Bytes of each response body
    #[arg(long, default_value_t = 1024)]
    response_bytes: u32,
    /// Where the upstream listens
    #[arg(long)]
    upstream_address: Option<std::net::SocketAddr>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ChildRole {
    Upstream,
    Floor,
}

/// Runs the benchmark and prints its report on stdout.
pub(crate) fn run(options: &BenchOptions) -> Result<(), BenchError> {
    match &options.part {
        Some(BenchPart::Match(options)) => return matching::run(options),
        Some(BenchPart::Swap(swap)) => return run_swap(swap, options),
        None => {}
    }
    install_crypto();
    let pinning = if options.no_pin { Pinning::none() } else { Pinning::detect() };
    pinning.pin_self();
    let fixture = Fixture::create(options)?;
    let children = Children::start(&fixture, options, &pinning)?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(BenchError::Io)?;
    let report = runtime.block_on(async {
        tokio::select! {
            report = measure(options, &fixture, &children, &pinning) => report,
            () = interruption() => Err(BenchError::Interrupted),
        }
    })?;
    runtime.shutdown_background();
    print(&report, options)
}

fn run_swap(swap: &swap::SwapOptions, options: &BenchOptions) -> Result<(), BenchError> {
    install_crypto();
    // The proxy has its own threads for compiling: on one CPU they would wait for each other.
    let pinning = Pinning::none();
    let options = BenchOptions { only: vec![Measure::H1], ..options.clone() };
    let fixture = Fixture::create(&options)?;
    let children = Children::start(&fixture, &options, &pinning)?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(BenchError::Io)?;
    runtime.block_on(async {
        tokio::select! {
            done = async { swap::run(swap, &fixture, children.product()?).await } => done,
            () = interruption() => Err(BenchError::Interrupted),
        }
    })?;
    runtime.shutdown_background();
    Ok(())
}

/// Runs one child of the benchmark; returns only when it fails.
pub(crate) fn child(options: &ChildOptions) -> Result<(), BenchError> {
    install_crypto();
    children::exit_with_parent();
    match options.role {
        ChildRole::Upstream => upstream::run(options),
        ChildRole::Floor => floor::run(options),
    }
}

async fn measure(
    options: &BenchOptions,
    fixture: &Fixture,
    children: &Children,
    pinning: &Pinning,
) -> Result<Report, BenchError> {
    let selection = Selection::of(&options.only);
    let modes = rounds::measure(options, &selection, fixture, children).await?;
    let connections = match selection.connections() {
        true => churn::measure(options, fixture, children).await?,
        false => Vec::new(),
    };
    // Last: its processes write the configuration that `children` watch.
    let memory = match selection.memory() {
        true => Some(memory::measure(options, fixture, pinning).await?),
        false => None,
    };
    Ok(Report::new(Settings::of(options, pinning.is_on()), modes, memory, connections))
}

/// Returns on SIGINT or SIGTERM, so that children and files are removed in either case.
async fn interruption() {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

fn print(report: &Report, options: &BenchOptions) -> Result<(), BenchError> {
    let text = if options.json { report.json()? } else { report.to_string() };
    writeln!(std::io::stdout(), "{text}").map_err(BenchError::Io)?;
    match options.check && !report.targets_met() {
        true => Err(BenchError::TargetMissed),
        false => Ok(()),
    }
}

/// aws-lc-rs must be the process default before Pingora installs ring.
fn install_crypto() {
    // An error means that one was installed already, which is what is wanted.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.05..=600.0).contains(&seconds) => Ok(seconds),
        Ok(_) | Err(_) => Err("expected a number from 0.05 to 600".to_owned()),
    }
}
