//! Step four: from a verdict to a permit, or to a denial.
//!
//! INVARIANT: a [`Permit`] exists only for a request that a route of the caller's plan allows and
//! that is within that route's limits. Only this file makes one; injecting and connecting take
//! one, so nothing can be sent that was not authorized.

use std::sync::{Arc, LazyLock};

use http::header::CONTENT_LENGTH;
use pingora::http::RequestHeader;
use sallygate_compiler::content::Unreadable;
use sallygate_compiler::plan::{Timeouts, Upstream};
use sallygate_compiler::table::{Miss, RouteIndex, Verdict};

use super::parse::RequestHead;
use super::{Shared, matching};
use crate::denial::{Code, Denial, NextStep};
use crate::plan::{ActivePlan, ActiveRoute, Place, Sandbox};
use crate::upstream::{self, Destination};

/// Proof that a request is authorized, with what the rest of its way needs.
#[derive(Debug)]
pub(crate) struct Permit {
    plan: Arc<ActivePlan>,
    /// `None`: passed through by a plan that says so, without any credential.
    route: Option<RouteIndex>,
    body_bytes_max: Option<u64>,
    _place: Option<Place>,
}

impl Permit {
    pub(crate) fn route(&self) -> Option<&ActiveRoute> {
        self.route.and_then(|index| self.plan.route(index))
    }

    pub(crate) fn destination(&self) -> &Destination {
        static OPEN: LazyLock<Option<Destination>> =
            LazyLock::new(|| Destination::new(&Upstream::default(), &Timeouts::default()).ok());
        static CLOSED: LazyLock<Destination> = LazyLock::new(Destination::nowhere);
        match self.route() {
            Some(route) => &route.destination,
            None => OPEN.as_ref().unwrap_or(&CLOSED),
        }
    }

    pub(crate) fn body_bytes_max(&self) -> Option<u64> {
        self.body_bytes_max
    }
}

/// Turns what the table found into a permit, within the limits of the route.
pub(super) fn permit(
    verdict: Verdict,
    sandbox: &Sandbox,
    head: &RequestHead,
    request: &RequestHeader,
    shared: &Shared,
) -> Result<Permit, Denial> {
    let plan = &sandbox.plan;
    match verdict {
        Verdict::Allow(index) => allowed(index, sandbox, request, shared),
        Verdict::Passthrough => {
            Ok(Permit { plan: Arc::clone(plan), route: None, body_bytes_max: None, _place: None })
        }
        Verdict::Deny(index) => Err(denied(plan, index)),
        // Approvals live in the control service; without one nobody could ever say yes.
        Verdict::Hold(index) => Err(denied(plan, index)),
        // Unread content is no reason to let anything through.
        Verdict::Inspect(_) => Err(no_route(Miss::Content, plan, head, request)),
        Verdict::NoRoute { reason, .. } => Err(no_route(reason, plan, head, request)),
    }
}

/// Adds why content could not be read to a refusal by the plan.
pub(super) fn because(mut denial: Denial, unclear: Option<Unreadable>) -> Denial {
    if let (Code::NoRoute | Code::Denied, Some(unclear)) = (denial.code, unclear) {
        denial.detail = format!("{}: {unclear}", denial.detail).into();
    }
    denial
}

fn allowed(
    index: RouteIndex,
    sandbox: &Sandbox,
    request: &RequestHeader,
    shared: &Shared,
) -> Result<Permit, Denial> {
    let plan = &sandbox.plan;
    let gone = || Denial::new(Code::NoRoute, "the route is gone");
    let (route, words) = plan.route(index).zip(plan.words(index)).ok_or_else(gone)?;
    let limits = &words.limits;
    if let (Some(max), Some(length)) = (limits.max_request_bytes, content_length(request))
        && length > max
    {
        return Err(too_large(max).route(&*route.id));
    }
    if let Some(rate) = &route.rate
        && let Err(early) = rate.limiter.check_key(&sandbox.id)
    {
        shared.metrics.rate_limited.with_label_values(&["route"]).inc();
        let wait = early
            .wait_time_from(governor::clock::Clock::now(&governor::clock::DefaultClock::default()));
        return Err(Denial::new(
            Code::RateLimited,
            format!("more than {} requests per minute", rate.per_minute),
        )
        .retry_after(wait.as_secs() + 1)
        .route(&*route.id));
    }
    let place = match &route.concurrency {
        None => None,
        Some(limit) => Some(limit.enter().ok_or_else(|| {
            shared.metrics.rate_limited.with_label_values(&["concurrency"]).inc();
            Denial::new(Code::RateLimited, "too many requests at one time")
                .retry_after(1)
                .route(&*route.id)
        })?),
    };
    if !route.injections.is_empty() && !shared.recorder.is_healthy() {
        return Err(Denial::new(
            Code::CredentialUnavailable,
            "the audit log cannot be written, so no credential is used",
        )
        .retry_after(5)
        .route(&*route.id));
    }
    Ok(Permit {
        plan: Arc::clone(plan),
        route: Some(index),
        body_bytes_max: limits.max_request_bytes,
        _place: place,
    })
}

pub(super) fn too_large(max: u64) -> Denial {
    Denial::new(Code::RequestTooLarge, format!("the body is larger than {max} bytes"))
}

fn content_length(request: &RequestHeader) -> Option<u64> {
    request.headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn denied(plan: &ActivePlan, index: RouteIndex) -> Denial {
    let words = plan.words(index);
    let reason = words.and_then(|w| w.reason.clone());
    let detail = reason.unwrap_or_else(|| "a route of the plan denies this request".into());
    let denial = Denial::new(Code::Denied, detail);
    match words {
        Some(route) => denial.route(route.route_id.as_str()),
        None => denial,
    }
}

fn no_route(
    reason: Miss,
    plan: &ActivePlan,
    head: &RequestHead,
    request: &RequestHeader,
) -> Denial {
    // An address in a refused range is told as such: no route could ever allow it by accident.
    if let (Miss::Host, Some(ip)) = (reason, head.authority.host.ip())
        && !upstream::allows(ip, &[])
    {
        return Denial::new(Code::AddressRefused, "sandboxes may not reach this address");
    }
    let path = |detail| Denial::new(Code::PathNotCanonical, detail);
    let miss = |detail| Denial::new(Code::NoRoute, detail);
    let mut denial = match reason {
        Miss::Host => miss("no route names this host and port"),
        Miss::Path => miss("no route on this host matches the path"),
        Miss::Method => miss("the path is allowed, but not with this method"),
        Miss::Condition => miss("a route matches but for its header or query conditions"),
        Miss::Content => miss("what the request asks for is outside of what is allowed"),
        Miss::EncodedSlash => {
            path("the path has an encoded slash, which no matching route accepts")
        }
        Miss::EmptySegment => {
            path("the path has an empty segment, which no matching route accepts")
        }
    };
    if reason == Miss::Method {
        denial.next_step = Some(NextStep::UseAllowedMethod);
    }
    denial.hint(matching::nearby(&plan.table, head, request))
}
