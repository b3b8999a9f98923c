//! Carries out on a proxy what it is told: what must end first, then what is new.

use std::collections::BTreeMap;

use sallygate_definitions::placeholder::PlaceholderKey;

use super::held::Held;
use super::message::Message;
use super::{InForce, Order, Proxy, Refused};
use crate::clock::Clock;
use crate::domain::{DomainError, Fault};

/// The digests of the plans that a proxy serves, by the name of the plan.
pub type Served = BTreeMap<String, String>;

/// What became of all that was told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    pub served: Served,
    pub refused: Refused,
}

/// One proxy, and what it was told so far.
pub struct Follower {
    proxy: Proxy,
    clock: Clock,
    held: Held,
    /// Everything anew, while it is being told.
    anew: Option<Held>,
    /// Sandboxes ended that the proxy still has.
    ended: bool,
}

impl std::fmt::Debug for Follower {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Follower").field("resume", &self.held.resume).finish_non_exhaustive()
    }
}

impl Follower {
    /// `held` is what the proxy was told before.
    pub fn new(proxy: Proxy, held: Held, clock: Clock) -> Self {
        Self { proxy, clock, held, anew: None, ended: false }
    }

    pub fn held(&self) -> &Held {
        &self.held
    }

    /// Puts in force what was told before.
    pub async fn restore(&mut self) -> Result<Outcome, DomainError> {
        self.held.drop_expired(self.clock.now_ms());
        self.apply(self.held.in_force()).await
    }

    /// What is told in part is told again: a stream broke off.
    pub fn broke_off(&mut self) {
        self.anew = None;
    }

    /// Carries out one message. What became of it all is there after a `commit`.
    pub async fn take(&mut self, message: Message) -> Result<Option<Outcome>, DomainError> {
        match message {
            Message::Reset => {
                // What was invalidated since then is not told one by one.
                self.forget_held().await?;
                self.anew = Some(Held::default());
            }
            Message::Forget { connections } => drop(self.order(Order::Forget(connections)).await?),
            Message::End { sandboxes } => self.ended |= self.held.end(&sandboxes),
            Message::Profile(told) => {
                self.end_now().await?;
                self.told().profile(told);
            }
            Message::Sandbox(told) => {
                self.end_now().await?;
                self.told().sandbox(told);
            }
            Message::Commit { resume, placeholder_key } => {
                return self.commit(resume, placeholder_key).await.map(Some);
            }
            Message::Beat => {}
            Message::Revoked => drop(self.forget_everything().await?),
        }
        Ok(None)
    }

    /// A proxy that is let in no more serves nothing of what it was told.
    async fn forget_everything(&mut self) -> Result<Outcome, DomainError> {
        self.forget_held().await?;
        self.anew = None;
        self.held = Held::default();
        self.apply(InForce::default()).await
    }

    /// Lets go of every credential.
    async fn forget_held(&self) -> Result<(), DomainError> {
        let connections = self.held.connections();
        if !connections.is_empty() {
            self.order(Order::Forget(connections)).await?;
        }
        Ok(())
    }

    fn told(&mut self) -> &mut Held {
        self.anew.as_mut().unwrap_or(&mut self.held)
    }

    /// What has ended does not wait for the plans that follow to be ready.
    async fn end_now(&mut self) -> Result<(), DomainError> {
        if self.anew.is_none() && std::mem::take(&mut self.ended) {
            self.apply(self.held.in_force()).await?;
        }
        Ok(())
    }

    async fn commit(
        &mut self,
        resume: String,
        placeholder_key: Option<PlaceholderKey>,
    ) -> Result<Outcome, DomainError> {
        let now_ms = self.clock.now_ms();
        self.told().drop_expired(now_ms);
        if let Some(anew) = self.anew.take() {
            self.held = anew;
        }
        self.ended = false;
        self.held.placeholder_key = placeholder_key;
        let outcome = self.apply(self.held.in_force()).await?;
        self.held.resume = Some(resume);
        Ok(outcome)
    }

    async fn apply(&self, in_force: InForce) -> Result<Outcome, DomainError> {
        let digests = in_force.plans.iter().map(|(key, plan)| (key.clone(), plan.digest.clone()));
        let mut served: Served = digests.collect();
        let refused = self.order(Order::Apply(in_force)).await?;
        // The rest is in force. What is refused is told again when something changes.
        for (plan, why) in &refused {
            tracing::error!(plan, why, "a plan is not served");
            served.remove(plan);
        }
        Ok(Outcome { served, refused })
    }

    /// Putting plans in force is work for a processor: it must not hold up the tasks of this thread.
    async fn order(&self, order: Order) -> Result<Refused, DomainError> {
        let proxy = std::sync::Arc::clone(&self.proxy);
        tokio::task::spawn_blocking(move || proxy(order)).await.map_err(|_| {
            DomainError::new(Fault::Internal, "order_broke_off", "an order to a proxy broke off")
        })
    }
}
