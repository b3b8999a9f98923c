//! `sallygate.internal`: what the proxy itself tells a sandbox, about that sandbox only.

use std::time::Duration;

use http::Method;
use sallygate_compiler::plan::Route;
use serde_json::{Value, json};

use super::Exchange;
use super::authorize::unruled;
use super::parse::RequestHead;
use crate::approval::Approvals;
use crate::clock;
use crate::denial::{Code, Denial};
use crate::meter::Tally;
use crate::plan::Sandbox;

/// The name under which a sandbox reaches the proxy. It is never resolved.
const HOST: &str = "sallygate.internal";
const APPROVALS: &str = "/v1/approvals/";
/// How often a request that waits looks whether it was decided somewhere else.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Routes that one answer lists.
const ROUTES_MAX: usize = 500;

/// Whether the request is for the proxy.
pub(super) fn is_own(head: &RequestHead) -> bool {
    head.authority.host.as_str() == HOST
}

/// Where a sandbox asks about an approval.
pub(super) fn approval_url(id: &str) -> String {
    format!("http://{HOST}{APPROVALS}{id}")
}

/// Answers a request for the proxy.
pub(super) async fn answer(
    head: &RequestHead,
    sandbox: &Sandbox,
    (approvals, tally): (&Approvals, &Tally),
    now_unix: i64,
) -> Result<Value, Denial> {
    if head.method != Method::GET && head.method != Method::HEAD {
        return Err(Denial::new(Code::NoRoute, "the proxy itself answers to GET and HEAD only"));
    }
    let path = head.target.path();
    if path == "/v1/me" {
        return Ok(me(sandbox, tally));
    }
    // Another sandbox's approval is answered as one that does not exist.
    let missing = || Denial::new(Code::NoRoute, "there is no such page or approval");
    let id = path.strip_prefix(APPROVALS).ok_or_else(missing)?;
    let found = match &sandbox.approver {
        Some(approver) => approver.find(&sandbox.id, id).await.map_err(|e| unruled(&e))?,
        None => approvals.get(id, now_unix),
    };
    let own = found.filter(|approval| *approval.sandbox == *sandbox.id);
    own.map(|approval| json!(approval)).ok_or_else(missing)
}

fn me(sandbox: &Sandbox, tally: &Tally) -> Value {
    let routes = &sandbox.plan.table.plan().egress_routes;
    let listed: Vec<Value> = routes.iter().take(ROUTES_MAX).map(route).collect();
    json!({
        "sandbox": &*sandbox.id,
        "profile": &*sandbox.plan.profile,
        "plan": &*sandbox.plan.digest,
        "expiresUnix": sandbox.expires_unix,
        "routes": listed,
        "routesTotal": routes.len(),
        "usage": tally.of_sandbox(&sandbox.id),
        "howToAsk": "send the request: a route that holds answers 403 approval_pending with a \
                     pollUrl; for anything else ask the operator, with the decision id",
    })
}

fn route(route: &Route) -> Value {
    let wanted = &route.r#match;
    json!({
        "route": route.route_id,
        "action": route.action.as_str(),
        "hosts": wanted.hosts,
        "ports": wanted.ports,
        "methods": wanted.methods,
        "paths": wanted.paths,
        "reason": route.reason,
        "limits": route.limits,
    })
}

/// How long a request that was answered with `denial` may go on waiting instead.
pub(super) fn time_left(denial: &Denial, x: &Exchange) -> Option<Duration> {
    if denial.code != Code::ApprovalPending {
        return None;
    }
    let routes = &x.sandbox.as_ref()?.plan.table.plan().egress_routes;
    let id = denial.route.as_deref()?;
    let route = routes.iter().find(|route| route.route_id == id)?;
    let bound = Duration::from_millis(route.timeouts.approval_ms?);
    let waited = clock::now().saturating_duration_since(x.timings.began);
    let left = bound.checked_sub(waited).filter(|left| !left.is_zero())?;
    // What is decided elsewhere is not told here: it is asked for.
    let sandbox = x.sandbox.as_ref()?;
    Some(if sandbox.approver.is_some() { left.min(LOOK_EVERY) } else { left })
}
