//! HTTP/1 connections: one request after the other, each handed to Pingora only when it is whole.

use std::sync::Arc;

use pingora::apps::HttpServerApp;
use pingora::protocols::http::ServerSession;

use super::Front;
use super::connect::{self, Answered, Tunnel};
use crate::changes::Changes;
use crate::denial::Denial;
use crate::id::ExchangeId;
use crate::request::{Connection, Outcome, Scope, announce, check_form, plain_answer};
use crate::stream::head::Head;
use crate::stream::lines::slice;
use crate::stream::{NextHead, Wire};

/// What a connection keeps an eye on, made once for all of its requests.
struct Watches {
    shutdown: Changes<bool>,
    plans: Changes<u64>,
}

impl Watches {
    fn new(front: &Front) -> Self {
        Self {
            shutdown: Changes::new(front.shutdown.clone()),
            plans: Changes::new(front.shared.store.subscribe()),
        }
    }
}

/// Serves the proxy port: CONNECT, absolute-form and base URL. Ends with the tunnel, if it came to
/// one.
pub(super) async fn serve_port(
    mut wire: Box<Wire>,
    connection: Arc<Connection>,
    front: &Front,
) -> Option<Tunnel> {
    let mut watches = Watches::new(front);
    while let Some(head) = next(&mut wire, &connection, front, &mut watches).await {
        if slice(wire.head_bytes(&head), &head.method) != b"CONNECT" {
            wire = exchange(wire, &connection, front, &mut watches).await?;
            continue;
        }
        match Box::pin(connect::answer(wire, &head, &connection, front)).await {
            Answered::Opened(tunnel) => return Some(tunnel),
            Answered::Refused(kept) => wire = kept,
            Answered::Closed => return None,
        }
    }
    wire.close().await;
    None
}

/// Serves what is inside a tunnel, after interception or in clear text.
pub(super) async fn serve_tunnelled(
    mut wire: Box<Wire>,
    connection: Arc<Connection>,
    front: &Front,
) {
    let mut watches = Watches::new(front);
    while next(&mut wire, &connection, front, &mut watches).await.is_some() {
        match exchange(wire, &connection, front, &mut watches).await {
            Some(kept) => wire = kept,
            None => return,
        }
    }
    wire.close().await;
}

/// The next well-formed head; what is malformed is answered and recorded here.
async fn next(
    wire: &mut Wire,
    connection: &Connection,
    front: &Front,
    watches: &mut Watches,
) -> Option<Head> {
    if watches.shutdown.now() {
        return None;
    }
    let next = tokio::select! {
        biased;
        next = wire.next_head() => next,
        _ = watches.shutdown.changed() => return None,
    };
    let checked = match next {
        NextHead::Ready(head) => formed(wire, head, &connection.scope),
        NextHead::Closed | NextHead::Refused(_) => next,
    };
    match checked {
        NextHead::Ready(head) => Some(head),
        NextHead::Closed => None,
        NextHead::Refused(denial) => {
            refuse(wire, connection, front, &denial.closing()).await;
            None
        }
    }
}

/// A head in a form that belongs here, with its host in one spelling.
fn formed(wire: &mut Wire, head: Head, scope: &Scope) -> NextHead {
    match check_form(wire.head_bytes(&head), &head, scope) {
        Ok(None) => NextHead::Ready(head),
        Ok(Some(spelling)) => wire.respell_host(&head, spelling),
        Err(denial) => NextHead::Refused(denial),
    }
}

async fn refuse(wire: &mut Wire, connection: &Connection, front: &Front, denial: &Denial) {
    let id = ExchangeId::new();
    let host = match &connection.scope {
        Scope::Tunnel(tunnel) => tunnel.authority.host.as_str(),
        Scope::Socket(_) | Scope::Port => "",
    };
    // Whoever sent this may not be listening; the record is what matters.
    let _ = wire.answer(&plain_answer(denial, id, "", host, b"")).await;
    refused(id, connection, denial).record(&front.shared);
}

/// What is known of a request that was refused before it could become an exchange.
pub(super) fn refused<'a>(
    id: ExchangeId,
    connection: &'a Connection,
    denial: &'a Denial,
) -> Outcome<'a> {
    let (host, port, sandbox) = match &connection.scope {
        Scope::Tunnel(tunnel) => {
            (tunnel.authority.host.as_str(), tunnel.authority.port, &*tunnel.sandbox)
        }
        Scope::Socket(sandbox) => ("", 0, &**sandbox),
        Scope::Port => ("", 0, ""),
    };
    Outcome {
        id,
        sandbox,
        host,
        port,
        denial: Some(denial),
        status: denial.code.status(),
        mode: "refused",
        ..Outcome::default()
    }
}

/// One exchange through Pingora; gives the wire back if it can carry another.
async fn exchange(
    wire: Box<Wire>,
    connection: &Arc<Connection>,
    front: &Front,
    watches: &mut Watches,
) -> Option<Box<Wire>> {
    let slot = Arc::clone(wire.slot());
    let current = (Arc::clone(connection), Arc::clone(&slot));
    // A box already: nothing of it is part of this connection while that is idle.
    let request = front.proxy.process_new_http(session(wire), &front.shutdown);
    let reused = tokio::select! {
        biased;
        reused = announce(current, request) => reused,
        _ = slot.revoked(&front.shared, &mut watches.plans) => None,
    }?;
    let (stream, _) = reused.consume();
    stream.into_any().downcast::<Wire>().ok()
}

fn session(wire: Box<Wire>) -> ServerSession {
    let mut session = ServerSession::new_http1(wire);
    session.set_keepalive(Some(60));
    session
}
