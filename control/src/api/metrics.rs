//! What the API counts. Labels come from closed sets: the route's pattern, never its path.

use prometheus::{Encoder, IntCounterVec, Opts, Registry, TextEncoder};

/// The counters of one process.
#[derive(Clone, Debug)]
pub struct ApiMetrics {
    registry: Registry,
    pub(super) requests: IntCounterVec,
}

impl ApiMetrics {
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let requests = IntCounterVec::new(
            Opts::new("sallygate_http_requests_total", "Requests of the control API."),
            &["method", "route", "status"],
        )?;
        registry.register(Box::new(requests.clone()))?;
        Ok(Self { registry, requests })
    }

    pub(super) fn render(&self) -> Vec<u8> {
        let mut text = Vec::new();
        // Writing into memory fails for a metric that is malformed, and ours are not.
        let _ = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        text
    }
}
