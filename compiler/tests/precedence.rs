//! The table decides as page 02 §4 says, compared with a plain reading of it: look at every
//! route, keep those that match, take the best.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a specification is to be read; a panic in it fails the test"
)]

mod specification;

use std::sync::Arc;

use proptest::prelude::*;
use sallygate_compiler::canonical::{self, Scheme, Target};
use sallygate_compiler::content::Content;
use sallygate_compiler::diagnostic::Severity;
use sallygate_compiler::key::MatchKey;
use sallygate_compiler::plan::{
    Action, Clear, Condition, CredentialReference, Injection, InjectionKind, Limits, Match, Plan,
    Route, Timeouts, Unmatched, Upstream,
};
use sallygate_compiler::table::{RouteTable, Verdict};
use specification::{Fields, Rank, Request, outcome, specification};

fn find(table: &RouteTable, request: &Request) -> Verdict {
    let host = canonical::host(request.host.as_bytes()).unwrap();
    let target: Target<'_> = canonical::target(request.target.as_bytes()).unwrap();
    let headers = Fields(&request.headers);
    let key = MatchKey {
        scheme: request.scheme,
        host: &host,
        port: request.port,
        method: &request.method,
        target: &target,
        headers: &headers,
    };
    table.find_read(&key, &request.content)
}

fn route(id: usize, action: Action, wanted: Match) -> Route {
    Route {
        route_id: format!("b/{id:02}"),
        binding_id: "b".into(),
        action,
        reason: None,
        r#match: wanted,
        upstream: Upstream::default(),
        inject: Vec::new(),
        clear: Clear::default(),
        limits: Limits::default(),
        usage: None,
        timeouts: Timeouts::default(),
    }
}

fn plan(routes: Vec<Route>, unmatched: Unmatched) -> Plan {
    let mut plan = Plan {
        schema_version: 1,
        digest: String::new(),
        organization_id: "o".into(),
        sandbox_profile_id: "p".into(),
        version: 1,
        unmatched,
        image: None,
        egress_routes: routes,
        credentials: vec![CredentialReference {
            connection_id: "c".into(),
            secret_type: "value".into(),
            slot_key: None,
            resolver_key: None,
            scope: serde_json::Map::new(),
        }],
        placeholders: Vec::new(),
        artifacts: Vec::new(),
        workspace_sources: Vec::new(),
        runtime_clients: Vec::new(),
        agent_runtimes: Vec::new(),
        assertions: Vec::new(),
    };
    plan.seal();
    plan
}

fn texts(all: &[&'static str]) -> impl Strategy<Value = String> + use<> {
    proptest::sample::select(all.to_vec()).prop_map(str::to_owned)
}

fn condition(name: &'static str) -> impl Strategy<Value = Condition> {
    let equals = texts(&["1", "2"]).prop_map(|value| (Some(value), None)).boxed();
    let present = any::<bool>().prop_map(|present| (None, Some(present))).boxed();
    prop_oneof![equals, present].prop_map(move |(equals, present)| Condition {
        name: name.into(),
        equals,
        present,
    })
}

fn pattern() -> impl Strategy<Value = Match> {
    let hosts = ["a.b.c", "b.c", "x.b.c", "c", "*.b.c", "*.c", "**.b.c", "**.c", "*", "127.0.0.1"];
    let paths = [
        "/",
        "/**",
        "/a",
        "/a/",
        "/a/**",
        "/b",
        "/{x}",
        "/{x}/**",
        "/a/b",
        "/a/{y}",
        "/{x}/b",
        "/{x}/{y}",
        "/a/b/**",
        "/{x}/b/**",
        "/a/{y}/**",
        "/{x}/{y}/**",
        "/a/b/c",
        "/a/{y}/c",
    ];
    let methods = proptest::sample::subsequence(vec!["FOO", "GET", "POST"], 1..3)
        .prop_map(|list| list.into_iter().map(str::to_owned).collect::<Vec<_>>());
    let ports = proptest::sample::subsequence(vec![80_u16, 443, 8443], 1..3);
    (
        (
            prop_oneof![4 => Just(Scheme::Https), 1 => Just(Scheme::Http)],
            proptest::collection::vec(texts(&hosts), 1..3),
            proptest::option::weighted(0.3, ports),
            proptest::collection::vec(texts(&paths), 1..4),
            proptest::option::weighted(0.5, methods),
        ),
        proptest::option::weighted(0.15, condition("h")),
        proptest::option::weighted(0.15, condition("a")),
        proptest::bool::weighted(0.3),
        proptest::bool::weighted(0.3),
    )
        .prop_map(|((scheme, hosts, ports, paths, methods), h, q, slash, empty)| Match {
            scheme,
            hosts,
            ports,
            paths,
            methods,
            headers: h.into_iter().collect(),
            query: q.into_iter().collect(),
            allow_encoded_slash: slash,
            allow_empty_segments: empty,
            block: None,
        })
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![8 => Just(Action::Allow), 2 => Just(Action::Deny)]
}

fn request() -> impl Strategy<Value = Request> {
    let hosts =
        ["a.b.c", "x.b.c", "y.x.b.c", "b.c", "c", "z.c", "z.y.c", "127.0.0.1", "other", "abc"];
    let paths = [
        "/",
        "/a",
        "/a/",
        "/b",
        "/a/b",
        "/a/b/c",
        "/b/b",
        "/b/c/d",
        "/a/c",
        "/a//b",
        "//",
        "//a",
        "/a%2Fb",
        "/a/b%2Fc/c",
        "/a/b/c/d",
        "/z/",
    ];
    let queries = ["", "?", "?a=1", "?a=2", "?a=1&a=2", "?%61=1&a=1", "?b=1", "?a", "?&a=1&"];
    (
        prop_oneof![4 => Just(Scheme::Https), 1 => Just(Scheme::Http)],
        texts(&hosts),
        proptest::sample::select(vec![80_u16, 443, 443, 443, 8443]),
        texts(&["GET", "POST", "FOO", "BAR", "get"]),
        texts(&paths),
        texts(&queries),
        proptest::collection::vec(texts(&["1", "2"]), 0..2),
    )
        .prop_map(|(scheme, host, port, method, path, query, values)| Request {
            scheme,
            host,
            port,
            method,
            target: path + &query,
            headers: vec![("h".into(), values)],
            content: Content::UNREAD,
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn the_table_decides_as_the_specification_says(
        routes in proptest::collection::vec((action(), pattern(), any::<bool>()), 1..12),
        unmatched in prop_oneof![Just(Unmatched::Deny), Just(Unmatched::Passthrough)],
        held in proptest::bool::weighted(0.1),
        requests in proptest::collection::vec(request(), 16),
    ) {
        // One effect for all, so that nothing conflicts and ties fall to the route id.
        let routes = routes.into_iter().enumerate().map(|(at, (action, wanted, _))| {
            let action = if held && action == Action::Allow { Action::Hold } else { action };
            route(at, action, wanted)
        });
        let plan = plan(routes.collect(), unmatched);
        let table = RouteTable::build(Arc::new(plan.clone())).expect("no conflict");
        for request in requests {
            prop_assert_eq!(find(&table, &request), specification(&plan, &request), "{:?}", request);
        }
    }

    #[test]
    fn a_host_with_a_credential_is_never_passed_through(
        patterns in proptest::collection::vec((pattern(), any::<bool>()), 1..8),
        requests in proptest::collection::vec(request(), 16),
    ) {
        let routes = patterns.into_iter().enumerate().map(|(at, (wanted, injects))| {
            let mut route = route(at, Action::Allow, wanted);
            if injects && !route.r#match.hosts.iter().any(|host| host == "*") {
                let kind = InjectionKind::Bearer;
                route.inject.push(Injection { kind, ..Injection::default() });
            }
            route
        });
        let plan = plan(routes.collect(), Unmatched::Passthrough);
        // Routes with and without the credential may conflict; that is the next test's business.
        let Ok(table) = RouteTable::build(Arc::new(plan.clone())) else { return Ok(()) };
        for request in requests {
            prop_assert_eq!(find(&table, &request), specification(&plan, &request), "{:?}", request);
        }
    }

    #[test]
    fn a_table_is_built_exactly_when_no_request_has_two_best_routes(
        patterns in proptest::collection::vec((action(), pattern()), 2..6),
        requests in proptest::collection::vec(request(), 16),
    ) {
        let routes = patterns.into_iter().enumerate().map(|(at, (action, wanted))| {
            let mut route = route(at, action, wanted);
            route.limits.concurrency = Some(u32::try_from(at).unwrap() + 1);
            route
        });
        let plan = plan(routes.collect(), Unmatched::Deny);
        match RouteTable::build(Arc::new(plan.clone())) {
            Ok(_) => for request in &requests {
                prop_assert!(!has_tie(&plan, request), "{:?}", request);
            },
            Err(found) => {
                let errors = found.iter().filter(|d| d.severity == Severity::Error);
                for conflict in errors {
                    prop_assert_eq!(conflict.code.as_ref(), "ROUTE_CONFLICT", "{}", found);
                    let request = witness(conflict.witness.as_deref().unwrap());
                    prop_assert!(has_tie(&plan, &request), "{} {:?}", conflict, request);
                }
            }
        }
    }
}

/// Whether two allowing routes match with ranks that differ in nothing but the route id.
fn has_tie(plan: &Plan, request: &Request) -> bool {
    let allowing = plan.egress_routes.iter().filter(|route| route.action == Action::Allow);
    let ranks: Vec<Vec<Rank>> = allowing.filter_map(|r| outcome(r, request).ok()).collect();
    let same = |a: &Rank, b: &Rank| (a.0, a.1, &a.2, a.3, a.4) == (b.0, b.1, &b.2, b.3, b.4);
    ranks.iter().enumerate().any(|(at, first)| {
        let others = ranks[..at].iter().flatten();
        others.into_iter().any(|b| first.iter().any(|a| same(a, b)))
    })
}

fn witness(text: &str) -> Request {
    let (line, header) = text.split_once(" (").map_or((text, None), |(l, h)| (l, Some(h)));
    let (method, url) = line.split_once(' ').unwrap();
    let (scheme, rest) = url.split_once("://").unwrap();
    let scheme = if scheme == "https" { Scheme::Https } else { Scheme::Http };
    let (host, path) = rest.split_at(rest.find('/').unwrap());
    let authority = canonical::authority(host.as_bytes(), Some(scheme.default_port())).unwrap();
    let value = header.and_then(|h| h.trim_end_matches(')').split_once(": "));
    let headers = value.map(|(n, v)| (n.to_owned(), vec![v.to_owned()])).into_iter().collect();
    Request {
        scheme,
        host: authority.host.to_string(),
        port: authority.port,
        method: method.to_owned(),
        target: path.to_owned(),
        headers,
        content: Content::UNREAD,
    }
}
