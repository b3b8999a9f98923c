//! What proxies serve, as they say it. Those who say it at the same time are written down together:
//! a thousand proxies that take a plan are one commit or two, not a thousand.

use std::sync::{Mutex, PoisonError};

use tokio::sync::{Notify, oneshot};

use super::{About, Feed, Outcome};
use crate::domain::{DomainError, Fault, proxy};
use crate::service::Control;

/// What a proxy says that it serves.
#[derive(Clone, Debug)]
pub struct Acknowledged {
    pub proxy: String,
    pub outcome: Outcome,
    pub about: About,
}

type Done = oneshot::Sender<bool>;

/// What was said and is not written yet.
#[derive(Debug, Default)]
pub(super) struct Queue {
    said: Mutex<Vec<(Acknowledged, Done)>>,
    turn: tokio::sync::Mutex<()>,
    changed: Notify,
}

impl Queue {
    fn take(&self) -> Vec<(Acknowledged, Done)> {
        std::mem::take(&mut *self.said.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Somebody serves something else.
    pub(super) fn changed(&self) {
        self.changed.notify_waiters();
    }

    pub(super) fn when_changed(&self) -> tokio::sync::futures::Notified<'_> {
        self.changed.notified()
    }
}

impl Feed {
    /// Notes what a proxy serves, and returns when it is written.
    pub async fn acknowledge(
        &self,
        control: &Control,
        acknowledged: Acknowledged,
    ) -> Result<(), DomainError> {
        let queue = &self.0.queue;
        let (done, written) = oneshot::channel();
        queue.said.lock().unwrap_or_else(PoisonError::into_inner).push((acknowledged, done));
        let turn = queue.turn.lock().await;
        let said = queue.take();
        if !said.is_empty() {
            let (said, waiting): (Vec<_>, Vec<_>) = said.into_iter().unzip();
            let outcome = proxy::acknowledged(&control.store, &said, control.clock.now_ms()).await;
            if let Err(error) = &outcome {
                tracing::warn!(code = error.code, %error, "what proxies serve is not noted");
            }
            // Who does not wait any more says it again.
            for done in waiting {
                let _ = done.send(outcome.is_ok());
            }
            queue.changed();
        }
        drop(turn);
        // A writer that was dropped on its way has written nothing.
        match written.await {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => {
                let message = "it cannot be noted now";
                Err(DomainError::new(Fault::Unavailable, "not_noted", message))
            }
        }
    }
}
