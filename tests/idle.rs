//! What a connection costs that has done one request and waits for the next, in a process of its own
//! for each protocol, so that none of it is memory that others gave back; and what becomes of one that
//! says nothing at all.

#![cfg(test)]

#[expect(dead_code, reason = "every test file uses its part of the client")]
mod raw;
#[expect(dead_code, unused_imports, reason = "every test file uses its part of the world")]
mod world;

use std::path::PathBuf;
use std::time::Duration;

use raw::{Caller, Raw};
use tokio::runtime::Runtime;
use world::{Inject, RunningWorld, Service, Upstream, World};

const GET: &str = "{ name = \"read\", methods = [\"GET\"], paths = [\"/get\"] },";
const HOST: &str = "api.test";
/// They pay for what is allocated once, and stay open.
const FIRST: u64 = 32;
const IDLE: u64 = 300;
/// Measured 8 and 28; the rest is for the pages that an allocator does not fill.
const H1_KIB: u64 = 15;
const H2_KIB: u64 = 35;

struct Stage {
    world: RunningWorld,
    caller: Caller,
    ca: PathBuf,
}

fn stage(config: &str) -> Stage {
    let world = World::new()
        .upstream(Upstream::new("api", Service::Http).inject(Inject::Bearer))
        .allow("api", GET)
        .config(config)
        .start();
    let caller = Caller::from_url(&world.proxy_url());
    let ca = world.ca_pem();
    Stage { world, caller, ca }
}

/// An HTTP/1.1 connection that is idle now.
async fn idle_h1(stage: &Stage) -> Raw {
    let mut raw = Raw::tunnel(&stage.caller, HOST, &stage.ca).await;
    assert_eq!(raw.get(HOST, "/get").await.0, 200);
    raw
}

/// An HTTP/2 connection that is idle now; it ends with its sender.
async fn idle_h2(stage: &Stage) -> h2::client::SendRequest<bytes::Bytes> {
    let mut raw = Raw::connect(&stage.caller).await;
    let status = raw.ask_tunnel(&stage.caller, HOST).await;
    assert!(status.starts_with("HTTP/1.1 200"), "{status}");
    let tls = raw.secure_for(HOST, &stage.ca, &[b"h2"]).await;
    let (sender, connection) = h2::client::handshake(tls).await.expect("HTTP/2");
    tokio::spawn(connection);
    let mut sender = sender.ready().await.expect("a stream");
    let request = http::Request::get(format!("https://{HOST}/get")).body(()).expect("a request");
    let (response, _) = sender.send_request(request, true).expect("a stream");
    let mut body = response.await.expect("an answer").into_body();
    while let Some(data) = body.data().await {
        let _ = body.flow_control().release_capacity(data.expect("a body").len());
    }
    sender
}

/// Resident KiB of each of [`IDLE`] connections that `open` opens.
fn kib_each<C>(stage: &mut Stage, open: impl AsyncFn(&Stage) -> C) -> u64 {
    let runtime = Runtime::new().expect("a runtime");
    let mut connections = Vec::new();
    for _ in 0..FIRST {
        connections.push(runtime.block_on(open(stage)));
    }
    let before = stage.world.process().memory_kib();
    for _ in 0..IDLE {
        connections.push(runtime.block_on(open(stage)));
    }
    let grown = stage.world.process().memory_kib().saturating_sub(before);
    eprintln!("{grown} KiB for {IDLE} connections");
    drop(connections);
    grown / IDLE
}

#[test]
fn an_idle_http_1_connection_holds_no_more_than_its_tls_state() {
    let each = kib_each(&mut stage(""), idle_h1);
    assert!((1..=H1_KIB).contains(&each), "{each} KiB each");
}

#[test]
fn an_idle_http_2_connection_holds_no_more_than_the_buffers_of_its_library() {
    let each = kib_each(&mut stage(""), idle_h2);
    assert!((1..=H2_KIB).contains(&each), "{each} KiB each");
}

#[test]
fn an_http_2_connection_that_never_begins_is_ended_and_on_record() {
    let stage = stage("[limits]\nhead_ms = 300\n");
    Runtime::new().expect("a runtime").block_on(async {
        let mut raw = Raw::connect(&stage.caller).await;
        let status = raw.ask_tunnel(&stage.caller, HOST).await;
        assert!(status.starts_with("HTTP/1.1 200"), "{status}");
        let mut silent = Raw::over(raw.secure_for(HOST, &stage.ca, &[b"h2"]).await);
        assert!(silent.ends_within(Duration::from_secs(10)).await);
    });
    let line = stage.world.audit_line("the refusal", |line| line["mode"] == "refused");
    assert_eq!(line["code"], "bad_framing", "{line}");
    assert_eq!(line["host"], HOST, "{line}");
}
