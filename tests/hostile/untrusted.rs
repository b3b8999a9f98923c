//! Upstreams that cannot prove who they are, or do not finish their handshake, each under a name.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa,
    NameConstraints, SanType, date_time_ymd,
};
use rustls::ServerConfig;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

use super::pki::{Asks, PrivateCa, self_signed, weak};
use super::upstream::{Upstream, ok};

/// One of them: its target's name, and the host that it is asked for as.
pub(crate) struct Untrusted {
    pub(crate) name: &'static str,
    pub(crate) host: &'static str,
    /// The authority that its target trusts, when not the one that all others trust.
    pub(crate) ca: Option<String>,
    pub(crate) upstream: Upstream,
}

/// All of them. `good` is the authority that their targets trust.
pub(crate) fn upstreams(good: &PrivateCa, interception: &PrivateCa) -> Vec<Untrusted> {
    let mut all = Vec::new();
    for (host, config) in shown(good, interception) {
        all.push(untrusted(host, Upstream::tls(config, ok())));
    }
    for (host, answer) in unfinished() {
        all.push(untrusted(host, Upstream::tcp(answer)));
    }
    for host in WEAK {
        let name = host.trim_end_matches(".bad.test");
        let (ca, config) = weak(name);
        let upstream = Upstream::tls(config, ok());
        all.push(Untrusted { ca: Some(ca), ..untrusted(host, upstream) });
    }
    // One address for two names, of which its certificate has one.
    let shared = Upstream::tls(good.server(&["shared.bad.test"]), ok());
    let address = shared.address;
    all.push(untrusted("shared.bad.test", shared));
    all.push(untrusted("sharing.bad.test", Upstream::elsewhere(address)));
    all
}

fn untrusted(host: &'static str, upstream: Upstream) -> Untrusted {
    let name = host.split('.').next().expect("a label");
    Untrusted { name, host, ca: None, upstream }
}

/// What shows a leaf of `tests/hostile/weak`. The last one is as good as any.
const WEAK: [&str; 6] = [
    "rsa-1024.bad.test",
    "p-192.bad.test",
    "dsa.bad.test",
    "sha-1.bad.test",
    "p-192-leaf.bad.test",
    "strong.bad.test",
];

type Shown = (&'static str, Arc<ServerConfig>);

/// By what they show.
fn shown(good: &PrivateCa, interception: &PrivateCa) -> Vec<Shown> {
    let with = |host: &'static str, spoil: fn(&mut CertificateParams)| {
        (host, good.server_with(&[host], spoil))
    };
    let mut all = vec![
        ("self-signed.bad.test", self_signed(&["self-signed.bad.test"])),
        ("unknown-ca.bad.test", PrivateCa::new().server(&["unknown-ca.bad.test"])),
        ("own-ca.bad.test", interception.server(&["own-ca.bad.test"])),
        ("other-name.bad.test", good.server(&["other.test"])),
        ("below.bad.test", good.server(&["x.below.bad.test"])),
        ("two.levels.bad.test", good.server(&["*.bad.test"])),
        ("top.bad.test", good.server(&["*.test"])),
        ("nobody.bad.test", good.server(&[])),
    ];
    all.extend(spoilt(with));
    all.extend(chains(good));
    all.extend(other_servers(good));
    all
}

/// Certificates that are good but for one thing.
fn spoilt(with: impl Fn(&'static str, fn(&mut CertificateParams)) -> Shown) -> Vec<Shown> {
    vec![
        with("common-name.bad.test", |p| {
            p.subject_alt_names.clear();
            p.distinguished_name.push(DnType::CommonName, "common-name.bad.test");
        }),
        with("address.bad.test", |p| {
            p.subject_alt_names = vec![SanType::IpAddress([127, 0, 0, 1].into())];
        }),
        with("expired.bad.test", |p| p.not_after = date_time_ymd(2020, 1, 1)),
        with("early.bad.test", |p| p.not_before = date_time_ymd(2090, 1, 1)),
        with("authority.bad.test", |p| p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)),
        with("clients-only.bad.test", |p| {
            p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        }),
    ]
}

/// Good certificates of servers that want something else.
fn other_servers(good: &PrivateCa) -> Vec<Shown> {
    let mut alpn = (*good.server(&["alpn.bad.test"])).clone();
    alpn.alpn_protocols = vec![b"foo".to_vec()];
    vec![
        ("alpn.bad.test", Arc::new(alpn)),
        ("asks.bad.test", good.server_that_asks(&["asks.bad.test"], Asks::Politely)),
        ("demands.bad.test", good.server_that_asks(&["demands.bad.test"], Asks::Strictly)),
    ]
}

/// Chains over intermediate authorities. The first one is good.
fn chains(good: &PrivateCa) -> Vec<Shown> {
    let chain = |host: &'static str, links: &[fn(&mut CertificateParams)]| {
        (host, good.server_through(&[host], links))
    };
    vec![
        chain("chained.bad.test", &[|_| (), |_| ()]),
        chain("no-authority.bad.test", &[|p| p.is_ca = IsCa::ExplicitNoCa]),
        chain(
            "too-deep.bad.test",
            &[|p| p.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)), |_| ()],
        ),
        chain(
            "constrained.bad.test",
            &[|p| {
                p.name_constraints = Some(NameConstraints {
                    permitted_subtrees: vec![GeneralSubtree::DnsName("elsewhere.test".into())],
                    excluded_subtrees: Vec::new(),
                });
            }],
        ),
    ]
}

type Unfinished = (&'static str, fn(TcpStream));

/// By what they say in place of a whole handshake.
fn unfinished() -> Vec<Unfinished> {
    /// A fatal alert.
    const fn alert(description: u8) -> [u8; 7] {
        [21, 3, 3, 0, 2, 2, description]
    }
    vec![
        ("alert.bad.test", |socket| say(socket, &alert(40))),
        ("old-alert.bad.test", |socket| say(socket, &alert(70))),
        ("old.bad.test", |socket| say(socket, &old_server_hello())),
        ("clear-text.bad.test", |socket| {
            say(socket, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        }),
        ("closes.bad.test", |socket| say(socket, b"")),
        ("half.bad.test", |socket| say(socket, &[22, 3, 3, 0, 80, 2, 0])),
        ("stalls.bad.test", |mut socket| {
            // Until the proxy has had enough.
            while socket.read(&mut [0; 1024]).is_ok_and(|n| n > 0) {}
        }),
    ]
}

/// Reads a hello, says this, and closes.
fn say(mut socket: TcpStream, bytes: &[u8]) {
    let mut hello = [0; 4096];
    if socket.read(&mut hello).is_ok_and(|n| n > 0) {
        socket.write_all(bytes).ok();
    }
}

/// The hello of a server that speaks TLS 1.0.
fn old_server_hello() -> Vec<u8> {
    let body = [&[3, 1][..], &[7; 32], &[0, 0, 0x2f, 0]].concat();
    let length = u8::try_from(body.len()).expect("a short hello");
    [&[22, 3, 1, 0, length + 4, 2, 0, 0, length][..], &body].concat()
}
