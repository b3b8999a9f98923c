//! Step three: the request against the sandbox's table. All of policy happens in here.

use pingora::http::RequestHeader;
use sallygate_compiler::content::Content;
use sallygate_compiler::key::MatchKey;
use sallygate_compiler::plan::Action;
use sallygate_compiler::table::{RouteIndex, RouteTable, Verdict};

use super::authorize::Consent;
use super::parse::RequestHead;

/// What the plan says about this request.
pub(super) fn find(
    table: &RouteTable,
    (head, content): (&RequestHead, &Content),
    request: &RequestHeader,
) -> Verdict {
    table.find_read(&key(head, &request.headers), content)
}

/// Asks again for a request that is in flight: the route that would be taken now.
///
/// Content that was not read then cannot be read now: a plan that wants it ends the request.
pub(super) fn again(
    table: &RouteTable,
    (head, content): (&RequestHead, &Content),
    consent: Consent,
) -> Option<RouteIndex> {
    match table.find_read(&key(head, &head.headers), content) {
        Verdict::Allow(index) => Some(index),
        // Whoever was approved once stays so; whoever never asked does not get past a hold.
        Verdict::Hold(index) if consent == Consent::Given => Some(index),
        Verdict::Hold(_)
        | Verdict::Deny(_)
        | Verdict::NoRoute { .. }
        | Verdict::Passthrough
        | Verdict::Inspect(_) => None,
    }
}

/// Up to three routes that would have been allowed nearby, as a hint.
pub(super) fn nearby(
    table: &RouteTable,
    head: &RequestHead,
    request: &RequestHeader,
) -> Option<String> {
    let routes = table.nearby(&key(head, &request.headers), 3);
    let plan = table.plan();
    let lines: Vec<_> = routes
        .iter()
        .filter_map(|index| plan.egress_routes.get(index.0 as usize))
        .filter(|route| route.action == Action::Allow)
        .map(|route| {
            let methods =
                route.r#match.methods.as_ref().map_or("any method".into(), |m| m.join("|"));
            let block = route.r#match.block.as_ref();
            let block = block.map(|b| format!(" (some {})", b.as_str())).unwrap_or_default();
            format!("{methods} {}{block}", route.r#match.paths.join(" or "))
        })
        .collect();
    (!lines.is_empty()).then(|| format!("allowed on this host: {}", lines.join("; ")))
}

pub(super) fn key<'a>(head: &'a RequestHead, headers: &'a http::HeaderMap) -> MatchKey<'a> {
    MatchKey {
        scheme: head.scheme,
        host: &head.authority.host,
        port: head.authority.port,
        method: head.method.as_str(),
        target: &head.target,
        headers,
    }
}
