//! The proxy of this process, as the control service sees it; and the control service, as the
//! proxy sees it. Neither crate knows the other.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sallygate_control::domain::approval::{self, Standing as Stands, State};
use sallygate_control::domain::{DomainError, Fault, resolve};
use sallygate_control::feed::{InForce, Order, Proxy, Refused};
use sallygate_control::service::Control;
use sallygate_proxy::{
    Approval, Approver, Handle, Held, Layer, Resolved, Resolver, Ruling, Standing, Unresolved,
    Unruled, Wanted,
};

/// Carries out on `handle` what is ordered; credentials and approvals come from the control service
/// here.
pub(super) fn attached(handle: Handle, control: Control) -> Proxy {
    let asked = Arc::new(FromControl(control));
    carrying_out(handle, Asked { resolver: Arc::<FromControl>::clone(&asked), approver: asked })
}

/// Who is asked for what a proxy does not know.
pub(super) struct Asked {
    pub(super) resolver: Arc<dyn Resolver>,
    pub(super) approver: Arc<dyn Approver>,
}

/// Carries out on `handle` what is ordered.
pub(super) fn carrying_out(handle: Handle, asked: Asked) -> Proxy {
    Arc::new(move |order| match order {
        Order::Forget(connections) => {
            handle.forget(&connections);
            Refused::new()
        }
        Order::Apply(in_force) => apply(&handle, in_force, &asked),
    })
}

fn apply(handle: &Handle, in_force: InForce, asked: &Asked) -> Refused {
    let InForce { plans, sandboxes, targets, placeholder_key } = in_force;
    let profiles: Vec<String> = plans.keys().cloned().collect();
    let (resolver, approver) =
        (Some(Arc::clone(&asked.resolver)), Some(Arc::clone(&asked.approver)));
    let layer = Layer { plans, sandboxes, targets, resolver, approver, placeholder_key };
    match handle.apply(layer) {
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

#[async_trait]
impl Approver for FromControl {
    async fn ask(&self, held: &Held) -> Result<Ruling, Unruled> {
        let wanted = approval::Wanted {
            sandbox: held.sandbox.clone(),
            route: held.route.clone(),
            method: held.method.clone(),
            url: held.url.clone(),
            request_sha256: held.request_sha256,
        };
        let stands = self.0.ask_approval(&wanted).await.map_err(unruled)?;
        Ok(ruling(stands))
    }

    async fn claim(&self, sandbox: &str, id: &str) -> Result<bool, Unruled> {
        self.0.claim_approval((sandbox, id)).await.map_err(unruled)
    }

    async fn find(&self, sandbox: &str, id: &str) -> Result<Option<Approval>, Unruled> {
        match self.0.sandbox_approval((sandbox, id)).await {
            Ok(found) => Ok(Some(shown(found))),
            Err(error) if error.fault == Fault::NotFound => Ok(None),
            Err(error) => Err(unruled(error)),
        }
    }
}

/// What stands, as the proxy says it.
pub(super) fn ruling(stands: Stands) -> Ruling {
    match stands {
        Stands::Granted { id, once } => Ruling::Granted { id, once },
        Stands::Pending(id) => Ruling::Pending(id),
        Stands::Denied(id) => Ruling::Denied(id),
        Stands::TooMany => Ruling::TooMany,
    }
}

fn unruled(error: DomainError) -> Unruled {
    Unruled(format!("{}: {}", error.code, error.message))
}

/// A state, as the proxy says it.
pub(super) fn standing(state: State) -> Standing {
    match state {
        State::Pending => Standing::Pending,
        State::Approved => Standing::Approved,
        State::ApprovedOnce => Standing::ApprovedOnce,
        State::Denied => Standing::Denied,
        State::Used => Standing::Used,
        State::Expired => Standing::Expired,
    }
}

fn shown(it: approval::Approval) -> Approval {
    Approval {
        id: it.id,
        sandbox: it.sandbox,
        route: it.route,
        method: it.method,
        url: it.url,
        standing: standing(it.state),
        asked_unix: it.asked_ms.div_euclid(1000),
        expires_unix: it.expires_ms.div_euclid(1000),
    }
}
