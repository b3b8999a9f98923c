//! What proxies must know, told to all of them as soon as it is so.
//!
//! The outbox says that something changed, in the order of the commits; what is told is what is
//! true now of that. Every listener has its own place in that order, so nobody misses what others
//! were told, whichever replica each of them listens to. Invalidations and revocations go ahead of
//! plans. A plan is acknowledged when it is served.

mod about;
mod acknowledge;
mod canary;
mod follow;
mod held;
mod message;
mod read;
mod stream;
mod subscription;
mod wait;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sallygate_compiler::plan::Plan;
use sallygate_compiler::snapshot::SandboxSpec;
use sallygate_definitions::placeholder::PlaceholderKey;
use tokio::sync::{Notify, broadcast, watch};

pub use about::About;
pub use acknowledge::Acknowledged;
pub use canary::{plan_key, runs_ahead};
pub use follow::{Follower, Outcome, Served};
pub use held::Held;
pub use message::{
    CanaryTold, FormerTold, Message, PlanTold, ProfileTold, SandboxTold, SignerTold, lines,
};
pub use read::installation;
pub use stream::Lines;
pub use wait::{Missing, Waited};

use crate::domain::{DomainError, proxy};
use crate::service::Control;
use acknowledge::Queue;
use read::{After, Batch, batch};
use subscription::Subscription;

/// How often the outbox of a database is looked at that other processes write to as well.
const LOOK_EVERY_SHARED: Duration = Duration::from_millis(40);
/// How often it is looked at without being asked to, where nobody else writes.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often it is noted that proxies listen.
const NOTE_EVERY_MS: i64 = 5_000;
/// How often notices are dropped that are old.
const SWEEP_EVERY_MS: i64 = 600_000;
/// Batches that a listener may be behind before it reads for itself.
const BATCHES_MAX: usize = 64;

/// Everything that shall be in force.
#[derive(Clone, Debug, Default)]
pub struct InForce {
    /// By the id of the profile, or [`plan_key`] of it.
    pub plans: BTreeMap<String, Plan>,
    pub sandboxes: Vec<SandboxSpec>,
    /// By connection: the key of its target.
    pub targets: BTreeMap<String, String>,
    /// What the placeholders of these sandboxes are made with.
    pub placeholder_key: Option<PlaceholderKey>,
}

/// Something that a proxy must do.
#[derive(Clone, Debug)]
pub enum Order {
    /// Let go of the credentials of these connections.
    Forget(Vec<String>),
    /// Put this in force, and nothing else.
    Apply(InForce),
}

/// Plans that a proxy does not serve, with the reason.
pub type Refused = BTreeMap<String, String>;

/// Carries out an order, and returns when it is carried out, with what of it is not.
pub type Proxy = Arc<dyn Fn(Order) -> Refused + Send + Sync>;

/// Tells proxies, and knows what they serve. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Feed(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    wake: Notify,
    batches: broadcast::Sender<Arc<Batch>>,
    closing: watch::Sender<bool>,
    /// Everything, as it was told last to somebody who knew nothing.
    everything: tokio::sync::Mutex<Option<Arc<Batch>>>,
    /// What the proxy of this process serves, where there is one.
    local: watch::Sender<Option<Outcome>>,
    /// Where sandboxes find that proxy.
    local_about: Mutex<About>,
    queue: Queue,
    /// Proxies that listen to this process, once for every stream.
    listening: Mutex<Vec<String>>,
}

impl Default for Inner {
    fn default() -> Self {
        Self {
            wake: Notify::new(),
            batches: broadcast::Sender::new(BATCHES_MAX),
            closing: watch::Sender::new(false),
            everything: tokio::sync::Mutex::default(),
            local: watch::Sender::new(None),
            local_about: Mutex::default(),
            queue: Queue::default(),
            listening: Mutex::default(),
        }
    }
}

impl Inner {
    /// The first thing that a listener is told.
    async fn first(
        &self,
        control: &Control,
        resume: Option<&str>,
    ) -> Result<Arc<Batch>, DomainError> {
        if resume.is_some() {
            return Ok(Arc::new(batch(control, After::Resume(resume)).await?));
        }
        // Many proxies that know nothing are told the same: it is read once.
        let mut everything = self.everything.lock().await;
        if let Some(known) = everything.as_ref() {
            let mut transaction = control.store.begin(crate::store::Access::Read).await?;
            if crate::store::told(&mut *transaction).await?.newest == known.to {
                return Ok(Arc::clone(known));
            }
        }
        let read = Arc::new(batch(control, After::Resume(None)).await?);
        *everything = Some(Arc::clone(&read));
        Ok(read)
    }
}

impl Feed {
    /// Something is in the outbox.
    pub fn wake(&self) {
        self.0.wake.notify_one();
    }

    /// Ends every stream: the process ends.
    pub fn close(&self) {
        self.0.closing.send_replace(true);
    }

    /// Looks for what there is to tell, until the task that runs this is dropped.
    pub async fn run(&self, control: Control) {
        let shared = control.store.is_shared();
        let look_every = if shared { LOOK_EVERY_SHARED } else { LOOK_EVERY };
        let (mut at, mut noted_ms) = (None, i64::MIN);
        let mut swept_ms = control.clock.now_ms();
        loop {
            if let Err(error) = self.look(&control, &mut at).await {
                tracing::error!(code = error.code, %error, "proxies are not told");
            }
            let now_ms = control.clock.now_ms();
            if now_ms.saturating_sub(noted_ms) >= NOTE_EVERY_MS {
                noted_ms = now_ms;
                if let Err(error) = self.note(&control, now_ms).await {
                    tracing::error!(code = error.code, %error, "who listens is not noted");
                }
            }
            if now_ms.saturating_sub(swept_ms) >= SWEEP_EVERY_MS {
                swept_ms = now_ms;
                if let Err(error) = control.store.forget_old_notices(now_ms).await {
                    tracing::warn!(%error, "old notices are kept");
                }
            }
            // Either somebody knows of something new, or it is time to look.
            let _ = tokio::time::timeout(look_every, self.0.wake.notified()).await;
        }
    }

    /// Tells what is behind `at` to everybody who listens.
    async fn look(&self, control: &Control, at: &mut Option<i64>) -> Result<(), DomainError> {
        loop {
            let mut transaction = control.store.begin(crate::store::Access::Read).await?;
            let newest = crate::store::told(&mut *transaction).await?.newest;
            drop(transaction);
            // Whoever came before this process looked for the first time read for itself.
            let from = *at.get_or_insert(0);
            if newest == from {
                return Ok(());
            }
            if self.0.batches.receiver_count() == 0 {
                *at = Some(newest);
                return Ok(());
            }
            let read = batch(control, After::Sequence(from)).await?;
            *at = Some(read.to);
            // Nobody listens any more: nobody misses it.
            let _ = self.0.batches.send(Arc::new(read));
        }
    }

    async fn note(&self, control: &Control, now_ms: i64) -> Result<(), DomainError> {
        let listening: BTreeSet<String> = self.listening().iter().cloned().collect();
        if listening.is_empty() {
            return Ok(());
        }
        proxy::seen(&control.store, &listening, now_ms).await
    }

    fn listening(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.0.listening.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the proxy of this process everything from now on, until the task that runs this is
    /// dropped.
    pub async fn attach(&self, control: Control, (proxy, about): (Proxy, About)) {
        const AGAIN_AFTER: Duration = Duration::from_millis(500);
        *self.0.local_about.lock().unwrap_or_else(PoisonError::into_inner) = about;
        let mut follower = Follower::new(proxy, Held::default(), control.clock.clone());
        loop {
            match self.attached(&control, &mut follower).await {
                Ok(()) => return,
                Err(error) => tracing::error!(code = error.code, %error, "the proxy is not told"),
            }
            follower.broke_off();
            tokio::time::sleep(AGAIN_AFTER).await;
        }
    }

    /// What the proxy of this process says of itself, where there is one.
    pub fn local_about(&self) -> About {
        self.0.local_about.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn attached(
        &self,
        control: &Control,
        follower: &mut Follower,
    ) -> Result<(), DomainError> {
        let resume = follower.held().resume.clone();
        let mut subscription = Subscription::new(control, &self.0, resume.as_deref()).await?;
        while let Some(batch) = subscription.next().await {
            for message in &batch.messages {
                if let Some(outcome) = follower.take(message.clone()).await? {
                    self.0.local.send_replace(Some(outcome));
                    self.0.queue.changed();
                }
            }
        }
        Ok(())
    }
}
