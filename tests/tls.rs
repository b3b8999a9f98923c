//! Both ends of TLS: what a sandbox may ask for and gets, and which upstreams are trusted. And the
//! deadlines that hold even while bytes keep coming.

#![cfg(test)]

#[expect(dead_code, reason = "each test file uses its part of the rig")]
#[path = "hostile/mod.rs"]
mod rig;

use pingora::utils::tls::{WrappedX509, parse_x509};
use rig::arena::{Arena, SANDBOX, Setup, Target};
use rig::client::{Client, Tls};
use rig::h2::{self, H2};
use rig::pki::PrivateCa;
use rig::stream::Filled;
use rig::upstream::{Upstream, ok};
use rustls::{ClientConnection, HandshakeKind};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// A proxy in front of `alpha.test`.
struct Scene {
    arena: Arena,
    alpha: Upstream,
}

fn scene(limits: &str) -> Scene {
    provider();
    let ca = PrivateCa::new();
    let alpha = Upstream::tls(ca.server(&["alpha.test"]), ok());
    let target = Target::bound("alpha", alpha.address, ca.pem(), "{ name = \"all\" },");
    let setup = Setup { targets: vec![target], limits: limits.to_owned(), ..Setup::default() };
    Scene { arena: Arena::start(setup), alpha }
}

fn provider() {
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
}

impl Scene {
    /// TLS inside a fresh tunnel to `host`.
    fn shake(&self, host: &str, tls: &Tls) -> Result<Client, std::io::Error> {
        self.tunnel(host).into_tls(tls)
    }

    fn tunnel(&self, host: &str) -> Client {
        let mut client = Client::connect(self.arena.process.proxy);
        let opened = client.open_tunnel(&format!("{host}:443"), &self.arena.auth(SANDBOX));
        opened.expect("a tunnel");
        client
    }

    /// The leaf that is shown for `host`, in DER.
    fn leaf(&self, host: &str) -> Vec<u8> {
        let name = host.trim_matches(['[', ']']);
        let client = self.shake(host, &self.arena.tls(name, &[])).expect("a trusted leaf");
        client.tls().peer_certificates().expect("a chain")[0].to_vec()
    }

    fn minted(&self) -> usize {
        let metrics = String::from_utf8(self.arena.metrics()).expect("text");
        let line = metrics.lines().find(|line| line.contains("leaf") && line.contains("minted"));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0)
    }
}

#[test]
fn a_leaf_is_what_every_client_accepts() {
    let scene = scene("");
    let hosts = [
        ("alpha.test", "DNSName(\"alpha.test\")"),
        ("93.184.216.34", "IPAddress([93, 184, 216, 34])"),
        ("[2606:4700::1111]", "IPAddress([38, 6, 71, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 17, 17])"),
        (LONG_NAME, LONG_NAME),
    ];
    let mut serials = Vec::new();
    for (host, name) in hosts {
        let leaf = WrappedX509::new(scene.leaf(host), parse_x509);
        let leaf = leaf.borrow_cert();
        let names = leaf.subject_alternative_name().expect("readable").expect("a SAN");
        assert!(!names.critical, "{host}");
        assert_eq!(names.value.general_names.len(), 1, "{host}");
        assert!(format!("{:?}", names.value.general_names).contains(name), "{host}: {names:?}");
        let usage = leaf.extended_key_usage().expect("readable").expect("an EKU").value;
        assert!(usage.server_auth && !usage.client_auth && !usage.any, "{host}: {usage:?}");
        assert!(!leaf.is_ca(), "{host}");
        assert!(leaf.subject().iter().next().is_some(), "{host}: an empty subject");
        let authority_key = "2.5.29.35";
        let extensions: Vec<_> = leaf.extensions().iter().map(|e| e.oid.to_id_string()).collect();
        assert!(extensions.iter().any(|oid| oid == authority_key), "{host}: {extensions:?}");
        let validity = leaf.validity();
        let seconds = validity.not_after.timestamp() - validity.not_before.timestamp();
        assert!(seconds <= 25 * 3600, "{host}: {seconds} s, an hour of them backdated");
        let serial = leaf.raw_serial();
        assert!(serial.len() <= 20 && serial[0] < 0x80, "{host}: {serial:?}");
        serials.push(serial.to_vec());
    }
    serials.sort();
    serials.dedup();
    assert_eq!(serials.len(), hosts.len(), "a serial was used twice");
}

/// Longer than a common name may be.
const LONG_NAME: &str =
    "a-label-of-forty-bytes-is-what-this-one-is.and-another-one-of-forty-bytes.test";

#[test]
fn a_name_has_one_leaf_however_often_it_is_asked_for() {
    let scene = scene("");
    let first = scene.leaf("alpha.test");
    assert_eq!(first, scene.leaf("alpha.test"));
    assert_eq!(first, scene.leaf("ALPHA.test."));
    assert_eq!(scene.minted(), 1);
    assert_ne!(first, scene.leaf("beta.test"));
    assert_eq!(scene.minted(), 2);
}

#[test]
fn many_that_ask_for_a_name_at_once_make_one_leaf() {
    let scene = scene("");
    std::thread::scope(|threads| {
        let leaves: Vec<_> = (0..8).map(|_| threads.spawn(|| scene.leaf("alpha.test"))).collect();
        let leaves: Vec<_> = leaves.into_iter().map(|leaf| leaf.join().expect("a leaf")).collect();
        assert!(leaves.windows(2).all(|pair| pair[0] == pair[1]), "several leaves");
    });
    assert_eq!(scene.minted(), 1);
}

#[test]
fn alpn_is_answered_with_what_was_offered_or_refused() {
    let scene = scene("");
    let cases: [(&[&str], Option<&[u8]>); 5] = [
        (&[], None),
        (&["h2"], Some(b"h2")),
        (&["http/1.1"], Some(b"http/1.1")),
        (&["http/1.1", "h2"], Some(b"h2")),
        (&["h3", "spdy/1", "http/1.1"], Some(b"http/1.1")),
    ];
    for (offered, expected) in cases {
        let client = scene.shake("alpha.test", &scene.arena.tls("alpha.test", offered));
        let client = client.unwrap_or_else(|error| panic!("{offered:?}: {error}"));
        assert_eq!(client.tls().alpn_protocol(), expected, "{offered:?}");
    }
    for refused in [&["h3"][..], &["imap", "spdy/1"]] {
        let error = scene.shake("alpha.test", &scene.arena.tls("alpha.test", refused)).err();
        let error = error.expect("a refusal").to_string();
        assert!(error.contains("NoApplicationProtocol"), "{refused:?}: {error}");
    }
    let many: Vec<String> =
        (0..100).map(|number| format!("x{number}")).chain(["h2".into()]).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let client = scene.shake("alpha.test", &scene.arena.tls("alpha.test", &many)).expect("h2");
    assert_eq!(client.tls().alpn_protocol(), Some(&b"h2"[..]));
}

#[test]
fn without_alpn_http1_is_spoken() {
    let scene = scene("");
    let mut client =
        scene.shake("alpha.test", &scene.arena.tls("alpha.test", &[])).expect("a handshake");
    client.send(b"GET / HTTP/1.1\r\nHost: alpha.test\r\n\r\n");
    assert_eq!(client.answer(false).map(|answer| answer.status), Some(200));
}

#[test]
fn without_sni_the_tunnels_host_is_meant() {
    let scene = scene("");
    let mut tls = scene.arena.tls("alpha.test", &["http/1.1"]);
    tls.config.enable_sni = false;
    let mut client = scene.shake("alpha.test", &tls).expect("a handshake");
    client.send(b"GET / HTTP/1.1\r\nHost: alpha.test\r\n\r\n");
    assert_eq!(client.answer(false).map(|answer| answer.status), Some(200));
}

#[test]
fn sni_of_another_host_is_refused_before_any_upstream_byte() {
    let scene = scene("");
    let error = scene.shake("alpha.test", &scene.arena.tls("beta.test", &["http/1.1"])).err();
    let error = error.expect("a refusal").to_string();
    assert!(error.contains("UnrecognisedName"), "{error}");
    assert_eq!(scene.alpha.seen(|seen| seen.connections), 0);
    let is_it = |line: &serde_json::Value| line["code"] == "authority_mismatch";
    let lines = scene.arena.tail.since(0, |lines| lines.iter().any(is_it));
    assert!(lines.iter().any(is_it), "{lines:?}");
}

#[test]
fn tls_1_2_and_1_3_are_spoken_and_a_foreign_client_certificate_changes_nothing() {
    let scene = scene("");
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let mut tls = scene.arena.tls("alpha.test", &["http/1.1"]);
        let roots = rig::client::roots(&scene.arena.file("ca.pem"));
        tls.config = rustls::ClientConfig::builder_with_protocol_versions(&[version])
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut client = scene.shake("alpha.test", &tls).expect("a handshake");
        assert_eq!(client.tls().protocol_version(), Some(version.version));
        client.send(b"GET / HTTP/1.1\r\nHost: alpha.test\r\n\r\n");
        assert_eq!(client.answer(false).map(|answer| answer.status), Some(200));
    }
}

#[test]
fn a_ticket_for_one_host_does_not_open_another() {
    let scene = scene("");
    let mut tls = scene.arena.tls("alpha.test", &["http/1.1"]);
    tls.config.resumption = rustls::client::Resumption::in_memory_sessions(8);
    for host in ["alpha.test", "alpha.test", "beta.test"] {
        let asked = Tls { name: host.to_owned(), config: tls.config.clone() };
        let mut client = scene.shake(host, &asked).expect("a handshake");
        client.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes());
        let status = client.answer(false).map(|answer| answer.status);
        assert_eq!(status, Some(if host == "alpha.test" { 200 } else { 403 }), "{host}");
    }
}

/// D04: what is encrypted of a hello is nothing that anybody here reads or passes on.
#[test]
fn an_encrypted_hello_is_not_accepted_and_the_outer_name_decides() {
    use rustls::client::{EchGreaseConfig, EchMode, EchStatus};
    let scene = scene("");
    let suite = rustls::crypto::aws_lc_rs::hpke::ALL_SUPPORTED_SUITES[0];
    let (public, _) = suite.generate_key_pair().expect("a key pair");
    let with_ech = |name: &str| {
        let mut tls = scene.arena.tls(name, &["http/1.1"]);
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        tls.config = rustls::ClientConfig::builder_with_provider(Arc::new(provider))
            .with_ech(EchMode::Grease(EchGreaseConfig::new(suite, public.clone())))
            .expect("TLS 1.3")
            .with_root_certificates(rig::client::roots(&scene.arena.file("ca.pem")))
            .with_no_client_auth();
        tls
    };
    let mut client = scene.shake("alpha.test", &with_ech("alpha.test")).expect("a handshake");
    assert_eq!(client.tls().ech_status(), EchStatus::Grease);
    client.send(b"GET / HTTP/1.1\r\nHost: alpha.test\r\n\r\n");
    assert_eq!(client.answer(false).map(|answer| answer.status), Some(200));
    let error = scene.shake("alpha.test", &with_ech("beta.test")).err().expect("a refusal");
    assert!(error.to_string().contains("UnrecognisedName"), "{error}");
}

/// D12: a request that somebody could send again is not taken before the handshake is over.
#[test]
fn early_data_is_not_offered() {
    let scene = scene("");
    let mut tls = scene.arena.tls("alpha.test", &["http/1.1"]);
    tls.config.resumption = rustls::client::Resumption::in_memory_sessions(8);
    tls.config.enable_early_data = true;
    for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
        let mut client = scene.shake("alpha.test", &tls).expect("a handshake");
        assert_eq!(client.tls().handshake_kind(), Some(kind));
        assert!(!client.tls().is_early_data_accepted());
        // The tickets come with the answer.
        client.send(b"GET / HTTP/1.1\r\nHost: alpha.test\r\n\r\n");
        assert_eq!(client.answer(false).map(|answer| answer.status), Some(200));
    }
    let name = "alpha.test".try_into().expect("a server name");
    let mut again = ClientConnection::new(Arc::new(tls.config.clone()), name).expect("a client");
    assert!(again.early_data().is_none(), "a ticket allows early data");
}

#[test]
fn a_client_that_does_not_trust_the_authority_is_on_record() {
    let scene = scene("");
    let stranger = TempDir::new().expect("a directory");
    let pem = stranger.path().join("ca.pem");
    std::fs::write(&pem, PrivateCa::new().pem()).expect("a file");
    let error = scene.shake("alpha.test", &Tls::new(&pem, "alpha.test", &[])).err();
    assert!(error.expect("a refusal").to_string().contains("UnknownIssuer"));
    let is_it = |line: &serde_json::Value| {
        line["detail"].as_str().is_some_and(|detail| detail.contains("rejected the interception"))
    };
    let lines = scene.arena.tail.since(0, |lines| lines.iter().any(is_it));
    assert!(lines.iter().any(is_it), "{lines:?}");
}

/// Sends `bytes` one by one, each when nothing came back for a moment, until the proxy ends the
/// connection; false if it takes them all, or goes on for as long as the test has patience.
fn drips_until_closed(client: &mut Client, bytes: &[u8]) -> bool {
    /// Between two bytes; far less than any deadline, so that each looks like progress.
    const BETWEEN: Duration = Duration::from_millis(20);
    client.stream.socket().set_read_timeout(Some(BETWEEN)).ok();
    let mut came = Vec::new();
    for byte in bytes.iter().take(500) {
        if !client.send(&[*byte]) {
            return true;
        }
        match client.stream.fill(&mut came) {
            Filled::Silence | Filled::Bytes(_) => {}
            Filled::End | Filled::Reset => return true,
        }
    }
    false
}

/// Deadlines far below what dripping these bytes takes.
const SHORT: &str =
    "head_ms = 1000\nhandshake_ms = 1000\nbody_grace_ms = 1000\nkeepalive_ms = 1000";

#[test]
fn a_head_that_drips_ends_at_its_deadline() {
    let scene = scene(SHORT);
    let head = format!("GET / HTTP/1.1\r\nHost: alpha.test\r\nX: {}", "y".repeat(500));
    let mut port = Client::connect(scene.arena.process.proxy);
    assert!(drips_until_closed(&mut port, head.as_bytes()), "at the proxy port");
    let mut inside = scene.arena.inside("alpha.test", "http/1.1");
    assert!(drips_until_closed(&mut inside, head.as_bytes()), "inside the tunnel");
    assert_eq!(scene.alpha.seen(|seen| seen.connections), 0);
}

#[test]
fn a_hello_that_drips_ends_at_its_deadline() {
    let scene = scene(SHORT);
    let tls = scene.arena.tls("alpha.test", &["h2"]);
    let name = tls.name.clone().try_into().expect("a server name");
    let mut conn = ClientConnection::new(Arc::new(tls.config), name).expect("a client");
    let mut hello = Vec::new();
    conn.write_tls(&mut hello).expect("a hello");
    let mut client = scene.tunnel("alpha.test");
    assert!(drips_until_closed(&mut client, &hello));
}

#[test]
fn a_body_that_drips_ends_at_its_deadline() {
    let scene = scene(SHORT);
    let mut client = scene.arena.inside("alpha.test", "http/1.1");
    client.send(b"POST / HTTP/1.1\r\nHost: alpha.test\r\nContent-Length: 100000\r\n\r\n");
    assert!(drips_until_closed(&mut client, &[b'x'; 500]));
    assert!(scene.alpha.seen(|seen| seen.requests.iter().all(|request| !request.complete)));
}

#[test]
fn a_body_that_drips_over_http2_ends_at_its_deadline() {
    let scene = scene(SHORT);
    let mut h2 = H2::start(scene.arena.inside("alpha.test", "h2"));
    let fields =
        [(":method", "POST"), (":scheme", "https"), (":authority", "alpha.test"), (":path", "/")];
    let fields = fields.map(|(name, value)| (name.into(), value.into()));
    h2.client.send(&h2::headers(1, &fields, false));
    h2.client.stream.socket().set_read_timeout(Some(Duration::from_millis(20))).ok();
    let mut sent = 0;
    while !h2.replies.streams.get(&1).is_some_and(h2::Reply::is_settled) {
        assert!(sent < 500, "the stream was left open");
        h2.client.send(&h2::data(1, b"x", false));
        sent += 1;
        h2.read_moment();
    }
}

#[test]
fn an_http2_connection_on_which_nothing_is_asked_ends() {
    let scene = scene(SHORT);
    let mut h2 = H2::start(scene.arena.inside("alpha.test", "h2"));
    h2.read_until(|_| false);
    assert_ne!(h2.replies.end, Some(Filled::Silence), "an idle connection was left open");
}

#[test]
fn an_http2_client_that_never_says_hello_ends_at_the_deadline() {
    let scene = scene(SHORT);
    let mut client = scene.arena.inside("alpha.test", "h2");
    client.send(b"PRI * HTTP/2.0\r\n\r\nSM");
    assert_ne!(client.read_to_end(), Filled::Silence, "half a preface was waited for");
}

#[test]
fn an_http2_stream_whose_window_stays_shut_ends() {
    let scene = scene(&format!("{SHORT}\nwrite_stall_ms = 400"));
    let mut h2 = H2::start(scene.arena.inside("alpha.test", "h2"));
    // SETTINGS_INITIAL_WINDOW_SIZE = 0: nothing of a body may be sent, ever.
    h2.client.send(&h2::frame(h2::SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]));
    let fields =
        [(":method", "GET"), (":scheme", "https"), (":authority", "alpha.test"), (":path", "/")];
    let fields = fields.map(|(name, value)| (name.into(), value.into()));
    h2.client.send(&h2::headers(1, &fields, true));
    h2.read_until(|replies| replies.streams.get(&1).is_some_and(h2::Reply::is_settled));
    assert_ne!(h2.replies.end, Some(Filled::Silence), "the stream was left open");
}
