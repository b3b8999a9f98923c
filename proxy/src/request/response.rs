//! What an upstream may answer, and what of it is passed on.

use http::header::{
    CONNECTION, CONTENT_LENGTH, DATE, HeaderName, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use pingora::{Error, ErrorType, Result};

use super::forward::refuse;
use super::inject::websocket_accept;
use super::trailers::Reader;
use super::{Exchange, Permit, fetch, usage};
use crate::clock;
use crate::credential::ReadyInjection;
use crate::denial::{Code, Denial};
use crate::limits::Limits;

/// Invites clients to a way past the proxy, or speaks for a proxy that is not ours.
fn is_removed(name: &str) -> bool {
    name == "alt-svc" || name.starts_with("proxy-")
}

/// Checks the head of an upstream's answer. Runs for informational ones too.
pub(super) fn accept(
    session: &Session,
    response: &ResponseHeader,
    x: &mut Exchange,
    limits: &Limits,
) -> Result<()> {
    x.timings.answered.get_or_insert_with(clock::now);
    let status = response.status.as_u16();
    if !(100..=599).contains(&status) {
        return Err(broken(x, "the upstream's status is not one of HTTP"));
    }
    check_framing(response).map_err(|detail| broken(x, detail))?;
    if status == 101 {
        return switch(session, response, x);
    }
    if response.status.is_informational() {
        x.informational += 1;
        if x.informational > limits.informational_max {
            return Err(broken(x, "too many informational responses"));
        }
        return Ok(());
    }
    if status == 401 {
        renew(session, x)?;
    }
    usage::begin(response, x).map_err(|detail| broken(x, detail))
}

/// Begins to leave out of an answer what the sandbox may not see.
pub(super) fn sift(response: &mut ResponseHeader, x: &mut Exchange) -> Result<()> {
    if response.status.is_informational() {
        return Ok(());
    }
    fetch::begin(response, x).map_err(|detail| broken(x, detail))
}

/// An answer that two readers could cut differently (RFC 9112 §6.3).
fn check_framing(response: &ResponseHeader) -> Result<(), &'static str> {
    let headers = &response.headers;
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let (first, second) = (lengths.next(), lengths.next());
    let is_number =
        |v: &http::HeaderValue| !v.is_empty() && v.as_bytes().iter().all(u8::is_ascii_digit);
    if second.is_some() || first.is_some_and(|v| !is_number(v)) {
        return Err("the upstream's Content-Length is ambiguous");
    }
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else { return Ok(()) };
    if codings.next().is_some() || !coding.as_bytes().eq_ignore_ascii_case(b"chunked") {
        return Err("the upstream's Transfer-Encoding is not `chunked`");
    }
    if first.is_some() {
        return Err("the upstream sent both Content-Length and Transfer-Encoding");
    }
    Ok(())
}

/// 101 is passed on only if it was asked for and answers the very handshake that was sent.
fn switch(session: &Session, response: &ResponseHeader, x: &mut Exchange) -> Result<()> {
    let asked = x.head.as_ref().is_some_and(|head| head.is_upgrade);
    let to = response.headers.get(UPGRADE).map(http::HeaderValue::as_bytes);
    if !asked || !to.is_some_and(|to| to.eq_ignore_ascii_case(b"websocket")) {
        return Err(broken(x, "the upstream switched protocols without being asked"));
    }
    let key = session.req_header().headers.get(SEC_WEBSOCKET_KEY).map(http::HeaderValue::as_bytes);
    let answer = response.headers.get(SEC_WEBSOCKET_ACCEPT).map(http::HeaderValue::as_bytes);
    if answer != Some(websocket_accept(key.unwrap_or_default()).as_bytes()) {
        return Err(broken(x, "the upstream did not answer this WebSocket handshake"));
    }
    x.slot.upgrade();
    Ok(())
}

/// On 401 the credential may be stale: forget it, and try once more if the request can be replayed.
fn renew(session: &Session, x: &mut Exchange) -> Result<()> {
    let Some(route) = x.permit.as_ref().and_then(Permit::route) else { return Ok(()) };
    if x.replayed || route.injections.is_empty() {
        return Ok(());
    }
    let cells = route.injections.iter().flat_map(ReadyInjection::cells);
    for (cell, ready) in cells.zip(&x.credentials) {
        cell.invalidate(ready.version);
    }
    let downstream = session.as_downstream();
    if downstream.retry_buffer_truncated()
        || x.bytes_in > 0 && downstream.get_retry_buffer().is_none()
    {
        return Ok(());
    }
    x.replayed = true;
    let mut again = Error::explain(ErrorType::HTTPStatus(401), "the credential was refused");
    again.set_retry(true);
    Err(again)
}

fn broken(x: &mut Exchange, detail: &'static str) -> Box<Error> {
    refuse(x, Denial::new(Code::UpstreamProtocol, detail)).into_up()
}

/// What is passed on to the sandbox.
pub(super) fn pass_on(response: &mut ResponseHeader, x: &mut Exchange) {
    let removed: Vec<_> =
        response.headers.keys().filter(|name| is_removed(name.as_str())).cloned().collect();
    for name in &removed {
        response.remove_header(name);
    }
    if response.status.as_u16() != 101 {
        remove_hop_by_hop(response);
    }
    if !response.status.is_informational() || response.status.as_u16() == 101 {
        x.status = response.status.as_u16();
        let reader = Reader::of(x);
        if reader == Reader::Nobody && response.headers.contains_key(TRAILER) {
            // Announced, and not passed on.
            response.remove_header(&TRAILER);
        }
        if reader == Reader::Frames && x.journey.is_some() {
            x.slot.pass(1);
        }
        if let Some(date) = response.headers.get(DATE) {
            x.slot.set_date(date.clone());
        }
    }
}

/// What was meant for us and no one behind us (RFC 9110 §7.6.1). `Connection` itself is rewritten
/// by whoever writes the head, and the fields that frame the body are never an upstream's to hide.
fn remove_hop_by_hop(response: &mut ResponseHeader) {
    let options = response.headers.get_all(CONNECTION).iter();
    let options = options.flat_map(|value| value.as_bytes().split(|b| *b == b','));
    let named = options.filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok());
    let is_framing =
        |name: &HeaderName| [CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING].contains(name);
    let named: Vec<HeaderName> = named.filter(|name| !is_framing(name)).collect();
    for name in named {
        response.remove_header(&name);
    }
    response.remove_header("keep-alive");
}
