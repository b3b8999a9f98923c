//! A credential that the upstream refuses is renewed once, and the request goes out again with the
//! new one; a plan may come as JSON instead of being compiled here.

#![cfg(test)]

#[expect(dead_code, reason = "every test file uses its part of the client")]
mod raw;
#[expect(dead_code, unused_imports, reason = "every test file uses its part of the world")]
mod world;

use std::sync::{Arc, Mutex};

use raw::{Caller, Raw};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;
use world::{Inject, Service, Upstream, World, sallygate};

type Seen = Arc<Mutex<Vec<String>>>;

/// An upstream that takes one value of the credential only; `pem` is its own certificate.
struct Picky {
    address: std::net::SocketAddr,
    pem: String,
    seen: Seen,
}

fn picky(runtime: &Runtime, accepts: &'static str) -> Picky {
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
    let params = CertificateParams::new(vec!["picky.test".to_owned()]).expect("a name");
    let leaf = params.self_signed(&key).expect("a certificate");
    let der = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let builder = rustls::ServerConfig::builder().with_no_client_auth();
    let config = builder.with_single_cert(vec![leaf.der().clone()], der).expect("a certificate");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
    let address = listener.local_addr().expect("an address");
    let seen = Seen::default();
    let kept = Arc::clone(&seen);
    runtime.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, seen) = (acceptor.clone(), Arc::clone(&kept));
            tokio::spawn(async move {
                let Ok(tls) = acceptor.accept(stream).await else { return };
                answer(Raw::over(tls), accepts, &seen).await;
            });
        }
    });
    Picky { address, pem: leaf.pem(), seen }
}

async fn answer(mut raw: Raw, accepts: &str, seen: &Seen) {
    while let Some(head) = raw.next_head().await {
        let body = raw.body(&head).await;
        let lower = head.to_ascii_lowercase();
        let value = lower.lines().find_map(|l| l.strip_prefix("authorization: bearer "));
        let value = value.unwrap_or_default().to_owned();
        let status = if value == accepts { "200 OK" } else { "401 Unauthorized" };
        seen.lock().expect("no test panicked").push(format!("{value} {body}"));
        raw.send(&format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n")).await;
    }
}

/// A world whose credential is `1` when it is first asked for, then `2`, `3`, …
fn counting_world(picky: &Picky) -> (world::RunningWorld, Caller) {
    let directory = tempfile::tempdir().expect("a temporary directory").keep();
    std::fs::write(directory.join("ca.pem"), &picky.pem).expect("a writable directory");
    let asked = directory.join("asked");
    let target = format!(
        "[targets.picky]\ndefinition = \"generic::http-api\"\nbase_url = \"https://picky.test\"\ninject = \"bearer\"\n\
         ca_file = \"{}/ca.pem\"\naddresses = [\"{}\"]\nallow_ranges = [\"127.0.0.0/8\"]\n\
         [connections.picky]\ntarget = \"picky\"\nvalue_command = [\"sh\", \"-c\", \"echo x >> {asked}; grep -c x {asked}\"]\n",
        directory.display(),
        picky.address,
        asked = asked.display(),
    );
    let binding = "[[profiles.web.bindings]]\nid = \"ibd_picky\"\nconnection = \"picky\"\nroutes = [{ name = \"all\" }]\n";
    let world = World::new().config(&target).policy(binding).start();
    let caller = Caller::from_url(&world.proxy_url());
    (world, caller)
}

#[test]
fn a_refused_credential_is_renewed_once_and_the_request_replayed_with_its_body() {
    let runtime = Runtime::new().expect("a runtime");
    let picky = picky(&runtime, "2");
    let (world, caller) = counting_world(&picky);
    runtime.block_on(async {
        let mut raw = Raw::tunnel(&caller, "picky.test", &world.ca_pem()).await;
        let request = "POST /x HTTP/1.1\r\nHost: picky.test\r\nContent-Length: 5\r\n\r\nhello";
        raw.send(request).await;
        assert_eq!(raw::status(&raw.head().await), 200);
        raw.send(request).await;
        assert_eq!(raw::status(&raw.head().await), 200);
    });
    assert_eq!(*picky.seen.lock().unwrap(), ["1 hello", "2 hello", "2 hello"]);
}

#[test]
fn a_credential_that_is_refused_twice_is_not_tried_a_third_time() {
    let runtime = Runtime::new().expect("a runtime");
    let picky = picky(&runtime, "never");
    let (world, caller) = counting_world(&picky);
    runtime.block_on(async {
        let mut raw = Raw::tunnel(&caller, "picky.test", &world.ca_pem()).await;
        assert_eq!(raw.get("picky.test", "/x").await.0, 401);
    });
    assert_eq!(*picky.seen.lock().unwrap(), ["1 ", "2 "]);
}

#[test]
fn a_plan_in_json_is_enforced_as_the_policy_that_it_was_compiled_from() {
    let world = World::new()
        .upstream(Upstream::new("api", Service::Http).inject(Inject::Bearer))
        .allow("api", "{ name = \"read\", methods = [\"GET\"], paths = [\"/get\"] },")
        .start();
    let config = world.ca_pem().with_file_name("config.toml");
    let plan = world.ca_pem().with_file_name("plan.json");
    let compiled = sallygate()
        .args(["policy", "compile", "--profile", "web", "--config"])
        .arg(&config)
        .arg("-o")
        .arg(&plan)
        .output();
    let compiled = compiled.expect("the binary runs");
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    let text = std::fs::read_to_string(&config).expect("the configuration");
    std::fs::write(&config, format!("{text}\n[plans]\nweb = \"plan.json\"\n"))
        .expect("a writable directory");
    let before = digests(&world.metrics());
    assert_eq!(world.operator("POST", "/v1/reload", "{}").status, 200);
    assert_eq!(digests(&world.metrics()), before, "the same plan, byte for byte");
    let caller = Caller::from_url(&world.proxy_url());
    Runtime::new().expect("a runtime").block_on(async {
        let mut raw = Raw::tunnel(&caller, "api.test", &world.ca_pem()).await;
        assert_eq!(raw.get("api.test", "/get").await.0, 200);
        assert_eq!(raw.get("api.test", "/other").await.0, 403);
    });
    let tampered = std::fs::read_to_string(&plan).expect("the plan").replace("/get", "/other");
    std::fs::write(&plan, tampered).expect("a writable directory");
    let answer = world.operator("POST", "/v1/reload", "{}");
    assert_eq!(
        (answer.status, answer.body.contains("DIGEST_MISMATCH")),
        (422, true),
        "{}",
        answer.body
    );
}

fn digests(metrics: &str) -> Vec<String> {
    metrics.lines().filter(|l| l.starts_with("sallygate_plan_info")).map(str::to_owned).collect()
}
