//! How a proxy process runs: plain values, already read and checked by the caller.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::limits::Limits;

/// Everything that a proxy process is told at start.
#[derive(Clone, Debug)]
pub struct ProxyConfig {
    /// TCP addresses of the explicit-proxy listener; port 0 lets the system choose.
    pub listen: Vec<SocketAddr>,
    /// Unix sockets, each bound to one sandbox.
    pub unix: Vec<UnixListen>,
    /// Address of the operator's listener (health, metrics, `/v1`).
    pub admin: SocketAddr,
    /// First path segment of the base-URL mode, without slashes.
    pub egress_prefix: String,
    /// Answer a denied CONNECT inside the tunnel, where clients show the reason.
    pub deny_in_tunnel: bool,
    /// How long requests in flight may go on after SIGTERM.
    pub drain_seconds: u64,
    /// PEM of the interception authority: certificate and private key.
    pub ca: CaFiles,
    /// Where the audit log is appended.
    pub audit: PathBuf,
    /// Where budgets are kept over a restart.
    pub budgets: PathBuf,
    /// Write the raw path of requests into the audit log (never the query).
    pub raw_path: bool,
    /// Name servers; empty means the system's.
    pub dns: Vec<SocketAddr>,
    /// The operator's token for `/v1`.
    pub operator_token: String,
    /// Every limit.
    pub limits: Limits,
}

/// A Unix socket whose callers are one sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnixListen {
    /// Path of the socket; an old socket there is replaced.
    pub path: PathBuf,
    /// The sandbox that every caller is.
    pub sandbox: String,
}

/// Where the interception authority lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaFiles {
    /// Certificate, PEM.
    pub certificate: PathBuf,
    /// Private key, PEM, mode 0600.
    pub key: PathBuf,
}
