//! What can go wrong while measuring. Every case ends the benchmark: a figure that was taken beside
//! a failure means nothing.

use std::io;

use sallygate_compiler::canonical::HostError;
use sallygate_compiler::diagnostic::Diagnostics;

#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    #[error("{0}")]
    Io(#[source] io::Error),
    #[error("could not make the benchmark's certificates: {0}")]
    Certificate(#[from] rcgen::Error),
    #[error("could not set up tls: {0}")]
    Tls(#[from] rustls::Error),
    #[error("could not start the child `{role}`: {source}")]
    Spawn { role: &'static str, source: io::Error },
    #[error("the child `{role}` did not become ready; its log ends with:\n{log}")]
    NotReady { role: &'static str, log: String },
    #[error("the child `{role}` needs the argument `{argument}`")]
    ChildArgument { role: &'static str, argument: &'static str },
    #[error("could not set up the plain reverse proxy: {0}")]
    Floor(String),
    #[error("the figures of process {pid} could not be read: {source}")]
    Usage { pid: u32, source: io::Error },
    #[error("`{what}` failed: {source}")]
    Exchange { what: String, source: ClientError },
    #[error("`{what}` did not finish in time")]
    Stuck { what: String },
    #[error("could not write the report: {0}")]
    Json(#[from] serde_json::Error),
    #[error("the plan cannot be measured: {0}")]
    Plan(#[source] Diagnostics),
    #[error("`{path}`: {source}")]
    Unreadable {
        path: String,
        #[source]
        source: io::Error,
    },
    #[error("no host to ask for: {0}")]
    Host(#[source] HostError),
    #[error("interrupted")]
    Interrupted,
    #[error("a target was missed")]
    TargetMissed,
}

/// Why one connection of the client was of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    H2(#[from] h2::Error),
    #[error("the proxy answered CONNECT with `{0}`")]
    ConnectRefused(String),
    #[error("expected status 200, received {0}")]
    Status(u16),
    #[error("the response head is not one that this client reads")]
    Head,
    #[error("expected {expected} body bytes, received {received}")]
    Length { expected: usize, received: usize },
    #[error("the peer chose another protocol than the one asked for")]
    Protocol,
    #[error("timed out")]
    Timeout,
}
