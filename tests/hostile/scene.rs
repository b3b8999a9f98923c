//! A proxy between a client and one upstream that does what the test says, beside a healthy one.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use super::arena::{Arena, Setup, Target};
use super::client::Client;
use super::h2::{self, H2};
use super::pki::PrivateCa;
use super::upstream::{After, Connection, Request, Upstream, ok};

/// Longer than any test: what is looked at is not a timeout.
const PATIENT: &str = r#"{ name = "all" },"#;
/// Small enough to be waited for.
const HASTY: &str = r#"{ name = "all", connect_ms = 500, first_byte_ms = 500, idle_ms = 500 },"#;

/// A proxy between a client and one upstream that does what the test says, beside a healthy one.
pub(crate) struct Scene {
    pub(crate) arena: Arena,
    pub(crate) healthy: Upstream,
    pub(crate) faulty: Upstream,
}

/// What an upstream does with a request.
pub(crate) type Fault = dyn Fn(&mut Connection, &Request) -> After + Send + Sync;

impl Scene {
    /// The upstream speaks TLS and HTTP, as far as `fault` lets it.
    pub(crate) fn http(fault: Box<Fault>) -> Self {
        Self::speaking_http(fault, PATIENT)
    }

    /// The same, with timeouts that a test waits for.
    pub(crate) fn hasty_http(fault: Box<Fault>) -> Self {
        Self::speaking_http(fault, HASTY)
    }

    fn speaking_http(fault: Box<Fault>, routes: &str) -> Self {
        let ca = provider_and_ca();
        let faulty = Upstream::tls(ca.server(&["faulty.test"]), Arc::from(fault));
        let address = faulty.address;
        Self::at(&ca, faulty, address, routes)
    }

    /// The upstream has the bare socket.
    pub(crate) fn tcp(fault: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let faulty = Upstream::tcp(fault);
        let address = faulty.address;
        Self::at(&provider_and_ca(), faulty, address, PATIENT)
    }

    /// The same, with timeouts that a test waits for.
    pub(crate) fn hasty_tcp(fault: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let faulty = Upstream::tcp(fault);
        let address = faulty.address;
        Self::at(&provider_and_ca(), faulty, address, HASTY)
    }

    /// The faulty upstream is whatever listens at `address`, or does not.
    pub(crate) fn elsewhere(ca: &PrivateCa, address: SocketAddr) -> Self {
        Self::at(ca, Upstream::tcp(drop), address, PATIENT)
    }

    fn at(ca: &PrivateCa, faulty: Upstream, address: SocketAddr, routes: &str) -> Self {
        let healthy = Upstream::tls(ca.server(&["healthy.test"]), ok());
        let targets = vec![
            Target::bound("healthy", healthy.address, ca.pem(), PATIENT),
            Target::bound("faulty", address, ca.pem(), routes),
        ];
        let limits = "informational_max = 8\nwrite_stall_ms = 500".to_owned();
        let arena = Arena::start(Setup { targets, limits, ..Setup::default() });
        Self { arena, healthy, faulty }
    }

    /// Asks the faulty upstream over HTTP/1.1.
    pub(crate) fn ask(&self, request: &str) -> Client {
        let mut client = self.arena.inside("faulty.test", "http/1.1");
        client.send(request.as_bytes());
        client
    }

    pub(crate) fn ask_h2(&self) -> H2 {
        let mut h2 = H2::start(self.arena.inside("faulty.test", "h2"));
        let fields = [
            (":method", "GET"),
            (":scheme", "https"),
            (":authority", "faulty.test"),
            (":path", "/stream"),
        ];
        let fields = fields.map(|(name, value)| (name.into(), value.into()));
        h2.client.send(&h2::headers(1, &fields, true));
        h2
    }

    /// The fault is no affair of anybody else's: not now, and not for its record.
    #[track_caller]
    pub(crate) fn check_others_unharmed(&self) {
        assert_eq!(self.arena.fetch("healthy.test", "/"), 200, "another upstream");
    }

    /// What is on record of the faulty upstream, as soon as it is.
    pub(crate) fn code_on_record(&self) -> String {
        let is_it = |line: &serde_json::Value| line["host"] == "faulty.test";
        let lines = self.arena.tail.since(0, |lines| lines.iter().any(is_it));
        let line = lines.iter().find(|line| is_it(line)).expect("a record");
        line["code"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn requests(&self) -> usize {
        self.faulty.seen(|seen| seen.requests.len())
    }
}

/// An authority for upstreams, when certificates can be made at all.
pub(crate) fn provider_and_ca() -> PrivateCa {
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
    PrivateCa::new()
}
