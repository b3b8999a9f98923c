//! Resident memory: of the product before anybody connected, and what one more idle connection
//! costs it, which is a keep-alive connection that has done one request and waits.

use std::time::Duration;

use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::BenchOptions;
use super::children::{ChildProcess, Children};
use super::client::{Client, Protocol, Through, Way};
use super::error::{BenchError, ClientError};
use super::fixture::{Fixture, SECURED_HOST};
use super::pin::Pinning;
use super::rounds::progress;
use super::usage;

/// These stay open as well; they pay for what is allocated once, such as the leaf and the code that
/// was not in memory yet.
const FIRST_CONNECTIONS: u32 = 16;
/// How many connections are opened at a time; also bounds the upstream connections.
const AT_A_TIME: u32 = 16;
const SETTLE: Duration = Duration::from_millis(300);

#[derive(Debug, Serialize)]
pub(crate) struct MemoryFigures {
    pub(crate) idle_bytes: u64,
    pub(crate) connections: Vec<IdleConnection>,
}

/// What one idle connection costs a process.
#[derive(Debug, Serialize)]
pub(crate) struct IdleConnection {
    pub(crate) process: &'static str,
    pub(crate) protocol: Protocol,
    pub(crate) bytes_each: f64,
}

pub(crate) async fn measure(
    options: &BenchOptions,
    fixture: &Fixture,
    pinning: &Pinning,
) -> Result<MemoryFigures, BenchError> {
    let mut idle_bytes = 0;
    let mut connections = Vec::new();
    for protocol in Protocol::BOTH {
        progress(&format!("memory of idle connections, {}", protocol.name()));
        // Each protocol has processes of its own: memory that connections gave back to the
        // allocator would be reused, and not counted, for those that come after them.
        let children = Children::start(fixture, options, pinning)?;
        let (floor, product) = (&children.floor, children.product()?);
        sleep(SETTLE).await;
        idle_bytes = usage::resident_bytes(product.pid())?;
        let roots = fixture.upstream_roots()?;
        let way = Way::new(floor.address, Through::Nothing, protocol, roots, fixture);
        let way = way.to(SECURED_HOST, "/open");
        let bytes_each = bytes_each(options, floor, &way).await?;
        connections.push(IdleConnection { process: "floor", protocol, bytes_each });

        let roots = fixture.interception_roots()?;
        let way = Way::new(product.address, Through::Connect, protocol, roots, fixture);
        let way = way.to(SECURED_HOST, "/secured");
        let bytes_each = self::bytes_each(options, product, &way).await?;
        connections.push(IdleConnection { process: "sallygate", protocol, bytes_each });
    }
    progress("");
    Ok(MemoryFigures { idle_bytes, connections })
}

async fn bytes_each(
    options: &BenchOptions,
    process: &ChildProcess,
    way: &Way,
) -> Result<f64, BenchError> {
    let failed =
        |source| BenchError::Exchange { what: "opening idle connections".to_owned(), source };
    let mut clients = open(way, FIRST_CONNECTIONS).await.map_err(failed)?;
    sleep(SETTLE).await;
    let before = usage::resident_bytes(process.pid())?;
    let mut left = options.idle_connections;
    while left > 0 {
        let count = left.min(AT_A_TIME);
        clients.extend(open(way, count).await.map_err(failed)?);
        left -= count;
    }
    sleep(SETTLE).await;
    let after = usage::resident_bytes(process.pid())?;
    for client in clients {
        client.close().await;
    }
    let grown = u32::try_from(after.saturating_sub(before)).unwrap_or(u32::MAX);
    Ok(f64::from(grown) / f64::from(options.idle_connections))
}

/// Connections that have each done one request.
async fn open(way: &Way, count: u32) -> Result<Vec<Client>, ClientError> {
    let mut opening = JoinSet::new();
    for _ in 0..count {
        let way = way.clone();
        opening.spawn(async move {
            let mut client = Client::open(&way).await?;
            client.exchange().await?;
            Ok(client)
        });
    }
    opening.join_all().await.into_iter().collect()
}
