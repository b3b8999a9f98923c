//! A client that is in no hurry: raw HTTP/1.1 through a CONNECT tunnel, one byte at a time if need
//! be, so that a test can do something to the proxy while a request is half done.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Longer than anything here takes on a busy machine; a test that reaches it has failed.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Who asks, and through which proxy.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) proxy: SocketAddr,
    /// `id:token`; empty: says nothing about itself.
    pub(crate) identity: String,
}

impl Caller {
    /// From `http://id:token@address`.
    pub(crate) fn from_url(url: &str) -> Self {
        let rest = url.strip_prefix("http://").expect("an http URL");
        let (identity, address) = rest.rsplit_once('@').expect("an identity");
        Self { proxy: address.parse().expect("an address"), identity: identity.to_owned() }
    }

    pub(crate) fn authorization(&self) -> String {
        if self.identity.is_empty() {
            return String::new();
        }
        let encoded = base64::engine::general_purpose::STANDARD.encode(&self.identity);
        format!("Proxy-Authorization: Basic {encoded}\r\n")
    }
}

/// A connection and what was read from it too far.
pub(crate) struct Raw {
    stream: Box<dyn Stream>,
    buffer: Vec<u8>,
}

impl Raw {
    pub(crate) fn over(stream: impl Stream + 'static) -> Self {
        Self { stream: Box::new(stream), buffer: Vec::new() }
    }

    /// Connects to the proxy.
    pub(crate) async fn connect(caller: &Caller) -> Self {
        Self::over(TcpStream::connect(caller.proxy).await.expect("the proxy listens"))
    }

    /// CONNECTs to `host:443` and returns the answer's status line.
    pub(crate) async fn ask_tunnel(&mut self, caller: &Caller, host: &str) -> String {
        let authorization = caller.authorization();
        self.send(&format!(
            "CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n{authorization}\r\n"
        ))
        .await;
        let head = self.head().await;
        if !head.starts_with("HTTP/1.1 200") {
            self.body(&head).await;
        }
        head.lines().next().unwrap_or_default().to_owned()
    }

    /// TLS with `host`, trusting the certificates in `ca` alone.
    pub(crate) async fn secure(self, host: &str, ca: &Path) -> Self {
        Self::over(self.secure_for(host, ca, &[b"http/1.1"]).await)
    }

    /// The same, to speak one of `protocols` inside.
    pub(crate) async fn secure_for(
        self,
        host: &str,
        ca: &Path,
        protocols: &[&[u8]],
    ) -> TlsStream<Box<dyn Stream>> {
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(ca).expect("a CA file") {
            roots.add(certificate.expect("a certificate")).expect("an authority");
        }
        let mut config =
            rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let name = ServerName::try_from(host.to_owned()).expect("a name");
        let connector = TlsConnector::from(Arc::new(config));
        connector.connect(name, self.stream).await.expect("TLS with the proxy's leaf")
    }

    /// A TLS connection to `host` through a tunnel.
    pub(crate) async fn tunnel(caller: &Caller, host: &str, ca: &Path) -> Self {
        let mut raw = Self::connect(caller).await;
        let status = raw.ask_tunnel(caller, host).await;
        assert!(status.starts_with("HTTP/1.1 200"), "CONNECT {host}: {status}");
        raw.secure(host, ca).await
    }

    pub(crate) async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.expect("the proxy reads");
        self.stream.flush().await.expect("the proxy reads");
    }

    /// Sends a GET and reads the whole answer: status and body.
    pub(crate) async fn get(&mut self, host: &str, path: &str) -> (u16, String) {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        let head = self.head().await;
        let body = self.body(&head).await;
        (status(&head), body)
    }

    /// Reads a response head.
    pub(crate) async fn head(&mut self) -> String {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                let head = self.buffer.drain(..end + 4).collect();
                return String::from_utf8(head).expect("a head is text");
            }
            assert!(self.fill().await, "the connection ended within a head");
        }
    }

    /// Reads a request head; `None` when the connection ends instead.
    pub(crate) async fn next_head(&mut self) -> Option<String> {
        if self.buffer.is_empty() && !self.fill().await {
            return None;
        }
        Some(self.head().await)
    }

    /// Reads the body that belongs to `head`: with a length or chunked.
    pub(crate) async fn body(&mut self, head: &str) -> String {
        let lower = head.to_ascii_lowercase();
        if lower.contains("transfer-encoding: chunked") {
            return self.until("0\r\n\r\n").await;
        }
        let length = lower
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |n| n.trim().parse().expect("a length"));
        while self.buffer.len() < length {
            assert!(self.fill().await, "the connection ended within a body");
        }
        String::from_utf8_lossy(&self.buffer.drain(..length).collect::<Vec<u8>>()).into_owned()
    }

    /// Reads until `mark` has come, and returns everything up to and with it.
    pub(crate) async fn until(&mut self, mark: &str) -> String {
        loop {
            if let Some(at) = find(&self.buffer, mark.as_bytes()) {
                let piece: Vec<u8> = self.buffer.drain(..at + mark.len()).collect();
                return String::from_utf8_lossy(&piece).into_owned();
            }
            assert!(self.fill().await, "the connection ended before {mark:?}");
        }
    }

    /// Waits for the end of the connection, however it ends; `false` when it does not.
    pub(crate) async fn ends_within(&mut self, limit: Duration) -> bool {
        let ended = async {
            let mut piece = [0u8; 4096];
            while matches!(self.stream.read(&mut piece).await, Ok(n) if n > 0) {}
        };
        tokio::time::timeout(limit, ended).await.is_ok()
    }

    async fn fill(&mut self) -> bool {
        let mut piece = [0u8; 16 * 1024];
        let read = tokio::time::timeout(PATIENCE, self.stream.read(&mut piece));
        match read.await.expect("the proxy answers in time") {
            Ok(n) => {
                self.buffer.extend_from_slice(&piece[..n]);
                n > 0
            }
            Err(_) => false,
        }
    }
}

pub(crate) fn status(head: &str) -> u16 {
    head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status")
}

fn find(bytes: &[u8], mark: &[u8]) -> Option<usize> {
    bytes.windows(mark.len()).position(|window| window == mark)
}
