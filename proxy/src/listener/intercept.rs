//! Inside a CONNECT tunnel: TLS is ended here, plain HTTP is read as it is, anything else is
//! refused. There is no fall-back to passing bytes on.

use std::sync::Arc;

use sallygate_compiler::canonical::{Authority, Scheme};

use super::connect::Ends;
use super::{Front, http1, http2};
use crate::denial::{Code, Denial};
use crate::limits::ms;
use crate::request::{Connection, Outcome, Scope};
use crate::stream::tls::{self, Refused, TlsStream};
use crate::stream::{Replay, Wire};

const TLS_HANDSHAKE_RECORD: u8 = 0x16;

/// What is inside a tunnel, as far as that it speaks HTTP.
pub(super) struct Inside {
    wire: Box<Wire>,
    connection: Arc<Connection>,
}

impl Inside {
    /// Serves its requests.
    pub(super) async fn serve(self, front: &Arc<Front>) {
        if self.wire.is_h2() {
            Box::pin(http2::serve(self.wire, self.connection, front)).await;
        } else {
            Box::pin(http1::serve_tunnelled(self.wire, self.connection, front)).await;
        }
    }
}

/// Looks into a tunnel, and ends the TLS that is in it.
pub(super) async fn open(mut socket: Replay, id: i32, ends: Ends, front: &Front) -> Option<Inside> {
    let limits = Arc::clone(&front.shared.limits);
    if socket.prefix().is_empty() {
        let first = tokio::time::timeout(ms(limits.handshake_ms), socket.read_ahead()).await;
        if !matches!(first, Ok(Ok(n)) if n > 0) {
            return None;
        }
    }
    if socket.prefix().first() != Some(&TLS_HANDSHAKE_RECORD) {
        // Wire refuses what is not HTTP.
        let wire = Box::new(Wire::plain(socket, limits, id));
        return Some(Inside { wire, connection: ends.connection(Scheme::Http) });
    }
    let authority = Arc::clone(&ends.authority);
    let connection = ends.connection(Scheme::Https);
    let shaken = handshake(socket, &authority, front);
    let denial = match tokio::time::timeout(ms(limits.handshake_ms), shaken).await {
        Ok(Ok(stream)) => {
            count(front, &stream);
            let wire = Box::new(Wire::tls(stream, limits, id));
            return Some(Inside { wire, connection });
        }
        Ok(Err(denial)) => denial,
        Err(_) => Denial::new(Code::BadFraming, "the TLS handshake did not end in time"),
    };
    failed(front, &connection, &authority, &denial);
    None
}

async fn handshake(
    socket: Replay,
    authority: &Authority,
    front: &Front,
) -> Result<TlsStream, Denial> {
    let config = front
        .authority
        .config_for(&authority.host)
        .map_err(|e| Denial::new(Code::CredentialUnavailable, e.to_string()))?;
    tls::accept(socket, config).await.map_err(|refused| {
        let broken = |detail| Denial::new(Code::BadFraming, detail);
        match refused {
            Refused::Name => {
                let detail = "TLS asks for another name than CONNECT";
                Denial::new(Code::AuthorityMismatch, detail)
            }
            Refused::Hello => broken("the TLS hello cannot be read"),
            // The commonest cause by far: the sandbox does not know our authority.
            Refused::Alert => broken("the client rejected the interception certificate"),
            Refused::Broken => broken("the TLS handshake with the client failed"),
        }
    })
}

fn count(front: &Front, stream: &TlsStream) {
    let version = match stream.version() {
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
