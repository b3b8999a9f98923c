//! The way of a request: *parse, identify, match, authorize, inject, forward, record*.
//!
//! One step, one file, one entry point; nothing later reaches back. There is no second way: every
//! request, from whichever listener and in whichever protocol, goes through [`Gateway::admit`].

mod parse;

mod identify;

mod matching;

mod inspect;

mod fetch;

mod authorize;

mod inject;

mod forward;

mod record;

mod exchange;
mod own;
mod placeholder;
mod respond;
mod response;
mod sigv4;
pub(crate) mod trailers;
mod usage;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::protocols::Digest;
use pingora::proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, Result};

use sallygate_compiler::table::Verdict;

use parse::RequestHead;

use crate::approval::Approvals;
use crate::clock;
use crate::denial::{Code, Denial};
use crate::limits::Limits;
use crate::listings::Listings;
use crate::meter::Meters;
use crate::metrics::Metrics;
use crate::plan::{Generation, Sandbox, Store};
use crate::record::Recorder;
use crate::upstream::{OwnListeners, Pool, Resolver};

pub(crate) use authorize::Permit;
pub(crate) use exchange::{Connection, Exchange, Scope, Slot, TunnelScope, alive, announce};
pub(crate) use identify::{caller, presented};
pub(crate) use parse::{check_form, check_list};
pub(crate) use placeholder::{Sighting, Spot, in_bytes, misuse};
pub(crate) use record::Outcome;
pub(crate) use respond::plain_answer;
pub(crate) use trailers::Reader;

/// What every request of this process shares.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) store: Arc<Store>,
    pub(crate) resolver: Resolver,
    pub(crate) pool: Arc<Pool>,
    pub(crate) own: OwnListeners,
    pub(crate) recorder: Recorder,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) egress_prefix: String,
    pub(crate) meters: Arc<Meters>,
    pub(crate) approvals: Approvals,
    pub(crate) listings: Listings,
    pub(crate) raw_path: bool,
    pub(crate) draining: AtomicBool,
}

/// The seven steps, as Pingora calls them.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) shared: Arc<Shared>,
}

impl Gateway {
    /// From a request head to a permit with its credentials at hand.
    async fn admit(&self, session: &mut Session, x: &mut Exchange) -> Result<Admission, Denial> {
        let shared = &self.shared;
        if shared.draining.load(Ordering::Acquire) {
            return Err(Denial::new(Code::Draining, "the proxy is shutting down"));
        }
        let generation = shared.store.load();
        let request = session.as_downstream().req_header();
        let head = Arc::new(parse::request(request, &x.connection, &generation, shared)?);
        x.head = Some(Arc::clone(&head));
        if let Some(denial) = x.slot.refusal() {
            // Where the request came in, something was seen that is gone by now.
            return Err(denial);
        }
        let sandbox = identify::sandbox(request, &x.connection, &generation)?;
        if own::is_own(&head) {
            x.sandbox = Some(Arc::clone(&sandbox));
            x.timings.identified();
            let now = clock::wall_seconds();
            drop(generation);
            let answer =
                own::answer(&head, &sandbox, (&shared.approvals, &shared.meters.tally), now).await;
            return answer.map(Admission::Own);
        }
        drop(generation);
        let permit = self.authorize(session, x, &head).await?;
        x.timings.matched();
        let asker = inject::asker(x.sandbox.as_deref());
        x.credentials = inject::resolve(&permit, asker, &mut x.credential_cache).await?;
        x.timings.resolved(x.credential_cache);
        sigv4::prepare(&permit, (session, &head), x).await?;
        placeholder::prepare(&permit, session, x).await?;
        x.permit = Some(permit);
        Ok(Admission::Forward)
    }

    /// Who asks, and what their plan says. When it depends on content, that is read, and everything
    /// is asked again: the plan may be another one by then.
    async fn authorize(
        &self,
        session: &mut Session,
        x: &mut Exchange,
        head: &Arc<RequestHead>,
    ) -> Result<Permit, Denial> {
        let shared = &self.shared;
        // What was read for an earlier round of a request that waits is still known.
        let mut content = std::mem::take(&mut x.content);
        loop {
            let generation = shared.store.load();
            let request = session.as_downstream().req_header();
            let sandbox = identify::sandbox(request, &x.connection, &generation)?;
            x.sandbox = Some(Arc::clone(&sandbox));
            x.timings.identified();
            let verdict = matching::find(&sandbox.plan.table, (head, &content), request);
            x.has_placeholder |=
                placeholder::check(request, head, (&sandbox, &verdict), &self.shared)?;
            if let Verdict::Inspect(kind) = verdict {
                inspect::read(kind, session, x, (head, &mut content)).await?;
                continue;
            }
            drop(generation);
            let asked = (&**head, &content);
            match authorize::permit(verdict, &sandbox, asked, request, shared).await {
                Ok(permit) => {
                    fetch::watch_discovery(head, &sandbox.plan.table, x);
                    x.slot.enter(&sandbox, (head, content), &permit);
                    if permit.consent() == authorize::Consent::Given {
                        // Somebody was asked: something else may be in force since.
                        x.slot.check(&shared.store.load())?;
                    }
                    return Ok(permit);
                }
                Err(denial) => {
                    x.content = content;
                    let unclear =
                        x.unclear.or_else(|| fetch::needs_version_2(head, &sandbox.plan.table));
                    return Err(authorize::because(denial, unclear));
                }
            }
        }
    }

    /// [`Self::admit`], again and again while a held request may wait for its decision. Every
    /// round takes what is in force then: a wait outlives no plan and no sandbox.
    async fn admit_in_time(
        &self,
        session: &mut Session,
        x: &mut Exchange,
    ) -> Result<Admission, Denial> {
        loop {
            let mut decisions = self.shared.approvals.subscribe();
            let outcome = self.admit(session, x).await;
            let Err(denial) = &outcome else { return outcome };
            let Some(left) = own::time_left(denial, x) else { return outcome };
            // Whether it was decided or the time is over, the next round tells.
            let _ = tokio::time::timeout(left, decisions.changed()).await;
        }
    }
}

/// What becomes of a request that is admitted.
enum Admission {
    /// It goes to its upstream.
    Forward,
    /// It was for the proxy itself.
    Own(serde_json::Value),
}

#[async_trait]
impl ProxyHttp for Gateway {
    type CTX = Exchange;

    fn new_ctx(&self) -> Exchange {
        Exchange::begin(&self.shared)
    }

    fn init_downstream_modules(&self, _modules: &mut HttpModules) {
        // None: compression of mixed secrets is an oracle, and bodies pass untouched.
    }

    async fn request_filter(&self, session: &mut Session, x: &mut Exchange) -> Result<bool> {
        match self.admit_in_time(session, x).await {
            Ok(Admission::Forward) => {
                forward::prepare(session, x);
                Ok(false)
            }
            Ok(Admission::Own(document)) => {
                respond::own(session, x, &document).await;
                Ok(true)
            }
            Err(denial) => {
                if x.push.is_some() {
                    inspect::discard(session, x).await;
                }
                respond::denial(session, x, denial).await;
                Ok(true)
            }
        }
    }

    async fn request_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        x: &mut Exchange,
    ) -> Result<()> {
        inspect::put_in_front(session, body, x);
        if let Some(wait) = forward::count_request_body(body.as_ref(), end, x)? {
            tokio::time::sleep(wait).await;
        }
        placeholder::pass(body, end, x)?;
        sigv4::body(body, end, x)
    }

    async fn upstream_peer(
        &self,
        session: &mut Session,
        x: &mut Exchange,
    ) -> Result<Box<HttpPeer>> {
        forward::peer(&self.shared, session, x).await
    }

    async fn connected_to_upstream(
        &self,
        _session: &mut Session,
        reused: bool,
        peer: &HttpPeer,
        _fd: std::os::unix::io::RawFd,
        _digest: Option<&Digest>,
        x: &mut Exchange,
    ) -> Result<()> {
        forward::connected(&self.shared, reused, peer, x);
        Ok(())
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        x: &mut Exchange,
    ) -> Result<()> {
        forward::rewrite(session, request, x)?;
        inject::apply(request, x)
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        x: &mut Exchange,
    ) -> Result<()> {
        response::accept(session, response, x, &self.shared.limits)?;
        response::sift(response, x)
    }

    async fn response_filter(
        &self,
        _session: &mut Session,
        response: &mut ResponseHeader,
        x: &mut Exchange,
    ) -> Result<()> {
        response::pass_on(response, x);
        Ok(())
    }

    fn response_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        x: &mut Exchange,
    ) -> Result<Option<std::time::Duration>> {
        trailers::pass_body(body.as_ref(), x);
        fetch::sift(body, end, x);
        x.bytes_out += body.as_ref().map_or(0, |b| b.len() as u64);
        if let (Some(reader), Some(bytes)) = (&mut x.usage, body.as_ref()) {
            reader.push(bytes);
        }
        if end {
            // Before the client sees the end, and with it the next request.
            usage::settle(usage::Ending::Whole, x);
        }
        Ok(None)
    }

    async fn response_trailer_filter(
        &self,
        _session: &mut Session,
        trailers: &mut http::HeaderMap,
        x: &mut Exchange,
    ) -> Result<Option<Bytes>> {
        trailers::pass_on(trailers, x);
        Ok(None)
    }

    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        x: &mut Exchange,
        error: Box<Error>,
    ) -> Box<Error> {
        forward::failed_to_connect(error, x)
    }

    fn error_while_proxy(
        &self,
        _peer: &HttpPeer,
        session: &mut Session,
        error: Box<Error>,
        x: &mut Exchange,
        client_reused: bool,
    ) -> Box<Error> {
        forward::decide_retry(session, error, x, client_reused)
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        x: &mut Exchange,
    ) -> FailToProxy {
        let denial = forward::denial(error, x);
        respond::failure(session, x, denial, error).await;
        FailToProxy { error_code: 0, can_reuse_downstream: false }
    }

    async fn logging(&self, _session: &mut Session, error: Option<&Error>, x: &mut Exchange) {
        let whole = error.is_none() && x.denial.is_none();
        let ending = if whole { usage::Ending::Whole } else { usage::Ending::BrokenOff };
        record::finish(&self.shared, ending, x);
    }

    // Pingora's own log lines hold paths and addresses; the record says what may be said.
    fn suppress_error_log(&self, _session: &Session, _x: &Exchange, _error: &Error) -> bool {
        true
    }

    fn suppress_proxy_warn_log(
        &self,
        _session: &Session,
        _x: &Exchange,
        _error: &Error,
        _context: ProxyWarnLogContext,
    ) -> bool {
        true
    }
}

/// The sandbox of a tunnel, as it stands in force now.
pub(crate) fn current_sandbox(
    scope: &TunnelScope,
    generation: &Generation,
) -> Result<Arc<Sandbox>, Denial> {
    identify::still(scope, generation)
}
