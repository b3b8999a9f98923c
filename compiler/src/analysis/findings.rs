//! What is wrong with a plan as a whole: routes that contradict each other, and routes that can
//! never win.

use std::collections::HashSet;

use super::assertion::violations;
use super::conflict::conflicts;
use super::tree::Tree;
use super::tunnel::tunnels;
use super::unreachable::{Loss, Reach};
use crate::diagnostic::Diagnostic;
use crate::plan::{Action, Plan};
use crate::table::{Finding, Parsed, RouteIndex};

/// Everything that is wrong between the routes of a plan that are each sound.
pub(crate) fn findings(plan: &Plan, parsed: &[Parsed]) -> Vec<Finding> {
    let tree = Tree::new(plan, parsed);
    let mut findings = conflicts(&tree);
    tunnels(&tree, &mut findings);
    // A route that contradicts another is to be mended, not to be dropped.
    let reported: HashSet<_> = findings.iter().filter_map(|finding| finding.route).collect();
    let mut reach = Reach::new(&tree);
    for (at, _, _) in tree.routes().filter(|(at, ..)| !reported.contains(&RouteIndex(*at))) {
        if let Some(loss) = reach.loss(at) {
            findings.push(unreachable(&tree, at, &loss));
        }
    }
    violations(&tree, &mut findings);
    findings
}

fn unreachable(tree: &Tree<'_>, at: u32, loss: &Loss) -> Finding {
    let id = |at: u32| tree.route(at).map_or("", |route| route.route_id.as_str());
    let mut by: Vec<u32> = loss.by.iter().copied().collect();
    by.sort_by_key(|at| id(*at));
    let why = match by.as_slice() {
        [] => "no request meets all of its conditions".to_owned(),
        [one] => {
            let denies = tree.route(*one).is_some_and(|route| route.action == Action::Deny);
            let why = if denies { "a deny always wins" } else { "it comes first" };
            format!("`{}` matches everything that it matches, and {why}", id(*one))
        }
        [first @ .., last] => {
            let first: Vec<String> = first.iter().map(|at| format!("`{}`", id(*at))).collect();
            let (first, last) = (first.join(", "), id(*last));
            format!("{first} and `{last}` together match everything that it matches")
        }
    };
    let message = format!("route `{}` can never win: {why}", id(at));
    let mut diagnostic = Diagnostic::warning("UNREACHABLE_ROUTE", message);
    diagnostic.witness = loss.witness.as_ref().map(ToString::to_string);
    let other = by.first().map(|by| (RouteIndex(*by), format!("route `{}` is here", id(*by))));
    Finding { diagnostic, route: Some(RouteIndex(at)), other, assertion: None }
}
