//! Inside a CONNECT tunnel: TLS is ended here, plain HTTP is read as it is, anything else is
//! refused. There is no fall-back to passing bytes on.

use std::sync::Arc;

use rustls::server::Acceptor;
use sallygate_compiler::canonical::{Authority, Scheme};
use tokio::io::AsyncWriteExt;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::{Front, authority, http1, http2};
use crate::denial::{Code, Denial};
use crate::limits::ms;
use crate::request::{Connection, Outcome, Scope};
use crate::stream::{Replay, Wire};

const TLS_HANDSHAKE_RECORD: u8 = 0x16;
/// A fatal `unrecognized_name` alert (RFC 6066 §3) as a whole record.
const UNRECOGNIZED_NAME: &[u8] = &[0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 112];

/// Serves what comes through an intercepted tunnel.
pub(super) async fn serve(
    mut socket: Replay,
    id: i32,
    scope: &(dyn Fn(Scheme) -> Connection + Send + Sync),
    authority: &Authority,
    front: &Arc<Front>,
) {
    let limits = Arc::clone(&front.shared.limits);
    if socket.prefix().is_empty() {
        let first = tokio::time::timeout(ms(limits.handshake_ms), socket.read_ahead()).await;
        if !matches!(first, Ok(Ok(n)) if n > 0) {
            return;
        }
    }
    if socket.prefix().first() != Some(&TLS_HANDSHAKE_RECORD) {
        // Wire refuses what is not HTTP.
        let connection = Arc::new(scope(Scheme::Http));
        return http1::serve_tunnelled(Wire::plain(socket, limits, id), connection, front).await;
    }
    let connection = Arc::new(scope(Scheme::Https));
    // Boxed: what a handshake needs must not weigh on the connection for the rest of its life.
    let shaken = Box::pin(handshake(socket, authority, front));
    match tokio::time::timeout(ms(limits.handshake_ms), shaken).await {
        Ok(Ok(stream)) => {
            count(front, &stream);
            let wire = Wire::tls(stream, limits, id);
            if wire.is_h2() {
                Box::pin(http2::serve(wire, connection, front)).await;
            } else {
                http1::serve_tunnelled(wire, connection, front).await;
            }
        }
        Ok(Err(denial)) => failed(front, &connection, authority, &denial),
        Err(_) => {
            let denial = Denial::new(Code::BadFraming, "the TLS handshake did not end in time");
            failed(front, &connection, authority, &denial);
        }
    }
}

async fn handshake(
    socket: Replay,
    authority: &Authority,
    front: &Front,
) -> Result<TlsStream<Replay>, Denial> {
    let hello = LazyConfigAcceptor::new(Acceptor::default(), socket)
        .await
        .map_err(|_| Denial::new(Code::BadFraming, "the TLS hello cannot be read"))?;
    if !authority::names(hello.client_hello().server_name(), &authority.host) {
        let mut socket = hello.io;
        // The client closes either way; the alert only tells it why.
        let _ = socket.write_all(UNRECOGNIZED_NAME).await;
        let _ = socket.shutdown().await;
        return Err(Denial::new(Code::AuthorityMismatch, "TLS asks for another name than CONNECT"));
    }
    let config = front
        .authority
        .config_for(&authority.host)
        .map_err(|e| Denial::new(Code::CredentialUnavailable, e.to_string()))?;
    hello.into_stream(config).await.map_err(|error| {
        // The commonest cause by far: the sandbox does not know our authority.
        let detail = match error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::AlertReceived(_)) => {
                "the client rejected the interception certificate"
            }
            _ => "the TLS handshake with the client failed",
        };
        Denial::new(Code::BadFraming, detail)
    })
}

fn count(front: &Front, stream: &TlsStream<Replay>) {
    let version = match stream.get_ref().1.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_2) => "1.2",
        _ => "1.3",
    };
    front.shared.metrics.tls_handshakes.with_label_values(&["downstream", version, "ok"]).inc();
}

fn failed(front: &Front, connection: &Connection, authority: &Authority, denial: &Denial) {
    front.shared.metrics.tls_handshakes.with_label_values(&["downstream", "", "error"]).inc();
    let sandbox = match &connection.scope {
        Scope::Tunnel(tunnel) => &*tunnel.sandbox,
        Scope::Socket(id) => id,
        Scope::Port => "",
    };
    Outcome {
        sandbox,
        mode: "intercept",
        method: "CONNECT",
        host: authority.host.as_str(),
        port: authority.port,
        denial: Some(denial),
        ..Outcome::default()
    }
    .record(&front.shared);
}
