//! The client of the benchmark: as little work per request as possible, so that it is not what is
//! measured. It speaks to one host, asks for one path, and checks status and length.

mod h1;
mod h2;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::Resumption;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::error::ClientError;
use super::fixture::Fixture;

pub(crate) const ALPN_H2: &[u8] = b"h2";
const ALPN_H1: &[u8] = b"http/1.1";
const OPEN_WITHIN: Duration = Duration::from_secs(10);
const CONNECT_HEAD_BYTES_MAX: usize = 8 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Protocol {
    /// HTTP/1.1
    H1,
    /// HTTP/2
    H2,
}

impl Protocol {
    pub(crate) const BOTH: [Self; 2] = [Self::H1, Self::H2];

    pub(crate) fn alpn(self) -> Vec<u8> {
        match self {
            Self::H1 => ALPN_H1.to_vec(),
            Self::H2 => ALPN_H2.to_vec(),
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::H1 => "h1",
            Self::H2 => "h2",
        }
    }
}

/// Where requests go and what they ask for.
#[derive(Debug, Clone)]
pub(crate) struct Way {
    address: SocketAddr,
    through_connect: Through,
    host: String,
    path: &'static str,
    protocol: Protocol,
    tls: Arc<ClientConfig>,
    response_bytes: usize,
}

/// Whether the address is that of the host, or of a proxy that is asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Through {
    Nothing,
    Connect,
}

impl Way {
    pub(crate) fn new(
        address: SocketAddr,
        through_connect: Through,
        protocol: Protocol,
        roots: Arc<RootCertStore>,
        fixture: &Fixture,
    ) -> Self {
        let mut tls = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        tls.alpn_protocols = vec![protocol.alpn()];
        // Every handshake is a full one, on every way.
        tls.resumption = Resumption::disabled();
        let response_bytes = fixture.response_bytes;
        let tls = Arc::new(tls);
        let (host, path) = (String::new(), "/");
        Self { address, through_connect, host, path, protocol, tls, response_bytes }
    }

    #[must_use]
    pub(crate) fn to(&self, host: &str, path: &'static str) -> Self {
        Self { host: host.to_owned(), path, ..self.clone() }
    }

    async fn stream(&self) -> Result<TlsStream<TcpStream>, ClientError> {
        let mut stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        if self.through_connect == Through::Connect {
            connect(&mut stream, &self.host).await?;
        }
        let name = ServerName::try_from(self.host.clone())
            .map_err(|error| ClientError::Io(std::io::Error::other(error)))?;
        let stream = TlsConnector::from(self.tls.clone()).connect(name, stream).await?;
        match stream.get_ref().1.alpn_protocol() {
            Some(chosen) if chosen == self.protocol.alpn() => Ok(stream),
            None if self.protocol == Protocol::H1 => Ok(stream),
            Some(_) | None => Err(ClientError::Protocol),
        }
    }
}

/// One connection, ready for requests.
#[derive(Debug)]
pub(crate) enum Client {
    H1(Box<h1::Connection>),
    H2(Box<h2::Connection>),
}

impl Client {
    pub(crate) async fn open(way: &Way) -> Result<Self, ClientError> {
        let open = async {
            let stream = way.stream().await?;
            Ok(match way.protocol {
                Protocol::H1 => Self::H1(Box::new(h1::Connection::new(stream, way))),
                Protocol::H2 => Self::H2(Box::new(h2::Connection::open(stream, way).await?)),
            })
        };
        timeout(OPEN_WITHIN, open).await.unwrap_or(Err(ClientError::Timeout))
    }

    /// One request and its whole response.
    pub(crate) async fn exchange(&mut self) -> Result<(), ClientError> {
        match self {
            Self::H1(connection) => connection.exchange().await,
            Self::H2(connection) => connection.exchange().await,
        }
    }

    /// As many clients as requests may be in flight on this connection at a time.
    pub(crate) fn lanes(self, streams: u32) -> Vec<Self> {
        match self {
            Self::H1(_) => vec![self],
            Self::H2(connection) => (0..streams).map(|_| Self::H2(connection.clone())).collect(),
        }
    }

    pub(crate) async fn close(self) {
        if let Self::H1(connection) = self {
            connection.close().await;
        }
    }
}

/// Asks a proxy for a tunnel. Nothing follows the answer before the client has spoken, so reading
/// in chunks cannot take bytes of the tunnel.
async fn connect(stream: &mut TcpStream, host: &str) -> Result<(), ClientError> {
    let authorization = Fixture::proxy_authorization();
    let head = format!(
        "CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\nProxy-Authorization: {authorization}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    let mut answer = Vec::with_capacity(512);
    while !answer.ends_with(b"\r\n\r\n") && answer.len() < CONNECT_HEAD_BYTES_MAX {
        if stream.read_buf(&mut answer).await? == 0 {
            break;
        }
    }
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.lines().next().unwrap_or_default();
    match status.split(' ').nth(1) {
        Some("200") => Ok(()),
        Some(_) | None => Err(ClientError::ConnectRefused(status.to_owned())),
    }
}
