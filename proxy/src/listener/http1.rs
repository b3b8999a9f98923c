//! HTTP/1 connections: one request after the other, each handed to Pingora only when it is whole.

use std::sync::Arc;

use pingora::apps::HttpServerApp;
use pingora::protocols::http::ServerSession;

use super::{Front, connect};
use crate::denial::Denial;
use crate::id::ExchangeId;
use crate::request::{CURRENT, Connection, Outcome, Scope, plain_answer};
use crate::stream::head::{Head, slice};
use crate::stream::{NextHead, Wire};

/// Serves the proxy port: CONNECT, absolute-form and base URL.
pub(super) async fn serve_port(mut wire: Wire, connection: Arc<Connection>, front: &Front) {
    while let Some(head) = next(&mut wire, &connection, front).await {
        if slice(wire.head_bytes(&head), &head.method) == b"CONNECT" {
            match connect::serve(wire, &head, &connection, front).await {
                Some(kept) => wire = kept,
                None => return,
            }
            continue;
        }
        match exchange(wire, &connection, front).await {
            Some(kept) => wire = kept,
            None => return,
        }
    }
    wire.close().await;
}

/// Serves what is inside a tunnel, after interception or in clear text.
pub(super) async fn serve_tunnelled(mut wire: Wire, connection: Arc<Connection>, front: &Front) {
    while next(&mut wire, &connection, front).await.is_some() {
        match exchange(wire, &connection, front).await {
            Some(kept) => wire = kept,
            None => return,
        }
    }
    wire.close().await;
}

/// The next well-formed head; what is malformed is answered and recorded here.
async fn next(wire: &mut Wire, connection: &Connection, front: &Front) -> Option<Head> {
    let mut shutdown = front.shutdown.clone();
    if *shutdown.borrow_and_update() {
        return None;
    }
    let next = tokio::select! {
        biased;
        next = wire.next_head() => next,
        _ = shutdown.changed() => return None,
    };
    match next {
        NextHead::Ready(head) => Some(head),
        NextHead::Closed => None,
        NextHead::Refused(denial) => {
            refuse(wire, connection, front, &denial).await;
            None
        }
    }
}

async fn refuse(wire: &mut Wire, connection: &Connection, front: &Front, denial: &Denial) {
    let id = ExchangeId::new();
    let (host, port, sandbox) = match &connection.scope {
        Scope::Tunnel(tunnel) => {
            (tunnel.authority.host.as_str(), tunnel.authority.port, &*tunnel.sandbox)
        }
        Scope::Socket(sandbox) => ("", 0, &**sandbox),
        Scope::Port => ("", 0, ""),
    };
    // Whoever sent this may not be listening; the record is what matters.
    let _ = wire.answer(&plain_answer(denial, id, "", host, b"")).await;
    let status = denial.code.status();
    Outcome {
        id,
        sandbox,
        host,
        port,
        denial: Some(denial),
        status,
        mode: "refused",
        ..Outcome::default()
    }
    .record(&front.shared);
}

/// One exchange through Pingora; gives the wire back if it can carry another.
async fn exchange(wire: Wire, connection: &Arc<Connection>, front: &Front) -> Option<Wire> {
    let slot = Arc::clone(wire.slot());
    let mut session = ServerSession::new_http1(Box::new(wire));
    session.set_keepalive(Some(60));
    let current = (Arc::clone(connection), Arc::clone(&slot));
    let reused = CURRENT
        .scope(current, async {
            tokio::select! {
                biased;
                reused = front.proxy.process_new_http(session, &front.shutdown) => reused,
                _ = slot.revoked(&front.shared) => None,
            }
        })
        .await?;
    let (stream, _) = reused.consume();
    stream.into_any().downcast::<Wire>().ok().map(|wire| *wire)
}
