//! `sallygate bench swap`: what a request notices of a large plan being put in force beside it.
//!
//! Clients ask through interception and injection without a pause, while the proxy is given one plan
//! after the other, each read, compiled and analysed by the same process. Requests that overlapped
//! such a change are told from those that did not. What compiling takes of the CPU is in the figures;
//! with fewer CPUs than processes that want one, most of what they show is waiting for a turn.
//!
//! # Machine-readable output
//!
//! `--json` prints one object; durations are in microseconds: `routes`, `swaps`, `reload_ms` (median, from
//! the operator's request to its answer), and `quiet` and `during`, each with `requests`, `p50_us`,
//! `p99_us`, `p999_us`, `most_us` and `slower_than_1_ms`; `at_the_swap` is the part of `during` that was
//! under way within a millisecond of the answer, which is when the new plan took over.

use std::fmt;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sallygate_compiler::plan::Plan;
use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::children::ChildProcess;
use super::client::{Client, Protocol, Through, Way};
use super::error::{BenchError, ClientError};
use super::fixture::{Fixture, SECURED_HOST};
use super::matching::workload;

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct SwapOptions {
    /// Routes of each plan
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    routes: u32,
    /// Plans that are put in force, one after the other
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    swaps: u32,
    /// Keep-alive connections of the client
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(super) connections: u32,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

/// How long nothing changes before each swap, and how long one may be noticed afterwards: the proxy
/// looks at its files by itself as well.
const QUIET: Duration = Duration::from_millis(2500);
/// Around the answer of the operator's request, in which the new plan has just taken over.
const AT_THE_SWAP: Duration = Duration::from_millis(1);

#[derive(Debug, Serialize)]
struct Report {
    routes: u32,
    swaps: u32,
    reload_ms: f64,
    quiet: Figures,
    during: Figures,
    at_the_swap: Figures,
}

#[derive(Debug, Serialize)]
struct Figures {
    requests: usize,
    p50_us: f64,
    p99_us: f64,
    p999_us: f64,
    most_us: f64,
    slower_than_1_ms: usize,
}

/// One request.
#[derive(Clone, Copy, Debug)]
struct Asked {
    began: Instant,
    ended: Instant,
}

/// One plan put in force.
#[derive(Clone, Copy, Debug)]
struct Swap {
    began: Instant,
    answered: Instant,
}

pub(super) async fn run(
    options: &SwapOptions,
    fixture: &Fixture,
    product: &ChildProcess,
) -> Result<(), BenchError> {
    let plans = [0, 1].map(|variant| plan(options, fixture, variant));
    let [first, second] = plans;
    let plans = [first?, second?];
    name_plan(fixture, &plans[0])?;
    reload(fixture, product).await?;
    let clients = clients(options, fixture, product).await?;
    let is_over = Arc::new(AtomicBool::new(false));
    let mut running = JoinSet::new();
    for client in clients {
        running.spawn(ask_until_over(client, Arc::clone(&is_over)));
    }
    let mut swaps = Vec::new();
    for plan in plans.iter().cycle().skip(1).take(options.swaps as usize) {
        sleep(QUIET).await;
        let began = Instant::now();
        write(fixture, PLAN, plan)?;
        reload(fixture, product).await?;
        swaps.push(Swap { began, answered: Instant::now() });
        sleep(QUIET).await;
    }
    is_over.store(true, Ordering::Relaxed);
    let mut asked = Vec::new();
    while let Some(client) = running.join_next().await {
        let done = client.unwrap_or_else(|e| Err(ClientError::Io(std::io::Error::other(e))));
        asked.extend(done.map_err(|source| failed("swap", source))?);
    }
    print(options, &swaps, &asked)
}

fn failed(what: &str, source: ClientError) -> BenchError {
    BenchError::Exchange { what: what.to_owned(), source }
}

async fn clients(
    options: &SwapOptions,
    fixture: &Fixture,
    product: &ChildProcess,
) -> Result<Vec<Client>, BenchError> {
    let roots = fixture.interception_roots()?;
    let way = Way::new(product.address, Through::Connect, Protocol::H1, roots, fixture);
    let way = way.to(SECURED_HOST, "/secured");
    let mut clients = Vec::new();
    for _ in 0..options.connections {
        clients.push(Client::open(&way).await.map_err(|source| failed("open", source))?);
    }
    Ok(clients)
}

async fn ask_until_over(
    mut client: Client,
    is_over: Arc<AtomicBool>,
) -> Result<Vec<Asked>, ClientError> {
    let mut asked = Vec::new();
    while !is_over.load(Ordering::Relaxed) {
        let began = Instant::now();
        client.exchange().await?;
        asked.push(Asked { began, ended: Instant::now() });
    }
    client.close().await;
    Ok(asked)
}

const PLAN: &str = "plan.json";

/// The fixture's own plan and many routes more; the two variants differ in one of them.
fn plan(options: &SwapOptions, fixture: &Fixture, variant: usize) -> Result<String, BenchError> {
    let own = std::env::current_exe().map_err(BenchError::Io)?;
    let compiled = Command::new(own)
        .args(["policy", "compile", "--profile", "bench", "--config"])
        .arg(fixture.config_path())
        .stdin(Stdio::null())
        .output()
        .map_err(BenchError::Io)?;
    let mut plan = Plan::from_json(PLAN, &compiled.stdout).map_err(BenchError::Plan)?;
    let many = workload::plan(options.routes as usize).map_err(BenchError::Plan)?;
    plan.egress_routes.extend(many.egress_routes);
    plan.egress_routes.sort_by(|a, b| a.route_id.cmp(&b.route_id));
    // The made-up routes come first.
    if let Some(first) = plan.egress_routes.first_mut().filter(|_| variant > 0) {
        first.r#match.methods = Some(vec!["PUT".to_owned()]);
    }
    plan.seal();
    Ok(plan.to_canonical_json())
}

/// Has the configuration take the profile's plan from a file, as a plan that was compiled elsewhere.
fn name_plan(fixture: &Fixture, plan: &str) -> Result<(), BenchError> {
    write(fixture, PLAN, plan)?;
    let config = std::fs::read_to_string(fixture.config_path()).map_err(BenchError::Io)?;
    write(fixture, "config.toml", &format!("{config}[plans]\nbench = \"{PLAN}\"\n"))
}

/// Puts the file in place whole: the proxy may be looking.
fn write(fixture: &Fixture, name: &str, text: &str) -> Result<(), BenchError> {
    let (path, aside) = (fixture.path().join(name), fixture.path().join("aside"));
    std::fs::write(&aside, text).map_err(BenchError::Io)?;
    std::fs::rename(&aside, &path).map_err(BenchError::Io)
}

/// Has the proxy read its files; returns when the new plan is in force.
async fn reload(fixture: &Fixture, product: &ChildProcess) -> Result<(), BenchError> {
    let answer = ask_operator(fixture.path(), product).await.map_err(BenchError::Io)?;
    if answer.starts_with("HTTP/1.1 200 ") {
        return Ok(());
    }
    Err(BenchError::NotReady { role: "reload", log: answer })
}

async fn ask_operator(directory: &Path, product: &ChildProcess) -> std::io::Result<String> {
    let address = product.admin.ok_or(std::io::ErrorKind::AddrNotAvailable)?;
    let token = std::fs::read_to_string(directory.join("operator.token"))?;
    let mut stream = TcpStream::connect(address).await?;
    let head = format!(
        "POST /v1/reload HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {}\r\n\
         Content-Length: 0\r\nConnection: close\r\n\r\n",
        token.trim()
    );
    stream.write_all(head.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

fn print(options: &SwapOptions, swaps: &[Swap], asked: &[Asked]) -> Result<(), BenchError> {
    let overlaps = |a: &Asked, from: Instant, to: Instant| a.began <= to && a.ended >= from;
    let during = |a: &&Asked| swaps.iter().any(|s| overlaps(a, s.began, s.answered + QUIET / 2));
    let at_the_swap = |a: &&Asked| {
        let is = |s: &Swap| overlaps(a, s.answered - AT_THE_SWAP, s.answered + AT_THE_SWAP);
        swaps.iter().any(is)
    };
    let reloads = swaps.iter().map(|s| (s.answered - s.began).as_secs_f64() * 1e3);
    let report = Report {
        routes: options.routes,
        swaps: options.swaps,
        reload_ms: super::stats::median(reloads).unwrap_or_default(),
        quiet: Figures::of(asked.iter().filter(|a| !during(a))),
        during: Figures::of(asked.iter().filter(during)),
        at_the_swap: Figures::of(asked.iter().filter(at_the_swap)),
    };
    let text = if options.json { serde_json::to_string(&report)? } else { report.to_string() };
    writeln!(std::io::stdout(), "{}", text.trim_end()).map_err(BenchError::Io)
}

impl Figures {
    fn of<'a>(asked: impl Iterator<Item = &'a Asked>) -> Self {
        let micros = |a: &Asked| (a.ended - a.began).as_secs_f64() * 1e6;
        let mut sorted: Vec<f64> = asked.map(micros).collect();
        sorted.sort_by(f64::total_cmp);
        let rank = |per_mille: usize| {
            let at = (sorted.len() * per_mille).div_ceil(1000).saturating_sub(1);
            sorted.get(at).copied().unwrap_or_default()
        };
        Self {
            requests: sorted.len(),
            p50_us: rank(500),
            p99_us: rank(990),
            p999_us: rank(999),
            most_us: rank(1000),
            slower_than_1_ms: sorted.iter().filter(|micros| **micros > 1000.0).count(),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { routes, swaps, reload_ms, .. } = self;
        writeln!(f, "{swaps} plans of {routes} routes put in force, {reload_ms:.0} ms each\n")?;
        writeln!(
            f,
            "{:<12}  {:>9}  {:>8}  {:>8}  {:>8}  {:>9}  {:>7}",
            "", "requests", "p50", "p99", "p99.9", "most", "> 1 ms"
        )?;
        let lines =
            [("quiet", &self.quiet), ("during", &self.during), ("at the swap", &self.at_the_swap)];
        for (name, figures) in lines {
            let Figures { requests, p50_us, p99_us, p999_us, most_us, slower_than_1_ms } = figures;
            writeln!(
                f,
                "{name:<12}  {requests:>9}  {p50_us:>5.0} µs  {p99_us:>5.0} µs  {p999_us:>5.0} µs  \
                 {most_us:>6.0} µs  {slower_than_1_ms:>7}"
            )?;
        }
        Ok(())
    }
}
