//! What is counted about webhooks. Labels come from closed sets.

use prometheus::{Encoder, IntCounterVec, Opts, Registry, TextEncoder};
use sallygate_definitions::webhook::Transport;

/// The counters of one process.
#[derive(Clone, Debug)]
pub struct WebhookMetrics {
    registry: Registry,
    received: IntCounterVec,
    transports: IntCounterVec,
    attempts: IntCounterVec,
}

impl WebhookMetrics {
    pub(super) fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        Ok(Self {
            received: counter(
                "sallygate_webhooks_received_total",
                "Calls of webhooks, by what became of them.",
                &["definition", "outcome"],
            )?,
            transports: counter(
                "sallygate_webhook_proofs_total",
                "Webhooks that were accepted, by how they proved whose they are.",
                &["definition", "transport"],
            )?,
            attempts: counter(
                "sallygate_webhook_attempts_total",
                "Attempts to deliver to an endpoint, by what became of them.",
                &["outcome"],
            )?,
            registry,
        })
    }

    pub(super) fn received(&self, definition: &str, outcome: &str) {
        self.received.with_label_values(&[definition, outcome]).inc();
    }

    pub(super) fn proven(&self, definition: &str, transport: Transport) {
        self.transports.with_label_values(&[definition, transport.as_str()]).inc();
    }

    pub(super) fn attempted(&self, outcome: &str) {
        self.attempts.with_label_values(&[outcome]).inc();
    }

    /// As Prometheus reads it.
    pub fn render(&self) -> Vec<u8> {
        let mut text = Vec::new();
        // Writing into memory fails for a metric that is malformed, and ours are not.
        let _ = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        text
    }
}
