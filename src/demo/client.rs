//! A client in the place of a sandbox: its own identity, and trust in nothing but the interception
//! authority.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, PROXY_AUTHORIZATION};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::exit::{Failure, failed};

const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// An answer, whoever gave it.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) body: Bytes,
}

/// A sandbox's way to the proxy.
pub(super) struct Client {
    proxy: SocketAddr,
    authorization: String,
    tls: Arc<ClientConfig>,
}

/// An open way to one host.
pub(super) struct Way {
    sender: SendRequest<Empty<Bytes>>,
    host: String,
    /// Set where the proxy reads each request by itself.
    authorization: Option<String>,
}

impl Client {
    pub(super) fn new(
        proxy: SocketAddr,
        authorization: String,
        ca_pem: &[u8],
    ) -> Result<Self, Failure> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(ca_pem).map_err(failed)?).map_err(failed)?;
        let tls = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        Ok(Self { proxy, authorization, tls: Arc::new(tls) })
    }

    /// A way to `host` through CONNECT and TLS.
    pub(super) async fn secure(&self, host: &str) -> Result<Way, Failure> {
        let sender = self.connect().await?;
        let authority = format!("{host}:443");
        let request = Request::builder()
            .method(Method::CONNECT)
            .uri(authority.as_str())
            .header(HOST, authority.as_str())
            .header(PROXY_AUTHORIZATION, self.authorization.as_str());
        let request = request.body(Empty::<Bytes>::new()).map_err(failed)?;
        let answered = ask(sender, request).await?.1;
        if answered.status() != StatusCode::OK {
            return Err(failed(format_args!("CONNECT {authority}: {}", answered.status())));
        }
        let tunnel = hyper::upgrade::on(answered).await.map_err(failed)?;
        let name = ServerName::try_from(host.to_owned()).map_err(failed)?;
        let secured = TlsConnector::from(Arc::clone(&self.tls))
            .connect(name, TokioIo::new(tunnel))
            .await
            .map_err(failed)?;
        let (sender, connection) = http1::handshake(TokioIo::new(secured)).await.map_err(failed)?;
        tokio::spawn(connection);
        Ok(Way { sender, host: host.to_owned(), authorization: None })
    }

    /// A way to `host` in clear text.
    pub(super) async fn plain(&self, host: &str) -> Result<Way, Failure> {
        let sender = self.connect().await?;
        let authorization = Some(self.authorization.clone());
        Ok(Way { sender, host: host.to_owned(), authorization })
    }

    async fn connect(&self) -> Result<SendRequest<Empty<Bytes>>, Failure> {
        let stream = TcpStream::connect(self.proxy).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
        tokio::spawn(connection.with_upgrades());
        Ok(sender)
    }
}

impl Way {
    /// Sends one request and takes the whole answer.
    pub(super) async fn send(
        mut self,
        method: &str,
        path: &str,
    ) -> Result<(Self, Answer), Failure> {
        let mut request = Request::builder().method(method).header(HOST, self.host.as_str());
        request = match &self.authorization {
            None => request.uri(path),
            Some(authorization) => request
                .uri(format!("http://{}{path}", self.host))
                .header(PROXY_AUTHORIZATION, authorization.as_str()),
        };
        let request = request.body(Empty::new()).map_err(failed)?;
        let (sender, response) = ask(self.sender, request).await?;
        let body = timeout(ANSWER_WITHIN, response.into_body().collect()).await;
        let body = body.map_err(|_| failed("the answer did not end in time"))?.map_err(failed)?;
        self.sender = sender;
        Ok((self, Answer { body: body.to_bytes() }))
    }
}

async fn ask(
    mut sender: SendRequest<Empty<Bytes>>,
    request: Request<Empty<Bytes>>,
) -> Result<(SendRequest<Empty<Bytes>>, Response<Incoming>), Failure> {
    let answered = timeout(ANSWER_WITHIN, sender.send_request(request)).await;
    let response = answered.map_err(|_| failed("no answer in time"))?.map_err(failed)?;
    Ok((sender, response))
}
