//! What a decision costs: canonicalise the target, find the route, at 10 to 100 000 routes;
//! beside a linear scan over the same plan, and bare `matchit`, `path-tree` and `wayfind` routers,
//! one per host, which neither canonicalise nor look at wildcard hosts, methods or denies.
//!
//! Every case goes round 64 requests spread over the whole plan, so that a table that only works
//! from the first cache lines would show.

#![expect(clippy::expect_used, reason = "a bench that cannot be set up ends")]

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use sallygate_compiler::canonical::{self, Host, Scheme, Target};
use sallygate_compiler::key::{MatchKey, NoHeaders};
use sallygate_compiler::pattern::{HostPattern, PathPattern};
use sallygate_compiler::plan::Plan;
use sallygate_compiler::table::{RouteTable, Verdict};

const SIZES: [usize; 3] = [10, 1_000, 100_000];
const REQUESTS: usize = 64;

/// A request as it comes off the wire; the host was canonicalised with its connection.
struct Request {
    host: Host,
    method: &'static str,
    target: String,
}

impl Request {
    fn new(host: &str, method: &'static str, target: String) -> Self {
        let host = canonical::host(host.as_bytes()).expect("a canonical host");
        Self { host, method, target }
    }
}

/// Routes like those of bound repositories: some hosts with many routes each, one in ten of them
/// under a wildcard host.
fn plan(routes: usize) -> Plan {
    let route = |at: usize| {
        let host = host_pattern(at, routes);
        let path = format!("/repos/acme/project-{at}/{}", kind(at));
        format!(
            r#"{{"routeId":"b/{at:06}","bindingId":"b",
                "match":{{"hosts":["{host}"],"paths":["{path}"],"methods":["GET","POST"]}}}}"#
        )
    };
    let routes: Vec<String> = (0..routes).map(route).collect();
    let text = format!(
        r#"{{"schemaVersion":1,"organizationId":"o","sandboxProfileId":"p","version":1,
            "egressRoutes":[{}]}}"#,
        routes.join(",")
    );
    Plan::from_json("bench", text.as_bytes()).expect("a valid plan")
}

fn hosts(routes: usize) -> usize {
    (routes / 100).max(1)
}

fn is_wildcard(at: usize) -> bool {
    at % 10 == 9
}

fn host_pattern(at: usize, routes: usize) -> String {
    let host = at % hosts(routes);
    if is_wildcard(at) { format!("**.wild-{host}.test") } else { format!("api-{host}.test") }
}

fn kind(at: usize) -> &'static str {
    match at % 3 {
        0 => "issues",
        1 => "pulls/{number}",
        _ => "contents/**",
    }
}

fn path(at: usize) -> String {
    let below = kind(at).replace("{number}", "4711").replace("**", "src/main.rs");
    format!("/repos/acme/project-{at}/{below}?per_page=100")
}

/// Indexes of routes, spread over the plan, for which `wanted` holds.
fn spread(routes: usize, wanted: impl Fn(usize) -> bool) -> Vec<usize> {
    let all: Vec<usize> = (0..routes).filter(|at| wanted(*at)).collect();
    (0..REQUESTS).filter_map(|n| all.get(n * 7919 % all.len()).copied()).collect()
}

fn cases(routes: usize) -> [(&'static str, Vec<Request>); 3] {
    let exact = spread(routes, |at| !is_wildcard(at)).into_iter();
    let exact = exact.map(|at| Request::new(&host_pattern(at, routes), "GET", path(at)));
    let wildcard = spread(routes, is_wildcard).into_iter().map(|at| {
        let host = host_pattern(at, routes).replace("**.", "a.b.");
        Request::new(&host, "GET", path(at))
    });
    let miss = spread(routes, |at| !is_wildcard(at)).into_iter().map(|at| {
        let path = path(at).replace("/repos/acme/project", "/repos/other/project");
        Request::new(&host_pattern(at, routes), "GET", path)
    });
    [("exact", exact.collect()), ("wildcard", wildcard.collect()), ("miss", miss.collect())]
}

fn decide(table: &RouteTable, request: &Request) -> Verdict {
    let target = canonical::target(request.target.as_bytes()).expect("a canonical target");
    table.find(&MatchKey {
        scheme: Scheme::Https,
        host: &request.host,
        port: 443,
        method: request.method,
        target: &target,
        headers: &NoHeaders,
    })
}

/// The same plan, looked through from the first route to the last, keeping the first match.
struct Linear {
    routes: Vec<(HostPattern, PathPattern, Vec<String>)>,
}

impl Linear {
    fn new(plan: &Plan) -> Self {
        let route = |route: &sallygate_compiler::plan::Route| {
            let wanted = &route.r#match;
            let host = HostPattern::parse(wanted.hosts.first()?).ok()?;
            let path = PathPattern::parse(wanted.paths.first()?).ok()?;
            Some((host, path, wanted.methods.clone()?))
        };
        Self { routes: plan.egress_routes.iter().filter_map(route).collect() }
    }

    fn decide(&self, request: &Request) -> Option<usize> {
        let target: Target<'_> = canonical::target(request.target.as_bytes()).ok()?;
        self.routes.iter().position(|(host, path, methods)| {
            methods.iter().any(|method| method == request.method)
                && host.matches(&request.host)
                && path.matches(target.path())
        })
    }
}

/// A router of somebody else's.
trait Router: Default {
    /// How the router writes `{number}`, and a tail.
    const PARAMETER: &'static str;
    const TAIL: &'static str;

    fn insert(&mut self, pattern: &str, route: usize);
    /// Once, after everything was inserted.
    fn finish(&mut self) {}
    fn find(&self, path: &str) -> Option<usize>;
}

#[derive(Default)]
struct Matchit(matchit::Router<usize>);

impl Router for Matchit {
    const PARAMETER: &'static str = "{number}";
    const TAIL: &'static str = "{*rest}";

    fn insert(&mut self, pattern: &str, route: usize) {
        self.0.insert(pattern, route).expect("no conflict");
    }

    fn find(&self, path: &str) -> Option<usize> {
        self.0.at(path).ok().map(|found| *found.value)
    }
}

#[derive(Default)]
struct PathTree(path_tree::PathTree<usize>);

impl Router for PathTree {
    const PARAMETER: &'static str = ":number";
    const TAIL: &'static str = ":rest*";

    fn insert(&mut self, pattern: &str, route: usize) {
        // It takes a `-` for the end of a parameter, and of nothing else.
        let _ = self.0.insert(pattern, route);
    }

    fn find(&self, path: &str) -> Option<usize> {
        self.0.find(path).map(|(found, _)| *found)
    }
}

#[derive(Default)]
struct Wayfind {
    patterns: Vec<(String, usize)>,
    router: Option<wayfind::Router<usize>>,
}

impl Router for Wayfind {
    const PARAMETER: &'static str = "<number>";
    const TAIL: &'static str = "<*rest>";

    fn insert(&mut self, pattern: &str, route: usize) {
        self.patterns.push((pattern.to_owned(), route));
    }

    fn finish(&mut self) {
        let mut builder = wayfind::RouterBuilder::new();
        for (pattern, route) in self.patterns.drain(..) {
            builder.insert(&pattern, route).expect("no conflict");
        }
        self.router = Some(builder.build());
    }

    fn find(&self, path: &str) -> Option<usize> {
        self.router.as_ref()?.search(path).map(|found| *found.data())
    }
}

/// One router per exact host.
struct Hosts<R> {
    hosts: HashMap<String, R>,
}

impl<R: Router> Hosts<R> {
    fn new(routes: usize) -> Self {
        let mut hosts: HashMap<String, R> = HashMap::new();
        for at in (0..routes).filter(|at| !is_wildcard(*at)) {
            let below = kind(at).replace("{number}", R::PARAMETER).replace("**", R::TAIL);
            let router = hosts.entry(host_pattern(at, routes)).or_default();
            router.insert(&format!("/repos/acme/project-{at}/{below}"), at);
        }
        hosts.values_mut().for_each(R::finish);
        Self { hosts }
    }

    fn decide(&self, request: &Request) -> Option<usize> {
        let path = request.target.split('?').next()?;
        self.hosts.get(request.host.as_str())?.find(path)
    }
}

fn matching(criterion: &mut Criterion) {
    for routes in SIZES {
        let plan = Arc::new(plan(routes));
        let table = RouteTable::build(Arc::clone(&plan)).expect("a valid plan");
        let linear = Linear::new(&plan);
        let matchit = Hosts::<Matchit>::new(routes);
        let path_tree = Hosts::<PathTree>::new(routes);
        let wayfind = Hosts::<Wayfind>::new(routes);
        for (case, requests) in cases(routes) {
            let hit = case != "miss";
            for request in &requests {
                assert_eq!(matches!(decide(&table, request), Verdict::Allow(_)), hit);
                assert_eq!(linear.decide(request).is_some(), hit);
                for found in
                    [matchit.decide(request), path_tree.decide(request), wayfind.decide(request)]
                {
                    assert_eq!(found.is_some(), case == "exact", "{}", request.target);
                }
            }
            let mut group = criterion.benchmark_group(case);
            group.throughput(Throughput::Elements(1));
            let mut next = requests.iter().cycle();
            let mut request = move || next.next().expect("a cycle");
            group.bench_function(BenchmarkId::new("sallygate", routes), |bencher| {
                bencher.iter(|| black_box(decide(&table, black_box(request()))));
            });
            group.bench_function(BenchmarkId::new("linear", routes), |bencher| {
                bencher.iter(|| black_box(linear.decide(black_box(request()))));
            });
            if case != "wildcard" {
                group.bench_function(BenchmarkId::new("matchit", routes), |bencher| {
                    bencher.iter(|| black_box(matchit.decide(black_box(request()))));
                });
                group.bench_function(BenchmarkId::new("path-tree", routes), |bencher| {
                    bencher.iter(|| black_box(path_tree.decide(black_box(request()))));
                });
                group.bench_function(BenchmarkId::new("wayfind", routes), |bencher| {
                    bencher.iter(|| black_box(wayfind.decide(black_box(request()))));
                });
            }
            group.finish();
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(50)
        .warm_up_time(std::time::Duration::from_millis(500))
        .measurement_time(std::time::Duration::from_secs(2));
    targets = matching
}
criterion_main!(benches);
