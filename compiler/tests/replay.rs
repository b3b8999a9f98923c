//! What a replay says of a record is true of every request that the record may be of.

#![expect(clippy::unwrap_used, reason = "a panic here fails the test")]

mod universe;

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use sallygate_compiler::analysis::{By, Change, How, Recorded, replay};
use sallygate_compiler::canonical::{self, Scheme};
use sallygate_compiler::plan::{Action, Match, Unmatched};
use sallygate_compiler::table::{RouteTable, Verdict};
use universe::{Judge, Request, plan, requests, route, routes, unmatched};

/// What a plan's own record says of its decision; `None` for what goes through a tunnel.
fn how(request: &Request, judge: &Judge<'_>, table: &RouteTable) -> Option<How> {
    if judge.outcome(request).0 == "tunnel" {
        return None;
    }
    Some(match request.verdict(table) {
        Verdict::Allow(route) | Verdict::Hold(route) | Verdict::Deny(route) => {
            How::Route(table.route(route).unwrap().route_id.clone())
        }
        Verdict::NoRoute { .. } => How::NoRoute,
        Verdict::Passthrough => How::Passthrough,
        Verdict::Inspect(_) => unreachable!("no route here has a block"),
    })
}

fn recorded(request: &Request, path: bool, decided: Option<(By, How)>) -> Recorded {
    Recorded {
        scheme: request.scheme,
        host: canonical::host(request.host.as_bytes()).unwrap(),
        port: request.port,
        method: Some(request.method.to_owned()),
        path: path.then(|| request.path.to_owned()),
        decided,
    }
}

/// Every request of the universe by what would be on record of it.
fn check(old: &RouteTable, new: &RouteTable, path: bool) -> Result<(), TestCaseError> {
    let mut records: Vec<(Recorded, BTreeSet<bool>)> = Vec::new();
    let mut known: std::collections::HashMap<Recorded, usize> = std::collections::HashMap::new();
    let (was, is) = (Judge::new(old), Judge::new(new));
    for request in requests() {
        let Some(how) = how(&request, &was, old) else { continue };
        let record = recorded(&request, path, Some((By::Old, how)));
        let at = *known.entry(record.clone()).or_insert_with(|| {
            records.push((record, BTreeSet::new()));
            records.len() - 1
        });
        let same = was.outcome(&request) == is.outcome(&request);
        records.get_mut(at).unwrap().1.insert(same);
    }
    let asked: Vec<Recorded> = records.iter().map(|(record, _)| record.clone()).collect();
    for ((record, found), change) in records.iter().zip(replay(old, new, &asked)) {
        let expected = match (found.contains(&true), found.contains(&false)) {
            (true, true) => "unknown",
            (true, false) => "same",
            _ => "differs",
        };
        let said = match change {
            Change::Same => "same",
            Change::Differs { .. } => "differs",
            Change::Unknown { .. } => "unknown",
            Change::Undecided => "undecided",
        };
        prop_assert_eq!(said, expected, "{:?}", record);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 30, ..ProptestConfig::default() })]

    #[test]
    fn a_record_is_decided_exactly_as_all_requests_that_it_may_be_of(
        first in routes(4, 2), second in routes(4, 2), kept in 0..4_usize,
        before in unmatched(), after in unmatched(), path in any::<bool>(),
    ) {
        let changed = first.iter().take(kept).cloned().chain(second.into_iter().skip(kept));
        let new = RouteTable::build(Arc::new(plan(changed.collect(), after)));
        let old = RouteTable::build(Arc::new(plan(first, before)));
        let (Ok(old), Ok(new)) = (old, new) else { return Ok(()) };
        check(&old, &new, path)?;
    }
}

/// What no route takes in either plan is alike in both, also for a path in a form that none takes.
#[test]
fn a_record_of_what_both_plans_leave_alone_is_the_same() {
    let allow = |host: &str, path: &str| {
        let (hosts, paths) = (vec![host.to_owned()], vec![path.to_owned()]);
        route(0, Action::Allow, Match { hosts, paths, ..Match::default() }, (1, false))
    };
    let table = |route| {
        let plan = plan(vec![route], Unmatched::Passthrough);
        RouteTable::build(Arc::new(plan)).unwrap()
    };
    let (old, new) = (table(allow("*.t", "/**")), table(allow("x.t", "/{x}/{y}/**")));
    let passed = Recorded {
        scheme: Scheme::Https,
        host: canonical::host(b"x.t").unwrap(),
        port: 443,
        method: Some("GET".into()),
        path: None,
        decided: Some((By::Old, How::Passthrough)),
    };
    assert_eq!(replay(&old, &new, &[passed]), [Change::Same]);
}

#[test]
fn a_record_that_its_plan_cannot_have_made_is_not_decided() {
    let table = RouteTable::build(Arc::new(plan(Vec::new(), Unmatched::Deny))).unwrap();
    let host = canonical::host(b"x.t").unwrap();
    let record = |decided| Recorded {
        scheme: Scheme::Https,
        host: host.clone(),
        port: 443,
        method: Some("GET".into()),
        path: None,
        decided,
    };
    let records = [
        record(Some((By::Old, How::Route("b/00".into())))),
        record(Some((By::Old, How::Passthrough))),
        record(Some((By::Old, How::NoRoute))),
        record(None),
    ];
    let changes = replay(&table, &table, &records);
    assert_eq!(changes, [Change::Undecided, Change::Undecided, Change::Same, Change::Same]);
}
