//! Waiting for proxies to serve a plan.

use std::time::Duration;

use super::Feed;
use crate::domain::{DomainError, proxy};
use crate::service::Control;
use crate::store::Access;

/// How often proxies are looked at that other replicas heard.
const LOOK_EVERY: Duration = Duration::from_millis(40);

/// A live proxy that does not serve a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// `None`: the proxy of the control service's own process.
    pub proxy: Option<String>,
    pub name: String,
    /// Why it refuses the plan, where it does.
    pub reason: Option<String>,
}

/// What came of waiting.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waited {
    /// How many live proxies serve it.
    pub serving: usize,
    pub missing: Vec<Missing>,
}

impl Waited {
    /// Whether somebody serves it, and nobody does not.
    pub fn is_acknowledged(&self) -> bool {
        self.serving > 0 && self.missing.is_empty()
    }
}

impl Feed {
    /// Waits until every live proxy serves the plan with this name and digest, for so long.
    pub async fn wait_for(
        &self,
        control: &Control,
        plan: (&str, &str),
        patience: Duration,
    ) -> Result<Waited, DomainError> {
        let waiting = async {
            loop {
                let changed = self.0.queue.when_changed();
                tokio::pin!(changed);
                // From here on no change is missed.
                changed.as_mut().enable();
                let waited = self.look_at(control, plan).await?;
                if waited.is_acknowledged() {
                    return Ok(waited);
                }
                let _ = tokio::time::timeout(LOOK_EVERY, changed).await;
            }
        };
        match tokio::time::timeout(patience, waiting).await {
            Ok(waited) => waited,
            Err(_) => self.look_at(control, plan).await,
        }
    }

    /// Who serves a plan now, and who does not.
    async fn look_at(
        &self,
        control: &Control,
        (plan, digest): (&str, &str),
    ) -> Result<Waited, DomainError> {
        let mut transaction = control.store.begin(Access::Read).await?;
        let live = proxy::all_live(&mut *transaction, control.clock.now_ms()).await?;
        drop(transaction);
        let mut waited = Waited::default();
        let mut add = |proxy: Option<String>, name: String, outcome: &super::Outcome| {
            if outcome.served.get(plan).is_some_and(|served| served == digest) {
                waited.serving += 1;
            } else {
                let reason = outcome.refused.get(plan).cloned();
                waited.missing.push(Missing { proxy, name, reason });
            }
        };
        if let Some(local) = self.0.local.borrow().as_ref() {
            add(None, "the proxy of this process".to_owned(), local);
        }
        live.into_iter().for_each(|proxy| add(Some(proxy.id), proxy.name, &proxy.outcome));
        Ok(waited)
    }
}
