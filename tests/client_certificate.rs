//! A credential that is a certificate: shown to the upstream in the handshake, never to the sandbox,
//! and no connection that was made with one serves a route with another.

#![cfg(test)]

#[expect(dead_code, unused_imports, reason = "every test file uses its part of the world")]
mod world;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SerialNumber,
};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;
use world::{RunningWorld, World};

/// What the upstream saw: whose certificate, on which of its connections, and the path.
type Seen = Arc<Mutex<Vec<(String, usize, String)>>>;

/// An authority, and what it signs.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    der: CertificateDer<'static>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        let (pem, der) = (certificate.pem(), certificate.der().clone());
        Self { issuer: Issuer::new(params, key), pem, der }
    }

    /// A certificate for a name. They all have one serial number: nothing else may be told by it.
    fn sign(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
        params.serial_number = Some(SerialNumber::from(7_u64));
        params.use_authority_key_identifier_extension = true;
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate().expect("a key");
        (params.signed_by(&key, &self.issuer).expect("a certificate"), key)
    }
}

/// An upstream that lets nobody in who shows none of these certificates.
struct Strict {
    address: SocketAddr,
    seen: Seen,
}

fn strict(runtime: &Runtime, authority: &Authority, known: Vec<(String, Vec<u8>)>) -> Strict {
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
    let mut roots = RootCertStore::empty();
    roots.add(authority.der.clone()).expect("an authority");
    let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().expect("a verifier");
    let (certificate, key) = authority.sign("mtls.test");
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let mut config = rustls::ServerConfig::builder()
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![certificate.der().clone()], key)
        .expect("the key belongs to the certificate");
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
    let address = listener.local_addr().expect("an address");
    let seen = Seen::default();
    let (kept, known) = (Arc::clone(&seen), Arc::new(known));
    runtime.spawn(async move {
        let mut connections = 0;
        while let Ok((stream, _)) = listener.accept().await {
            connections += 1;
            let (acceptor, known, seen) = (acceptor.clone(), Arc::clone(&known), Arc::clone(&kept));
            tokio::spawn(serve(stream, acceptor, connections, known, seen));
        }
    });
    Strict { address, seen }
}

async fn serve(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    connection: usize,
    known: Arc<Vec<(String, Vec<u8>)>>,
    seen: Seen,
) {
    let Ok(tls) = acceptor.accept(stream).await else { return };
    let shown = tls.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let is_shown = |known: &&(String, Vec<u8>)| shown.is_some_and(|der| **der == *known.1);
    let who = known.iter().find(is_shown).map_or_else(|| "nobody".to_owned(), |k| k.0.clone());
    let answer = service_fn(move |request: Request<Incoming>| {
        let path = request.uri().path().to_owned();
        seen.lock().expect("no test panicked").push((who.clone(), connection, path));
        let body = Full::new(Bytes::from(who.clone()));
        async move { Ok::<_, Infallible>(Response::new(body)) }
    });
    if tls.get_ref().1.alpn_protocol() == Some(b"h2") {
        let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        server.serve_connection(TokioIo::new(tls), answer).await.ok();
    } else {
        let server = hyper::server::conn::http1::Builder::new();
        server.serve_connection(TokioIo::new(tls), answer).await.ok();
    }
}

/// A world with routes `/NAME/…` for each of these certificates, at one host.
fn world(strict: &Strict, authority: &Authority, pems: &[(&str, &str)]) -> (RunningWorld, TempDir) {
    let files = TempDir::new().expect("a temporary directory");
    let path = |name: &str| files.path().join(name).display().to_string();
    std::fs::write(path("ca.pem"), &authority.pem).expect("a writable directory");
    let (mut config, mut policy) = (String::new(), String::new());
    for (name, pem) in pems {
        std::fs::write(path(name), pem).expect("a writable directory");
        config += &format!(
            "[targets.{name}]\ndefinition = \"generic::http-api\"\nbase_url = \"https://mtls.test\"\n\
             inject = \"client_certificate\"\nca_file = \"{}\"\naddresses = [\"{}\"]\n\
             allow_ranges = [\"127.0.0.0/8\"]\n[connections.{name}]\ntarget = \"{name}\"\nvalue_file = \"{}\"\n",
            path("ca.pem"),
            strict.address,
            path(name),
        );
        policy += &format!(
            "[[profiles.web.bindings]]\nid = \"ibd_{name}\"\nconnection = \"{name}\"\n\
             routes = [{{ name = \"all\", paths = [\"/{name}/**\"] }}]\n"
        );
    }
    (World::new().config(&config).policy(&policy).start(), files)
}

fn curl(world: &RunningWorld, version: &str, path: &str) -> world::Outcome {
    let curl = world.client("curl").args(["-sS", version]);
    curl.args(["-w", "\n%{http_code}", &format!("https://mtls.test{path}")]).run()
}

fn pem((certificate, key): &(rcgen::Certificate, KeyPair)) -> String {
    certificate.pem() + &key.serialize_pem()
}

#[test]
fn an_upstream_that_demands_a_certificate_gets_the_route_s_own_and_no_connection_is_shared() {
    let runtime = Runtime::new().expect("a runtime");
    let authority = Authority::new();
    let (a, b) = (authority.sign("a"), authority.sign("b"));
    let der = |pair: &(rcgen::Certificate, KeyPair)| pair.0.der().to_vec();
    let known = vec![("a".to_owned(), der(&a)), ("b".to_owned(), der(&b))];
    let strict = strict(&runtime, &authority, known);
    let (world, files) = world(&strict, &authority, &[("a", &pem(&a)), ("b", &pem(&b))]);
    for version in ["--http1.1", "--http2"] {
        for name in ["a", "b", "a", "b"] {
            let answered = curl(&world, version, &format!("/{name}/x")).succeeded();
            assert_eq!(answered.stdout, format!("{name}\n200"), "{version} {answered}");
        }
    }
    let seen = strict.seen.lock().expect("no test panicked").clone();
    assert_eq!(seen.len(), 8, "{seen:?}");
    for (who, connection, path) in &seen {
        assert!(path.starts_with(&format!("/{who}/")), "{seen:?}");
        let others = seen.iter().filter(|(_, other, _)| other == connection);
        assert!(others.clone().all(|(other, ..)| other == who), "{seen:?}");
    }
    // Each protocol uses its connection again.
    let connections: std::collections::BTreeSet<usize> = seen.iter().map(|(_, c, _)| *c).collect();
    assert_eq!(connections.len(), 4, "{seen:?}");
    assert_no_key_in(&world, &[&a.1, &b.1]);
    drop(files);
}

/// No part of a key is in the audit log, and none was received.
fn assert_no_key_in(world: &RunningWorld, keys: &[&KeyPair]) {
    let audit = world.audit().iter().map(ToString::to_string).collect::<String>();
    for key in keys {
        let pem = key.serialize_pem();
        let line = pem.lines().nth(1).expect("a line of the key").to_owned();
        assert!(!audit.contains(&line));
        for file in ["audit.jsonl", "config.toml", "policy.toml"] {
            let path = world.data_file(file);
            assert!(!contains(Path::new(&path), &line), "{file}");
        }
    }
}

fn contains(path: &Path, text: &str) -> bool {
    std::fs::read_to_string(path).is_ok_and(|content| content.contains(text))
}

#[test]
fn what_is_no_certificate_with_its_key_sends_nothing() {
    let runtime = Runtime::new().expect("a runtime");
    let authority = Authority::new();
    let (own, other) = (authority.sign("a"), authority.sign("b"));
    let strict = strict(&runtime, &authority, Vec::new());
    let foreign = pem(&Authority::new().sign("c"));
    let (keyless, mixed) = (own.0.pem(), own.0.pem() + &other.1.serialize_pem());
    let pems =
        [("keyless", &*keyless), ("mixed", &mixed), ("text", "token"), ("foreign", &foreign)];
    let (world, files) = world(&strict, &authority, &pems);
    for version in ["--http1.1", "--http2"] {
        for name in ["keyless", "mixed", "text"] {
            let answered = curl(&world, version, &format!("/{name}/x"));
            answered.shows_denial("credential_unavailable");
            assert!(answered.stdout.ends_with("\n503"), "{answered}");
        }
        // In TLS 1.3 the upstream refuses it when we are through with the handshake: whether its
        // reason arrives before the connection breaks is not ours to say.
        let answered = curl(&world, version, "/foreign/x");
        assert!(answered.stdout.ends_with("\n502"), "{answered}");
    }
    assert!(strict.seen.lock().expect("no test panicked").is_empty());
    drop(files);
}
