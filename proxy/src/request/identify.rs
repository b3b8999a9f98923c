//! Step two: who is asking.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::header::PROXY_AUTHORIZATION;
use pingora::http::RequestHeader;

use super::exchange::alive;
use super::{Connection, Scope, TunnelScope};
use crate::clock;
use crate::denial::{Code, Denial};
use crate::plan::{Generation, Sandbox, Token};

/// What a client says about itself in `Proxy-Authorization`.
#[derive(Debug)]
pub(crate) enum Presented {
    Nothing,
    Bearer(Token),
    Basic { id: String, token: Token },
}

/// The sandbox behind a request, or 407.
pub(super) fn sandbox(
    request: &RequestHeader,
    connection: &Connection,
    generation: &Generation,
) -> Result<Arc<Sandbox>, Denial> {
    match &connection.scope {
        // Settled by the CONNECT. What stands inside the tunnel is removed, not read.
        Scope::Tunnel(tunnel) => still(tunnel, generation),
        Scope::Socket(id) => alive(id, generation.sandbox(id).and_then(|s| s.token), generation),
        Scope::Port => {
            let mut values = request.headers.get_all(PROXY_AUTHORIZATION).iter();
            let value = values.next().map(http::HeaderValue::as_bytes);
            caller(&presented(value)?, connection, generation)
        }
    }
}

/// The sandbox of a tunnel, if it may still use it.
pub(super) fn still(tunnel: &TunnelScope, generation: &Generation) -> Result<Arc<Sandbox>, Denial> {
    alive(&tunnel.sandbox, tunnel.token, generation)
}

/// The sandbox that `presented` proves, or that owns the source address.
pub(crate) fn caller(
    presented: &Presented,
    connection: &Connection,
    generation: &Generation,
) -> Result<Arc<Sandbox>, Denial> {
    let unknown = || Denial::new(Code::ProxyAuthRequired, "the sandbox's id or token is not known");
    let sandbox = match presented {
        Presented::Bearer(token) => generation.by_token(token).ok_or_else(unknown)?,
        Presented::Basic { id, token } => basic(id, token, generation)?,
        Presented::Nothing => connection
            .peer
            .and_then(|ip| generation.by_source(ip))
            // Bound to an address *and* to a token: the address alone proves nothing.
            .filter(|sandbox| sandbox.token.is_none())
            .ok_or_else(|| {
                Denial::new(
                    Code::ProxyAuthRequired,
                    "the proxy needs to know which sandbox is asking",
                )
            })?,
    };
    let bound_elsewhere =
        !sandbox.sources.is_empty() && !connection.peer.is_some_and(|ip| sandbox.owns_source(ip));
    if bound_elsewhere {
        return Err(unknown());
    }
    if sandbox.is_expired(clock::wall_seconds) {
        return Err(Denial::new(Code::TokenExpired, "the sandbox's identity has expired"));
    }
    Ok(Arc::clone(sandbox))
}

fn basic<'a>(
    id: &str,
    token: &Token,
    generation: &'a Generation,
) -> Result<&'a Arc<Sandbox>, Denial> {
    let known = generation.sandbox(id);
    let expected = known.and_then(|s| s.token);
    // An unknown id takes the same comparison as a known one: the answer's time tells nothing.
    let matches = token.matches(&expected.unwrap_or(Token::from_hash([0; 32])));
    match known {
        Some(sandbox) if matches && expected.is_some() => Ok(sandbox),
        None if generation.was_revoked(id) => {
            Err(Denial::new(Code::TokenRevoked, "the sandbox was revoked"))
        }
        _ => Err(Denial::new(Code::ProxyAuthRequired, "the sandbox's id or token is not known")),
    }
}

/// Reads `Proxy-Authorization`. What is there but cannot be read is refused, not ignored.
pub(crate) fn presented(value: Option<&[u8]>) -> Result<Presented, Denial> {
    let Some(value) = value else { return Ok(Presented::Nothing) };
    let unreadable = || {
        Denial::new(
            Code::ProxyAuthRequired,
            "Proxy-Authorization is neither `Basic id:token` nor `Bearer token`",
        )
    };
    let space = value.iter().position(|b| *b == b' ').ok_or_else(unreadable)?;
    let (scheme, rest) = value.split_at_checked(space).ok_or_else(unreadable)?;
    let rest = rest.trim_ascii();
    if scheme.eq_ignore_ascii_case(b"bearer") && !rest.is_empty() {
        return Ok(Presented::Bearer(Token::of(rest)));
    }
    if !scheme.eq_ignore_ascii_case(b"basic") {
        return Err(unreadable());
    }
    let pair = zeroize::Zeroizing::new(BASE64.decode(rest).map_err(|_| unreadable())?);
    let colon = pair.iter().position(|b| *b == b':').ok_or_else(unreadable)?;
    let (id, token) = pair.split_at_checked(colon).ok_or_else(unreadable)?;
    let id = std::str::from_utf8(id).map_err(|_| unreadable())?.to_owned();
    let token = Token::of(token.get(1..).unwrap_or_default());
    Ok(Presented::Basic { id, token })
}
