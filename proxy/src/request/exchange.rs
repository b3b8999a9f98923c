//! One exchange while it is under way, and what ends it from outside.

use std::cell::Cell;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderValue};
use sallygate_compiler::canonical::{Authority, Scheme};
use sallygate_compiler::content::git::Push;
use sallygate_compiler::content::{Content, Unreadable};

use super::authorize::Consent;
use super::fetch::Fetching;
use super::inspect::Held;
use super::parse::RequestHead;
use super::placeholder::Care;
use super::sigv4::Signed;
use super::{Permit, Shared, matching, record};
use crate::changes::{Change, Changes};
use crate::clock;
use crate::credential::Ready;
use crate::denial::{Code, Denial};
use crate::id::ExchangeId;
use crate::meter::Reader;
use crate::plan::{Generation, Sandbox, Token};
use crate::upstream::{Journey, Place};

/// The connection and the slot that a request belongs to.
pub(crate) type Current = (Arc<Connection>, Arc<Slot>);

thread_local! {
    /// Holds what [`announce`] announces, only while it polls.
    static CURRENT: Cell<Option<Current>> = const { Cell::new(None) };
}

/// Runs one request of Pingora's, which makes the context of a request without telling whose it is:
/// [`Exchange::begin`] takes `current`, once. From then on this only passes polls on.
///
/// INVARIANT: nothing of one request is left for another. What was not taken in a poll is taken
/// back behind it, and what a panic left behind is overwritten before the next poll.
pub(crate) async fn announce<F: Future>(current: Current, request: F) -> F::Output {
    let mut request = pin!(request);
    let mut current = Some(current);
    std::future::poll_fn(|cx| {
        let Some(announced) = current.take() else { return request.as_mut().poll(cx) };
        CURRENT.set(Some(announced));
        let polled = request.as_mut().poll(cx);
        current = CURRENT.take();
        polled
    })
    .await
}

/// Where requests come from.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) peer: Option<IpAddr>,
    pub(crate) scope: Scope,
}

/// How far the connection's requests are determined already.
#[derive(Debug)]
pub(crate) enum Scope {
    /// The proxy port: absolute-form or base URL; everyone says who they are with each request.
    Port,
    /// A Unix socket that is one sandbox's.
    Socket(Arc<str>),
    /// Inside a CONNECT tunnel: host and caller are known.
    Tunnel(TunnelScope),
}

/// What a CONNECT settled for all requests inside.
#[derive(Debug)]
pub(crate) struct TunnelScope {
    pub(crate) scheme: Scheme,
    pub(crate) authority: Arc<Authority>,
    pub(crate) sandbox: Arc<str>,
    /// The token that opened the tunnel: when it is no longer the sandbox's, the tunnel ends.
    pub(crate) token: Option<Token>,
}

/// The outside's hold on an exchange.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    upgraded: AtomicBool,
    body_bytes: AtomicU64,
    body_done: AtomicBool,
    request_trailers: OnceLock<HeaderMap>,
    trailers: OnceLock<Vec<u8>>,
    frames: OnceLock<HeaderMap>,
    passing: Mutex<Passing>,
    date: OnceLock<HeaderValue>,
    refused: Mutex<Option<Denial>>,
    in_flight: Mutex<Option<InFlight>>,
}

/// How much of an answer has reached the sandbox's side.
#[derive(Debug, Default)]
struct Passing {
    passed: u64,
    waiting: Option<Waker>,
}

#[derive(Debug)]
struct InFlight {
    sandbox: Arc<str>,
    token: Option<Token>,
    head: Arc<RequestHead>,
    content: Content,
    route: Option<Arc<str>>,
    consent: Consent,
}

impl Slot {
    pub(crate) fn is_upgraded(&self) -> bool {
        self.upgraded.load(Ordering::Acquire)
    }

    /// The connection speaks something else from here on.
    pub(crate) fn upgrade(&self) {
        self.upgraded.store(true, Ordering::Release);
    }

    /// Keeps the trailers of a chunked request, for whoever writes it to the upstream.
    pub(crate) fn set_request_trailers(&self, trailers: HeaderMap) {
        // A request has one trailer section: the first one stays.
        let _ = self.request_trailers.set(trailers);
    }

    /// The trailers of the request, when its end has come and it has some.
    pub(crate) fn request_trailers(&self) -> Option<&HeaderMap> {
        self.request_trailers.get()
    }

    /// Keeps the trailers of an HTTP/1 answer, for a sandbox that speaks HTTP/2.
    pub(super) fn set_frames(&self, trailers: HeaderMap) {
        let _ = self.frames.set(trailers);
    }

    /// The trailers for a sandbox that speaks HTTP/2.
    pub(crate) fn frames(&self) -> Option<&HeaderMap> {
        self.frames.get()
    }

    /// Notes that so much more of the answer has been taken for the sandbox.
    pub(super) fn pass(&self, more: u64) {
        let mut passing = self.passing.lock().unwrap_or_else(PoisonError::into_inner);
        passing.passed += more;
        if let Some(waiting) = passing.waiting.take() {
            waiting.wake();
        }
    }

    /// Waits until so much of the answer has been taken for the sandbox.
    pub(crate) fn poll_passed(&self, cx: &Context<'_>, delivered: u64) -> Poll<()> {
        let mut passing = self.passing.lock().unwrap_or_else(PoisonError::into_inner);
        if passing.passed >= delivered {
            return Poll::Ready(());
        }
        passing.waiting = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Keeps the trailer section of a chunked response, for the wire to put where it belongs.
    pub(super) fn set_trailers(&self, section: Vec<u8>) {
        // A second section would be a second response: the first one stays.
        let _ = self.trailers.set(section);
    }

    /// The trailer section, when there is one.
    pub(crate) fn trailers(&self) -> Option<&[u8]> {
        self.trailers.get().map(Vec::as_slice)
    }

    /// Keeps the `Date` of the upstream, for the wire to put where Pingora puts its own.
    pub(super) fn set_date(&self, date: HeaderValue) {
        // Only one response of an exchange is passed on.
        let _ = self.date.set(date);
    }

    /// The upstream's `Date`, when it sent one.
    pub(crate) fn date(&self) -> Option<&[u8]> {
        self.date.get().map(HeaderValue::as_bytes)
    }

    /// Notes request body bytes, for whoever watches their pace.
    pub(super) fn body(&self, bytes: u64, done: bool) {
        self.body_bytes.fetch_add(bytes, Ordering::Relaxed);
        if done {
            self.body_done.store(true, Ordering::Relaxed);
        }
    }

    pub(crate) fn body_bytes(&self) -> u64 {
        self.body_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn is_body_done(&self) -> bool {
        self.body_done.load(Ordering::Relaxed)
    }

    /// Keeps the reason why the stream broke off, for the answer and the record.
    pub(crate) fn refuse(&self, denial: Denial) {
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(denial);
    }

    pub(crate) fn refusal(&self) -> Option<Denial> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn enter(
        &self,
        sandbox: &Sandbox,
        (head, content): (&Arc<RequestHead>, Content),
        permit: &Permit,
    ) {
        *self.in_flight.lock().unwrap_or_else(PoisonError::into_inner) = Some(InFlight {
            sandbox: Arc::clone(&sandbox.id),
            token: sandbox.token,
            head: Arc::clone(head),
            content,
            route: permit.route().map(|route| Arc::clone(&route.id)),
            consent: permit.consent(),
        });
    }

    /// Whether what is in force allows the exchange that holds this slot.
    pub(super) fn check(&self, generation: &Generation) -> Result<(), Denial> {
        let in_flight = self.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
        in_flight.as_ref().map_or(Ok(()), |x| x.still_allowed(generation))
    }

    pub(super) fn leave(&self) {
        *self.in_flight.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Returns when what is in force no longer allows the exchange that holds this slot.
    ///
    /// `changes` must have been made before the exchange began: a change that comes while it is
    /// being admitted is noticed then. One that came earlier costs no more than another look.
    pub(crate) async fn revoked(&self, shared: &Shared, changes: &mut Changes<u64>) -> Denial {
        loop {
            if changes.changed().await == Change::Ended {
                return std::future::pending().await;
            }
            let ended = {
                let in_flight = self.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
                in_flight.as_ref().and_then(|x| x.still_allowed(&shared.store.load()).err())
            };
            if let Some(denial) = ended {
                self.refuse(denial.clone());
                return denial;
            }
        }
    }
}

impl InFlight {
    fn still_allowed(&self, generation: &Generation) -> Result<(), Denial> {
        let sandbox = alive(&self.sandbox, self.token, generation)?;
        let Some(route) = &self.route else { return Ok(()) };
        match matching::again(&sandbox.plan.table, (&self.head, &self.content), self.consent) {
            Some(index) if sandbox.plan.route(index).is_some_and(|now| now.id == *route) => Ok(()),
            _ => Err(Denial::new(
                Code::NoRoute,
                "the route was taken away while the request was in flight",
            )),
        }
    }
}

/// The sandbox with this id, if it is still the one that opened with `token`.
pub(crate) fn alive(
    id: &str,
    token: Option<Token>,
    generation: &Generation,
) -> Result<Arc<Sandbox>, Denial> {
    let Some(sandbox) = generation.sandbox(id) else {
        return Err(Denial::new(Code::TokenRevoked, "the sandbox was revoked"));
    };
    let Some(sandbox) = sandbox.proven_by(token) else {
        return Err(Denial::new(Code::TokenRevoked, "the sandbox's token was replaced"));
    };
    if sandbox.is_expired(clock::wall_seconds) {
        return Err(Denial::new(Code::TokenExpired, "the sandbox's identity has expired"));
    }
    Ok(sandbox)
}

/// When the steps of an exchange were done.
#[derive(Debug)]
pub(crate) struct Timings {
    pub(crate) began: Instant,
    pub(crate) identified: Option<Instant>,
    pub(crate) matched: Option<Instant>,
    pub(crate) resolved: Option<Instant>,
    pub(crate) connecting: Option<Instant>,
    pub(crate) connected: Option<Instant>,
    pub(crate) answered: Option<Instant>,
}

impl Timings {
    pub(super) fn identified(&mut self) {
        self.identified = Some(clock::now());
    }

    pub(super) fn matched(&mut self) {
        self.matched = Some(clock::now());
    }

    /// The clock is read only where something was waited for.
    pub(super) fn resolved(&mut self, cache: &str) {
        self.resolved = if cache == "cold" { Some(clock::now()) } else { self.matched };
    }

    /// The first attempt begins where the credential was at hand.
    pub(super) fn connecting(&mut self, attempt: u32) {
        let first = self.resolved.filter(|_| attempt == 1);
        self.connecting = first.or_else(|| Some(clock::now()));
    }
}

/// One request and its response: the unit that is recorded.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(super) shared: Arc<Shared>,
    pub(super) id: ExchangeId,
    pub(super) began_wall: Duration,
    pub(super) connection: Arc<Connection>,
    pub(super) slot: Arc<Slot>,
    pub(super) head: Option<Arc<RequestHead>>,
    pub(super) sandbox: Option<Arc<Sandbox>>,
    pub(super) permit: Option<Permit>,
    /// What was read of the body before it is forwarded.
    pub(super) held: Option<Held>,
    /// What a push said, for an answer that git understands.
    pub(super) push: Option<Push>,
    /// A fetch of git of which something is looked at.
    pub(super) fetch: Option<Fetching>,
    /// What was read, while a request waits to be asked for again.
    pub(super) content: Content,
    /// Why content that was looked into could not be read.
    pub(super) unclear: Option<Unreadable>,
    pub(super) credentials: Vec<Arc<Ready>>,
    /// A placeholder stands in the head, where it may.
    pub(super) has_placeholder: bool,
    /// What is done with the body of the present attempt.
    pub(super) care: Option<Care>,
    /// What stands for the body where the request is signed.
    pub(super) signed: Option<Signed>,
    pub(super) credential_cache: &'static str,
    pub(super) denial: Option<Denial>,
    pub(super) timings: Timings,
    pub(super) upstream_address: Option<SocketAddr>,
    pub(super) upstream_reused: bool,
    /// Where the present attempt goes.
    pub(super) place: Option<Arc<Place>>,
    /// What it shares with its HTTP/1 upstream stream; `None` on HTTP/2.
    pub(super) journey: Option<Arc<Journey>>,
    pub(super) upstream_h2: bool,
    pub(super) attempts: u32,
    pub(super) replayed: bool,
    pub(super) informational: u64,
    /// Reads what the answer cost, where that is counted.
    pub(super) usage: Option<Reader>,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
    pub(super) status: u16,
    pub(super) recorded: bool,
}

impl Exchange {
    pub(super) fn begin(shared: &Arc<Shared>) -> Self {
        let (connection, slot) = CURRENT.take().unwrap_or_else(|| {
            // A request outside any connection of ours can be identified by nothing: refused.
            (Arc::new(Connection { peer: None, scope: Scope::Port }), Arc::default())
        });
        let began_wall = clock::wall();
        Self {
            shared: Arc::clone(shared),
            id: ExchangeId::at(began_wall),
            began_wall,
            connection,
            slot,
            head: None,
            sandbox: None,
            permit: None,
            held: None,
            push: None,
            fetch: None,
            content: Content::UNREAD,
            unclear: None,
            credentials: Vec::new(),
            has_placeholder: false,
            care: None,
            signed: None,
            credential_cache: "",
            denial: None,
            timings: Timings {
                began: clock::now(),
                identified: None,
                matched: None,
                resolved: None,
                connecting: None,
                connected: None,
                answered: None,
            },
            upstream_address: None,
            upstream_reused: false,
            place: None,
            journey: None,
            upstream_h2: false,
            attempts: 0,
            replayed: false,
            informational: 0,
            usage: None,
            bytes_in: 0,
            bytes_out: 0,
            status: 0,
            recorded: false,
        }
    }
}

impl Drop for Exchange {
    /// An exchange that was cut off from outside is recorded too.
    fn drop(&mut self) {
        if !self.recorded {
            record::cut_off(self);
        }
    }
}
