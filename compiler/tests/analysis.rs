//! What the analysis claims about all requests is true of every request of a small universe, and
//! nothing that is true there is missed.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a panic here fails the test"
)]

mod specification;
mod universe;

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use sallygate_compiler::analysis::{Witness, diff};
use sallygate_compiler::canonical;
use sallygate_compiler::content::Content;
use sallygate_compiler::pattern::HostPattern;
use sallygate_compiler::plan::{Action, Assertion, CredentialOnly, Match, Route, Unmatched};
use sallygate_compiler::table::{HostClass, RouteTable, Verdict};
use specification::Rank;
use universe::{Judge, Request, outcome, pattern, plan, requests, route, routes, unmatched};

fn witnessed(witness: &Witness, table: &RouteTable) -> String {
    outcome(table, witness.connect(table), witness.verdict(table).unwrap())
}

fn check_diff(old: &RouteTable, new: &RouteTable) -> Result<(), TestCaseError> {
    let found = diff(old, new);
    prop_assert!(found.complete);
    for region in &found.regions {
        let (was, is) = (witnessed(&region.witness, old), witnessed(&region.witness, new));
        prop_assert_ne!(was, is, "{} {}", region, region.witness);
    }
    let (was, is) = (Judge::new(old), Judge::new(new));
    let differs = requests().into_iter().find(|r| was.outcome(r) != is.outcome(r));
    if let Some(request) = differs {
        prop_assert!(!found.regions.is_empty(), "missed {:?}", request);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, ..ProptestConfig::default() })]

    #[test]
    fn plans_differ_exactly_where_the_diff_says(
        first in routes(4, 2), second in routes(4, 2), kept in 0..4_usize,
        before in unmatched(), after in unmatched(),
    ) {
        // Most of what is compared is the same in both.
        let changed = first.iter().take(kept).cloned().chain(second.into_iter().skip(kept));
        let new = RouteTable::build(Arc::new(plan(changed.collect(), after)));
        let old = RouteTable::build(Arc::new(plan(first, before)));
        let (Ok(old), Ok(new)) = (old, new) else { return Ok(()) };
        check_diff(&old, &new)?;
        prop_assert!(diff(&old, &old).regions.is_empty());
    }
}

fn taken_by(table: &RouteTable, request: &Request) -> Option<usize> {
    match request.verdict(table) {
        Verdict::Allow(route) | Verdict::Hold(route) | Verdict::Deny(route) => {
            usize::try_from(route.0).ok()
        }
        Verdict::NoRoute { .. } | Verdict::Passthrough | Verdict::Inspect(_) => None,
    }
}

fn tunnelled_by(table: &RouteTable, request: &Request) -> Option<usize> {
    let host = canonical::host(request.host.as_bytes()).unwrap();
    match table.host_class(&host, request.port) {
        HostClass::Tunnel(route) => usize::try_from(route.0).ok(),
        HostClass::Intercept | HostClass::Unknown | HostClass::Passthrough => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn a_route_is_unreachable_exactly_when_no_request_makes_it_win(routes in routes(5, 1)) {
        let plan = plan(routes, Unmatched::Deny);
        let (Some(table), found) = RouteTable::build_with_warnings(Arc::new(plan.clone())) else {
            return Ok(());
        };
        let all = requests();
        let mut winners: BTreeSet<usize> = all.iter().filter_map(|r| taken_by(&table, r)).collect();
        winners.extend(all.iter().filter_map(|r| tunnelled_by(&table, r)));
        for (at, route) in plan.egress_routes.iter().enumerate() {
            let start = format!("route `{}` can never win", route.route_id);
            let warned = found.iter().any(|d| d.message.starts_with(&start));
            prop_assert_eq!(warned, !winners.contains(&at), "{} {:#?}", &found, route);
        }
    }
}

fn lets_out(outcome: &str) -> bool {
    !matches!(outcome, "deny" | "no_route")
}

/// The set of an assertion as a plan of its own.
fn set(assertion: &Assertion) -> RouteTable {
    let (wanted, action) = match assertion {
        Assertion::Never(wanted) => (wanted.clone(), Action::Deny),
        Assertion::Only(wanted) => (wanted.clone(), Action::Allow),
        Assertion::CredentialOnly(only) => {
            (Match { hosts: only.hosts.clone(), ..Match::default() }, Action::Allow)
        }
    };
    let paths = if wanted.paths.is_empty() { vec!["/**".into()] } else { wanted.paths.clone() };
    let (allow_encoded_slash, allow_empty_segments) = (true, true);
    let wanted = Match { paths, allow_encoded_slash, allow_empty_segments, ..wanted };
    let alone = plan(vec![route(0, action, wanted, (1, false))], Unmatched::Deny);
    RouteTable::build(Arc::new(alone)).unwrap()
}

/// Whether an assertion fails for one request, read plainly.
fn breaks(assertion: &Assertion, set: &RouteTable, request: &Request, judge: &Judge<'_>) -> bool {
    let outcome = judge.outcome(request);
    // Without ports it is about every port: the same request at the default one tells.
    let named = |wanted: &Match| match wanted.ports {
        Some(_) => taken_by(set, request).is_some(),
        None => {
            let port = request.scheme.default_port();
            taken_by(set, &Request { port, ..request.clone() }).is_some()
        }
    };
    match assertion {
        Assertion::Never(wanted) => lets_out(outcome.0) && named(wanted),
        Assertion::Only(wanted) => lets_out(outcome.0) && !named(wanted),
        Assertion::CredentialOnly(only) => {
            let host = canonical::host(request.host.as_bytes()).unwrap();
            let named = only.hosts.iter().any(|h| HostPattern::parse(h).unwrap().matches(&host));
            outcome.1.contains("Bearer") && !named
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn an_assertion_is_violated_exactly_when_some_request_breaks_it(
        routes in routes(4, 1), unmatched in unmatched(), wanted in pattern(), kind in 0..3_u8,
    ) {
        let mut plan = plan(routes, unmatched);
        let assertion = match kind {
            0 => Assertion::Never(wanted),
            1 => Assertion::Only(wanted),
            _ => {
                let hosts = wanted.hosts;
                Assertion::CredentialOnly(CredentialOnly { credential: "c".into(), hosts })
            }
        };
        let Ok(table) = RouteTable::build(Arc::new(plan.clone())) else { return Ok(()) };
        let set = set(&assertion);
        let judge = Judge::new(&table);
        let broken = requests().into_iter().find(|r| breaks(&assertion, &set, r, &judge));
        plan.assertions = vec![assertion];
        let found = RouteTable::build(Arc::new(plan)).err();
        let violated = found.as_ref().is_some_and(|f| f.iter().any(|d| d.code == "ASSERTION_VIOLATED"));
        prop_assert_eq!(violated, broken.is_some(), "{:?} {:?}", found, broken);
    }
}

/// The request for the specification, which reads it anew.
fn plainly(request: &Request) -> specification::Request {
    let mut headers: Vec<(String, Vec<String>)> = Vec::new();
    for (name, value) in &request.headers {
        match headers.iter_mut().find(|(known, _)| known == name) {
            Some((_, values)) => values.push((*value).to_owned()),
            None => headers.push(((*name).to_owned(), vec![(*value).to_owned()])),
        }
    }
    specification::Request {
        scheme: request.scheme,
        host: request.host.to_owned(),
        port: request.port,
        method: request.method.to_owned(),
        target: format!("{}{}", request.path, request.query),
        headers,
        content: Content::UNREAD,
    }
}

/// Whether two routes match with precedence that differs in nothing, and do different things.
fn contradict(routes: &[Route], request: &specification::Request) -> bool {
    let allowing = routes.iter().filter(|r| matches!(r.action, Action::Allow | Action::Hold));
    let matching: Vec<(&Route, Vec<Rank>)> =
        allowing.filter_map(|r| Some((r, specification::outcome(r, request).ok()?))).collect();
    let same = |a: &Rank, b: &Rank| (a.0, a.1, &a.2, a.3, a.4) == (b.0, b.1, &b.2, b.3, b.4);
    let effect = |r: &Route| (r.action, r.inject.clone(), r.limits.clone());
    matching.iter().enumerate().any(|(at, (first, ranks))| {
        matching.iter().take(at).any(|(second, others)| {
            effect(first) != effect(second)
                && ranks.iter().any(|a| others.iter().any(|b| same(a, b)))
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn routes_conflict_exactly_when_some_request_is_matched_by_both_alike(
        routes in routes(3, 2),
    ) {
        // That tunnels contradict each other is told apart from requests, by host and port.
        let routes: Vec<Route> =
            routes.into_iter().filter(|route| route.action != Action::Tunnel).collect();
        let plan = plan(routes.clone(), Unmatched::Deny);
        let found = RouteTable::build(Arc::new(plan)).err();
        let conflicts = found.as_ref().is_some_and(|f| f.iter().any(|d| d.code == "ROUTE_CONFLICT"));
        let all = requests();
        let shown = all.iter().find(|request| contradict(&routes, &plainly(request)));
        prop_assert_eq!(conflicts, shown.is_some(), "{:?} {:?}", found, shown);
    }
}
