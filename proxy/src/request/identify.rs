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
use crate::plan::signed::{self, Signers};
use crate::plan::{Generation, Sandbox, Token};

/// What a client says about itself in `Proxy-Authorization`.
#[derive(Debug)]
pub(crate) enum Presented {
    Nothing,
    Bearer(Shown),
    Basic { id: String, token: Shown },
}

/// A token as a client shows it.
#[derive(Debug)]
pub(crate) struct Shown {
    token: Token,
    /// What may be a signed one.
    signed: Option<zeroize::Zeroizing<String>>,
}

impl Shown {
    fn new(text: &[u8]) -> Self {
        let signed = std::str::from_utf8(text).ok().filter(|text| signed::looks_signed(text));
        let signed = signed.map(|text| zeroize::Zeroizing::new(text.to_owned()));
        Self { token: Token::of(text), signed }
    }

    /// The sandbox with this id, when the token is one that was signed for it. For an id that
    /// nobody has as much is done as for any other.
    fn proves(&self, id: &str, generation: &Generation) -> Option<Arc<Sandbox>> {
        let known = generation.sandbox(id);
        let signers = known.and_then(|sandbox| sandbox.signers.as_ref());
        let key = signers.map_or([0; 32], Signers::key);
        let token = signed::verify(self.signed.as_deref()?, key, id, clock::wall_seconds());
        known?.proven_by(Some(token?))
    }
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
        Presented::Bearer(shown) => bearer(shown, generation).ok_or_else(unknown)?,
        Presented::Basic { id, token } => basic(id, token, generation)?,
        Presented::Nothing => connection
            .peer
            .and_then(|ip| generation.by_source(ip))
            // Bound to an address *and* to a token: the address alone proves nothing.
            .filter(|sandbox| sandbox.token.is_none() && sandbox.signers.is_none())
            .cloned()
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
    Ok(sandbox)
}

fn bearer(shown: &Shown, generation: &Generation) -> Option<Arc<Sandbox>> {
    if let Some(sandbox) = generation.by_token(&shown.token) {
        return Some(Arc::clone(sandbox));
    }
    let id = signed::claimed(shown.signed.as_deref()?)?;
    shown.proves(&id, generation)
}

fn basic(id: &str, shown: &Shown, generation: &Generation) -> Result<Arc<Sandbox>, Denial> {
    let known = generation.sandbox(id);
    let former = known.and_then(|sandbox| sandbox.former.as_ref());
    // An unknown id takes the same comparisons as a known one: the answer's time tells nothing.
    let matches = |sandbox: Option<&Arc<Sandbox>>| {
        let expected = sandbox.and_then(|sandbox| sandbox.token);
        let same = shown.token.matches(&expected.unwrap_or(Token::from_hash([0; 32])));
        sandbox.filter(|_| same && expected.is_some()).cloned()
    };
    let (now, before) = (matches(known), matches(former));
    if let Some(proven) = now.or(before).or_else(|| shown.proves(id, generation)) {
        return Ok(proven);
    }
    match known {
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
        return Ok(Presented::Bearer(Shown::new(rest)));
    }
    if !scheme.eq_ignore_ascii_case(b"basic") {
        return Err(unreadable());
    }
    let pair = zeroize::Zeroizing::new(BASE64.decode(rest).map_err(|_| unreadable())?);
    let colon = pair.iter().position(|b| *b == b':').ok_or_else(unreadable)?;
    let (id, token) = pair.split_at_checked(colon).ok_or_else(unreadable)?;
    let id = std::str::from_utf8(id).map_err(|_| unreadable())?.to_owned();
    let token = Shown::new(token.get(1..).unwrap_or_default());
    Ok(Presented::Basic { id, token })
}
