//! What comparing two plans costs, to be counted by callgrind or timed from outside:
//! `diff_cost ROUTES CHANGED` prints how many regions there are.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measurement: it prints its result, and stops when it cannot be made"
)]

use std::sync::Arc;

use sallygate_compiler::analysis::diff;
use sallygate_compiler::plan::Plan;
use sallygate_compiler::table::RouteTable;
use serde_json::{Value, json};

fn main() {
    let number = |at| std::env::args().nth(at).and_then(|text| text.parse::<usize>().ok());
    let (routes, changed) = (number(1).unwrap_or(10_000), number(2).unwrap_or(100));
    let (old, new) = (table(routes, 0), table(routes, changed));
    let found = diff(&old, &new);
    println!("{} regions, complete: {}", found.regions.len(), found.complete);
}

/// Routes on a hundred hosts, a quarter of them with a parameter; the first `changed` write.
fn table(routes: usize, changed: usize) -> RouteTable {
    let route = |at: usize| -> Value {
        let method = if at < changed { "POST" } else { "GET" };
        let paths = match at % 4 {
            0 => format!("/repos/{{owner}}/r{at}/issues"),
            1 => format!("/orgs/o{at}/**"),
            2 => format!("/v1/things/t{at}"),
            _ => format!("/v1/things/t{at}/parts/{{part}}"),
        };
        json!({
            "routeId": format!("b/{at:06}"), "bindingId": "b",
            "match": {
                "hosts": [format!("h{}.test", at % 100)], "paths": [paths], "methods": [method],
            },
        })
    };
    let routes: Vec<Value> = (0..routes).map(route).collect();
    let text = json!({
        "schemaVersion": 1, "organizationId": "o", "sandboxProfileId": "p", "version": 1,
        "egressRoutes": routes,
    });
    let plan = Plan::from_json("plan.json", text.to_string().as_bytes()).unwrap();
    RouteTable::build(Arc::new(plan)).unwrap()
}
