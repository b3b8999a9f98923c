//! CONNECT: who asks, for which host, and what is to become of the connection.

use std::net::IpAddr;
use std::sync::Arc;

use sallygate_compiler::canonical::{self, Authority, Scheme};
use sallygate_compiler::table::{HostClass, RouteIndex};

use super::{Front, intercept, tunnel};
use crate::clock;
use crate::denial::{Code, Denial};
use crate::id::ExchangeId;
use crate::plan::{ConnectionCount, Generation, Sandbox, Token};
use crate::request::{
    Connection, Outcome, Scope, Shared, Sighting, Spot, TunnelScope, caller, in_bytes, misuse,
    plain_answer, presented,
};
use crate::stream::head::Head;
use crate::stream::lines::slice;
use crate::stream::{Replay, Wire};

const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection Established\r\n\r\n";

/// What became of a CONNECT.
pub(super) enum Answered {
    /// It is open; HTTP ends here.
    Opened(Tunnel),
    /// It was refused, and the client may try again on the same connection, as git, .NET and Java
    /// do after a 407.
    Refused(Box<Wire>),
    /// The connection is over.
    Closed,
}

/// A tunnel that is open, before anything came through it.
pub(super) struct Tunnel {
    pub(super) socket: Replay,
    pub(super) id: i32,
    pub(super) ends: Ends,
    kind: Kind,
    count: ConnectionCount,
}

/// Who opened a tunnel, and to where.
pub(super) struct Ends {
    peer: Option<IpAddr>,
    sandbox: Arc<str>,
    token: Option<Token>,
    pub(super) authority: Arc<Authority>,
}

impl Ends {
    /// The connection that requests inside the tunnel belong to.
    pub(super) fn connection(self, scheme: Scheme) -> Arc<Connection> {
        let Self { peer, sandbox, token, authority } = self;
        let scope = Scope::Tunnel(TunnelScope { scheme, authority, sandbox, token });
        Arc::new(Connection { peer, scope })
    }
}

/// What is to become of what comes through.
enum Kind {
    /// Bytes pass, for a route of this sandbox that says so.
    Pass(RouteIndex, Arc<Sandbox>),
    /// It is looked into.
    Intercept,
}

impl Tunnel {
    /// Serves the tunnel to its end.
    pub(super) async fn serve(self, front: &Arc<Front>) {
        // Counted to the end.
        let _count = self.count;
        match self.kind {
            Kind::Pass(route, sandbox) => {
                let authority = &self.ends.authority;
                Box::pin(tunnel::serve(self.socket, route, &sandbox, authority, front)).await;
            }
            Kind::Intercept => {
                let opened = Box::pin(intercept::open(self.socket, self.id, self.ends, front));
                if let Some(inside) = opened.await {
                    inside.serve(front).await;
                }
            }
        }
    }
}

/// A CONNECT that was admitted.
struct Admitted {
    sandbox: Arc<Sandbox>,
    authority: Authority,
    class: HostClass,
    count: ConnectionCount,
}

impl Admitted {
    fn tunnel(self, socket: Replay, id: i32, connection: &Connection) -> Tunnel {
        let ends = Ends {
            peer: connection.peer,
            sandbox: Arc::clone(&self.sandbox.id),
            token: self.sandbox.token,
            authority: Arc::new(self.authority),
        };
        let kind = match self.class {
            HostClass::Tunnel(route) => Kind::Pass(route, self.sandbox),
            HostClass::Intercept | HostClass::Unknown | HostClass::Passthrough => Kind::Intercept,
        };
        Tunnel { socket, id, ends, kind, count: self.count }
    }
}

/// Answers one CONNECT.
pub(super) async fn answer(
    mut wire: Box<Wire>,
    head: &Head,
    connection: &Connection,
    front: &Front,
) -> Answered {
    let bytes = wire.head_bytes(head).to_vec();
    wire.consume_head(head);
    let admitted = match admit(&bytes, head, connection, front) {
        Ok(admitted) => admitted,
        Err(denial) => return refuse(wire, &bytes, head, connection, front, &denial).await,
    };
    if wire.answer(ESTABLISHED).await.is_err() {
        return Answered::Closed;
    }
    let id = wire.raw_id();
    match wire.into_replay() {
        Some(socket) => Answered::Opened(admitted.tunnel(socket, id, connection)),
        None => Answered::Closed,
    }
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
    check_placeholders(bytes, &sandbox, &authority, shared)?;
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
    Ok(Admitted { sandbox, authority, class, count })
}

/// No placeholder has any business in the head of a CONNECT, nor in the name of a host.
fn check_placeholders(
    bytes: &[u8],
    sandbox: &Sandbox,
    authority: &Authority,
    shared: &Shared,
) -> Result<(), Denial> {
    let Some(recogniser) = sandbox.recogniser() else { return Ok(()) };
    let found = in_bytes(bytes, recogniser)
        .or_else(|| in_bytes(authority.host.as_str().as_bytes(), recogniser));
    match found {
        None => Ok(()),
        Some(whose) => {
            Err(misuse(Sighting { spot: Spot::Connect, whose }, sandbox, &shared.metrics))
        }
    }
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
    mut wire: Box<Wire>,
    bytes: &[u8],
    head: &Head,
    connection: &Connection,
    front: &Front,
    denial: &Denial,
) -> Answered {
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
        return Answered::Refused(wire);
    }
    wire.close().await;
    Answered::Closed
}
