//! Builds peers, and connects for tunnels: the only place where an upstream address is chosen.
//!
//! INVARIANT: an address that is connected to was checked by [`guard`] in the same call that
//! chose it. Nothing behind this looks a name up again.

use std::hash::{BuildHasher, Hash, RandomState};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use pingora::connectors::L4Connect;
use pingora::protocols::l4::socket::SocketAddr as PingoraAddr;
use pingora::protocols::l4::stream::Stream as L4Stream;
use pingora::protocols::l4::virt::{VirtualSockOpt, VirtualSocket, VirtualSocketStream};
use pingora::protocols::tls::ALPN;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType};
use sallygate_compiler::address;
use sallygate_compiler::canonical::{Authority, Scheme};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::guard::{self, OwnListeners};
use super::resolve::ResolveError;
use super::{Destination, Resolver};
use crate::denial::{Code, Denial};

/// How long an address gets before the next one is tried beside it (RFC 8305 §5).
const NEXT_ATTEMPT: Duration = Duration::from_millis(250);

/// What of an exchange decides which pooled connections it may use.
#[derive(Debug, Hash)]
pub(crate) struct Grouping<'a> {
    pub(crate) credential: Option<&'a str>,
    pub(crate) offer_h2: bool,
    /// The connection is to become something else, and is nobody else's then.
    pub(crate) is_upgrade: bool,
}

/// Addresses of an upstream, every one of them checked.
pub(crate) async fn addresses(
    authority: &Authority,
    destination: &Destination,
    resolver: &Resolver,
    own: &OwnListeners,
) -> Result<Vec<SocketAddr>, Denial> {
    let found = if !destination.addresses.is_empty() {
        destination.addresses.clone()
    } else if let Some(ip) = authority.host.ip() {
        vec![SocketAddr::new(ip, authority.port)]
    } else {
        look_up(authority, resolver).await?
    };
    for address in &found {
        let reachable = address::allows(address.ip(), &destination.allow_ranges);
        if !reachable || own.contain(*address) {
            return Err(refused(authority));
        }
    }
    Ok(guard::in_order(found))
}

async fn look_up(authority: &Authority, resolver: &Resolver) -> Result<Vec<SocketAddr>, Denial> {
    if address::is_local_name(authority.host.as_str()) {
        return Err(refused(authority));
    }
    let found = resolver.addresses(authority.host.as_str()).await.map_err(|e| match e {
        ResolveError::Timeout => {
            Denial::new(Code::UpstreamTimeout, "dns: the resolver did not answer in time")
        }
        ResolveError::NoAddress | ResolveError::Failed => {
            Denial::new(Code::UpstreamDns, e.to_string())
        }
    })?;
    Ok(found.into_iter().map(|ip| SocketAddr::new(ip, authority.port)).collect())
}

fn refused(authority: &Authority) -> Denial {
    Denial::new(
        Code::AddressRefused,
        format!("`{}` leads to an address that sandboxes may not reach", authority.host),
    )
}

/// A peer for `authority` at `addresses`, which are checked and not empty.
pub(crate) fn peer(
    scheme: Scheme,
    authority: &Authority,
    addresses: &[SocketAddr],
    destination: &Destination,
    grouping: &Grouping<'_>,
) -> Option<HttpPeer> {
    let first = *addresses.first()?;
    let tls = scheme == Scheme::Https;
    let mut peer = HttpPeer::new(first, tls, authority.host.as_str().to_owned());
    peer.group_key = group_key(scheme, authority, addresses, destination, grouping);
    let options = &mut peer.options;
    options.alpn = if grouping.offer_h2 && tls { ALPN::H2H1 } else { ALPN::H1 };
    options.max_h2_streams = 100;
    options.connection_timeout = Some(destination.connect);
    options.total_connection_timeout = Some(destination.connect);
    options.read_timeout =
        Some(destination.first_byte.unwrap_or(destination.idle).min(destination.idle));
    options.write_timeout = Some(destination.idle);
    options.idle_timeout = Some(Duration::from_secs(60));
    options.ca.clone_from(&destination.ca);
    if addresses.len() > 1 || grouping.is_upgrade {
        let yields = grouping.is_upgrade;
        options.custom_l4 = Some(Arc::new(Racing { addresses: addresses.to_vec(), yields }));
    }
    Some(peer)
}

/// Pingora's own pool key leaves out the CA, the ALPN offer and the credential; a connection made
/// for one of those must never serve another.
fn group_key(
    scheme: Scheme,
    authority: &Authority,
    addresses: &[SocketAddr],
    destination: &Destination,
    grouping: &Grouping<'_>,
) -> u64 {
    keyed_hash(&(scheme, authority, addresses, destination.key, grouping))
}

/// Keyed by a random state, so that nobody can aim at another's connections.
pub(super) fn keyed_hash(value: &impl Hash) -> u64 {
    static KEY: OnceLock<RandomState> = OnceLock::new();
    KEY.get_or_init(RandomState::new).hash_one(value)
}

/// Connects to whichever of several addresses answers first.
#[derive(Debug)]
struct Racing {
    addresses: Vec<SocketAddr>,
    /// See [`Yielding`].
    yields: bool,
}

#[async_trait]
impl L4Connect for Racing {
    async fn connect(&self, _address: &PingoraAddr) -> pingora::Result<L4Stream> {
        let stream = race(&self.addresses)
            .await
            .map_err(|e| Error::because(error_type(&e), "connecting to the upstream", e))?;
        if self.yields {
            let yielding = Yielding { stream, has_written: false };
            return Ok(VirtualSocketStream::new(Box::new(yielding)).into());
        }
        Ok(stream.into())
    }
}

/// A stream that lets others go first when it is read after a write.
///
/// Pingora 0.9.1 ends an upgraded exchange when a 101 is read before the (empty) request body was
/// taken note of: both are waited for in one `select!`, and an upstream that answers at once can
/// make both ready. Yielding once after a write settles the order.
#[derive(Debug)]
struct Yielding {
    stream: TcpStream,
    has_written: bool,
}

impl AsyncRead for Yielding {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if std::mem::take(&mut self.has_written) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Yielding {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.has_written = true;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl VirtualSocket for Yielding {
    fn set_socket_option(&self, option: VirtualSockOpt) -> io::Result<()> {
        if matches!(option, VirtualSockOpt::NoDelay) {
            return self.stream.set_nodelay(true);
        }
        // Keep-alive is set by nobody: the exchange's own silence limit ends a dead peer.
        Ok(())
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the enum is the library's and grows without us"
)]
fn error_type(error: &std::io::Error) -> ErrorType {
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused => ErrorType::ConnectRefused,
        std::io::ErrorKind::TimedOut => ErrorType::ConnectTimedout,
        std::io::ErrorKind::HostUnreachable | std::io::ErrorKind::NetworkUnreachable => {
            ErrorType::ConnectNoRoute
        }
        _ => ErrorType::ConnectError,
    }
}

/// Happy eyeballs (RFC 8305) over addresses that were checked.
async fn race(addresses: &[SocketAddr]) -> std::io::Result<TcpStream> {
    let mut waiting = addresses.iter().copied();
    let mut attempts = JoinSet::new();
    let mut last = std::io::Error::from(std::io::ErrorKind::AddrNotAvailable);
    loop {
        if let Some(address) = waiting.next() {
            attempts.spawn(TcpStream::connect(address));
        } else if attempts.is_empty() {
            return Err(last);
        }
        let more = waiting.len() > 0;
        tokio::select! {
            Some(done) = attempts.join_next() => match done {
                Ok(Ok(stream)) => {
                    stream.set_nodelay(true)?;
                    return Ok(stream);
                }
                Ok(Err(error)) => last = error,
                Err(_) => {}
            },
            () = tokio::time::sleep(NEXT_ATTEMPT), if more => {}
        }
    }
}

/// Opens a connection for a tunnel.
pub(crate) async fn connect(
    authority: &Authority,
    destination: &Destination,
    resolver: &Resolver,
    own: &OwnListeners,
) -> Result<(TcpStream, SocketAddr), Denial> {
    let found = addresses(authority, destination, resolver, own).await?;
    let stream = tokio::time::timeout(destination.connect, race(&found))
        .await
        .map_err(|_| {
            Denial::new(Code::UpstreamTimeout, "connect: the upstream did not answer in time")
        })?
        .map_err(|_| {
            Denial::new(Code::UpstreamConnect, "the upstream does not accept the connection")
        })?;
    let address = stream
        .peer_addr()
        .map_err(|_| Denial::new(Code::UpstreamConnect, "the upstream closed the connection"))?;
    Ok((stream, address))
}
