//! The upstream of the benchmark, a child process: TLS, HTTP/1.1 or HTTP/2 by ALPN, one fixed
//! response. `/secured` answers 200 only when the injected credential arrived, so that a figure for
//! injection cannot come from requests that were not injected.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConfig;
use rustls::server::Acceptor;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::ChildOptions;
use super::children::announce;
use super::client::{ALPN_H2, Protocol};
use super::error::BenchError;
use super::fixture::{SECRET, SERVER_CERTIFICATE, SERVER_KEY, TUNNEL_HOST};

/// What is offered by ALPN depends on the name: nobody but the client speaks to the host of the
/// tunnel, which therefore has both protocols, while a proxy gets what `--upstream` says.
struct Offers {
    tunnelled: Arc<ServerConfig>,
    proxied: Arc<ServerConfig>,
}

pub(crate) fn run(options: &ChildOptions) -> Result<(), BenchError> {
    let offers = Offers {
        tunnelled: Arc::new(server_config(options, Protocol::H2)?),
        proxied: Arc::new(server_config(options, options.upstream)?),
    };
    let length = usize::try_from(options.response_bytes).unwrap_or(usize::MAX);
    let body = Bytes::from(vec![b'x'; length]);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(BenchError::Io)?;
    runtime.block_on(accept(Arc::new(offers), body))
}

fn server_config(options: &ChildOptions, highest: Protocol) -> Result<ServerConfig, BenchError> {
    let invalid = |error| BenchError::Io(std::io::Error::other(error));
    let certificate = options.directory.join(SERVER_CERTIFICATE);
    let certificate = CertificateDer::from_pem_file(certificate).map_err(invalid)?;
    let key = PrivateKeyDer::from_pem_file(options.directory.join(SERVER_KEY)).map_err(invalid)?;
    let mut config =
        ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key)?;
    config.alpn_protocols = match highest {
        Protocol::H1 => vec![Protocol::H1.alpn()],
        Protocol::H2 => vec![Protocol::H2.alpn(), Protocol::H1.alpn()],
    };
    Ok(config)
}

async fn accept(offers: Arc<Offers>, body: Bytes) -> Result<(), BenchError> {
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(BenchError::Io)?;
    announce(listener.local_addr().map_err(BenchError::Io)?)?;
    loop {
        let (stream, _) = listener.accept().await.map_err(BenchError::Io)?;
        tokio::spawn(serve(stream, offers.clone(), body.clone()));
    }
}

async fn handshake(stream: TcpStream, offers: &Offers) -> io::Result<TlsStream<TcpStream>> {
    stream.set_nodelay(true)?;
    let hello = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
    let config = match hello.client_hello().server_name() {
        Some(TUNNEL_HOST) => &offers.tunnelled,
        Some(_) | None => &offers.proxied,
    };
    hello.into_stream(config.clone()).await
}

/// Errors end the connection and are the other side's to report.
async fn serve(stream: TcpStream, offers: Arc<Offers>, body: Bytes) {
    let Ok(stream) = handshake(stream, &offers).await else { return };
    let is_h2 = stream.get_ref().1.alpn_protocol() == Some(ALPN_H2);
    let service = service_fn(move |request| {
        let response = answer(&request, body.clone());
        async move { Ok::<_, Infallible>(response) }
    });
    let io = TokioIo::new(stream);
    let _ = match is_h2 {
        true => {
            hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(io, service)
                .await
        }
        false => hyper::server::conn::http1::Builder::new().serve_connection(io, service).await,
    };
}

fn answer(request: &Request<Incoming>, body: Bytes) -> Response<Full<Bytes>> {
    let credential = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let status = match request.uri().path() {
        "/secured"
            if credential.and_then(|value| value.strip_prefix("Bearer ")) == Some(SECRET) =>
        {
            StatusCode::OK
        }
        "/secured" => StatusCode::UNAUTHORIZED,
        "/open" => StatusCode::OK,
        _ => StatusCode::NOT_FOUND,
    };
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response
}
