//! Requests for a plan that somebody else wrote.

use sallygate_compiler::pattern::{HostPattern, PathPattern, Segment};
use sallygate_compiler::plan::{Match, Plan};
use sallygate_compiler::table::{RouteTable, Verdict};

use super::workload::{Case, Request};

/// For up to `count` routes, spread over the plan, a request that the route was written for, and
/// one to the same host that was not. Those that the table decides otherwise are left out later.
pub(super) fn requests(plan: &Plan, count: usize) -> Vec<(Case, Vec<Request>)> {
    let step = plan.egress_routes.len().div_ceil(count).max(1);
    let chosen = || plan.egress_routes.iter().step_by(step).map(|route| &route.r#match);
    let of = |case: Case| (case, chosen().filter_map(|wanted| request(wanted, case)).collect());
    Case::ALL.map(of).into_iter().collect()
}

fn request(wanted: &Match, case: Case) -> Option<Request> {
    let pattern = HostPattern::parse(wanted.hosts.first()?).ok()?;
    let exact = matches!(pattern, HostPattern::Exact(_));
    let path = match case {
        Case::Exact if exact => path(wanted)?,
        Case::Wildcard if !exact => path(wanted)?,
        Case::Exact | Case::Wildcard => return None,
        Case::Miss => "/no/route/is/here".to_owned(),
    };
    let host = match pattern {
        HostPattern::Exact(_) => wanted.hosts.first()?.clone(),
        HostPattern::Single(suffix) | HostPattern::Multi(suffix) => format!("a.{suffix}"),
        HostPattern::Any => "any.example".to_owned(),
    };
    let method = wanted.methods.as_ref().and_then(|listed| listed.first());
    let request = Request::new(&host, method.map_or("GET", String::as_str), path).ok()?;
    let port = wanted.ports.as_ref().and_then(|listed| listed.first().copied());
    let port = port.unwrap_or(wanted.scheme.default_port());
    Some(Request { scheme: wanted.scheme, port, ..request })
}

fn path(wanted: &Match) -> Option<String> {
    let pattern = PathPattern::parse(wanted.paths.first()?).ok()?;
    let part = |segment: &Segment| match segment {
        Segment::Literal(text) => format!("/{text}"),
        Segment::Parameter(name) => format!("/{name}"),
    };
    let path: String = pattern.segments().iter().map(part).collect();
    Some(if path.is_empty() { "/".to_owned() } else { path })
}

/// Whether the table decides a request as its case says.
pub(super) fn meets(table: &RouteTable, request: &Request, case: Case) -> bool {
    let hit = match request.decide(table) {
        Some(Verdict::Allow(_) | Verdict::Hold(_) | Verdict::Deny(_)) => true,
        Some(Verdict::NoRoute { .. } | Verdict::Passthrough) => false,
        Some(Verdict::Inspect(_)) | None => return false,
    };
    match case {
        Case::Exact | Case::Wildcard => hit,
        Case::Miss => !hit,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_plan_of_ones_own_gets_requests_that_it_was_written_for() {
        let json = r#"{"schemaVersion":1,"organizationId":"o","sandboxProfileId":"p","version":1,
          "egressRoutes":[
           {"routeId":"a/1","bindingId":"a","match":{"hosts":["a.test"],"paths":["/x/{y}"],
            "methods":["PUT"],"ports":[8443]}},
           {"routeId":"a/2","bindingId":"a","match":{"hosts":["**.b.test"],"paths":["/**"]}}]}"#;
        let plan = Arc::new(Plan::from_json("plan", json.as_bytes()).unwrap());
        let table = RouteTable::build(Arc::clone(&plan)).unwrap();
        let cases = requests(&plan, 64).into_iter().map(|(case, requests)| {
            (case, requests.iter().filter(|request| meets(&table, request, case)).count())
        });
        // The miss at `**.b.test` is none: that route takes every path.
        let expected = [(Case::Exact, 1), (Case::Wildcard, 1), (Case::Miss, 1)];
        assert_eq!(cases.collect::<Vec<_>>(), expected);
    }
}
