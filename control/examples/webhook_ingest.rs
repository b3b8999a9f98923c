//! How many calls of webhooks a second are verified and on disk when they are answered.
//!
//! `cargo run --release -p sallygate-control --example webhook_ingest [-- postgres://…]`: on a SQLite
//! file in a temporary directory, or on an empty PostgreSQL database; durability is as in production.
//! Over HTTP on loopback, with as many clients as the second argument says (64).
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measurement fails where it cannot be made, and looks at the clock"
)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use sallygate_control::api;
use sallygate_control::clock::Clock;
use sallygate_control::credentials::{MasterKeys, Vault};
use sallygate_control::feed::Feed;
use sallygate_control::outbound::Reach;
use sallygate_control::secret_files::SecretFiles;
use sallygate_control::service::Control;
use sallygate_control::store::{DatabaseUrl, Location, Store};
use sallygate_control::webhook::Webhooks;
use sallygate_definitions::Registry;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// As in the product.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const OPERATOR: &str = "sgo_operator-token-of-the-measurement";
const SECRET: &str = "a-secret-for-the-measurement";
const MEASURED: Duration = Duration::from_secs(10);
const CLIENTS: u64 = 64;

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let directory = tempfile::tempdir().expect("a directory");
    let location = match arguments.next().filter(|url| url.starts_with("postgres")) {
        Some(url) => Location::Postgres(DatabaseUrl::new(url)),
        None => Location::Sqlite(directory.path().join("control.db")),
    };
    let clients = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(CLIENTS);
    let clock = Clock::system();
    let keys = MasterKeys::create(&directory.path().join("master.key")).expect("a key");
    let control = Control {
        store: Store::open(&location, clock.now_ms()).await.expect("a store"),
        vault: Vault::new(keys),
        registry: Arc::new(Registry::builtin()),
        clock,
        feed: Feed::default(),
        login: None,
        webhooks: Webhooks::new(&Reach::default()).expect("metrics"),
        setup_secrets: SecretFiles::default(),
    };
    control.prepare(OPERATOR).await.expect("a first start");
    let database = control.store.database_name();
    let serving = api::serve(control, ([127, 0, 0, 1], 0).into()).await.expect("a listener");
    let path = connected(serving.address).await;
    let (count, seconds, mut waits) = measured(serving.address, &path, clients).await;
    waits.sort_unstable();
    let at = |share: usize| waits[(waits.len() - 1) * share / 100].as_secs_f64() * 1000.0;
    println!(
        "{database}: {:.0} calls a second, {clients} clients, p50 {:.1} ms, p99 {:.1} ms",
        f64::from(u32::try_from(count).expect("a count")) / seconds,
        at(50),
        at(99),
    );
}

/// A connection to GitHub: where it is called.
async fn connected(address: SocketAddr) -> String {
    let target = json!({ "definition": "github::github-cloud", "displayName": "T" });
    asked(address, ("PUT", "/v1/integration/targets/t"), &target).await;
    let secrets = json!({ "token": "x", "webhookSecret": SECRET });
    let body = json!({ "displayName": "C", "secrets": secrets });
    let made = asked(address, ("POST", "/v1/integration/connections/t/form"), &body).await;
    format!("/p/integration/webhooks/t/{}", made["id"].as_str().expect("an id"))
}

async fn asked(address: SocketAddr, (method, path): (&str, &str), body: &Value) -> Value {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let authorization = format!("authorization: Bearer {OPERATOR}\r\n");
    let (status, body) =
        exchanged(&mut stream, (method, path, &authorization), &body.to_string()).await;
    assert!(status < 300, "{status}: {body}");
    serde_json::from_str(&body).expect("JSON")
}

async fn measured(address: SocketAddr, path: &str, clients: u64) -> (u64, f64, Vec<Duration>) {
    let (next, begin) = (Arc::new(AtomicU64::new(0)), Instant::now());
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..clients {
        let (next, path) = (Arc::clone(&next), path.to_owned());
        tasks.spawn(async move {
            let mut stream = TcpStream::connect(address).await.expect("a connection");
            let mut waits = Vec::new();
            while begin.elapsed() < MEASURED {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let (headers, body) = call(number);
                let sent = Instant::now();
                let (status, text) = exchanged(&mut stream, ("POST", &path, &headers), &body).await;
                assert_eq!(status, 202, "{text}");
                waits.push(sent.elapsed());
            }
            waits
        });
    }
    let mut waits = Vec::new();
    while let Some(some) = tasks.join_next().await {
        waits.extend(some.expect("a client"));
    }
    let count = u64::try_from(waits.len()).expect("a count");
    (count, begin.elapsed().as_secs_f64(), waits)
}

/// A call of its own id and issue.
fn call(number: u64) -> (String, String) {
    let text = "x".repeat(1500);
    let issue = json!({ "node_id": format!("I_{number}"), "number": number, "body": text });
    let body = json!({ "action": "opened", "issue": issue }).to_string();
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes()), body.as_bytes());
    let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let headers = format!(
        "x-github-event: issues\r\nx-github-delivery: d-{number}\r\n\
         x-hub-signature-256: sha256={hex}\r\n"
    );
    (headers, body)
}

/// One request on a connection that is kept.
async fn exchanged(
    stream: &mut TcpStream,
    (method, path, headers): (&str, &str, &str),
    body: &str,
) -> (u16, String) {
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n{headers}\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.expect("a request");
    let mut bytes = Vec::new();
    let (head, begin) = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break (String::from_utf8_lossy(&bytes[..at]).to_ascii_lowercase(), at + 4);
        }
        read(stream, &mut bytes).await;
    };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length: usize = length.map_or(0, |text| text.trim().parse().expect("a length"));
    while bytes.len() < begin + length {
        read(stream, &mut bytes).await;
    }
    let status = head.split(' ').nth(1).expect("a status").parse().expect("a number");
    (status, String::from_utf8_lossy(&bytes[begin..]).into_owned())
}

async fn read(stream: &mut TcpStream, bytes: &mut Vec<u8>) {
    let mut piece = [0; 4096];
    let read = stream.read(&mut piece).await.expect("an answer");
    assert!(read > 0, "the other side is gone");
    bytes.extend_from_slice(&piece[..read]);
}
