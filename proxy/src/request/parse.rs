//! Step one: a request becomes a value, in the one form that policy is written in.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use http::{HeaderMap, Method, Uri, Version};
use pingora::http::RequestHeader;
use sallygate_compiler::canonical::{self, Authority, Scheme, Target};

use super::{Connection, Scope, Shared, identify};
use crate::denial::{Code, Denial};
use crate::limits::{Limits, size};
use crate::plan::{ActivePlan, Generation};
use crate::stream::head::{Head, check_method};
use crate::stream::lines::slice;

const FORMS: &str = "a proxy takes absolute-form requests, CONNECT, or the base-URL form; inside a \
    tunnel the target begins with a slash";

/// A request as it was understood: what is matched, and what is sent.
#[derive(Debug)]
pub(crate) struct RequestHead {
    pub(crate) mode: Mode,
    pub(crate) scheme: Scheme,
    pub(crate) authority: Arc<Authority>,
    pub(crate) method: Method,
    pub(crate) target: Target<'static>,
    pub(crate) is_h2: bool,
    /// gRPC wants its answers in its own form.
    pub(crate) is_grpc: bool,
    /// `Upgrade: websocket` was asked for.
    pub(crate) is_upgrade: bool,
    /// An HTTP/1 client that reads trailers said so (RFC 9110 §10.1.4).
    pub(crate) wants_trailers: bool,
    /// Kept for a second look only where a plan asks for headers at all.
    pub(crate) headers: HeaderMap,
}

/// How the request came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Absolute,
    BaseUrl,
    Intercept,
}

impl Mode {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Absolute => "absolute",
            Self::BaseUrl => "base-url",
            Self::Intercept => "intercept",
        }
    }
}

/// Reads the head that Pingora parsed. Everything that is not in canonical form is refused here.
pub(super) fn request(
    request: &RequestHeader,
    connection: &Connection,
    generation: &Generation,
    shared: &Shared,
) -> Result<RequestHead, Denial> {
    check_method(request.method.as_str().as_bytes())?;
    if matches!(request.method.as_str(), "TRACE" | "TRACK" | "CONNECT") {
        return Err(bad("this method has no business here"));
    }
    if request.headers.len() > size(shared.limits.headers_max) {
        return Err(bad("too many header fields"));
    }
    check_lengths(&request.headers)?;
    let place = match &connection.scope {
        Scope::Tunnel(tunnel) => {
            agree(request, &tunnel.authority, tunnel.scheme)?;
            let target = origin_form(request.raw_path())?.into_owned();
            Place {
                mode: Mode::Intercept,
                scheme: tunnel.scheme,
                authority: Arc::clone(&tunnel.authority),
                target,
            }
        }
        Scope::Port | Scope::Socket(_) => entrance(request, connection, generation, shared)?,
    };
    let keep_headers = generation.plans().any(|(_, plan)| plan.table.uses_headers());
    Ok(RequestHead {
        mode: place.mode,
        scheme: place.scheme,
        authority: place.authority,
        method: request.method.clone(),
        target: place.target,
        is_h2: request.version == Version::HTTP_2,
        is_grpc: is_grpc(&request.headers),
        is_upgrade: is_upgrade(request),
        wants_trailers: wants_trailers(request),
        headers: if keep_headers { request.headers.clone() } else { HeaderMap::new() },
    })
}

/// Checks that target and Host can belong to a request on this connection. Pingora looks at them
/// too, before we are asked, and what it does not like it refuses without a reason or a record.
/// It compares byte by byte: where Host agrees in another spelling than the target's, the result is
/// where the target's stands.
pub(crate) fn check_form(
    bytes: &[u8],
    head: &Head,
    scope: &Scope,
) -> Result<Option<Range<usize>>, Denial> {
    let (method, target) = (slice(bytes, &head.method), slice(bytes, &head.target));
    let is_tunnelled = matches!(scope, Scope::Tunnel(_));
    if method == b"CONNECT" {
        return if is_tunnelled { Err(bad("CONNECT inside a tunnel")) } else { Ok(None) };
    }
    let host = head.host.as_ref().map(|range| slice(bytes, range));
    if let Some(host) = host
        && !is_tunnels_own(host, scope)
    {
        canonical_authority(host, Scheme::Http)?;
    }
    if target.first() == Some(&b'/') {
        return Ok(None);
    }
    let rest =
        target.strip_prefix(b"http://").filter(|_| !is_tunnelled).ok_or_else(|| bad(FORMS))?;
    let named = split_absolute(rest).0;
    let authority = canonical_authority(named, Scheme::Http)?;
    let default = Some(Scheme::Http.default_port());
    let start = head.target.end - rest.len();
    match host {
        Some(host) if !authority.agrees(host, default) => Err(disagreement(host, default)),
        Some(host) if host != named => Ok(Some(start..start + named.len())),
        Some(_) | None => Ok(None),
    }
}

/// The tunnel's host, letter for letter: canonical already, as nearly every Host in a tunnel is.
fn is_tunnels_own(host: &[u8], scope: &Scope) -> bool {
    let Scope::Tunnel(tunnel) = scope else { return false };
    let own = &tunnel.authority.host;
    own.ip().is_none() && own.as_str().as_bytes() == host
}

/// The size of a field list is that of RFC 9113 §6.5.2: HTTP/1 heads were measured as they came.
pub(crate) fn check_list(uri: &Uri, headers: &HeaderMap, limits: &Limits) -> Result<(), Denial> {
    const FIELD_BYTES: usize = 32;
    if headers.len() > size(limits.headers_max) {
        return Err(bad("too many header fields"));
    }
    let fields: usize =
        headers.iter().map(|(name, value)| name.as_str().len() + value.len() + FIELD_BYTES).sum();
    let path = uri.path_and_query().map_or(0, |path| path.as_str().len());
    match fields + path > size(limits.h2_header_list_bytes) {
        true => Err(bad("the request's fields are too large")),
        false => Ok(()),
    }
}

/// HTTP/2 frames its messages by itself, so nothing there has looked at what an HTTP/1 upstream
/// would frame them by.
fn check_lengths(headers: &HeaderMap) -> Result<(), Denial> {
    let mut lengths = headers.get_all(http::header::CONTENT_LENGTH).iter();
    let is_number =
        |v: &http::HeaderValue| !v.is_empty() && v.as_bytes().iter().all(u8::is_ascii_digit);
    let (first, second) = (lengths.next(), lengths.next());
    if second.is_some() || first.is_some_and(|v| !is_number(v)) {
        return Err(bad("the Content-Length is ambiguous"));
    }
    Ok(())
}

struct Place {
    mode: Mode,
    scheme: Scheme,
    authority: Arc<Authority>,
    target: Target<'static>,
}

fn entrance(
    request: &RequestHeader,
    connection: &Connection,
    generation: &Generation,
    shared: &Shared,
) -> Result<Place, Denial> {
    let raw = request.raw_path();
    if let Some(rest) = raw.strip_prefix(b"http://") {
        return absolute(request, rest);
    }
    if let Some(rest) = base_url_rest(raw, &shared.egress_prefix) {
        // Route names mean something only within one plan, so here the caller comes first.
        return base_url(rest, &identify::sandbox(request, connection, generation)?.plan);
    }
    Err(bad(FORMS))
}

/// What stands behind `http://`: the authority, and the rest.
fn split_absolute(rest: &[u8]) -> (&[u8], &[u8]) {
    let end = rest.iter().position(|b| matches!(b, b'/' | b'?')).unwrap_or(rest.len());
    rest.split_at(end)
}

fn absolute(request: &RequestHeader, rest: &[u8]) -> Result<Place, Denial> {
    let (authority, path) = split_absolute(rest);
    let authority = canonical_authority(authority, Scheme::Http)?;
    agree(request, &authority, Scheme::Http)?;
    let path: Cow<'_, [u8]> = match path.first() {
        Some(b'/') => Cow::Borrowed(path),
        _ => Cow::Owned([b"/", path].concat()),
    };
    let target = origin_form(&path)?.into_owned();
    Ok(Place { mode: Mode::Absolute, scheme: Scheme::Http, authority: Arc::new(authority), target })
}

fn base_url_rest<'a>(raw: &'a [u8], prefix: &str) -> Option<&'a [u8]> {
    raw.strip_prefix(b"/")?.strip_prefix(prefix.as_bytes())?.strip_prefix(b"/")
}

/// `/{prefix}/{binding}/{route}/…`: the route's own base URL, with the rest behind it.
fn base_url(rest: &[u8], plan: &ActivePlan) -> Result<Place, Denial> {
    let unknown = || Denial::new(Code::NoRoute, "no route with a base URL has this name");
    let text = std::str::from_utf8(rest).map_err(|_| unknown())?;
    let (binding, rest) = text.split_once('/').ok_or_else(unknown)?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (name, tail) = rest.split_at_checked(end).ok_or_else(unknown)?;
    let mut routes = plan.table.plan().egress_routes.iter();
    let is_meant =
        |id: &str| id.strip_prefix(binding).and_then(|r| r.strip_prefix('/')) == Some(name);
    let base = routes
        .find(|route| is_meant(&route.route_id))
        .and_then(|route| route.upstream.base_url.as_deref())
        .ok_or_else(unknown)?;
    let (scheme, rest) = match base.split_once("://") {
        Some(("https", rest)) => (Scheme::Https, rest),
        Some(("http", rest)) => (Scheme::Http, rest),
        _ => return Err(unknown()),
    };
    let (host, path) =
        rest.split_at_checked(rest.find('/').unwrap_or(rest.len())).ok_or_else(unknown)?;
    let authority = canonical_authority(host.as_bytes(), scheme)?;
    let slash = if tail.starts_with('/') || (!path.is_empty() && path != "/") { "" } else { "/" };
    let full = format!("{}{slash}{tail}", path.trim_end_matches('/'));
    let target = origin_form(full.as_bytes())?.into_owned();
    Ok(Place { mode: Mode::BaseUrl, scheme, authority: Arc::new(authority), target })
}

fn canonical_authority(input: &[u8], scheme: Scheme) -> Result<Authority, Denial> {
    canonical::authority(input, Some(scheme.default_port()))
        .map_err(|e| Denial::new(Code::HostNotCanonical, e.to_string()))
}

fn origin_form(raw: &[u8]) -> Result<Target<'_>, Denial> {
    if raw.first() != Some(&b'/') {
        return Err(bad("the request target does not begin with a slash"));
    }
    canonical::target(raw).map_err(|e| Denial::new(Code::PathNotCanonical, e.to_string()))
}

/// Host and `:authority`, where they stand, must name the host and port of the connection.
fn agree(request: &RequestHeader, authority: &Authority, scheme: Scheme) -> Result<(), Denial> {
    let default = Some(scheme.default_port());
    let mut hosts = request.headers.get_all(http::header::HOST).iter();
    let (host, second) = (hosts.next(), hosts.next());
    if second.is_some() {
        return Err(bad("two Host fields"));
    }
    if let Some(host) = host
        && !authority.agrees(host.as_bytes(), default)
    {
        return Err(disagreement(host.as_bytes(), default));
    }
    if request.version != Version::HTTP_2 {
        return Ok(());
    }
    if request.uri.scheme_str().is_some_and(|s| s != scheme.as_str()) {
        return Err(bad("the request's scheme is not the connection's"));
    }
    match request.uri.authority() {
        Some(named) if !authority.agrees(named.as_str().as_bytes(), default) => {
            Err(disagreement(named.as_str().as_bytes(), default))
        }
        Some(_) => Ok(()),
        None if host.is_some() => Ok(()),
        None => Err(bad("the request names no host")),
    }
}

/// A name that is not canonical is told apart from one that is merely another.
fn disagreement(named: &[u8], default: Option<u16>) -> Denial {
    match canonical::authority(named, default) {
        Err(e) => Denial::new(Code::HostNotCanonical, e.to_string()),
        Ok(_) => Denial::new(
            Code::AuthorityMismatch,
            "CONNECT, TLS and the request must name the same host and port",
        ),
    }
}

fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(http::header::CONTENT_TYPE).map(http::HeaderValue::as_bytes);
    kind.is_some_and(|k| k.starts_with(b"application/grpc"))
}

fn wants_trailers(request: &RequestHeader) -> bool {
    let codings = request.headers.get_all(http::header::TE).iter();
    let mut options = codings.flat_map(|v| v.as_bytes().split(|b| *b == b','));
    options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

fn is_upgrade(request: &RequestHeader) -> bool {
    let upgrade = request.headers.get(http::header::UPGRADE).map(http::HeaderValue::as_bytes);
    request.version == Version::HTTP_11
        && request.method == Method::GET
        && upgrade.is_some_and(|u| u.eq_ignore_ascii_case(b"websocket"))
}

fn bad(detail: &'static str) -> Denial {
    Denial::new(Code::BadFraming, detail)
}
