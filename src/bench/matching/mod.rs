//! `sallygate bench match`: what finding a route costs, on plans of growing size or on one's own.
//!
//! Nothing here touches the network. Each decision is canonicalising the target, finding the route
//! and deciding; the host is canonical already, as it is on a connection.
//!
//! # Machine-readable output
//!
//! `--json` prints one object; durations are in nanoseconds unless the name says otherwise:
//! - `clock_ns`: what reading the clock twice takes; deducted from the percentiles.
//! - `plans[]`: `routes`, `build_ms` (table and conflict analysis, without reading the plan), and
//!   `cases[]`: `case` (`exact` | `wildcard` | `miss`), `requests` (different ones), `mean_ns` (of
//!   decisions one after the other), and of decisions timed singly `p50_ns`, `p99_ns`, `p999_ns`.
//!   A case that no request of the plan can meet is left out.

mod own;
mod times;
pub(super) mod workload;

use std::fmt;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use sallygate_compiler::plan::Plan;
use sallygate_compiler::table::RouteTable;
use serde::Serialize;

use self::times::{Clock, Times};
use self::workload::{Case, Request};
use super::error::BenchError;

const SIZES: [usize; 4] = [10, 1_000, 100_000, 1_000_000];
const REQUESTS: usize = 64;

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct MatchOptions {
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
    /// Measure this plan, as `sallygate policy compile` writes it, instead of made-up ones
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Sizes of the made-up plans, in routes [default: 10,1000,100000,1000000]
    #[arg(long, value_delimiter = ',', conflicts_with = "policy",
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    routes: Vec<u32>,
}

#[derive(Debug, Serialize)]
struct Report {
    clock_ns: u64,
    plans: Vec<PlanFigures>,
}

#[derive(Debug, Serialize)]
struct PlanFigures {
    routes: usize,
    build_ms: f64,
    cases: Vec<CaseFigures>,
}

#[derive(Debug, Serialize)]
struct CaseFigures {
    case: &'static str,
    requests: usize,
    #[serde(flatten)]
    times: Times,
}

pub(super) fn run(options: &MatchOptions) -> Result<(), BenchError> {
    let clock = Clock::calibrate();
    let plans = match &options.policy {
        Some(path) => vec![own_plan(path, &clock)?],
        None => sizes(options)
            .into_iter()
            .map(|size| made_up(size, &clock))
            .collect::<Result<_, _>>()?,
    };
    let report = Report { clock_ns: clock.nanos(), plans };
    let text = if options.json { serde_json::to_string(&report)? } else { report.to_string() };
    writeln!(std::io::stdout(), "{}", text.trim_end()).map_err(BenchError::Io)
}

fn sizes(options: &MatchOptions) -> Vec<usize> {
    match options.routes.as_slice() {
        [] => SIZES.to_vec(),
        given => given.iter().filter_map(|routes| usize::try_from(*routes).ok()).collect(),
    }
}

fn made_up(routes: usize, clock: &Clock) -> Result<PlanFigures, BenchError> {
    let plan = workload::plan(routes).map_err(BenchError::Plan)?;
    let requests = Case::ALL.map(|case| {
        Ok((case, workload::requests(routes, case, REQUESTS).map_err(BenchError::Host)?))
    });
    measure(plan, requests.into_iter().collect::<Result<_, BenchError>>()?, clock)
}

fn own_plan(path: &std::path::Path, clock: &Clock) -> Result<PlanFigures, BenchError> {
    let name = path.display().to_string();
    let unreadable = |source| BenchError::Unreadable { path: name.clone(), source };
    let bytes = std::fs::read(path).map_err(unreadable)?;
    let plan = Plan::from_json(&name, &bytes).map_err(BenchError::Plan)?;
    let requests = own::requests(&plan, REQUESTS);
    measure(plan, requests, clock)
}

fn measure(
    plan: Plan,
    cases: Vec<(Case, Vec<Request>)>,
    clock: &Clock,
) -> Result<PlanFigures, BenchError> {
    let routes = plan.egress_routes.len();
    let plan = Arc::new(plan);
    let (table, build) = times::once(|| RouteTable::build(plan));
    let table = table.map_err(BenchError::Plan)?;
    let figures = |(case, mut requests): (Case, Vec<Request>)| {
        requests.retain(|request| own::meets(&table, request, case));
        let times = Times::of(&table, &requests, clock)?;
        Some(CaseFigures { case: case.as_str(), requests: requests.len(), times })
    };
    let cases = cases.into_iter().filter_map(figures).collect();
    Ok(PlanFigures { routes, build_ms: build.as_secs_f64() * 1e3, cases })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:>9}  {:>9}  {:<8}  {:>8}  {:>8}  {:>8}  {:>8}",
            "routes", "build", "case", "mean", "p50", "p99", "p99.9"
        )?;
        for plan in &self.plans {
            for CaseFigures { case, times, .. } in &plan.cases {
                writeln!(
                    f,
                    "{:>9}  {:>6.1} ms  {case:<8}  {:>5.0} ns  {:>5} ns  {:>5} ns  {:>5} ns",
                    plan.routes,
                    plan.build_ms,
                    times.mean_ns,
                    times.p50_ns,
                    times.p99_ns,
                    times.p999_ns
                )?;
            }
        }
        Ok(())
    }
}
