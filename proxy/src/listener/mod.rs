//! Where connections come in, and what becomes of them before they are requests.

mod authority;
mod connect;
mod http1;
mod http2;
mod intercept;
mod tunnel;

use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::sync::Arc;

use bytes::BytesMut;
use pingora::proxy::HttpProxy;
use pingora::server::ShutdownWatch;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

pub use authority::AuthorityError;
pub(crate) use authority::CertificateAuthority;

use crate::request::{Connection, Gateway, Scope, Shared};
use crate::stream::{Replay, Socket, Wire};

/// What every connection of this process shares.
pub(crate) struct Front {
    pub(crate) shared: Arc<Shared>,
    pub(crate) proxy: Arc<HttpProxy<Gateway>>,
    pub(crate) authority: Arc<CertificateAuthority>,
    pub(crate) deny_in_tunnel: bool,
    /// How long what is in flight may go on after the shutdown began.
    pub(crate) drain: std::time::Duration,
    /// Turns true when the process begins to shut down.
    pub(crate) shutdown: ShutdownWatch,
    pub(crate) connections: Arc<Semaphore>,
    /// Cloned into every connection; when all clones are gone, the last one has ended.
    pub(crate) alive: watch::Sender<()>,
}

/// Accepts on a TCP listener until shutdown.
pub(crate) async fn serve_tcp(listener: TcpListener, front: Arc<Front>) {
    loop {
        let Some(place) = place(&front).await else { return };
        let mut shutdown = front.shutdown.clone();
        let accepted = tokio::select! {
            biased;
            _ = shutdown.changed() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => spawn_tcp(stream, peer, place, Arc::clone(&front)),
            Err(error) => pause(&error).await,
        }
    }
}

/// Accepts on a Unix socket that is one sandbox's, until shutdown.
pub(crate) async fn serve_unix(listener: UnixListener, sandbox: Arc<str>, front: Arc<Front>) {
    loop {
        let Some(place) = place(&front).await else { return };
        let mut shutdown = front.shutdown.clone();
        let accepted = tokio::select! {
            biased;
            _ = shutdown.changed() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => spawn_unix(stream, Arc::clone(&sandbox), place, Arc::clone(&front)),
            Err(error) => pause(&error).await,
        }
    }
}

async fn place(front: &Front) -> Option<OwnedSemaphorePermit> {
    Arc::clone(&front.connections).acquire_owned().await.ok()
}

/// Out of descriptors: accepting at once again would only spin. Established connections go on.
async fn pause(error: &std::io::Error) {
    tracing::warn!(%error, "a connection could not be accepted");
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
}

fn spawn_tcp(stream: TcpStream, peer: SocketAddr, place: OwnedSemaphorePermit, front: Arc<Front>) {
    let _ = stream.set_nodelay(true);
    let ip = match peer.ip() {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4),
        v4 @ IpAddr::V4(_) => v4,
    };
    let connection = Connection { peer: Some(ip), scope: Scope::Port };
    let id = stream.as_raw_fd();
    spawn(Socket::Tcp(stream), id, connection, place, front);
}

fn spawn_unix(
    stream: UnixStream,
    sandbox: Arc<str>,
    place: OwnedSemaphorePermit,
    front: Arc<Front>,
) {
    let connection = Connection { peer: None, scope: Scope::Socket(sandbox) };
    let id = stream.as_raw_fd();
    spawn(Socket::Unix(stream), id, connection, place, front);
}

fn spawn(
    socket: Socket,
    id: i32,
    connection: Connection,
    place: OwnedSemaphorePermit,
    front: Arc<Front>,
) {
    let alive = front.alive.subscribe();
    tokio::spawn(async move {
        front.shared.metrics.connections.inc();
        let replay = Replay::new(socket, BytesMut::new());
        let wire = Box::new(Wire::plain(replay, Arc::clone(&front.shared.limits), id));
        // Every stage of a connection is a box of its own: what one needs must not weigh on the
        // next, in which the connection may be idle for hours.
        let port = Box::pin(http1::serve_port(wire, Arc::new(connection), &front));
        if let Some(tunnel) = port.await {
            tunnel.serve(&front).await;
        }
        front.shared.metrics.connections.dec();
        drop((place, alive));
    });
}
