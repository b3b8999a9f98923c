//! The demo's upstream: TLS, HTTP/1.1 and HTTP/2, and an answer that says what was asked.
//!
//! It listens on loopback, with a certificate of its own authority. Nobody but the demo may have a
//! reason to trust it.

use std::convert::Infallible;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sallygate_control::authority::{self, Pair};
use sallygate_proxy::Input;
use serde_json::{Map, Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::files::{ECHO_CA, ECHO_CA_KEY};
use super::{HOST, TARGET};
use crate::commands::ca::now;
use crate::exit::{Failure, failed};

/// The other name that the echo server has: for what is tunnelled.
pub(crate) const TUNNEL_HOST: &str = "tunnel.test";

const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
const BODY_BYTES_MAX: usize = 1024 * 1024;
const ALPN_H2: &[u8] = b"h2";

/// An echo server that runs as long as its runtime.
#[derive(Clone, Debug)]
pub(crate) struct Echo {
    address: SocketAddr,
    answered: Arc<AtomicU64>,
}

impl Echo {
    /// Starts it on a port that the system chooses, with the authority in `dir`.
    pub(crate) async fn start(dir: &Path) -> Result<Self, Failure> {
        let tls = TlsAcceptor::from(Arc::new(tls(dir)?));
        let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let answered = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&answered);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, tls.clone(), Arc::clone(&count)));
            }
        });
        Ok(Self { address, answered })
    }

    /// How many requests it has answered.
    pub(crate) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Acquire)
    }

    /// Makes every route of the echo target lead here: its port is known only now.
    pub(crate) fn serve_target(&self, input: &mut Input) {
        for plan in input.plans.values_mut() {
            let routes = plan.egress_routes.iter_mut();
            let of_target = routes.filter(|r| r.upstream.target.as_deref() == Some(TARGET));
            let without_address = of_target.filter(|r| r.upstream.addresses.is_empty());
            let mut changed = false;
            for route in without_address {
                route.upstream.addresses.push(self.address);
                changed = true;
            }
            if changed {
                plan.seal();
            }
        }
    }
}

fn tls(dir: &Path) -> Result<ServerConfig, Failure> {
    let read = |name: &str| {
        fs::read_to_string(dir.join(name)).map_err(|e| failed(format_args!("`{name}`: {e}")))
    };
    let authority = Pair { certificate_pem: read(ECHO_CA)?, key_pem: read(ECHO_CA_KEY)? };
    let names = [HOST.to_owned(), TUNNEL_HOST.to_owned()];
    let leaf = authority::issue(&authority, &names, now()).map_err(failed)?;
    let chain =
        vec![CertificateDer::from_pem_slice(leaf.certificate_pem.as_bytes()).map_err(failed)?];
    let key = PrivateKeyDer::from_pem_slice(leaf.key_pem.as_bytes()).map_err(failed)?;
    let config = ServerConfig::builder().with_no_client_auth();
    let mut config = config.with_single_cert(chain, key).map_err(failed)?;
    config.alpn_protocols = vec![ALPN_H2.to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// Errors end the connection and are the other side's to report.
async fn serve(stream: TcpStream, tls: TlsAcceptor, count: Arc<AtomicU64>) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let stream = timeout(HANDSHAKE_WITHIN, tls.accept(stream)).await.ok()?.ok()?;
    let is_h2 = stream.get_ref().1.alpn_protocol() == Some(ALPN_H2);
    let stream = TokioIo::new(stream);
    let service = service_fn(|request| {
        count.fetch_add(1, Ordering::AcqRel);
        answer(request)
    });
    let served = if is_h2 {
        let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        server.serve_connection(stream, service).await
    } else {
        let server = hyper::server::conn::http1::Builder::new();
        server.serve_connection(stream, service).await
    };
    served.ok()
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, BODY_BYTES_MAX).collect().await;
    let received = body.map(|body| body.to_bytes().len()).unwrap_or_default();
    let path = head.uri.path();
    let echoed = match path {
        "/headers" => json!({ "headers": headers(&head.headers) }),
        _ => json!({
            "method": head.method.as_str(),
            "url": format!("https://{HOST}{}", head.uri.path_and_query().map_or("/", |p| p.as_str())),
            "bytesReceived": received,
        }),
    };
    let known = path == "/get" || path == "/headers" || path.starts_with("/anything");
    let mut response = Response::new(Full::new(Bytes::from(format!("{echoed:#}\n"))));
    *response.status_mut() = if known { StatusCode::OK } else { StatusCode::NOT_FOUND };
    let kind = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    Ok(response)
}

fn headers(headers: &HeaderMap) -> Map<String, Value> {
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers.iter().map(|(name, value)| (name.to_string(), text(value).into())).collect()
}
