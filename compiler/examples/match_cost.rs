//! What matching costs, counted in this process: `match_cost lookups` is for callgrind, which
//! `benches/instructions` runs it under; `match_cost sizes` prints bytes and times of a table.

#![expect(clippy::print_stdout, reason = "what it finds out is its output")]

#[path = "../../src/bench/matching/workload.rs"]
mod workload;

use std::error::Error;
use std::hint::black_box;
use std::sync::Arc;

use sallygate_compiler::plan::Plan;
use sallygate_compiler::table::RouteTable;
use workload::{Case, Request};

/// Requests in each case, and how often they go round.
const REQUESTS: usize = 64;
const ROUNDS: usize = 16;

const SIZES: [usize; 3] = [10, 1_000, 100_000];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["lookups", routes, case] => {
            let case = Case::ALL.into_iter().find(|known| known.as_str() == *case);
            lookups(routes.parse()?, case.ok_or("no such case")?)
        }
        ["build", routes] => build(routes.parse()?),
        ["load", routes] => load(routes.parse()?),
        ["sizes"] => SIZES.into_iter().try_for_each(sizes),
        _ => Err("say `lookups ROUTES CASE`, `build ROUTES`, `load ROUTES` or `sizes`".into()),
    }
}

fn lookups(routes: usize, case: Case) -> Result<(), Box<dyn Error>> {
    let table = RouteTable::build(Arc::new(workload::plan(routes)?))?;
    let requests = workload::requests(routes, case, REQUESTS)?;
    counted(&table, &requests);
    println!("{}", requests.len() * ROUNDS);
    Ok(())
}

/// Callgrind counts what runs in here, and nothing else.
#[inline(never)]
fn counted(table: &RouteTable, requests: &[Request]) {
    for _ in 0..ROUNDS {
        for request in requests {
            black_box(black_box(request).decide(table));
        }
    }
}

fn build(routes: usize) -> Result<(), Box<dyn Error>> {
    counted_build(Arc::new(workload::plan(routes)?))?;
    println!("{routes}");
    Ok(())
}

/// Checks, indexes and analyses.
#[inline(never)]
fn counted_build(plan: Arc<Plan>) -> Result<RouteTable, Box<dyn Error>> {
    Ok(RouteTable::build(black_box(plan))?)
}

fn load(routes: usize) -> Result<(), Box<dyn Error>> {
    let json = workload::plan(routes)?.to_canonical_json();
    counted_load(&json)?;
    println!("{routes}");
    Ok(())
}

/// Reads and checks the digest.
#[inline(never)]
fn counted_load(json: &str) -> Result<Plan, Box<dyn Error>> {
    Ok(Plan::from_json("plan", black_box(json).as_bytes())?)
}

fn sizes(routes: usize) -> Result<(), Box<dyn Error>> {
    let json = workload::plan(routes)?.to_canonical_json();
    let mut parts = None;
    let load = allocation_counter::measure(|| {
        parts = Some(Plan::from_json("plan", json.as_bytes()).map(Arc::new));
    });
    let plan = parts.ok_or("no plan")??;
    let mut table = None;
    let build = allocation_counter::measure(|| table = Some(RouteTable::build(Arc::clone(&plan))));
    let table = table.ok_or("no table")??;
    let each = |bytes: i64| bytes as f64 / routes as f64;
    println!("{routes} routes: the plan holds {:.0} bytes a route", each(load.bytes_current));
    println!("{routes} routes: the table holds {:.0} more", each(build.bytes_current));
    println!("{routes} routes: {} allocations to build", build.count_total);
    let times: Vec<_> = (0..5).map(|_| timed(&json)).collect::<Result<_, _>>()?;
    let median = |mut all: Vec<u128>| {
        all.sort_unstable();
        all.get(all.len() / 2).copied().unwrap_or_default()
    };
    println!("{routes} routes: load {} µs of CPU", median(times.iter().map(|t| t.0).collect()));
    println!("{routes} routes: build {} µs of CPU", median(times.iter().map(|t| t.1).collect()));
    drop(table);
    Ok(())
}

/// Microseconds on a CPU: what a clock says depends on what else the machine does.
fn timed(json: &str) -> Result<(u128, u128), Box<dyn Error>> {
    let began = on_cpu()?;
    let plan = Arc::new(Plan::from_json("plan", json.as_bytes())?);
    let loaded = on_cpu()?;
    let table = black_box(RouteTable::build(plan)?);
    let built = on_cpu()?;
    drop(table);
    Ok(((loaded - began) / 1000, (built - loaded) / 1000))
}

/// Nanoseconds that this thread has run.
fn on_cpu() -> Result<u128, Box<dyn Error>> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(stat.split(' ').next().unwrap_or_default().parse()?)
}
