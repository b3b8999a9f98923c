//! Upstreams with bad certificates, upstreams that hang, reset or refuse, and sandboxes that are
//! slow: each gets its code within its deadline, and other traffic is unharmed.

#![cfg(test)]

#[expect(dead_code, reason = "every test file uses its part of the client")]
mod raw;
#[expect(dead_code, unused_imports, reason = "every test file uses its part of the world")]
mod world;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use raw::{Caller, Raw};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256,
};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use time::{Duration, OffsetDateTime};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;
use world::{Inject, RunningWorld, Service, Upstream, World};

/// What an upstream does with a connection.
#[derive(Clone)]
enum Conduct {
    /// TLS with this certificate; counts the request bytes that it gets to see.
    Certificate(Arc<rustls::ServerConfig>),
    /// Says nothing.
    Silence,
    /// Closes at once.
    Reset,
    /// TLS, then this instead of an answer, then closes.
    Says(Arc<rustls::ServerConfig>, &'static [u8]),
    /// TLS, then this, and nothing more.
    Hangs(Arc<rustls::ServerConfig>, &'static [u8]),
}

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

fn key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key")
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "fault test authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = key();
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// From the files of the interception authority.
    fn of_the_proxy(ca: &Path) -> Self {
        let read = |path: &Path| std::fs::read_to_string(path).expect("a file of the authority");
        let (pem, key) = (read(ca), read(&ca.with_file_name("ca-key.pem")));
        let key = KeyPair::from_pem(&key).expect("a key");
        Self { issuer: Issuer::from_ca_cert_pem(&pem, key).expect("an authority"), pem }
    }

    /// A server for `name`, valid from `from` to `to` days from now.
    fn server(&self, name: &str, from: i64, to: i64) -> Arc<rustls::ServerConfig> {
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        params.not_before = OffsetDateTime::now_utc() + Duration::days(from);
        params.not_after = OffsetDateTime::now_utc() + Duration::days(to);
        let key = key();
        let leaf = params.signed_by(&key, &self.issuer).expect("a certificate");
        config(leaf.der().clone(), &key)
    }
}

fn self_signed(name: &str) -> Arc<rustls::ServerConfig> {
    let key = key();
    let params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
    config(params.self_signed(&key).expect("a certificate").der().clone(), &key)
}

fn config(
    leaf: rustls::pki_types::CertificateDer<'static>,
    key: &KeyPair,
) -> Arc<rustls::ServerConfig> {
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let builder = rustls::ServerConfig::builder().with_no_client_auth();
    Arc::new(builder.with_single_cert(vec![leaf], key).expect("a certificate and its key"))
}

/// A world with a healthy upstream, and one at `bad.test` that listens but is not served yet.
struct Stage {
    world: RunningWorld,
    runtime: Runtime,
    listener: Option<TcpListener>,
    authority: Authority,
    seen: Arc<AtomicU64>,
}

fn stage() -> Stage {
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
    let runtime = Runtime::new().expect("a runtime");
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
    let address = listener.local_addr().expect("an address");
    let directory = tempfile::tempdir().expect("a temporary directory").keep();
    let authority = Authority::new();
    std::fs::write(directory.join("bad-ca.pem"), &authority.pem).expect("a writable directory");
    std::fs::write(directory.join("bad-secret"), "bad-canary-value").expect("a writable directory");
    let target = format!(
        "[targets.bad]\ndefinition = \"generic::http-api\"\nbase_url = \"https://bad.test\"\ninject = \"bearer\"\n\
         ca_file = \"{0}/bad-ca.pem\"\naddresses = [\"{address}\"]\nallow_ranges = [\"127.0.0.0/8\"]\n\
         [connections.bad]\ntarget = \"bad\"\nvalue_file = \"{0}/bad-secret\"\n\
         [limits]\nhead_ms = 300\nhandshake_ms = 300\nbody_grace_ms = 300\n",
        directory.display()
    );
    let binding = "[[profiles.web.bindings]]\nid = \"ibd_bad\"\nconnection = \"bad\"\n\
        routes = [{ name = \"all\", connect_ms = 400, first_byte_ms = 400, idle_ms = 400 }]\n";
    let world = World::new()
        .upstream(Upstream::new("api", Service::Http).inject(Inject::Bearer))
        .allow("api", "{ name = \"all\" },")
        .config(&target)
        .policy(binding)
        .start();
    Stage { world, runtime, listener: Some(listener), authority, seen: Arc::default() }
}

impl Stage {
    fn caller(&self) -> Caller {
        Caller::from_url(&self.world.proxy_url())
    }

    fn serve(&mut self, conduct: Conduct) {
        let listener = self.listener.take().expect("served once");
        let seen = Arc::clone(&self.seen);
        self.runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(behave(stream, conduct.clone(), Arc::clone(&seen)));
            }
        });
    }

    /// What a client gets to see of `bad.test`, while another upstream goes on working.
    fn answer(&self) -> (u16, String) {
        let (caller, ca) = (self.caller(), self.world.ca_pem());
        self.runtime.block_on(async {
            let mut healthy = Raw::tunnel(&caller, "api.test", &ca).await;
            let mut raw = Raw::tunnel(&caller, "bad.test", &ca).await;
            let (bad, good) =
                tokio::join!(raw.get("bad.test", "/x"), healthy.get("api.test", "/get"));
            assert_eq!(good.0, 200, "other traffic is unharmed");
            bad
        })
    }
}

async fn behave(mut stream: TcpStream, conduct: Conduct, seen: Arc<AtomicU64>) {
    let (config, says, stays) = match conduct {
        Conduct::Silence => return std::future::pending().await,
        Conduct::Reset => return drop(stream.shutdown().await),
        Conduct::Certificate(config) => (config, &b""[..], true),
        Conduct::Says(config, says) => (config, says, false),
        Conduct::Hangs(config, says) => (config, says, true),
    };
    let Ok(mut tls) = TlsAcceptor::from(config).accept(stream).await else { return };
    let mut piece = [0u8; 4096];
    if let Ok(n) = tls.read(&mut piece).await {
        seen.fetch_add(n as u64, Ordering::AcqRel);
    }
    tls.write_all(says).await.ok();
    tls.flush().await.ok();
    if stays {
        std::future::pending::<()>().await;
    }
}

#[test]
fn a_certificate_that_is_not_the_upstreams_gets_nothing_sent() {
    type Make = fn(&Stage) -> Arc<rustls::ServerConfig>;
    let cases: [(&str, &str, Make); 6] = [
        ("self-signed", "tls_", |_| self_signed("bad.test")),
        ("unknown authority", "tls_untrusted", |_| Authority::new().server("bad.test", -1, 1)),
        ("the proxy's own authority", "tls_untrusted", |s| {
            Authority::of_the_proxy(&s.world.ca_pem()).server("bad.test", -1, 1)
        }),
        ("another name", "tls_name", |s| s.authority.server("other.test", -1, 1)),
        ("expired", "tls_expired", |s| s.authority.server("bad.test", -10, -5)),
        ("not yet valid", "tls_not_yet_valid", |s| s.authority.server("bad.test", 5, 10)),
    ];
    for (case, reason, make) in cases {
        let mut stage = stage();
        let config = make(&stage);
        stage.serve(Conduct::Certificate(config));
        let (status, body) = stage.answer();
        assert_eq!(status, 502, "{case}: {body}");
        assert!(body.contains("upstream_tls") && body.contains(reason), "{case}: {body}");
        assert_eq!(stage.seen.load(Ordering::Acquire), 0, "{case}: the upstream saw a request");
    }
}

#[test]
fn an_upstream_that_fails_gets_the_code_of_its_failure() {
    type Make = fn(&Stage) -> Conduct;
    let cases: [(&str, u16, &str, Make); 7] = [
        ("hangs before TLS", 504, "upstream_timeout", |_| Conduct::Silence),
        ("closes before TLS", 502, "upstream_tls", |_| Conduct::Reset),
        ("hangs before its answer", 504, "upstream_timeout", |s| {
            Conduct::Certificate(s.authority.server("bad.test", -1, 1))
        }),
        ("hangs within its head", 504, "upstream_timeout", |s| {
            Conduct::Hangs(s.authority.server("bad.test", -1, 1), b"HTTP/1.1 200 OK\r\nContent-")
        }),
        ("closes before its answer", 502, "upstream_protocol", |s| {
            Conduct::Says(s.authority.server("bad.test", -1, 1), b"")
        }),
        ("speaks something else", 502, "upstream_protocol", |s| {
            Conduct::Says(s.authority.server("bad.test", -1, 1), b"220 mail.test ESMTP\r\n")
        }),
        ("switches protocols unasked", 502, "upstream_protocol", |s| {
            let says = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
            Conduct::Says(s.authority.server("bad.test", -1, 1), says)
        }),
    ];
    for (case, status, code, make) in cases {
        let mut stage = stage();
        let conduct = make(&stage);
        stage.serve(conduct);
        let (got, body) = stage.answer();
        assert_eq!(got, status, "{case}: {body}");
        assert!(body.contains(code), "{case}: {body}");
        assert!(stage.world.process().is_alive());
    }
}

#[test]
fn an_upstream_that_does_not_listen_is_told_as_such() {
    let mut stage = stage();
    drop(stage.listener.take());
    let (status, body) = stage.answer();
    assert_eq!((status, body.contains("upstream_connect")), (502, true), "{body}");
}

#[test]
fn a_response_that_stalls_or_is_cut_short_never_ends_cleanly() {
    for stalls in [true, false] {
        let mut stage = stage();
        let config = stage.authority.server("bad.test", -1, 1);
        let part = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello";
        stage.serve(if stalls {
            Conduct::Hangs(config, part)
        } else {
            Conduct::Says(config, part)
        });
        let (caller, ca) = (stage.caller(), stage.world.ca_pem());
        stage.runtime.block_on(async {
            let mut raw = Raw::tunnel(&caller, "bad.test", &ca).await;
            raw.send("GET /x HTTP/1.1\r\nHost: bad.test\r\n\r\n").await;
            raw.until("hello").await;
            assert!(raw.ends_within(std::time::Duration::from_secs(10)).await, "stalls: {stalls}");
        });
        let line = stage.world.audit_line("the failure is recorded", |l| {
            l["host"] == "bad.test" && l["verdict"] == "error"
        });
        assert_eq!(line["status"], 200, "{line}");
    }
}

#[test]
fn a_sandbox_that_is_slow_with_its_head_hello_or_body_is_cut_off() {
    let stage = stage();
    let (caller, ca) = (stage.caller(), stage.world.ca_pem());
    let patience = std::time::Duration::from_secs(10);
    stage.runtime.block_on(async {
        let mut head = Raw::tunnel(&caller, "api.test", &ca).await;
        head.send("GET /get HTTP/1.1\r\nHost:").await;
        assert_eq!(raw::status(&head.head().await), 400);
        assert!(head.ends_within(patience).await, "a head that does not end");
        let mut hello = Raw::connect(&caller).await;
        assert!(hello.ask_tunnel(&caller, "api.test").await.contains("200"));
        hello.send("\u{16}\u{3}\u{1}").await;
        assert!(hello.ends_within(patience).await, "a hello that does not end");
        let mut body = Raw::tunnel(&caller, "api.test", &ca).await;
        body.send("POST /upload HTTP/1.1\r\nHost: api.test\r\nContent-Length: 10\r\n\r\nhal").await;
        assert!(body.ends_within(patience).await, "a body that does not end");
        let mut healthy = Raw::tunnel(&caller, "api.test", &ca).await;
        assert_eq!(healthy.get("api.test", "/get").await.0, 200);
    });
}

#[test]
fn an_address_that_is_refused_is_never_connected_to() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address: SocketAddr = listener.local_addr().expect("an address");
    listener.set_nonblocking(true).expect("a socket");
    let target = format!(
        "[targets.inside]\ndefinition = \"generic::http-api\"\nbase_url = \"https://inside.test\"\naddresses = [\"{address}\"]\n"
    );
    let route = "[[profiles.web.routes]]\nname = \"inside\"\nhosts = [\"inside.test\"]\ntarget = \"inside\"\n";
    let world = World::new().config(&target).policy(route).start();
    let caller = Caller::from_url(&world.proxy_url());
    let ca = world.ca_pem();
    Runtime::new().expect("a runtime").block_on(async {
        let mut raw = Raw::tunnel(&caller, "inside.test", &ca).await;
        let (status, body) = raw.get("inside.test", "/").await;
        assert_eq!((status, body.contains("address_refused")), (403, true), "{body}");
    });
    assert!(listener.accept().is_err(), "somebody connected");
}
