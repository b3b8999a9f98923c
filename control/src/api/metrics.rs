//! What the API counts. Labels come from closed sets: the route's pattern, never its path.

use prometheus::{Encoder, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder};

use crate::domain::connection::Status;

/// The counters of one process.
#[derive(Clone, Debug)]
pub struct ApiMetrics {
    registry: Registry,
    pub(super) requests: IntCounterVec,
    connections: IntGaugeVec,
}

impl ApiMetrics {
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let requests = IntCounterVec::new(
            Opts::new("sallygate_http_requests_total", "Requests of the control API."),
            &["method", "route", "status"],
        )?;
        registry.register(Box::new(requests.clone()))?;
        let connections = IntGaugeVec::new(
            Opts::new("sallygate_connections", "Connections that there are."),
            &["status"],
        )?;
        registry.register(Box::new(connections.clone()))?;
        Ok(Self { registry, requests, connections })
    }

    /// How many connections have each status, as the store has it now.
    pub(super) fn connections(&self, counts: &[(Status, i64)]) {
        for (status, count) in counts {
            self.connections.with_label_values(&[status.as_str()]).set(*count);
        }
    }

    pub(super) fn render(&self) -> Vec<u8> {
        let mut text = Vec::new();
        // Writing into memory fails for a metric that is malformed, and ours are not.
        let _ = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        text
    }
}
