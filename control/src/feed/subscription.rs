//! One listener: told what it missed, then what is new, in order.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{broadcast, watch};

use super::Inner;
use super::read::{After, Batch, batch};
use crate::domain::DomainError;
use crate::service::Control;

/// How long after a failure of the database it is asked again.
const AGAIN_AFTER: Duration = Duration::from_millis(250);

/// One listener.
#[derive(Debug)]
pub(super) struct Subscription {
    control: Control,
    batches: broadcast::Receiver<Arc<Batch>>,
    closing: watch::Receiver<bool>,
    /// Told up to here.
    at: i64,
    first: Option<Arc<Batch>>,
    /// Something was missed that no later batch will bring.
    behind: bool,
}

impl Subscription {
    /// Goes on behind `resume`, or begins with everything.
    pub(super) async fn new(
        control: &Control,
        inner: &Inner,
        resume: Option<&str>,
    ) -> Result<Self, DomainError> {
        // First of all: what is told from now on is either read below or comes from here.
        let batches = inner.batches.subscribe();
        let closing = inner.closing.subscribe();
        let first = inner.first(control, resume).await?;
        let (control, at) = (control.clone(), first.to);
        Ok(Self { control, batches, closing, at, first: Some(first), behind: false })
    }

    /// What comes next; `None` when this process tells nobody any more. May be dropped and asked
    /// again.
    pub(super) async fn next(&mut self) -> Option<Arc<Batch>> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        loop {
            if self.behind {
                let read = self.read().await;
                self.at = read.to;
                self.behind = false;
                return Some(read);
            }
            let received = tokio::select! {
                received = self.batches.recv() => received,
                _ = self.closing.wait_for(|closing| *closing) => return None,
            };
            match received {
                Ok(batch) if batch.to <= self.at => {}
                // What was told already does no harm.
                Ok(batch) if batch.from <= self.at => {
                    self.at = batch.to;
                    return Some(batch);
                }
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => self.behind = true,
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }

    async fn read(&self) -> Arc<Batch> {
        loop {
            match batch(&self.control, After::Sequence(self.at)).await {
                Ok(read) => return Arc::new(read),
                Err(error) => tracing::warn!(code = error.code, %error, "a proxy is not told"),
            }
            tokio::time::sleep(AGAIN_AFTER).await;
        }
    }
}
