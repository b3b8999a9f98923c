//! HTTP/2 connections inside a tunnel: every stream is an exchange of its own.

use std::sync::Arc;
use std::time::Duration;

use ::h2::server::Builder;
use ::h2::{Reason, RecvStream};
use bytes::Bytes;
use http::{HeaderMap, Request};
use pingora::apps::HttpServerApp;
use pingora::protocols::Digest;
use pingora::protocols::http::ServerSession;
use tokio::task::JoinSet;

use super::Front;
use super::http1::refused;
use crate::changes::Changes;
use crate::clock;
use crate::denial::{Code, Denial};
use crate::id::ExchangeId;
use crate::limits::{Limits, ms};
use crate::request::{Connection, Outcome, Slot, announce, check_list};
use crate::stream::{H2Session, Signals, Silence, Wire};

/// How long a client that is sent away has to take the reason.
const GOAWAY_WAIT: Duration = Duration::from_secs(3);
/// How much larger than allowed the fields of a request may be to be read, so that it is answered
/// with the reason. The wire sees to it that few such requests are in memory at a time.
const LIST_MARGIN: u64 = 8;
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;

/// Serves one connection until it ends, is idle for too long, or the process shuts down.
pub(super) async fn serve(wire: Box<Wire>, connection: Arc<Connection>, front: &Arc<Front>) {
    let signals = wire.signals();
    let mut h2 = match Box::pin(hello(wire, &front.shared.limits)).await {
        Ok(h2) => h2,
        Err(denial) => return note(&connection, front, denial),
    };
    let (taken, ending) = streams(&mut h2, &connection, front, &signals).await;
    if let Ending::Flood(_) = ending {
        send_away(&mut h2).await;
    }
    note(&connection, front, ending.denial());
    let lost = signals.opened().saturating_sub(taken);
    note(&connection, front, (lost > 0).then(|| unheard(lost)));
}

type Connected = ::h2::server::Connection<Box<Wire>, Bytes>;

/// The beginning of HTTP/2. The connection comes boxed, for it is large and moves.
async fn hello(wire: Box<Wire>, limits: &Limits) -> Result<Box<Connected>, Option<Denial>> {
    let hello = options(limits).handshake(wire);
    match tokio::time::timeout(ms(limits.head_ms), hello).await {
        Ok(Ok(h2)) => Ok(Box::new(h2)),
        Ok(Err(error)) => Err(violation(&error)),
        Err(_) => {
            Err(Some(Denial::new(Code::BadFraming, "the HTTP/2 connection did not begin in time")))
        }
    }
}

/// Why a connection is over.
enum Ending {
    /// It has done what it was opened for, or the client left.
    Quiet,
    /// The client asks for work without sense: told so before the connection is closed.
    Flood(&'static str),
    /// What the client sent is not HTTP/2; the library has told it.
    Broken(Denial),
}

impl Ending {
    fn denial(self) -> Option<Denial> {
        match self {
            Self::Quiet => None,
            Self::Flood(detail) => Some(Denial::new(Code::BadFraming, detail)),
            Self::Broken(denial) => Some(denial),
        }
    }
}

/// What of an error of the library is the client's doing; `None` when it merely went away.
fn violation(error: &::h2::Error) -> Option<Denial> {
    let reason = error.reason().filter(|_| error.is_library())?;
    let detail = format!("the HTTP/2 connection broke the protocol: {}", reason.description());
    Some(Denial::new(Code::BadFraming, detail))
}

/// The library refuses some requests without telling: too many at once, or a head beyond its bound.
fn unheard(requests: u64) -> Denial {
    let detail = format!(
        "{requests} HTTP/2 requests were refused before they were read, or never became whole"
    );
    Denial::new(Code::BadFraming, detail)
}

fn note(connection: &Connection, front: &Front, denial: Option<Denial>) {
    if let Some(denial) = denial {
        let outcome = refused(ExchangeId::new(), connection, &denial);
        Outcome { protocol: "h2", ..outcome }.record(&front.shared);
    }
}

/// Sends GOAWAY and sees it out, as long as the client takes it within a moment.
async fn send_away(h2: &mut Connected) {
    h2.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
    let gone = async { while let Some(Ok(_)) = h2.accept().await {} };
    let _ = tokio::time::timeout(GOAWAY_WAIT, gone).await;
}

/// Serves the connection's streams; returns how many there were, and why there are no more.
async fn streams(
    h2: &mut Connected,
    connection: &Arc<Connection>,
    front: &Arc<Front>,
    signals: &Signals,
) -> (u64, Ending) {
    let limits = &front.shared.limits;
    let digest = Arc::new(Digest::default());
    let mut shutdown = Changes::new(front.shutdown.clone());
    let mut is_shutting_down = false;
    let mut taken = 0;
    let mut streams = JoinSet::new();
    let mut spare = None;
    // The first request is due at once, as on HTTP/1.
    let mut idle = Silence::new(ms(limits.head_ms));
    let mut flooded = std::pin::pin!(signals.flooded());
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut flooded => {
                return (taken, Ending::Flood("too many HTTP/2 frames that carry nothing"));
            }
            accepted = h2.accept() => accepted,
            Some(ended) = streams.join_next() => {
                spare = ended.ok();
                idle.begin();
                continue;
            }
            _ = shutdown.changed(), if !is_shutting_down => {
                h2.graceful_shutdown();
                is_shutting_down = true;
                continue;
            }
            () = idle.end(), if streams.is_empty() => return (taken, Ending::Quiet),
        };
        match accepted {
            Some(Ok((mut request, answer))) => {
                taken += 1;
                idle.set_limit(ms(limits.keepalive_ms));
                let unfit = unfit(&mut request, limits, signals);
                let session = Box::new(H2Session::new(request, answer, Arc::clone(&digest)));
                if let Some(denial) = unfit {
                    session.slot().refuse(denial);
                }
                let plans = spare.take();
                let plans = plans.unwrap_or_else(|| Changes::new(front.shared.store.subscribe()));
                let connection = Arc::clone(connection);
                streams.spawn(exchange(session, connection, Arc::clone(front), plans));
            }
            // Streams that are still answering need the connection driven; it is gone.
            None => return (taken, Ending::Quiet),
            Some(Err(error)) => {
                return (taken, violation(&error).map_or(Ending::Quiet, Ending::Broken));
            }
        }
    }
}

/// Why a request is refused on the usual way, whatever it asks for. What is too large is let go of
/// here: a hundred of them may be under way.
fn unfit(request: &mut Request<RecvStream>, limits: &Limits, signals: &Signals) -> Option<Denial> {
    let has_fragment = signals.has_fragment(request.body().stream_id().as_u32());
    if let Err(denial) = check_list(request.uri(), request.headers(), limits) {
        *request.headers_mut() = HeaderMap::new();
        return Some(denial);
    }
    let detail = "the request target has a fragment";
    has_fragment.then(|| Denial::new(Code::PathNotCanonical, detail))
}

/// The library's defaults are wide: every bound is stated here.
fn options(limits: &Limits) -> Builder {
    let mut options = Builder::new();
    let u32_of = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
    options
        // The library answers what is beyond its bound by a bare 431; ours comes first.
        .max_header_list_size(u32_of(limits.h2_header_list_bytes.saturating_mul(LIST_MARGIN)))
        .max_concurrent_streams(u32_of(limits.h2_streams_max))
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buffer_size(256 * 1024)
        .max_concurrent_reset_streams(50)
        .max_pending_accept_reset_streams(20);
    options
}

/// One exchange through Pingora. Dropping it resets the stream and leaves its siblings alone.
///
/// Gives `plans` back, so that the next stream need not register anew.
async fn exchange(
    session: Box<H2Session>,
    connection: Arc<Connection>,
    front: Arc<Front>,
    mut plans: Changes<u64>,
) -> Changes<u64> {
    let slot = Arc::clone(session.slot());
    let has_body = session.has_body();
    let current = (connection, Arc::clone(&slot));
    let request = front.proxy.process_new_http(ServerSession::new_custom(session), &front.shutdown);
    tokio::select! {
        biased;
        _ = announce(current, request) => {}
        _ = slot.revoked(&front.shared, &mut plans) => {}
        () = stalled(&slot, &front.shared.limits), if has_body => {}
    }
    plans
}

/// Returns when the request body comes slower than it may.
async fn stalled(slot: &Slot, limits: &Limits) {
    let began = clock::now();
    let mut deadline = began + ms(limits.body_grace_ms);
    loop {
        tokio::time::sleep_until(deadline.into()).await;
        if slot.is_body_done() {
            return std::future::pending().await;
        }
        let earned = Duration::from_secs(slot.body_bytes() / limits.body_bytes_per_second.max(1));
        deadline = began + ms(limits.body_grace_ms) + earned;
        if clock::now() >= deadline {
            let detail = "the request body did not come in time";
            slot.refuse(Denial::new(Code::BadFraming, detail));
            return;
        }
    }
}
