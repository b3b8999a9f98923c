//! How often an address may fail. Whoever tries secrets, or fills our tables, is told to wait; a
//! caller who was let in lately is never kept out by what others of its address do.
//!
//! It must not be all that stands between a guess and a secret: secrets are long.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use ipnet::IpNet;

use super::problem::Problem;
use crate::clock::Clock;
use crate::ledger::TOKEN_HEADER;

/// Failures that an address may have at once, and how many of them are forgiven in a second.
const FAILURES_MAX: i64 = 120;
const FORGIVEN_PER_SECOND: i64 = 2;
/// Addresses, and callers who were let in, that are remembered.
const REMEMBERED_MAX: usize = 20_000;
const KNOWN_MS: i64 = 10 * 60 * 1000;

/// What keeps callers out for a while. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Gate(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    clock: Clock,
    /// Where proxies of ours are, whose word about addresses counts.
    trusted: Vec<IpNet>,
    keyed: RandomState,
    remembered: Mutex<Remembered>,
}

#[derive(Debug, Default)]
struct Remembered {
    failures: HashMap<u64, Failures>,
    /// Until when a caller counts as one who was let in.
    known: HashMap<u64, i64>,
}

/// Thousandths of failures that are not forgiven yet, as of some time.
#[derive(Clone, Copy, Debug)]
struct Failures {
    thousandths: i64,
    at_ms: i64,
}

impl Failures {
    fn at(self, now_ms: i64) -> Self {
        // A clock that went back forgives nothing.
        let passed = now_ms.saturating_sub(self.at_ms).max(0);
        let thousandths =
            self.thousandths.saturating_sub(passed.saturating_mul(FORGIVEN_PER_SECOND));
        Self { thousandths: thousandths.max(0), at_ms: now_ms }
    }

    /// Seconds until one more is allowed.
    fn wait(self) -> Option<u64> {
        let over = self.thousandths - (FAILURES_MAX - 1) * 1000;
        let seconds = u64::try_from(over).ok()?.div_ceil(1000 * FORGIVEN_PER_SECOND.unsigned_abs());
        (over > 0).then_some(seconds.max(1))
    }
}

/// What is guarded: failures at one are none at another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Scope<'p> {
    /// Where providers call: one address calls for many, so that each way in is on its own.
    Webhook(&'p str),
    /// Where anybody may begin something.
    Public,
    /// Everything that needs a token or a session.
    Api,
}

impl<'p> Scope<'p> {
    /// `None`: there is nothing to try.
    fn of(path: &'p str) -> Option<Self> {
        const OPEN: [&str; 11] = [
            "/healthz",
            "/readyz",
            "/versionz",
            "/contractz",
            "/fabric-presencez",
            "/fabric-compatibilityz",
            "/fabric-manifest.json",
            "/metrics",
            "/openapi.json",
            "/docs",
            "/redoc",
        ];
        const PUBLIC: [&str; 5] = [
            "/api/v1/auth/",
            "/v1/integration/callback",
            "/internal/proxies/enroll",
            "/api/approvals/",
            "/api/v1/approvals/",
        ];
        if OPEN.contains(&path) || path.starts_with("/docs/") {
            return None;
        }
        let is_webhook = path.starts_with("/p/integration/webhooks/")
            || path.starts_with("/api/v1/projects/") && path.ends_with("/webhook");
        Some(match path {
            path if is_webhook => Self::Webhook(path),
            path if PUBLIC.iter().any(|start| path.starts_with(start)) => Self::Public,
            _ => Self::Api,
        })
    }

    /// Whether an answer counts as a failure.
    fn counts(self, path: &str, status: StatusCode) -> bool {
        let refused = [
            StatusCode::BAD_REQUEST,
            StatusCode::UNAUTHORIZED,
            StatusCode::FORBIDDEN,
            StatusCode::NOT_FOUND,
        ];
        match self {
            Self::Api => status == StatusCode::UNAUTHORIZED,
            // Each begins something that is remembered here until it is finished, or is not.
            Self::Public if path == "/api/v1/auth/oidc/login" => true,
            Self::Public | Self::Webhook(_) => refused.contains(&status),
        }
    }
}

impl Gate {
    /// Nobody is kept out.
    pub fn open() -> Self {
        Self(None)
    }

    /// `trusted`: proxies in front of the service, who say in `X-Forwarded-For` who asks.
    pub fn new(clock: Clock, trusted: Vec<IpNet>) -> Self {
        let (keyed, remembered) = (RandomState::new(), Mutex::default());
        Self(Some(Arc::new(Inner { clock, trusted, keyed, remembered })))
    }
}

impl Inner {
    /// Where a request comes from, as far as that can be known.
    fn address(&self, request: &Request) -> Option<IpAddr> {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>()?.0.ip().to_canonical();
        let is_trusted = |address: &IpAddr| self.trusted.iter().any(|net| net.contains(address));
        if !is_trusted(&peer) {
            return Some(network(peer));
        }
        let values = request.headers().get_all("x-forwarded-for").iter();
        let texts: Vec<&str> = values.filter_map(|value| value.to_str().ok()).collect();
        let said = texts.iter().flat_map(|text| text.split(',')).rev();
        // The nearest that is none of ours: what stands before it is the caller's own word.
        let said = said.map(|text| text.trim().parse::<IpAddr>().ok().map(|ip| ip.to_canonical()));
        let mut others = said.skip_while(|ip| ip.as_ref().is_some_and(is_trusted));
        Some(network(others.next().flatten().unwrap_or(peer)))
    }

    fn wait(&self, key: u64, caller: Option<u64>) -> Option<u64> {
        let now_ms = self.clock.now_ms();
        let remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = remembered.failures.get(&key)?.at(now_ms).wait()?;
        let known = caller.and_then(|caller| remembered.known.get(&caller));
        known.is_none_or(|until| *until <= now_ms).then_some(wait)
    }

    fn failed(&self, key: u64) {
        let now_ms = self.clock.now_ms();
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        let failures = &mut remembered.failures;
        if failures.len() >= REMEMBERED_MAX {
            failures.retain(|_, it| it.at(now_ms).thousandths > 0);
        }
        // Whoever has so many addresses is not kept out by any of them.
        if failures.len() < REMEMBERED_MAX || failures.contains_key(&key) {
            let none = Failures { thousandths: 0, at_ms: now_ms };
            let now = failures.get(&key).copied().unwrap_or(none).at(now_ms);
            let thousandths = (now.thousandths + 1000).min(FAILURES_MAX * 1000);
            failures.insert(key, Failures { thousandths, ..now });
        }
    }

    fn let_in(&self, caller: u64) {
        let now_ms = self.clock.now_ms();
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        let known = &mut remembered.known;
        if known.len() >= REMEMBERED_MAX {
            known.retain(|_, until| *until > now_ms);
        }
        if known.len() < REMEMBERED_MAX {
            known.insert(caller, now_ms.saturating_add(KNOWN_MS));
        }
    }
}

/// Whoever has one address of IPv6 has all of its network.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

/// What a caller shows to be let in.
fn shown(headers: &HeaderMap) -> Option<&[u8]> {
    let names = [header::AUTHORIZATION.as_str(), TOKEN_HEADER, header::COOKIE.as_str()];
    names.into_iter().find_map(|name| headers.get(name)).map(|value| value.as_bytes())
}

pub(super) async fn limit(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let guarded = gate.0.as_ref().zip(Scope::of(&path));
    let guarded = guarded.and_then(|(inner, scope)| Some((inner, scope, inner.address(&request)?)));
    let Some((inner, scope, address)) = guarded else { return next.run(request).await };
    let key = inner.keyed.hash_one((address, scope));
    let caller = shown(request.headers()).map(|shown| inner.keyed.hash_one((address, shown)));
    if let Some(seconds) = inner.wait(key, caller) {
        let detail = "too much was refused to this address";
        let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", detail);
        return problem.retry_after(seconds).into_response();
    }
    let response = next.run(request).await;
    if scope.counts(&path, response.status()) {
        inner.failed(key);
    } else if let Some(caller) = caller.filter(|_| response.status() != StatusCode::UNAUTHORIZED) {
        inner.let_in(caller);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_forgiven_with_time_and_not_by_a_clock_that_goes_back() {
        let full = Failures { thousandths: FAILURES_MAX * 1000, at_ms: 10_000 };
        assert_eq!(full.at(10_000).wait(), Some(1));
        assert_eq!(full.at(10_499).wait(), Some(1));
        assert_eq!(full.at(10_500).wait(), None);
        assert_eq!(full.at(0).wait(), Some(1));
        assert_eq!(full.at(i64::MAX).thousandths, 0);
        assert_eq!(full.at(i64::MIN).wait(), Some(1));
    }

    #[test]
    fn every_path_is_guarded_but_those_that_everybody_may_see() {
        for (path, scope) in [
            ("/v1/me", Some(Scope::Api)),
            ("/api/setup-import", Some(Scope::Api)),
            ("/nowhere", Some(Scope::Api)),
            ("/api/v1/auth/oidc/login", Some(Scope::Public)),
            ("/api/approvals/clawledger", Some(Scope::Public)),
            ("/p/integration/webhooks/a/b", Some(Scope::Webhook("/p/integration/webhooks/a/b"))),
            ("/healthz", None),
            ("/docs", None),
            ("/docs/page.js", None),
        ] {
            assert_eq!(Scope::of(path), scope, "{path}");
        }
        assert_eq!(
            Scope::of("/api/v1/projects/o/integrations/g/webhook"),
            Some(Scope::Webhook("/api/v1/projects/o/integrations/g/webhook"))
        );
    }

    #[test]
    fn the_word_of_a_trusted_proxy_counts_and_nobody_elses() {
        let gate = |trusted: &str| {
            let trusted = trusted.split_whitespace().map(|net| net.parse().unwrap()).collect();
            Gate::new(Clock::of(|| 0), trusted).0.unwrap()
        };
        let from = |peer: &str, said: &str| {
            let mut request = Request::builder().header("x-forwarded-for", said);
            let peer: SocketAddr = peer.parse().unwrap();
            request.extensions_mut().unwrap().insert(ConnectInfo(peer));
            request.body(axum::body::Body::empty()).unwrap()
        };
        for (trusted, peer, said, expected) in [
            ("", "192.0.2.1:1", "198.51.100.1", "192.0.2.1"),
            ("10.0.0.0/8", "192.0.2.1:1", "198.51.100.1", "192.0.2.1"),
            ("10.0.0.0/8", "10.0.0.1:1", "198.51.100.1", "198.51.100.1"),
            ("10.0.0.0/8", "10.0.0.1:1", "203.0.113.9, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
            ("10.0.0.0/8", "10.0.0.1:1", "203.0.113.9, nonsense, 10.0.0.2", "10.0.0.1"),
            ("10.0.0.0/8", "10.0.0.1:1", "", "10.0.0.1"),
            ("10.0.0.0/8", "[::ffff:10.0.0.1]:1", "198.51.100.1", "198.51.100.1"),
            ("", "[2001:db8:1:2:3:4:5:6]:1", "", "2001:db8:1:2::"),
        ] {
            let found = gate(trusted).address(&from(peer, said));
            assert_eq!(found, Some(expected.parse().unwrap()), "{peer} {said}");
        }
    }
}
