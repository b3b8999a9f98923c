//! The floor, a child process: a reverse proxy as a user of Pingora writes it, with TLS on both
//! sides and the upstream's certificate verified. It does none of what the product is for, and that
//! is what it is compared with. It has this binary's allocator, with which it needs less CPU than
//! with the system's: the comparison is the stricter for it.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use pingora::listeners::tls::TlsSettings;
use pingora::prelude::HttpPeer;
use pingora::proxy::{ProxyHttp, Session, http_proxy_service};
use pingora::server::Server;
use pingora::server::configuration::ServerConf;

use super::ChildOptions;
use super::children::announce;
use super::client::Protocol;
use super::error::BenchError;
use super::fixture::{SECURED_HOST, SERVER_CERTIFICATE, SERVER_KEY, UPSTREAM_CA};

const LISTENS_WITHIN: Duration = Duration::from_secs(20);
const POLL_EVERY: Duration = Duration::from_millis(20);
/// With one, Pingora's default, HTTP/2 upstream would be made to look slow.
const UPSTREAM_STREAMS: usize = 128;

pub(crate) fn run(options: &ChildOptions) -> Result<(), BenchError> {
    let upstream = options
        .upstream_address
        .ok_or(BenchError::ChildArgument { role: "floor", argument: "--upstream-address" })?;
    let listen = free_address().map_err(BenchError::Io)?;
    let path = |name: &str| options.directory.join(name).to_string_lossy().into_owned();
    let conf = ServerConf {
        threads: thread::available_parallelism().map_or(1, usize::from),
        ca_file: Some(path(UPSTREAM_CA)),
        grace_period_seconds: Some(0),
        graceful_shutdown_timeout_seconds: Some(0),
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let reverse = Reverse { upstream, protocol: options.upstream };
    let mut service = http_proxy_service(&server.configuration, reverse);
    let mut tls = TlsSettings::intermediate(&path(SERVER_CERTIFICATE), &path(SERVER_KEY))
        .map_err(|error| BenchError::Floor(error.to_string()))?;
    tls.enable_h2();
    service.add_tls_with_settings(&listen.to_string(), None, tls);
    server.add_service(service);
    thread::spawn(move || announce_once_it_listens(listen));
    server.run_forever()
}

struct Reverse {
    upstream: SocketAddr,
    protocol: Protocol,
}

#[async_trait]
impl ProxyHttp for Reverse {
    type CTX = ();

    fn new_ctx(&self) -> Self::CTX {}

    async fn upstream_peer(
        &self,
        _session: &mut Session,
        _ctx: &mut Self::CTX,
    ) -> pingora::Result<Box<HttpPeer>> {
        let mut peer = HttpPeer::new(self.upstream, true, SECURED_HOST.to_owned());
        if self.protocol == Protocol::H2 {
            peer.options.set_http_version(2, 1);
            peer.options.max_h2_streams = UPSTREAM_STREAMS;
        }
        Ok(Box::new(peer))
    }
}

/// Pingora does not tell the port that it was given, so one is chosen for it.
fn free_address() -> std::io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}

fn announce_once_it_listens(address: SocketAddr) {
    for _ in 0..LISTENS_WITHIN.as_millis() / POLL_EVERY.as_millis() {
        if TcpStream::connect(address).is_ok() {
            // Without the line the parent gives up and says so.
            let _ = announce(address);
            return;
        }
        thread::sleep(POLL_EVERY);
    }
}
