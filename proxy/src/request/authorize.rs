//! Step four: from a verdict to a permit, or to a denial.
//!
//! INVARIANT: a [`Permit`] exists only for a request that a route of the caller's plan allows and
//! that is within that route's limits. Only this file makes one; injecting and connecting take
//! one, so nothing can be sent that was not authorized.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use http::header::CONTENT_LENGTH;
use pingora::http::RequestHeader;
use sallygate_compiler::address;
use sallygate_compiler::content::{Content, Unreadable};
use sallygate_compiler::plan::{Timeouts, Upstream};
use sallygate_compiler::table::{Miss, RouteIndex, Verdict};

use super::parse::RequestHead;
use super::{Shared, matching};
use crate::approval::{Answer, Grant, Ruling, Unruled, Wanted};
use crate::clock;
use crate::denial::{Code, Denial, NextStep};
use crate::meter::{Metering, Over};
use crate::plan::{ActivePlan, ActiveRoute, Sandbox};
use crate::upstream::Destination;

/// After how long a held request is worth sending again.
const POLL_SECONDS: u64 = 5;

/// Proof that a request is authorized, with what the rest of its way needs.
#[derive(Debug)]
pub(crate) struct Permit {
    plan: Arc<ActivePlan>,
    /// `None`: passed through by a plan that says so, without any credential.
    route: Option<RouteIndex>,
    body_bytes_max: Option<u64>,
    consent: Consent,
    metering: Option<Metering>,
}

/// Whether a request was held for an approval before it got its permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Consent {
    NotAsked,
    Given,
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

    pub(crate) fn consent(&self) -> Consent {
        self.consent
    }

    /// What is counted while the request runs.
    pub(crate) fn metering(&mut self) -> Option<&mut Metering> {
        self.metering.as_mut()
    }

    pub(crate) fn counted(&self) -> Option<&Metering> {
        self.metering.as_ref()
    }

    pub(crate) fn body_bytes_max(&self) -> Option<u64> {
        self.body_bytes_max
    }
}

/// Turns what the table found into a permit, within the limits of the route.
pub(super) async fn permit(
    verdict: Verdict,
    sandbox: &Sandbox,
    (head, content): (&RequestHead, &Content),
    request: &RequestHeader,
    shared: &Shared,
) -> Result<Permit, Denial> {
    let plan = &sandbox.plan;
    match verdict {
        Verdict::Allow(index) => {
            allowed(index, Consent::NotAsked, sandbox, (head, request), shared)
        }
        Verdict::Passthrough => Ok(Permit {
            plan: Arc::clone(plan),
            route: None,
            body_bytes_max: None,
            consent: Consent::NotAsked,
            metering: None,
        }),
        Verdict::Deny(index) => Err(denied(plan, index)),
        Verdict::Hold(index) => held(index, sandbox, (head, content), request, shared).await,
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

/// A permit for a request that is approved. A yes for one request is used up last: what a limit
/// refuses has not used it.
async fn held(
    index: RouteIndex,
    sandbox: &Sandbox,
    asked: (&RequestHead, &Content),
    request: &RequestHeader,
    shared: &Shared,
) -> Result<Permit, Denial> {
    loop {
        let grant = approved(index, sandbox, asked, shared).await?;
        let permit = allowed(index, Consent::Given, sandbox, (asked.0, request), shared)?;
        match grant {
            Grant::ForATime => return Ok(permit),
            Grant::Once(id) if claim(sandbox, &id, shared).await? => return Ok(permit),
            // Another request took it meanwhile: this one asks again, and waits.
            Grant::Once(_) => {}
        }
    }
}

async fn claim(sandbox: &Sandbox, id: &str, shared: &Shared) -> Result<bool, Denial> {
    match &sandbox.approver {
        None => Ok(shared.approvals.claim(id, clock::wall_seconds())),
        Some(approver) => approver.claim(&sandbox.id, id).await.map_err(|e| unruled(&e)),
    }
}

/// Why is for the operator; the sandbox learns that it is not decided.
pub(super) fn unruled(Unruled(why): &Unruled) -> Denial {
    tracing::warn!(why, "nobody can be asked for an approval");
    let detail = "nobody can be asked whether the request may pass; nothing was sent";
    Denial::new(Code::ApprovalUnavailable, detail).retry_after(POLL_SECONDS)
}

async fn ask(wanted: &Wanted<'_>, sandbox: &Sandbox, shared: &Shared) -> Result<Answer, Denial> {
    let Some(approver) = &sandbox.approver else {
        return Ok(shared.approvals.ask(wanted, clock::wall_seconds()));
    };
    let Some(held) = wanted.to_held() else { return Ok(Answer::TooLong) };
    let ruling = approver.ask(&held).await.map_err(|e| unruled(&e))?;
    Ok(match ruling {
        Ruling::Granted { once: false, .. } => Answer::Granted(Grant::ForATime),
        Ruling::Granted { id, once: true } => Answer::Granted(Grant::Once(id)),
        Ruling::Pending(id) => Answer::Pending(id),
        Ruling::Denied(id) => Answer::Denied(id),
        Ruling::TooMany => Answer::TooMany,
    })
}

/// Whether somebody has said yes to this very request.
async fn approved(
    index: RouteIndex,
    sandbox: &Sandbox,
    (head, content): (&RequestHead, &Content),
    shared: &Shared,
) -> Result<Grant, Denial> {
    let gone = || Denial::new(Code::NoRoute, "the route is gone");
    let route = sandbox.plan.route(index).ok_or_else(gone)?;
    let host = head.authority.wire(head.scheme);
    let url = format!("{}://{host}{}", head.scheme.as_str(), head.target.to_path_and_query());
    let (id, method) = (&route.id, head.method.as_str());
    let wanted = Wanted { sandbox: &sandbox.id, route: id, method, url: &url, content };
    let denial = match ask(&wanted, sandbox, shared).await? {
        Answer::Granted(grant) => return Ok(grant),
        Answer::Pending(id) => {
            let detail = "the request waits for the operator's decision; send it again afterwards";
            Denial::new(Code::ApprovalPending, detail).approval(id).retry_after(POLL_SECONDS)
        }
        Answer::Denied(id) => {
            let detail = "the operator decided against the request";
            Denial::new(Code::ApprovalDenied, detail).approval(id)
        }
        Answer::TooMany => {
            let detail = "too many requests of this sandbox wait for a decision";
            Denial::new(Code::RateLimited, detail).retry_after(POLL_SECONDS)
        }
        Answer::TooLong => {
            Denial::new(Code::Denied, "the URL is too long to be shown to whoever approves it")
        }
    };
    Err(denial.route(&*route.id))
}

fn allowed(
    index: RouteIndex,
    consent: Consent,
    sandbox: &Sandbox,
    (head, request): (&RequestHead, &RequestHeader),
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
    if !route.injections.is_empty() && !shared.recorder.is_healthy() {
        return Err(Denial::new(
            Code::CredentialUnavailable,
            "the audit log cannot be written, so no credential is used",
        )
        .retry_after(5)
        .route(&*route.id));
    }
    let metering = match &route.metered {
        None => None,
        Some(metered) => {
            let runs = metered.runs(&head.method, head.is_upgrade);
            let begun = shared.meters.begin(&sandbox.id, &route.id, metered, runs);
            Some(begun.map_err(|over| over_limit(over, shared).route(&*route.id))?)
        }
    };
    Ok(Permit {
        plan: Arc::clone(plan),
        route: Some(index),
        consent,
        body_bytes_max: limits.max_request_bytes,
        metering,
    })
}

/// What is over, as an answer with the time after which a retry can help.
fn over_limit(over: Over, shared: &Shared) -> Denial {
    let (scope, code, detail, wait) = match over {
        Over::Requests(rate, wait) => {
            let detail = format!("more than {} requests in {} seconds", rate.count, rate.seconds);
            ("route", Code::RateLimited, detail, Some(wait))
        }
        Over::Bytes(rate, wait) => {
            let detail = format!("more than {} bytes sent in {} seconds", rate.count, rate.seconds);
            ("bytes", Code::RateLimited, detail, Some(wait))
        }
        Over::Concurrency(max) => {
            let detail = format!("more than {max} requests at one time");
            ("concurrency", Code::RateLimited, detail, Some(Duration::from_secs(1)))
        }
        Over::Uses(limit, wait) => {
            let detail = format!("all {limit} requests of the budget are used");
            ("uses", Code::BudgetExhausted, detail, wait)
        }
        Over::Spend(limit, wait) => {
            let detail = format!("all {limit} micro-units of the budget are spent");
            ("spend", Code::BudgetExhausted, detail, wait)
        }
    };
    shared.metrics.rate_limited.with_label_values(&[scope]).inc();
    let denial = Denial::new(code, detail);
    match wait {
        // A whole second that has begun is waited for too: an earlier retry would be refused.
        Some(wait) => denial.retry_after(wait.as_secs() + u64::from(wait.subsec_nanos() > 0)),
        None => denial,
    }
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
        && !address::allows(ip, &[])
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
