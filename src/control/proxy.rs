//! The proxy of this process, as the control service sees it; and the control service, as the
//! proxy sees it. Neither crate knows the other.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sallygate_control::domain::{DomainError, Fault, resolve};
use sallygate_control::feed::{InForce, Order, Proxy, Refused};
use sallygate_control::service::Control;
use sallygate_proxy::{Handle, Layer, Resolved, Resolver, Unresolved, Wanted};

/// Carries out on `handle` what is ordered; credentials come from the control service here.
pub(super) fn attached(handle: Handle, control: Control) -> Proxy {
    carrying_out(handle, Arc::new(FromControl(control)))
}

/// Carries out on `handle` what is ordered.
pub(super) fn carrying_out(handle: Handle, resolver: Arc<dyn Resolver>) -> Proxy {
    Arc::new(move |order| match order {
        Order::Forget(connections) => {
            handle.forget(&connections);
            Refused::new()
        }
        Order::Apply(in_force) => apply(&handle, in_force, &resolver),
    })
}

fn apply(handle: &Handle, in_force: InForce, resolver: &Arc<dyn Resolver>) -> Refused {
    let InForce { plans, sandboxes, targets } = in_force;
    let profiles: Vec<String> = plans.keys().cloned().collect();
    let resolver = Some(Arc::clone(resolver));
    match handle.apply(Layer { plans, sandboxes, targets, resolver }) {
        Ok(applied) => applied.refused.into_iter().collect(),
        Err(error) => profiles.into_iter().map(|id| (id, error.to_string())).collect(),
    }
}

/// Asks the control service of this process.
#[derive(Debug)]
struct FromControl(Control);

#[async_trait]
impl Resolver for FromControl {
    async fn resolve(&self, wanted: &Wanted) -> Result<Resolved, Unresolved> {
        let wanted = resolve::Wanted {
            sandbox: wanted.sandbox.clone(),
            plan_digest: wanted.plan_digest.clone(),
            connection: wanted.connection_id.clone(),
            secret_type: wanted.secret_type.clone(),
            slot_key: wanted.slot_key.clone(),
            resolver_key: wanted.resolver_key.clone(),
            scope: wanted.scope.clone(),
        };
        let credential = self.0.resolve(&wanted).await.map_err(unresolved)?;
        let now_ms = self.0.clock.now_ms();
        let life = credential.expires_ms.map(|at| at.saturating_sub(now_ms).div_euclid(1000));
        let life_seconds = life.map(|seconds| u64::try_from(seconds).unwrap_or(0));
        Ok(Resolved::new(credential.secret.expose().to_vec(), life_seconds))
    }
}

fn unresolved(error: DomainError) -> Unresolved {
    match error.fault {
        Fault::NotFound | Fault::Conflict | Fault::Stale | Fault::Invalid | Fault::Forbidden => {
            Unresolved::Refused(error.message)
        }
        Fault::Unavailable | Fault::Internal => {
            let retry_after = error.retry_after_ms.map(Duration::from_millis);
            Unresolved::Unavailable { message: error.message, retry_after }
        }
    }
}
