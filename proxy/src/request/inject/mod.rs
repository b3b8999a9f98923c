//! Step five: the credential, at the last moment.
//!
//! First everything that the sandbox put where a credential may stand is taken away, wherever the
//! provider accepts one: an allowed host with somebody else's key is a way out. Then the one
//! credential of the route is put on. A route whose credential is missing sends nothing.

mod cookie;
mod path;
mod query;

use std::sync::Arc;

use base64::Engine;
use http::HeaderName;
use pingora::http::RequestHeader;
use pingora::{Error, ErrorType, Result};
use sallygate_definitions::placeholder::Recogniser;
use zeroize::Zeroizing;

use super::placeholder::{self, Kept};
use super::{Exchange, Permit, forward, sigv4};
use crate::credential::{Asker, Identity, Presented, Ready, ReadyInjection};
use crate::denial::{Code, Denial};
use crate::plan::{ActiveRoute, Sandbox};

/// What a client must not say about where its request comes from or goes to. Compared with the
/// few fields that a request has, because removing each of these by name costs a look-up each.
fn is_forged(name: &str) -> bool {
    matches!(
        name,
        "forwarded"
            | "via"
            | "x-forwarded-for"
            | "x-forwarded-host"
            | "x-forwarded-port"
            | "x-forwarded-prefix"
            | "x-forwarded-proto"
            | "x-forwarded-server"
            | "x-real-ip"
            | "x-host"
            | "x-original-url"
            | "x-original-host"
            | "x-rewrite-url"
            | "x-http-host-override"
            | "x-sandbox-id"
    ) || name == "proxy"
        || name.starts_with("proxy-")
        || name.starts_with("x-sallygate-")
}

/// For whom credentials are asked: the sandbox, as the plan in force lets it through.
pub(super) fn asker(sandbox: Option<&Sandbox>) -> Asker<'_> {
    match sandbox {
        Some(sandbox) => Asker { sandbox: &sandbox.id, plan_digest: &sandbox.plan.digest },
        None => Asker { sandbox: "", plan_digest: "" },
    }
}

/// The credentials of a route, one for each injection. Waits only when a cell is cold.
pub(super) async fn resolve(
    permit: &Permit,
    asker: Asker<'_>,
    cache: &mut &'static str,
) -> Result<Vec<Arc<Ready>>, Denial> {
    let Some(route) = permit.route().filter(|route| !route.injections.is_empty()) else {
        return Ok(Vec::new());
    };
    let mut ready = Vec::with_capacity(route.injections.len());
    *cache = "warm";
    for cell in route.injections.iter().flat_map(ReadyInjection::cells) {
        if let Some(warm) = cell.warm(asker) {
            ready.push(warm);
            continue;
        }
        *cache = "cold";
        let resolved = cell.resolve(asker).await.map_err(|_| {
            let message =
                format!("the credential of connection `{}` cannot be had", cell.connection());
            Denial::new(Code::CredentialUnavailable, message).retry_after(1).route(&*route.id)
        })?;
        ready.push(resolved);
    }
    Ok(ready)
}

/// Who the route is in the handshake with its upstream, where it is somebody.
pub(super) fn identity(x: &Exchange) -> Result<Option<Identity>, Denial> {
    let Some(route) = x.permit.as_ref().and_then(Permit::route) else { return Ok(None) };
    // In the order of the cells, as `resolve` has them.
    let cells = route.injections.iter().flat_map(|own| own.cells().map(move |_| own));
    let Some((own, ready)) = cells.zip(&x.credentials).find(|(own, _)| own.is_identity()) else {
        return Ok(None);
    };
    let identity = own.identity(ready).ok_or_else(|| {
        let connection = own.cell.connection();
        let message = format!("connection `{connection}` has no certificate with its key");
        Denial::new(Code::CredentialUnavailable, message).route(&*route.id)
    })?;
    Ok(Some(identity))
}

/// Clears every credential location, then injects. Runs once per attempt, after the upstream's
/// certificate was verified.
pub(super) fn apply(request: &mut RequestHeader, x: &mut Exchange) -> Result<()> {
    placeholder::begin(request, x)?;
    let Some(route) = x.permit.as_ref().and_then(Permit::route) else {
        clear_forged(request);
        return Ok(());
    };
    let recogniser = x.sandbox.as_ref().filter(|_| x.has_placeholder);
    let recogniser = recogniser.and_then(|sandbox| sandbox.recogniser());
    clear(request, route, recogniser.map(|recogniser| &**recogniser))?;
    let mut credentials = x.credentials.iter();
    let mut signature = None;
    for injection in &route.injections {
        match injection.present(&mut credentials).ok_or_else(missing)? {
            Presented::Signature(signing, ready) => signature = Some((signing, ready)),
            presented @ (Presented::Header(..)
            | Presented::Query(..)
            | Presented::Cookie(..)
            | Presented::Path(..)
            | Presented::Handshake) => put(request, &presented)?,
            Presented::Swap(swap, ready) => {
                if let Some(recogniser) = recogniser {
                    placeholder::put(request, (swap, ready.secret.expose()), recogniser)?;
                }
            }
        }
    }
    // One that is left over belongs to no injection: what was resolved is not what is sent.
    if credentials.next().is_some() {
        return Err(missing());
    }
    if recogniser.is_some_and(|recogniser| placeholder::is_anywhere(request, recogniser)) {
        let why = "a placeholder is left: nothing is sent";
        return Err(Error::explain(ErrorType::InternalError, why));
    }
    // A signature covers all the rest, so it comes last.
    if let Some((signing, ready)) = signature {
        let chunks = sigv4::sign(request, signing, &ready, x.signed.as_ref());
        let chunks = chunks.map_err(|error| unsigned(&error, x))?;
        sigv4::begin(chunks, x);
    }
    Ok(())
}

fn clear_forged(request: &mut RequestHeader) {
    let forged: Vec<_> =
        request.headers.keys().filter(|name| is_forged(name.as_str())).cloned().collect();
    for name in &forged {
        request.remove_header(name);
    }
}

/// Takes away what a route removes. What stands in the place of a credential stays for it.
pub(super) fn clear(
    request: &mut RequestHeader,
    route: &ActiveRoute,
    recogniser: Option<&Recogniser>,
) -> Result<()> {
    clear_forged(request);
    let kept = Kept::of(route, recogniser);
    for name in &route.clear_headers {
        // Pingora's removal looks into two maps; nearly always there is nothing in either.
        if request.headers.contains_key(name) {
            clear_field(request, name, kept)?;
        }
    }
    query::clear(request, &route.clear_query, |pair| kept.query(pair))?;
    cookie::clear(request, &route.clear_cookies, |pair| kept.header(pair))
}

fn clear_field(request: &mut RequestHeader, name: &HeaderName, kept: Kept<'_>) -> Result<()> {
    let mut stay = Vec::new();
    if kept.is_possible() {
        let values = request.headers.get_all(name).iter();
        stay.extend(values.filter(|value| kept.header(value.as_bytes())).cloned());
    }
    request.remove_header(name);
    for value in stay {
        request.append_header(name.clone(), value)?;
    }
    Ok(())
}

/// Puts nothing that says anything in the place of a segment of the path.
pub(super) fn blank(request: &mut RequestHeader, segment: usize) -> Result<()> {
    path::replace(request, segment, b"-")
}

/// What cannot be signed is not sent.
fn unsigned(error: &Error, x: &mut Exchange) -> Box<Error> {
    tracing::error!(%error, "a request cannot be signed");
    let detail = "the request cannot be signed with the connection's credential";
    forward::refuse(x, Denial::new(Code::CredentialUnavailable, detail))
}

/// Puts one credential in its place, and takes away what stood there.
fn put(request: &mut RequestHeader, presented: &Presented<'_>) -> Result<()> {
    match presented {
        Presented::Header(name, value) => {
            if request.headers.contains_key(*name) {
                request.remove_header(*name);
            }
            request.insert_header((*name).clone(), value.clone())
        }
        Presented::Query(name, ready) => {
            query::clear(request, std::slice::from_ref(name), |_| false)?;
            query::append(request, name, ready)
        }
        Presented::Cookie(name, ready) => {
            cookie::clear(request, std::slice::from_ref(name), |_| false)?;
            cookie::append(request, name, ready)
        }
        Presented::Path(segment, ready) => path::replace(request, *segment, ready.secret.expose()),
        // It is made when everything else is in its place.
        Presented::Signature(..) | Presented::Handshake | Presented::Swap(..) => Ok(()),
    }
}

/// Bytes as they stand in a path segment or in a query's value: nothing in them separates.
pub(super) fn encoded(bytes: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(Vec::with_capacity(bytes.len() * 3));
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            out.push(*byte);
        } else {
            out.extend([b'%', hex(byte >> 4), hex(byte & 0xf)]);
        }
    }
    out
}

fn hex(digit: u8) -> u8 {
    if digit < 10 { b'0' + digit } else { b'A' + digit - 10 }
}

fn missing() -> Box<Error> {
    Error::explain(ErrorType::InternalError, "a credential is missing: nothing is sent")
}

/// SHA-1 of a WebSocket key, as the answer must carry it (RFC 6455 §4.2.2).
pub(super) fn websocket_accept(key: &[u8]) -> String {
    use aws_lc_rs::digest;
    let mut context = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    context.update(key);
    context.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    base64::engine::general_purpose::STANDARD.encode(context.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_websocket_answer_is_the_one_of_the_rfc() {
        assert_eq!(websocket_accept(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
