//! Our own resolver: absolute names only, no search domains, no hosts file.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;

/// Why a name has no addresses.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ResolveError {
    #[error("the name does not exist or has no address")]
    NoAddress,
    #[error("the resolver did not answer in time")]
    Timeout,
    #[error("the resolver failed")]
    Failed,
}

/// Looks names up, with a cache that keeps what the answers allow.
#[derive(Debug)]
pub(crate) struct Resolver {
    inner: TokioResolver,
}

impl Resolver {
    /// Asks `servers`, or the system's when there are none.
    pub(crate) fn new(servers: &[SocketAddr]) -> Result<Self, String> {
        let (config, mut options) = if servers.is_empty() {
            hickory_resolver::system_conf::read_system_conf().unwrap_or_default()
        } else {
            (custom(servers), ResolverOpts::default())
        };
        // A name is what policy matched: nothing is appended to it, nothing local overrides it.
        let config = ResolverConfig::from_parts(None, vec![], config.name_servers().to_vec());
        options.ndots = 0;
        options.use_hosts_file = hickory_resolver::config::ResolveHosts::Never;
        options.timeout = Duration::from_secs(2);
        options.attempts = 2;
        options.negative_max_ttl = Some(Duration::from_secs(5));
        let inner = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            .with_options(options)
            .build()
            .map_err(|e| e.to_string())?;
        Ok(Self { inner })
    }

    /// Every address of `name`.
    pub(crate) async fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        let look_up = self.inner.lookup_ip(format!("{name}."));
        match tokio::time::timeout(Duration::from_secs(5), look_up).await {
            Err(_) => Err(ResolveError::Timeout),
            Ok(Err(e)) if e.is_no_records_found() => Err(ResolveError::NoAddress),
            Ok(Err(_)) => Err(ResolveError::Failed),
            Ok(Ok(answer)) => {
                let addresses: Vec<_> = answer.iter().collect();
                if addresses.is_empty() { Err(ResolveError::NoAddress) } else { Ok(addresses) }
            }
        }
    }
}

fn custom(servers: &[SocketAddr]) -> ResolverConfig {
    let servers = servers.iter().map(|address| {
        let mut server = NameServerConfig::udp_and_tcp(address.ip());
        for connection in &mut server.connections {
            connection.port = address.port();
        }
        server
    });
    ResolverConfig::from_parts(None, vec![], servers.collect())
}
