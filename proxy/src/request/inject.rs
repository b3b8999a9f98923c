//! Step five: the credential, at the last moment.
//!
//! First everything that the sandbox put where a credential may stand is taken away, wherever the
//! provider accepts one: an allowed host with somebody else's key is a way out. Then the one
//! credential of the route is put on. A route whose credential is missing sends nothing.

use std::sync::Arc;

use base64::Engine;
use pingora::http::RequestHeader;
use pingora::{Error, ErrorType, Result};

use super::{Exchange, Permit};
use crate::credential::{Presented, Ready};
use crate::denial::{Code, Denial};

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

/// The credentials of a route, one for each injection. Waits only when a cell is cold.
pub(super) async fn resolve(
    permit: &Permit,
    cache: &mut &'static str,
) -> Result<Vec<Arc<Ready>>, Denial> {
    let Some(route) = permit.route().filter(|route| !route.injections.is_empty()) else {
        return Ok(Vec::new());
    };
    let mut ready = Vec::with_capacity(route.injections.len());
    *cache = "warm";
    for injection in &route.injections {
        if let Some(warm) = injection.cell.warm() {
            ready.push(warm);
            continue;
        }
        *cache = "cold";
        let resolved = injection.cell.resolve().await.map_err(|_| {
            Denial::new(
                Code::CredentialUnavailable,
                format!(
                    "the credential of connection `{}` cannot be had",
                    injection.cell.connection()
                ),
            )
            .retry_after(1)
            .route(&*route.id)
        })?;
        ready.push(resolved);
    }
    Ok(ready)
}

/// Clears every credential location, then injects. Runs once per attempt, after the upstream's
/// certificate was verified.
pub(super) fn apply(request: &mut RequestHeader, x: &Exchange) -> Result<()> {
    let forged: Vec<_> =
        request.headers.keys().filter(|name| is_forged(name.as_str())).cloned().collect();
    for name in &forged {
        request.remove_header(name);
    }
    let Some(route) = x.permit.as_ref().and_then(Permit::route) else { return Ok(()) };
    for name in &route.clear_headers {
        // Pingora's removal looks into two maps; nearly always there is nothing in either.
        if request.headers.contains_key(name) {
            request.remove_header(name);
        }
    }
    clear_query(request, &route.clear_query)?;
    if route.injections.len() != x.credentials.len() {
        return Err(missing());
    }
    for (injection, ready) in route.injections.iter().zip(&x.credentials) {
        match injection.present(ready).ok_or_else(missing)? {
            Presented::Header(name, value) => {
                if request.headers.contains_key(name) {
                    request.remove_header(name);
                }
                request.insert_header(name.clone(), value)?;
            }
            Presented::Query(name, ready) => {
                clear_query(request, std::slice::from_ref(&name))?;
                append_query(request, name, &ready)?;
            }
        }
    }
    Ok(())
}

fn missing() -> Box<Error> {
    Error::explain(ErrorType::InternalError, "a credential is missing: nothing is sent")
}

/// Removes query parameters with these names; everything else stays byte for byte.
fn clear_query(request: &mut RequestHeader, names: &[impl AsRef<str>]) -> Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    let raw = request.raw_path().to_vec();
    let Some(mark) = raw.iter().position(|b| *b == b'?') else { return Ok(()) };
    let (path, query) = raw.split_at(mark);
    let query = query.get(1..).unwrap_or_default();
    let is_kept = |pair: &&[u8]| {
        let name = decoded(pair.split(|b| *b == b'=').next().unwrap_or_default());
        !names.iter().any(|n| name.eq_ignore_ascii_case(n.as_ref().as_bytes()))
    };
    let kept: Vec<&[u8]> = query.split(|b| *b == b'&').filter(is_kept).collect();
    let joined = kept.join(&b'&');
    if joined.len() == query.len() {
        return Ok(());
    }
    let target = if joined.is_empty() { path.to_vec() } else { [path, b"?", &joined].concat() };
    request.set_raw_path(&target)
}

/// A parameter's name as an upstream reads it: `%6b` is `k`, `+` is a space.
fn decoded(name: &[u8]) -> Vec<u8> {
    let mut bytes = name.iter().copied();
    let mut out = Vec::with_capacity(name.len());
    while let Some(byte) = bytes.next() {
        let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
        let pair = || {
            let mut ahead = bytes.clone();
            let (high, low) = (ahead.next().and_then(digit)?, ahead.next().and_then(digit)?);
            Some((high * 16 + low, ahead))
        };
        match byte {
            b'%' => match pair() {
                Some((value, ahead)) => {
                    out.push(value);
                    bytes = ahead;
                }
                None => out.push(byte),
            },
            b'+' => out.push(b' '),
            other => out.push(other),
        }
    }
    out
}

fn append_query(request: &mut RequestHeader, name: &str, ready: &Ready) -> Result<()> {
    let mut target = zeroize::Zeroizing::new(request.raw_path().to_vec());
    let joint = if target.contains(&b'?') { b'&' } else { b'?' };
    target.push(joint);
    target.extend_from_slice(name.as_bytes());
    target.push(b'=');
    for byte in ready.secret.expose() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            target.push(*byte);
        } else {
            target.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
    request.set_raw_path(&target)
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

    fn request(target: &str) -> RequestHeader {
        RequestHeader::build("GET", target.as_bytes(), None).unwrap()
    }

    #[test]
    fn a_parameter_is_cleared_however_its_name_is_written_and_nothing_else_changes() {
        for (before, after) in [
            ("/p?key=1", "/p"),
            ("/p?a=1&key=2&b=3", "/p?a=1&b=3"),
            ("/p?%6bey=1&b", "/p?b"),
            ("/p?KEY=1&key", "/p"),
            ("/p?mykey=1&a=key", "/p?mykey=1&a=key"),
            ("/p?a=%2f&&b=+", "/p?a=%2f&&b=+"),
            ("/p", "/p"),
        ] {
            let mut head = request(before);
            clear_query(&mut head, &["key"]).unwrap();
            assert_eq!(String::from_utf8_lossy(head.raw_path()), after, "{before}");
        }
    }

    #[test]
    fn the_websocket_answer_is_the_one_of_the_rfc() {
        assert_eq!(websocket_accept(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
