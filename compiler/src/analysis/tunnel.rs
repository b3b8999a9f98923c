//! What goes through a tunnel is not seen, so nothing narrower can be said about its host.

use std::collections::HashSet;

use super::outcome::same_effect;
use super::tree::Tree;
use crate::diagnostic::Diagnostic;
use crate::pattern::PathPattern;
use crate::plan::{Action, Route};
use crate::table::{Finding, Parsed, RouteIndex};

pub(super) fn tunnels(tree: &Tree<'_>, findings: &mut Vec<Finding>) {
    let mut seen = HashSet::new();
    for (key, level) in &tree.levels {
        let Some(&tunnel) = level.tunnels.first() else { continue };
        for other in tree.chain(key.scheme, &key.host, key.port) {
            for &at in &other.routes {
                let (Some(route), Some(parsed)) = (tree.route(at), tree.parsed(at)) else {
                    continue;
                };
                let same_host = parsed.hosts.contains(&key.host);
                let clash = match route.action {
                    Action::Allow | Action::Hold => same_host,
                    Action::Deny => !is_total(route, parsed),
                    Action::Tunnel => false,
                };
                if clash && seen.insert((tunnel, at)) {
                    findings.push(narrower(tree, tunnel, at));
                }
            }
        }
        for &again in level.tunnels.iter().skip(1) {
            let (Some(a), Some(b)) = (tree.route(tunnel), tree.route(again)) else { continue };
            let plan = tree.plan();
            if !same_effect((plan, a), (plan, b)) && seen.insert((tunnel, again)) {
                findings.push(different(tree, tunnel, again));
            }
        }
    }
}

fn narrower(tree: &Tree<'_>, tunnel: u32, other: u32) -> Finding {
    let message = format!(
        "route `{}` names a host that `{}` tunnels: what goes through a tunnel is not seen",
        id(tree, other),
        id(tree, tunnel)
    );
    let diagnostic = Diagnostic::error("ROUTE_CONFLICT", message)
        .help("drop one of the two, or give them different hosts or ports");
    finding(tree, tunnel, other, diagnostic)
}

fn different(tree: &Tree<'_>, tunnel: u32, other: u32) -> Finding {
    let (a, b) = (id(tree, tunnel), id(tree, other));
    let message = format!("routes `{a}` and `{b}` tunnel the same host, and differ in how");
    let diagnostic = Diagnostic::error("ROUTE_CONFLICT", message).help("drop one of the two");
    finding(tree, tunnel, other, diagnostic)
}

fn finding(tree: &Tree<'_>, tunnel: u32, other: u32, diagnostic: Diagnostic) -> Finding {
    let related = (RouteIndex(tunnel), format!("route `{}` is here", id(tree, tunnel)));
    Finding { diagnostic, route: Some(RouteIndex(other)), other: Some(related), assertion: None }
}

fn id<'t>(tree: &'t Tree<'_>, at: u32) -> &'t str {
    tree.route(at).map_or("", |route| route.route_id.as_str())
}

fn is_total(route: &Route, parsed: &Parsed) -> bool {
    let everything = |path: &PathPattern| path.has_tail() && path.segments().is_empty();
    route.r#match.methods.is_none() && parsed.conditions == 0 && parsed.paths.iter().any(everything)
}
