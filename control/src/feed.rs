//! What proxies must know, told to them as soon as it is so.
//!
//! The outbox says that something changed; what is told is what is true now, whole, so that a
//! notice that is told twice or late does no harm. Invalidations go ahead of plans. A notice is
//! told when the proxy serves what it is about.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use sallygate_compiler::plan::Plan;
use sallygate_compiler::snapshot::SandboxSpec;
use serde_json::Value as Json;
use tokio::sync::{Notify, watch};

use crate::domain::sandbox::Live;
use crate::domain::{DomainError, Fault, profile, sandbox};
use crate::service::Control;
use crate::store::{Access, Notice, Topic, Transaction};
use crate::values;

/// How often the outbox is looked at without being asked to: notices of another process.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const NOTICES_MAX: i64 = 256;

/// Everything that shall be in force.
#[derive(Clone, Debug, Default)]
pub struct InForce {
    /// By the id of the profile.
    pub plans: BTreeMap<String, Plan>,
    pub sandboxes: Vec<SandboxSpec>,
    /// By connection: the key of its target.
    pub targets: BTreeMap<String, String>,
}

/// Something that proxies must do.
#[derive(Clone, Debug)]
pub enum Order {
    /// Let go of the credentials of these connections.
    Forget(Vec<String>),
    /// Put this in force, and nothing else.
    Apply(InForce),
}

/// Profiles whose plans a proxy does not serve, with the reason.
pub type Refused = BTreeMap<String, String>;

/// Carries out an order, and returns when it is carried out, with what of it is not.
pub type Proxy = Arc<dyn Fn(Order) -> Refused + Send + Sync>;

/// The plans that a proxy serves, by profile: what was acknowledged.
type Served = BTreeMap<String, String>;

/// Wakes whoever tells proxies, and knows what they serve.
#[derive(Clone, Debug)]
pub struct Feed {
    wake: Arc<Notify>,
    served: watch::Sender<Option<Served>>,
}

impl Default for Feed {
    fn default() -> Self {
        Self { wake: Arc::default(), served: watch::Sender::new(None) }
    }
}

impl Feed {
    /// Something is in the outbox.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Whether a proxy is attached to this process.
    pub fn is_attached(&self) -> bool {
        self.served.borrow().is_some()
    }

    /// Waits until the plan with this digest is served; `false` when it is not within `patience`.
    pub async fn serves(&self, (profile, digest): (&str, &str), patience: Duration) -> bool {
        let mut served = self.served.subscribe();
        let there = |served: &Option<Served>| {
            served.as_ref().is_some_and(|s| s.get(profile).is_some_and(|d| d == digest))
        };
        tokio::time::timeout(patience, served.wait_for(there)).await.is_ok_and(|w| w.is_ok())
    }

    /// Tells `proxy` everything from now on, until the task that runs this is dropped.
    pub async fn run(&self, control: Control, proxy: Proxy) {
        let mut known = None;
        loop {
            if let Err(error) = self.tell(&control, &proxy, &mut known).await {
                tracing::error!(code = error.code, %error, "proxies are not told");
            }
            // Either somebody knows of something new, or it is time to look.
            let _ = tokio::time::timeout(LOOK_EVERY, self.wake.notified()).await;
        }
    }

    /// Tells what waits. At first, whether anything waits or not, everything is told.
    async fn tell(
        &self,
        control: &Control,
        proxy: &Proxy,
        known: &mut Option<()>,
    ) -> Result<(), DomainError> {
        loop {
            let notices = control.store.waiting_notices(NOTICES_MAX).await?;
            if notices.is_empty() && known.is_some() {
                return Ok(());
            }
            let mut transaction = control.store.begin(Access::Read).await?;
            let forget = invalidated(&mut *transaction, &notices).await?;
            let in_force = in_force(&mut *transaction, control.clock.now_ms()).await?;
            drop(transaction);
            let digests = in_force.plans.iter().map(|(id, plan)| (id.clone(), plan.digest.clone()));
            let mut served: Served = digests.collect();
            if !forget.is_empty() {
                order(proxy, Order::Forget(forget)).await?;
            }
            let refused = order(proxy, Order::Apply(in_force)).await?;
            // The rest is in force. What is refused is told again when something changes.
            for (profile, why) in &refused {
                tracing::error!(profile, why, "a plan is not served");
                served.remove(profile);
            }
            *known = Some(());
            self.served.send_replace(Some(served));
            for notice in &notices {
                control.store.notice_told(&notice.id, control.clock.now_ms()).await?;
            }
            control.store.forget_told(control.clock.now_ms()).await?;
        }
    }
}

/// Putting plans in force is work for a processor: it must not hold up the tasks of this thread.
async fn order(proxy: &Proxy, order: Order) -> Result<Refused, DomainError> {
    let proxy = Arc::clone(proxy);
    tokio::task::spawn_blocking(move || proxy(order)).await.map_err(|_| {
        DomainError::new(Fault::Internal, "order_broke_off", "an order to a proxy broke off")
    })
}

/// The connections that notices are about, directly or by their target.
async fn invalidated(
    transaction: &mut dyn Transaction,
    notices: &[Notice],
) -> Result<Vec<String>, DomainError> {
    let mut connections = BTreeSet::new();
    for notice in notices.iter().filter(|notice| notice.topic == Topic::Invalidated) {
        let text = |key: &str| notice.payload.get(key).and_then(Json::as_str).map(str::to_owned);
        connections.extend(text("connectionId"));
        if let Some(target) = text("targetKey") {
            let sql = "SELECT id FROM connections WHERE target_key = $1";
            for mut row in transaction.fetch(sql, values![target]).await? {
                connections.insert(row.text()?);
            }
        }
    }
    Ok(connections.into_iter().collect())
}

async fn in_force(transaction: &mut dyn Transaction, now_ms: i64) -> Result<InForce, DomainError> {
    let plans = profile::published_plans(transaction).await?;
    let plans: BTreeMap<String, Plan> =
        plans.into_iter().map(|plan| (plan.sandbox_profile_id.clone(), plan)).collect();
    let live = sandbox::all_live(transaction, now_ms).await?;
    let sandboxes = live.into_iter().filter_map(spec).collect();
    let mut targets = BTreeMap::new();
    let sql = "SELECT id, target_key FROM connections WHERE deleted_at IS NULL";
    for mut row in transaction.fetch(sql, Vec::new()).await? {
        targets.insert(row.text()?, row.text()?);
    }
    Ok(InForce { plans, sandboxes, targets })
}

fn spec(live: Live) -> Option<SandboxSpec> {
    let Live { sandbox, token_sha256 } = live;
    Some(SandboxSpec {
        id: sandbox.id,
        profile: sandbox.profile,
        // A token whose hash is none is no token: the sandbox would be open to nobody.
        token_sha256: Some(token_sha256.try_into().ok()?),
        sources: sandbox.sources,
        // A sandbox never lives longer than it was said: the fraction is cut off.
        expires_unix: sandbox.expires_ms.map(|ms| ms.div_euclid(1000)),
    })
}
