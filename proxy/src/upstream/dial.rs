//! Builds peers, and connects for tunnels: the only place where an upstream address is chosen.
//!
//! INVARIANT: an address that is connected to was checked by [`guard`] in the same call that
//! chose it. Nothing behind this looks a name up again.

use std::hash::{BuildHasher, Hash, RandomState};
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use pingora::connectors::L4Connect;
use pingora::protocols::Stream;
use pingora::protocols::l4::socket::SocketAddr as PingoraAddr;
use pingora::protocols::l4::stream::Stream as L4Stream;
use pingora::protocols::l4::virt::VirtualSocketStream;
use pingora::protocols::tls::{ALPN, CaType};
use pingora::upstreams::peer::HttpPeer;
use sallygate_compiler::address;
use sallygate_compiler::canonical::{Authority, Scheme};
use tokio::net::TcpStream;

use super::guard::{self, OwnListeners};
use super::pool::{Pool, Protocol};
use super::race::{Racing, race};
use super::resolve::ResolveError;
use super::wire::UpstreamWire;
use super::{Destination, Journey, Resolver};
use crate::credential::Identity;
use crate::denial::{Code, Denial};

/// What of an exchange decides which pooled connections it may use.
#[derive(Debug)]
pub(crate) struct Grouping<'a> {
    pub(crate) credential: Option<&'a str>,
    /// Who we are in the handshake.
    pub(crate) identity: Option<&'a Identity>,
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

/// An upstream as it is connected to: addresses that were checked, and what TLS is to verify.
#[derive(Debug)]
pub(crate) struct Place {
    addresses: Vec<SocketAddr>,
    tls: bool,
    offers_h2: bool,
    authority: Arc<Authority>,
    ca: Option<Arc<CaType>>,
    identity: Option<Identity>,
    connect: Duration,
    first_byte: Duration,
    idle: Duration,
    /// Stands for everything that a pooled stream must have in common with the exchange.
    key: u64,
}

impl Place {
    /// The place of `authority` at `addresses`, which are checked; `None` when there are none.
    pub(crate) fn new(
        scheme: Scheme,
        authority: &Arc<Authority>,
        addresses: Vec<SocketAddr>,
        (destination, grouping): (&Destination, &Grouping<'_>),
    ) -> Option<Self> {
        addresses.first()?;
        Some(Self {
            key: group_key(scheme, authority, &addresses, destination, grouping),
            addresses,
            tls: scheme == Scheme::Https,
            offers_h2: grouping.offer_h2,
            authority: Arc::clone(authority),
            ca: destination.ca.clone(),
            identity: grouping.identity.cloned(),
            connect: destination.connect,
            first_byte: destination.first_byte.unwrap_or(destination.idle).min(destination.idle),
            idle: destination.idle,
        })
    }

    /// A peer that is connected to with TLS, where there is any, and this offer.
    fn peer(&self, offer: ALPN) -> Option<HttpPeer> {
        let mut peer = HttpPeer::new(
            *self.addresses.first()?,
            self.tls,
            self.authority.host.as_str().to_owned(),
        );
        peer.group_key = self.key;
        peer.client_cert_key = self.identity.as_ref().map(|own| Arc::clone(own.pair()));
        let options = &mut peer.options;
        options.alpn = offer;
        options.connection_timeout = Some(self.connect);
        options.total_connection_timeout = Some(self.connect);
        options.ca.clone_from(&self.ca);
        if self.addresses.len() > 1 {
            options.custom_l4 = Some(Arc::new(Racing { addresses: self.addresses.clone() }));
        }
        self.set_timeouts(&mut peer);
        Some(peer)
    }

    fn set_timeouts(&self, peer: &mut HttpPeer) {
        let options = &mut peer.options;
        options.read_timeout = Some(self.first_byte);
        options.write_timeout = Some(self.idle);
    }

    /// A peer that Pingora speaks HTTP/2 to, on connections of its own.
    pub(crate) fn h2_peer(&self) -> Option<HttpPeer> {
        let mut peer = self.peer(ALPN::H2)?;
        peer.options.max_h2_streams = 100;
        peer.options.idle_timeout = Some(super::pool::IDLE_MAX);
        Some(peer)
    }

    /// A peer that Pingora speaks HTTP/1 to, through an [`UpstreamWire`]. For Pingora it is one in
    /// clear text: TLS lies below.
    pub(crate) fn h1_peer(
        self: &Arc<Self>,
        journey: Arc<Journey>,
        pool: &Arc<Pool>,
    ) -> Option<HttpPeer> {
        let mut peer = HttpPeer::new(*self.addresses.first()?, false, String::new());
        peer.group_key = self.key;
        peer.options.alpn = ALPN::H1;
        peer.options.total_connection_timeout = Some(self.connect);
        let dialer = Dialer { place: Arc::clone(self), journey, pool: Arc::clone(pool) };
        peer.options.custom_l4 = Some(Arc::new(dialer));
        self.set_timeouts(&mut peer);
        Some(peer)
    }

    /// Which protocol is to be spoken, where there is no choice or it was made not long ago.
    pub(crate) fn known_protocol(&self, pool: &Pool) -> Option<Protocol> {
        if self.tls && self.offers_h2 { pool.protocol(self.key) } else { Some(Protocol::Http1) }
    }

    /// Which protocol the upstream speaks when it has the choice. It is asked by connecting; what
    /// it chose is remembered, and a stream of HTTP/1 is kept for the exchange that asked.
    pub(crate) async fn ask_protocol(&self, pool: &Pool) -> pingora::Result<Protocol> {
        let Some(stream) = self.open(pool, ALPN::H2H1).await? else { return Ok(Protocol::Http1) };
        let protocol = match stream.selected_alpn_proto() {
            Some(ALPN::H2) => Protocol::Http2,
            Some(ALPN::H1 | ALPN::H2H1 | ALPN::Custom(_)) | None => Protocol::Http1,
        };
        pool.learn(self.key, protocol);
        if protocol == Protocol::Http1 {
            pool.put(self.key, stream);
        }
        Ok(protocol)
    }

    /// HTTP/1, when an upstream that chose HTTP/2 speaks it too. What is opened for that serves the
    /// exchange.
    pub(crate) async fn try_h1(&self, pool: &Pool) -> Protocol {
        if pool.has(self.key) {
            return Protocol::Http1;
        }
        match self.open(pool, ALPN::H1).await {
            Ok(Some(stream)) if !matches!(stream.selected_alpn_proto(), Some(ALPN::H2)) => {
                pool.put(self.key, stream);
                Protocol::Http1
            }
            Ok(_) | Err(_) => Protocol::Http2,
        }
    }

    /// Has the upstream asked again which protocol it speaks.
    pub(crate) fn forget_protocol(&self, pool: &Pool) {
        pool.forget(self.key);
    }

    /// Remembers that HTTP/2 did not come of it, whatever was negotiated.
    pub(crate) fn prefer_h1(&self, pool: &Pool) {
        pool.learn(self.key, Protocol::Http1);
    }

    async fn open(&self, pool: &Pool, offer: ALPN) -> pingora::Result<Option<Stream>> {
        let Some(peer) = self.peer(offer) else { return Ok(None) };
        pool.connector.new_stream(&peer).await.map(Some)
    }
}

/// Gives Pingora the stream of one exchange: one from the pool, or a new one.
#[derive(Debug)]
struct Dialer {
    place: Arc<Place>,
    journey: Arc<Journey>,
    pool: Arc<Pool>,
}

#[async_trait]
impl L4Connect for Dialer {
    async fn connect(&self, _address: &PingoraAddr) -> pingora::Result<L4Stream> {
        let place = &self.place;
        // What becomes something else was never anybody else's.
        let pooled = if self.journey.is_upgrade { None } else { self.pool.take(place.key) };
        self.journey.reused.store(pooled.is_some(), Ordering::Relaxed);
        let stream = match pooled {
            Some(stream) => Some(stream),
            // In a box of its own: a handshake is large, and nearly always there is none.
            None => Box::pin(place.open(&self.pool, ALPN::H1)).await?,
        };
        let stream = stream.ok_or_else(|| {
            pingora::Error::explain(pingora::ErrorType::ConnectError, "no address")
        })?;
        let journey = Arc::clone(&self.journey);
        let wire = UpstreamWire::new(stream, journey, Arc::clone(&self.pool), place.key);
        Ok(VirtualSocketStream::new(Box::new(wire)).into())
    }
}

/// Pingora's own pool key leaves out the CA, the ALPN offer and the credential, and of a client
/// certificate all but its serial number; a connection made for one of those must never serve another.
fn group_key(
    scheme: Scheme,
    authority: &Authority,
    addresses: &[SocketAddr],
    destination: &Destination,
    grouping: &Grouping<'_>,
) -> u64 {
    let Grouping { credential, identity, offer_h2, is_upgrade } = grouping;
    let identity = identity.map(Identity::digest);
    let who = (credential, identity, offer_h2, is_upgrade);
    keyed_hash(&(scheme, authority, addresses, destination.key, who))
}

/// Keyed by a random state, so that nobody can aim at another's connections.
pub(super) fn keyed_hash(value: &impl Hash) -> u64 {
    static KEY: OnceLock<RandomState> = OnceLock::new();
    KEY.get_or_init(RandomState::new).hash_one(value)
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
