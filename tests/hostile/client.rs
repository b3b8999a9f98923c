//! A sandbox's end of a connection to the proxy, byte by byte.

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use super::answer::{self, Answer};
use super::stream::{Filled, Stream};

/// A connection to the proxy.
pub(crate) struct Client {
    pub(crate) stream: Stream,
    buffer: Vec<u8>,
    /// All that ever came, for the search for secrets.
    pub(crate) received: Vec<u8>,
    end: Option<Filled>,
}

/// How the inner TLS is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Tls {
    pub(crate) config: ClientConfig,
    /// The name that SNI carries and that the certificate must be for.
    pub(crate) name: String,
}

impl Tls {
    /// Trusts the authority in `ca`, and offers `alpn`.
    pub(crate) fn new(ca: &Path, name: &str, alpn: &[&str]) -> Self {
        let mut config =
            ClientConfig::builder().with_root_certificates(roots(ca)).with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        config.resumption = rustls::client::Resumption::disabled();
        Self { config, name: name.to_owned() }
    }
}

pub(crate) fn roots(ca: &Path) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca).expect("a PEM certificate")).expect("a CA");
    roots
}

impl Client {
    pub(crate) fn connect(proxy: SocketAddr) -> Self {
        let socket = TcpStream::connect(proxy).expect("the proxy listens");
        Self::over(Stream::clear(socket))
    }

    fn over(stream: Stream) -> Self {
        Self { stream, buffer: Vec::new(), received: Vec::new(), end: None }
    }

    /// False when the proxy no longer took the bytes.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).and_then(|()| self.stream.flush()).is_ok()
    }

    /// Opens a tunnel; `auth` is a whole header line or nothing.
    pub(crate) fn open_tunnel(&mut self, authority: &str, auth: &str) -> Result<(), Answer> {
        self.send(
            format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n{auth}\r\n").as_bytes(),
        );
        match self.answer(true) {
            Some(answer) if answer.status == 200 => Ok(()),
            Some(answer) => Err(answer),
            None => Err(Answer::default()),
        }
    }

    /// Speaks TLS from here on.
    pub(crate) fn into_tls(self, tls: &Tls) -> Result<Self, std::io::Error> {
        let Stream::Clear(mut socket) = self.stream else { panic!("TLS only once") };
        let name = ServerName::try_from(tls.name.clone()).expect("a server name");
        let mut conn = ClientConnection::new(Arc::new(tls.config.clone()), name)
            .map_err(std::io::Error::other)?;
        while conn.is_handshaking() {
            conn.complete_io(&mut socket)?;
        }
        Ok(Self {
            received: self.received,
            ..Self::over(Stream::Client(Box::new(StreamOwned::new(conn, socket))))
        })
    }

    /// The rustls connection of a client inside TLS.
    pub(crate) fn tls(&self) -> &ClientConnection {
        let Stream::Client(tls) = &self.stream else { panic!("not inside TLS") };
        &tls.conn
    }

    /// The next answer, final or informational; `None` when the connection ended without one.
    pub(crate) fn answer(&mut self, without_body: bool) -> Option<Answer> {
        loop {
            if let Some(answer) = answer::take(&mut self.buffer, without_body, self.end.is_some()) {
                return Some(answer);
            }
            if self.end.is_some() {
                return None;
            }
            self.more();
        }
    }

    /// Reads until `needle` has come; false when the connection ended first.
    pub(crate) fn wait_for(&mut self, needle: &[u8]) -> bool {
        while super::find(&self.received, needle, 0).is_none() {
            if self.end.is_some() {
                return false;
            }
            self.more();
        }
        true
    }

    /// Reads to the end of the connection and says how it ended.
    pub(crate) fn read_to_end(&mut self) -> Filled {
        loop {
            match self.end {
                Some(end) => return end,
                None => self.more(),
            }
        }
    }

    /// The bytes that came and belong to no answer that was taken.
    pub(crate) fn buffered(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Reads once more from the connection.
    pub(crate) fn more(&mut self) {
        match self.moment() {
            Filled::Bytes(_) => {}
            end @ (Filled::End | Filled::Reset | Filled::Silence) => self.end = Some(end),
        }
    }

    /// Reads once; the end is only told, not kept.
    pub(crate) fn moment(&mut self) -> Filled {
        let before = self.buffer.len();
        let filled = self.stream.fill(&mut self.buffer);
        self.received.extend_from_slice(&self.buffer[before..]);
        filled
    }

    pub(crate) fn end(&self) -> Option<Filled> {
        self.end
    }
}
