//! The loader of plans.

use std::sync::Arc;

use sallygate_compiler::canonical::{self, Scheme};
use sallygate_compiler::explain::{Outcome, explain};
use sallygate_compiler::key::{MatchKey, NoHeaders};
use sallygate_compiler::plan::Plan;
use sallygate_compiler::table::{RouteTable, Verdict};

/// A plan that loads is itself after writing and reading, and its table answers every request, in
/// the same way for the data path and for a person.
pub fn plan(bytes: &[u8]) {
    let Ok(plan) = Plan::from_json("plan.json", bytes) else { return };
    let again = Plan::from_json("plan.json", plan.to_canonical_json().as_bytes());
    assert_eq!(again.as_ref().ok(), Some(&plan), "a plan is not what it was");
    let Ok(table) = RouteTable::build(Arc::new(plan)) else { return };
    for (host, target) in [("api.github.com", "/"), ("a.b.c", "/v1/x?a=1"), ("10.0.0.1", "//")] {
        ask(&table, host, target);
    }
    let own = table.plan().egress_routes.iter().take(16).flat_map(|route| &route.r#match.hosts);
    for host in own {
        ask(&table, host.trim_start_matches("*").trim_start_matches("*."), "/v1");
    }
}

fn ask(table: &RouteTable, host: &str, target: &str) {
    let (Ok(host), Ok(target)) =
        (canonical::host(host.as_bytes()), canonical::target(target.as_bytes()))
    else {
        return;
    };
    for method in ["GET", "POST", "X"] {
        let key = MatchKey {
            scheme: Scheme::Https,
            host: &host,
            port: 443,
            method,
            target: &target,
            headers: &NoHeaders,
        };
        let denied = matches!(table.find(&key), Verdict::Deny(_));
        assert_eq!(denied, explain(table, &key).outcome == Outcome::Deny, "{key:?}");
    }
}
