//! Step six: to the upstream, at an address that was checked, with the request that was matched.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, COOKIE, EXPECT, HOST, TE, TRAILER};
use http::{HeaderValue, Method};
use pingora::http::RequestHeader;
use pingora::proxy::Session;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorSource, ErrorType, Result};

use super::authorize::too_large;
use super::trailers::{Reader, may_follow};
use super::{Exchange, Permit, Shared, fetch, inject, usage};
use crate::clock;
use crate::denial::{Code, Denial};
use crate::limits::ms;
use crate::stream::answer::Asked;
use crate::upstream::{self, Grouping, Journey, Place, Protocol};

/// Further attempts after the first.
const RETRIES_MAX: u32 = 1;

/// Sets up the sandbox's side for what is coming.
pub(super) fn prepare(session: &mut Session, x: &Exchange) {
    let idle = x.permit.as_ref().map(|permit| permit.destination().idle);
    let downstream = session.as_downstream_mut();
    // A body may pause as long as the route allows; the wire enforces the average.
    downstream.set_read_timeout(idle);
    downstream.set_total_drain_timeout(Some(std::time::Duration::from_secs(1)));
    if x.head.as_ref().is_some_and(|head| head.is_h2) {
        // A stream's window can stay shut while its connection takes bytes, so the wire sees no
        // stall there.
        downstream.set_write_timeout(Some(ms(x.shared.limits.write_stall_ms)));
    }
}

/// The peer for the exchange's permit.
pub(super) async fn peer(
    shared: &Shared,
    session: &mut Session,
    x: &mut Exchange,
) -> Result<Box<HttpPeer>> {
    x.attempts += 1;
    x.timings.connecting(x.attempts);
    if let Some(held) = &mut x.held {
        held.again();
    }
    if x.replayed {
        renew_credentials(x).await?;
    }
    let journey = journey(session, x);
    let place = match place(shared, x).await? {
        Ok(place) => Arc::new(place),
        Err(denial) => return Err(refuse(x, denial)),
    };
    let protocol = match place.known_protocol(&shared.pool) {
        Some(known) => known,
        None => Box::pin(place.ask_protocol(&shared.pool)).await.map_err(Error::into_up)?,
    };
    let protocol = if protocol == Protocol::Http2 && sends_trailers(session, x) {
        Box::pin(place.try_h1(&shared.pool)).await
    } else {
        protocol
    };
    let (peer, journey) = match protocol {
        Protocol::Http2 => (place.h2_peer(), None),
        Protocol::Http1 => {
            let journey = Arc::new(journey);
            (place.h1_peer(Arc::clone(&journey), &shared.pool), Some(journey))
        }
    };
    x.place = Some(place);
    x.journey = journey;
    peer.map(Box::new).ok_or_else(no_permit)
}

fn no_permit() -> Box<Error> {
    Error::explain(ErrorType::InternalError, "no permit")
}

/// Where the exchange's permit leads, at addresses that were checked just now.
async fn place(shared: &Shared, x: &Exchange) -> Result<std::result::Result<Place, Denial>> {
    let (Some(head), Some(permit)) = (x.head.as_ref(), x.permit.as_ref()) else {
        return Err(no_permit());
    };
    let destination = permit.destination();
    let found =
        upstream::addresses(&head.authority, destination, &shared.resolver, &shared.own).await;
    let credential = permit.route().and_then(|r| r.injections.first()).map(|i| i.cell.connection());
    let identity = match inject::identity(x) {
        Ok(identity) => identity,
        Err(denial) => return Ok(Err(denial)),
    };
    let grouping = Grouping {
        credential,
        identity: identity.as_ref(),
        offer_h2: offers_h2(x),
        is_upgrade: head.is_upgrade,
    };
    Ok(found.and_then(|found| {
        Place::new(head.scheme, &head.authority, found, (destination, &grouping))
            .ok_or_else(|| Denial::new(Code::UpstreamDns, "the name has no address"))
    }))
}

/// Whether the upstream may choose HTTP/2. A client of HTTP/1 that reads trailers profits from it.
fn offers_h2(x: &Exchange) -> bool {
    x.head.as_ref().is_some_and(|head| head.is_h2 || head.wants_trailers)
}

/// Whether trailers are to follow the body: HTTP/1 is spoken then, if the upstream speaks it, because
/// Pingora ends a request over HTTP/2 without them. gRPC has none, and needs HTTP/2.
fn sends_trailers(session: &Session, x: &Exchange) -> bool {
    let is_grpc = x.head.as_ref().is_some_and(|head| head.is_grpc);
    session.req_header().headers.contains_key(TRAILER) && !is_grpc
}

fn journey(session: &mut Session, x: &Exchange) -> Journey {
    let head = x.head.as_ref();
    let has_body = !session.as_downstream_mut().is_body_empty();
    let route = x.permit.as_ref().and_then(Permit::route).filter(|_| has_body);
    Journey {
        slot: Arc::clone(&x.slot),
        asked: match head.map(|head| &head.method) {
            Some(&Method::HEAD) => Asked::HeadOnly,
            Some(_) | None => Asked::Whole,
        },
        reader: Reader::of(x),
        is_upgrade: head.is_some_and(|head| head.is_upgrade),
        has_body,
        recogniser: x.sandbox.as_ref().filter(|_| has_body).and_then(|s| s.recogniser().cloned()),
        credentials: route.map(|route| route.clear_headers.clone()).unwrap_or_default(),
        reused: AtomicBool::default(),
    }
}

/// Before a request is replayed: the credential that was refused is gone, another one is due.
async fn renew_credentials(x: &mut Exchange) -> Result<()> {
    x.bytes_in = 0;
    let Some(permit) = x.permit.as_ref() else { return Ok(()) };
    let asker = inject::asker(x.sandbox.as_deref());
    match inject::resolve(permit, asker, &mut x.credential_cache).await {
        Ok(credentials) => {
            x.credentials = credentials;
            Ok(())
        }
        Err(denial) => Err(refuse(x, denial)),
    }
}

/// Ends the exchange with an answer of ours.
pub(super) fn refuse(x: &mut Exchange, denial: Denial) -> Box<Error> {
    let status = denial.code.status();
    x.denial = Some(denial);
    Error::new(ErrorType::HTTPStatus(status))
}

/// Notes which connection was taken.
pub(super) fn connected(shared: &Shared, reused: bool, peer: &HttpPeer, x: &mut Exchange) {
    x.timings.connected = Some(clock::now());
    let reused = reused || x.journey.as_ref().is_some_and(|journey| journey.is_reused());
    x.upstream_reused = reused;
    if let Some(metering) = x.permit.as_mut().and_then(Permit::metering) {
        metering.depart();
    }
    x.upstream_address = peer._address.as_inet().copied();
    let [new, again] = &shared.metrics.upstream_taken;
    if reused { again.inc() } else { new.inc() }
}

/// Makes the upstream request from the value that was matched.
pub(super) fn rewrite(
    session: &Session,
    request: &mut RequestHeader,
    x: &mut Exchange,
) -> Result<()> {
    let Some(head) = &x.head else {
        return Err(Error::explain(ErrorType::InternalError, "no request head"));
    };
    x.upstream_h2 = request.version == http::Version::HTTP_2;
    if !x.upstream_h2 && x.journey.is_none() {
        // It chose HTTP/2 before and did not now. Nothing of HTTP/1 is sent around its framing.
        return Err(Error::explain(ErrorType::H2Downgrade, "the upstream speaks HTTP/1 now"));
    }
    request.set_raw_path(head.target.to_path_and_query().as_bytes())?;
    let host = head.authority.wire(head.scheme);
    // A Host that is right already stays where the client put it: order is preserved.
    if request.headers.get(HOST).is_none_or(|now| now.as_bytes() != host.as_bytes()) {
        let host = HeaderValue::try_from(host)
            .map_err(|e| Error::because(ErrorType::InternalError, "host", e))?;
        request.remove_header(&HOST);
        request.insert_header(HOST, host)?;
    }
    if x.held.is_some() {
        // It was answered when the body was read.
        request.remove_header(&EXPECT);
    }
    if head.is_h2 && !x.upstream_h2 {
        join_cookies(request)?;
    }
    if !x.upstream_h2 {
        announce_trailers(session, request, x)?;
    } else if head.wants_trailers {
        // Pingora takes it away from requests of sessions that are not its own, and gRPC servers
        // refuse those that are without (RFC 9113 §8.2.2).
        request.insert_header(TE, "trailers")?;
    }
    fetch::ask_plainly(request, x)?;
    usage::ask_plainly(request, x)
}

/// Says over HTTP/1 that trailers are read, if they are, and which ones are to come: both are about
/// the next hop only, so Pingora has taken away what the client said (RFC 9110 §10.1.4, §6.6.2).
fn announce_trailers(session: &Session, request: &mut RequestHeader, x: &Exchange) -> Result<()> {
    let Some(head) = x.head.as_ref().filter(|head| !head.is_upgrade) else { return Ok(()) };
    if head.wants_trailers {
        request.insert_header(TE, "trailers")?;
        request.insert_header(CONNECTION, "TE")?;
    }
    if session.req_header().headers.get(TRAILER).is_none() {
        return Ok(());
    }
    let announced = session.req_header().headers.get_all(TRAILER).iter();
    let route = x.permit.as_ref().and_then(Permit::route);
    let credentials = route.map(|route| &route.clear_headers[..]).unwrap_or_default();
    let names = announced.flat_map(|value| value.as_bytes().split(|b| *b == b','));
    let names = names.map(<[u8]>::trim_ascii).filter(|name| may_follow(name, credentials));
    let names: Vec<&[u8]> = names.collect();
    if names.is_empty() {
        return Ok(());
    }
    let value = HeaderValue::from_bytes(&names.join(&b", "[..]))
        .map_err(|e| Error::because(ErrorType::InvalidHTTPHeader, "trailer", e))?;
    request.insert_header(TRAILER, value)
}

/// HTTP/2 may split a cookie over several fields; HTTP/1 has one (RFC 9113 §8.2.3).
fn join_cookies(request: &mut RequestHeader) -> Result<()> {
    let crumbs: Vec<&[u8]> =
        request.headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if crumbs.len() < 2 {
        return Ok(());
    }
    let joined = HeaderValue::from_bytes(&crumbs.join(&b"; "[..]))
        .map_err(|e| Error::because(ErrorType::InvalidHTTPHeader, "cookie", e))?;
    request.remove_header(&COOKIE);
    request.insert_header(COOKIE, joined)
}

/// Counts the body, and ends the exchange when it grows too large.
///
/// The answer is how long an upgraded connection is held back: it has no next request that could
/// be refused instead.
pub(super) fn count_request_body(
    body: Option<&Bytes>,
    end: bool,
    x: &mut Exchange,
) -> Result<Option<Duration>> {
    let bytes = body.map_or(0, |b| b.len() as u64);
    x.bytes_in += bytes;
    x.slot.body(bytes, end || body.is_none());
    let max = x.permit.as_ref().and_then(Permit::body_bytes_max);
    match max {
        Some(max) if x.bytes_in > max => return Err(refuse(x, too_large(max))),
        _ => {}
    }
    let metering = x.permit.as_mut().and_then(Permit::metering);
    let wait = metering.and_then(|metering| metering.sent(bytes));
    Ok(wait.filter(|_| x.slot.is_upgraded()))
}

/// Whether the exchange may be tried once more: only where nothing can have been done yet.
pub(super) fn decide_retry(
    session: &Session,
    mut error: Box<Error>,
    x: &mut Exchange,
    client_reused: bool,
) -> Box<Error> {
    let downstream = session.as_downstream();
    let replayable =
        !downstream.retry_buffer_truncated() && downstream.response_written().is_none();
    let refused = x.denial.is_some() || x.slot.refusal().is_some();
    let again = x.attempts <= RETRIES_MAX && replayable && !refused;
    let is_downgrade = matches!(error.etype(), ErrorType::H2Downgrade | ErrorType::InvalidH2);
    if let Some(place) = x.place.as_ref().filter(|_| is_downgrade) {
        place.prefer_h1(&x.shared.pool);
    }
    if !again {
        error.set_retry(false);
    } else if *error.etype() == ErrorType::H2Downgrade {
        // HTTP_1_1_REQUIRED: it was not acted on.
        error.set_retry(true);
    } else if x.replayed {
        // The 401 that we asked to be tried again with a fresh credential: it was not acted on.
    } else if session.req_header().method.is_idempotent() {
        error.retry.decide_reuse(client_reused || x.upstream_reused);
    } else {
        error.set_retry(false);
    }
    error
}

/// An upstream that chose HTTP/2 before may not speak it any more, and refuse the offer: then it is
/// asked again what it speaks.
pub(super) fn failed_to_connect(mut error: Box<Error>, x: &Exchange) -> Box<Error> {
    let refused = *error.etype() == ErrorType::TLSHandshakeFailure && x.journey.is_none();
    if let Some(place) = x.place.as_ref().filter(|_| refused && x.attempts <= RETRIES_MAX) {
        place.forget_protocol(&x.shared.pool);
        error.set_retry(true);
    }
    error
}

/// What the sandbox is told of a failure.
#[expect(clippy::wildcard_enum_match_arm, reason = "the enum is Pingora's and grows without us")]
pub(super) fn denial(error: &Error, x: &Exchange) -> Option<Denial> {
    if let Some(denial) = x.denial.clone().or_else(|| x.slot.refusal()) {
        return Some(denial);
    }
    if x.slot.is_upgraded() {
        // Either side may drop an upgraded connection when it has said what it had to say.
        return None;
    }
    if *error.esource() == ErrorSource::Downstream {
        return downstream_denial(error);
    }
    let waiting_for = if x.timings.answered.is_some() { "idle" } else { "first byte" };
    Some(match error.etype() {
        ErrorType::ConnectTimedout | ErrorType::TLSHandshakeTimedout => {
            Denial::new(Code::UpstreamTimeout, "connect: the upstream did not answer in time")
        }
        ErrorType::ReadTimedout | ErrorType::WriteTimedout => Denial::new(
            Code::UpstreamTimeout,
            format!("{waiting_for}: the upstream did not answer in time"),
        ),
        ErrorType::ConnectRefused
        | ErrorType::ConnectNoRoute
        | ErrorType::ConnectError
        | ErrorType::BindError
        | ErrorType::SocketError => {
            Denial::new(Code::UpstreamConnect, "the upstream does not accept the connection")
        }
        ErrorType::TLSHandshakeFailure | ErrorType::HandshakeError | ErrorType::InvalidCert => {
            Denial::new(Code::UpstreamTls, tls_reason(error))
        }
        // In TLS 1.3 an upstream may refuse the handshake when we are through with it.
        _ if error.to_string().contains("received fatal alert") => {
            Denial::new(Code::UpstreamTls, tls_reason(error))
        }
        _ => Denial::new(Code::UpstreamProtocol, "the upstream's answer broke off or is not HTTP"),
    })
}

/// `None`: the sandbox is gone, nobody is there to be answered.
#[expect(clippy::wildcard_enum_match_arm, reason = "the enum is Pingora's and grows without us")]
fn downstream_denial(error: &Error) -> Option<Denial> {
    match error.etype() {
        ErrorType::ReadError
        | ErrorType::WriteError
        | ErrorType::ConnectionClosed
        | ErrorType::WriteTimedout => None,
        ErrorType::ReadTimedout => {
            Some(Denial::new(Code::BadFraming, "the request body did not come in time"))
        }
        _ => Some(Denial::new(Code::BadFraming, "the request cannot be read")),
    }
}

/// Why the upstream's certificate or handshake is not acceptable, from rustls's own words: Pingora
/// keeps the cause as text. `tests/faults.rs` notices when rustls words it differently.
fn tls_reason(error: &Error) -> String {
    let text = error.to_string();
    let reasons = [
        ("UnknownIssuer", "tls_untrusted: the certificate's issuer is not trusted"),
        ("not valid for name", "tls_name: the certificate is not for this host"),
        ("certificate expired", "tls_expired: the certificate has expired"),
        ("not valid yet", "tls_not_yet_valid: the certificate is not valid yet"),
        ("CaUsedAsEndEntity", "tls_untrusted: the certificate is an authority's own"),
        ("Revoked", "tls_revoked: the certificate was revoked"),
        ("BadEncoding", "tls_malformed: the certificate cannot be read"),
        ("extended key usage", "tls_purpose: the certificate is not for servers"),
        ("InvalidPurpose", "tls_purpose: the certificate is not for servers"),
        ("invalid peer certificate", "tls_untrusted: the certificate is not acceptable"),
        ("CertificateRequired", "tls_client_certificate: the upstream asks for a certificate"),
        ("ProtocolVersion", "tls_version: the upstream speaks no TLS version that is accepted"),
        ("NoApplicationProtocol", "tls_alpn: the upstream speaks neither HTTP/1.1 nor HTTP/2"),
    ];
    let reason = reasons.iter().find(|(mark, _)| text.contains(mark)).map(|(_, reason)| *reason);
    reason.unwrap_or("tls_handshake: the handshake failed").to_owned()
}
