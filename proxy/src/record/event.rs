//! The record of one exchange.

use serde::{Deserialize, Serialize};

/// One exchange, or one tunnel. Field names are API.
///
/// Written from borrowed text (`Event<&str>`), so that a record costs no allocation; read into owned.
///
/// Never in here: a header value, a query, a body, a secret. The raw path only when configured.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Event<S = String> {
    /// RFC 3339, milliseconds, UTC: when the exchange began.
    pub time: S,
    /// Identifies the exchange; also in the answer.
    pub request_id: S,
    /// The decision's name for `explain`.
    pub decision: S,
    /// Who asked; empty before anyone is identified.
    pub sandbox: S,
    /// Profile whose plan decided.
    pub profile: S,
    /// Digest of that plan.
    pub plan: S,
    /// `absolute`, `connect`, `intercept`, `tunnel` or `base-url`.
    pub mode: S,
    /// Protocol with the sandbox: `h1`, `h2` or `tcp`.
    pub protocol: S,
    /// Protocol with the upstream; empty when none was reached.
    pub upstream_protocol: S,
    /// Request method.
    pub method: S,
    /// Canonical host.
    pub host: S,
    /// Port.
    pub port: u16,
    /// Route that decided.
    pub route: S,
    /// Path patterns of that route.
    pub template: S,
    /// Raw path without query; only when configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<S>,
    /// `allow`, `deny` or `error`.
    pub verdict: S,
    /// Code of the answer; `ok` when the upstream's was passed on.
    pub code: S,
    /// Reason in the answer; empty when the upstream's was passed on.
    pub detail: S,
    /// HTTP status that the sandbox saw; 0 when none was sent.
    pub status: u16,
    /// Connection whose credential was injected; empty when none was.
    pub credential: S,
    /// `warm`, `cold` or empty.
    pub credential_cache: S,
    /// Address that was connected to.
    pub upstream_address: S,
    /// Whether the upstream connection was used before.
    pub upstream_reused: bool,
    /// Request body bytes.
    pub bytes_in: u64,
    /// Response body bytes.
    pub bytes_out: u64,
    /// Where the time went, in microseconds.
    pub durations_us: Durations,
}

/// Where the time of an exchange went, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Durations {
    /// Identifying the sandbox, with parsing.
    pub identify: u64,
    /// Matching and authorizing.
    pub matching: u64,
    /// Getting the credential.
    pub credential: u64,
    /// Resolving, connecting and TLS with the upstream; 0 on a connection from the pool.
    pub connect: u64,
    /// From the request sent to the first byte of the response.
    pub first_byte: u64,
    /// All of it.
    pub total: u64,
}
