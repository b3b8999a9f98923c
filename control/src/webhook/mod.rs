//! Webhooks: calls of providers that come in, and deliveries to endpoints that go out.
//!
//! A call is verified before anything is written or said, written with its job in one transaction,
//! and answered when it is on disk. Everything that follows is a job: claimed by one worker at a
//! time, done at least once, in the order of the source. Secrets and contents are sealed.

pub mod attempt;
pub mod backoff;
mod candidate;
pub mod content;
mod decoy;
pub mod delivery;
pub mod endpoint;
pub mod event;
pub mod filter;
pub mod inbox;
mod ingest;
mod metrics;
mod options;
pub mod path;
pub mod process;
pub mod queue;
pub mod receive;
mod refresh;
pub mod rule;
pub mod template;
pub mod trigger;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::outbound::{Outbound, OutboundError, Reach};

pub use candidate::{Addressed, Source};
pub use metrics::WebhookMetrics;
pub use options::{OPTION, WebhookOptions};
pub use worker::Worker;

const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// What the parts of a process share about webhooks. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Webhooks {
    ingest: Arc<ingest::Ingest>,
    decoy: decoy::Decoy,
    pub metrics: WebhookMetrics,
    pub(crate) outbound: Result<Outbound, OutboundError>,
    events_wake: Arc<Notify>,
    deliveries_wake: Arc<Notify>,
    refreshes_wake: Arc<Notify>,
    inbox_wake: Arc<Notify>,
}

impl Webhooks {
    /// `reach` is what deliveries may reach beyond public addresses.
    pub fn new(reach: &Reach) -> Result<Self, prometheus::Error> {
        Ok(Self {
            ingest: Arc::default(),
            decoy: decoy::Decoy::new(),
            metrics: WebhookMetrics::new()?,
            // A machine without authorities delivers nothing, and does everything else.
            outbound: Outbound::new(reach),
            events_wake: Arc::default(),
            deliveries_wake: Arc::default(),
            refreshes_wake: Arc::default(),
            inbox_wake: Arc::default(),
        })
    }

    /// There is something in the queue.
    pub fn wake(&self) {
        self.events_wake.notify_one();
        self.deliveries_wake.notify_one();
        self.refreshes_wake.notify_one();
        self.inbox_wake.notify_waiters();
    }

    /// Somebody may have got something, or another process may have given it.
    pub(crate) async fn something_for_sandboxes(&self) {
        // What another process writes wakes nobody here.
        let look_again = tokio::time::sleep(LOOK_AGAIN);
        tokio::select! {
            () = self.inbox_wake.notified() => {}
            () = look_again => {}
        }
    }
}
