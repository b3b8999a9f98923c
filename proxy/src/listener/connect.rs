//! CONNECT: who asks, for which host, and what is to become of the connection.

use std::sync::Arc;

use sallygate_compiler::canonical::{self, Authority, Scheme};
use sallygate_compiler::table::HostClass;

use super::{Front, intercept, tunnel};
use crate::clock;
use crate::denial::{Code, Denial};
use crate::id::ExchangeId;
use crate::plan::{ConnectionCount, Generation, Sandbox};
use crate::request::{Connection, Outcome, Scope, TunnelScope, caller, plain_answer, presented};
use crate::stream::Wire;
use crate::stream::head::{Head, slice};

const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection Established\r\n\r\n";

/// A CONNECT that was admitted.
struct Admitted {
    sandbox: Arc<Sandbox>,
    authority: Arc<Authority>,
    class: HostClass,
    count: ConnectionCount,
}

/// Answers one CONNECT. Gives the wire back when it was refused and the client may try again on
/// the same connection, as git, .NET and Java do after a 407.
pub(super) async fn serve(
    mut wire: Wire,
    head: &Head,
    connection: &Arc<Connection>,
    front: &Arc<Front>,
) -> Option<Wire> {
    let bytes = wire.head_bytes(head).to_vec();
    wire.consume_head(head);
    let admitted = match admit(&bytes, head, connection, front) {
        Ok(admitted) => admitted,
        Err(denial) => return refuse(wire, &bytes, head, connection, front, &denial).await,
    };
    if wire.answer(ESTABLISHED).await.is_err() {
        return None;
    }
    let id = wire.raw_id();
    let scope = |scheme| Connection {
        peer: connection.peer,
        scope: Scope::Tunnel(TunnelScope {
            scheme,
            authority: Arc::clone(&admitted.authority),
            sandbox: Arc::clone(&admitted.sandbox.id),
            token: admitted.sandbox.token,
        }),
    };
    let socket = wire.into_replay()?;
    match admitted.class {
        HostClass::Tunnel(route) => {
            let tunnel =
                tunnel::serve(socket, route, &admitted.sandbox, &admitted.authority, front);
            Box::pin(tunnel).await;
        }
        HostClass::Intercept | HostClass::Unknown | HostClass::Passthrough => {
            let inside = intercept::serve(socket, id, &scope, &admitted.authority, front);
            Box::pin(inside).await;
        }
    }
    drop(admitted.count);
    None
}

fn admit(
    bytes: &[u8],
    head: &Head,
    connection: &Connection,
    front: &Front,
) -> Result<Admitted, Denial> {
    let shared = &front.shared;
    if *front.shutdown.borrow() {
        return Err(Denial::new(Code::Draining, "the proxy is shutting down"));
    }
    let authority = authority(bytes, head)?;
    let generation = shared.store.load();
    let sandbox = identify(bytes, head, connection, &generation)?;
    let count = sandbox.connect(shared.limits.sandbox_connections_max).ok_or_else(|| {
        shared.metrics.rate_limited.with_label_values(&["connections"]).inc();
        Denial::new(Code::RateLimited, "too many connections of this sandbox").retry_after(1)
    })?;
    let class = sandbox.plan.table.host_class(&authority.host, authority.port);
    if class == HostClass::Unknown && !front.deny_in_tunnel {
        return Err(Denial::new(Code::NoRoute, "no route names this host and port"));
    }
    if class != HostClass::Unknown && !front.authority.is_usable() {
        return Err(Denial::new(
            Code::CredentialUnavailable,
            "the interception authority has expired",
        ));
    }
    Ok(Admitted { sandbox, authority: Arc::new(authority), class, count })
}

/// The target of CONNECT is host and port, and a Host field must not say otherwise.
fn authority(bytes: &[u8], head: &Head) -> Result<Authority, Denial> {
    let target = slice(bytes, &head.target);
    let authority = canonical::authority(target, None)
        .map_err(|e| Denial::new(Code::HostNotCanonical, e.to_string()))?;
    // Clients differ in whether Host repeats the port; without one it can only mean this one.
    let agrees = |host: &[u8]| authority.agrees(host, Some(authority.port));
    match &head.host {
        Some(host) if !agrees(slice(bytes, host)) => {
            Err(Denial::new(Code::BadFraming, "CONNECT and Host name different authorities"))
        }
        Some(_) | None => Ok(authority),
    }
}

fn identify(
    bytes: &[u8],
    head: &Head,
    connection: &Connection,
    generation: &Generation,
) -> Result<Arc<Sandbox>, Denial> {
    if let Scope::Socket(id) = &connection.scope {
        let scope = TunnelScope {
            scheme: Scheme::Https,
            authority: Arc::new(authority(bytes, head)?),
            sandbox: Arc::clone(id),
            token: generation.sandbox(id).and_then(|s| s.token),
        };
        return crate::request::current_sandbox(&scope, generation);
    }
    let value = head.proxy_authorization.as_ref().map(|range| slice(bytes, range));
    caller(&presented(value)?, connection, generation)
}

async fn refuse(
    mut wire: Wire,
    bytes: &[u8],
    head: &Head,
    connection: &Connection,
    front: &Front,
    denial: &Denial,
) -> Option<Wire> {
    let id = ExchangeId::new();
    let target = String::from_utf8_lossy(slice(bytes, &head.target)).into_owned();
    let known = canonical::authority(target.as_bytes(), None).ok();
    let host = known.as_ref().map_or("", |a| a.host.as_str());
    let agent = head.user_agent.as_ref().map(|range| slice(bytes, range)).unwrap_or_default();
    let answered = wire.answer(&plain_answer(denial, id, "CONNECT", host, agent)).await;
    let sandbox = match &connection.scope {
        Scope::Socket(id) => id,
        Scope::Port | Scope::Tunnel(_) => "",
    };
    Outcome {
        id,
        sandbox,
        mode: "connect",
        method: "CONNECT",
        host,
        port: known.as_ref().map_or(0, |a| a.port),
        denial: Some(denial),
        status: denial.code.status(),
        began: Some((clock::now(), clock::wall())),
        ..Outcome::default()
    }
    .record(&front.shared);
    if answered.is_ok() && denial.keeps_connection() {
        return Some(wire);
    }
    wire.close().await;
    None
}
