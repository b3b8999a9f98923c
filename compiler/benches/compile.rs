//! What a plan costs before it decides anything: reading it with its digest, indexing it with all
//! analysis, and comparing it with another.

#![expect(clippy::expect_used, reason = "a bench that cannot be set up ends")]
#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "what is shared with other measurements is more than is used here"
)]

#[path = "../../src/bench/matching/workload.rs"]
mod workload;

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use sallygate_compiler::analysis::diff;
use sallygate_compiler::plan::Plan;
use sallygate_compiler::table::RouteTable;

const SIZES: [usize; 2] = [1_000, 100_000];
const COMPARED: usize = 10_000;
/// Of the routes that are compared.
const CHANGED: usize = 100;

fn plan(routes: usize) -> Plan {
    workload::plan(routes).expect("a valid plan")
}

fn load(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("load");
    for routes in SIZES {
        let mut plan = plan(routes);
        plan.seal();
        let json = plan.to_canonical_json();
        group.bench_function(BenchmarkId::from_parameter(routes), |bencher| {
            bencher.iter_with_large_drop(|| Plan::from_json("plan", black_box(json.as_bytes())));
        });
    }
    group.finish();
}

fn build(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("build");
    for routes in SIZES {
        let plan = Arc::new(plan(routes));
        let table = || RouteTable::build(Arc::clone(&plan)).expect("a valid plan");
        group.bench_function(BenchmarkId::from_parameter(routes), |bencher| {
            bencher.iter_batched(|| (), |()| black_box(table()), BatchSize::PerIteration);
        });
    }
    group.finish();
}

fn compare(criterion: &mut Criterion) {
    let old = plan(COMPARED);
    let mut new = old.clone();
    for route in new.egress_routes.iter_mut().take(CHANGED) {
        route.r#match.methods = Some(vec!["GET".to_owned(), "PUT".to_owned()]);
    }
    let [old, new] = [old, new].map(|p| RouteTable::build(Arc::new(p)).expect("a valid plan"));
    assert!(!diff(&old, &new).regions.is_empty(), "the plans differ");
    criterion.bench_function("diff/10000", |bencher| {
        bencher.iter_with_large_drop(|| diff(black_box(&old), black_box(&new)));
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(std::time::Duration::from_millis(500))
        .measurement_time(std::time::Duration::from_secs(5));
    targets = load, build, compare
}
criterion_main!(benches);
