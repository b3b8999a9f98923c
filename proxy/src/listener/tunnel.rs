//! Tunnels: bytes pass untouched, to a host whose route says so, and to no other.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::server::Acceptor;
use sallygate_compiler::canonical::Authority;
use sallygate_compiler::table::{HostClass, RouteIndex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::{Front, authority};
use crate::clock;
use crate::denial::{Code, Denial};
use crate::id::ExchangeId;
use crate::limits::ms;
use crate::plan::Sandbox;
use crate::request::Outcome;
use crate::stream::Replay;
use crate::upstream;

/// A hello may come in many records, but not in more than this.
const HELLO_BYTES_MAX: usize = 64 * 1024;
const COPY_BYTES: usize = 16 * 1024;

/// Carries one tunnel from its hello to its end.
pub(super) async fn serve(
    mut socket: Replay,
    route: RouteIndex,
    sandbox: &Arc<Sandbox>,
    authority: &Authority,
    front: &Front,
) {
    let id = ExchangeId::new();
    let began = (clock::now(), clock::wall());
    let mut bytes = (0, 0);
    let mut address = String::new();
    let ended = run(&mut socket, route, sandbox, authority, front, &mut bytes, &mut address).await;
    let denial = ended.err();
    Outcome {
        id,
        sandbox: &sandbox.id,
        profile: &sandbox.plan.profile,
        plan: &sandbox.plan.digest,
        mode: "tunnel",
        protocol: "tcp",
        method: "CONNECT",
        host: authority.host.as_str(),
        port: authority.port,
        route: sandbox.plan.route(route).map_or("", |r| &r.id),
        denial: denial.as_ref(),
        status: 200,
        upstream_address: address,
        bytes,
        began: Some(began),
    }
    .record(&front.shared);
}

async fn run(
    socket: &mut Replay,
    route: RouteIndex,
    sandbox: &Arc<Sandbox>,
    authority: &Authority,
    front: &Front,
    bytes: &mut (u64, u64),
    address: &mut String,
) -> Result<(), Denial> {
    let shared = &front.shared;
    let hello = hello(socket, authority);
    tokio::time::timeout(ms(shared.limits.handshake_ms), hello)
        .await
        .map_err(|_| Denial::new(Code::BadFraming, "the TLS hello did not come in time"))??;
    let gone = || Denial::new(Code::NoRoute, "the route is gone");
    let destination = &sandbox.plan.route(route).ok_or_else(gone)?.destination;
    let (mut upstream, at) =
        upstream::connect(authority, destination, &shared.resolver, &shared.own).await?;
    *address = at.to_string();
    let idle = ms(shared.limits.tunnel_idle_ms);
    let mut shutdown = front.shutdown.clone();
    tokio::select! {
        biased;
        // A broken connection ends a tunnel as well as a closed one.
        _ = copy(socket, &mut upstream, idle, bytes) => Ok(()),
        denial = revoked(sandbox, authority, front) => Err(denial),
        () = drained(&mut shutdown, front) => Err(Denial::new(Code::Draining, "the proxy is shutting down")),
    }
}

/// Waits until tunnels must end for a shutdown: they have the grace time, as requests have.
async fn drained(shutdown: &mut pingora::server::ShutdownWatch, front: &Front) {
    if shutdown.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
    tokio::time::sleep(front.drain).await;
}

/// Reads the hello and leaves it in place; its SNI must name the tunnel's host.
async fn hello(socket: &mut Replay, authority: &Authority) -> Result<(), Denial> {
    let unreadable =
        || Denial::new(Code::BadFraming, "a tunnel carries TLS, and this is not a TLS hello");
    let mut acceptor = Acceptor::default();
    let mut fed = 0;
    loop {
        let mut rest = socket.prefix().get(fed..).unwrap_or_default();
        while !rest.is_empty() {
            let n = acceptor.read_tls(&mut rest).map_err(|_| unreadable())?;
            fed += n;
            if let Some(accepted) = acceptor.accept().map_err(|_| unreadable())? {
                let sni = accepted.client_hello().server_name().map(str::to_owned);
                if sni.is_some() && authority::names(sni.as_deref(), &authority.host) {
                    return Ok(());
                }
                return Err(Denial::new(
                    Code::AuthorityMismatch,
                    "TLS does not name the host of the tunnel",
                ));
            }
        }
        if fed > HELLO_BYTES_MAX || !matches!(socket.read_ahead().await, Ok(n) if n > 0) {
            return Err(unreadable());
        }
    }
}

/// Copies both ways until one side is done with both, or nothing moves for `idle`.
async fn copy(
    client: &mut Replay,
    upstream: &mut TcpStream,
    idle: Duration,
    bytes: &mut (u64, u64),
) -> io::Result<()> {
    // On the heap: arrays would be part of every connection's future, tunnel or not.
    let (mut up, mut down) = (vec![0u8; COPY_BYTES], vec![0u8; COPY_BYTES]);
    let (mut up_open, mut down_open) = (true, true);
    let silence = tokio::time::sleep(idle);
    tokio::pin!(silence);
    while up_open || down_open {
        tokio::select! {
            n = client.read(&mut up), if up_open => match n? {
                0 => { up_open = false; upstream.shutdown().await?; }
                n => { upstream.write_all(up.get(..n).unwrap_or_default()).await?; bytes.0 += n as u64; }
            },
            n = upstream.read(&mut down), if down_open => match n? {
                0 => { down_open = false; client.shutdown().await?; }
                n => { client.write_all(down.get(..n).unwrap_or_default()).await?; bytes.1 += n as u64; }
            },
            () = &mut silence => return Err(io::ErrorKind::TimedOut.into()),
        }
        silence.as_mut().reset(Instant::now() + idle);
    }
    Ok(())
}

/// Returns when the sandbox may no longer have this tunnel.
async fn revoked(sandbox: &Sandbox, authority: &Authority, front: &Front) -> Denial {
    let mut changes = front.shared.store.subscribe();
    loop {
        if changes.changed().await.is_err() {
            return std::future::pending().await;
        }
        let generation = front.shared.store.load();
        let now = match crate::request::alive(&sandbox.id, sandbox.token, &generation) {
            Ok(now) => now,
            Err(denial) => return denial,
        };
        let class = now.plan.table.host_class(&authority.host, authority.port);
        if !matches!(class, HostClass::Tunnel(_)) {
            return Denial::new(
                Code::NoRoute,
                "the route was taken away while the tunnel was open",
            );
        }
    }
}
