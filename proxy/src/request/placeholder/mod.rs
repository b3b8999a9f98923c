//! Placeholders in requests: put in their place where the route says so, and refused everywhere else.
//!
//! INVARIANT: no placeholder is sent. One that is seen towards a host that its credential does not
//! go to, or that is another sandbox's, ends the request before anything is connected; one that
//! stands where neither the route removes it nor a credential comes in its place, too. Bodies are
//! looked at while they pass, and end where one comes.

mod body;
mod frames;
mod head;
mod swap;

use pingora::http::RequestHeader;
use sallygate_compiler::table::Verdict;
use sallygate_definitions::placeholder::{Recogniser, Whose};

use super::parse::RequestHead;
use super::{Shared, inject};
use crate::denial::{Code, Denial};
use crate::metrics::Metrics;
use crate::plan::{ActiveRoute, Sandbox};

pub(super) use body::{Care, begin, pass, prepare};
pub(crate) use head::in_bytes;
pub(super) use head::is_anywhere;
pub(super) use swap::{Kept, put};

/// Where a placeholder was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spot {
    Authority,
    Path,
    Query,
    Header,
    Basic,
    Body,
    Frame,
    Connect,
}

impl Spot {
    fn as_str(self) -> &'static str {
        match self {
            Self::Authority => "authority",
            Self::Path => "path",
            Self::Query => "query",
            Self::Header => "header",
            Self::Basic => "basic",
            Self::Body => "body",
            Self::Frame => "frame",
            Self::Connect => "connect",
        }
    }

    fn describe(self) -> &'static str {
        match self {
            Self::Authority => "the host",
            Self::Path => "the path",
            Self::Query => "the query",
            Self::Header => "a header field",
            Self::Basic => "the basic authentication",
            Self::Body => "the body",
            Self::Frame => "a WebSocket message",
            Self::Connect => "a CONNECT",
        }
    }
}

/// A placeholder that was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sighting {
    pub(crate) spot: Spot,
    pub(crate) whose: Whose,
}

/// Looks at the head of a request for placeholders, and refuses it when one has no business there.
/// `true`: there are some that have.
pub(super) fn check(
    request: &RequestHeader,
    head: &RequestHead,
    (sandbox, verdict): (&Sandbox, &Verdict),
    shared: &Shared,
) -> Result<bool, Denial> {
    let Some(recogniser) = sandbox.recogniser() else { return Ok(false) };
    let mut first = None;
    let mut uncovered = None;
    let mut see = |sighting: Sighting| {
        let covered = match sighting.whose {
            Whose::Own(own) => {
                let covered = sandbox.plan.placeholder(own);
                covered.is_some_and(|covered| covered.covers(&head.authority))
            }
            Whose::Foreign => false,
        };
        first = first.or(Some(sighting));
        uncovered = uncovered.or(Some(sighting).filter(|_| !covered));
    };
    head::scan(request, (head.authority.host.as_str(), &head.target), recogniser, &mut see);
    let Some(first) = first else { return Ok(false) };
    if let Some(sighting) = uncovered {
        return Err(misuse(sighting, sandbox, &shared.metrics));
    }
    let route = match verdict {
        Verdict::Allow(index) | Verdict::Hold(index) => sandbox.plan.route(*index),
        Verdict::Passthrough => return Err(misuse(first, sandbox, &shared.metrics)),
        // It goes nowhere, and is told why.
        Verdict::Deny(_) | Verdict::NoRoute { .. } | Verdict::Inspect(_) => return Ok(true),
    };
    match route.map(|route| left_over(request, head, route, recogniser)) {
        Some(Ok(None)) => Ok(true),
        Some(Ok(Some(sighting))) => Err(misuse(sighting, sandbox, &shared.metrics)),
        Some(Err(_)) | None => Err(misuse(first, sandbox, &shared.metrics)),
    }
}

/// What would be left when everything is removed and put in place that the route removes and
/// replaces: it is tried on a copy, without the credential.
fn left_over(
    request: &RequestHeader,
    head: &RequestHead,
    route: &ActiveRoute,
    recogniser: &Recogniser,
) -> pingora::Result<Option<Sighting>> {
    const INSTEAD: &[u8] = b"instead";
    let mut rest = request.clone();
    rest.set_raw_path(head.target.to_path_and_query().as_bytes())?;
    inject::clear(&mut rest, route, Some(recogniser))?;
    for injection in &route.injections {
        if let Some(segment) = injection.segment() {
            inject::blank(&mut rest, segment)?;
        }
        if injection.signing().is_some() {
            super::sigv4::unsign(&mut rest)?;
        }
        if let Some(swap) = injection.swap() {
            put(&mut rest, (swap, INSTEAD), recogniser)?;
        }
    }
    Ok(head::first(&rest, recogniser))
}

/// The answer where a placeholder has no business, counted.
pub(crate) fn misuse(sighting: Sighting, sandbox: &Sandbox, metrics: &Metrics) -> Denial {
    let Sighting { spot, whose } = sighting;
    let (label, owner) = match whose {
        Whose::Own(own) => {
            let connection = sandbox.plan.placeholder(own).map_or("", |own| &*own.connection);
            ("own", format!("the placeholder of connection `{connection}`"))
        }
        Whose::Foreign => ("foreign", "a placeholder of another sandbox".to_owned()),
    };
    metrics.placeholder_misuse.with_label_values(&[spot.as_str(), label]).inc();
    let place = spot.describe();
    let detail = format!("{owner} stands in {place}, where no credential comes in its place");
    Denial::new(Code::PlaceholderMisuse, detail)
}
