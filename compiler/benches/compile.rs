//! What a plan costs before it decides anything: compiling it from its source, reading it with its
//! digest, indexing it with all analysis, and comparing it with another.

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
use sallygate_compiler::compile_files;
use sallygate_compiler::diagnostic::Diagnostics;
use sallygate_compiler::plan::Plan;
use sallygate_compiler::snapshot::{Targets, read_policy};
use sallygate_compiler::table::RouteTable;
use sallygate_definitions::Registry;
use sallygate_definitions::source::SourceFile;

const SIZES: [usize; 2] = [1_000, 100_000];
const COMPARED: usize = 10_000;
/// Of the routes that are compared.
const CHANGED: usize = 100;

fn plan(routes: usize) -> Plan {
    workload::plan(routes).expect("a valid plan")
}

/// A policy with the routes of the plan with as many.
fn policy(routes: usize) -> SourceFile {
    let mut text = String::from("version = 1\n[profiles.p]\n");
    for route in plan(routes).egress_routes {
        let (wanted, name) = (route.r#match, route.route_id.replace('/', "-"));
        text += &format!(
            "[[profiles.p.routes]]\nname = \"{name}\"\nhosts = {:?}\npaths = {:?}\n\
             methods = {:?}\n",
            wanted.hosts,
            wanted.paths,
            wanted.methods.unwrap_or_default(),
        );
    }
    SourceFile::new("policy.toml", text)
}

/// From the text of a policy, and from what was read of it, to a plan with all analysis.
fn source(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("source");
    let (targets, registry) = (Targets::default(), Registry::builtin());
    for routes in SIZES {
        let file = policy(routes);
        let read = || {
            let mut found = Diagnostics::default();
            let policy = read_policy(&file, &mut found);
            assert!(!found.has_errors(), "a valid policy: {found}");
            policy
        };
        group.bench_function(BenchmarkId::new("read", routes), |bencher| {
            bencher.iter_with_large_drop(read);
        });
        let policy = read();
        let compile = || {
            let compiled = compile_files(&targets, black_box(&policy), &registry);
            assert_eq!(compiled.plans.len(), 1, "{}", compiled.diagnostics);
            compiled
        };
        group.bench_function(BenchmarkId::new("compile", routes), |bencher| {
            bencher.iter_with_large_drop(compile);
        });
    }
    group.finish();
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
    targets = source, load, build, compare
}
criterion_main!(benches);
